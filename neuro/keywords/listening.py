"""Listening: audio in pieces of any size, words out with their times, and what the emulated chip did and spent for each.

Knows spotters and chips; knows nothing of files or terminals. What has been heard does not depend on how it was cut up:
every piece carries on with the state that the last one left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.chip.account import Account, ChipUse
from neuro.chip.placing.placement import Placement, place
from neuro.chip.spec import Chip
from neuro.engine.records import Run
from neuro.engine.session import Session, open_session
from neuro.errors import FitError
from neuro.keywords.body import HEARD
from neuro.keywords.ear import Ear
from neuro.keywords.evaluation import Floats64, posteriors
from neuro.keywords.features import Floats, advance
from neuro.keywords.fronts import RATE
from neuro.keywords.head import KNOWN, SUM, WORDS
from neuro.keywords.spotter import Spotter
from neuro.keywords.teaching import Taught
from neuro.network import Network

SMOOTH_S = 0.16
HOLD_S = 0.24  # a word must stay the likeliest for so long
QUIET_S = 0.5  # after a word, before the next one counts: as long as a word is whole in a window of 1 s
SHARE_EACH = 5.0  # what a taught word's score beyond its threshold adds to its share
MOST_FRAMES = 64  # that the network takes in one call


@dataclass(frozen=True, slots=True)
class Detection:
    """A word that was heard: the middle of the window it was heard in, and its smoothed posterior."""

    word: str
    at_s: float
    share: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one piece brought: smoothed posteriors (frames, classes), messages (frames, neurons) if kept, words, the account."""

    posteriors: Floats64
    spikes: NDArray[np.uint8]
    detections: tuple[Detection, ...]
    account: ChipUse


