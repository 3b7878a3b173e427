"""The main job: a network placed on a chip, run over all samples, priced and compared, as one value. Prints nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro import units
from neuro.chip.files import load_chip
from neuro.chip.spec import Chip
from neuro.comparison import Comparison, compare
from neuro.engine.pace import Work
from neuro.engine.records import Run
from neuro.engine.run import run as neuro_run
from neuro.errors import AccuracyWarning, MachineError, RangeWarning, UsageError
from neuro.graph import Graph
from neuro.machines.equivalent import equivalent
from neuro.machines.machine import Machine
from neuro.machines.workload import weigh
from neuro.metrics import neurobench
from neuro.network import Network
from neuro.notebook import Table, TableRepr
from neuro.report.outcome import Agreement, Outcome, Trial
from neuro.report.result import result, trial_row
from neuro.rivals import rivals
from neuro.serving.serving import Serving, serve
from neuro.serving.use import Use
from neuro.studies.data import Data, checked_labels, checked_samples, some_of, typical_of
from neuro.studies.settings import StudySettings, first_code
from neuro.studies.trials import try_codes, try_network

CALIBRATION_SAMPLES = 512  # of the data, where no typical inputs are given


@dataclass(frozen=True, slots=True, repr=False)
class Study(TableRepr, Outcome):
    """What a study found: `trial` is the network on the chip, `trials` has the other codes behind it, `comparison` the machines.

    `accuracy` and `accuracy_ann` are shares of the samples, of the spiking and of the float network; None without labels.
    """

    @property
    def accuracy(self) -> float | None:
        return self.trial.accuracy

    @property
    def agreement(self) -> Agreement | None:
        """With the float network, on calibration samples; None for a network that was not converted."""
        return self.trial.agreement

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, as `neuro run --json` writes it: energies in pJ, times in ns, per inference."""
        return result(self)

    def write_report(self, path: Any) -> None:
        """Write one offline HTML page. Raises FormatError for a path that cannot be written."""
        from neuro.report.study import write_study  # matplotlib, half a second

        write_study(Path(path), self)

    def _shown(self) -> Table:
        columns = ("code", "accuracy", "steps", "spikes", "synops", "cores", "latency", "dynamic", "total energy")
        rows = [_row(trial) for trial in self.trials]
        known = "" if self.accuracy_ann is None else f"; the float network has {units.percent(self.accuracy_ann)}"
        warning = f". {self.agreement.warning}" if self.agreement is not None and self.agreement.warning else ""
        verdict = "" if self.comparison is None else f". {self.comparison.crossing}"
        return f"{self.title}, per inference{known}{warning}{verdict}", columns, rows


def _row(trial: Trial) -> tuple[str, ...]:
    row, bill = trial_row(trial), trial.chip_run.bill
    accuracy = "" if trial.accuracy is None else units.percent(trial.accuracy)
    counts = (f"{row[name]:,.0f}" for name in ("steps", "spikes", "synops", "cores_used"))
    total = units.energy(bill.energy_pj if bill.total_known else None)
    return trial.code, accuracy, *counts, units.time(bill.latency_ns), units.energy(bill.dynamic_pj), total


def study(
    model: Any,
    x: Any,
    *,
    labels: NDArray[Any] | None = None,
    output: str = "",
    calibration: Any = None,
    chip: str | Chip = "loihi2",
    code: str | None = None,
    timesteps: int | None = None,
    others: Sequence[str] = (),
    machines: Sequence[str | Machine] = (),
    batches: Sequence[int] = (1, 64),
    board: str = "given",
    diagnose: bool = False,
    within_s: float | None = None,
    use: Use | None = None,
    work: Work | None = None,
) -> Study:
    """Convert a network, place and emulate it on a chip over all samples, price it, and compare it with machines.

    model: a torch.nn.Module or a Graph, converted with `code` and `timesteps`, or with the code
    that takes the least work for 99 % of the decisions where neither is given (`code="auto"`); or a Network, which
    runs as it is. x (samples, *shape), a mapping of names where there are several inputs; labels (samples,): class numbers, for
    the accuracy, of the output named `output` where there are several. calibration (samples, *shape): typical inputs, 512 of x
    unless given. chip: a name, the path of a chip file, or a Chip. The other arguments are those of
    `neuro.studies.settings.StudySettings`; `work` hears of each piece of work. Raises a NeuroError for what does not fit.
    """
    default, chosen = StudySettings(), load_chip(chip) if isinstance(chip, str) else chip
    data = replace(_data(x, labels), output=output)
    settings = StudySettings(
        first_code(code, timesteps),
        timesteps or default.timesteps,
        tuple(others),
        tuple(machines),
        tuple(batches),
        board,
        diagnose,
        within_s,
        use,
    )
    title = f"A network as spikes on {chosen.name}"
    if isinstance(model, Network):
        for name, given in (
            ("code", code),
            ("calibration", calibration),
            ("others", others or None),
            ("diagnose", diagnose or None),
        ):
            if given is not None:
                raise UsageError(f"study, {name}", "a spiking network has been converted already", f"Leave {name} out")
        return replace(study_network(model, chosen, data, settings, window=timesteps, work=work or Work()), title=title)
    if calibration is None:
        typical = typical_of(data, CALIBRATION_SAMPLES)
    else:
        typical = some_of(_samples("calibration", calibration), slice(CALIBRATION_SAMPLES))
    found = study_model(model, typical, chosen, data, settings, work=work or Work())
    return replace(found, title=title)


