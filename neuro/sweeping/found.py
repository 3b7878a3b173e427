"""What a sweep found: every point, and the front of those worth considering; as a table, CSV and JSON. Knows no workers.

What is written depends on the points alone: not on their order of coming in, on interruptions, or on who measured them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from neuro import __version__, units
from neuro.files import write_text
from neuro.notebook import Table, TableRepr
from neuro.sweeping.measure import Measured
from neuro.sweeping.settings import Setting

FORMAT = 1
COLUMNS = ("code", "T", "threshold", "bits", "chip", "placed", "accuracy", "total", "dynamic", "latency", "synops", "cores")


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """A setting and what it gave: measured, or the error why it was not possible."""

    setting: Setting
    measured: Measured | None
    error: str = ""

    def beats(self, other: SweepPoint) -> bool:
        """At least as good in accuracy, energy and latency, and better in one of them."""
        mine, theirs = _goals(self), _goals(other)
        return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))


def _goals(point: SweepPoint) -> tuple[float, float, float]:
    """The less the better."""
    m = point.measured
    assert m is not None
    return -m.accuracy, m.energy_pj, m.latency_ns


def front_of(points: Iterable[SweepPoint]) -> tuple[SweepPoint, ...]:
    """Points that no other beats, by rising energy."""
    known = [point for point in points if point.measured is not None]
    best = [point for point in known if not any(other.beats(point) for other in known)]
    return tuple(sorted(best, key=lambda point: (_goals(point)[1], _goals(point)[2], _goals(point)[0])))


@dataclass(frozen=True, slots=True, repr=False)
class Sweep(TableRepr):
    """All points in the order of the space, on so many samples; `accuracy_ann` is the float network's."""

    title: str
    points: tuple[SweepPoint, ...]
    samples: int
    accuracy_ann: float

    @property
    def front(self) -> tuple[SweepPoint, ...]:
        """Points that no other beats in accuracy, energy and latency together, by rising energy."""
        return front_of(self.points)

    @property
    def failed(self) -> tuple[SweepPoint, ...]:
        """Points that could not be measured."""
        return tuple(point for point in self.points if point.measured is None)

    def _shown(self) -> Table:
        counted = f"{len(self.points)} settings on {self.samples:,} samples, {len(self.failed)} of them not possible"
        title = (
            f"{self.title}: {len(self.front)} worth considering of {counted}; float network {units.percent(self.accuracy_ann)}"
        )
        return title, COLUMNS, [words(point) for point in self.front]

    def to_rows(self) -> list[dict[str, Any]]:
        """One row for each point: its setting, what was measured (None where it was not), whether it is on the front."""
        best = set(self.front)
        empty = dict.fromkeys(Measured.__dataclass_fields__)
        rows = []
        for point in self.points:
            measured = empty if point.measured is None else asdict(point.measured)
            rows.append({**asdict(point.setting), **measured, "front": point in best, "error": point.error})
        return rows

    def to_json(self) -> dict[str, Any]:
        """Everything, in plain values."""
        known = {"title": self.title, "samples": self.samples, "accuracy_ann": self.accuracy_ann}
        return {"format": FORMAT, **known, "versions": versions(), "points": self.to_rows()}

    def save(self, folder: Path) -> None:
        """Write result.json, points.csv and front.csv into a folder."""
        rows = dict(zip(self.points, self.to_rows(), strict=True))
        write_text(folder / "result.json", json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n")
        write_text(folder / "points.csv", _csv(rows.values()))
        write_text(folder / "front.csv", _csv(rows[point] for point in self.front))


def versions() -> dict[str, str]:
    """Of what the numbers depend on: a sweep is not continued with others."""
    return {"neuro-emulator": __version__, **{name: metadata.version(name) for name in ("numpy", "torch")}}


def words(point: SweepPoint) -> list[str]:
    """A measured point as cells below COLUMNS."""
    s, m = point.setting, point.measured
    asked = [s.code, str(s.timesteps), s.threshold, str(s.weight_bits), s.chip, s.placement]
    if m is None:
        return [*asked, *["-"] * (len(COLUMNS) - len(asked))]
    joules = [units.energy(m.energy_pj), units.energy(m.dynamic_pj)]
    counted = [units.count(round(m.synops)), str(m.cores_used)]
    return [*asked, units.percent(m.accuracy), *joules, units.time(m.latency_ns), *counted]


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    names = (*Setting.__dataclass_fields__, *Measured.__dataclass_fields__, "front", "error")
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
