"""An Outcome as one HTML page. Knows what belongs on the page and in which order; computes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from neuro import units
from neuro.chip.emulator import ChipRun
from neuro.comparison import Comparison, Row
from neuro.engine.records import Run
from neuro.errors import UsageError
from neuro.faultcurves import Curves
from neuro.machines.machine import Machine
from neuro.machines.parameters import sourced_parameters
from neuro.report import figures
from neuro.report.faults import fault_section
from neuro.report.figures_chip import pictures
from neuro.report.figures_cores import core_timeline, population_map
from neuro.report.layers import energy_by_population
from neuro.report.live import live
from neuro.report.losses import losses_section
from neuro.report.outcome import Agreement, Losses, Outcome, Trial
from neuro.report.page import Card, Cell, Figure, Page, PageTable, Section, page_table, write_page
from neuro.report.result import price_check, result
from neuro.report.serving import serving_tables
from neuro.report.terminal import accuracy, agreements, chip_row


class Converted(Protocol):
    """What the page shows of a conversion."""

    @property
    def code(self) -> str: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def diagnosis(self) -> Losses: ...
    @property
    def agreement(self) -> Agreement: ...


def write_report(
    path: Any,
    *,
    chip_run: ChipRun,
    conversion: Converted | None = None,
    table: Comparison | None = None,
    labels: Any = None,
    accuracy_ann: float | None = None,
    example: Run | None = None,
    title: str = "Spikes on an emulated chip",
    faults: Curves | None = None,
) -> None:
    """Write one offline HTML file about a run on the chip.

    conversion: where the network came from, its notes and its diagnosis; table: what `neuro.compare` returned; labels: the
    classes (samples,) of the samples, for the accuracy, which a chip_run with record=("logits_by_step",) shows against time;
    accuracy_ann: the float network's; example: a run of the first sample with record=("raster",), whose spikes are drawn;
    faults: what `neuro.faultcurves.curves` returned. Raises UsageError for labels that do not match, FormatError for
    the path.
    """
    known = None if labels is None else _labels(labels, chip_run)
    trial = Trial(conversion.code, chip_run, known, conversion.agreement) if conversion else Trial("-", chip_run, known)
    notes = conversion.notes if conversion else chip_run.placement.network.notes
    losses = conversion.diagnosis if conversion else None
    found = Outcome(title, trial, accuracy_ann, table, example, diagnosis=notes, losses=losses, faults=faults)
    write_study(Path(path), found)


def _labels(labels: Any, chip_run: ChipRun) -> NDArray[np.int64]:
    array = np.asarray(labels)
    samples = chip_run.run.samples
    if array.shape != (samples,) or array.dtype.kind not in "ui":
        fact = f"shape {array.shape}, {array.dtype} for {samples} samples"
        raise UsageError("labels", fact, "Pass one class number for each sample")
    return array.astype(np.int64)


def write_study(path: Path, outcome: Outcome) -> None:
    """Write the outcome as one offline HTML file, whole or not at all."""
    write_page(path, page(outcome))


def page(outcome: Outcome) -> Page:
    """The page of an outcome; a section whose data is not there is left out."""
    found = result(outcome)
    sections = (_accuracy, _energy, _chip, _chips, _spikes, _comparison, _serving, _faults, _diagnosis, _reproduce, _constants)
    made = [section for build in sections for section in build(outcome, found)]
    return Page(
        outcome.title,
        outcome.facts,
        tuple(_cards(outcome, found)),
        _answer(found),
        tuple(made),
        live(outcome),
    )


def _answer(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Whether it pays, what its use costs, what casts doubt on it, and where it loses, in sentences."""
    said, used = found["verdict"] or {"answer": (), "details": ()}, found["serving"] or {"answer": ()}
    return tuple(dict.fromkeys([*said["answer"], *used["answer"], *found["warnings"], *said["details"]]))


def _cards(outcome: Outcome, found: Mapping[str, Any]) -> Iterator[Card]:
    if found["accuracy_snn"] is not None:
        low, high = found["accuracy_interval"]
        float_network = "" if outcome.accuracy_ann is None else f"float network {accuracy(outcome.accuracy_ann)}; "
        note = f"{float_network}{found['samples']:,} samples, 95 % interval {100 * low:.1f} to {accuracy(high)}"
        yield Card("accuracy kept" if float_network else "accuracy", accuracy(found["accuracy_snn"]), note)
    joules = found["energy_pj"]
    yield Card("energy of one inference", units.energy(joules["total"]), f"{units.energy(joules['dynamic'])} dynamic, batch 1")
    yield Card("latency", units.time(found["latency_ns"]), f"{found['steps']} chip steps, code {found['code']}")
    yield Card("synaptic operations", units.count(round(found["synops"])), f"{units.count(round(found['spikes']))} spikes")
    yield Card("chip", found["chip"], f"{found['cores_used']} cores, {found['neurons']:,} neurons")


