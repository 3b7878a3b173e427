"""Listening: audio in pieces of any size, words out with their times, and what the emulated chip did and spent for each.

Knows spotters and chips; knows nothing of files or terminals. What has been heard does not depend on how it was cut up:
every piece carries on with the state that the last one left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.chip.counts import Counts
from neuro.chip.emulator import emulate
from neuro.chip.placement import Placement, place
from neuro.chip.pricing import price
from neuro.chip.spec import Chip
from neuro.keywords.evaluation import Floats64, posteriors
from neuro.keywords.features import Floats, advance
from neuro.keywords.spotter import Spotter
from neuro.keywords.streaming import StreamNetwork, stream

SMOOTH_S = 0.16
HOLD_S = 0.24  # a word must stay the likeliest for so long
QUIET_S = 0.5  # after a word, before the next one counts


@dataclass(frozen=True, slots=True)
class Detection:
    """A word that was heard: the middle of the window it was heard in, and its smoothed posterior."""

    word: str
    at_s: float
    share: float


@dataclass(frozen=True, slots=True)
class Account:
    """What the chip did for some frames. Adds up; energies in pJ are dynamic only, by part; `busy_ns` it worked."""

    frames: int = 0
    spikes: int = 0
    synops: int = 0
    packets: int = 0
    busy_ns: float = 0.0
    parts_pj: tuple[tuple[str, float], ...] = ()

    def __add__(self, other: Account) -> Account:
        names = dict.fromkeys(name for name, _ in (*self.parts_pj, *other.parts_pj))
        mine, theirs = dict(self.parts_pj), dict(other.parts_pj)
        return Account(
            self.frames + other.frames,
            self.spikes + other.spikes,
            self.synops + other.synops,
            self.packets + other.packets,
            self.busy_ns + other.busy_ns,
            tuple((name, mine.get(name, 0.0) + theirs.get(name, 0.0)) for name in names),
        )

    @property
    def dynamic_pj(self) -> float:
        return sum(energy for _, energy in self.parts_pj)


@dataclass(frozen=True, slots=True)
class Heard:
    """What one piece brought: smoothed posteriors (frames, classes), messages (frames, neurons) if kept, words, the account."""

    posteriors: Floats64
    spikes: NDArray[np.uint8]
    detections: tuple[Detection, ...]
    account: Account


@dataclass(slots=True)
class Listener:
    """A spotter on a chip with its ears open: call `hear` with pieces of audio, `finish` at the end."""

    spotter: Spotter
    chip: Chip
    keep_spikes: bool = False
    hearing: StreamNetwork = field(init=False)
    placement: Placement = field(init=False)
    _tail: Floats = field(init=False)  # samples that do not fill a frame yet
    _past: NDArray[np.int32] = field(init=False)  # as many frames as the network's state can stem from
    _recent: Floats64 = field(init=False)  # posteriors that the next ones are smoothed with
    _step: int = field(init=False)
    _peak: tuple[int, int, float] | None = None  # step, class and share of the likeliest word not yet told
    _quiet_until: int = 0

    def __post_init__(self) -> None:
        self.hearing = stream(self.spotter.network)
        self.placement = place(self.hearing.network, self.chip)
        settings, window = self.spotter.features, self.hearing.window
        self._recent = np.zeros((max(1, round(SMOOTH_S * settings.frames_per_s)) - 1, len(self.spotter.classes)))
        silence, self._tail = advance(settings, np.zeros(0, np.float32), np.zeros(settings.samples(window), np.float32))
        self._past = self.hearing.messages(self.spotter.normalisation(silence))
        self._step = 0

    def hear(self, samples: NDArray[Any]) -> Heard:
        """Take samples (n,) at the spotter's rate, any number of them."""
        frames, self._tail = advance(self.spotter.features, self._tail, samples)
        if len(frames) == 0:
            return Heard(np.zeros((0, len(self.spotter.classes))), np.zeros((0, 0), np.uint8), (), Account())
        messages = np.concatenate([self._past, self.hearing.messages(self.spotter.normalisation(frames))])
        new, after = len(frames), self._longest_delay()
        ran = emulate(
            self.hearing.network, self.placement, np.pad(messages, ((0, after), (0, 0)))[None], threads=1, record=self._wanted()
        )
        now = slice(len(messages) - new, len(messages))
        self._past = messages[-(self.hearing.warm_up + 2) :]
        assert ran.run.logits_by_step is not None
        smooth = self._smoothed(posteriors(ran.run.logits_by_step[0, now]))
        detections = self._detect(smooth)
        self._step += new
        spikes = [np.abs(block[0, now]).astype(np.uint8) for block in ran.run.raster.values()]
        kept = np.concatenate(spikes, axis=1) if spikes else np.zeros((new, 0), np.uint8)
        return Heard(smooth, kept, detections, _account(_part(ran.counts, now), self.chip))

    def finish(self) -> Heard:
        """The end: as much silence as it takes to hear a word that has just been said."""
        hold = round(HOLD_S * self.spotter.features.frames_per_s)
        frames = self.hearing.window // 2 + self.hearing.latency + len(self._recent) + hold
        return self.hear(np.zeros(frames * self.spotter.features.hop, np.float32))

    def _longest_delay(self) -> int:
        """Steps after which nothing of a piece is still on its way: work that its messages cause counts in full."""
        return max(projection.delay for projection in self.hearing.network.projections)

    def _wanted(self) -> tuple[str, ...]:
        return ("logits_by_step", "raster") if self.keep_spikes else ("logits_by_step",)

    def _smoothed(self, shares: Floats64) -> Floats64:
        """Means over the last frames, added up in the same order however the audio was cut."""
        rows = np.concatenate([self._recent, shares])
        count = len(self._recent) + 1
        self._recent = rows[len(rows) - count + 1 :]
        total = np.zeros_like(shares)
        for back in range(count):
            total = total + rows[back : back + len(shares)]
        return total / count

    def _detect(self, shares: Floats64) -> tuple[Detection, ...]:
        """Words at the peak of their posterior, once nothing likelier has come for `HOLD_S`."""
        found, hold, quiet = [], *(round(s * self.spotter.features.frames_per_s) for s in (HOLD_S, QUIET_S))
        best, share = shares.argmax(axis=1), shares.max(axis=1)
        for row, step in enumerate(range(self._step, self._step + len(shares))):
            keyword = best[row] < len(self.spotter.keywords) and share[row] >= self.spotter.threshold
            if keyword and step >= self._quiet_until and (self._peak is None or share[row] > self._peak[2]):
                self._peak = (step, int(best[row]), float(share[row]))
            if self._peak is not None and step >= self._peak[0] + hold:
                at, word, reached = self._peak
                found.append(Detection(self.spotter.classes[word], self._middle_s(at), reached))
                self._peak, self._quiet_until = None, at + quiet
        return tuple(found)

    def _middle_s(self, step: int) -> float:
        """The middle of the windows that the posterior at `step` stands for, in seconds since the beginning."""
        settings = self.spotter.features
        last = step - self.hearing.latency - len(self._recent) / 2
        return max(0.0, (last - self.hearing.window / 2) * settings.hop / settings.rate + settings.window / 2 / settings.rate)


