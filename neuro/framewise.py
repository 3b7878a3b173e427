"""From a network that decides about windows of frames to one that takes a stream: one frame a step, the same integers.

Knows networks; knows nothing of what frames are. A layer that is the same at every frame of a window is computed once for each
frame of the stream and sent on to every later place by delays: `previous` values, in the network. What adds up many frames adds
what enters and takes off what leaves. So a frame costs one frame's work, not a window's, and its answer is that of the window
that ends with it, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.components import components
from neuro.encoding import source_of, value_shape
from neuro.errors import NetworkError, expect
from neuro.network import Network, Population
from neuro.neurons import Neuron
from neuro.projections import Dense, OneToOne, Projection, Sparse
from neuro.windows import Shape

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Frames:
    """A population as frames, along an axis or in one: their number and shape, and of each neuron its frame and its place there,
    (neurons,) each."""

    axis: int | None
    count: int
    shape: Shape
    frame: Ints
    place: Ints

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class _Taps:
    """The synapses of a projection into one frame: how many frames earlier the source's is, both places, and the weight."""

    age: Ints
    pre: Ints
    post: Ints
    weight: Ints

    def of(self, age: int) -> tuple[Ints, Ints, Ints]:
        here = self.age == age
        return self.pre[here], self.post[here], self.weight[here]


def frame_by_frame(network: Network, axis: int = -1, *, causal: bool = False) -> Network:
    """The network of one frame for a network of windows: inputs (samples, frames, *frame shape), an answer each frame.

    network: of neurons that send one message a window and keep nothing, as `convert(..., code="graded")` makes of convolutions,
    linear layers, rectifiers and means; its source's `axis` is time, one frame a step of it. It may branch and join. The answer
    of frame f is that of the window that ends there, its newest frame where it has many. In the first frames of a stream nothing
    was sent before. causal: the network pads in front; that stands for the frames before, not for the edge of a window, so that
    a whole stream as one window gives the same answers.
    Raises NetworkError for a layer that is not the same at every frame, pads behind or strides over time, or keeps something.
    """
    expect("network", network, Network, "Pass a neuro.Network, such as conversion.network", NetworkError)
    source, depths = _source(network), _depths(network)
    kept = {source.name: _of_source(source, axis)}
    populations, projections = list[Population](), list[Projection]()
    for population in sorted(network.populations, key=lambda p: depths[p.name]):
        into = network.into(population.name)
        if population is source:
            neuron = source.neuron.changed(code="once", period=1)
            populations.append(Population(source.name, kept[source.name].shape, neuron))
            continue
        if not into:
            raise _refusal(f"nothing leads to population {population.name!r}", "Leave it out")
        here, taps = _placed(network, population, into, kept, causal)
        kept[population.name] = here
        summed = [_differences(one) for one in taps]
        can_add = population.neuron.is_readout or "hold_input" in dict(population.neuron._values())
        adds = can_add and sum(_steps(one) for one in summed) < sum(_steps(one) for one in taps)
        neuron = _neuron(population, here, depths[population.name], adds)
        populations.append(Population(population.name, here.shape, neuron))
        for projection, one in zip(into, summed if adds else taps, strict=True):
            apart = depths[population.name] - depths[projection.source]
            projections += _projections(projection, one, apart, kept[projection.source], here)
    order = [p.name for p in network.populations]
    populations.sort(key=lambda p: order.index(p.name))
    return Network(tuple(populations), tuple(projections), timesteps=1, notes=network.notes)


def _source(network: Network) -> Population:
    """The one source, checked, as is the network's window."""
    if len(network.sources) != 1:
        raise _refusal(f"it has {len(network.sources)} sources", "Pass a network with one input")
    (source,) = network.sources
    told = source_of(source)
    if told.period is not None:
        raise _refusal("it takes frames already", "Open a session on it as it is")
    if told.code not in ("held", "once") or (network.timesteps or 1) != 1:
        fact = f"its source sends by code {told.code!r} in {network.timesteps} steps"
        raise _refusal(fact, 'Convert with code="graded", which takes one')
    if network.learns:
        raise _refusal("it learns", "Pass network.fixed()")
    return source


