"""Teaching: a spotter that learns further words from a few recordings, on the emulated chip, one recording after the other.

A body stays as it is: the spotter's own, of which the means over time of some layers' channels are read, or another network, of
which its numbers are. They are sent, through a matrix that makes them as little correlated within a word as possible, as payloads
above and below the usual value; in each lesson the weights of a new word move towards them, as `neuro.learning.prototype` says. A
score is how near a recording's payloads are to these weights, less half of how near they are to the nearest word that is known.
Knows spotters, bodies and chips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.bundles import load_parts, save_parts
from neuro.chip.emulator import ChipRun, emulate
from neuro.chip.placing.placement import Placement, place
from neuro.chip.spec import Chip
from neuro.engine.run import run
from neuro.errors import FormatError, InputError, NeuroError, UsageError
from neuro.keywords import head
from neuro.keywords.body import HEARD, NAME, Body, shipped_body
from neuro.keywords.features import Floats
from neuro.keywords.pooled import Pooled, nearness, score, threshold
from neuro.keywords.spotter import Spotter
from neuro.network import Network

NEVER = 1.0  # no score is larger


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """A spotter with words that it has been taught: `network` takes a stream, one recording in `steps` steps; `lessons` and
    `thresholds` of each of its `words`."""

    network: Network
    spotter: Spotter
    words: tuple[str, ...]
    lessons: tuple[int, ...]
    thresholds: tuple[float, ...]

    body: Body | None = None

    @staticmethod
    def of(spotter: Spotter, words: tuple[str, ...], pooled: Pooled | Body) -> Taught:
        """A spotter that has not been taught any of the words yet. pooled: how its own body is read, or another body.

        UsageError where there are no words, NetworkError for a spotter that cannot go frame by frame.
        """
        known = [word for word in words if words.count(word) > 1 or word in spotter.classes]
        if not words or known:
            fact = f"{known[0]!r} is known already" if known else "there are none"
            raise UsageError("words to learn", fact, "Name new words, each once")
        body = pooled if isinstance(pooled, Body) else None
        network = head.on_body(pooled, words) if isinstance(pooled, Body) else head.on_spotter(spotter, len(words), pooled)
        return Taught(network, spotter, words, (0,) * len(words), (NEVER,) * len(words), body)

    @property
    def timing(self) -> head.Timing:
        if self.body:
            return head.timing_of_body(self.body)
        return head.timing_of_spotter(max(p.rule.epoch for p in self.network.projections if p.rule is not None))

    @property
    def samples(self) -> int:
        """Of a recording that is heard."""
        return HEARD if self.body else self.spotter.features.samples(self.spotter.frames)

    def inputs(self, clips: NDArray[Any]) -> Floats:
        """What the network takes of recordings (clips, samples): frames (clips, frames, size), or a body's windows."""
        return self.body.inputs(clips) if self.body else self.spotter.within(self.spotter.inputs(clips).transpose(0, 2, 1))

    def teach(
        self, word: str, clips: NDArray[Any], chip: Chip, pooled: Pooled | Body, *, placement: Placement | None = None
    ) -> tuple[Taught, ChipRun]:
        """One lesson for each recording (clips, samples), on the emulated chip: what is known now, and what the chip did.

        The n-th lesson of a word moves its weights by 1 / n, so that they are the mean of all. The chip run's bill is that of
        a lesson. placement: of this network on the chip, where there is one.
        """
        if word not in self.words:
            raise UsageError(f"word {word!r}", "it is not among those to learn", f"Use one of {', '.join(self.words)}")
        if len(clips) == 0:
            raise InputError("lessons", "there are no recordings", "Record the word at least once")
        known = pooled.pooled if isinstance(pooled, Body) else pooled
        at, timing, inputs = self.words.index(word), self.timing, self._given(clips)
        numbers = self.lessons[at] + 1 + np.arange(len(clips))
        inputs[head.TEACHER][:, timing.lesson, at] = np.maximum(1, np.rint(head.WHOLE / numbers))
        chip_run = emulate(placement or place(self.network, chip), inputs, timesteps=timing.window)
        assert chip_run.run.learned is not None
        lessons = tuple(n + len(clips) * (i == at) for i, n in enumerate(self.lessons))
        taught = replace(self, network=chip_run.run.learned, lessons=lessons)
        return replace(taught, thresholds=taught._thresholds(known.without(self.words))), chip_run

    @property
    def weights(self) -> NDArray[np.int64]:
        """What has been learned, (payloads, words)."""
        learned = next(p for p in self.network.projections if p.rule is not None)
        return np.asarray(learned.weights, np.int64)

    @property
    def known(self) -> NDArray[np.int64]:
        """The weights of the words that the spotter knows, (payloads, words)."""
        return np.asarray(self.network.into(head.KNOWN)[0].stored_weights, np.int64)

    def _thresholds(self, pooled: Pooled) -> tuple[float, ...]:
        scores = score(pooled.others, self.weights, self.known).T
        return tuple(threshold(row, pooled.people) if n else NEVER for n, row in zip(self.lessons, scores, strict=True))

    def payloads(self, clips: NDArray[Any], *, threads: int | None = None) -> NDArray[np.int64]:
        """What reaches the synapses at the end of each recording, (clips, payloads), as the network computes it."""
        return self._sent(clips, (head.POOL,), threads)[head.POOL][:, self.timing.pooled].astype(np.int64)

    def scores(self, clips: NDArray[Any], *, threads: int | None = None) -> NDArray[np.float64]:
        """Scores (clips, words), from the messages that the network sends at the end of each recording."""
        sent = self._sent(clips, (head.WORDS, head.KNOWN, head.SUM), threads)
        return self.nearness({name: block[:, self.timing.scored] for name, block in sent.items()})

    def _sent(self, clips: NDArray[Any], names: tuple[str, ...], threads: int | None) -> Mapping[str, NDArray[Any]]:
        record, network = tuple(f"raster:{name}" for name in names), self.network.fixed()
        return run(network, self._given(clips), timesteps=self.timing.window, record=record, threads=threads).raster

    def _given(self, clips: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """What is sent for recordings, and a teacher that says nothing."""
        teacher = np.zeros((len(clips), self.timing.taught, len(self.words)), np.int32)
        return {self.network.sources[0].name: self.inputs(clips), head.TEACHER: teacher}

    def nearness(self, sent: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Scores (rows, words) from what the populations WORDS, KNOWN and SUM send, (rows, neurons) each."""
        new, known, total = (sent[name].astype(np.int64) for name in (head.WORDS, head.KNOWN, head.SUM))
        return nearness(new, known, total[:, 0], self.weights, self.known)

    def heard(self, clips: NDArray[Any], *, threads: int | None = None) -> tuple[str, ...]:
        """The word of each recording: a taught one whose score passes its threshold, the farthest above, or the spotter's own."""
        above = self.scores(clips, threads=threads) - np.array(self.thresholds)
        own = self.spotter.run(clips, threads=threads).predictions
        return tuple(
            self.words[int(row.argmax())] if row.max() > 0 else self.spotter.classes[k] for row, k in zip(above, own, strict=True)
        )

    def save(self, path: Any) -> None:
        """Write what was taught into one file; the spotter and the body are files of their own."""
        parts = {name: getattr(self, name) for name in ("network", "words", "lessons", "thresholds")}
        name = self.body.card.get("name", "another") if self.body else ""
        save_parts({**parts, "other_body": name}, path, "taught words")

    @staticmethod
    def load(path: Any, spotter: Spotter, body: Body | None = None) -> Taught:
        """Read a file that `save` wrote for this spotter and, where its words were taught with a body that does not come with the
        package, this body; anything else is a FormatError."""
        parts = load_parts(path, "taught words")
        try:
            other = parts.pop("other_body", "")
            body = shipped_body() if body is None and other == NAME else body
            taught = Taught(spotter=spotter, body=body, **parts)
            own = {} if other else {p.name: p for p in spotter.framewise()[0].populations}  # earlier versions wrote no frames
            if {head.POOL, head.TEACHER, head.WORDS, head.KNOWN, head.SUM, *own} - {p.name for p in taught.network.populations}:
                raise InputError("taught words", "an earlier version or another spotter learned them", "Teach them again")
            populations = tuple(own.get(p.name, p) for p in taught.network.populations)
            taught = replace(taught, network=replace(taught.network, populations=populations))
        except (TypeError, AttributeError, NeuroError) as error:
            raise FormatError(str(path), f"it holds no taught words ({error})", "Teach them again") from None
        missing = (
            set() if body is None else {p.name for p in body.network.populations} - {p.name for p in taught.network.populations}
        )
        if bool(other) != (body is not None) or missing:
            told = "another body" if other else "the spotter's own body"
            raise FormatError(
                str(path), f"its words were taught with {told}", "Pass the --body that they were taught with, or none"
            )
        return taught
