"""The steps of a session that records nothing besides its results: one compiled call each, for which all is prepared once.

Knows a workspace, a worker and what frames a source takes as they are; `engine.session` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numba import types
from numpy.typing import NDArray

from neuro.compiled import compiled, inner
from neuro.encoding import source_of
from neuro.engine.advance import advance, work_at
from neuro.engine.calls import calls_of
from neuro.engine.event import Worker
from neuro.engine.invoke import InPlace, address_of, invoke, reader_of
from neuro.engine.plan import FOREVER
from neuro.engine.records import FLOAT32_APART, Run, StepCounts, count_type, read, read_shapes
from neuro.engine.workspace import MOST_COUNTED, Workspace
from neuro.network import Network

Value = TypeVar("Value")
Limits = Mapping[str, tuple[int, int]]


class Lazily(Mapping[str, Value]):
    """Values by name that are made when they are asked for, and then kept."""

    def __init__(self, names: tuple[str, ...], make: Callable[[str], Value]) -> None:
        self._names, self._make = names, make
        self._made: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Entry(NamedTuple):
    """A source: where the messages of several steps, and those of the first, wait in the user's order; the kinds of arrays that
    need no more than a conversion to wait there; what it may send; what real values are divided by."""

    name: str
    shape: tuple[int, ...]
    steps: NDArray[np.int64]
    first: NDArray[np.int64]
    kinds: str
    limits: tuple[int, int]
    scale: float | None


class Stream:
    """Steps of a network in a workspace, for one session."""

    def __init__(self, network: Network, workspace: Workspace, worker: Worker, limits: Limits) -> None:
        self._network, self._workspace, self._worker, self._limits = network, workspace, worker, limits
        self._names = tuple(p.name for p in network.populations)
        self._order = {name: i for i, name in enumerate(self._names)}
        self._layouts = dict(zip(self._names, workspace.plan.layouts, strict=True))
        self._always = {p.name: p.size for p in network.sources if p.neuron.on_chip}  # updates of every step
        self._potentials = []
        self._wide = False  # whether potentials may need logits of 64 bits
        rows, order, decoding = [], [np.zeros(0, np.int64)], [np.zeros((2, 0))]
        for p in network.readouts:
            neuron: Any = p.neuron
            layout, index = self._layouts[p.name], self._order[p.name]
            self._potentials.append((p.name, layout, workspace.slice_of(index, "v_at", workspace.state, 1)))
            self._wide |= (1 << (neuron.potential_bits - 1)) > FLOAT32_APART
            rows.append((workspace.populations[index]["v_at"], p.size, neuron.start_step, neuron.average))
            order.append(layout.memory_index)
            decoding.append(np.stack(neuron.decoding(p.shape)))
        self._shapes = read_shapes(network)
        self._logits = np.zeros((1, sum(row[1] for row in rows)))
        answers = np.array(rows, np.int64).reshape(-1, 4)
        coefficients = np.ascontiguousarray(np.concatenate(decoding, axis=1))
        self._reading = (answers, np.concatenate(order), coefficients, workspace.state, self._logits[0])
        self._make_room(1)

    def _make_room(self, steps: int) -> None:
        """Let so many steps of messages wait; write down where all lies that a call reads."""
        waiting = np.zeros(steps * sum(p.size for p in self._network.sources), np.int64)
        entries: list[Entry] = []
        rows, places = [], []
        for p in self._network.sources:
            source, at = source_of(p), sum(entry.steps.size for entry in entries)
            room = waiting[at : at + steps * p.size].reshape(steps, *p.shape)
            kinds = "" if source.period is not None or source.twin else "bui" if source.scale is None else "buif"
            entries.append(Entry(p.name, p.shape, room, room[0], kinds, self._limits[p.name], source.scale))
            rows.append((self._order[p.name], at, *self._limits[p.name]))
            places.append(np.argsort(self._layouts[p.name].memory_index))
        self._entries, self._room = tuple(entries), steps
        groups = next((part.compiled for part in calls_of(self._workspace.plan).parts if part.compiled), (0, 0))
        heart = address_of(advance, (types.int64,) * 10)
        taking = (np.array(rows, np.int64), waiting, np.concatenate(places))
        self._bound = InPlace((self._worker.work(self._workspace), heart, *groups, *taking, *self._reading))

    def takes(self, frame: Any, most: int) -> int:
        """Let frames wait that need no more than a conversion and a look at their range; returns of how many steps they are,
        0 for all others, right or wrong."""
        entries = self._entries
        if len(entries) == 1:
            frames = [frame]
        elif type(frame) is dict and len(frame) == len(entries):
            frames = [frame.get(entry.name) for entry in entries]
        else:
            return 0
        steps = _steps(entries[0], frames[0], most)
        for entry, given in zip(entries[1:], frames[1:], strict=True):
            steps = steps if _steps(entry, given, most) == steps else 0
        if steps > self._room:
            self._make_room(steps)
        for entry, given in zip(self._entries, frames, strict=True) if steps else ():
            if entry.scale is not None:
                low, high = entry.limits
                given = np.rint(given / entry.scale)
                if not (given.min() >= low and given.max() <= high):
                    return 0
            if given.ndim == len(entry.shape):
                entry.first[...] = given
            else:
                entry.steps[:steps] = given
        return steps

    def step(self, steps: int, elapsed: int) -> Run | None:
        """What the network does in the steps that wait, which are followed by the stream's step `elapsed`; None, and nothing
        has happened, where a message leaves the limits of its source."""
        workspace = self._workspace
        base = workspace.base[0]
        if not take(self._bound.address, steps, elapsed - steps, base):
            return None
        totals = self._worker.totals[:, :, elapsed - steps - base : elapsed - base].copy()
        counted = partial(self._counted, workspace.counts.copy(), count_type(steps))
        potentials = {name: layout.to_user(view.copy()) for name, layout, view in self._potentials}
        if self._wide:
            after = {p.name: max(1, elapsed - p.neuron.start_step) for p in self._network.readouts}
            logits = np.concatenate([read(self._network[name], potentials[name], after[name]) for name in potentials], axis=1)
        else:
            logits = (self._logits if potentials else counted(self._names[-1])).astype(np.float32)
        return Run(
            timesteps=elapsed,
            steps=steps,
            logits=logits,
            spikes=Lazily(self._names, counted),
            counts=Lazily(self._names, partial(self._summed, totals)),
            potentials=potentials,
            raster={},
            packed={},
            traces={},
            logits_by_step=None,
            read=self._shapes,
        )

    def _counted(self, counts: NDArray[np.uint16], kind: np.dtype[Any], name: str) -> NDArray[Any]:
        """Messages of each neuron of a population, (1, neurons)."""
        at, layout = self._workspace.populations[self._order[name]]["count_at"], self._layouts[name]
        sent = counts[at : at + layout.size] if at >= 0 else np.zeros(layout.size, kind)
        return layout.to_user(sent.astype(kind)[None])

    def _summed(self, totals: NDArray[np.int64], name: str) -> StepCounts:
        found = totals[self._order[name]]
        found[2:] += self._always.get(name, 0)
        return StepCounts(*found)


def can_stream(network: Network, workspace: Workspace) -> bool:
    """Whether a session without records has nothing to do that `Stream` leaves out."""
    framed = any(getattr(p.neuron, "period", None) is not None for p in (*network.readouts, *network.sources))
    return not (framed or network.learns or workspace.traced) and workspace.steps <= MOST_COUNTED


def _steps(entry: Entry, frame: Any, most: int) -> int:
    """How many steps a frame, or several, of a source are; 0 where that is not all that is to be known."""
    if type(frame) is not np.ndarray or frame.dtype.kind not in entry.kinds or frame.dtype == np.uint64:
        return 0
    shape: tuple[int, ...] = frame.shape
    if shape == entry.shape:
        return 1
    return shape[0] if shape[1:] == entry.shape and 1 <= shape[0] <= most else 0


def _kinds() -> Any:
    """The types of what `Stream` binds."""
    place, row, table = types.int64, types.Array(types.int64, 1, "C"), types.Array(types.int64, 2, "C")
    reals, state = types.Array(types.float64, 1, "C"), types.Array(types.int32, 1, "C")
    decoding = types.Array(types.float64, 2, "C")
    return types.Tuple((place, types.uint64, place, place, table, row, row, table, row, decoding, state, reals))


bound_at = reader_of(_kinds)


@compiled
def take(bound: Any, steps: int, first: int, base: int) -> bool:
    """Take the network from the stream's step `first` on through the messages that wait; False where one is out of bounds."""
    work, advancing, begin, end, entries, waiting, places, answers, order, decoding, state, logits = bound_at(bound)
    held = work_at(work)
    populations, spikes, counts, totals = held[5], held[9], held[10], held[12]
    for i in range(entries.shape[0]):
        at, low, high = entries[i, 1], entries[i, 2], entries[i, 3]
        for k in range(at, at + steps * populations[entries[i, 0]].size):
            if waiting[k] < low or waiting[k] > high:
                return False
    for j in range(counts.size):
        counts[j] = 0
    for i in range(totals.shape[0]):
        for row in range(totals.shape[1]):
            for t in range(first - base, first - base + steps):
                totals[i, row, t] = 0
    place = 0
    for i in range(entries.shape[0]):
        p = populations[entries[i, 0]]
        _enter(p, entries[i, 0], waiting, entries[i, 1], steps, places, place, spikes, counts, totals, first - base)
        place += p.size
    invoke(advancing, (work, begin, end, 0, 1, 0, FOREVER, first, first + steps, base))
    k = 0
    for i in range(answers.shape[0]):
        divisor = max(1, first + steps - answers[i, 2]) if answers[i, 3] else 1
        for _ in range(answers[i, 1]):
            logits[k] = state[answers[i, 0] + order[k]] * (decoding[0, k] / divisor) + decoding[1, k]
            k += 1
    return True


@inner
def _enter(
    p: Any, index: int, waiting: Any, at: int, steps: int, places: Any, place: int, spikes: Any, counts: Any, totals: Any,
    first: int,
) -> None:  # fmt: skip
    """Enter a source's messages, from `waiting[at]` on, into its lists, from the workspace's step `first` on."""
    lists, payloads, begins, ends = spikes
    for y in range(p.rows):
        lane = y * p.lanes
        for s in range(steps):
            segment = p.segment_at + y * p.segment_row + first + s
            to = p.list_at + y * p.list_row
            if first + s > 0:
                to = max(to, ends[segment - 1])
            begins[segment] = to
            for j in range(min(p.lanes, p.size - lane)):
                value = waiting[at + s * p.size + places[place + lane + j]]
                if value != 0:
                    lists[to] = j
                    if p.payload:
                        payloads[to - p.list_at + p.payload_at] = value
                    counts[p.count_at + lane + j] += 1
                    to += 1
            ends[segment] = to
            totals[index, 1, first + s] += to - begins[segment]
