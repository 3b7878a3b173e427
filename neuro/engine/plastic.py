"""Learning in the event engine: the synapses of every plastic projection while a run, or a session, goes on.

Populations advance from one end of an epoch to the next; there the synapses that the rule touches are changed, in the copy of the
weights that deliveries read. Knows plans and workspaces; the arithmetic is in `engine.learn`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.engine import learn as L
from neuro.engine import tables as T
from neuro.engine.listing import in_memory
from neuro.engine.pending import Pending
from neuro.engine.plan import Plan
from neuro.engine.workspace import Workspace
from neuro.learning.draws import draws
from neuro.learning.memory import Memory
from neuro.learning.progress import learned_projection
from neuro.learning.rule import LearningRule
from neuro.learning.terms import EPOCHS, POST_TRACES, PRE_TRACES, SYNAPTIC, TARGETS, TRACES
from neuro.network import Network

_DRAWN = 256  # epochs for which numbers are drawn at once
_ARENA = {T.SPARSE: 2, T.SPARSE_BY_SOURCE: 3}  # of the plan's arenas, that with the weights of a kind
_KINDS = {None: L.BY_IMPULSE, "impulse": L.BY_IMPULSE, "overwrite": L.BY_OVERWRITING, "add": L.BY_ADDING}


class RuleTables:
    """A rule as the kernels read it."""

    def __init__(self, rule: LearningRule) -> None:
        self.rule, self.traces = rule, rule.traces
        self.names = tuple(self.traces)
        self.how = {name: self._how(name) for name in self.names}
        rows: list[list[int]] = []
        factors: list[list[int]] = []
        self.periods: list[int] = []
        for variable, target in enumerate(TARGETS):
            for product in rule.products(target):
                kind = {"x0": L.ON_X0, "y0": L.ON_Y0}.get(product.dependency, L.ON_EPOCH)
                self.periods.append(1 << int(product.dependency[1:]) if product.dependency in EPOCHS else 0)
                sides = [self._factor(len(rows), factor) for factor in product.factors]
                own = [f for f in sides if f[L.SIDE] == L.SYNAPTIC]
                factors.extend(own)
                first = len(factors) - len(own)
                rows.append([variable, kind, 0, product.mantissa, product.shift, product.exponent + 7, first, len(factors)])
                factors.extend(f for f in sides if f[L.SIDE] != L.SYNAPTIC)
        self.products = np.array(rows, np.int64)
        self.factors = np.array(factors, np.int64).reshape(-1, 6)
        self.bounds = np.array([rule.bounds, (0, 255), (-256, 255)], np.int64)
        self.changes = np.array([name in rule.targets for name in SYNAPTIC], np.int64)

    def _factor(self, product: int, factor: Any) -> list[int]:
        name = factor.variable
        if name in SYNAPTIC:
            side, place = L.SYNAPTIC, SYNAPTIC.index(name)
        else:
            side = L.BEFORE if name in (*PRE_TRACES, "x0", "c") else L.BEHIND
            place = self.names.index(name) if name in self.names else L.NOTHING if name == "c" else L.SPIKED
        return [product, side, place, factor.constant, factor.bits, int(factor.sign)]

    def _how(self, name: str) -> NDArray[np.int64]:
        """What a message does to a trace."""
        trace = self.traces[name]
        kind = L.BY_POPULATION if trace.source else _KINDS[self.rule.graded] if name == "x1" else L.BY_IMPULSE
        return np.array([trace.impulse, trace.fraction, kind], np.int64)

    def due(self, number: int) -> bool:
        """Whether a product is due in an epoch that depends on epochs alone; tells the kernels which."""
        if not any(self.periods):
            return False
        for row, period in zip(self.products, self.periods, strict=True):
            row[L.PERIOD] = period > 0 and number % period == 0
        return bool(self.products[:, L.PERIOD].any())


@dataclass(frozen=True, slots=True)
class Wiring:
    """The synapses of a projection as they lie in memory: `order`, their places, a slice where they lie as they are listed;
    starts by source, `behind` each; starts by target, source and place of each. Numbers of populations; where third factors'
    neurons stand."""

    row: int
    source: int
    target: int
    order: NDArray[np.int64] | slice
    starts: NDArray[np.int64]
    behind: NDArray[np.int32]
    starts_behind: NDArray[np.int64]
    before: NDArray[np.int32]
    places: NDArray[np.int32]
    thirds: Mapping[str, tuple[int, NDArray[np.int64]]]

    @staticmethod
    def of(network: Network, plan: Plan, projection: Any, row: int) -> Wiring:
        order = {p.name: i for i, p in enumerate(network.populations)}
        source, target = order[projection.source], order[projection.target]
        synapses = projection.synapses(network[projection.source].shape, network[projection.target].shape)
        sizes = plan.layouts[source].size, plan.layouts[target].size
        pre, post = in_memory(plan.layouts[source], synapses.pre), in_memory(plan.layouts[target], synapses.post)
        by_source = np.lexsort((post, pre))
        pre, post = pre[by_source], post[by_source]
        by_target = np.argsort(post, kind="stable")
        thirds = {}
        for trace, name in projection.rule.third_factors.items():
            sender, places = plan.layouts[order[name]], np.zeros(network[name].size, np.int64)
            if sender.size > 1 or sizes[1] == 1:
                places[sender.memory_index] = plan.layouts[target].memory_index
            thirds[trace] = (order[name], places)
        lying = slice(None) if np.array_equal(by_source, np.arange(len(by_source))) else by_source
        return Wiring(
            row, source, target, lying, _starts(pre, sizes[0]), post.astype(np.int32), _starts(post, sizes[1]),
            pre[by_target].astype(np.int32), by_target.astype(np.int32), thirds,
        )  # fmt: skip


def _starts(sorted_or_not: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    starts = np.zeros(size + 1, np.int64)
    np.cumsum(np.bincount(sorted_or_not, minlength=size), out=starts[1:])
    return starts


class Plastic:
    """One projection that learns, in a plan's memory."""

    def __init__(self, network: Network, plan: Plan, projection: Any, row: int, arenas: tuple[NDArray[Any], ...]) -> None:
        self.projection, self.rule, self.plan = projection, projection.rule, plan
        self.tables, self._waits_for_firing = RuleTables(self.rule), self.rule.waits_for_firing
        self.wiring = plan.wiring.setdefault(row, None) or Wiring.of(network, plan, projection, row)
        plan.wiring[row] = self.wiring
        record = plan.projections[row]
        self._weights = arenas[_ARENA[int(record["kind"])]]
        pointers = arenas[5]
        self._first = int(record["weights_at"] + pointers[record["pointers_at"]])
        waits, memory = Pending.possible(self.rule, self.tables), projection.memory or Memory()
        synapses = 0 if waits else len(self.wiring.behind)
        self._tags = {name: np.zeros(synapses, np.int16) for name in ("d", "t")}
        for name in self.rule.tags:
            given = getattr(memory, name)
            self._tags[name][:] = 0 if given is None else given[self.wiring.order]
        self.epochs, self._drawn_at, self._drawn = memory.epochs, -1, draws(0, 0, 1, 1)
        self._listed = np.zeros((3, 2 * synapses), np.int32)
        self._rooms()
        self._pending = self._waiting(record, arenas) if waits else None
        self.rest(memory)

    def _waiting(self, record: Any, arenas: tuple[NDArray[Any], ...]) -> Pending:
        behind, margin = self.wiring.behind, 0
        if record["kind"] == T.SPARSE:
            at, margin = int(arenas[5][record["pointers_at"]]), int(self.plan.populations[self.wiring.target]["halo"])
            behind = arenas[4][at : at + len(behind)]
        return Pending(self.tables, self.wiring, self._weights, self._first, behind, margin)

    def _rooms(self) -> None:
        layouts, epoch, products = self.plan.layouts, self.rule.epoch, len(self.tables.products)
        sizes = layouts[self.wiring.source].size, layouts[self.wiring.target].size
        self._messages = tuple(np.zeros((epoch, size), np.int32) for size in sizes)
        self._given = {name: np.zeros((epoch, sizes[1]), np.int32) for name in self.wiring.thirds}
        self._last = tuple(np.zeros(size, np.int64) for size in sizes)
        self._products = tuple(np.zeros((products, epoch, size), np.int32) for size in sizes)
        self._values = {name: np.zeros(sizes[name in POST_TRACES], np.int64) for name in TRACES}
        self._traces = tuple(np.zeros((max(1, len(self.tables.names)), epoch, size), np.int16) for size in sizes)
        self._places, self._third = tuple(np.arange(size) for size in sizes), np.zeros(sizes[1], np.int64)
        self._active = [False, False]

    def rest(self, memory: Memory | None = None) -> None:
        """Traces as a memory has them, else at 0."""
        known = memory or Memory()
        for names, index, given in ((PRE_TRACES, self.wiring.source, known.x), (POST_TRACES, self.wiring.target, known.y)):
            for row, name in enumerate(names):
                self._values[name][:] = 0 if given is None else self.plan.layouts[index].to_memory(given[row][None])[0]

    def ends(self, step: int) -> bool:
        """Whether an epoch ends before a step."""
        return step % int(self.rule.epoch) == 0

    def begin(self, workspace: Workspace, first: int) -> None:
        """Before step `first`: changes that wait are written where messages arrive, which the step is going to read."""
        if self._pending:
            self._gather_arrivals(workspace, first, (0, 1))
            self._pending.settle(self._messages[0])

    def end_epoch(self, workspace: Workspace, until: int, by_neuron: NDArray[np.int64] | None) -> int:
        """Learn from the epoch that ends before step `until`; returns how many synapses the rule was computed for."""
        self._gather(workspace, until - self.rule.epoch)
        decay, impulse, rounding = self._draw()
        self.epochs += 1
        due = self.tables.due(self.epochs)
        self._advance_traces(decay, impulse)
        if not (due or any(self._active)):
            return 0
        for side, out in enumerate(self._products):
            L.multiply(self.tables.factors, side, self._traces[side], self._last[side], out)
        counted = np.zeros(len(self._last[1]) if by_neuron is not None else 0, np.int64)
        if self._pending:
            found = self._pending.end_epoch(self._products, self._last, 127 - rounding, counted)
        else:
            found = self._change(due, 127 - rounding, counted)
        if by_neuron is not None:
            by_neuron += self.plan.layouts[self.wiring.target].to_user(counted[None])[0]
        return found

    def _gather(self, workspace: Workspace, first: int) -> None:
        """What arrived, was fired and was sent by third factors in the epoch from step `first` on, within the target's window."""
        epoch, base, target = int(self.rule.epoch), workspace.base[0], workspace.populations[self.wiring.target]
        on = (max(0, int(target["start"]) - first), min(epoch, max(0, int(target["stop"]) - first)))
        if self._pending is None or on != (0, 1):
            self._gather_arrivals(workspace, first, on)
        if target["count_at"] >= 0 and self._waits_for_firing:
            out = self._messages[1], self._last[1]
            self._active[1] = L.gather(target, *workspace.spikes, 0, first - base, (0, epoch), self._places[1], *out)
        for name, (index, places) in self.wiring.thirds.items():
            given, sent = self._given[name], workspace.populations[index]
            L.gather(sent, *workspace.spikes, 0, first - 1 - base, (0, epoch), places, given, self._third)
            if len(places) == 1 < given.shape[1]:
                given[:] = given[:, :1]

    def _gather_arrivals(self, workspace: Workspace, first: int, on: tuple[int, int]) -> None:
        slot, source = first - int(self.projection.delay) - workspace.base[0], workspace.populations[self.wiring.source]
        out = self._messages[0], self._last[0]
        self._active[0] = L.gather(source, *workspace.spikes, 0, slot, on, self._places[0], *out)

    def _draw(self) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        at = self.epochs - self._drawn_at
        if self._drawn_at < 0 or not 0 <= at < _DRAWN:
            self._drawn, self._drawn_at, at = draws(self.rule.seed, self.epochs, _DRAWN, self.rule.epoch), self.epochs, 0
        return self._drawn.decay[at], self._drawn.impulse[at], int(self._drawn.rounding[at])

    def _advance_traces(self, decay: NDArray[np.int64], impulse: NDArray[np.int64]) -> None:
        for row, name in enumerate(self.tables.names):
            side, how, known = int(name in POST_TRACES), self.tables.how[name], self.tables.traces[name]
            messages = self._given.get(name, self._messages[side])
            L.trace(
                how, known.kept, known.chances, self._values[name], messages, self._last[side], decay[side], impulse[side],
                self._traces[side][row],
            )  # fmt: skip

    def _change(self, due: bool, bias: int, counted: NDArray[np.int64]) -> int:
        tables, w = self.tables, self.wiring
        rule = (tables.products, tables.factors, tables.bounds, tables.changes, *self._products, bias)
        state = (self._weights, self._first, self._tags["d"], self._tags["t"])
        wiring = (w.starts, w.behind, w.starts_behind, w.before, w.places)
        change = L.change_all if due else L.change_active
        return int(change(rule, state, wiring, self._last[0], self._last[1], self.rule.epoch, counted, self._listed))

    def learned(self) -> Any:
        """The projection with the weights, and the memory, that it has now."""
        if self._pending:
            self._pending.settle_all()
        w, synaptic = self.wiring, {}
        lying = {"w": self._weights[self._first : self._first + len(w.behind)], **self._tags}
        for name in ("w", *self.rule.tags):
            synaptic[name] = np.empty(len(w.behind), np.int32)
            synaptic[name][w.order] = lying[name]
        x, y = (
            self.plan.layouts[index].to_user(np.stack([self._values[name] for name in names]))
            for index, names in ((w.source, PRE_TRACES), (w.target, POST_TRACES))
        )
        return learned_projection(self.projection, synaptic, self.epochs, x, y)


