"""Plan: from a Network, once: the order of its populations, the accumulator width proven for each, weights in storage form.

Knows networks and the tables of the compiled kernels; knows nothing of inputs. The proof of widths: a target neuron gets
at most one message per source neuron and step, so the sum of its positive weights (and of its negative ones), times the
largest payload, bounds every partial sum of one step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.dynamics import initial_state
from neuro.engine import tables as T
from neuro.engine.layout import Layout
from neuro.engine.pack import Packer, bounds
from neuro.errors import EngineError
from neuro.network import Network, Population
from neuro.neurons import (
    CubaLif,
    Graded,
    IntegrateAndFire,
    MaxPool,
    Neuron,
    RadixIntegrateAndFire,
    Readout,
    SignedIntegrateAndFire,
    Source,
    UserNeuron,
    WaitIntegrateAndFire,
)

MODEL: dict[type[Neuron], int] = {
    IntegrateAndFire: T.IF,
    SignedIntegrateAndFire: T.SIGNED,
    WaitIntegrateAndFire: T.WAIT,
    RadixIntegrateAndFire: T.RADIX,
    Graded: T.GRADED,
    CubaLif: T.CUBA,
    Readout: T.READOUT,
    MaxPool: T.LEADER,
    UserNeuron: T.USER,
    Source: T.SOURCE,
}
INT16, INT32 = 2**15 - 1, 2**31 - 1
PLAIN = ((0, 1), (0, 0))  # payloads of messages that need none
BLOCK_LANES = 12288  # lanes of accumulators that stay in the first caches


@dataclass(frozen=True, slots=True)
class Plan:
    """What the compiled kernels need to know of a network. `groups`: populations in order; several in one group form a
    cycle and advance together, `stride` steps at a time. Holds no Network, which keeps its plans: a circle would keep both."""

    members: tuple[Population, ...]
    layouts: tuple[Layout, ...]
    populations: NDArray[Any]
    projections: NDArray[Any]
    arenas: tuple[NDArray[Any], ...]
    bias: NDArray[np.int32]
    groups: tuple[tuple[tuple[int, ...], int], ...]
    variables: tuple[int, ...]  # of each population's neurons
    spare: list[Any] = field(default_factory=list)  # stores of earlier runs, so that repeated runs need no new memory

    @property
    def scratch_lanes(self) -> int:
        """Lanes that one thread's accumulators need."""
        return int(max(p["block_rows"] * p["acc_row"] for p in self.populations)) + 16 * 32

    @property
    def spread_lanes(self) -> int:
        """Lanes that one thread needs to spread the source rows that a depthwise projection reads for a block of rows."""
        most = 0
        for p in self.populations:
            for q in self.projections[p["first_projection"] : p["first_projection"] + p["projections"]]:
                rows = (p["block_rows"] - 1) * q["stride_y"] + (q["kernel_rows"] - 1) * q["dilation_y"] + 1
                most = max(most, int(q["spread"] * rows))
        return most


Payloads = dict[str, tuple[int, int]]


def plan_of(network: Network, payloads: Payloads) -> Plan:
    """The plan of a network for runs whose sources send `payloads`, (smallest, largest) by name; made once and kept."""
    key = tuple(sorted(payloads.items()))
    if key not in network._plans:
        network._plans[key] = make_plan(network, payloads)
    plan: Plan = network._plans[key]
    return plan


