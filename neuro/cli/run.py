"""`neuro run`: the main job on the user's own network and data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuro.cli import named
from neuro.cli.output import Board, Chips, Json, Quiet, Report, working
from neuro.cli.paths import check_files
from neuro.cli.use import Arrivals, Battery, Deadline, PriceFile, Rate, UseOptions

EXAMPLES = """
Examples:

\b
  neuro run mine.py:Net --weights net.pt --data images/
  neuro run mine:net --data test.npz --code graded --chip loihi2 --report out.html --json out.json
  neuro run mine:net --data test.npz --all-codes --quiet --json -
  neuro run net.onnx --data test.npz --code signed --timesteps 32
  neuro run net.nir --nir-writer snntorch --data events.npz
  neuro run net.net --data images.npz
  neuro run digits.safetensors --data recordings --step-us 10000
  neuro run mine:net --data test.npz --diagnose --report out.html
  neuro run network.safetensors --data test.npz --board auto --within 600

An .npz file holds x (samples, ...), for a stream (samples, steps, ...), and, for the accuracy, the class numbers y (samples,).
"""
Diagnose = Annotated[bool, typer.Option("--diagnose", help="Also say what each layer loses, and why.")]
_WITHIN = "Emulate for so many seconds at most; refused as soon as the first samples show that it takes longer."
Within = Annotated[float | None, typer.Option("--within", metavar="S", help=_WITHIN, show_default=False)]
_AGAINST = "Machines to compare with: edge, datacentre, all, a name or a .toml file; repeat it. Default: by the network's size."
Against = Annotated[list[str] | None, typer.Option("--against", metavar="M", help=_AGAINST, show_default=False)]
_TRACE = "Write the first sample as a trace for ui.perfetto.dev: cores, steps, packets."
Trace = Annotated[Path | None, typer.Option("--trace", metavar="FILE", help=_TRACE)]
AllCodes = Annotated[bool, typer.Option("--all-codes", help="Try the other codes too.")]


def run(
    model: named.Model,
    data: named.Samples,
    chip: Chips = None,
    board: Board = "given",
    code: named.Code = None,
    timesteps: named.Timesteps = None,
    weights: named.Weights = None,
    calibration: named.Calibration = None,
    scale: named.Scale = None,
    nir_writer: named.NirWriter = None,
    dt: named.NirStep = None,
    step_us: named.StepUs = None,
    output: named.Output = None,
    all_codes: AllCodes = False,
    against: Against = None,
    diagnose: Diagnose = False,
    within: Within = None,
    rate: Rate = None,
    battery: Battery = None,
    arrivals: Arrivals = None,
    deadline: Deadline = None,
    prices: PriceFile = None,
    trace: Trace = None,
    report: Report = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Emulate a network of your own on a chip: accuracy, energy, latency and a comparison.

    A float network is converted first, in the code that takes the least work for 99 % of its decisions, unless --code or
    --timesteps say otherwise; a saved spiking network runs as it is.
    The current folder is searched for modules.
    """
    request = named.Request(
        model,
        data,
        (chip or [named.DEFAULT_CHIP])[0],
        code,
        timesteps,
        weights,
        calibration,
        all_codes,
        machines=tuple(against or ()),
        board=board,
        diagnose=diagnose,
        nir_writer=nir_writer,
        within_s=within,
        nir_dt=dt,
        step_us=step_us,
        output=output,
        scale=scale,
        more_chips=tuple(chip or ())[1:],
        use=UseOptions(rate, battery, arrivals, deadline, prices),
    )
    check_files({"--trace": trace, "--report": report, "--json": json}, request.inputs(), code=request.code_files())
    with working("loading", quiet=quiet) as work:
        outcome = named.study_named(request, work=work)
    from neuro.cli.showing import show

    if trace is not None:
        from neuro.report.trace import write_trace

        write_trace(trace, outcome.trial.chip_run)
    show(outcome, report=report, json=json, quiet=quiet, hint=_hint(request))


def _hint(request: named.Request) -> str:
    """The options that answer the next questions."""
    more = "" if request.saved else ", --all-codes and --diagnose for accuracy"
    return f"Next: --against datacentre, all or names for other machines{more}, --report FILE for figures and every source."