def _data(x: Any, labels: Any) -> Data:
    samples = _samples("data", x)
    first = next(iter(samples.values())) if isinstance(samples, Mapping) else samples
    return Data(samples, None if labels is None else checked_labels("data", first, np.asarray(labels)))


def _samples(name: str, x: Any) -> Any:
    """Checked samples, of several inputs by their names."""
    if isinstance(x, Mapping):
        return Data({str(key): np.asarray(one) for key, one in x.items()}, name=name).named([str(key) for key in x]).x
    return checked_samples(name, np.asarray(x))


def study_network(network: Network, chip: Chip, data: Data, settings: StudySettings, *, window: int | None, work: Work) -> Study:
    """Emulate and price a spiking network as it is; machines are asked for the float network with the same connections."""
    work.step(f"running {len(data):,} samples")
    with _told_by_the_study():
        trial = try_network(network, chip, data, settings, code="-", timesteps=window, work=work)
    work.step("comparing")
    serving = None
    try:
        comparison, why, serving = _compared(equivalent(network), trial, settings)
        facts = ("machines run the float network with the same connections", *why)
    except MachineError as error:
        comparison, facts = None, (f"no comparison with machines: {error}",)
    return Study(
        "A spiking network",
        trial,
        comparison=comparison,
        example=_example(trial, data),
        diagnosis=network.notes,
        facts=facts,
        metrics=neurobench(network, trial.judged, data.x, labels=data.y),
        serving=serving,
    )


def study_model(model: Any, calibration: Any, chip: Chip, data: Data, settings: StudySettings, *, work: Work) -> Study:
    """Convert a float network (torch module or Graph) in every wanted code, emulate, price and compare.

    `work` hears of each piece of work. A code that the chip or the network does not allow is named in
    `Study.refused`, unless it is the headline's, whose error is raised.
    """
    with _told_by_the_study():
        conversion, trial, others, refused = try_codes(model, calibration, chip, data, settings, work)
    if settings.diagnose:
        work.step("diagnosing")
    losses = conversion.diagnosis if settings.diagnose else None
    work.step("comparing")
    comparison, why, serving = _compared(conversion.graph, trial, settings)
    return Study(
        "A converted network",
        trial,
        accuracy_ann=_accuracy(conversion.graph, data),
        comparison=comparison,
        example=_example(trial, data),
        others=others,
        refused=refused,
        diagnosis=conversion.notes,
        metrics=neurobench(conversion.network, trial.judged, data.x, labels=data.y),
        losses=losses,
        facts=why,
        serving=serving,
    )


def _compared(graph: Graph, trial: Trial, settings: StudySettings) -> tuple[Comparison, tuple[str, ...], Serving | None]:
    """The comparison, why these machines, where nobody named them, and what the use costs, where one was asked for."""
    machines, why = rivals(graph, settings.machines)
    found = compare(graph, trial.chip_run, machines, settings.batches)
    serving = None if settings.use is None else serve(weigh(graph), trial.chip_run, found.machines, settings.use)
    return found, (why,) if why else (), serving


@contextmanager
def _told_by_the_study() -> Iterator[None]:
    """Without warnings of what a study holds: agreement with the float network, and inputs that were clipped."""
    with warnings.catch_warnings():
        for category in (AccuracyWarning, RangeWarning):
            warnings.simplefilter("ignore", category)
        yield


def _example(trial: Trial, data: Data) -> Run:
    """The first sample again, with every message recorded."""
    run = trial.chip_run.run
    with _told_by_the_study():
        found = neuro_run(trial.placement.network, some_of(data.x, slice(1)), timesteps=run.timesteps, record=("raster",))
    return found.of_output(trial.output) if trial.output else found


def _accuracy(graph: Graph, data: Data) -> float | None:
    from converters.evaluation import logits, outputs  # torch, which a network that is spiking already does without

    if data.y is None:
        return None
    found = outputs(graph, data.x)[data.output].reshape(len(data), -1) if data.output else logits(graph, data.x)
    return float((found.argmax(axis=1) == data.y).mean())
