"""`neuro machines`: what the chip is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli.output import Json, Quiet, console, machine_names, write_json

if TYPE_CHECKING:
    from neuro.machines.machine import Machine

_NAME = "Show every figure of this machine: a name, or a .toml file."
EXAMPLES = """
Examples:

\b
  neuro machines
  neuro machines a100
  neuro machines --json machines.json
"""
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help=_NAME, show_default=False, autocompletion=machine_names)]


def machines(name: Name = None, json: Json = None, quiet: Quiet = False) -> None:
    """List the machines in the catalogue, or one machine's figures with their sources."""
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


def _described(machine: Machine) -> dict[str, Any]:
    figures = {
        name: {"value": figure.value, "unit": figure.unit, "basis": figure.basis, "source": figure.source}
        for name, figure in machine.figures.items()
    }
    facts = {key: getattr(machine, key) for key in ("name", "title", "kind", "family", "year", "precision", "validated", "note")}
    return {**facts, "figures": figures}
