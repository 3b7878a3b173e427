"""The steps of a session that records nothing besides its results: all that stays the same from call to call is looked up once.

Knows a workspace, a worker and what frames a source takes as they are; `engine.session` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import compiled
from neuro.encoding import source_of
from neuro.engine.advance import work_at
from neuro.engine.event import Worker
from neuro.engine.layout import Layout
from neuro.engine.records import FLOAT32_APART, Run, StepCounts, count_type, read
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
    """A source: which of the user's neurons lies at each place in memory, what it may send, what real values are divided by."""

    population: int
    name: str
    shape: tuple[int, ...]
    places: NDArray[np.int64]
    limits: tuple[int, int]
    scale: float | None
    plain: bool


class Answer(NamedTuple):
    """A readout: its potentials, a view of the workspace, and how they are read, in memory order."""

    name: str
    layout: Layout
    potentials: NDArray[np.int32]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    neuron: Any
    wide: bool


class Stream:
    """Steps of a network in a workspace, for one session."""

    def __init__(self, network: Network, workspace: Workspace, worker: Worker, limits: Limits) -> None:
        self._network, self._workspace, self._worker = network, workspace, worker
        self._work = worker.work(workspace)
        populations, layouts = network.populations, workspace.plan.layouts
        self._names = tuple(p.name for p in populations)
        self._order = {name: i for i, name in enumerate(self._names)}
        self._layouts = dict(zip(self._names, layouts, strict=True))
        self._entries = tuple(self._entry(network, i, limits) for i, p in enumerate(populations) if p.neuron.is_source)
        self._answers = tuple(self._answer(network, p.name) for p in network.readouts)
        own = np.zeros((len(populations), 5, 1), np.int64)
        for i, p in enumerate(populations):
            own[i, 2:] = p.size if p.neuron.is_source and p.neuron.on_chip else 0
        self._own = own

    def _entry(self, network: Network, index: int, limits: Limits) -> Entry:
        population, layout = network.populations[index], self._workspace.plan.layouts[index]
        source = source_of(population)
        places = np.argsort(layout.memory_index)
        plain = source.period is None and not source.twin
        return Entry(index, population.name, population.shape, places, limits[population.name], source.scale, plain)

    def _answer(self, network: Network, name: str) -> Answer:
        index, layout = self._order[name], self._layouts[name]
        view = self._workspace.slice_of(index, "v_at", self._workspace.state, 1)
        neuron: Any = network[name].neuron
        scale, offset = (layout.to_memory(array) for array in neuron.decoding(network[name].shape))
        wide = (1 << (neuron.potential_bits - 1)) > FLOAT32_APART  # potentials may need logits of 64 bits
        return Answer(name, layout, view, scale, offset, neuron, wide)

    def as_sent(self, frame: Any, most: int) -> list[NDArray[np.int64]] | None:
        """The messages (steps, neurons) of each source for frames that need no more than a conversion and a look at their
        range; None for all others, right or wrong."""
        if len(self._entries) == 1:
            only = self._sent(self._entries[0], frame, most)
            return None if only is None else [only]
        if type(frame) is not dict or len(frame) != len(self._entries):
            return None
        sent = [self._sent(entry, frame.get(entry.name), most) for entry in self._entries]
        found = [one for one in sent if one is not None]
        return found if len(found) == len(sent) and len({len(one) for one in found}) == 1 else None

    def _sent(self, entry: Entry, frame: Any, most: int) -> NDArray[np.int64] | None:
        if type(frame) is not np.ndarray or not entry.plain:
            return None
        shape, real = frame.shape, entry.scale is not None
        if shape == entry.shape:
            steps = 1
        elif shape[1:] == entry.shape and 1 <= shape[0] <= most:
            steps = shape[0]
        else:
            return None
        if frame.dtype.kind not in ("buif" if real else "bui") or frame.dtype == np.uint64:
            return None
        low, high = entry.limits
        if real:
            frame = np.rint(frame / entry.scale)
            if not (frame.min() >= low and frame.max() <= high):
                return None
        values = np.ascontiguousarray(frame, np.int64).reshape(steps, -1)
        return values if within(values, low, high) else None

    def begin(self, messages: list[NDArray[np.int64]], first: int) -> None:
        """Forget what was counted before and enter the messages of these steps, `first` being the workspace's."""
        clear(self._work, first, len(messages[0]))
        for entry, values in zip(self._entries, messages, strict=True):
            enter(self._work, entry.population, values, entry.places, first)

    def run(self, first: int, steps: int, elapsed: int) -> Run:
        """What the network did in the steps from the workspace's step `first` on, of a stream that has then taken `elapsed`."""
        totals = self._worker.totals[:, :, first : first + steps] + self._own
        counts, kind = self._workspace.counts.copy(), count_type(steps)

        def counted(name: str) -> NDArray[Any]:
            at, size = self._workspace.populations[self._order[name]]["count_at"], self._layouts[name].size
            sent = counts[at : at + size] if at >= 0 else np.zeros(size, kind)
            return self._layouts[name].to_user(sent.astype(kind)[None])

        window, logits = max(1, elapsed), []
        potentials: dict[str, NDArray[np.int32]] = {}
        for name, layout, view, scale, offset, neuron, wide in self._answers:
            found = potentials[name] = layout.to_user(view.copy())
            elapsed = max(1, window - neuron.start_step)
            if wide:
                logits.append(read(self._network[name], found, elapsed))
                continue
            found = view * (scale / neuron.divisor(elapsed) if neuron.average else scale) + offset
            logits.append(layout.to_user(found.astype(np.float32)))
        if not logits:
            logits.append(counted(self._names[-1]).astype(np.float32))
        return Run(
            timesteps=window,
            steps=steps,
            logits=logits[0] if len(logits) == 1 else np.concatenate(logits, axis=1),
            spikes=Lazily(self._names, counted),
            counts=Lazily(self._names, lambda name: StepCounts(*totals[self._order[name]])),
            potentials=potentials,
            raster={},
            packed={},
            traces={},
            logits_by_step=None,
        )


