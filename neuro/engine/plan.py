"""Plan: from a Network, once: the order of its populations, the widths proven for each, weights in storage form.

Knows networks and the tables of the compiled kernels; of inputs it knows the payloads that they send and for how many steps. The
proof of widths: a target neuron gets at most one message per source neuron and step, so the sum of its positive weights (and of
its negative ones), times the largest payload, bounds every partial sum of one step; times the steps that a population is
switched on, it bounds a held current. Weights are packed once; plans differ in widths only, and a few of them are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuro.components import components
from neuro.engine import tables as T
from neuro.engine.bounds import WeightSums, as_stored, magnitude, sums
from neuro.engine.layout import Layout
from neuro.engine.live import reads_narrow
from neuro.engine.models import describe, has_kernel
from neuro.engine.pack import Packer
from neuro.engine.tiled import NEVER, threshold, way_of
from neuro.engine.tiles import GROUP
from neuro.errors import EngineError
from neuro.network import Network, Population
from neuro.neurons import Neuron

INT16, INT32 = 2**15 - 1, 2**31 - 1
PLAIN = ((0, 1), (0, 0))  # payloads of messages that need none
BLOCK_LANES = 12288  # lanes of accumulators that stay in the first caches
FOREVER = 1 << 40  # steps of a stream, which has no end
PLANS_KEPT = 4  # of a network, the latest used: each keeps the memory of its last runs
FORMS_KEPT = 64  # widths of a network that were proven, by payloads and steps
MOST_STEPS = INT32  # of a run or session: neurons count them, and their own messages, in 32 bits


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
    spare: list[Any] = field(default_factory=list)  # workspaces of earlier runs, so that repeated runs need no new memory
    workers: list[Any] = field(default_factory=list)  # of the last run, likewise
    calls: list[Any] = field(default_factory=list)  # what `calls_of` found
    wiring: dict[int, Any] = field(default_factory=dict)  # where synapses that learn lie, by projection

    @property
    def scratch_lanes(self) -> int:
        """Lanes that one thread's accumulators need."""
        return int(max(p["block_rows"] * p["acc_row"] for p in self.populations)) + 16 * 32

    @property
    def spread_values(self) -> int:
        """Places that one thread needs to spread a source row that it multiplies."""
        return int(self.projections["tile_row"].max()) + GROUP

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


class Form(NamedTuple):
    """What of a population depends on inputs: its accumulators, how a held current is stored, whether messages carry payloads (1)
    which with exponents need more than 16 bits (2)."""

    accumulator: int
    hold: int
    payload: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A network's weights in storage form, whatever is sent; `halos` and `projections` as the tables of every plan have them."""

    layouts: tuple[Layout, ...]
    halos: tuple[tuple[int, int], ...]
    projections: NDArray[Any]
    arenas: tuple[NDArray[Any], ...]


class NetworkCache:
    """What is kept of a network from run to run: sums of its weights, its weights packed, and the plans used last."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.sums: tuple[WeightSums, ...] | None = None
        self.packed: Packed | None = None
        self.plans: dict[tuple[Form, ...], Plan] = {}
        self.forms: dict[Any, tuple[Form, ...]] = {}  # of the payloads and steps met last


def kept_of(network: Network) -> NetworkCache:
    """What is kept of this network."""
    kept: NetworkCache = network._plans.setdefault("event", NetworkCache())
    return kept


def sums_of(network: Network) -> tuple[WeightSums, ...]:
    """The sums of each projection's weights, found once."""
    kept = kept_of(network)
    if kept.sums is None:
        kept.sums = tuple(sums(*as_stored(projection), network) for projection in network.projections)
    return kept.sums


def plan_of(network: Network, payloads: Payloads, timesteps: int = FOREVER) -> Plan:
    """The plan for runs of at most so many `timesteps` whose sources send `payloads`, (smallest, largest) by name.

    Runs that need the same widths share a plan. Raises EngineError where a charge could exceed the 32-bit accumulators.
    """
    kept, asked = kept_of(network), (tuple(payloads.items()), timesteps)
    forms = kept.forms.get(asked) or _forms(network, payloads, timesteps)
    with kept.lock:
        kept.forms = {**(kept.forms if len(kept.forms) < FORMS_KEPT else {}), asked: forms}
        plan = kept.plans.pop(forms, None)
        if plan is None:
            kept.packed = kept.packed or _pack(network)
            plan = _plan(network, forms, kept.packed)
        kept.plans[forms] = plan
        while len(kept.plans) > PLANS_KEPT:
            del kept.plans[next(iter(kept.plans))]
    return plan


