"""`neuro chips`: what can be emulated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli.output import Json, Quiet, chip_names, console, write_json
from neuro.cli.paths import check_files
from neuro.errors import ChipError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from neuro.chip.spec import Chip

_NAME = "Show every figure of this chip: a name, or a .toml file; `check` explains the mistakes of FILE."
EXAMPLES = """
Examples:

\b
  neuro chips
  neuro chips loihi2
  neuro chips my_chip.toml --json my_chip.json
  neuro chips check my_chip.toml
"""
File = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The file that `check` reads.", show_default=False)]
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help=_NAME, show_default=False, autocompletion=chip_names)]


def chips(name: Name = None, file: File = None, json: Json = None, quiet: Quiet = False) -> None:
    """List the chips that can be emulated, or one chip's limits and prices with their sources; check a chip file."""
    check_files({"--json": json}, {"FILE": file, "NAME": name})
    from neuro.chip.files import describe, list_chips, load_chip
    from neuro.report.tables import table

    shown = console(quiet=quiet or str(json) == "-")
    if (name == "check") != (file is not None):
        raise UsageError("neuro chips", "check goes with a file, and a file with check", "Write `neuro chips check FILE`")
    if file is not None:
        _check(file, shown, json)
        return
    if name is not None:
        chip = load_chip(name)
        rows = describe(chip)
        cells = [(row["field"], _spelt(row["value"]), row["unit"], row["basis"], row["source"]) for row in rows]
        shown.print(table(f"{chip.title} ({chip.name})", ("field", "value", "unit", "basis", "source"), cells))
        shown.print(f"Scope: {chip.scope}\nCaution: {chip.caution}")
        write_json(json, {"name": chip.name, "title": chip.title, "scope": chip.scope, "caution": chip.caution, "fields": rows})
        return
    found = [load_chip(entry) for entry in list_chips()]
    columns = ("name", "chip", "cores", "neurons per core", "KiB per core")
    listed = [(c.name, c.title, f"{c.usable_cores:,}", f"{c.core.neurons:,}", f"{c.core.synapse_bits // 8192:,}") for c in found]
    shown.print(table("Chips", columns, listed, right=columns[2:]))
    write_json(json, [_summary(c) for c in found])


def _check(file: Path, shown: Console, json: Path | None) -> None:
    """Every mistake of a chip file; an error, after they are shown, when there are any."""
    from neuro.chip.files import check_chip
    from neuro.report.tables import table

    found = check_chip(file)
    write_json(json, [dict(zip(("field", "mistake", "remedy"), mistake, strict=True)) for mistake in found])
    if found:
        shown.print(table(f"{file.name}: {_mistakes(found)}", ("field", "mistake", "remedy"), found))
        raise ChipError(str(file), _mistakes(found), "Correct the fields shown above")
    shown.print(f"{file.name}: no mistakes")


def _mistakes(found: Sequence[object]) -> str:
    return f"{len(found)} mistake{'' if len(found) == 1 else 's'}"


def _summary(chip: Chip) -> dict[str, Any]:
    core = {"neurons_per_core": chip.core.neurons, "synapse_bits_per_core": chip.core.synapse_bits}
    texts = {"name": chip.name, "title": chip.title, "scope": chip.scope, "caution": chip.caution}
    return {**texts, "cores": chip.usable_cores, **core, "programs": list(chip.neuron.programs)}


def _spelt(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(" ".join(map(_spelt, item)) if isinstance(item, tuple) else _spelt(item) for item in value)
    return "unknown" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
