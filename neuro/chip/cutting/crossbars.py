"""to_crossbars(network, chip) -> Network: the same network with copies of spikes, so that crossbars can hold it.

A neuron of such a chip sends to one axon, so one with several targets sends to neurons that repeat its spikes a step later, one
for each axon (splitters). Delays and first steps are moved so that every other population sends what it sent, some steps later.
Knows crossbars and networks; `neuro.chip.cutting.crossbar` checks what comes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting.capabilities import check_neurons
from neuro.chip.cutting.crossbar import Listed, cut_into_crossbars, listed, units_of
from neuro.chip.cutting.crossbar_groups import bases, grouped, parts_of
from neuro.chip.spec import Chip
from neuro.errors import FitError, expect
from neuro.network import Network, Population
from neuro.neurons import IntegrateAndFire
from neuro.projections import Projection, Sparse

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Axons:
    """The axons of a target population's cores, (axons,): source population by index, its neuron, and delay; and the synapses:
    axon, target neuron, weight, each (synapses,)."""

    source: Ints
    neuron: Ints
    delay: Ints
    axon: Ints
    post: Ints
    weight: Ints


def to_crossbars(network: Network, chip: Chip) -> Network:
    """The network with its weights as sums of the weights of axon types, and with splitters: `place(..., chip)` then takes it.

    Populations, neurons and their order stay; populations `NAME.copies` are added (and `NAME.trunks` and `NAME.branches`, of
    neurons with more copies than a core has neurons), and every projection becomes a list of synapses. Spikes of every population
    are the same, as many steps later as its `start_step` has moved. Raises FitError for a chip without axon types; for weights,
    numbers of inputs and delays that no crossbar can hold; and for loops with delays too short for splitters.
    """
    expect("network", network, Network, "Pass a neuro.Network, such as conversion.network", FitError)
    expect("chip", chip, Chip, 'Pass a chip, such as neuro.load_chip("truenorth")', FitError)
    if not chip.core.axon_types:
        raise FitError(f"chip {chip.name!r}", "its cores have no axon types", "Place the network as it is")
    network.refuse_learning(f"chip {chip.name!r}", "its crossbars cannot", FitError)
    axons = {p.name: _axons(network, chip, p) for p in network.populations if network.into(p.name)}
    fans = [_fans(network, axons, k) for k in range(len(network.populations))]
    ways = [1 if fan.max(initial=0) > 1 else 0 for fan in fans]
    ways = [2 if fan.max(initial=0) > chip.core.neurons else way for fan, way in zip(fans, ways, strict=True)]
    later = _later(network, chip, ways)
    made: list[Population] = []
    projections: list[Projection] = []
    copies = dict[str, Population]()
    for k, p in enumerate(network.populations):
        neuron = p.neuron.changed(start_step=p.neuron.start_step + later[p.name]) if later[p.name] else p.neuron
        made.append(replace(p, neuron=neuron))
        added, lead = _splitters(made[-1], fans[k], chip.core.neurons)
        copies |= {one.name: one for one in added}
        made.extend(added)
        projections.extend(lead)
    next_copy = [_first_copies(fan, chip.core.neurons) for fan in fans]
    for p in network.populations:
        if p.name in axons:
            projections.extend(_into(network, p.name, axons[p.name], fans, next_copy, ways, later, chip.core.neurons))
    return Network(tuple(made), tuple(projections), network.timesteps, notes=network.notes)


def for_chip(network: Network, chip: Chip) -> Network:
    """The network as a chip takes it: in crossbars where it has them, and the network is not. Raises FitError as `to_crossbars`
    does, and for neurons that the chip has no program for."""
    if not chip.core.axon_types:
        return network
    check_neurons(network, chip)
    try:
        cut_into_crossbars(network, chip)
    except FitError:
        return to_crossbars(network, chip)
    return network


def _axons(network: Network, chip: Chip, population: Population) -> _Axons:
    """The axons of a population's cores."""
    where, types = f"population {population.name!r} on chip {chip.name!r}", chip.core.axon_types or 1
    signals, delay = _signals(network, population)
    unit = units_of(signals, population.size)
    shares = signals.weight // unit[signals.post]
    basis = bases(shares, types) if len(shares) else (1,)
    if basis is None:
        low, high = int(shares.min()), int(shares.max())
        fact = f"weights of {low}..{high} units are no sums of {types} weights of axon types"
        raise FitError(where, fact, 'Convert with weights="trinary", or with weight_bits=4 or fewer')
    member = parts_of(shares, basis)
    synapse, g = np.nonzero(member)
    wire, post = signals.axon[synapse] * len(basis) + g, signals.post[synapse]
    weight = np.array(basis)[g] * unit[post]
    inputs, most = np.bincount(post, minlength=population.size), chip.core.in_axons or np.iinfo(np.int64).max
    if inputs.max(initial=0) > most:
        fact = f"one neuron needs {inputs.max():,} axons, a core has {most:,}"
        remedy = 'Convert with weights="trinary", which keeps the strongest, or use groups, a smaller kernel or fewer channels'
        raise FitError(where, fact, remedy)
    core = grouped(population.shape, wire, post, (chip.core.neurons, most))
    axons, axon = np.unique(core[post] * (len(signals.source) * len(basis)) + wire, return_inverse=True)
    signal = axons % (len(signals.source) * len(basis)) // len(basis)
    return _Axons(signals.source[signal], signals.neuron[signal], delay[signal], axon.reshape(-1), post, weight)


