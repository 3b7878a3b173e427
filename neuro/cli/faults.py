"""`neuro faults`: accuracy against how much of the chip is broken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuro.cli import named
from neuro.cli.output import Chip as ChipName
from neuro.cli.output import Json, Quiet, Report, console, working, write_json, write_out
from neuro.cli.paths import check_files
from neuro.errors import UsageError, one_of

if TYPE_CHECKING:
    from neuro.chip.spec import Chip
    from neuro.engine.pace import Work
    from neuro.network import Network
    from neuro.studies.data import Data

EXAMPLES = """
Examples:

\b
  neuro faults
      the network of `neuro demo`, every kind of fault
  neuro faults network.safetensors --data test.npz --kind dropped_packets --rate 0.01 --rate 0.1
  neuro faults mine:net --weights w.safetensors --data test.npz --seeds 5 --figure faults.svg --json -
"""
_DEVIATION = "threshold_noise"  # the only kind whose rate is no share
_DEMO_SAMPLES = 150  # of the held-out digits: enough to see a percent, little enough for a few minutes
Model = Annotated[str | None, named.MODEL]
Samples = Annotated[Path | None, named.SAMPLES]
Kinds = Annotated[list[str] | None, typer.Option("--kind", metavar="KIND", help="A kind of fault; repeat it. All if left out.")]
Rates = Annotated[list[float] | None, typer.Option("--rate", metavar="R", min=0, help="A rate for every kind; repeat it.")]
Seeds = Annotated[int, typer.Option(metavar="N", min=1, help="How often each rate is drawn.")]
Drawn = Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the curves, as SVG.")]


def faults(
    model: Model = None,
    data: Samples = None,
    kind: Kinds = None,
    rate: Rates = None,
    seeds: Seeds = 3,
    chip: ChipName = "loihi2",
    code: named.Code = None,
    timesteps: named.Timesteps = None,
    weights: named.Weights = None,
    calibration: named.Calibration = None,
    nir_writer: named.NirWriter = None,
    dt: named.NirStep = None,
    scale: named.Scale = None,
    figure: Drawn = None,
    report: Report = None,
    json: Json = None,
    quiet: Quiet = False,
) -> None:
    """Break the chip in several ways and see what becomes of the accuracy, energy and latency.

    Without MODEL: the network of `neuro demo`. Without labels in the data: the share of answers that stay as they were.
    """
    results = {"--figure": figure, "--report": report, "--json": json}
    if model is None or data is None:
        own = {
            "MODEL": model,
            "--data": data,
            "--weights": weights,
            "--calibration": calibration,
            "--nir-writer": nir_writer,
            "--dt": dt,
            "--scale": scale,
        }
        if any(value is not None for value in own.values()):
            given = " and ".join(option for option, value in own.items() if value is not None)
            fact = f"{given}: a model and its data belong together"
            raise UsageError("neuro faults", fact, "Write `neuro faults MODEL --data FILE.npz`")
        request = None
        check_files(results, {"--chip": chip})
    else:
        request = named.Request(
            model, data, chip, code, timesteps, weights, calibration, nir_writer=nir_writer, nir_dt=dt, scale=scale
        )
        check_files(results, request.inputs(), code=request.code_files())
    named.check_auto(code, timesteps)
    with working("loading", quiet=quiet) as work:
        from neuro.chip.files import load_chip
        from neuro.cli.options import as_options
        from neuro.studies.settings import StudySettings

        read = None if request is None else named.read_named(request).of_one("neuro faults")
        target = load_chip(chip) if read is None else read.chip
        with as_options():
            StudySettings(code or StudySettings().code, timesteps or StudySettings().timesteps)
        from neuro.faultcurves import KINDS, PlacedSamples, curves

        kinds = kind or tuple(KINDS)
        _check_kinds(kinds, rate or (), tuple(KINDS))
        from neuro.report.outcome import Outcome
        from neuro.studies.trials import try_network

        if request is None or read is None:
            network, samples = _digits(target, code, timesteps, work)
        else:
            network, samples = named.network_of(request, read, work=work)
        trial = try_network(network, target, samples, StudySettings(), code=code or "-", timesteps=timesteps, work=work)
        work.step(f"breaking {target.name}")
        subject = PlacedSamples(trial.placement, samples.x, samples.y, trial.chip_run.run.timesteps)
        found = curves(subject, kinds, rates=rate or (), seeds=range(seeds), progress=work.advance)
    from neuro.report.faults import fault_figure, fault_table, fault_values
    from neuro.report.study import write_study
    from neuro.report.svg import alone

    console(quiet=quiet or str(json) == "-").print(fault_table(found))
    if figure is not None:
        write_out(figure, alone(fault_figure(found)))
    if report is not None:
        write_study(report, Outcome(f"{model or 'Digits'} on a broken {target.name}", trial, faults=found))
    write_json(json, fault_values(found))


def _check_kinds(kinds: Sequence[str], rates: Sequence[float], known: Sequence[str]) -> None:
    for kind in kinds:
        if kind not in known:
            raise UsageError("--kind", f"{kind!r} is not known", one_of(kind, known))
    shares = [kind for kind in kinds if kind != _DEVIATION]
    for rate in rates:
        if not 0 <= rate < float("inf") or (rate > 1 and shares):
            raise UsageError(
                "--rate", f"{rate:g} is no share", "Use 0 to 1" + (f"; only {_DEVIATION} takes more" if shares else "")
            )


def _digits(chip: Chip, code: str | None, timesteps: int | None, work: Work) -> tuple[Network, Data]:
    """The network of `neuro demo`, trained and converted, and some of its held-out images."""
    from neuro.digits.data import load_digits
    from neuro.digits.model import train
    from neuro.studies.data import Data
    from neuro.studies.settings import StudySettings
    from neuro.studies.trials import convert_for

    default, digits = StudySettings(), load_digits()
    work.step("training")
    model = train(digits, progress=work.advance)
    conversion = convert_for(chip, model, digits.x_train[:256], code or default.code, timesteps or default.timesteps)
    return conversion.network, Data(digits.x_held_out[:_DEMO_SAMPLES], digits.y_held_out[:_DEMO_SAMPLES])
