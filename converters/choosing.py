"""Which code and which T: the least work that gives the float network's decisions often enough, within a number of steps.

Knows how to try a setting on calibration samples, without labels; knows nothing of how settings are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import quantised
from converters.building import Built, CalibratedGraph, build
from converters.codes import row_of
from converters.coding import CodeSettings
from neuro.codes import CODES
from neuro.engine.run import run
from neuro.errors import ConversionError
from neuro.numbers import real, whole

SAMPLES = 128
_CLOSE = 0.1  # of the spread of a single output
Make = Callable[[str, int], CodeSettings]


def by_promise() -> tuple[str, ...]:
    """All codes, those first that take the least work as a rule."""
    return tuple(reversed(CODES))


@dataclass(frozen=True, slots=True)
class Goal:
    """What `code="auto"` looks for: the share of samples on which the float network decides alike (of a single output: is within
    a tenth of its spread), the most chip steps that an inference may take (None: any number), and the codes that the chip can
    run."""

    agreement: float = 0.99
    steps: int | None = None
    codes: tuple[str, ...] = field(default_factory=by_promise)

    def __post_init__(self) -> None:
        remedy = "Use a share above 0, at most 1, such as 0.99"
        agreement = real("goal", "agreement", self.agreement, above=0, most=1, error=ConversionError, remedy=remedy)
        object.__setattr__(self, "agreement", agreement)
        if self.steps is not None:
            object.__setattr__(self, "steps", whole("goal", "steps", self.steps, 1, error=ConversionError))
        if not self.codes or any(code not in CODES for code in self.codes):
            raise ConversionError("goal", f"codes = {self.codes}", f"Use some of {', '.join(by_promise())}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A setting that was tried: its agreement with the float network, chip steps, and synaptic operations per sample."""

    settings: CodeSettings
    built: Built
    agreement: float
    steps: int
    synops: float

    def __str__(self) -> str:
        found = f"{100 * self.agreement:.1f} % of decisions, {self.steps} steps, {self.synops:,.0f} synops"
        return f"{self.settings.code} with T = {self.settings.timesteps}: {found}"


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidate that was chosen, all that were tried, and why."""

    best: Candidate
    tried: tuple[Candidate, ...]
    why: str


def choose(calibrated: CalibratedGraph, goal: Goal, make: Make) -> Choice:
    """The setting with the fewest synaptic operations among those that meet the goal; else the one that comes nearest.

    For each code T grows until the goal is met, the steps are too many, or another code has met it with less work.
    """
    tried: list[Candidate] = []
    best: Candidate | None = None
    for code in sorted(goal.codes, key=by_promise().index):
        for candidate in raise_timesteps(calibrated, goal, code, make):
            tried.append(candidate)
            if candidate.agreement >= goal.agreement and (best is None or candidate.synops < best.synops):
                best = candidate
            if best is not None and candidate.synops >= best.synops:
                break
    if not tried:
        fact = f"no code of {', '.join(goal.codes)} needs at most {goal.steps} steps"
        raise ConversionError("goal", fact, "Allow more steps, or more codes")
    wanted = f"{100 * goal.agreement:g} % of the float network's decisions" + (f" in {goal.steps} steps" if goal.steps else "")
    if best is None:
        best = max(tried, key=lambda c: c.agreement)
        return Choice(best, tuple(tried), f"auto: nothing tried gives {wanted}; nearest is {best}")
    others = "; ".join(str(c) for c in tried if c is not best and c.agreement >= goal.agreement)
    return Choice(
        best, tuple(tried), f"auto: {best}, the least work for {wanted}" + (f"; it would also take {others}" if others else "")
    )


def raise_timesteps(calibrated: CalibratedGraph, goal: Goal, code: str, make: Make) -> Iterator[Candidate]:
    """One code with growing T, until the goal is met or the steps are too many."""
    for timesteps in row_of(code).to_try:
        settings = make(code, timesteps)
        built = build(calibrated, settings)
        steps = built.network.steps(settings.timesteps)
        if goal.steps is not None and steps > goal.steps:
            return
        candidate = _tried(calibrated, settings, built, steps)
        yield candidate
        if candidate.agreement >= goal.agreement:
            return


def _tried(calibrated: CalibratedGraph, settings: CodeSettings, built: Built, steps: int) -> Candidate:
    samples, wanted = calibrated.samples[:SAMPLES], calibrated.outputs[:SAMPLES]
    if settings.lossless:
        exact = quantised.evaluate(built.network, samples)
        found, synops = exact.logits, exact.synops
    else:
        stepped = run(built.network, samples)
        found, synops = stepped.logits, stepped.synops
    agreement = _alike(wanted, np.asarray(found, np.float64).reshape(len(samples), -1))
    return Candidate(settings, built, agreement, steps, synops / len(samples))


def _alike(wanted: NDArray[Any], found: NDArray[Any]) -> float:
    """The share of samples (samples, outputs) that are decided alike; a single output decides nothing, so that is compared."""
    if wanted.shape[1] > 1:
        return float(np.mean(found.argmax(1) == wanted.argmax(1)))
    return float(np.mean(np.abs(found - wanted) <= _CLOSE * wanted.std()))
