"""`neuro compare --table N` and `--roofline`: a survey's tables, reproduced and corrected, with the row it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuro.cli.named import CALIBRATION_SAMPLES
from neuro.cli.output import console, working, write_json, write_out
from neuro.cli.paths import check_files
from neuro.engine.pace import Work
from neuro.errors import UsageError, one_of

if TYPE_CHECKING:
    from neuro.bill import Bill

BOARD = "loihi2-x32"  # ResNet-50 does not fit on fewer chips
COLOURED = ("a100", "h100", "tpu-v1", "tpu-v4", "stratix-10-nx", "vck5000", "xeon", "orin")
ROOFLINE_BATCH = 64


@dataclass(frozen=True, slots=True)
class ResNetOptions:
    """ResNet-50 weights of the user's, images, and how they become spikes on which board; None: the default."""

    weights: Path | None = None
    data: Path | None = None
    calibration: Path | None = None
    chip: str | None = None
    code: str | None = None
    timesteps: int | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and self.data is None:
            raise UsageError("--weights", "spikes depend on images", "Add --data FILE.npz with images x (samples, 3, 224, 224)")
        if self.code == "auto":
            raise UsageError("--code", "trying every code on ResNet-50 takes hours", "Name one")
        if self.weights is None and any((self.data, self.calibration, self.chip, self.code, self.timesteps)):
            raise UsageError("--table", "options for a row of your own, but no weights", "Add --weights FILE.safetensors")


@dataclass(frozen=True, slots=True)
class Results:
    """Where rows go: to the terminal unless `quiet`, and into files where they are named."""

    json: Path | None
    csv: Path | None
    quiet: bool

    def files(self) -> dict[str, Path | None]:
        """The files by the options that name them."""
        return {"--json": self.json, "--csv": self.csv}

    def write(self, shown: Any, values: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print what is shown, and write the values as JSON and the rows as CSV."""
        console(quiet=self.quiet or "-" in (str(self.json), str(self.csv))).print(shown)
        write_json(self.json, values)
        if self.csv is not None:
            from neuro.report.result import csv_rows

            write_out(self.csv, csv_rows(rows))


def show_table(number: int, own: ResNetOptions, to: Results) -> None:
    """Print one of the survey's tables, and write its rows where wanted."""
    check_files(to.files(), {"--weights": own.weights, "--data": own.data, "--calibration": own.calibration, "--chip": own.chip})
    from neuro.machines import survey
    from neuro.report import tables_machines
    from neuro.report.tables import WideTable

    with working("costing", quiet=to.quiet) as work:
        rows: list[dict[str, Any]]
        if number == 1:
            rows = survey.table_one(_own_row(own, work))
            plain = tables_machines.survey_one(rows)
        elif number == 2:
            rows = survey.table_two()
            plain = tables_machines.survey_two(rows)
        else:
            rows = survey.table_three()
            plain = tables_machines.survey_three(rows)
    to.write(WideTable(*plain), rows, rows)


def show_spikes(workload: str | None, chip: str | None, to: Results) -> None:
    """Print the survey's workloads as spikes, as they were measured; of one workload measure it anew, which takes minutes."""
    check_files(to.files(), {"--chip": chip})
    from neuro.machines import survey_spikes
    from neuro.report import tables_machines
    from neuro.report.tables import WideTable

    rows = None
    if workload is not None:
        from neuro.chip.files import load_chip
        from neuro.studies.surveying.measuring import measured

        with working(f"{workload}: drawing weights", quiet=to.quiet) as work:
            rows = [measured(workload, load_chip(chip or BOARD), work.step)]
    found = survey_spikes.table_two_spikes(rows)
    to.write(WideTable(*tables_machines.survey_two_spikes(found)), found, found)


def show_rooflines(machines: Sequence[str], figure: Path, to: Results) -> None:
    """Print every machine's roof and what the survey's workloads reach under it, and draw it, `machines` in colour."""
    check_files({**to.files(), "--figure": figure})
    from neuro.files import write_text
    from neuro.machines.survey import roofline
    from neuro.report import figures_machines, tables_machines
    from neuro.report.svg import alone
    from neuro.report.tables import WideTable

    data = roofline()
    known = {roof["machine"] for roof in data["roofs"]}
    for name in machines:
        if name not in known:
            raise UsageError(f"machine {name!r}", "it has no roof in the catalogue", one_of(name, sorted(known)))
    write_text(figure, alone(figures_machines.roofline(data, machines or COLOURED, ROOFLINE_BATCH)))
    to.write(WideTable(*tables_machines.rooflines(data, ROOFLINE_BATCH)), data, data["points"])


def _own_row(own: ResNetOptions, work: Work) -> list[Bill]:
    """The bill of ResNet-50 with the user's weights, converted and emulated on a board; none without weights."""
    if own.weights is None or own.data is None:
        return []
    from neuro.chip.files import load_chip
    from neuro.cli.inputs import read_data, read_inputs
    from neuro.cli.options import as_options
    from neuro.machines.spiking import resnet50_graph
    from neuro.studies.settings import StudySettings
    from neuro.weights import read_weights

    chip, samples = load_chip(own.chip or BOARD), read_data(own.data)
    typical = (samples.x if own.calibration is None else read_inputs(own.calibration))[:CALIBRATION_SAMPLES]
    with as_options():
        settings = StudySettings(own.code or StudySettings().code, own.timesteps or StudySettings().timesteps)
    graph = resnet50_graph(read_weights(own.weights))
    work.step("converting ResNet-50")
    from neuro.studies.trials import convert_for, try_network

    network = convert_for(chip, graph, typical, settings.code, settings.timesteps).network
    work.step("placing ten million neurons, which takes minutes, and emulating")
    return [try_network(network, chip, samples, settings, code=settings.code, work=work).chip_run.bill]
