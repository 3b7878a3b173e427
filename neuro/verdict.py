"""Does it pay: the chip against the machines at one inference at a time, as data and in words.

Knows rows of a comparison and accuracies; prices nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from neuro import units
from neuro.comparison import Comparison, Row

BUDGET = 0.01  # of accuracy that spikes may cost


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who needs the least energy for one inference at a time, and by how much.

    winner: the target's name, None where the chip's energy is unknown; pays: whether that is the chip. rival: the best machine,
    and `ratio`: its energy over the chip's. energy_kind: "total", or "dynamic" where the chip's total is not public. crossing:
    the smallest batch from which a machine needs less, None where none does up to 1024. activity and steps: factors at which the
    chip would draw level with the rival (None: none will). accuracy_lost: of the float network's, in shares, negative where
    spikes are better, None without labels or float network; costly: whether that is more than a point beyond chance.
    """

    chip: str
    winner: str | None
    pays: bool | None
    rival: str | None
    ratio: float | None
    energy_kind: str
    crossing: int | None
    crossing_machine: str | None
    activity: float | None
    steps: float | None
    rival_latency: float | None
    accuracy_lost: float | None
    costly: bool

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, without infinities."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}


def verdict_of(
    comparison: Comparison,
    spiking: float | None = None,
    floating: float | None = None,
    interval: tuple[float, float] | None = None,
) -> Verdict:
    """The verdict of a comparison; accuracies as shares, with the interval of the spiking one."""
    chip, *others = comparison.rows
    kind = "total" if chip.energy_pj is not None else "dynamic"
    single = [(row, energy) for row in others if row.batch == 1 and (energy := _energy(row, kind)) is not None]
    own = _energy(chip, kind)
    lost = None if spiking is None or floating is None else floating - spiking
    costly = lost is not None and _costly(lost, floating, interval)
    if own is None or not single:
        return Verdict(chip.machine, None, None, None, None, kind, None, None, None, None, None, lost, costly)
    rival, least = min(single, key=lambda pair: pair[1])
    crossings = [crossing for crossing in comparison.crossings if crossing.energy_kind == kind]
    level = next((c for c in crossings if c.machine == rival.machine), None)
    first = min((c for c in crossings if c.batch is not None), key=lambda c: c.batch or 0, default=None)
    return Verdict(
        chip=chip.machine,
        winner=chip.machine if own <= least else rival.machine,
        pays=own <= least,
        rival=rival.machine,
        ratio=least / own if own else math.inf,
        energy_kind=kind,
        crossing=first.batch if first else None,
        crossing_machine=first.machine if first else None,
        activity=level.activity if level else None,
        steps=level.steps if level else None,
        rival_latency=rival.latency_ns / chip.latency_ns if chip.latency_ns else None,
        accuracy_lost=lost,
        costly=costly,
    )


def _energy(row: Row, kind: str) -> float | None:
    return row.energy_pj if kind == "total" else row.dynamic_pj


def sentences(verdict: Verdict, comparison: Comparison) -> Iterator[str]:
    """The verdict in words: whether it pays, what would change that, what it costs in accuracy."""
    if verdict.pays is None:
        yield f"Does it pay? Not known: {_unknown(comparison)}"
    else:
        yield f"Does it pay? {_answer(verdict, comparison)}"
        yield f"What would change that: {_change(verdict)}."
    if verdict.accuracy_lost is not None:
        yield _accuracy(verdict)


def warnings_of(
    spiking: float | None,
    floating: float | None,
    interval: tuple[float, float] | None,
    *,
    samples: int,
    classes: int,
) -> tuple[str, ...]:
    """What casts doubt on the accuracies, each with its remedy: a float network no better than chance, and a loss beyond budget.

    spiking, floating: accuracies as shares, None where not known; interval: of the spiking one; samples they rest on; classes.
    """
    said = []
    chance = 1 / classes
    if floating is not None and classes > 1 and floating < chance + 2 * math.sqrt(chance * (1 - chance) / samples):
        said.append(
            f"Warning: the float network itself answers {units.percent(floating)} of {samples:,} samples right, no better than "
            f"chance among {classes} classes. Check its weights, that values are scaled as in training (--scale for images), and "
            "that classes are numbered in the order of its outputs."
        )
    lost = None if spiking is None or floating is None else floating - spiking
    if lost is not None and _costly(lost, floating, interval):
        said.append(_loss(lost))
    return tuple(said)


def _costly(lost: float, floating: float | None, interval: tuple[float, float] | None) -> bool:
    return lost > BUDGET and (interval is None or interval[1] < (floating or 0))


def _unknown(comparison: Comparison) -> str:
    chip, *others = comparison.rows
    if chip.energy_pj is None and chip.dynamic_pj is None:
        return f"the energy of {chip.machine} is not public."
    return "no machine of the comparison has a known energy." if others else "no machine can run this network."


def _answer(verdict: Verdict, comparison: Comparison) -> str:
    chip, *others = comparison.rows
    rival = next(row for row in others if row.machine == verdict.rival and row.batch == 1)
    own, least = _energy(chip, verdict.energy_kind), _energy(rival, verdict.energy_kind)
    kind, ratio = f"{verdict.energy_kind} energy", verdict.ratio or 0.0
    if verdict.pays:
        against = f"{units.energy(own)} against {units.energy(least)}, {kind}"
        return f"Yes, one inference at a time: {chip.machine} needs {_times(ratio)} less than {rival.machine} ({against})."
    against = f"{units.energy(least)} against {units.energy(own)}, {kind}"
    return f"No: {rival.machine} needs {_times(1 / ratio)} less for one inference than {chip.machine} ({against})."


def _times(ratio: float) -> str:
    return units.times(ratio).replace("×", " times") if math.isfinite(ratio) else "infinitely"


def _change(verdict: Verdict) -> str:
    said = []
    if verdict.pays and verdict.crossing is not None:
        said.append(f"batches of {verdict.crossing} and more, from which {verdict.crossing_machine} needs less")
    if verdict.activity is not None:
        word = "more" if verdict.activity > 1 else "less"
        said.append(f"{word} activity ({_factor(verdict.activity)} times what it was is level with {verdict.rival})")
    elif not verdict.pays:
        said.append("no activity, however low: what the chip needs all the time is more than that already")
    if verdict.steps and math.isfinite(verdict.steps):
        if verdict.pays:
            said.append(f"{_factor(verdict.steps)} times the time steps")
        else:
            said.append(f"prices and idle powers of the chip {_factor(1 / verdict.steps)} times lower")
    return "; ".join(said) or "nothing that was looked at"


def _factor(value: float) -> str:
    return f"{value:,.0f}" if 100 <= value < math.inf else f"{value:.2g}"


def _accuracy(verdict: Verdict) -> str:
    lost = verdict.accuracy_lost or 0.0
    if verdict.costly:
        return _loss(lost)
    if lost > 0:
        return f"It costs {100 * lost:.1f} points of accuracy."
    return "It costs no accuracy."


def _loss(lost: float) -> str:
    spent = f"spikes cost {100 * lost:.1f} points of accuracy, more than the budget of {100 * BUDGET:g}"
    return f"Warning: {spent}. Use --code auto, --code graded, or more --timesteps."