def _accuracy(outcome: Outcome, found: Mapping[str, Any]) -> Iterator[Section]:
    drawn = []
    by_step = outcome.trial.accuracy_by_step
    if by_step is not None and len(by_step) > 1:
        caption = f"Code {outcome.trial.code}: the readout read off after each step of its window."
        drawn.append(_figure(figures.accuracy_over_time(by_step, outcome.accuracy_ann), caption))
    known = outcome.trial.chip_run.bill.total_known
    points = [(t.code, t.chip_run.bill.energy_pj, t.accuracy) for t in outcome.trials if t.accuracy is not None and known]
    if len(points) > 1:
        caption = "Every code on the same chip and samples; the line joins those that no other beats in both."
        drawn.append(_figure(figures.front(points, outcome.accuracy_ann), caption))
    names = ("code", "accuracy", "total", "dynamic", "latency", "steps", "spikes", "synops", "updates", "packets", "cores")
    rows = [_code_row(row) for row in found["codes"]]
    table = page_table(names, rows, numbers=names[1:], caption="Counts, latency and energy of one inference.", own=0)
    refused = tuple(f"{code}: {why}" for code, why in outcome.refused.items())
    said = tuple(line for line, _ in agreements(found))
    yield Section("accuracy", "Accuracy, time and energy", figures=tuple(drawn), tables=(table,), points=(*said, *refused))


def _code_row(row: Mapping[str, Any]) -> list[str | Cell]:
    counted = [Cell(units.count(round(row[name])), row[name]) for name in ("spikes", "synops", "updates", "packets")]
    joules = [Cell(units.energy(row["energy_pj"][name]), row["energy_pj"][name]) for name in ("total", "dynamic")]
    steps, cores, latency = str(row["steps"]), str(row["cores_used"]), Cell(units.time(row["latency_ns"]))
    return [row["code"], accuracy(row["accuracy_snn"]), *joules, latency, steps, *counted, cores]


def _energy(outcome: Outcome, found: Mapping[str, Any]) -> Iterator[Section]:
    bill, run = outcome.trial.chip_run.bill, outcome.trial.chip_run.run
    drawn = []
    if bill.energy_known:
        parts = figures.bars(
            "parts", "Energy by part", {part.name: part.energy_pj for part in bill.parts if part.energy_pj is not None}
        )
        caption = "Energy of one inference by part; static and management power run for as long as the inference takes."
        drawn.append(_figure(parts, caption))
        by_layer = figures.stacked("layers", "Energy by population", energy_by_population(outcome.trial.chip_run))
        caption = "Dynamic energy of one inference: the synapses into each population, its neurons, the messages it sends."
        drawn.append(_figure(by_layer, caption))
    if found["latency_ns"] is not None:
        caption = "What the steps of one inference waited for."
        drawn.append(_figure(figures.bars("times", "Time by cause", dict(bill.times_ns), unit="time"), caption))
    names = ("population", "neurons", "spikes", "synops into it", "updates", "of them driven")
    rows = [
        (
            p.name,
            units.count(p.size),
            *(units.count(round(n)) for n in _per_inference(outcome.trial, p.name)),
        )
        for p in outcome.trial.placement.network.populations
    ]
    caption = f"Activity of one inference by population, averaged over {run.samples:,} samples."
    tables = [page_table(names, rows, numbers=names[1:], caption=caption)]
    if found["repriced"]:
        tables.append(_other_prices(found))
    yield Section("energy", "Energy and time by part", figures=tuple(drawn), tables=tuple(tables))


def _other_prices(found: Mapping[str, Any]) -> PageTable:
    names = ("prices", "dynamic", "total", "latency")
    own = {"prices": found["chip"], "latency_ns": found["latency_ns"], **{f"{k}_pj": found["energy_pj"][k] for k in names[1:3]}}
    rows = [
        (row["prices"], units.energy(row["dynamic_pj"]), units.energy(row["total_pj"]), units.time(row["latency_ns"]))
        for row in (own, *found["repriced"])
    ]
    caption = "The same counts at other published price lists: how much hangs on the prices alone."
    return page_table(names, rows, numbers=names[1:], caption=caption, own=0)


