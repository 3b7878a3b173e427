"""Teaching: a spotter that learns further words from a few recordings, on the emulated chip, one recording after the other.

The spotter's body stays as it is. What its last layer reads, the mean of the last frames of every channel, is sent as payloads
above and below the channel's usual value; in each lesson the weights of a new word move towards them, as
`neuro.learning.prototype` says; a recording's score is its payloads times these weights over their sum. Knows spotters and chips.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.bundles import load_parts, save_parts
from neuro.chip.emulator import ChipRun, emulate
from neuro.chip.placing.placement import Placement, place
from neuro.chip.spec import Chip
from neuro.engine.run import run
from neuro.errors import FormatError, InputError, NeuroError, UsageError
from neuro.files import read_tensors
from neuro.keywords.spotter import Spotter
from neuro.keywords.streaming import StreamNetwork, stream
from neuro.learning.ready import prototype
from neuro.learning.rule import LONGEST_EPOCH
from neuro.network import Network, Population
from neuro.neurons import Graded, Source
from neuro.projections import Dense, Sparse

SHIPPED = "ten_words_pooled.safetensors"
POOL, WORDS, SUM, TEACHER = "pool", "words", "sum", "teacher"
WHOLE = 32  # what the teacher sends for a lesson that replaces all that was known of a word
STEP_SHARE = 0.4  # of a channel's unit, averaged over the frames, is a payload of 1
MOST_PAYLOAD = (1 << 24) - 1
FALSE_ALARMS = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """What the channels before a spotter's last layer do: their means (channels,), and payloads (clips, 2 channels) of recordings
    of other words, by which the threshold of a new word is chosen."""

    means: NDArray[np.int64]
    others: NDArray[np.int64]


def shipped_pooled() -> Pooled:
    """Those of the shipped spotter, made by `python benchmarks/keywords_learning.py --pooled`."""
    with resources.as_file(resources.files("neuro.keywords").joinpath(SHIPPED)) as path:
        tensors = read_tensors(path)
    return Pooled(tensors["means"].astype(np.int64), tensors["others"].astype(np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """A spotter with words that it has been taught: `network` takes a stream, one recording in `steps` steps; `lessons` and
    `thresholds` of each of its `words`. `hearing`: the spotter's own network for streams."""

    network: Network
    spotter: Spotter
    hearing: StreamNetwork
    words: tuple[str, ...]
    lessons: tuple[int, ...]
    thresholds: tuple[float, ...]

    @staticmethod
    def of(spotter: Spotter, words: tuple[str, ...], pooled: Pooled) -> Taught:
        """A spotter that has not been taught any of the words yet. UsageError for one that has no stream form, or no words."""
        known = [word for word in words if words.count(word) > 1 or word in spotter.classes]
        if not words or known:
            fact = f"{known[0]!r} is known already" if known else "there are none"
            raise UsageError("words to learn", fact, "Name new words, each once")
        hearing = stream(spotter.network)
        return Taught(_learner(hearing, len(words), pooled), spotter, hearing, words, (0,) * len(words), (1.0,) * len(words))

    @property
    def steps(self) -> int:
        """Steps of one recording: its frames, and those until its payloads reach the synapses that learn."""
        return _steps(self.hearing)

    def messages(self, clips: NDArray[Any]) -> NDArray[np.int32]:
        """What recordings (clips, samples) send, (clips, steps, channels)."""
        frames = self.spotter.inputs(clips).transpose(0, 2, 1)
        sent = np.zeros((len(clips), self.steps, frames.shape[2] * (1 + self.hearing.source.twin)), np.int32)
        for clip, given in zip(sent, frames, strict=True):
            clip[: len(given)] = self.hearing.messages(given)
        return sent

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
        at, sent = self.words.index(word), self.messages(clips)
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

    def _thresholds(self, pooled: Pooled) -> tuple[float, ...]:
        scores = score(pooled.others, self.weights)
        return tuple(float(np.quantile(column, 1 - FALSE_ALARMS)) for column in scores.T)

    def payloads(self, clips: NDArray[Any], *, threads: int | None = None) -> NDArray[np.int64]:
        """What reaches the synapses at the end of each recording, (clips, payloads), as the network computes it."""
        network, source = self.network.fixed(), self.network.sources[0].name
        inputs = {source: self.messages(clips), TEACHER: np.zeros((len(clips), 1, len(self.words)), np.int32)}
        raster = run(network, inputs, timesteps=self.steps, record=(f"raster:{POOL}",), threads=threads).raster[POOL]
        return raster[:, -2].astype(np.int64)

    def scores(self, clips: NDArray[Any], *, threads: int | None = None) -> NDArray[np.float64]:
        """Scores (clips, words), from the messages that the network sends at the end of each recording."""
        network, source = self.network.fixed(), self.network.sources[0].name
        inputs = {source: self.messages(clips), TEACHER: np.zeros((len(clips), 1, len(self.words)), np.int32)}
        record = (f"raster:{WORDS}", f"raster:{SUM}")
        raster = run(network, inputs, timesteps=self.steps, record=record, threads=threads).raster
        return np.asarray(raster[WORDS][:, -1] / np.maximum(1, raster[SUM][:, -1]), np.float64)

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
            return Taught(spotter=spotter, hearing=stream(spotter.network), **parts)
        except (TypeError, NeuroError) as error:
            raise FormatError(str(path), f"it holds no taught words ({error})", "Teach them again") from None


