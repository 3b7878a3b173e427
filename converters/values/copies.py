"""Copies of populations that feed themselves: what others know of a state may have a dead zone, what it knows of itself may not.

Knows the loops and steps of a network of values with frames; knows nothing of budgets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from converters.values.responding import sends_at
from converters.values.timing import LONGEST_OF_SYNAPSES
from neuro.components import components
from neuro.network import Network, Population
from neuro.neurons import Value
from neuro.projections import OneToOne, Projection


def with_copies(network: Network, names: Iterable[str], states: Collection[str]) -> tuple[Network, dict[str, str]]:
    """The network in which populations outside their loops read copies of these states, and the copies by state.

    A copy has a neuron and a synapse for each neuron, and sends the same values a step later. What is behind it works later where
    it must: its loop is not, so the period and every frame stay the same. A state that only its loop or states read gets none.
    """
    copies: dict[str, str] = {}
    for name in names:
        if outside := readers_outside(network, name, states):
            network, copies[name] = _copied(network, name, outside)
    return network, copies


def worth_copies(network: Network, states: Collection[str]) -> list[str]:
    """The states whose copy would be read by more synapses than it needs, as many as delays leave room for."""
    room = LONGEST_OF_SYNAPSES - max((q.delay for q in network.projections), default=0)
    found = [name for name in states if synapses_of(network, readers_outside(network, name, states)) > network[name].size]
    return sorted(found)[: max(room, 0)]


def synapses_of(network: Network, projections: Iterable[Projection]) -> int:
    """The synapses of some projections of a network."""
    return sum(q.count(network[q.source].shape, network[q.target].shape) for q in projections)


def readers_outside(network: Network, name: str, states: Collection[str]) -> tuple[Projection, ...]:
    """The projections of a state to populations that are no states, and from which nothing leads back to it."""
    numbers = {p.name: i for i, p in enumerate(network.populations)}
    targets = [{numbers[q.target] for q in network.out_of(p.name)} for p in network.populations]
    loop = next(loop for loop in components(targets) if numbers[name] in loop)
    return tuple(q for q in network.out_of(name) if numbers[q.target] not in loop and q.target not in states)


def _copied(network: Network, name: str, outside: tuple[Projection, ...]) -> tuple[Network, str]:
    """The network in which these projections of a population are of a copy of it, and the name of the copy."""
    copy, later = f"{name}.copy", _later(network, [q.target for q in outside if q.delay == 1])
    while any(copy == p.name for p in network.populations):
        copy += "_"
    source = network[name]
    neuron: Any = source.neuron
    low, high = neuron.value_range
    same = Value(
        lowest=low, highest=high, value_bits=neuron.value_bits, start_step=sends_at(source) + 1,
        potential_bits=neuron.potential_bits, period=neuron.period,
    )  # fmt: skip
    populations: list[Population] = []
    for p in network.populations:
        start = p.neuron.start_step + (p.name in later)
        populations.append(Population(p.name, p.shape, p.neuron.changed(start_step=start)) if p.name in later else p)
        if p.name == name:
            populations.append(Population(copy, p.shape, same))
    ends, links = {q.target for q in outside}, list[Projection]([OneToOne(name, copy)])
    for q in network.projections:
        of_copy = q.source == name and q.target in ends
        delay = q.delay + (q.target in later) - (q.source in later) - of_copy
        links.append(replace(q, source=copy if of_copy else q.source, delay=delay))  # type: ignore[type-var]  # dataclasses all
    return replace(network, populations=tuple(populations), projections=tuple(links)), copy


def _later(network: Network, names: list[str]) -> set[str]:
    """Populations that must work a step later where these do, because what they read would arrive too late."""
    later: set[str] = set()
    while names:
        name = names.pop()
        if name not in later:
            later.add(name)
            names += [q.target for q in network.out_of(name) if q.delay == 1]
    return later