def can_stream(network: Network, workspace: Workspace) -> bool:
    """Whether a session without records has nothing to do that `Stream` leaves out."""
    framed = any(getattr(p.neuron, "period", None) is not None for p in (*network.readouts, *network.sources))
    return not (framed or network.learns or workspace.traced) and workspace.steps <= MOST_COUNTED


@compiled
def within(values: Any, low: int, high: int) -> bool:
    """Whether all values (steps, neurons) lie in low..high."""
    for s in range(values.shape[0]):
        for j in range(values.shape[1]):
            if values[s, j] < low or values[s, j] > high:
                return False
    return True


@compiled
def clear(work: Any, first: int, steps: int) -> None:
    """Nothing is counted yet in some steps of a workspace."""
    held = work_at(work)
    counts, totals = held[10], held[12]
    for j in range(counts.size):
        counts[j] = 0
    for i in range(totals.shape[0]):
        for row in range(totals.shape[1]):
            for t in range(first, first + steps):
                totals[i, row, t] = 0


@compiled
def enter(work: Any, index: int, values: Any, places: Any, first: int) -> None:
    """Enter a source's messages (steps, neurons in the user's order) into its lists, from the workspace's step `first` on."""
    held = work_at(work)
    p, counts, totals = held[5][index], held[10], held[12]
    lists, payloads, begins, ends = held[9]
    for y in range(p.rows):
        lane = y * p.lanes
        for s in range(values.shape[0]):
            segment = p.segment_at + y * p.segment_row + first + s
            at = p.list_at + y * p.list_row
            if first + s > 0:
                at = max(at, ends[segment - 1])
            begins[segment] = at
            for j in range(min(p.lanes, p.size - lane)):
                value = values[s, places[lane + j]]
                if value != 0:
                    lists[at] = j
                    if p.payload:
                        payloads[at - p.list_at + p.payload_at] = value
                    counts[p.count_at + lane + j] += 1
                    at += 1
            ends[segment] = at
            totals[index, 1, first + s] += at - begins[segment]
