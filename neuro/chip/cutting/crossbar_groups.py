"""Weights -> axon types, and neurons -> cores whose axons fit: how a population is laid out in crossbars. Knows arrays only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import compiled

Ints = NDArray[np.int64]


def bases(shares: Ints, types: int) -> tuple[int, ...] | None:
    """What the weights of axon types should be, in a neuron's units, for all of these shares to be sums of some of them: the
    shares themselves where they are few enough, else powers of two with one of the other sign; None where neither will do."""
    distinct = np.unique(shares)
    if len(distinct) <= types:
        return tuple(int(x) for x in distinct)
    low, high, top = int(distinct[0]), int(distinct[-1]), 1 << (types - 1)
    if low >= 0 and high < 2 * top:
        return tuple(1 << k for k in range(types))
    if high <= 0 and -low < 2 * top:
        return tuple(-(1 << k) for k in range(types))
    sign = 1 if -top <= low and high < top else -1
    if not (-top <= sign * (low if sign > 0 else high) and sign * (high if sign > 0 else low) < top):
        return None
    return (*(sign << k for k in range(types - 1)), -sign * top)


def parts_of(shares: Ints, basis: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which members of the basis add up to each share, (shares, members)."""
    if set(np.unique(shares).tolist()) <= set(basis):
        return np.asarray(np.equal.outer(shares, np.array(basis)))
    sign = 1 if basis[0] > 0 else -1
    return np.asarray(sign * shares[:, None] >> np.arange(len(basis)) & 1, np.bool_)  # two's complement where signs differ


def grouped(shape: tuple[int, ...], axon: Ints, post: Ints, room: tuple[int, int]) -> Ints:
    """A core for each neuron of a population, (neurons,), in which neurons and different axons stay within `room`.

    axon, post (synapses,): who reads what. Several orders of the neurons are cut into cores as they come, and the one with the
    fewest axons in all is taken. One neuron alone may exceed the room.
    """
    size = int(np.prod(shape))
    by = np.argsort(post, kind="stable")
    starts = np.searchsorted(post[by], np.arange(size + 1))
    tried = (_cut_in_order(order, starts, axon[by], int(axon.max(initial=-1)) + 1, *room) for order in _orders(shape))
    return min(tried, key=lambda found: (found[1], int(found[0].max())))[0]


def _orders(shape: tuple[int, ...]) -> Iterator[Ints]:
    """Neurons in runs of channels (1, 2, 4, ...); in each, image positions along a curve that keeps near ones together."""
    channels, places = shape[0], int(np.prod(shape[1:]))
    along = np.argsort(_curve(shape[1:]), kind="stable")
    run = 1
    while True:
        parts = [np.arange(k, min(k + run, channels)) for k in range(0, channels, run)]
        yield np.concatenate([(along[:, None] + part * places).ravel() for part in parts])
        if run >= channels:
            return
        run *= 2


def _curve(shape: tuple[int, ...]) -> Ints:
    """The place of each position on a Z-order curve."""
    place = np.zeros(int(np.prod(shape)), np.int64)
    if not shape:
        return place
    at = np.stack(np.unravel_index(np.arange(len(place)), shape))
    for bit in range(int(max(shape)).bit_length()):
        for axis in range(len(shape)):
            place |= (at[axis] >> bit & 1) << (bit * len(shape) + len(shape) - 1 - axis)
    return place


@compiled
def _cut_in_order(
    order: Ints, starts: Ints, axon: Ints, axons: int, most_neurons: int, most_axons: int
) -> tuple[Ints, int]:  # fmt: skip
    """The core of each neuron where a new one begins whenever the next neuron does not fit, and axons of all cores."""
    core = np.zeros(len(order), np.int64)
    seen = np.full(axons, -1, np.int64)
    k, held, used, total = 0, 0, 0, 0
    for j in order:
        fresh = 0
        for s in range(starts[j], starts[j + 1]):
            fresh += seen[axon[s]] != k
        if held and (held + 1 > most_neurons or used + fresh > most_axons):
            k, held, used = k + 1, 0, 0
        for s in range(starts[j], starts[j + 1]):
            if seen[axon[s]] != k:
                seen[axon[s]] = k
                used, total = used + 1, total + 1
        held += 1
        core[j] = k
    return core, total
