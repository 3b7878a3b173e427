"""The main job: a network placed on a chip, run over all samples, priced and compared. Knows the order; prints nothing."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, cast

import converters
from converters.choosing import Goal
from converters.evaluation import logits
from converters.pipeline import Conversion
from neuro.chip.cutting.capabilities import able_codes, conversion_for
from neuro.chip.emulator import emulate
from neuro.chip.placing.placement import Board, place
from neuro.chip.spec import Chip
from neuro.cli.inputs import Data, check_classes
from neuro.cli.output import Work
from neuro.cli.settings import Settings
from neuro.codes import Code
from neuro.comparison import compare
from neuro.engine.records import Run
from neuro.engine.run import run as neuro_run
from neuro.errors import AccuracyWarning, MachineError, NeuroError, RangeWarning
from neuro.graph import Graph
from neuro.machines.equivalent import equivalent
from neuro.metrics import neurobench
from neuro.network import Network
from neuro.report.outcome import Outcome, Trial


def try_network(
    network: Network, chip: Chip, data: Data, settings: Settings, *, code: str, timesteps: int | None = None, work: Work
) -> Trial:
    """Place and emulate one network over all samples. Raises where it does not fit the chip, or the data does not fit it."""
    record = ("logits_by_step",) if network.readouts else ()
    if network.readouts:
        check_classes("--data", data.y, sum(readout.size for readout in network.readouts))
    placement = place(network, chip, board=cast(Board, settings.board))
    how: dict[str, Any] = {"record": record, "progress": work.advance, "within_s": settings.within_s}
    chip_run = emulate(network, placement, data.x, timesteps=timesteps, **how)
    check_classes("--data", data.y, chip_run.run.logits.shape[1])
    return Trial(code, chip_run, data.y)


def study_network(network: Network, chip: Chip, data: Data, settings: Settings, *, window: int | None, work: Work) -> Outcome:
    """Emulate and price a spiking network as it is; machines are asked for the float network with the same connections."""
    work.step(f"running {len(data):,} samples")
    trial = try_network(network, chip, data, settings, code="-", timesteps=window, work=work)
    work.step("comparing")
    try:
        comparison = compare(equivalent(network), trial.chip_run, settings.machines, settings.batches)
        facts = ("machines run the float network with the same connections",)
    except MachineError as error:
        comparison, facts = None, (f"no comparison with machines: {error}",)
    return Outcome(
        "A spiking network",
        trial,
        comparison=comparison,
        example=_example(trial, data),
        diagnosis=network.notes,
        facts=facts,
        metrics=neurobench(network, trial.chip_run.run, data.x, labels=data.y),
    )


def study(model: Any, calibration: Any, chip: Chip, data: Data, settings: Settings, *, work: Work) -> Outcome:
    """Convert a float network (torch module or Graph) in every wanted code, emulate, price and compare.

    `work` is told of each piece of work. A code that cannot be had is told in `Outcome.refused`, unless it is the
    headline's, whose error is raised.
    """
    with warnings.catch_warnings():
        for category in (AccuracyWarning, RangeWarning):  # what they say is in the outcome
            warnings.simplefilter("ignore", category)
        conversion, trial, others, refused = _try_codes(model, calibration, chip, data, settings, work)
    if settings.diagnose:
        work.step("diagnosing")
    losses = conversion.diagnosis if settings.diagnose else None
    work.step("comparing")
    return Outcome(
        "A converted network",
        trial,
        accuracy_ann=_accuracy(conversion.graph, data),
        comparison=compare(conversion.graph, trial.chip_run, settings.machines, settings.batches),
        example=_example(trial, data),
        others=others,
        refused=refused,
        diagnosis=conversion.notes,
        metrics=neurobench(conversion.network, trial.chip_run.run, data.x, labels=data.y),
        losses=losses,
    )


def _try_codes(
    model: Any, calibration: Any, chip: Chip, data: Data, settings: Settings, work: Work
) -> tuple[Conversion, Trial, tuple[Trial, ...], dict[str, str]]:
    """The headline's conversion and trial, the other codes' trials, and why codes were refused."""
    work.step(f"{settings.code}: converting")
    conversion = convert_for(chip, model, calibration, settings.code, settings.timesteps)
    work.step(f"{settings.code}: running {len(data):,} samples")
    trial = _try_conversion(conversion, chip, data, settings, work)
    others, refused = [], {}
    for code in (code for code in settings.others if code != conversion.code):
        work.step(f"{code}: converting and running {len(data):,} samples")
        try:
            made = convert_for(chip, conversion.graph, calibration, code, settings.timesteps)
            others.append(_try_conversion(made, chip, data, settings, work))
        except NeuroError as error:
            refused[code] = str(error)
    return conversion, trial, tuple(others), refused


def _try_conversion(conversion: Conversion, chip: Chip, data: Data, settings: Settings, work: Work) -> Trial:
    trial = try_network(conversion.network, chip, data, settings, code=conversion.code, work=work)
    return replace(trial, agreement=conversion.agreement)


def convert_for(chip: Chip, model: Any, calibration: Any, code: str, timesteps: int) -> Conversion:
    """Convert with the input that this chip can take, graded messages where it has them, else spikes, and its potentials.

    Code "auto" chooses among those that the chip can run, and how many timesteps it takes.
    """
    how = conversion_for(chip, code)
    if code == "auto":
        return converters.convert(model, calibration, code="auto", goal=Goal(codes=able_codes(chip)), **how)
    return converters.convert(model, calibration, code=cast(Code, code), timesteps=timesteps, **how)


def _example(trial: Trial, data: Data) -> Run:
    """The first sample again, with every message recorded."""
    run = trial.chip_run.run
    return neuro_run(trial.placement.network, data.x[:1], timesteps=run.timesteps, record=("raster",))


def _accuracy(graph: Graph, data: Data) -> float | None:
    return None if data.y is None else float((logits(graph, data.x).argmax(axis=1) == data.y).mean())