def make_plan(network: Network, payloads: Payloads, timesteps: int = FOREVER) -> Plan:
    """A new plan of which nothing is kept. Raises EngineError where a charge could exceed the 32-bit accumulators."""
    return _plan(network, _forms(network, payloads, timesteps), _pack(network))


def _forms(network: Network, payloads: Payloads, timesteps: int) -> tuple[Form, ...]:
    """The widths that are proven exact for such runs, population by population."""
    payloads, forms = _all_payloads(network, payloads), []
    for population in network.populations:
        into = [(p.port, s.bound(payloads[p.source])) for p, s in _into(network, population.name)]
        reached, ports = [bound for _, bound in into], range(population.neuron.port_count)
        step = max(sum(bound.step for at, bound in into if at == port) for port in ports)
        _check_charge(population, step)
        wide = not has_kernel(population.neuron) or len(ports) > 1 or any(bound.needs_wide for bound in reached)
        narrow = T.NARROW if step <= INT16 else T.FLUSHED if all(bound.part <= INT16 for bound in reached) else T.WIDE
        hold = _hold(population.neuron, step, timesteps)
        forms.append(Form(T.WIDE if wide else narrow, hold, _payload(network, population, payloads[population.name])))
    return tuple(forms)


def _payload(network: Network, population: Population, messages: tuple[int, int]) -> int:
    """What a form says of the payloads of a population's messages."""
    if messages in PLAIN:
        return 0
    exponents = [s.exponent for p, s in zip(network.projections, sums_of(network), strict=True) if p.source == population.name]
    return 1 if max(-messages[0], messages[1]) << max(exponents, default=0) <= INT16 else 2


def _hold(neuron: Neuron, step: int, timesteps: int) -> int:
    """How a current is stored that keeps up to `step` more at every step: in 32 bits where these hold it with the bias and a
    potential."""
    if not neuron.hold_input or not has_kernel(neuron):
        return 0
    most = step * neuron.integrated_steps(timesteps) + magnitude(np.asarray(neuron.bias, np.int64))
    return T.HELD if most + (1 << 24) <= INT32 else T.HELD_LONG


def _all_payloads(network: Network, payloads: Payloads) -> Payloads:
    return {p.name: p.neuron.messages for p in network.populations} | payloads


def _into(network: Network, target: str) -> list[tuple[Any, WeightSums]]:
    return [(p, s) for p, s in zip(network.projections, sums_of(network), strict=True) if p.target == target]


def _pack(network: Network) -> Packed:
    """The network's weights in storage form."""
    layouts = tuple(Layout.of(p.shape) for p in network.populations)
    order = {p.name: i for i, p in enumerate(network.populations)}
    packer, halos, rows = Packer(), [], []
    for index, population in enumerate(network.populations):
        stored, channels = [as_stored(p) for p in network.into(population.name)], layouts[index].channels
        left, right = packer.halo([projection for projection, _ in stored], network, layouts[index])
        halos.append((left * channels, (left + right + layouts[index].width) * channels))
        for projection, exponent in stored:
            row = packer.pack(projection, network, layouts[order[projection.source]], layouts[index], left * channels)
            row["source"], row["exponent"] = order[projection.source], exponent
            rows.append(row)
    packed = np.array(rows, T.PROJECTION) if rows else np.zeros(1, T.PROJECTION)
    return Packed(layouts, tuple(halos), packed, packer.arenas())


