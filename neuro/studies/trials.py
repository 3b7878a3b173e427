"""Networks converted for a chip, placed on it and run over all samples; prints nothing."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, cast

from neuro.chip.cutting.capabilities import able_codes, conversion_for
from neuro.chip.cutting.crossbars import for_chip
from neuro.chip.emulator import emulate
from neuro.chip.placing.placement import Board, place
from neuro.chip.spec import Chip
from neuro.codes import Code
from neuro.engine.pace import Work
from neuro.engine.records import read_shapes
from neuro.errors import NeuroError
from neuro.network import Network
from neuro.report.outcome import Trial
from neuro.studies.data import Data, check_classes, check_output
from neuro.studies.settings import StudySettings

if TYPE_CHECKING:
    from converters.pipeline import Conversion


def try_network(
    network: Network, chip: Chip, data: Data, settings: StudySettings, *, code: str, timesteps: int | None = None, work: Work
) -> Trial:
    """Place and emulate one network over all samples. Raises where it does not fit the chip, or the data does not fit it."""
    record = ("logits_by_step",) if network.readouts else ()
    sizes = {name: prod(shape) for name, shape in read_shapes(network).items()}
    check_output(data, tuple(sizes))
    if network.readouts:
        check_classes(data.name, data.y, sizes[data.output] if data.output else sum(sizes.values()))
    placement = place(for_chip(network, chip), chip, board=cast(Board, settings.board))
    how: dict[str, Any] = {"record": record, "progress": work.advance, "within_s": settings.within_s}
    chip_run = emulate(placement, data.x, timesteps=timesteps, **how)
    trial = Trial(code, chip_run, data.y, output=data.output)
    check_classes(data.name, data.y, trial.judged.logits.shape[1])
    return trial


def try_codes(
    model: Any, calibration: Any, chip: Chip, data: Data, settings: StudySettings, work: Work
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


def _try_conversion(conversion: Conversion, chip: Chip, data: Data, settings: StudySettings, work: Work) -> Trial:
    trial = try_network(conversion.network, chip, data, settings, code=conversion.code, work=work)
    return replace(trial, agreement=conversion.agreement)


def convert_for(chip: Chip, model: Any, calibration: Any, code: str, timesteps: int) -> Conversion:
    """Convert with the input that this chip can take, graded messages where it has them, else spikes, and its potentials.

    Code "auto" chooses among those that the chip can run, and how many timesteps it takes.
    """
    import converters  # torch, which a network that is spiking already does without
    from converters.choosing import Goal

    how = conversion_for(chip, code)
    if code == "auto":
        return converters.convert(model, calibration, code="auto", goal=Goal(codes=able_codes(chip)), **how)
    return converters.convert(model, calibration, code=cast(Code, code), timesteps=timesteps, **how)
