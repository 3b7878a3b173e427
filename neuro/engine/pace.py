"""How long a run will take, estimated from its first samples, and the refusal of one that takes too long. Knows no networks."""

from __future__ import annotations

import time
from collections.abc import Callable

from neuro.errors import InputError, TimeLimitError

Progress = Callable[[int, int], None]
CLOCK: Callable[[], float] = time.monotonic  # seconds


class Pace:
    """Estimates how long some work will take from how much of it is done.

    The first piece is not taken for the pace of the others: what is made once, and what is compiled, comes with it.
    """

    def __init__(self) -> None:
        self._began = CLOCK()
        self._first: tuple[float, int] | None = None

    def expected_s(self, done: int, total: int) -> float | None:
        """Seconds from the beginning to the end, now that `done` of `total` are done; None before there is a pace."""
        now = CLOCK()
        if self._first is None or done <= self._first[1]:
            self._first = self._first or (now, done)
            return None
        began, before = self._first
        return now - self._began + (total - done) * (now - began) / (done - before)


class Work:
    """What is being done, shown nowhere: `step` names a piece of work, `advance` says how much of it is done."""

    def step(self, what: str) -> None:
        """Begin a piece of work."""

    def advance(self, done: int, total: int) -> None:
        """So much of the piece is done."""

    def compiling(self, count: int) -> None:
        """The piece waits for kernels to be compiled, of which so many have been begun; 0: it is small, and goes without."""


def within(limit_s: float, progress: Progress | None = None) -> Progress:
    """A `progress(done, samples)` that raises TimeLimitError once it shows that all samples take longer than `limit_s`."""
    if not limit_s > 0:
        raise InputError("within_s", f"{limit_s!r} is not a positive number of seconds", "Pass more than 0, or None")
    pace = Pace()

    def check(done: int, samples: int) -> None:
        expected = pace.expected_s(done, samples)
        if done < samples and expected is not None and expected > limit_s:
            fact = f"it needs about {expected:,.3g} s as {done:,} of them show, {limit_s:,.3g} s are allowed"
            raise TimeLimitError(f"a run of {samples:,} samples", fact, "Run fewer samples or timesteps, or allow more time")
        if progress:
            progress(done, samples)

    return check
