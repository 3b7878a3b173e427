"""Machine: a device described by sourced figures, read from a TOML file. Knows nothing of workloads.

A file holds `name`, `title`, `kind`, `family`, `year`, `precision` (the default); optionally `runtime`, `form`, `dataflow`,
`validated` (which measurement backs the model; left out: none does), `devices` (names under which measurements list it) and
`note`; and the figures in sections, each `{value = ..., unit = "...", basis = "...", source = "..."}`. `FIGURES` lists the
figures there are and each of `kinds.KINDS` which ones it needs. What is not known stays out.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from neuro.errors import FormatError, MachineError, NeuroError, expect, one_of
from neuro.frozen import FrozenDict, Sourceable
from neuro.machines.device import BITS
from neuro.machines.kinds import KINDS
from neuro.machines.systolic import DATAFLOWS
from neuro.notebook import Table, TableRepr
from neuro.numbers import whole
from neuro.reading import read_toml
from neuro.sourced import Sourced, entry_mistakes, is_text

RUNTIMES = ("graph", "framework", "usb")
FORMS = ("card", "socket", "module", "kit", "stick", "dut")
FIGURES = {  # name -> unit; the sections of the file are the parts before the dot
    **{f"peak.{precision}": "TOPS" for precision in BITS},
    "memory.bandwidth": "GB/s",
    "memory.capacity": "GiB",
    "memory.cache": "MiB",
    "power.idle": "W",
    "power.busy": "W",
    "power.sleep": "W",
    **dict.fromkeys(("core.units", "core.rows", "core.columns", "core.arrays", "core.chips", "core.slices"), "count"),
    "core.clock": "MHz",
    "core.node": "nm",
    "core.single_share": "share",
    "core.coremark": "CoreMark/MHz",
    "time.start": "us",
    "time.dispatch": "us",
    "time.wake": "us",
    "fpga.luts": "count",
    "fpga.brams": "count",
    **{f"rate.{kind}": "MAC/cycle" for kind in ("conv", "shallow", "depthwise", "fc")},
}
_NEEDED = ("name", "title", "kind", "family", "precision")
_FIELDS = (*_NEEDED, "year", "devices", "runtime", "form", "dataflow", "validated", "note")
_OPTIONAL = ("runtime", "form", "dataflow", "validated", "note")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Machine(TableRepr, Sourceable):
    """One device. `figures` maps names of `FIGURES` to sourced values in the unit given there.

    `runtime` says how a network reaches it (host.py), `form` what a power reading of it includes, `dataflow` how an array works.
    """

    name: str
    title: str
    kind: str
    family: str
    year: int
    precision: str
    figures: Mapping[str, Sourced] = field(default_factory=dict)
    runtime: str = "graph"
    form: str = "card"
    dataflow: str = "db"
    validated: str = ""
    devices: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        where = f"machine {self.name!r}"
        for field_name, value, known in (
            ("kind", self.kind, tuple(KINDS)),
            ("runtime", self.runtime, RUNTIMES),
            ("form", self.form, FORMS),
            ("dataflow", self.dataflow, tuple(DATAFLOWS)),
        ):
            if value not in known:
                raise MachineError(f"{where}, {field_name}", f"{value!r} is not known", f"Use one of {', '.join(known)}")
        expect(f"{where}, figures", self.figures, Mapping, "Pass a dict of names of FIGURES and Sourced values", MachineError)
        object.__setattr__(self, "figures", FrozenDict(self.figures))
        object.__setattr__(self, "year", whole(where, "year", self.year, error=MachineError))
        row = KINDS[self.kind]
        units = {**FIGURES, **row.figures}
        for name, figure in self.figures.items():
            expect(f"{where}, {name}", figure, Sourced, "Pass neuro.Sourced(value, unit, basis, source)", MachineError)
            _check_figure(f"{where}, {name}", name, figure, units)
        for name in row.needs:
            if name not in self.figures:
                raise MachineError(f"{where}, {name}", f"a {self.kind} needs it", f"Give it in {units[name]}, with its source")
        if self.precision not in self.precisions:
            raise MachineError(
                f"{where}, precision",
                f"{self.precision!r} has no peak.{self.precision}",
                f"Give that peak, or use one of {', '.join(self.precisions) or '(no peak is given)'}",
            )

    def _shown(self) -> Table:
        rows = [(name, f"{figure.value:g} {figure.unit}", figure.basis) for name, figure in self.figures.items()]
        return f"Machine {self.name}: {self.title} ({self.year}), {self.precision}", ("figure", "value", "basis"), rows

    @property
    def precisions(self) -> tuple[str, ...]:
        """Number formats that the machine has a peak rate for."""
        return tuple(precision for precision in BITS if f"peak.{precision}" in self.figures)

    def value(self, name: str, default: float | None = None) -> float:
        """The figure `name`, or `default`; a MachineError where there is neither."""
        if name in self.figures:
            return self.figures[name].value
        if default is None:
            raise MachineError(
                f"machine {self.name!r}, {name}",
                "no public figure is given",
                f"Add it in {({**FIGURES, **KINDS[self.kind].figures})[name]} to a machine file",
            )
        return default

    def peak_macs(self, precision: str) -> float:
        """Peak multiply-accumulates per second (a peak of 2 TOPS is 1e12 MAC/s)."""
        if precision not in self.precisions:
            raise MachineError(
                f"machine {self.name!r}", f"no peak rate is known for {precision}", f"Use one of {', '.join(self.precisions)}"
            )
        return self.value(f"peak.{precision}") * 1e12 / 2


def _check_figure(where: str, name: str, figure: Sourced, units: Mapping[str, str]) -> None:
    if name not in units:
        raise MachineError(where, "there is no such figure", f"Use one of {', '.join(units)}")
    if figure.unit != units[name]:
        raise MachineError(where, f"its unit is {figure.unit!r}", f"Give it in {units[name]}")
    if not 0 <= figure.value < float("inf") or (figure.value == 0 and not name.startswith(("power", "time"))):
        raise MachineError(where, f"its value is {figure.value}", "Give a positive number")
    if figure.unit == "count" and (figure.value < 1 or figure.value % 1):
        raise MachineError(where, f"its value is {figure.value}", "Give a whole number of at least 1")
    if figure.unit == "share" and figure.value > 1:
        raise MachineError(where, f"its value is {figure.value}", "Give a share of at most 1")


def list_machines() -> tuple[str, ...]:
    """Names of the machines in the catalogue."""
    return tuple(sorted(_catalogue()))


def load_machine(name: str | Path) -> Machine:
    """A machine of the catalogue by name, or one read from a TOML file. A mistake in the file is named by its field."""
    expect("machine", name, (str, Path), 'Pass a name such as "a100", or the path of a .toml file', MachineError)
    if isinstance(name, Path) or name.endswith(".toml"):
        return _read(Path(name))
    if name not in _catalogue():
        remedy = one_of(name, list_machines(), ", or a .toml file")
        raise MachineError(f"machine {name!r}", "it is not in the catalogue", remedy)
    return _shipped(name)


@cache
def _catalogue() -> dict[str, Traversable]:
    folder = resources.files("neuro.machines") / "catalogue"
    return {path.name.removesuffix(".toml"): path for path in folder.iterdir() if path.name.endswith(".toml")}


@cache
def _shipped(name: str) -> Machine:
    path = _catalogue()[name]
    return _machine(f"machine file {path.name}", tomllib.loads(path.read_text(encoding="utf-8")))


def _read(path: Path) -> Machine:
    try:
        return _machine(f"machine file {path.name}", read_toml(path))
    except FormatError as error:
        raise MachineError(f"machine file {path}", error.fact, error.remedy) from None


def _machine(where: str, data: dict[str, Any]) -> Machine:
    texts = {key: _text(where, data, key) for key in (*_NEEDED, *(key for key in _OPTIONAL if key in data))}
    year = data.pop("year", None)
    if not isinstance(year, int) or isinstance(year, bool):
        raise MachineError(f"{where}, year", f"it is {year!r}", "Give the year the device came out, as an integer")
    devices = data.pop("devices", [])
    if not isinstance(devices, list) or not all(isinstance(device, str) for device in devices):
        raise MachineError(f"{where}, devices", "it is not a list of names", 'Write devices = ["1x NAME"]')
    figures: dict[str, Sourced] = {}
    for section, entries in data.items():
        if not isinstance(entries, dict):
            raise MachineError(f"{where}, {section}", "there is no such field", f"Use {', '.join(_FIELDS)}")
        for key, entry in entries.items():
            figures[f"{section}.{key}"] = _sourced(f"{where}, {section}.{key}", entry)
    try:
        return Machine(**texts, year=year, devices=tuple(devices), figures=figures)
    except MachineError as error:
        raise MachineError(f"{where}: {error.where}", error.fact, error.remedy) from None


def _text(where: str, data: dict[str, Any], key: str) -> str:
    text = data.pop(key, None)
    if not is_text(text):
        raise MachineError(f"{where}, {key}", f"it is {text!r}", f'Write {key} = "..."')
    return text


def _sourced(where: str, entry: Any) -> Sourced:
    for fact, remedy in entry_mistakes(entry):
        raise MachineError(where, fact, remedy)
    value = entry["value"]
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise MachineError(where, f"its value is {value!r}", "Give a number")
    try:
        return Sourced(float(value), entry["unit"], entry["basis"], entry["source"])
    except NeuroError as error:
        raise MachineError(where, error.fact, error.remedy) from None
