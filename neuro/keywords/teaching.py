"""Teaching: a spotter that learns further words from a few recordings, on the emulated chip, one recording after the other.

The spotter's body stays as it is. The means over time of the channels of some of its layers are sent, through a matrix that makes
them as little correlated within a word as possible, as payloads above and below the usual value; in each lesson the weights of a
new word move towards them, as `neuro.learning.prototype` says. A recording's score is how near its payloads are to these weights,
less half of how near they are to the nearest word that the spotter knows. Knows spotters and chips.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from neuro.bundles import load_parts, save_parts
from neuro.chip.emulator import ChipRun, emulate
from neuro.chip.placing.placement import Placement, place
from neuro.chip.spec import Chip
from neuro.engine.run import run
from neuro.errors import FormatError, InputError, NeuroError, UsageError
from neuro.keywords.features import Floats
from neuro.keywords.spotter import Spotter
from neuro.learning.ready import prototype
from neuro.learning.rule import LONGEST_EPOCH
from neuro.network import Network, Population
from neuro.neurons import Graded, Source
from neuro.projections import Dense

SHIPPED = "ten_words_pooled.safetensors"
POOL, WORDS, KNOWN, SUM, TEACHER = "pool", "words", "known", "sum", "teacher"
WHOLE = 64  # what the teacher sends for a lesson that replaces all that was known of a word
NEAREST_KNOWN = 0.5  # what the nearest known word takes from a score
MOST_PAYLOAD = (1 << 24) - 1
FALSE_ALARMS = 0.02  # at most, of recordings of other words
SURE = 0.8  # how sure a threshold is to keep to it
NEVER = 1.0  # no score is larger


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """How a spotter's body is read, and what is known of recordings.

    Sums over time of all channels of `layers`, one layer after the other, are multiplied by `matrix` (channels, outputs);
    `means` (outputs,) is what that gives on average, `divisor` by how much of it a payload rises by 1. others (clips, 2 outputs):
    payloads of recordings of other words, by which the threshold of a new one is chosen; known (2 outputs, words): weights of
    the words that the spotter knows.
    """

    layers: tuple[str, ...]
    matrix: NDArray[np.int64]
    means: NDArray[np.int64]
    divisor: int
    others: NDArray[np.int64]
    known: NDArray[np.int64]

    def save(self, path: Any) -> None:
        """Write it into one file."""
        save_parts({part.name: getattr(self, part.name) for part in fields(self)}, path, "pooled channels")

    @staticmethod
    def load(path: Any) -> Pooled:
        """Read a file that `save` wrote."""
        parts = load_parts(path, "pooled channels")
        wide: dict[str, Any] = {
            name: part.astype(np.int64) if isinstance(part, np.ndarray) else part for name, part in parts.items()
        }
        try:
            return Pooled(**wide)
        except TypeError as error:
            raise FormatError(str(path), f"it holds no pooled channels ({error})", "Make them again") from None


def shipped_pooled() -> Pooled:
    """That of the shipped spotter, made by `python benchmarks/keywords_learning.py --pooled`."""
    with resources.as_file(resources.files("neuro.keywords").joinpath(SHIPPED)) as path:
        return Pooled.load(path)


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """A spotter with words that it has been taught: `network` takes a stream, one recording in `steps` steps; `lessons` and
    `thresholds` of each of its `words`."""

    network: Network
    spotter: Spotter
    words: tuple[str, ...]
    lessons: tuple[int, ...]
    thresholds: tuple[float, ...]

    @staticmethod
    def of(spotter: Spotter, words: tuple[str, ...], pooled: Pooled) -> Taught:
        """A spotter that has not been taught any of the words yet. UsageError where there are no words, NetworkError for a
        spotter that cannot go frame by frame."""
        known = [word for word in words if words.count(word) > 1 or word in spotter.classes]
        if not words or known:
            fact = f"{known[0]!r} is known already" if known else "there are none"
            raise UsageError("words to learn", fact, "Name new words, each once")
        network = _learner(spotter, len(words), pooled)
        return Taught(network, spotter, words, (0,) * len(words), (NEVER,) * len(words))

    @property
    def steps(self) -> int:
        """Steps of one recording: its frames, and those until its payloads reach the synapses that learn."""
        return max(p.rule.epoch for p in self.network.projections if p.rule is not None)

    def inputs(self, clips: NDArray[Any]) -> Floats:
        """What the network takes of recordings (clips, samples), frame by frame: (clips, frames, size)."""
        return self.spotter.within(self.spotter.inputs(clips).transpose(0, 2, 1))

    def teach(
        self, word: str, clips: NDArray[Any], chip: Chip, pooled: Pooled, *, placement: Placement | None = None
    ) -> tuple[Taught, ChipRun]:
        """One lesson for each recording (clips, samples), on the emulated chip: what is known now, and what the chip did.

        The n-th lesson of a word moves its weights by 1 / n, so that they are the mean of all. The chip run's bill is that of
        a lesson. placement: of this network on the chip, where there is one.
        """
        if word not in self.words:
            raise UsageError(f"word {word!r}", "it is not among those to learn", f"Use one of {', '.join(self.words)}")
        if len(clips) == 0:
            raise InputError("lessons", "there are no recordings", "Record the word at least once")
        at, sent = self.words.index(word), self.inputs(clips)
        teacher = np.zeros((len(clips), self.steps, len(self.words)), np.int32)
        numbers = self.lessons[at] + 1 + np.arange(len(clips))
        teacher[:, -2, at] = np.maximum(1, np.rint(WHOLE / numbers))
        source = self.network.sources[0].name
        chip_run = emulate(placement or place(self.network, chip), {source: sent, TEACHER: teacher}, timesteps=self.steps)
        assert chip_run.run.learned is not None
        lessons = tuple(n + len(clips) * (i == at) for i, n in enumerate(self.lessons))
        taught = replace(self, network=chip_run.run.learned, lessons=lessons)
        return replace(taught, thresholds=taught._thresholds(pooled)), chip_run

    @property
    def weights(self) -> NDArray[np.int64]:
        """What has been learned, (payloads, words)."""
        learned = next(p for p in self.network.projections if p.rule is not None)
        return np.asarray(learned.weights, np.int64)

    @property
    def known(self) -> NDArray[np.int64]:
        """The weights of the words that the spotter knows, (payloads, words)."""
        return np.asarray(self.network.into(KNOWN)[0].stored_weights, np.int64)

    def _thresholds(self, pooled: Pooled) -> tuple[float, ...]:
        scores = score(pooled.others, self.weights, self.known)
        return tuple(threshold(column) if lessons else NEVER for lessons, column in zip(self.lessons, scores.T, strict=True))

    def payloads(self, clips: NDArray[Any], *, threads: int | None = None) -> NDArray[np.int64]:
        """What reaches the synapses at the end of each recording, (clips, payloads), as the network computes it."""
        network, source = self.network.fixed(), self.network.sources[0].name
        inputs = {source: self.inputs(clips), TEACHER: np.zeros((len(clips), 1, len(self.words)), np.int32)}
        raster = run(network, inputs, timesteps=self.steps, record=(f"raster:{POOL}",), threads=threads).raster[POOL]
        return raster[:, -2].astype(np.int64)

    def scores(self, clips: NDArray[Any], *, threads: int | None = None) -> NDArray[np.float64]:
        """Scores (clips, words), from the messages that the network sends at the end of each recording."""
        network, source = self.network.fixed(), self.network.sources[0].name
        inputs = {source: self.inputs(clips), TEACHER: np.zeros((len(clips), 1, len(self.words)), np.int32)}
        record = tuple(f"raster:{name}" for name in (WORDS, KNOWN, SUM))
        raster = run(network, inputs, timesteps=self.steps, record=record, threads=threads).raster
        return self.nearness({name: block[:, -1] for name, block in raster.items()})

    def nearness(self, sent: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Scores (rows, words) from what the populations WORDS, KNOWN and SUM send, (rows, neurons) each."""
        new, known, total = (sent[name].astype(np.int64) for name in (WORDS, KNOWN, SUM))
        return _nearness(new, known, total[:, 0], self.weights, self.known)

    def heard(self, clips: NDArray[Any], *, threads: int | None = None) -> tuple[str, ...]:
        """The word of each recording: a taught one whose score passes its threshold, the farthest above, or the spotter's own."""
        above = self.scores(clips, threads=threads) - np.array(self.thresholds)
        own = self.spotter.run(clips, threads=threads).predictions
        return tuple(
            self.words[int(row.argmax())] if row.max() > 0 else self.spotter.classes[k] for row, k in zip(above, own, strict=True)
        )

    def save(self, path: Any) -> None:
        """Write what was taught into one file; the spotter is a file of its own."""
        parts = {name: getattr(self, name) for name in ("network", "words", "lessons", "thresholds")}
        save_parts(parts, path, "taught words")

    @staticmethod
    def load(path: Any, spotter: Spotter) -> Taught:
        """Read a file that `save` wrote for this spotter; anything else is a FormatError."""
        parts = load_parts(path, "taught words")
        try:
            taught = Taught(spotter=spotter, **parts)
            own = {p.name: p for p in spotter.framewise()[0].populations}  # earlier versions wrote it without frames
            if {POOL, TEACHER, WORDS, KNOWN, SUM, *own} - {p.name for p in taught.network.populations}:
                raise InputError("taught words", "an earlier version or another spotter learned them", "Teach them again")
            body = tuple(own.get(p.name, p) for p in taught.network.populations)
            return replace(taught, network=replace(taught.network, populations=body))
        except (TypeError, AttributeError, NeuroError) as error:
            raise FormatError(str(path), f"it holds no taught words ({error})", "Teach them again") from None