def _plan(network: Network, forms: tuple[Form, ...], packed: Packed) -> Plan:
    populations = np.zeros(len(forms), T.POPULATION)
    projections = packed.projections.copy()
    biases: list[NDArray[np.int32]] = [np.zeros(0, np.int32)]
    found = 0
    for index, (population, form) in enumerate(zip(network.populations, forms, strict=True)):
        row, layout = populations[index], packed.layouts[index]
        row["rows"], row["lanes"], row["size"] = layout.rows, layout.lanes, layout.size
        row["width"], row["channels"] = layout.width, layout.channels
        describe(row, population.neuron)
        row["halo"], row["acc_row"] = packed.halos[index]
        row["accumulator"], row["hold"], row["payload"] = form
        row["widens"] = not reads_narrow(row)
        most = BLOCK_LANES // max(1, row["acc_row"])
        row["block_rows"] = max(1, min(row["rows"], most))
        row["first_projection"], row["projections"] = found, len(network.into(population.name))
        found += int(row["projections"])
        _add_bias(row, population, layout, biases)
    payloads = np.array([forms[source].payload for source in projections["source"]])
    projections["carried"] = payloads > 0
    projections["paired"] = (payloads == 1) | ((payloads == 0) & (projections["exponent"] < 15))
    projections["scaled"] = projections["carried"] | (projections["exponent"] > 0)
    _choose_ways(populations, projections, packed)
    members, bias = network.populations, np.concatenate(biases)
    order = {p.name: i for i, p in enumerate(members)}
    variables = tuple(len(p.neuron.variables) + (form.hold == T.HELD_LONG) for p, form in zip(members, forms, strict=True))
    return Plan(members, packed.layouts, populations, projections, packed.arenas, bias, _order(network, order), variables)


def _choose_ways(populations: NDArray[Any], projections: NDArray[Any], packed: Packed) -> None:
    """From how many messages of a row on each projection multiplies instead of adding."""
    for index, p in enumerate(populations):
        way = way_of(p["accumulator"] == T.WIDE, packed.arenas[0].dtype)
        for q in projections[p["first_projection"] : p["first_projection"] + p["projections"]]:
            if q["tile_above"] == NEVER or (q["scaled"] and not q["paired"]):
                q["tile_above"] = NEVER
            else:
                q["tile_above"] = threshold(q, packed.layouts[q["source"]], packed.layouts[index], way, bool(q["scaled"]))


def _add_bias(row: Any, population: Population, layout: Layout, biases: list[NDArray[np.int32]]) -> None:
    """Biases, behind them the other parameters that a neuron has for itself, in the same order, and a table that all share."""
    given = [np.broadcast_to(np.asarray(one, np.int32), population.shape) for one in population.neuron.kernel_integers]
    lanes = layout.to_memory(np.stack([one.reshape(-1) for one in given]))
    rows = lanes.reshape(len(given), layout.rows, -1) if layout.size == layout.rows * layout.lanes else None
    row["bias_at"] = sum(map(len, biases))
    if rows is not None and (rows == rows[:, :1]).all():
        row["bias_row"] = 0
        lanes = np.tile(rows[:, 0], (1, int(row["block_rows"])))
    else:
        row["bias_row"] = layout.lanes
    row["parameters_apart"] = lanes.shape[1]
    tables = [getattr(population.neuron, name) for name in population.neuron.shared]
    row["table_at"] = row["bias_at"] + lanes.size
    biases.extend([lanes.ravel(), *(np.asarray(table, np.int32) for table in tables if table is not None)])


def check_charges(network: Network, payloads: Payloads) -> None:
    """Raise EngineError where one step could bring a charge beyond the 32-bit accumulators."""
    _forms(network, payloads, FOREVER)


def _check_charge(population: Population, total: int) -> None:
    bias = magnitude(np.asarray(population.neuron.bias, np.int64))
    if total + bias + (1 << 24) > INT32:
        raise EngineError(
            f"population {population.name!r}",
            f"one step could bring a charge of {total + bias:,}, beyond its 32-bit accumulator",
            "Use smaller weights or payloads, or fewer inputs per neuron",
        )


def check_steps(steps: int) -> None:
    """Raise EngineError where a run, or a stream so far, has more steps than neurons can count."""
    if steps > MOST_STEPS:
        raise EngineError("steps", f"{steps:,} in one stream of at most {MOST_STEPS:,}", "Begin a new run, or reset the session")


def _order(network: Network, order: dict[str, int]) -> tuple[tuple[tuple[int, ...], int], ...]:
    """Strongly connected groups in topological order, each with the steps it may advance at once (0: all)."""
    targets: list[set[int]] = [set() for _ in order]
    for p in network.projections:
        targets[order[p.source]].add(order[p.target])
    groups = []
    for group in components(targets):
        inside = [p.delay for p in network.projections if order[p.source] in group and order[p.target] in group]
        groups.append((tuple(sorted(group)), min(inside, default=0)))
    return tuple(groups)
