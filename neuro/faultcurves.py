"""Accuracy against how much is broken: one placed network, one kind of fault at a time, several seeds.

Energy and latency come along, because packets that go around cost more. Knows emulation; knows nothing of tables or figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from neuro.chip.emulator import ChipRun, emulate
from neuro.chip.faultspec import Faults, some
from neuro.chip.mesh.detours import Detours
from neuro.chip.placing.mapping import Method
from neuro.chip.placing.placement import Placement, place
from neuro.errors import EngineError, FitError, InputError, UsageError

Progress = Callable[[int, int], None]


class FaultKind(NamedTuple):
    """A kind of fault: what its rate is a share of, the rates that are tried by default, and how to break a
    placement at a rate; `placed_again` is true where the network is placed in knowledge of the faults."""

    unit: str
    rates: tuple[float, ...]
    broken: Callable[[Placement, float, int], Faults]
    placed_again: bool = False


def _cores(placement: Placement, rate: float, seed: int) -> Faults:
    return Faults(dead_cores=some(placement.used, rate, seed), seed=seed)


def _links(placement: Placement, rate: float, seed: int) -> Faults:
    return Faults(dead_links=some(Detours(placement.chip.mesh, ()).links(), rate, seed), seed=seed)


def _rate(name: str, **more: Any) -> Callable[[Placement, float, int], Faults]:
    def broken(placement: Placement, rate: float, seed: int) -> Faults:
        struck: dict[str, Any] = {name: rate, **more}
        return Faults(**struck, seed=seed)

    return broken


_SHARES = (0.05, 0.1, 0.2, 0.5)
KINDS: dict[str, FaultKind] = {
    "dead_cores": FaultKind("of the cores in use", _SHARES, _cores),
    "dead_cores_avoided": FaultKind("of the cores in use, placed again without them", _SHARES, _cores, placed_again=True),
    "dead_links": FaultKind("of all links, routed around", _SHARES, _links, placed_again=True),
    "dropped_packets": FaultKind("of packets", (0.001, 0.003, 0.01, 0.03, 0.1, 0.3), _rate("dropped_packets")),
    "stuck_at_zero": FaultKind("of weights", (0.01, 0.03, 0.1, 0.3), _rate("stuck_weights", stuck_at="zero")),
    "stuck_at_most": FaultKind("of weights", (0.001, 0.003, 0.01, 0.03, 0.1), _rate("stuck_weights", stuck_at="most")),
    "weight_flips": FaultKind("of stored bits", (1e-4, 1e-3, 3e-3, 0.01, 0.03), _rate("weight_flips")),
    "potential_flips": FaultKind("of bits in each step", (1e-6, 1e-5, 1e-4, 1e-3, 0.01), _rate("potential_flips")),
    "threshold_noise": FaultKind("of the threshold, standard deviation", (0.05, 0.1, 0.2, 0.5, 1.0), _rate("threshold_noise")),
}


@dataclass(frozen=True, slots=True)
class FaultPoint:
    """One kind of fault at one rate: an accuracy for each seed that could be run, their mean energy and latency of one
    inference (NaN if none could), and why others could not."""

    kind: str
    rate: float
    accuracies: tuple[float, ...]
    energy_pj: float
    latency_ns: float
    refused: tuple[str, ...] = ()

    @property
    def accuracy(self) -> float:
        """Mean over seeds; NaN where no seed could be run."""
        return float(np.mean(self.accuracies)) if self.accuracies else float("nan")

    def to_row(self) -> dict[str, Any]:
        """The point in plain values; None for what could not be run."""
        ran = bool(self.accuracies)
        return {
            "kind": self.kind,
            "rate": self.rate,
            "accuracy": self.accuracy if ran else None,
            "least": min(self.accuracies) if ran else None,
            "most": max(self.accuracies) if ran else None,
            "seeds": len(self.accuracies),
            "energy_pj": self.energy_pj if ran else None,
            "latency_ns": self.latency_ns if ran else None,
            "refused": list(self.refused),
        }


@dataclass(frozen=True, slots=True)
class Curves:
    """Points by kind, in the order of their rates, the first at rate 0: the same healthy run for every kind.

    `measure` is "accuracy", or "agreement" with the healthy run where the classes of the samples are not known.
    """

    chip: str
    samples: int
    measure: str
    points: tuple[FaultPoint, ...]

    @property
    def healthy(self) -> FaultPoint:
        """The point without faults."""
        return self.points[0]

    def of(self, kind: str) -> tuple[FaultPoint, ...]:
        """The points of one kind."""
        return tuple(point for point in self.points if point.kind == kind)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that were tried, in their order."""
        return tuple(dict.fromkeys(point.kind for point in self.points))


