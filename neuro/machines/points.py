"""Measured points: reading a points file, and finding the machine and the workload that each row speaks of. Knows no model.

The format is that of measured.csv: one row per device, workload, scenario and kind of energy; blank means not published. `macs`
are multiply-accumulates, `throughput_per_s` and `energy_mj` hold for the whole system listed in `device`, `latency_ms` for one
query.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from neuro.errors import FormatError, MachineError
from neuro.machines.machine import Machine, list_machines, load_machine
from neuro.machines.naming import batch_of, count_of, is_capped, place_of, plain, weight_of
from neuro.machines.ready import kws_scaled, list_workloads, ready_workload
from neuro.machines.workload import Workload
from neuro.reading import TABLE_BYTES, read_text

OFFLINE_BATCH = 256  # taken where a row says offline without a batch
ENERGY_KINDS = ("total", "dynamic", "dynamic over after-run idle")


@dataclass(frozen=True, slots=True)
class PublishedPoint:
    """One row of a points file; None where the file is blank."""

    id: str
    family: str
    device: str
    workload: str
    macs: int | None
    precision: str
    batch_or_scenario: str
    throughput_per_s: float | None
    latency_ms: float | None
    power_w: float | None
    power_scope: str
    energy_mj: float | None
    energy_kind: str
    source: str


@dataclass(frozen=True, slots=True)
class PointConditions:
    """What a point was measured on: `count` machines (their power held below the default when `capped`), and how it was run."""

    machine: Machine
    count: int
    capped: bool
    workload: Workload
    precision: str
    batch: int
    stream: bool  # the next batch starts when the last one has answered, so throughput is batch / latency by nature


_NUMBERS = {"macs", "throughput_per_s", "latency_ms", "power_w", "energy_mj"}
_NEEDED = ("id", "family", "device", "workload", "batch_or_scenario")


def shipped_points() -> tuple[PublishedPoint, ...]:
    """The public measurements that come with the package."""
    return parse_points((resources.files("neuro.machines") / "measured.csv").read_text(encoding="utf-8"), "measured.csv")


def read_points(path: str | Path) -> tuple[PublishedPoint, ...]:
    """The points of a CSV file. A FormatError names the row and the field."""
    try:
        text = read_text(path, TABLE_BYTES)
    except FormatError as error:
        raise FormatError(f"points file {path}", error.fact, "Give the path of a CSV file in UTF-8") from None
    return parse_points(text.removeprefix("\ufeff"), Path(path).name)  # spreadsheets put a byte order mark in front


def parse_points(text: str, name: str) -> tuple[PublishedPoint, ...]:
    """The points of CSV text; `name` is how errors call it."""
    wanted = [field.name for field in fields(PublishedPoint)]
    try:
        reader = csv.DictReader(io.StringIO(text))
        rows = list(reader)
    except csv.Error as error:
        raise FormatError(f"points file {name}", f"it is no CSV: {error}", "Save it as comma-separated text") from None
    missing = [column for column in wanted if column not in (reader.fieldnames or ())]
    if missing:
        raise FormatError(f"points file {name}", f"column {missing[0]!r} is missing", f"Use the columns {', '.join(wanted)}")
    points = tuple(_point(f"{name}, row {number}", row, wanted) for number, row in enumerate(rows, 2))
    if not points:
        raise FormatError(f"points file {name}", "it holds no row", "Give at least one measurement")
    seen: set[str] = set()
    for number, point in enumerate(points, 2):
        if point.id in seen:
            raise FormatError(f"{name}, row {number}, id", f"{point.id!r} is used twice", "Give every row its own id")
        seen.add(point.id)
    return points


def _point(where: str, row: dict[str | Any, str | Any], wanted: Sequence[str]) -> PublishedPoint:
    if None in row or None in row.values():
        raise FormatError(where, "it has more or fewer fields than the heading", "Quote fields that hold a comma")
    values: dict[str, Any] = {}
    for column in wanted:
        text = row[column].strip()
        if column in _NEEDED and not text:
            raise FormatError(f"{where}, {column}", "it is blank", "Fill it in")
        values[column] = _number(f"{where}, {column}", text) if column in _NUMBERS else text
    if values["macs"] is not None:
        if values["macs"] % 1:
            raise FormatError(f"{where}, macs", f"it is {row['macs'].strip()}", "Give a whole number, or leave it blank")
        values["macs"] = int(values["macs"])
    if values["energy_mj"] is not None and values["energy_kind"] not in ENERGY_KINDS:
        raise FormatError(
            f"{where}, energy_kind", f"{values['energy_kind']!r} is not known", f"Use one of {', '.join(ENERGY_KINDS)}"
        )
    if all(values[key] is None for key in ("throughput_per_s", "latency_ms", "energy_mj")):
        raise FormatError(where, "throughput_per_s, latency_ms and energy_mj are all blank", "Give at least one of them")
    return PublishedPoint(**values)


def _number(where: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise FormatError(where, f"{text!r} is not a number", "Give a number, or leave it blank") from None
    if not 0 < value < float("inf"):
        raise FormatError(where, f"it is {text}", "Give a positive number, or leave it blank")
    return value


def setting_of(point: PublishedPoint) -> PointConditions:
    """The machine, workload and run of a point; a MachineError says why a point cannot be used."""
    machine, count, capped = match_device(point.device)
    workload = match_workload(point.workload)
    if point.macs is not None and abs(point.macs / workload.macs - 1) > 0.05:
        raise MachineError(
            f"point {point.id!r}, macs",
            f"it says {point.macs:,}, {workload.name} has {workload.macs:,} (MAC, not FLOP)",
            "Correct the count, or name another workload",
        )
    batch, stream = _scenario(point)
    return PointConditions(machine, count, capped, workload, _precision(point, machine), batch, stream)


def match_device(device: str) -> tuple[Machine, int, bool]:
    """The catalogue's machine for a device as a measurement names it, how many there are, and whether their power is capped.

    A MachineError where no machine is named so, or where it says how many in words that are not understood.
    """
    best: tuple[int, Machine, tuple[int, int]] | None = None
    for machine in _machines():
        for alias in machine.devices:
            place = place_of(device, alias)
            if place and (best is None or weight_of(alias) > best[0]):
                best = (weight_of(alias), machine, place)
    if best is None:
        raise MachineError(
            f"device {device!r}", "no machine of the catalogue is named so", "Add a machine file that lists it in devices"
        )
    return best[1], count_of(device, best[2]), is_capped(device)


def match_workload(name: str) -> Workload:
    """The ready-made workload that a measurement names."""
    scaled = re.search(r"scaling net C=(\d+)", name)
    if scaled:
        return kws_scaled(int(scaled[1]))
    wanted = plain(name)
    for known in list_workloads():
        workload = ready_workload(known)
        if wanted in (plain(known), plain(workload.name)):
            return workload
    raise MachineError(f"workload {name!r}", "there is no such ready-made workload", f"Use one of {', '.join(list_workloads())}")


def _scenario(point: PublishedPoint) -> tuple[int, bool]:
    text = point.batch_or_scenario.lower()
    if "server" in text:
        raise MachineError(
            f"point {point.id!r}, batch_or_scenario",
            "a server scenario has no batch of its own",
            "Use offline or single-stream points",
        )
    batch = batch_of(f"point {point.id!r}, batch_or_scenario", text)
    if "offline" in text:
        return batch or OFFLINE_BATCH, False
    if batch or "single" in text:
        return batch or 1, True
    raise MachineError(
        f"point {point.id!r}, batch_or_scenario",
        f"{point.batch_or_scenario!r} is not known",
        "Use 'offline', 'SingleStream b1', or a batch such as 'b8'",
    )


def _precision(point: PublishedPoint, machine: Machine) -> str:
    text = point.precision.lower().split(" ")[0]
    text = {"": machine.precision, "unknown": machine.precision, "w3a3": "int3"}.get(text, text)
    if text not in machine.precisions:
        raise MachineError(
            f"point {point.id!r}, precision",
            f"{machine.name} has no rate for {text!r}",
            f"Use one of {', '.join(machine.precisions)}",
        )
    return text


@cache
def _machines() -> tuple[Machine, ...]:
    return tuple(load_machine(name) for name in list_machines())
