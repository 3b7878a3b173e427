"""Crossbars: what a core with axon types can hold, and the cut of a population into such cores.

A core of such a chip is a matrix of bits, axons by neurons. Each axon has one of a few types, each neuron one weight for each
type, and a synapse acts with the weight that its neuron has for the type of its axon. A neuron sends to one axon. So all neurons
that read one axon lie in one core; `neuro.to_crossbars` writes a network such that they can. Source: Merolla et al. 2014.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting.candidates import on_cores
from neuro.chip.cutting.tilings import Ints, Tiling, even
from neuro.chip.spec import Chip
from neuro.errors import FitError
from neuro.network import Network, Population

_MAP = "Call neuro.to_crossbars(network, chip) first: it makes the copies of spikes that this takes"


@dataclass(frozen=True, slots=True)
class Listed:
    """The synapses into a population that are not zero: numbers of axons (one for each source neuron and projection), target
    neurons and weights, each (synapses,); and for each axon the index of its source population and its neuron."""

    axon: Ints
    post: Ints
    weight: Ints
    source: Ints
    neuron: Ints


def listed(network: Network, population: Population) -> Listed:
    """The synapses into a population, axon by axon."""
    names = {p.name: k for k, p in enumerate(network.populations)}
    axon, post, weight, source, neuron = ([np.zeros(0, np.int64)] for _ in range(5))
    first = 0
    for projection in network.into(population.name):
        of = network[projection.source]
        matrix = projection.to_sparse(of.shape, population.shape).tocoo()
        kept = matrix.data != 0
        pre = matrix.row[kept].astype(np.int64)
        used, at = np.unique(pre, return_inverse=True)
        axon.append(first + at)
        post.append(matrix.col[kept].astype(np.int64))
        weight.append(matrix.data[kept].astype(np.int64))
        source.append(np.full(len(used), names[projection.source]))
        neuron.append(used)
        first += len(used)
    return Listed(*(np.concatenate(parts) for parts in (axon, post, weight, source, neuron)))


def units_of(synapses: Listed, neurons: int) -> Ints:
    """The greatest common divisor of the weights into each neuron, (neurons,); 1 where there are none."""
    found = np.zeros(neurons, np.int64)
    np.gcd.at(found, synapses.post, np.abs(synapses.weight))
    return np.maximum(found, 1)


def cut_into_crossbars(network: Network, chip: Chip) -> dict[str, Tiling]:
    """A tiling of every population into cores with crossbars. Raises FitError, with the remedy, where a neuron would have more
    than one target axon, a core too many axons, or a neuron too many different weights."""
    _one_target_each(network, chip)
    return {p.name: _cut(network, chip, p) if on_cores(p) else even(p.shape, [1] * len(p.shape)) for p in network.populations}


def _one_target_each(network: Network, chip: Chip) -> None:
    """Refuse a population that leads to several others from one neuron."""
    for p in network.populations:
        leads = np.zeros(p.size, np.int64)
        for projection in network.out_of(p.name):
            matrix = projection.to_sparse(p.shape, network[projection.target].shape)
            matrix.eliminate_zeros()
            leads += np.diff(matrix.indptr) > 0
        if leads.max(initial=0) > 1:
            fact = f"neuron {int(leads.argmax())} leads to {leads.max()} populations, a neuron there has one target axon"
            raise FitError(f"population {p.name!r} on chip {chip.name!r}", fact, _MAP)


def _cut(network: Network, chip: Chip, population: Population) -> Tiling:
    """Neurons joined by axons stay together; what is not joined shares cores, first fit."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components  # slow to import, and few chips have crossbars

    synapses, size = listed(network, population), population.size
    where = f"population {population.name!r} on chip {chip.name!r}"
    axons = len(synapses.source)
    ones = np.ones(len(synapses.axon), np.int8)
    joined = sparse.coo_array((ones, (synapses.axon, axons + synapses.post)), shape=(axons + size, axons + size))
    count, label = connected_components(joined, directed=False)
    _, block = np.unique(label[axons:], return_inverse=True)  # every axon joins some neuron
    blocks = int(block.max()) + 1
    needs = np.stack([np.bincount(block, minlength=blocks), np.zeros(blocks, np.int64)], axis=1)
    first = np.zeros(axons, np.int64)
    first[synapses.axon] = block[synapses.post]
    needs[:, 1] = np.bincount(first, minlength=blocks)
    room = np.array([chip.core.neurons, chip.core.in_axons or np.iinfo(np.int64).max])
    for k, what in enumerate(("neurons", "axons")):
        if needs[:, k].max() > room[k]:
            fact = (
                f"{needs[:, 0].max():,} of its neurons share axons, {needs[:, k].max():,} {what} in all; a core has {room[k]:,}"
            )
            raise FitError(where, fact, _MAP)
    types_of(synapses, size, first, chip, where)
    core = _first_fit(needs, room)[block]
    order = np.argsort(core, kind="stable")
    edges = np.concatenate([[0], np.cumsum(np.bincount(core))])
    return Tiling(population.shape, (edges,), order)


