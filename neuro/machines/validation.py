"""Validation: how far the models were off on machines they were not fitted on. Knows predictions; fits nothing itself.

A point's family is held out while the parameters that predict it are fitted. Errors are (predicted - measured) / measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from neuro.errors import FormatError
from neuro.machines.calibration import calibrate, held_out
from neuro.machines.points import PublishedPoint, shipped_points
from neuro.machines.prediction import Observation, observations

MODERN = "all with captured graphs"  # every class but those of 2018, which wait for their host
_OLD = ("framework of 2018", "USB stick of 2018")
BARS = {"throughput": (0.12, 0.30), "latency": (0.25, None), "energy": (0.30, None)}  # mean, maximum
_NARROW = {("microcontroller", "latency"): (0.15, None)}
_WHY = {  # class, quantity (either may be blank, for any) -> why the error is what it is
    ("framework of 2018", ""): "TensorFlow's time per call and per layer differs by host and year and stands in no data sheet",
    ("USB stick of 2018", ""): "two families, each predicted from the other alone; USB and driver times stand in no data sheet",
    ("", "energy of a server with one query at a time"): "the reading is mostly the server's idling, which no card explains",
    ("", "with capped power"): "MaxQ settings publish no power limit; one cap is fitted for all",
    ("", "batch latency"): "two points only",
    ("CPU", "throughput"): "clocks under AVX-512 and AMX are not public; base clocks stand for them",
    ("CPU", "latency"): "three small Arm processors and two servers, each with its own library",
    ("CPU", "energy"): "what boards draw with their processor alone is assumed",
    ("GPU", "energy"): "Jetson modules: their power mode is a limit, not a draw; cards alone are off by 20 to 30 %",
    ("accelerator and FPGA overlay", "throughput"): "three product lines and one overlay, with nothing known of their arrays",
    ("accelerator and FPGA overlay", "latency"): "software: the same 15 W kit took 1.00 ms in 2021 and 0.65 ms in 2023",
    ("accelerator and FPGA overlay", "energy"): "follows from the latency; the kit's board is in the reading",
}


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """Held-out errors of one class and quantity, as shares of the measured value; `bar` is the mean asked for."""

    machine_class: str
    quantity: str
    points: int
    families: int
    mean_error: float
    max_error: float
    bias: float
    bar: float | None
    within: bool | None
    note: str


@dataclass(frozen=True, slots=True)
class PointRow:
    """One prediction. `own` names figures of the machine file that were measured on the same device."""

    id: str
    machine: str
    machine_class: str
    family: str
    quantity: str
    unit: str
    measured: float
    predicted: float
    error: float
    own: str


@dataclass(frozen=True, slots=True)
class Validation:
    """Error table by class and quantity, every prediction, and the points that could not be used, with the reason."""

    errors: tuple[ErrorRow, ...]
    points: tuple[PointRow, ...]
    unused: tuple[tuple[str, str], ...]

    def to_rows(self) -> list[dict[str, Any]]:
        """The error table as dictionaries."""
        return [asdict(row) for row in self.errors]

    def to_json(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "errors": self.to_rows(),
            "points": [asdict(row) for row in self.points],
            "unused": [{"id": name, "reason": reason} for name, reason in self.unused],
        }


def validate(points: Sequence[PublishedPoint] | None = None) -> Validation:
    """Held-out errors on `points` (the shipped ones when None).

    The fits use the shipped points and `points`, less the family at hand. A FormatError where none of the points can be used.
    """
    shipped, _ = observations(shipped_points())
    targets, unused = (shipped, observations(shipped_points())[1]) if points is None else observations(points)
    if not targets:
        raise FormatError("points", f"none can be used: {unused[0][0]}: {unused[0][1]}", "Add a machine, or correct the rows")
    known = {o.point.id for o in targets}
    data = (*targets, *(o for o in shipped if o.point.id not in known))
    predictions = held_out(targets, data, calibrate(data))
    rows = tuple(_row(o, predicted) for o, predicted in zip(targets, predictions, strict=True))
    return Validation(_errors(rows), rows, unused)


def _row(observation: Observation, predicted: float) -> PointRow:
    machine, quantity = observation.setting.machine, observation.quantity
    figures = ("power.busy", "power.idle") if "energy" in quantity else ("rate.conv",)
    own = [name for name in figures if name in machine.figures and machine.figures[name].basis == "measured"]
    return PointRow(
        id=observation.point.id,
        machine=machine.name,
        machine_class=observation.machine_class,
        family=observation.family,
        quantity=quantity,
        unit="mJ" if "energy" in quantity else "1/s" if "throughput" in quantity else "ms",
        measured=observation.measured,
        predicted=predicted,
        error=predicted / observation.measured - 1,
        own=", ".join(own),
    )


def _errors(rows: Sequence[PointRow]) -> tuple[ErrorRow, ...]:
    groups: dict[tuple[str, str], list[PointRow]] = {}
    for row in rows:
        groups.setdefault((row.machine_class, row.quantity), []).append(row)
        if row.machine_class not in _OLD and row.quantity in BARS:
            groups.setdefault((MODERN, row.quantity), []).append(row)
    order = sorted(groups, key=lambda key: (key[0] != MODERN, key[0] in _OLD, key))
    return tuple(_error(machine_class, quantity, groups[machine_class, quantity]) for machine_class, quantity in order)


def _error(machine_class: str, quantity: str, rows: Sequence[PointRow]) -> ErrorRow:
    errors = [row.error for row in rows]
    sizes = [abs(error) for error in errors]
    families = len({row.family for row in rows})
    mean, largest = sum(sizes) / len(sizes), max(sizes)
    bar, most = _NARROW.get((machine_class, quantity), BARS.get(quantity, (None, None)))
    within = None if bar is None else mean <= bar and (most is None or largest <= most)
    return ErrorRow(
        machine_class,
        quantity,
        len(rows),
        families,
        mean,
        largest,
        sum(errors) / len(errors),
        bar,
        within,
        _note(machine_class, quantity, rows),
    )


def _note(machine_class: str, quantity: str, rows: Sequence[PointRow]) -> str:
    notes = [
        why
        for (of_class, of_quantity), why in _WHY.items()
        if of_class in ("", machine_class)
        and (not of_quantity or of_quantity == quantity or (not of_class and of_quantity in quantity))
    ]
    families = {row.family for row in rows}
    if len(families) == 1:
        notes.append("one family: what it was not fitted on is assumed")
    elif len(families) == 2 and machine_class not in _OLD:
        notes.append("two families, each predicted without the other's help where they share a parameter")
    own = sum(1 for row in rows if row.own)
    if own:
        notes.append(f"{own} of {len(rows)} use power or rates measured on the same device")
    return "; ".join(notes)