def make_plan(network: Network, payloads: Payloads) -> Plan:
    """A new plan. Raises EngineError where a charge could exceed the 32-bit accumulators."""
    payloads = {p.name: p.neuron.messages for p in network.populations} | payloads
    layouts = tuple(Layout.of(p.shape) for p in network.populations)
    order = {p.name: i for i, p in enumerate(network.populations)}
    packer = Packer()
    populations = np.zeros(len(layouts), T.POPULATION)
    projections: list[Any] = []
    biases: list[NDArray[np.int32]] = [np.zeros(0, np.int32)]
    for index, population in enumerate(network.populations):
        row = populations[index]
        incoming = network.into(population.name)
        _describe(row, population, layouts[index], payloads[population.name])
        halo = packer.halo(incoming, network, layouts[index])
        row["halo"], row["acc_row"] = (
            halo[0] * layouts[index].channels,
            (sum(halo) + layouts[index].width) * layouts[index].channels,
        )
        row["accumulator"] = _accumulator(network, population, incoming, payloads)
        row["block_rows"] = max(
            1, min(row["rows"], 1 if row["accumulator"] == T.FLUSHED else BLOCK_LANES // max(1, row["acc_row"]))
        )
        row["first_projection"], row["projections"] = len(projections), len(incoming)
        for projection in incoming:
            packed_row = packer.pack(projection, network, layouts[order[projection.source]], layouts[index], row)
            packed_row["source"] = order[projection.source]
            packed_row["scaled"] = payloads[projection.source] not in PLAIN
            projections.append(packed_row)
        _add_bias(row, population, layouts[index], biases)
    packed = np.array(projections, T.PROJECTION) if projections else np.zeros(1, T.PROJECTION)
    members, bias = network.populations, np.concatenate(biases)
    variables = tuple(len(initial_state(p.neuron, p.shape)) for p in members)
    return Plan(members, layouts, populations, packed, packer.arenas(), bias, _order(network, order), variables)


def _describe(row: Any, population: Population, layout: Layout, payloads: tuple[int, int]) -> None:
    neuron = population.neuron
    row["rows"], row["lanes"], row["size"] = layout.rows, layout.lanes, layout.size
    row["width"], row["channels"] = layout.width, layout.channels
    row["model"] = MODEL[type(neuron)]
    row["start"] = neuron.start_step
    row["threshold"] = getattr(neuron, "threshold", 0)
    row["subtract"] = getattr(neuron, "reset", "subtract") == "subtract"
    row["hold"] = getattr(neuron, "hold_input", False)
    row["limit"] = (1 << (getattr(neuron, "potential_bits", 24) - 1)) - 1
    row["gather"] = getattr(neuron, "gather", None) or 0
    row["digits"] = getattr(neuron, "digits", 0)
    row["doubling"] = getattr(neuron, "doubling", False)
    row["current_decay"], row["voltage_decay"] = getattr(neuron, "current_decay", 0), getattr(neuron, "voltage_decay", 0)
    row["shift"] = getattr(neuron, "bias_exponent", 0)
    minimum, maximum = getattr(neuron, "minimum", 0), getattr(neuron, "levels", getattr(neuron, "maximum", 1))
    if isinstance(neuron, UserNeuron):
        minimum, maximum = neuron.messages
    if isinstance(neuron, MaxPool):
        row["model"] = T.TURNS if neuron.code == "turns" else T.LEADER
        row["gather"], row["digits"], row["subtract"] = neuron.taps, neuron.base, neuron.signed
        row["threshold"] = neuron.base**neuron.taps // 2 if neuron.signed else 0
        row["doubling"] = neuron.code == "digits"
    row["minimum"] = -INT32 if minimum is None else minimum
    row["maximum"] = INT32 if maximum is None else maximum
    row["payload"] = payloads not in PLAIN
    row["count_at"] = -1 if isinstance(neuron, Readout) else 0
    row["trace_at"] = -1


def _add_bias(row: Any, population: Population, layout: Layout, biases: list[NDArray[np.int32]]) -> None:
    full = np.broadcast_to(np.asarray(getattr(population.neuron, "bias", 0), np.int32), population.shape)
    lanes = layout.to_memory(full.reshape(1, -1))[0]
    rows = lanes.reshape(layout.rows, -1) if layout.size == layout.rows * layout.lanes else None
    row["bias_at"] = sum(map(len, biases))
    if rows is not None and (rows == rows[0]).all():
        row["bias_row"] = 0
        biases.append(np.tile(rows[0], int(row["block_rows"])))
    else:
        row["bias_row"] = layout.lanes
        biases.append(lanes)


def check_charges(network: Network, payloads: Payloads) -> None:
    """Raise EngineError where one step could bring a charge beyond the 32-bit accumulators."""
    payloads = {p.name: p.neuron.messages for p in network.populations} | payloads
    for population in network.populations:
        reached = [bounds(projection, network, payloads[projection.source]) for projection in network.into(population.name)]
        _check_charge(population, sum(b.step for b in reached))


def _check_charge(population: Population, total: int) -> None:
    bias = int(np.abs(np.asarray(getattr(population.neuron, "bias", 0), np.int64)).max(initial=0))
    if total + bias + (1 << 24) > INT32:
        raise EngineError(
            f"population {population.name!r}",
            f"one step could bring a charge of {total + bias:,}, beyond its 32-bit accumulator",
            "Use smaller weights or payloads, or fewer inputs per neuron",
        )


def _accumulator(network: Network, population: Population, incoming: Any, payloads: Payloads) -> int:
    """The narrowest accumulators proven exact for every step."""
    reached = [bounds(projection, network, payloads[projection.source]) for projection in incoming]
    total = sum(b.step for b in reached)
    _check_charge(population, total)
    if isinstance(population.neuron, UserNeuron) or any(b.needs_wide for b in reached):
        return T.WIDE
    if total <= INT16:
        return T.NARROW
    return T.FLUSHED if all(b.part <= INT16 for b in reached) else T.WIDE


def _order(network: Network, order: dict[str, int]) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Strongly connected groups in topological order, each with the steps it may advance at once (0: all)."""
    targets: list[set[int]] = [set() for _ in order]
    for p in network.projections:
        targets[order[p.source]].add(order[p.target])
    groups = []
    for group in _components(targets):
        inside = [p.delay for p in network.projections if order[p.source] in group and order[p.target] in group]
        groups.append((tuple(sorted(group)), min(inside, default=0)))
    return tuple(groups)


def _components(targets: list[set[int]]) -> list[set[int]]:
    """Strongly connected components, sources first (Tarjan 1972, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    found: list[set[int]] = []
    for root in range(len(targets)):
        work = [(root, iter(sorted(targets[root])))] if root not in index else []
        if work:
            index[root] = low[root] = len(index)
            stack.append(root)
        while work:
            node, successors = work[-1]
            for successor in successors:
                if successor not in index:
                    index[successor] = low[successor] = len(index)
                    stack.append(successor)
                    work.append((successor, iter(sorted(targets[successor]))))
                    break
                if successor in stack:
                    low[node] = min(low[node], index[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = set()
                    while node not in component:
                        component.add(stack.pop())
                    found.append(component)
    return found[::-1]