class Learning:
    """All plastic projections of a network during a run or a session; `arenas` are the plan's, with weights of its own."""

    def __init__(self, network: Network, plan: Plan) -> None:
        self.network = network
        self.arenas = tuple(arena.copy() if i in _ARENA.values() else arena for i, arena in enumerate(plan.arenas))
        rows = _rows(network)
        self._plastic = {
            i: Plastic(network, plan, p, rows[i], self.arenas) for i, p in enumerate(network.projections) if p.rule is not None
        }

    def rest(self) -> None:
        """Traces to 0, as at the beginning of a sample."""
        for plastic in self._plastic.values():
            plastic.rest()

    def spans(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Steps [first, last) in pieces that end where an epoch does."""
        at = first
        while at < last:
            until = min([at - at % p.rule.epoch + p.rule.epoch for p in self._plastic.values()] + [last])
            yield at, until
            at = until

    def begin(self, workspace: Workspace, first: int) -> None:
        """What is to be done before the steps from `first` to the next end of an epoch."""
        for plastic in self._plastic.values():
            plastic.begin(workspace, first)

    def end_epochs(self, workspace: Workspace, until: int, slot: int, recorder: Any) -> None:
        """Change the synapses whose epoch ends before step `until`; counted at the recorder's step `slot`."""
        for plastic in self._plastic.values():
            if plastic.ends(until):
                name = plastic.projection.name
                by_neuron = recorder.learning_by_neuron[name][slot] if name in recorder.learning_by_neuron else None
                recorder.learning[name][slot] += plastic.end_epoch(workspace, until, by_neuron)

    def learned(self) -> Network:
        """The network with what has been learned so far."""
        parts = [self._plastic[i].learned() if i in self._plastic else p for i, p in enumerate(self.network.projections)]
        return replace(self.network, projections=tuple(parts))


def _rows(network: Network) -> list[int]:
    """The row of each projection in a plan, which has them target by target."""
    order = {p.name: i for i, p in enumerate(network.populations)}
    by_target = sorted(range(len(network.projections)), key=lambda i: order[network.projections[i].target])
    rows = [0] * len(by_target)
    for row, i in enumerate(by_target):
        rows[i] = row
    return rows