def _depths(network: Network) -> dict[str, int]:
    """How many populations lie in front of each, by the longest way."""
    number = {p.name: i for i, p in enumerate(network.populations)}
    readers: list[set[int]] = [set() for _ in number]
    for projection in network.projections:
        if projection.source == projection.target:
            raise _refusal(f"population {projection.source!r} leads to itself", "It takes streams as it is: open a session on it")
        readers[number[projection.source]].add(number[projection.target])
    depths: dict[str, int] = {}
    for group in components(readers):
        if len(group) > 1:
            names = ", ".join(network.populations[i].name for i in sorted(group))
            raise _refusal(f"populations {names} are a loop", "It takes streams as it is: open a session on it")
        name = network.populations[group.pop()].name
        depths[name] = max((depths[projection.source] for projection in network.into(name)), default=-1) + 1
    return depths


def _of_source(source: Population, axis: int) -> _Frames:
    """The source as frames; halves of a twin source lie one behind the other in a frame."""
    shape = value_shape(source)
    if not -len(shape) <= axis < len(shape):
        raise _refusal(f"axis {axis} of an input of shape {shape}", f"Use an axis from {-len(shape)} to {len(shape) - 1}")
    one = _split(shape, axis % len(shape))
    if not source_of(source).twin:
        return one
    frame, place = np.tile(one.frame, 2), np.concatenate([one.place, one.place + one.size])
    return _Frames(one.axis, one.count, (2 * one.shape[0], *one.shape[1:]), frame, place)


def _split(shape: Shape, axis: int | None) -> _Frames:
    """An array with an axis of time as frames; without one it is one frame."""
    if axis is None:
        return _Frames(None, 1, shape, np.zeros(prod(shape), np.int64), np.arange(prod(shape)))
    rest = shape[:axis] + shape[axis + 1 :] or (1,)
    frame = np.broadcast_to(np.expand_dims(np.arange(shape[axis]), tuple(range(1, len(shape) - axis))), shape)
    place = np.broadcast_to(np.expand_dims(np.arange(prod(rest)).reshape(shape[:axis] + shape[axis + 1 :]), axis), shape)
    return _Frames(axis, shape[axis], rest, frame.ravel(), place.ravel())


def _placed(
    network: Network, population: Population, into: tuple[Projection, ...], kept: dict[str, _Frames], causal: bool
) -> tuple[_Frames, list[_Taps]]:
    """The population as frames by the axis at which all that leads to it is the same at every frame, and the synapses of one."""
    synapses = []
    for projection in into:
        matrix = projection.to_sparse(network[projection.source].shape, population.shape).tocoo()
        synapses.append(tuple(np.asarray(part, np.int64) for part in (*matrix.coords, matrix.data)))
    for axis in _axes(population, [kept[p.source] for p in into]):
        here = _split(population.shape, axis)
        taps = [_taps(one, kept[p.source], here, causal) for one, p in zip(synapses, into, strict=True)]
        whole = [one for one in taps if one is not None]
        if len(whole) == len(taps) and _same(population, here):
            return here, whole
    raise _refusal(
        f"what leads to population {population.name!r} of shape {population.shape} is not the same at every frame: it pads or "
        "strides over time, or its bias differs from frame to frame",
        "Pad nothing over time, or in front alone and pass causal=True",
    )


def _axes(population: Population, before: list[_Frames]) -> list[int | None]:
    """Axes that may be time: that of windows of as many axes that lead to it, or else any, or none where it is one frame."""
    same = {one.axis for one in before if one.count > 1 and len(one.shape) + 1 == len(population.shape) > 1}
    if same:
        return sorted(same, key=str)
    return [*(axis for axis, size in enumerate(population.shape) if size > 1), None]


def _taps(synapses: tuple[Ints, ...], source: _Frames, target: _Frames, causal: bool) -> _Taps | None:
    """The synapses into the newest frame, if those into all others are the same, as far as there were frames; else None."""
    rows, columns, weights = synapses
    age = target.frame[columns] - target.count + source.count - source.frame[rows]
    if age.min(initial=0) < 0:
        return None
    key = (age * source.size + source.place[rows]) * target.size + target.place[columns]
    newest = target.frame[columns] == target.count - 1
    known, first = np.unique(key[newest], return_index=True)
    found = np.searchsorted(known, key).clip(max=max(0, known.size - 1))
    if not known.size:
        return None if key.size else _Taps(*(np.zeros(0, np.int64) for _ in range(4)))
    before = np.maximum(0, target.count - source.count + age[newest])  # frames whose place there lies in front of the window
    expected = (target.count - np.minimum(before, target.count)).sum()
    same = np.array_equal(known[found], key) and np.array_equal(weights[newest][first][found], weights)
    if not same or key.size != expected or (before.any() and not causal):
        return None
    place, post = np.divmod(known, target.size)
    lag, pre = np.divmod(place, source.size)
    return _Taps(lag, pre, post, weights[newest][first])


