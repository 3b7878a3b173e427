"""`neuro compare`: one network on the chip and on machines and batch sizes of the user's choice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from neuro.cli import named
from neuro.cli.output import Chips, Json, Quiet, Report, machine_names, working
from neuro.cli.paths import check_files
from neuro.cli.survey import ResNetOptions, Results, show_rooflines, show_spikes, show_table
from neuro.cli.use import Arrivals, Battery, Deadline, PriceFile, Rate, UseOptions
from neuro.errors import UsageError

Options = dict[str, object]  # by their names; None where one is left out
_MACHINE = "A machine by name or .toml file; repeat it."
EXAMPLES = """
Examples:

\b
  neuro compare mine:net --data test.npz --machine a100 --machine xeon --batch 1 --batch 256
  neuro compare network.safetensors --data test.npz --machine my_gpu.toml --csv rows.csv

\b
  neuro compare --table 1
      a survey's table of ResNet-50, corrected, with the emulated board beside it (2: workloads, 3: needs)
  neuro compare --table 1 --weights resnet50.safetensors --data images.npz
      the same with a row for weights of your own, under torchvision's names
  neuro compare --table 2 --spikes
      its workloads as spikes on boards, as measured, beside an A100 and a TPU v4
  neuro compare --table 2 --spikes --workload resnet50
      one of them measured anew, which takes minutes
  neuro compare --roofline --figure roofline.svg --machine a100 --machine tpu-v1
