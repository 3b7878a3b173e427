"""`neuro machines`: what the chip is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli.output import Json, Quiet, console, machine_names, write_json
from neuro.cli.paths import check_files
from neuro.errors import UsageError

if TYPE_CHECKING:
    from neuro.machines.machine import Machine

_NAME = "Show every figure of this machine: a name, or a .toml file."
EXAMPLES = """
Examples:

\b
  neuro machines
  neuro machines a100
  neuro machines --json machines.json
  neuro machines --validate
      how far the models were off on machines that they were not fitted on
  neuro machines --validate --points mine.csv --json errors.json
      the same for measurements of your own, in the format of neuro/machines/measured.csv
"""
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help=_NAME, show_default=False, autocompletion=machine_names)]
Validate = Annotated[bool, typer.Option("--validate", help="Show the models' errors on machines they were not fitted on.")]
Points = Annotated[Path | None, typer.Option(metavar="FILE", help="Validate on these measurements (.csv), not on the shipped.")]


def machines(
    name: Name = None, validate: Validate = False, points: Points = None, json: Json = None, quiet: Quiet = False
) -> None:
    """List the machines in the catalogue, or one machine's figures with their sources; say how wrong the models may be."""
    check_files({"--json": json}, {"--points": points, "NAME": name})
    if validate and name is not None:
        raise UsageError("neuro machines", "--validate looks at every machine with measurements", "Leave the name out")
    if points is not None and not validate:
        raise UsageError("--points", "measurements are there to validate on", "Add --validate")
    if validate:
        _validate(points, json, quiet)
        return
    from neuro.machines.machine import list_machines, load_machine
    from neuro.report.tables import sourced, table

    shown = console(quiet=quiet or str(json) == "-")
    if name is not None:
        machine = load_machine(name)
        shown.print(sourced(f"{machine.title} ({machine.year})", machine.figures))
        shown.print(f"Measurements that back the model: {machine.validated or 'none, its figures are not validated'}.")
        write_json(json, _described(machine))
        return
    found = [load_machine(entry) for entry in list_machines()]
    rows = [(m.name, m.title, str(m.year), m.kind, ", ".join(m.precisions), m.validated or "not validated") for m in found]
    shown.print(table("Machines", ("name", "machine", "year", "kind", "precisions", "backed by measurements"), rows))
    write_json(json, [_described(machine) for machine in found])


def _validate(points: Path | None, json: Path | None, quiet: bool) -> None:
    from neuro.machines.points import read_points
    from neuro.machines.validation import validate
    from neuro.report.tables import WideTable
    from neuro.report.tables_machines import errors, unused

    found = validate(None if points is None else read_points(points))
    shown = console(quiet=quiet or str(json) == "-")
    shown.print(WideTable(*errors(found)))
    if found.unused:
        shown.print(WideTable(*unused(found)))
    write_json(json, found.to_json())


def _described(machine: Machine) -> dict[str, Any]:
    figures = {
        name: {"value": figure.value, "unit": figure.unit, "basis": figure.basis, "source": figure.source}
        for name, figure in machine.figures.items()
    }
    facts = {key: getattr(machine, key) for key in ("name", "title", "kind", "family", "year", "precision", "validated", "note")}
    return {**facts, "figures": figures}
