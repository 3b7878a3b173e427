"""What an optimisation found: the start and the points behind it, which of them no other beats, and the files that they lie
in."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from neuro import units
from neuro.errors import FormatError
from neuro.files import write_text
from neuro.graph import Graph
from neuro.network import Network
from neuro.notebook import Table, TableRepr
from neuro.optimising.measure import LayerMeasure, Measures
from neuro.optimising.plan import FORMAT, OptimiseGoal, OptimisePlan

POINT, NETWORK, GRAPH = "point.json", "network.safetensors", "graph.safetensors"
COLUMNS = ("point", "how", "accuracy", "dynamic", "less", "total", "latency", "messages", "synops", "cores", "front")


@dataclass(frozen=True, slots=True)
class OptimisedPoint:
    """One network: its place in the order, how it was made from the one before, what the validation part measured; `kept`
    {layer: entries along its first axis of the float network's} and, in its folder, the network and its float graph."""

    number: int
    recipe: Mapping[str, Any]
    measured: Measures
    kept: Mapping[str, tuple[int, ...]]
    folder: Path
    tested: Measures | None = field(default=None)

    @property
    def network(self) -> Network:
        """The spiking network, read from its file."""
        return Network.load(self.folder / NETWORK)

    @property
    def graph(self) -> Graph:
        """The float network that it was converted from, read from its file."""
        return Graph.load(self.folder / GRAPH)

    def beats(self, other: OptimisedPoint) -> bool:
        """At least as good in accuracy, dynamic energy, latency and cores, and better in one of them."""
        mine, theirs = _goals(self.measured), _goals(other.measured)
        return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))

    def meets(self, goal: OptimiseGoal, start: OptimisedPoint) -> bool:
        """Whether it loses no more accuracy than allowed, and needs no more than there is."""
        m = self.measured
        limits = ((m.cores_used, goal.cores), (m.chips_used, goal.chips), (m.latency_ns, goal.latency_ns))
        within = all(most is None or value <= most for value, most in limits)
        return within and m.accuracy >= start.measured.accuracy - goal.accuracy_loss - 1e-12

    def save(self) -> None:
        """Write what was measured, last of all: a point whose file is there is whole."""
        known = {"format": FORMAT, "number": self.number, "recipe": dict(self.recipe), "measured": asdict(self.measured)}
        files = {name: file_digest(self.folder / name) for name in (NETWORK, GRAPH)}
        kept = {name: list(entries) for name, entries in self.kept.items()}
        write_text(self.folder / POINT, json.dumps({**known, "kept": kept, "sha256": files}, indent=1, allow_nan=False) + "\n")

    @staticmethod
    def load(folder: Path) -> OptimisedPoint:
        """Read what `save` wrote. Raises FormatError where files are damaged or do not belong together."""
        path = folder / POINT
        remedy = "Take its folder away and resume, and it is made again"
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            changed = [name for name, digest in held["sha256"].items() if file_digest(folder / name) != digest]
            layers = tuple(LayerMeasure(**row) for row in held["measured"]["layers"])
            measured = Measures(**{**held["measured"], "layers": layers})
            kept = {str(name): tuple(int(e) for e in entries) for name, entries in held["kept"].items()}
            point = OptimisedPoint(int(held["number"]), held["recipe"], measured, kept, folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(str(path), f"it is no point of an optimisation ({type(error).__name__})", remedy) from None
        if changed or held["format"] != FORMAT:
            raise FormatError(str(path), f"{', '.join(changed) or 'its format'} is not what was saved", remedy)
        return point


def _goals(m: Measures) -> tuple[float, float, float, float]:
    """The less the better."""
    return -m.accuracy, m.dynamic_pj, m.latency_ns, float(m.cores_used)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def front_of(points: Iterable[OptimisedPoint]) -> tuple[OptimisedPoint, ...]:
    """Points that no other beats, by rising dynamic energy."""
    known = list(points)
    best = [point for point in known if not any(other.beats(point) for other in known)]
    return tuple(sorted(best, key=lambda point: (point.measured.dynamic_pj, -point.measured.accuracy, point.number)))


@dataclass(frozen=True, slots=True, repr=False)
class Optimised(TableRepr):
    """All points in order; the first is the network as it was, converted. `accuracy_ann`: of the float network on the
    validation part; `labelled`: whether accuracy is against labels or against the float network's decisions."""

    title: str
    chip: str
    plan: OptimisePlan
    points: tuple[OptimisedPoint, ...]
    accuracy_ann: float
    labelled: bool
    folder: Path

    @property
    def start(self) -> OptimisedPoint:
        """The network before anything was done to it."""
        return self.points[0]

    @property
    def front(self) -> tuple[OptimisedPoint, ...]:
        """Points that no other beats in accuracy, dynamic energy, latency and cores, by rising energy."""
        return front_of(self.points)

    @property
    def best(self) -> OptimisedPoint:
        """The point with the least dynamic energy of those that meet the goal; the start where there is none."""
        good = [point for point in self.points if point.meets(self.plan.goal, self.start)]
        return min(good, key=lambda point: (point.measured.dynamic_pj, point.number), default=self.start)

    @property
    def verdict(self) -> str:
        """What came of it, in a sentence."""
        best, start = self.best, self.start
        if best is start:
            return f"No point is cheaper than the start with at most {100 * self.plan.goal.accuracy_loss:g} points lost"
        times = start.measured.dynamic_pj / best.measured.dynamic_pj
        lost = 100 * (start.measured.accuracy - best.measured.accuracy)
        return f"Point {best.number} takes {times:.2f} times less dynamic energy than the start and loses {lost:+.2f} points"

    def less(self, point: OptimisedPoint) -> float:
        """How many times less dynamic energy than the start a point takes."""
        return self.start.measured.dynamic_pj / point.measured.dynamic_pj

    def _shown(self) -> Table:
        against = "accuracy" if self.labelled else "agreement with the float network"
        samples = self.start.measured.samples
        title = f"{self.title} on {self.chip}, {against} on {samples:,} validation samples. {self.verdict}"
        return title, COLUMNS, self.words()

    def words(self) -> list[list[str]]:
        """Every point as cells below COLUMNS."""
        front = self.front
        return [self._words(point, front) for point in self.points]

    def _words(self, point: OptimisedPoint, front: tuple[OptimisedPoint, ...]) -> list[str]:
        m = point.measured
        joules = [units.energy(m.dynamic_pj), f"{self.less(point):.2f}x", units.energy(m.energy_pj), units.time(m.latency_ns)]
        counted = [units.count(round(m.messages)), units.count(round(m.synops)), str(m.cores_used)]
        return [
            str(point.number),
            str(point.recipe["how"]),
            units.percent(m.accuracy),
            *joules,
            *counted,
            "yes" if point in front else "",
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything, in plain values."""
        front = self.front
        rows = []
        for point in self.points:
            row = {"number": point.number, "recipe": dict(point.recipe), "front": point in front, **asdict(point.measured)}
            rows.append({**row, "less_dynamic": self.less(point), "tested": point.tested and asdict(point.tested)})
        known = {"title": self.title, "chip": self.chip, "labelled": self.labelled, "accuracy_ann": self.accuracy_ann}
        plan = json.loads(self.plan.to_json())
        return {"format": FORMAT, **known, "plan": plan, "best": self.best.number, "verdict": self.verdict, "points": rows}

    def save(self) -> None:
        """Write result.json and points.csv into the folder."""
        write_text(self.folder / "result.json", json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n")
        names = ("number", "how", *(f.name for f in fields(Measures) if f.name != "layers"), "less_dynamic", "front")
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        front = self.front
        for point in self.points:
            row = {**asdict(point.measured), "number": point.number, "how": point.recipe["how"]}
            writer.writerow({**row, "less_dynamic": self.less(point), "front": point in front})
        write_text(self.folder / "points.csv", text.getvalue())