def score(payloads: NDArray[np.int64], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Payloads (clips, n) times weights (n, words), over the sum of the payloads."""
    return np.asarray(payloads @ weights / np.maximum(1, payloads.sum(axis=1))[:, None], np.float64)


def _steps(hearing: StreamNetwork) -> int:
    return hearing.window + hearing.latency + 1


def _learner(hearing: StreamNetwork, words: int, pooled: Pooled) -> Network:
    """The stream network, its last layer's inputs as payloads, and synapses from them to each new word."""
    network, steps = hearing.network, _steps(hearing)
    if steps > LONGEST_EPOCH:
        raise UsageError("spotter", f"a recording takes {steps} steps, an epoch {LONGEST_EPOCH}", "Use a shorter window")
    into = network.into(network.readouts[0].name)
    body, delays = network[into[0].source], sorted(p.delay for p in into)
    if pooled.means.shape != (body.size,):
        raise UsageError("spotter", f"{body.size} channels, {pooled.means.size} means", "Take what belongs to this spotter")
    frames = delays[-1] - delays[0] or 1
    means = np.concatenate([-pooled.means, pooled.means]) * frames
    neuron = Graded(max(1, round(frames * STEP_SHARE)), bias=means.astype(np.int32), hold_input=True)
    channels = np.arange(body.size)
    pairs = np.tile(channels, 2), np.arange(2 * body.size)
    signs = np.repeat([1, -1], body.size)
    halves = [Sparse(body.name, POOL, (*pairs, signs), delay=delays[0])]
    halves += [Sparse(body.name, POOL, (*pairs, -signs), delay=delays[-1])] if len(delays) > 1 else []
    rule = replace(prototype(TEACHER, 0, sign="excitatory"), epoch=steps)
    size = 2 * body.size
    populations = (
        Population(POOL, (size,), neuron),
        Population(TEACHER, (words,), Source(levels=127)),
        Population(WORDS, (words,), Graded(1, MOST_PAYLOAD)),
        Population(SUM, (1,), Graded(1, MOST_PAYLOAD)),
    )
    learning = Dense(POOL, WORDS, np.zeros((size, words), np.int32), rule=rule)
    added = (*halves, learning, Dense(POOL, SUM, np.ones((size, 1), np.int32)))
    return Network((*network.populations, *populations), (*network.projections, *added), notes=network.notes)