def _same(population: Population, here: _Frames) -> bool:
    """Whether every parameter of the neurons is the same at every frame."""
    return all(
        (
            array.reshape(-1)[np.argsort(here.place, kind="stable")].reshape(here.size, -1)
            == array.reshape(-1)[_newest(here), None]
        ).all()
        for _, array in _arrays(population)
    )


def _newest(here: _Frames) -> Ints:
    """The neurons of the newest frame, by place."""
    neurons = np.flatnonzero(here.frame == here.count - 1)
    return neurons[np.argsort(here.place[neurons])]


def _arrays(population: Population) -> Iterator[tuple[str, NDArray[Any]]]:
    """Parameters that may differ from neuron to neuron, each for every neuron, (*shape)."""
    for name, value in population.neuron._values():
        if isinstance(value, np.ndarray) and name not in population.neuron.shared:
            yield name, np.broadcast_to(value, population.shape)


def _neuron(population: Population, here: _Frames, depth: int, adds: bool) -> Neuron:
    """The neuron that does with each frame what the window's does with its own."""
    neuron, newest = population.neuron, _newest(here)
    given = {name: array.reshape(-1)[newest].reshape(here.shape) for name, array in _arrays(population)}
    if neuron.memoryless:
        return neuron.changed(**given, start_step=depth, **({"hold_input": True} if adds else {}))
    told = dict(neuron._values())
    if neuron.is_readout and not told["doubling"] and neuron.period is None:
        return neuron.changed(**given, start_step=depth, gather=None, average=False, period=1, changes=adds)
    fact = f"population {population.name!r} ({type(neuron).__name__}) takes more than a step a frame, or keeps something"
    raise _refusal(fact, 'Convert with code="graded"; leave out maxima and products')


def _differences(taps: _Taps) -> _Taps:
    """The synapses by which a sum of all that ever came is, at every frame, what these would bring in that frame alone."""
    width = (int(taps.pre.max(initial=0)) + 1, int(taps.post.max(initial=0)) + 1)
    key = np.concatenate([taps.age, taps.age + 1]) * prod(width) + np.tile(taps.pre * width[1] + taps.post, 2)
    known, where = np.unique(key, return_inverse=True)
    weight = np.zeros(known.size, np.int64)
    np.add.at(weight, where, np.concatenate([taps.weight, -taps.weight]))
    age, pair = np.divmod(known, prod(width))
    return _Taps(age, *np.divmod(pair, width[1]), weight)


def _steps(taps: _Taps) -> int:
    """Frames of which anything arrives."""
    return int(np.unique(taps.age[taps.weight != 0]).size)


def _projections(window: Projection, taps: _Taps, apart: int, source: _Frames, target: _Frames) -> Iterator[Projection]:
    """A projection for each frame of which anything arrives, delayed by its age."""
    for age in np.unique(taps.age[taps.weight != 0]).tolist():
        pre, post, weight = taps.of(age)
        given: dict[str, Any] = {"delay": apart + age, "port": window.port, "exponent": window.exponent}
        stored = (weight >> window.exponent).astype(np.int32)
        if source.size == target.size and (pre == post).all():
            one = np.zeros(source.size, np.int32)
            one[pre] = stored
            if len(source.shape) == 1:
                yield OneToOne(window.source, window.target, one, **given)
                continue
        if pre.size == source.size * target.size:
            dense = np.zeros((source.size, target.size), np.int32)
            dense[pre, post] = stored
            yield Dense(window.source, window.target, dense, **given)
        else:
            yield Sparse(window.source, window.target, (pre, post, stored), **given)


def _refusal(fact: str, remedy: str) -> NetworkError:
    return NetworkError("network, frame by frame", fact, remedy)