@dataclass(slots=True)
class Listener:
    """A spotter on a chip that takes a stream of audio: call `hear` with pieces of audio, `finish` at the end. With `taught`,
    words that this spotter has learned are heard too; a score at its threshold counts as a posterior at the spotter's."""

    spotter: Spotter
    chip: Chip
    keep_spikes: bool = False
    taught: Taught | None = None
    placement: Placement = field(init=False)
    latency: int = field(init=False)  # frames from the last of a window to the answer about it, a step each
    ear: Ear | None = field(init=False)  # where words were taught with another body
    _session: Session = field(init=False)
    _account: Account = field(init=False)
    _tail: Floats = field(init=False)  # samples that do not fill a frame yet
    _recent: Floats64 = field(init=False)  # posteriors that the next ones are smoothed with
    _waiting: Floats64 = field(init=False)  # posteriors of the spotter's own words that wait for those of the body's
    _step: int = 0
    _peak: tuple[int, int, float] | None = None  # step, class and share of the likeliest word not yet reported
    _quiet_until: int = 0

    def __post_init__(self) -> None:
        own, self.latency = self.spotter.framewise()
        other = self.taught is not None and self.taught.body is not None
        network = self.taught.network.fixed() if self.taught and not other else own
        self.placement = _placed(network, self.chip)
        self.ear = Ear(self.taught, _placed(self.taught.network.fixed(), self.chip)) if self.taught and other else None
        self._waiting = np.zeros((self._late, len(self.spotter.classes)))
        self._session = open_session(network, record=("raster",), most_steps=MOST_FRAMES)
        self._account = Account(self.placement, MOST_FRAMES)
        settings, nothing = self.spotter.features, np.zeros(0, np.float32)
        self._recent = np.zeros((max(1, round(SMOOTH_S * settings.frames_per_s)) - 1, self._columns))
        silence, self._tail = advance(settings, nothing, np.zeros(settings.samples(self.spotter.frames), np.float32))
        for _ in self._ran(silence):
            pass

    @property
    def words(self) -> tuple[str, ...]:
        """The words that can be heard: the spotter's own, then those that it has been taught."""
        return self.spotter.keywords + (self.taught.words if self.taught else ())

    @property
    def network(self) -> Network:
        """What listens, frame by frame."""
        return self._session.network

    @property
    def cores_used(self) -> int:
        return self.placement.cores_used + (self.ear.placement.cores_used if self.ear else 0)

    @property
    def chips(self) -> int:
        """One, or a second one where another body does not fit beside the spotter."""
        return 1 + (self.cores_used > self.chip.usable_cores and self.ear is not None)

    @property
    def _late(self) -> int:
        """Frames by which scores of another body come after the spotter's of the same sound."""
        if self.ear is None:
            return 0
        return max(0, -(-self.ear.delay // self.spotter.features.hop) - self.spotter.frames // 2 - self.latency)

    @property
    def _columns(self) -> int:
        """Of shares: words, then what is no word."""
        return len(self.spotter.classes) + len(self.words) - len(self.spotter.keywords)

    def hear(self, samples: NDArray[Any]) -> Chunk:
        """Take samples (n,) at the spotter's rate, any number of them."""
        frames, self._tail = advance(self.spotter.features, self._tail, samples)
        shares = np.zeros((0, self._columns))
        spikes, account = [], self.ear.hear(samples) if self.ear else ChipUse()
        for run in self._ran(frames):
            shares = np.concatenate([shares, self._shares(run, self._step + len(shares))])
            account = account + self._account.of(run)
            if self.keep_spikes:
                spikes.append(np.concatenate([np.abs(block[0]).astype(np.uint8) for block in run.raster.values()], axis=1))
        smooth = self._smoothed(shares)
        detections = self._detect(smooth)
        self._step += len(frames)
        return Chunk(smooth, np.concatenate(spikes) if spikes else np.zeros((len(frames), 0), np.uint8), detections, account)

    def finish(self) -> Chunk:
        """The end: as much silence as it takes to detect a word that has just been said."""
        hold = round(HOLD_S * self.spotter.features.frames_per_s)
        frames = self.spotter.frames // 2 + self.latency + len(self._recent) + hold + self._late
        return self.hear(np.zeros(frames * self.spotter.features.hop, np.float32))

    def _ran(self, frames: Floats) -> Iterator[Run]:
        """What the network did with features (frames, size), part by part."""
        heard, *others = self.network.sources
        for start in range(0, len(frames), MOST_FRAMES):
            part = self.spotter.within(self.spotter.normalisation(frames[start : start + MOST_FRAMES]))
            quiet = {p.name: np.zeros((len(part), p.size), np.int32) for p in others}
            yield self._session.step({heard.name: part, **quiet})

    def _shares(self, run: Run, first: int) -> Floats64:
        """Posteriors (frames, columns) of the classes from the `first` frame on, with the scores of taught words among them."""
        assert run.frames is not None
        shares, keywords = posteriors(run.frames[0]), len(self.spotter.keywords)
        if self.taught is None:
            return shares
        if self.ear:
            waiting = np.concatenate([self._waiting, shares])
            shares, self._waiting = waiting[: len(shares)], waiting[len(shares) :]
            near = self.ear.at((first + 1 + np.arange(len(shares))) * self.spotter.features.hop)
        else:
            near = self.taught.nearness({name: run.raster[name][0] for name in (WORDS, KNOWN, SUM)})
        new = np.clip(self.spotter.threshold + SHARE_EACH * (near - np.array(self.taught.thresholds)), 0, 1)
        return np.concatenate([shares[:, :keywords], new, shares[:, keywords:]], axis=1)

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
        found, rate = [], self.spotter.features.frames_per_s
        hold, quiet = round(HOLD_S * rate), round(QUIET_S * rate)
        longer = round((HEARD / RATE - 1 + QUIET_S) * rate)  # in what a body hears a word is whole for longer
        own = len(self.spotter.keywords)
        new = shares[:, own : len(self.words)]
        if new.size:  # a taught word that passes its threshold is heard, whatever the spotter thinks of it
            shares = np.where(np.max(new, axis=1, keepdims=True) >= self.spotter.threshold, 0.0, shares)
            shares[:, own : len(self.words)] = new
        best, share = shares.argmax(axis=1), shares.max(axis=1)
        for row, step in enumerate(range(self._step, self._step + len(shares))):
            keyword = best[row] < len(self.words) and share[row] >= self.spotter.threshold
            if keyword and step >= self._quiet_until and (self._peak is None or share[row] > self._peak[2]):
                self._peak = (step, int(best[row]), float(share[row]))
            if self._peak is not None and step >= self._peak[0] + hold:
                at, word, reached = self._peak
                found.append(Detection(self.words[word], self._middle_s(at), reached))
                self._peak, self._quiet_until = None, at + (longer if self.ear and word >= own else quiet)
        return tuple(found)

    def _middle_s(self, step: int) -> float:
        """The middle of the windows that the posterior at `step` stands for, in seconds since the beginning."""
        settings = self.spotter.features
        last = step - self.latency - self._late - len(self._recent) / 2
        return max(0.0, (last - self.spotter.frames / 2) * settings.hop / settings.rate + settings.window / 2 / settings.rate)


def _placed(network: Network, chip: Chip) -> Placement:
    try:
        return place(network, chip)
    except FitError as error:
        raise FitError(error.where, error.fact, "Listen on a chip with graded messages and room, such as loihi2") from None


def listen(spotter: Spotter, chip: Chip, pieces: Sequence[NDArray[Any]], *, keep_spikes: bool = False) -> Chunk:
    """Everything that is heard in a recording handed over in pieces, the end included."""
    listener = Listener(spotter, chip, keep_spikes)
    parts = [listener.hear(piece) for piece in pieces]
    parts.append(listener.finish())
    whole = [part for part in parts if part.account.steps]
    return Chunk(
        np.concatenate([part.posteriors for part in whole]),
        np.concatenate([part.spikes for part in whole]),
        tuple(detection for part in whole for detection in part.detections),
        sum((part.account for part in whole), ChipUse()),
    )