def _first_fit(needs: Ints, room: Ints) -> Ints:
    """The core of each block, the largest first."""
    core, used = np.zeros(len(needs), np.int64), np.zeros((0, 2), np.int64)
    for i in np.argsort(-(needs / room).max(axis=1), kind="stable"):
        fits = (used + needs[i] <= room).all(axis=1)
        k = int(fits.argmax()) if fits.any() else len(used)
        if k == len(used):
            used = np.concatenate([used, np.zeros((1, 2), np.int64)])
        used[k] += needs[i]
        core[i] = k
    return core


def types_of(synapses: Listed, neurons: int, block: Ints, chip: Chip, where: str) -> Ints:
    """A type for each axon, such that no neuron needs two weights for one type. block (axons,): types are chosen block by block.

    Where every axon brings the same share of each of its neurons' units, and a block has no more shares than there are types,
    these are the types; elsewhere each axon gets the first type that its neurons allow. Raises FitError where none is left.
    """
    most = chip.core.axon_types or 1
    share = synapses.weight // units_of(synapses, neurons)[synapses.post]
    low, high = np.full(len(block), np.iinfo(np.int64).max), np.full(len(block), np.iinfo(np.int64).min)
    np.minimum.at(low, synapses.axon, share)
    np.maximum.at(high, synapses.axon, share)
    pairs, of = np.unique(np.stack([block, low], axis=1), axis=0, return_inverse=True)
    types: Ints = of.reshape(-1) - np.searchsorted(pairs[:, 0], block)
    simple = np.ones(int(block.max(initial=-1)) + 1, np.bool_)
    simple[block[low != high]] = False
    simple[pairs[np.bincount(pairs[:, 0], minlength=len(simple))[pairs[:, 0]] > most, 0]] = False
    return types if simple.all() else _first_allowed(synapses, types, simple[block], most, where)


def _first_allowed(synapses: Listed, types: Ints, settled: NDArray[np.bool_], most: int, where: str) -> Ints:
    order = np.argsort(synapses.axon, kind="stable")
    starts = np.searchsorted(synapses.axon[order], np.arange(len(types) + 1))
    table: dict[tuple[int, int], int] = {}
    for axon in np.flatnonzero(~settled):
        reads = order[starts[axon] : starts[axon + 1]]
        pairs = list(zip(synapses.post[reads].tolist(), synapses.weight[reads].tolist(), strict=True))
        for g in range(most):
            if all(table.get((post, g), weight) == weight for post, weight in pairs):
                table.update({(post, g): weight for post, weight in pairs})
                types[axon] = g
                break
        else:
            raise FitError(where, f"axon {axon} finds none of the {most} axon types free at all its neurons", _MAP)
    return types


@dataclass(frozen=True, slots=True)
class Crossbar:
    """What one core is programmed with, by population that it holds: axons (population, neuron) that lead there, their `types`
    (axons,), `bits` (axons, neurons), `weights` (neurons, types), and the flat numbers of the `neurons`."""

    axons: tuple[tuple[str, int], ...]
    types: Ints
    bits: NDArray[np.bool_]
    weights: Ints
    neurons: Ints


def crossbars(network: Network, chip: Chip, tilings: Mapping[str, Tiling]) -> dict[tuple[str, int], Crossbar]:
    """The crossbar of every slice (population, number) of a network that was placed on a chip with axon types."""
    found = {}
    for population in (p for p in network.populations if on_cores(p)):
        synapses, labels = listed(network, population), tilings[population.name].labels()
        block = np.zeros(len(synapses.source), np.int64)
        block[synapses.axon] = labels[synapses.post]
        where = f"population {population.name!r} on chip {chip.name!r}"
        types = types_of(synapses, population.size, block, chip, where)
        for k in range(tilings[population.name].slices):
            inside, axons = np.flatnonzero(labels == k), np.flatnonzero(block == k)
            of = labels[synapses.post] == k
            i, j = np.searchsorted(axons, synapses.axon[of]), np.searchsorted(inside, synapses.post[of])
            bits = np.zeros((len(axons), len(inside)), np.bool_)
            weights = np.zeros((len(inside), chip.core.axon_types or 1), np.int64)
            bits[i, j], weights[j, types[axons][i]] = True, synapses.weight[of]
            names = tuple(
                (network.populations[s].name, int(n)) for s, n in zip(synapses.source[axons], synapses.neuron[axons], strict=True)
            )
            found[population.name, k] = Crossbar(names, types[axons], bits, weights, inside)
    return found
