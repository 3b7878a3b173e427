"""`neuro chips`: what can be emulated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuro.cli.output import CODE, TIMESTEPS, Json, Quiet, chip_names, console, working, write_json
from neuro.cli.paths import check_files
from neuro.errors import ChipError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from neuro.chip.spec import Chip
    from neuro.studies.fitting import Fit

_NAME = "Show every figure of this chip: a name, or a .toml file; `check` explains the mistakes of FILE."
EXAMPLES = """
Examples:

\b
  neuro chips
  neuro chips loihi2
  neuro chips my_chip.toml --json my_chip.json
  neuro chips check my_chip.toml
  neuro chips --fit mine:net --data test.npz --rate 30 --code graded
"""
_FIT = "Say which chips this network fits, and what limits it there: MODEL as in `neuro run`, with --data."
Fitted = Annotated[str | None, typer.Option("--fit", metavar="MODEL", help=_FIT, show_default=False)]
FitData = Annotated[
    Path | None,
    typer.Option("--data", metavar="PATH", help="An .npz file with x, or a folder of images, for --fit.", show_default=False),
]
Rate = Annotated[
    float | None, typer.Option("--rate", metavar="HZ", help="Inferences a second that --fit asks for.", show_default=False)
]
FitCode = Annotated[str | None, CODE]
FitSteps = Annotated[int | None, TIMESTEPS]
FitWeights = Annotated[Path | None, typer.Option("--weights", metavar="FILE", help="The module's weights, for --fit.")]
File = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The file that `check` reads.", show_default=False)]
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help=_NAME, show_default=False, autocompletion=chip_names)]


def chips(
    name: Name = None,
    file: File = None,
    fit: Fitted = None,
    data: FitData = None,
    rate: Rate = None,
    code: FitCode = None,
    timesteps: FitSteps = None,
    weights: FitWeights = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """List the chips that can be emulated, or one chip's limits and prices with their sources; check a chip file; or say which
    chips a network fits."""
    if fit is not None:
        _fit(fit, data, rate, (code, timesteps, weights), (name, file), json, quiet)
        return
    for option, given in (
        ("--data", data),
        ("--rate", rate),
        ("--code", code),
        ("--timesteps", timesteps),
        ("--weights", weights),
    ):
        if given is not None:
            raise UsageError(option, "it goes with --fit", f"Add --fit MODEL, or leave {option} out")
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
        shown.print(f"Scope: {chip.scope}\nCaution: {chip.caution}\nPrices checked against: {chip.checked or 'no measurement'}")
        write_json(json, {**_texts(chip), "fields": rows})
        return
    found = [load_chip(entry) for entry in list_chips()]
    columns = ("name", "chip", "cores", "neurons per core", "KiB per core")
    listed = [(c.name, c.title, f"{c.usable_cores:,}", f"{c.core.neurons:,}", f"{c.core.synapse_bits // 8192:,}") for c in found]
    shown.print(table("Chips", columns, listed, right=columns[2:]))
    write_json(json, [_summary(c) for c in found])


def _fit(model: str, data: Path | None, rate: float | None, how: Any, named: Any, json: Path | None, quiet: bool) -> None:
    """A network on the smallest board of every chip."""
    from neuro.cli.named import DEFAULT_CHIP, Request, fit_named

    if data is None or any(named):
        raise UsageError("--fit", "it takes --data and no chip", "Write `neuro chips --fit MODEL --data FILE`")
    if rate is not None and not 0 < rate < float("inf"):
        raise UsageError("--rate", f"{rate:g} is no rate", "Use more than 0")
    code, timesteps, weights = how
    request = Request(model, data, DEFAULT_CHIP, code, timesteps, weights, None)
    check_files({"--json": json}, request.inputs(), code=request.code_files())
    from neuro.studies.fitting import smallest

    with working("loading", quiet=quiet) as work:
        fits = fit_named(request, rate, work=work)
    best, shown = smallest(fits), console(quiet=quiet or str(json) == "-")
    _show_fits(fits, rate, best, shown)
    write_json(json, {"rate_hz": rate, "smallest": None if best is None else best.chip, "chips": [fit.to_row() for fit in fits]})


def _show_fits(fits: Sequence[Fit], rate: float | None, best: Fit | None, shown: Console) -> None:
    from neuro import units
    from neuro.report.tables import table

    columns = (
        "chip",
        "chips",
        "cores",
        "limited by",
        "energy",
        "latency",
        "decisions kept",
        "known to meet the rate",
        "what would help",
    )
    cells = [
        (
            fit.chip,
            "-" if fit.chips is None else f"{fit.chips:,}",
            "-" if fit.cores is None else f"{fit.cores:,}",
            f"{fit.limit.replace('_', ' ')}, {units.percent(fit.share)}"
            if fit.share is not None
            else f"does not fit: {fit.refused}",
            "unknown" if fit.energy_pj is None else units.energy(fit.energy_pj),
            "unknown" if fit.latency_ns is None else units.time(fit.latency_ns),
            "-" if fit.agreement is None else units.percent(fit.agreement),
            "-" if fit.meets is None else "yes" if fit.meets else "no",
            fit.lever,
        )
        for fit in fits
    ]
    shown.print(table("Smallest boards, one inference", columns, cells, right=columns[1:3]))
    wanted = "" if rate is None else f" that is known to make {rate:g} inferences a second"
    shown.print(f"Smallest{wanted}: {'none' if best is None else best.chip}.")


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


def _texts(chip: Chip) -> dict[str, Any]:
    return {name: getattr(chip, name) for name in ("name", "title", "scope", "caution", "checked")}


def _summary(chip: Chip) -> dict[str, Any]:
    core = {"neurons_per_core": chip.core.neurons, "synapse_bits_per_core": chip.core.synapse_bits}
    return {**_texts(chip), "cores": chip.usable_cores, **core, "programs": list(chip.neuron.programs)}


def _spelt(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(" ".join(map(_spelt, item)) if isinstance(item, tuple) else _spelt(item) for item in value)
    return "unknown" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