def _signals(network: Network, population: Population) -> tuple[Listed, Ints]:
    """The synapses into a population, those of one source neuron and delay as one axon; and the delay of each axon."""
    into = network.into(population.name)
    delay_of, one = [], []
    names = {p.name: k for k, p in enumerate(network.populations)}
    found = listed(network, population)
    for projection in into:
        if projection.port:
            fact = "it leads to the second input of its neurons"
            raise FitError(f"projection {projection.name}", fact, "Use a chip whose neurons have two inputs, such as loihi2")
        matrix = projection.to_sparse(network[projection.source].shape, population.shape)
        matrix.eliminate_zeros()
        used = int((np.diff(matrix.indptr) > 0).sum())
        delay_of.append(np.full(used, projection.delay))
        one.append(np.full(used, names[projection.source]))
    delay = np.concatenate(delay_of).astype(np.int64)
    keys, axon = np.unique(np.stack([found.source, delay, found.neuron], axis=1), axis=0, return_inverse=True)
    pairs, at = np.unique(axon.reshape(-1)[found.axon] * population.size + found.post, return_inverse=True)
    weight = np.zeros(len(pairs), np.int64)
    np.add.at(weight, at.reshape(-1), found.weight)
    kept = weight != 0
    wire, post = np.divmod(pairs[kept], population.size)
    return Listed(wire, post, weight[kept], keys[:, 0], keys[:, 2]), keys[:, 1]


def _fans(network: Network, axons: Mapping[str, _Axons], k: int) -> Ints:
    """How many axons each neuron of population k leads to."""
    fan = np.zeros(network.populations[k].size, np.int64)
    for into in axons.values():
        fan += np.bincount(into.neuron[into.source == k], minlength=len(fan))
    return fan


def _later(network: Network, chip: Chip, ways: list[int]) -> dict[str, int]:
    """By how many steps each population starts later: the fewest such that splitters have their time."""
    later = {p.name: 0 for p in network.populations}
    way = {p.name: w for p, w in zip(network.populations, ways, strict=True)}
    for _ in range(len(later) + 1):
        moved = False
        for p in network.projections:
            least = later[p.source] + way[p.source] + 1 - p.delay
            if least > later[p.target]:
                later[p.target], moved = least, True
        if not moved:
            break
    else:
        fact = "populations lead back to themselves faster than splitters can copy their spikes"
        raise FitError(
            f"network on chip {chip.name!r}", fact, "Lengthen the delays of the loop by 1 or 2 for each population in it"
        )
    for p in network.projections:
        longest = p.delay + later[p.target] - later[p.source]
        if longest > chip.core.delay_steps:
            fact = f"with splitters on the way its delay becomes {longest} steps, a spike may take {chip.core.delay_steps}"
            raise FitError(f"projection {p.name} on chip {chip.name!r}", fact, "Shorten the skip path")
    return later


