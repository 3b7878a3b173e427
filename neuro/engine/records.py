"""What a run leaves behind: spikes, potentials, logits and exact counts. Engines fill a Recorder; users get a Run.

Knows populations and windows; knows nothing of how an engine computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.engine.layout import Layout
from neuro.errors import InputError
from neuro.network import Network, Population
from neuro.notebook import Table, TableRepr, abridged

FLOAT32_APART = 1 << 23  # below it, float32 rounds no two scaled integers to one number
RECORDABLE = ("raster", "packed", "potentials", "traces", "logits_by_step", "learning")


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Totals over all samples, per step (steps,), of one population.

    `synops`: stored synapses visited by messages that arrived; `messages`: sent; `updates`: neurons touched, of which
    `driven`: something other than zero was added to the potential; `restless`: driven, or the potential was not zero.
    Sources on the chip update, driven, all their neurons at every step.
    """

    synops: NDArray[np.int64]
    messages: NDArray[np.int64]
    updates: NDArray[np.int64]
    driven: NDArray[np.int64]
    restless: NDArray[np.int64]

    @staticmethod
    def zero(steps: int) -> StepCounts:
        return StepCounts(*(np.zeros(steps, np.int64) for _ in range(5)))


@dataclass(frozen=True, slots=True, repr=False)
class Run(TableRepr):
    """What a network did with some samples.

    logits (samples, classes) float32, or float64 where float32 could not tell neighbouring potentials apart (2^23 and beyond);
    spikes {population: (samples, neurons)} messages sent; potentials {population:
    (samples, neurons)} at the end; counts {population: StepCounts}; `synops`, `updates` totals over everything.
    When recorded: raster {population: (samples, steps, neurons)} payloads; packed {population: (samples, steps, bytes)} one
    bit per neuron, set where a message was sent, first neuron in the highest bit (`numpy.unpackbits` undoes it); traces
    {population: the same shape as raster, of potentials after each step}; logits_by_step (samples, window, classes).
    frames (samples, frames, classes): of a network with frames, the logits of each; `logits` are those of the last.
    outputs {readout: (samples, *shape)}: the logits by the populations that the host reads, with frames (samples, frames,
    *shape). Where there are several, `logits` has all of them in a row, and `predictions` is refused.
    Of chosen neurons only, where the record names them. clipped {source: values} counts inputs beyond the calibrated range.
    Of a network that learns: `learned`, the network as the last sample left it; learning {projection: (steps,)} synapses of
    which the rule was computed, at the steps that end an epoch; learning_by_neuron {projection: (steps, target neurons)} the
    same for each target neuron, where the record says "learning". Both are totals over all samples.
    """

    timesteps: int
    steps: int
    logits: NDArray[np.floating[Any]]
    spikes: Mapping[str, NDArray[np.integer[Any]]]
    counts: Mapping[str, StepCounts]
    potentials: dict[str, NDArray[np.int32]]
    raster: dict[str, NDArray[np.int32]]
    packed: dict[str, NDArray[np.uint8]]
    traces: dict[str, NDArray[np.int32]]
    logits_by_step: NDArray[np.floating[Any]] | None
    clipped: Mapping[str, int] = field(default_factory=dict)
    learned: Network | None = None
    learning: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    learning_by_neuron: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    frames: NDArray[np.floating[Any]] | None = None
    read: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def _shown(self) -> Table:
        rows = [(name, *_totals((counts,))) for name, counts in self.counts.items()]
        title = f"Run of {self.samples:,} samples in {self.steps} steps, T = {self.timesteps}; totals of all samples"
        columns = ("population", "messages", "synops", "updates")
        return title, columns, [*abridged(rows), ("all", *_totals(self.counts.values()))]

    @property
    def samples(self) -> int:
        return len(self.logits)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The class with the largest logit, per sample; the first of equals. InputError where there are several outputs."""
        if len(self.read) > 1:
            fact, first = f"the run has {len(self.read)} outputs ({', '.join(self.read)})", next(iter(self.read))
            raise InputError("predictions", fact, f"Take those of one: run.of_output({first!r}).predictions")
        return np.asarray(self.logits.argmax(axis=1), np.int64)

    @property
    def outputs(self) -> dict[str, NDArray[np.floating[Any]]]:
        """The logits of each population that the host reads, by name: (samples, *shape), of frames (samples, frames, *shape)."""
        return _apart(self.read, self.logits if self.frames is None else self.frames)

    def of_output(self, name: str) -> Run:
        """The run as it would be if the host read this output alone. InputError for a name that no output has."""
        if name not in self.read:
            raise InputError(f"output {name!r}", "the run has none of this name", f"Use {' or '.join(self.read)}")
        shape, before = self.read[name], list(self.read)[: list(self.read).index(name)]
        first = sum(math.prod(self.read[other]) for other in before)
        held = {"logits": self.logits, "logits_by_step": self.logits_by_step, "frames": self.frames}
        own = slice(first, first + math.prod(shape))
        found: dict[str, Any] = {key: None if array is None else array[..., own] for key, array in held.items()}
        return replace(self, **found, read={name: shape})

    @property
    def synops(self) -> int:
        return sum(int(c.synops.sum()) for c in self.counts.values())

    @property
    def updates(self) -> int:
        return sum(int(c.updates.sum()) for c in self.counts.values())

    @property
    def synaptic_updates(self) -> int:
        """Synapses of which a learning rule was computed, counted once an epoch."""
        return sum(int(updates.sum()) for updates in self.learning.values())

    @property
    def messages(self) -> int:
        """Messages sent by all populations, sources included."""
        return sum(int(c.messages.sum()) for c in self.counts.values())


def _totals(counts: Collection[StepCounts]) -> tuple[str, ...]:
    return tuple(f"{sum(int(getattr(c, name).sum()) for c in counts):,}" for name in ("messages", "synops", "updates"))


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages sent by one population in a block of samples, listed sample by sample and step by step.

    Those of sample s at step t (both counted from the block's first) are `neurons[offsets[i]:offsets[i + 1]]` with
    i = s * steps + t: flat indices in C order, ascending; `payloads` likewise, or None where every payload is 1.
    """

    offsets: NDArray[np.int64]
    neurons: NDArray[np.int32]
    payloads: NDArray[np.int32] | None