"""
_NETWORK = ("title", "facts", "chip", "code", "timesteps", "accuracy_snn", "accuracy_ann", "agreement", "clipped_inputs")
_JUDGED = ("comparison", "verdict", "warnings", "conditions", "other_chips", "refused_chips", "versions")
_TOLD = (*_NETWORK, *_JUDGED)  # of the result
Model = Annotated[str | None, named.MODEL]
Samples = Annotated[Path | None, named.SAMPLES]
Machines = Annotated[list[str] | None, typer.Option("--machine", metavar="M", help=_MACHINE, autocompletion=machine_names)]
Batches = Annotated[list[int] | None, typer.Option("--batch", metavar="B", min=1, help="A batch size; repeat it.")]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the rows as CSV.")]
Table = Annotated[int | None, typer.Option(metavar="N", min=1, max=3, help="Instead of MODEL: table 1, 2 or 3 of a survey.")]
Spikes = Annotated[bool, typer.Option("--spikes", help="With --table 2: its workloads as spikes on boards of chips.")]
_WORKLOAD = "With --table 2 --spikes: measure one workload anew."
Workload = Annotated[str | None, typer.Option(metavar="NAME", help=_WORKLOAD, show_default=False)]
Roofline = Annotated[bool, typer.Option("--roofline", help="Instead of MODEL: every machine's roofline, as table and figure.")]
Figure = Annotated[Path | None, typer.Option(metavar="FILE", help="Where --roofline draws, as SVG.", show_default="roofline.svg")]


def compare(
    model: Model = None,
    data: Samples = None,
    machine: Machines = None,
    batch: Batches = None,
    chip: Chips = None,
    code: named.Code = None,
    timesteps: named.Timesteps = None,
    weights: named.Weights = None,
    calibration: named.Calibration = None,
    scale: named.Scale = None,
    nir_writer: named.NirWriter = None,
    dt: named.NirStep = None,
    output: named.Output = None,
    rate: Rate = None,
    battery: Battery = None,
    arrivals: Arrivals = None,
    deadline: Deadline = None,
    prices: PriceFile = None,
    report: Report = None,
    json: Json = None,
    csv: Csv = None,
    table: Table = None,
    spikes: Spikes = False,
    workload: Workload = None,
    roofline: Roofline = False,
    figure: Figure = None,
    quiet: Quiet = False,
) -> None:
    """Set a network on the chip beside machines of your choice: latency, throughput and energy at every batch size."""
    _check_one(model, table, roofline)
    own: Options = {"--weights": weights, "--data": data, "--calibration": calibration, "--chip": chip, "--code": code}
    own |= {"--timesteps": timesteps}
    chosen: Options = {"--machine": machine, "--batch": batch, "--nir-writer": nir_writer, "--dt": dt, "--scale": scale}
    chosen |= {"--output": output}
    chosen |= {"--rate": rate, "--battery": battery, "--arrivals": arrivals, "--deadline": deadline, "--prices": prices}
    to, drawn = Results(json, csv, quiet), {"--figure": figure, "--report": report}
    if spikes or workload is not None:
        _check_spikes(table, spikes, workload, chip)
        _leave_out("--table 2 --spikes", {**chosen, **drawn, **own, "--chip": None})
        show_spikes(workload, chip[0] if chip else None, to)
    elif table is not None:
        _leave_out(f"--table {table}", {**chosen, **drawn, **({} if table == 1 else own)})
        if chip and len(chip) > 1:
            raise UsageError("--chip", "a table has one row of your own", "Name one chip")
        show_table(table, ResNetOptions(weights, data, calibration, chip[0] if chip else None, code, timesteps), to)
    elif roofline:
        _leave_out("--roofline", {**own, **chosen, "--machine": None, "--report": report})
        show_rooflines(tuple(machine or ()), figure or Path("roofline.svg"), to)
    else:
        if model is None or data is None:
            raise UsageError("neuro compare", "a model and its data are needed", "Write `neuro compare MODEL --data FILE.npz`")
        _leave_out("a comparison of MODEL", {"--figure": figure})
        first, *more = chip or (named.DEFAULT_CHIP,)
        request = named.Request(
            model, data, first, code, timesteps, weights, calibration, nir_writer=nir_writer, nir_dt=dt, scale=scale
        )
        request = replace(request, machines=tuple(machine or ()), batches=tuple(batch or ()), more_chips=tuple(more))
        _compare(replace(request, output=output, use=UseOptions(rate, battery, arrivals, deadline, prices)), report, to)


def _compare(request: named.Request, report: Path | None, to: Results) -> None:
    """The network that was named on its chips and on machines."""
    check_files({**to.files(), "--report": report}, request.inputs(), code=request.code_files())
    with working("loading", quiet=to.quiet) as work:
        outcome = named.study_named(request, work=work)
    if outcome.comparison is None:
        fact = " ".join(outcome.facts)
        raise UsageError(f"model {request.model!r}", fact, "Pass a feedforward network, or the torch module")
    from neuro.report.result import on_all_chips, result
    from neuro.report.terminal import compared

    found = result(outcome)
    to.write(compared(found), {name: found[name] for name in _TOLD}, on_all_chips(found))
    if report is not None:
        from neuro.report.study import write_study  # matplotlib, half a second

        write_study(report, outcome)


def _check_spikes(table: int | None, spikes: bool, workload: str | None, chip: list[str] | None) -> None:
    """Refuse options of the survey's workloads as spikes that do not go together."""
    if table != 2 or not spikes:
        given = "--spikes" if spikes else "--workload"
        raise UsageError(given, "it is for the survey's table of workloads", "Write --table 2 --spikes")
    if chip and (len(chip) > 1 or workload is None):
        fact = "several chips were named" if len(chip) > 1 else "rows that were measured are of one board"
        raise UsageError("--chip", fact, "Name one chip, and a workload: --workload resnet50 --chip loihi2-x32")


def _leave_out(what: str, options: Options) -> None:
    """Refuse options that would say nothing here."""
    given = [option for option, value in options.items() if value is not None]
    if given:
        raise UsageError(
            " and ".join(given), f"{what} does not take {'them' if len(given) > 1 else 'it'}", f"Leave {' and '.join(given)} out"
        )


def _check_one(model: str | None, table: int | None, roofline: bool) -> None:
    questions = [
        name for name, given in (("MODEL", model is not None), ("--table", table is not None), ("--roofline", roofline)) if given
    ]
    if len(questions) > 1:
        raise UsageError("neuro compare", f"{' and '.join(questions)} are different questions", "Ask one of them")
