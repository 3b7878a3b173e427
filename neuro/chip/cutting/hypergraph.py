"""Tilings of listed (sparse) populations by a hypergraph partitioner, which puts neurons with the same sources together.

Each source neuron is a net over its targets; Mt-KaHyPar (an optional extra) keeps the nets within few parts, so that a message
goes to few cores. Convolutions keep their grid: their nets follow from the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from neuro.chip.cutting.candidates import RATE, on_cores
from neuro.chip.cutting.demand import CoreDemand
from neuro.chip.cutting.tilings import Ints, Tiling, as_window
from neuro.chip.spec import Chip
from neuro.errors import FitError
from neuro.network import Network, Population

_IMBALANCE = 0.03
_MOST_PARTS = 1.5  # times those of the plain tiling, before that is kept
_SCALE = 1000.0  # rates become whole weights


def by_hypergraph(
    network: Network, chip: Chip, tilings: Mapping[str, Tiling], rates: Mapping[str, Any], seed: int
) -> dict[str, Tiling]:
    """The tilings, with populations that a Sparse projection leads to tiled again where that fits."""
    found = dict(tilings)
    for population in network.populations:
        inputs = network.into(population.name)
        listed = any(p.storage == "sparse" for p in inputs)
        shaped = any(as_window(p, network[p.source].shape) is not None for p in inputs)
        if on_cores(population) and listed and not shaped and found[population.name].slices > 1:
            found[population.name] = _cut(network, chip, population, found, rates, seed)
    return found


def _cut(
    network: Network, chip: Chip, population: Population, tilings: Mapping[str, Tiling], rates: Mapping[str, Any], seed: int
) -> Tiling:
    plain, demand = tilings[population.name], CoreDemand(network, chip)
    starts, pins, weights = _nets(network, population, rates)
    if not len(pins):
        return plain
    for parts in range(plain.slices, int(plain.slices * _MOST_PARTS) + 1):
        part = _partition(population.size, starts, pins, weights, parts, seed)
        sizes = np.bincount(part, minlength=parts)
        edges = np.concatenate([[0], np.cumsum(sizes[sizes > 0])])
        tiling = Tiling(population.shape, (edges,), np.argsort(part, kind="stable"))
        if demand.fits(population, tiling, tilings):
            return tiling
    return plain


def _nets(network: Network, population: Population, rates: Mapping[str, Any]) -> tuple[Ints, Ints, Ints]:
    """For every source neuron with two targets or more: its targets, pins[starts[i]:starts[i + 1]], and its weight."""
    all_pins, all_counts, all_weights = [], [], []
    for projection in (p for p in network.into(population.name) if p.storage == "sparse"):
        source = network[projection.source]
        synapses = projection.synapses(source.shape, population.shape)
        pairs = np.unique(synapses.pre * population.size + synapses.post)
        pre, post = np.divmod(pairs, population.size)
        counts = np.bincount(pre, minlength=source.size)
        wide = counts > 1
        fired = np.broadcast_to(np.asarray(rates.get(projection.source, RATE), np.float64), source.size)
        all_pins.append(post[wide[pre]])
        all_counts.append(counts[wide])
        all_weights.append(np.maximum(1, np.rint(fired * _SCALE)).astype(np.int64)[wide])
    starts = np.concatenate([[0], np.cumsum(np.concatenate(all_counts))])
    return starts, np.concatenate(all_pins), np.concatenate(all_weights)


def _partition(neurons: int, starts: Ints, pins: Ints, weights: Ints, parts: int, seed: int) -> Ints:
    """A part for each neuron, from one thread of Mt-KaHyPar."""
    mtkahypar, partitioner = _partitioner()
    context = partitioner.context_from_preset(mtkahypar.PresetType.DETERMINISTIC)
    context.set_partitioning_parameters(parts, _IMBALANCE, mtkahypar.Objective.KM1)
    context.logging = False
    mtkahypar.set_seed(seed)
    nets = [net.tolist() for net in np.split(pins, starts[1:-1])]
    graph = partitioner.create_hypergraph(context, neurons, len(nets), nets, [1] * neurons, weights.tolist())
    return np.array(graph.partition(context).get_partition(), np.int64)


@cache
def _partitioner() -> tuple[Any, Any]:
    """The library and its one partitioner of this process."""
    try:
        import mtkahypar
    except ImportError:
        raise FitError(
            'place(method="partitioned")', "Mt-KaHyPar is not installed", "Install neuro-emulator[mapping], or use refined"
        ) from None
    return mtkahypar, mtkahypar.initialize(1)
