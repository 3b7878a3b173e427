"""An ear: a body with taught words on a chip that takes a stream of audio, and what it scores them at every window.

Knows taught words and chips; knows nothing of what the scores are for. They do not depend on how the audio is cut up.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.chip.account import Account, ChipUse
from neuro.chip.placing.placement import Placement
from neuro.engine.session import Session, open_session
from neuro.errors import RangeWarning
from neuro.keywords.body import HEARD, Body
from neuro.keywords.features import Floats, to_float
from neuro.keywords.head import KNOWN, SUM, TEACHER, WORDS
from neuro.keywords.teaching import Taught

MOST_WINDOWS = 8  # that the network takes in one call
KEPT = 4  # scores before a piece of audio that its first samples may ask for


@dataclass(slots=True)
class Ear:
    """Call `hear` with pieces of audio; `at` says how a word scored in the recording that ended before a sample."""

    taught: Taught
    placement: Placement  # of its network, which learns no more
    body: Body = field(init=False)
    _session: Session = field(init=False)
    _account: Account = field(init=False)
    _tail: Floats = field(init=False)
    _scores: NDArray[np.float64] = field(init=False)  # (windows, words), those of silence before the stream first
    _first: int = 0  # the window of the first score, 0 for the first window that ends in the stream

    def __post_init__(self) -> None:
        assert self.taught.body is not None  # words taught with the spotter's own body are heard by the spotter
        self.body = self.taught.body
        steps = MOST_WINDOWS * self.body.period
        self._session = open_session(self.placement.network, record=("raster",), most_steps=MOST_WINDOWS)
        self._account = Account(self.placement, steps)
        self._scores = np.zeros((0, len(self.taught.words)))
        warm = -(-HEARD // self.body.front.every) + self.behind
        self._tail = np.zeros(self.body.front.window + (warm - 1) * self.body.front.every, np.float32)
        self._first = -warm - self.behind
        self._advance()

    @property
    def behind(self) -> int:
        """Windows that come before a window's score does."""
        return self.taught.timing.scored // self.body.period - (self.body.windows - 1)

    @property
    def delay(self) -> int:
        """Samples from the middle of what is heard to the score of it."""
        return HEARD // 2 + (self.behind + 1) * self.body.front.every

    def hear(self, samples: NDArray[Any]) -> ChipUse:
        """Take samples (n,) in -1..1, any number of them; what the chip did."""
        self._tail = np.concatenate([self._tail, to_float(samples)])
        gone = max(0, len(self._scores) - KEPT)
        self._scores, self._first = self._scores[gone:], self._first + gone
        return self._advance()

    def at(self, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        """The scores (n, words) that are there once so many samples of the stream (n,) have been heard."""
        windows = samples // self.body.front.every - 1 - self.behind
        return np.asarray(self._scores[windows - self._first])

    def _advance(self) -> ChipUse:
        front, used = self.body.front, ChipUse()
        windows = front.windows(self._tail)
        self._tail = self._tail[len(windows) * front.every :]
        timing, period = self.taught.timing, self.body.period
        phase = timing.scored % period
        for start in range(0, len(windows), MOST_WINDOWS):
            part = windows[start : start + MOST_WINDOWS]
            silent = np.zeros((len(part) * period, len(self.taught.words)), np.int32)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RangeWarning)  # digital silence lies below all calibrated sounds, as it should
                run = self._session.step({self.body.source: part, TEACHER: silent})
            sent = {name: run.raster[name][0][phase::period] for name in (WORDS, KNOWN, SUM)}
            self._scores = np.concatenate([self._scores, self.taught.nearness(sent)])
            used = used + replace(self._account.of(run), steps=0)
        return used