def _splitters(population: Population, fan: Ints, most: int) -> tuple[list[Population], list[Projection]]:
    """Populations that repeat the spikes of one, as often as its neurons have axons; in two floors where these exceed `most`."""
    name, start = population.name, population.neuron.start_step
    few, many = np.flatnonzero((fan > 1) & (fan <= most)), np.flatnonzero(fan > most)
    made, projections = list[Population](), list[Projection]()

    def add(source: str, suffix: str, pre: Ints, times: Ints, step: int) -> None:
        target, total = f"{name}.{suffix}", int(times.sum())
        made.append(Population(target, (total,), IntegrateAndFire(1, start_step=step, potential_bits=16)))
        projections.append(Sparse(source, target, (np.repeat(pre, times), np.arange(total), np.ones(total, np.int64))))

    if len(few):
        add(name, "copies", few, fan[few], start + 1)
    if len(many):
        trunks = -(-fan[many] // most)
        if trunks.max() > most:
            fact = f"a neuron leads to {fan.max():,} axons, two floors of splitters reach {most * most:,}"
            raise FitError(f"population {name!r}", fact, "Use a smaller kernel, groups, or narrower layers")
        add(name, "trunks", many, trunks, start + 1)
        times = np.full(int(trunks.sum()), most)
        times[np.cumsum(trunks) - 1] = fan[many] - most * (trunks - 1)
        add(f"{name}.trunks", "branches", np.arange(len(times)), times, start + 2)
    return made, projections


def _first_copies(fan: Ints, most: int) -> Ints:
    """The first copy of each neuron, in `copies` where it has at most so many and in `branches` elsewhere."""
    first = np.zeros(len(fan), np.int64)
    for chosen in ((fan > 1) & (fan <= most), fan > most):
        first[chosen] = np.cumsum(fan[chosen]) - fan[chosen]
    return first


def _into(
    network: Network, target: str, axons: _Axons, fans: list[Ints], copies: list[Ints], ways: list[int],
    later: Mapping[str, int], most: int,
) -> list[Projection]:  # fmt: skip
    """The projections into a population: each axon from its source neuron itself, or from the next of its copies."""
    sender, floor = axons.neuron.copy(), np.zeros(len(axons.source), np.int64)
    for k in np.unique(axons.source):
        of = np.flatnonzero(axons.source == k)
        neuron = axons.neuron[of]
        floor[of] = np.where(fans[k][neuron] > most, 2, np.where(fans[k][neuron] > 1, 1, 0))
        order = np.argsort(neuron, kind="stable")
        rank = np.empty(len(of), np.int64)
        rank[order] = np.arange(len(of)) - np.searchsorted(neuron[order], neuron[order])
        sender[of] = np.where(floor[of] > 0, copies[k][neuron] + rank, neuron)
        copies[k] += np.bincount(neuron, minlength=len(copies[k]))
    made: list[Projection] = []
    for key in np.unique(np.stack([axons.source, floor, axons.delay], axis=1), axis=0):
        k, way, delay = (int(x) for x in key)
        of = (axons.source == k) & (floor == way) & (axons.delay == delay)
        name = network.populations[k].name
        synapses = of[axons.axon]
        triple = (sender[axons.axon[synapses]], axons.post[synapses], axons.weight[synapses])
        late = delay + later[target] - later[name] - way
        made.append(Sparse(name + ("", ".copies", ".branches")[way], target, triple, late))
    return made