def _part(counts: Counts, now: slice) -> Counts:
    """The counts of some steps alone."""
    by_step = ("spikes", "packets_out", "packets_in", "updates", "driven", "restless", "hops")
    of_samples = ("each", "heaviest", "far")
    return replace(
        counts,
        steps=now.stop - now.start,
        synops={form: table[now] for form, table in counts.synops.items()},
        **{name: getattr(counts, name)[now] for name in by_step},
        **{name: getattr(counts, name)[:, now] for name in of_samples},
    )


def _account(counts: Counts, chip: Chip) -> Account:
    bill = price(counts, chip)
    return Account(
        frames=counts.steps,
        spikes=int(counts.spikes.sum()),
        synops=int(sum(table.sum() for table in counts.synops.values())),
        packets=counts.packets,
        busy_ns=bill.latency_ns,
        parts_pj=tuple((part.name, part.energy_pj) for part in bill.parts if part.kind == "dynamic"),
    )


def listen(spotter: Spotter, chip: Chip, pieces: Sequence[NDArray[Any]], *, keep_spikes: bool = False) -> Heard:
    """Everything that is heard in a recording handed over in pieces, the end included."""
    listener = Listener(spotter, chip, keep_spikes)
    parts = [listener.hear(piece) for piece in pieces]
    parts.append(listener.finish())
    whole = [part for part in parts if part.account.frames]
    return Heard(
        np.concatenate([part.posteriors for part in whole]),
        np.concatenate([part.spikes for part in whole]),
        tuple(detection for part in whole for detection in part.detections),
        sum((part.account for part in whole), Account()),
    )