# Called with the number of the block's first sample and the messages of every population in the block.
Observer = Callable[[int, dict[str, Messages]], None]


class InMemoryOrder(Mapping[str, NDArray[Any]]):
    """Arrays by population as an engine holds them, brought into the user's order when they are asked for."""

    def __init__(self, arrays: dict[str, NDArray[Any]], layouts: dict[str, Layout]) -> None:
        self._arrays, self._layouts = arrays, layouts

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name in self._layouts:
            self._arrays[name] = self._layouts.pop(name).to_user(self._arrays[name])
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class Recorder:
    """Arrays that an engine fills while it runs; `finish` makes them a Run."""

    def __init__(
        self, network: Network, samples: int, timesteps: int, record: Iterable[str] = (), *, steps: int | None = None,
        window: int | None = None, spikes: bool = True,
    ) -> None:  # fmt: skip
        """`steps`: only the last so many steps of a stream that has run for `timesteps`; default all steps of a sample.
        window: steps for which that stream had inputs, where it has ended. spikes: whether the arrays are made here."""
        self._window = timesteps if window is None else window
        self.network, self.samples, self.timesteps = network, samples, timesteps
        self.streaming = steps is not None
        self.steps = network.steps(timesteps) if steps is None else steps
        self._chosen = {what: _chosen(network, what, record) for what in RECORDABLE}
        self._asked_traces = tuple(self._chosen["traces"])
        for p in network.readouts:
            if self._chosen["logits_by_step"] or _framed(p):
                self._chosen["traces"].setdefault(p.name, None)
        count = count_type(self.steps)
        self.layouts: dict[str, Layout] = {}  # of spikes that an engine writes in memory order
        self.spikes = {p.name: np.zeros((samples, p.size), count) for p in network.populations if spikes}
        counted = np.zeros((len(network.populations), 5, self.steps), np.int64)
        self.counts = {p.name: StepCounts(*rows) for p, rows in zip(network.populations, counted, strict=True)}
        self.learned: Network | None = None
        plastic = [p for p in network.projections if p.rule is not None]
        self.learning = {p.name: np.zeros(self.steps, np.int64) for p in plastic}
        by_neuron = [p for p in plastic if p.target in self._chosen["learning"]]
        self.learning_by_neuron = {p.name: np.zeros((self.steps, network[p.target].size), np.int64) for p in by_neuron}
        kept = {*self._chosen["potentials"], *_names(network.readouts)}
        self.potentials = {name: np.zeros((samples, network[name].size), np.int32) for name in kept}
        self._kept = {
            what: {name: self._room(what, name) for name in self._chosen[what]} for what in ("raster", "packed", "traces")
        }

    def _room(self, what: str, name: str) -> NDArray[Any]:
        chosen = self._chosen[what][name]
        size = self.network[name].size if chosen is None else len(chosen)
        if what == "packed":
            return np.zeros((self.samples, self.steps, -(-size // 8)), np.uint8)
        return np.zeros((self.samples, self.steps, size), np.int32)

    def wants(self, what: str, name: str) -> bool:
        """Whether messages ("raster") or potentials ("traces") of a population are to be kept step by step."""
        return name in self._chosen[what] or (what == "raster" and name in self._chosen["packed"])

    def keep(self, what: str, name: str, where: Any, values: NDArray[Any]) -> None:
        """Keep messages ("raster") or potentials ("traces") of all neurons of a population at (samples, steps) `where`."""
        for kind in ("raster", "packed") if what == "raster" else ("traces",):
            if name in self._kept[kind]:
                chosen = self._chosen[kind][name]
                seen = values if chosen is None else values[..., chosen]
                self._kept[kind][name][where] = np.packbits(seen != 0, axis=-1) if kind == "packed" else seen

    def finish(self) -> Run:
        """The Run that these arrays describe."""
        by_step = self._logits_by_step() if self._chosen["logits_by_step"] else None
        return Run(
            timesteps=self.timesteps,
            steps=self.steps,
            logits=self._logits(),
            spikes=InMemoryOrder(self.spikes, self.layouts),
            counts=self.counts,
            potentials=self.potentials,
            raster=self._kept["raster"],
            packed=self._kept["packed"],
            traces={name: self._kept["traces"][name] for name in self._asked_traces},
            logits_by_step=by_step,
            learned=self.learned,
            learning=self.learning,
            learning_by_neuron=self.learning_by_neuron,
            frames=self._frames(),
            read=read_shapes(self.network),
        )

    def _logits(self) -> NDArray[np.floating[Any]]:
        readouts = self.network.readouts
        if not readouts:
            last = self.network.populations[-1].name
            counts = self.layouts[last].to_user(self.spikes[last]) if last in self.layouts else self.spikes[last]
            return counts.astype(np.float32 if self.steps <= FLOAT32_APART else np.float64)
        return np.concatenate([read(p, self.potentials[p.name], self._elapsed(p)) for p in readouts], axis=1)

    def _frames(self) -> NDArray[np.floating[Any]] | None:
        """The logits of every frame that the readouts ended in these steps, (samples, frames, classes)."""
        readouts = self.network.readouts
        if not readouts or not all(_framed(p) and self._chosen["traces"][p.name] is None for p in readouts):
            return None
        first, parts = self.timesteps - self.steps if self.streaming else 0, []
        for p in readouts:
            neuron: Any = p.neuron
            steps = [neuron.start_step + at - first for at in neuron.read_at(self._window)]
            trace = self._kept["traces"][p.name][:, [step for step in steps if 0 <= step < self.steps]]
            parts.append(read(p, trace.reshape(-1, p.size), 1).reshape(*trace.shape[:2], p.size))
        return np.concatenate(parts, axis=2) if len({part.shape[1] for part in parts}) == 1 else None

    def _elapsed(self, readout: Population) -> int:
        """Steps of the readout's window that lie behind."""
        return max(1, self.timesteps - readout.neuron.start_step) if self.streaming else self.timesteps

    def _logits_by_step(self) -> NDArray[np.floating[Any]]:
        if not self.network.readouts:
            raise InputError("record", "logits_by_step needs a Readout population", "Add one, or record the raster")
        parts = []
        for p in self.network.readouts:
            start, length = p.neuron.start_step, p.neuron.active_steps(self.timesteps)
            first = self.timesteps - self.steps if self.streaming else 0
            shown = range(self.steps) if self.streaming else range(start, start + length)
            trace = self._kept["traces"][p.name]
            parts.append(np.stack([read(p, trace[:, t], max(1, first + t - start + 1)) for t in shown], axis=1))
        return np.concatenate(parts, axis=2)


def by_output(network: Network, logits: NDArray[np.floating[Any]]) -> dict[str, NDArray[np.floating[Any]]]:
    """Logits (..., values) by the populations that the host reads, {name: (..., *shape)}."""
    return _apart(read_shapes(network), logits)


def read_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """The shapes of the populations that the host reads: the readouts, or the last population."""
    return {p.name: p.shape for p in network.readouts or network.populations[-1:]}


def _apart(shapes: Mapping[str, tuple[int, ...]], logits: NDArray[np.floating[Any]]) -> dict[str, NDArray[np.floating[Any]]]:
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = np.split(logits, ends[:-1], axis=-1) if shapes else []
    return {name: part.reshape(*logits.shape[:-1], *shapes[name]) for name, part in zip(shapes, parts, strict=True)}


def recorded_bytes(network: Network, samples: int, timesteps: int, record: Iterable[str] = ()) -> int:
    """Bytes of the arrays that a Recorder of these arguments allocates."""
    steps, record = network.steps(timesteps), record if isinstance(record, str) else tuple(record)
    width = count_type(steps).itemsize
    bits = {"raster": 32, "packed": 1, "traces": 32}
    total = sum(p.size for p in network.populations) * samples * width + 40 * steps * len(network.populations)
    final = {*_names(network.readouts), *_chosen(network, "potentials", record)}
    total += sum(network[name].size for name in final) * samples * 4
    asked = bool(_chosen(network, "logits_by_step", record))
    by_step = _names(p for p in network.readouts if asked or _framed(p))
    for what, width in bits.items():
        chosen = _chosen(network, what, record)
        if what == "traces":
            chosen = dict.fromkeys(by_step) | chosen
        sizes = [network[name].size if neurons is None else len(neurons) for name, neurons in chosen.items()]
        total += samples * steps * sum(-(-size * width // 8) for size in sizes)
    learning = [p for p in network.projections if p.rule is not None]
    by_neuron = _chosen(network, "learning", record)
    total += 8 * steps * sum(1 + network[p.target].size * (p.target in by_neuron) for p in learning)
    return total + sum(network[name].size for name in by_step) * samples * timesteps * 12  # as logits: in doubles, then floats


@lru_cache
def count_type(steps: int) -> np.dtype[Any]:
    """The narrowest type that counts the messages of a neuron, one a step at most, in so many steps."""
    return np.min_scalar_type(max(steps, 0))


def read(population: Population, potentials: NDArray[Any], elapsed: int) -> NDArray[np.floating[Any]]:
    """Logits of a readout population from its potentials (samples, neurons) after `elapsed` steps of its window.

    float32, or float64 where a potential is so large that float32 could make different ones equal.
    """
    neuron: Any = population.neuron
    largest = max(int(potentials.max(initial=0)), -int(potentials.min(initial=0)))
    logits: NDArray[np.float64] = neuron.read(potentials, population.shape, elapsed)
    return logits.astype(np.float32) if largest < FLOAT32_APART else logits


def listed(raster: NDArray[np.signedinteger[Any]]) -> Messages:
    """A raster (samples, steps, neurons) of payloads as a list of messages."""
    flat = raster.reshape(-1, raster.shape[2])
    at, neurons = np.nonzero(flat)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(at, minlength=len(flat)))])
    payloads = flat[at, neurons].astype(np.int32, copy=False)
    return Messages(offsets, neurons.astype(np.int32), None if (payloads == 1).all() else payloads)


def _names(populations: Iterable[Population]) -> tuple[str, ...]:
    return tuple(p.name for p in populations)


def _framed(population: Population) -> bool:
    """Whether a population is a readout that is read frame by frame."""
    return population.neuron.is_readout and population.neuron.period is not None


def _chosen(network: Network, what: str, record: Iterable[str]) -> dict[str, NDArray[np.int64] | None]:
    """Populations for which `what` is to be recorded, and of which neurons (None: all).

    "raster" is for all populations, "raster:conv1" for one, "traces:conv1:0,5,9" for three of its neurons.
    """
    if isinstance(record, str):
        raise InputError("record", f"{record!r} is a string", f"Pass a tuple, ({record!r},)")
    found: dict[str, NDArray[np.int64] | None] = {}
    for entry in record:
        kind, _, rest = str(entry).partition(":")
        name, _, neurons = rest.partition(":")
        if kind not in RECORDABLE:
            raise InputError("record", f"{entry!r} cannot be recorded", f"Use {', '.join(RECORDABLE)}, or one with ':population'")
        if kind == what and not name:
            found |= dict.fromkeys(_names(network.populations))
        elif kind == what:
            found[name] = _neurons(network[name], entry, neurons) if neurons else None
    return found


def _neurons(population: Population, entry: str, text: str) -> NDArray[np.int64]:
    numbers = text.split(",")
    if not all(number.strip().isdecimal() and int(number) < population.size for number in numbers):
        raise InputError(
            "record", f"{entry!r} names no neurons of 0..{population.size - 1}", "List numbers, 'traces:conv1:0,5,9'"
        )
    return np.array([int(number) for number in numbers])