def _per_inference(trial: Trial, name: str) -> list[float]:
    counts = trial.chip_run.run.counts[name]
    totals = (counts.messages, counts.synops, counts.updates, counts.driven)
    return [float(total.sum()) / trial.chip_run.run.samples for total in totals]


def _chip(outcome: Outcome, found: Mapping[str, Any]) -> Iterator[Section]:
    placement = outcome.trial.placement
    captions = {
        "cores": "The population of each core, the fuller the stronger; rest the pointer on one for its facts. Frames are tiles.",
        "fill": "Neuron compartments taken of each core; cores that are not in use stay empty, frames are tiles.",
        "work": "Synaptic operations of one inference on each core.",
        "links": "Packets of one inference over each link, side by side for its two directions; dots are tiles in use.",
        "steps": "Time of each step, averaged over samples, by what it waits for.",
        "timeline": "The first sample: when the busiest cores send and receive, and when all wait for the barrier.",
    }
    run = outcome.trial.chip_run
    own = {"cores": population_map(run), "timeline": core_timeline(run)}
    drawn = {**pictures(run), **{name: svg for name, svg in own.items() if svg}}
    if "cores" in drawn:
        del drawn["fill"]  # which the other map shows too
    text = (
        f"{placement.cores_used} cores of {placement.chip.usable_cores} are in use; "
        f"{units.percent(placement.utilisation)} of their neuron compartments are taken. {placement.chip.scope}",
    )
    figures_of = tuple(_figure(drawn[name], caption) for name, caption in captions.items() if name in drawn)
    yield Section("chip", f"On the chip: {placement.chip.title}", text, figures_of)


def _chips(outcome: Outcome, found: Mapping[str, Any]) -> Iterator[Section]:
    if not found["other_chips"] and not found["refused_chips"]:
        return
    names = ("chip", "code", "T", "accuracy", "cores", "latency", "dynamic", "total", "pays")
    rows = [chip_row(row) for row in (found, *found["other_chips"])]
    refused = tuple(f"Not on {name}: {why}" for name, why in found["refused_chips"].items())
    table = page_table(names, rows, numbers=names[2:-1], caption="Latency and energy of one inference.", own=0)
    yield Section("chips", "The same network on other chips", tables=(table,), points=refused)


def _spikes(outcome: Outcome, found: Mapping[str, Any]) -> Iterator[Section]:
    if outcome.example is None or not outcome.example.raster:
        return
    raster = {name: block[0] for name, block in outcome.example.raster.items() if block[0].any()}
    share = figures.raster_share(raster)
    thinned = "" if share == 1 else f"; a random {units.percent(share)} of them are drawn"
    labels = outcome.trial.labels
    which = "" if labels is None else f" (class {labels[0]}, answered {outcome.example.predictions[0]})"
    caption = f"Every message of the first sample{which}, population by population{thinned}."
    yield Section("spikes", "Spikes of one sample", figures=(_figure(figures.raster(raster), caption),))


_DOTS = (
    "Each machine at each batch; the number at a dot is the batch size. Bars: mean error of the models on measured machines "
    "of the same class that they were not fitted on; without a bar, none was measured."
)
_ROWS = (
    "Energy is per inference, latency is of a whole batch. Green: the machine needs more than the chip; red: less. Held-out "
    "error: mean error on measured machines of the same class that the model was not fitted on."
)


def _comparison(outcome: Outcome, found: Mapping[str, Any]) -> Iterator[Section]:
    if outcome.comparison is None:
        return
    rows = outcome.comparison.rows
    drawn = (_figure(figures.machines(dots(found["comparison"])), _DOTS),)
    numbers = ("batch", "total", "chip = 1", "latency", "throughput", "dynamic")
    names = ("target", *numbers[:3], "precision", *numbers[3:], "basis and held-out error")
    cells = [_machine_row(row, rows[0]) for row in rows]
    table = page_table(names, cells, numbers=numbers, caption=_ROWS, own=0, sortable=True)
    conditions = tuple(said for said in outcome.comparison.conditions if said not in found["assumptions"])
    yield Section("comparison", "The same network on other machines", figures=drawn, tables=(table,), points=conditions)