@dataclass(frozen=True, slots=True)
class PlacedSamples:
    """A placed network, the samples it is asked about (samples, *shape), their classes if known, and its window."""

    placement: Placement
    inputs: Any
    labels: NDArray[np.int64] | None = None
    timesteps: int | None = None

    def run(self, placement: Placement, faults: Faults) -> ChipRun:
        """The samples through a placement on a chip with faults."""
        return emulate(placement, self.inputs, timesteps=self.timesteps, faults=faults)


def curves(
    subject: PlacedSamples,
    kinds: Sequence[str] = tuple(KINDS),
    *,
    rates: Sequence[float] = (),
    seeds: Sequence[int] = (0, 1, 2),
    progress: Progress | None = None,
) -> Curves:
    """Break a placed network in several ways, each at several rates (those of `KINDS` if none are given) and with each seed.

    Raises UsageError for unknown kinds, ChipError for rates that a kind cannot have.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds or not seeds:
        fact = f"{unknown[0]!r} is not known" if unknown else "there is nothing to try"
        raise UsageError("faults", fact, f"Use one seed or more, and kinds among {', '.join(KINDS)}")
    healthy = subject.run(subject.placement, Faults())
    labels = healthy.run.predictions if subject.labels is None else np.asarray(subject.labels)
    if labels.shape != (healthy.run.samples,):
        raise InputError("labels", f"shape {labels.shape} for {healthy.run.samples} samples", "Pass one class for each sample")
    asked = [(kind, float(rate)) for kind in kinds for rate in sorted({*(rates or KINDS[kind].rates)} - {0.0})]
    points: dict[str, tuple[FaultPoint, ...]] = dict.fromkeys(kinds, ())
    for done, (kind, rate) in enumerate(asked, start=1):
        points[kind] += (_point(subject, labels, kind, rate, seeds),)
        if progress:
            progress(done, len(asked))
    start = _mean(kinds[0], 0.0, [healthy], labels, ())
    made = [p for kind in points for p in (replace(start, kind=kind), *points[kind])]
    measure = "agreement" if subject.labels is None else "accuracy"
    return Curves(subject.placement.chip.name, healthy.run.samples, measure, tuple(made))


def _point(subject: PlacedSamples, labels: NDArray[np.int64], kind: str, rate: float, seeds: Sequence[int]) -> FaultPoint:
    runs, refused = [], []
    for seed in seeds:
        placement, faults = subject.placement, KINDS[kind].broken(subject.placement, rate, seed)
        try:
            if KINDS[kind].placed_again:
                placement = place(
                    placement.network, placement.chip, method=cast(Method, placement.method), seed=placement.seed, faults=faults
                )
            runs.append(subject.run(placement, faults))
        except (FitError, EngineError) as error:
            refused.append(f"seed {seed}: {error}")
    return _mean(kind, rate, runs, labels, tuple(refused))


def _mean(kind: str, rate: float, runs: Sequence[ChipRun], labels: NDArray[np.int64], refused: tuple[str, ...]) -> FaultPoint:
    accuracies = tuple(float((run.run.predictions == labels).mean()) for run in runs)
    costs = np.array([(run.bill.energy_pj, run.bill.latency_ns) for run in runs]).reshape(-1, 2)
    energy_pj, latency_ns = costs.mean(axis=0) if runs else (float("nan"), float("nan"))
    return FaultPoint(kind, rate, accuracies, float(energy_pj), float(latency_ns), refused)