def score(payloads: NDArray[np.int64], weights: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scores (clips, words) of payloads (clips, n) by the weights (n, words) of new words and of those that are known."""
    return _nearness(payloads @ weights, payloads @ known, payloads.sum(axis=1), weights, known)


def threshold(scores: NDArray[np.float64]) -> float:
    """The lowest score that lets no more than FALSE_ALARMS of other words through, given scores (n,) of n recordings of such: as
    many of them may pass it as leave the upper end of their share's interval (Clopper and Pearson, one side) within that."""
    passing = np.arange(len(scores))
    allowed = int((betaincinv(passing + 1, len(scores) - passing, SURE) <= FALSE_ALARMS).sum())
    return float(np.sort(scores)[len(scores) - max(1, allowed)])


def _nearness(new: Any, known: Any, total: Any, weights: Any, known_weights: Any) -> NDArray[np.float64]:
    """Products with weights, each over the length of the weights, and over the sum (clips,) of the payloads."""
    lengths = [np.maximum(1.0, np.sqrt((w.astype(np.float64) ** 2).sum(axis=0))) for w in (weights, known_weights)]
    nearest = (known / lengths[1]).max(axis=1, initial=0.0)
    return np.asarray((new / lengths[0] - NEAREST_KNOWN * nearest[:, None]) / np.maximum(1, total)[:, None], np.float64)


def _learner(spotter: Spotter, words: int, pooled: Pooled) -> Network:
    """The network frame by frame, sums over its layers' frames as payloads, and synapses from them to each new word."""
    network, latency = spotter.framewise()
    steps = spotter.frames + latency + 1
    if steps > LONGEST_EPOCH:
        raise UsageError("spotter", f"a recording takes {steps} steps, an epoch {LONGEST_EPOCH}", "Use a shorter window")
    outputs = pooled.matrix.shape[1]
    bias = np.concatenate([-pooled.means, pooled.means]).astype(np.int32)
    rule = replace(prototype(TEACHER, -1, sign="excitatory"), epoch=steps)  # 64 is a whole lesson
    populations = (
        Population(POOL, (2 * outputs,), Graded(pooled.divisor, bias=bias, hold_input=True)),
        Population(TEACHER, (words,), Source(levels=127)),
        Population(WORDS, (words,), Graded(1, MOST_PAYLOAD)),
        Population(KNOWN, (pooled.known.shape[1],), Graded(1, MOST_PAYLOAD)),
        Population(SUM, (1,), Graded(1, MOST_PAYLOAD)),
    )
    added = (
        *_pools(spotter, network, pooled),
        Dense(POOL, WORDS, np.zeros((2 * outputs, words), np.int32), rule=rule),
        Dense(POOL, KNOWN, pooled.known.astype(np.int32)),
        Dense(POOL, SUM, np.ones((2 * outputs, 1), np.int32)),
    )
    return Network((*network.populations, *populations), (*network.projections, *added), notes=network.notes)


def _pools(spotter: Spotter, network: Network, pooled: Pooled) -> Iterator[Dense]:
    """From each layer that is read, its frames as they come and, negated, as they leave the window; all at the same time."""
    names = [p.name for p in network.populations]
    channels = [network[name].size for name in pooled.layers if name in names]
    if len(channels) < len(pooled.layers) or sum(channels) != len(pooled.matrix):
        fact = f"{sum(channels)} channels in layers {', '.join(pooled.layers)}, a matrix for {len(pooled.matrix)}"
        raise UsageError("spotter", fact, "Take what belongs to this spotter")
    last = names.index(network.into(network.readouts[0].name)[0].source)
    for name, part in zip(pooled.layers, np.split(pooled.matrix, np.cumsum(channels)[:-1]), strict=True):
        weights = np.concatenate([part, -part], axis=1).astype(np.int32)
        delay, frames = 1 + last - names.index(name), int(spotter.network[name].shape[1])
        yield Dense(name, POOL, weights, delay=delay)
        yield Dense(name, POOL, -weights, delay=delay + frames)
