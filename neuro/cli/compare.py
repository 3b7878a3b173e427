"""`neuro compare`: one network on the chip and on machines and batch sizes of the user's choice."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuro.cli.named import Asked, Calibration, Code, Model, Samples, Timesteps, Weights, study_named
from neuro.cli.output import Chip, Json, Quiet, check_writable, console, machine_names, working, write_json
from neuro.errors import UsageError

_MACHINE = "A machine by name or .toml file; repeat it."
EXAMPLES = """
Examples:

\b
  neuro compare mine:net --data test.npz --machine a100 --machine xeon --batch 1 --batch 256
  neuro compare network.safetensors --data test.npz --machine my_gpu.toml --csv rows.csv
"""
Machines = Annotated[list[str] | None, typer.Option("--machine", metavar="M", help=_MACHINE, autocompletion=machine_names)]
Batches = Annotated[list[int] | None, typer.Option("--batch", metavar="B", min=1, help="A batch size; repeat it.")]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the rows as CSV.")]


def compare(
    model: Model,
    data: Samples,
    machine: Machines = None,
    batch: Batches = None,
    chip: Chip = "loihi2",
    code: Code = None,
    timesteps: Timesteps = None,
    weights: Weights = None,
    calibration: Calibration = None,
    json: Json = None,
    csv: Csv = None,
    quiet: Quiet = False,
) -> None:
    """Set a network on the chip beside machines of your choice: latency, throughput and energy at every batch size."""
    check_writable(json, csv)
    named = Asked(
        model, data, chip, code, timesteps, weights, calibration, machines=tuple(machine or ()), batches=tuple(batch or ())
    )
    with working("loading", quiet=quiet) as work:
        outcome = study_named(named, work=work)
    if outcome.comparison is None:
        raise UsageError(f"model {model!r}", " ".join(outcome.facts), "Pass a feedforward network, or the torch module")
    from neuro.files import write_text
    from neuro.report.result import csv_rows, result
    from neuro.report.terminal import comparison

    found = result(outcome)
    console(quiet=quiet or "-" in (str(json), str(csv))).print(comparison(found))
    write_json(json, {name: found[name] for name in ("title", "comparison", "verdict", "conditions", "versions")})
    if csv is not None:
        write_text(csv, csv_rows(found["comparison"]))