def _serving(outcome: Outcome, found: Mapping[str, Any]) -> Iterator[Section]:
    if found["serving"] is None:
        return
    shown = serving_tables(found["serving"])
    tables = tuple(page_table(columns, rows, numbers=columns[1:], caption=title) for title, columns, rows in shown)
    yield Section("serving", "In use", tables=tables, points=tuple(found["serving"]["conditions"]))


def _faults(outcome: Outcome, found: Mapping[str, Any]) -> Iterator[Section]:
    if outcome.faults is not None:
        yield fault_section(outcome.faults)


def dots(rows: Sequence[Mapping[str, Any]]) -> list[figures.Dot]:
    """Rows of the comparison, the chip's first, as dots of the figure; rows without a known energy or time are left out."""
    shown = [(row, i == 0) for i, row in enumerate(rows) if None not in (row["energy_pj"], row["latency_ns"])]
    return [
        figures.Dot(
            row["machine"],
            row["batch"],
            row["energy_pj"],
            row["latency_ns"],
            row["energy_error"] or 0.0,
            row["latency_error"] or 0.0,
            chip,
        )
        for row, chip in shown
    ]


def _machine_row(row: Row, chip: Row) -> list[str | Cell]:
    ratio = Cell("-")
    if row.energy_pj is not None and chip.energy_pj:
        times = row.energy_pj / chip.energy_pj
        ratio = Cell(units.times(times), times, "" if row is chip else "win" if times > 1 else "lose")
    return [
        row.machine,
        Cell(str(row.batch), row.batch),
        _ordered(units.energy, row.energy_pj),
        ratio,
        row.precision,
        _ordered(units.time, row.latency_ns),
        _ordered(units.rate, row.throughput_per_s),
        _ordered(units.energy, row.dynamic_pj),
        "; ".join(filter(None, [row.basis, _errors(row)])),
    ]


def _ordered(write: Callable[[float | None], str], value: float | None) -> Cell:
    """A number that orders its column; one that is not known comes first."""
    return Cell(write(value), -1.0 if value is None or math.isnan(value) else value)


def _errors(row: Row) -> str:
    known = (("latency", row.latency_error), ("energy", row.energy_error))
    return ", ".join(f"{name} ±{error:.0%}" for name, error in known if error is not None)


def _diagnosis(outcome: Outcome, found: Mapping[str, Any]) -> Iterator[Section]:
    if outcome.diagnosis:
        yield Section("diagnosis", "What was noticed on the way", points=outcome.diagnosis)
    if found["losses"] is not None:
        yield losses_section(found["losses"])


def _constants(outcome: Outcome, found: Mapping[str, Any]) -> Iterator[Section]:
    chip = outcome.trial.placement.chip
    used = [key for key in chip.origin if key.startswith(("energy.", "time.", "power.")) and chip.value(key) is not None]
    rows = [
        (key, _spelt(chip.value(key)), chip.origin[key].unit, chip.origin[key].basis, chip.origin[key].source) for key in used
    ]
    tables = [
        page_table(
            ("constant", "value", "unit", "basis", "source"), rows, caption=f"{chip.name}. {chip.caution} {price_check(chip)}"
        )
    ]
    machines = () if outcome.comparison is None else outcome.comparison.machines
    if machines:
        names = ("machine", "constant", "value", "unit", "basis", "source")
        caption = "The machines: figures of each, and parameters fitted for its kind."
        tables.append(page_table(names, [row for machine in machines for row in _figures(machine)], caption=caption))
    text = ("Every number above rests on these. What was assumed or is unknown is said again below the tables.",)
    yield Section("constants", "Where the prices come from", text, tables=tuple(tables), points=tuple(found["assumptions"]))


def _figures(machine: Machine) -> list[tuple[str, ...]]:
    constants = {**sourced_parameters(machine.kind), **machine.figures}
    return [(machine.name, name, f"{c.value:g}", c.unit, c.basis, c.source) for name, c in constants.items()]


def _spelt(value: Any) -> str:
    return (
        ", ".join(f"{a}: {b:g}" for a, b in value)
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _reproduce(outcome: Outcome, found: Mapping[str, Any]) -> Iterator[Section]:
    text = [f"{name} {version}" for name, version in found["versions"].items()]
    seed = () if outcome.seed is None else (f"seed {outcome.seed}",)
    yield Section("reproduce", "To reproduce", points=(", ".join(text), *seed))


def _figure(svg: str, caption: str) -> Figure:
    return Figure(Markup(svg), caption)
