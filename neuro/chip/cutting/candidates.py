"""The grids by which a population may be cut, and what each would cost, for all grids at once: a product of what it costs
along each axis. Estimates only order the grids; whether slices fit is decided by `neuro.chip.cutting.limits`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting.limits import compartments, encoding, state_words, weight_bits
from neuro.chip.cutting.tilings import Ints, Tiling, as_window, channel_reach, even, reach, with_rows
from neuro.chip.spec import Chip
from neuro.network import Network, Population
from neuro.projections import Conv2d, Projection

Floats = NDArray[np.float64]
RATE = 0.1  # messages of a neuron in a step, where nothing is known of its activity


@dataclass(frozen=True, slots=True)
class Candidates:
    """Grids (grids, axes), their slices, the neurons of the largest, and per step: `packets` into the population, `axons` (the
    share of cores that its inputs need for outgoing axons), `receive_ns` of the busiest slice. `may`: not ruled out at once."""

    grids: Ints
    slices: Ints
    neurons: Ints
    packets: Floats
    axons: Floats
    receive_ns: Floats
    may: NDArray[np.bool_]


def on_cores(population: Population) -> bool:
    """Whether the population's neurons live on cores; a source that the host drives does not."""
    return population.neuron.on_chip


def candidates(network: Network, chip: Chip, population: Population, rates: Mapping[str, float]) -> Candidates:
    """All grids that change the size of the largest slice."""
    shape, core = population.shape, chip.core
    options = [_useful(n) for n in shape]
    grids = np.stack([g.ravel() for g in np.meshgrid(*options, indexing="ij")], axis=1)
    neurons = np.prod(-(-np.array(shape) // grids), axis=1)
    held = neurons * compartments(population, chip)
    state = held * state_words(population, network) * (core.state_word_bits or 0) + population.neuron.table_bits
    may = (held <= core.neurons) & (state <= (core.memory_bits or np.inf))
    packets, axons, receive = np.zeros((3, len(grids)))
    for projection in network.into(population.name):
        source, rate = network[projection.source], rates.get(projection.source, RATE)
        reached, arriving, visited = _profile(projection, network, options)
        packets += rate * source.size * reached
        if on_cores(source):
            axons += source.size * _axon_share(chip) * reached
        each = getattr(chip.time, f"synop_{encoding(projection, chip)}") or 0.0
        receive += rate * (arriving * (chip.time.axon_in or 0.0) + visited * each)
        may &= -(-shape[0] // grids[:, 0]) * _channel_bits(projection, chip) <= core.synapse_bits
    return Candidates(grids, grids.prod(axis=1), neurons, packets, axons, receive, may)


def in_order(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Grids that cut along the first axis before the second, and so on, as a list of neurons in order would be cut."""
    for axis, size in enumerate(shape):
        for parts in range(1 if axis == 0 else 2, size + 1):
            yield (*shape[:axis], parts, *[1] * (len(shape) - axis - 1))


def mean_reach(projection: Projection, network: Network, tiling: Tiling) -> float:
    """Slices of the target that an average source neuron reaches."""
    options = [np.array([k]) for k in tiling.grid]
    return float(_profile(projection, network, options)[0][0])


def _useful(n: int) -> Ints:
    """Numbers of parts that change the size of the largest part."""
    sizes = np.unique(-(-n // np.arange(1, n + 1)))
    return np.unique(-(-n // sizes))


def _axon_share(chip: Chip) -> float:
    """Share of a core that an outgoing axon takes."""
    core = chip.core
    shares = [1 / core.out_axons if core.out_axons else 0.0]
    if core.memory_bits and core.out_axon_bits:
        shares.append(core.out_axon_bits / core.memory_bits)
    return max(shares)


def _channel_bits(projection: Projection, chip: Chip) -> float:
    """The least synaptic memory for one output channel (first axis of the target)."""
    if encoding(projection, chip) != "conv" or not projection.slides or projection.one_kernel:
        return 0.0
    return float(weight_bits(projection, chip) * projection.stored_weights[0].size)


def _profile(projection: Projection, network: Network, options: list[Ints]) -> tuple[Floats, Floats, Floats]:
    """For every grid: slices reached by an average source neuron; source neurons and synapses of the busiest slice."""
    source, target = network[projection.source].shape, network[projection.target].shape
    size, grids = float(np.prod(source)), int(np.prod([len(o) for o in options]))
    largest = _outer([-(-n // counts) for n, counts in zip(target, options, strict=True)])
    window = as_window(projection, source)
    if projection.offset is not None:
        return np.ones(grids), largest, largest
    if window is None:
        slices = _outer(options)
        fan_in = projection.count(source, target) / float(np.prod(target))
        if projection.matrix is not None:
            return slices, np.full(grids, size), size * largest
        fan_out = projection.count(source, target) / size
        return np.minimum(slices, fan_out), np.minimum(size, fan_in * largest), fan_in * largest
    tables = [_along(window, axis, with_rows(source), with_rows(target), o) for axis, o in _axes(target, options)]
    reached = _outer([np.array([(t > 0).sum(axis=1).mean() for t in ts]) for ts in tables])
    arriving = _outer([np.array([(t > 0).sum(axis=0).max() for t in ts]) for ts in tables])
    visited = _outer([np.array([t.sum(axis=0).max() for t in ts]) for ts in tables])
    if len(target) == 2:  # the one row between channels and columns
        rows = _along(window, 1, with_rows(source), with_rows(target), np.array([1]))[0]
        arriving, visited = arriving * (rows > 0).sum(axis=0).max(), visited * rows.sum(axis=0).max()
    return reached, arriving, visited


def _axes(target: tuple[int, ...], options: list[Ints]) -> list[tuple[int, Ints]]:
    return list(zip((0, 1, 2) if len(target) == 3 else (0, 2), options, strict=True))


def _along(window: Conv2d, axis: int, source: tuple[int, ...], target: tuple[int, ...], counts: Ints) -> list[Ints]:
    """For each number of parts of an axis: how often each source coordinate reaches each part."""
    tilings = [even(target, [int(k) if i == axis else 1 for i in range(3)]) for k in counts]
    return [channel_reach(window, tiling) if axis == 0 else reach(window, axis - 1, source[axis], tiling) for tiling in tilings]


def _outer(factors: list[NDArray[np.generic]] | list[Ints] | list[Floats]) -> Floats:
    total = np.ones(1)
    for factor in factors:
        total = np.multiply.outer(total, np.asarray(factor, np.float64))
    return total.ravel()
