"""An Outcome as one JSON object, energies in pJ and times in ns, per inference unless a name says otherwise."""

from __future__ import annotations

import csv
import io
import math
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from neuro import __version__, units
from neuro.chip.cutting.limits import REMEDIES
from neuro.chip.files import load_chip
from neuro.chip.spec import Chip
from neuro.comparison import Comparison, Row
from neuro.report.outcome import Losses, Outcome, Trial
from neuro.verdict import sentences, verdict_of, warnings_of

FORMAT = 1
FAMILY = "loihi"
PRICE_LISTS = ("loihi1-davies2018", "loihi1-nahuku")
_PACKAGES = ("numpy", "numba", "scipy", "torch")


def result(outcome: Outcome) -> dict[str, Any]:
    """Everything that the outcome holds, in plain values: no NaN, no arrays. Unknown values are None."""
    comparison = outcome.comparison
    return {
        "format": FORMAT,
        "title": outcome.title,
        "facts": list(outcome.facts),
        "accuracy_ann": outcome.accuracy_ann,
        **trial_row(outcome.trial),
        "energy_kinds": {part.name: part.kind for part in outcome.trial.chip_run.bill.parts},
        "energy_basis": {part.name: part.basis for part in outcome.trial.chip_run.bill.parts},
        "repriced": repriced(outcome.trial),
        "times_ns": dict(outcome.trial.chip_run.bill.times_ns),
        "assumptions": list(outcome.trial.chip_run.bill.assumptions),
        "codes": [trial_row(trial) for trial in outcome.trials],
        "refused_codes": dict(outcome.refused),
        "neurobench": None if outcome.metrics is None else outcome.metrics.to_row(),
        "comparison": [] if comparison is None else [plain(row) for row in comparison.to_rows()],
        "verdict": verdict(outcome),
        "serving": None if outcome.serving is None else finite(outcome.serving.to_dict()),
        "warnings": list(_warnings(outcome)),
        "conditions": [price_check(outcome.trial.placement.chip), *([] if comparison is None else comparison.conditions)],
        "diagnosis": list(outcome.diagnosis),
        "losses": None if outcome.losses is None else _losses(outcome.losses),
        "other_chips": [result(other) for other in outcome.elsewhere],
        "refused_chips": dict(outcome.refused_chips),
        "versions": versions(),
        "seed": outcome.seed,
    }


def on_all_chips(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the comparison, each other chip's own behind the first chip's."""
    rows = found["comparison"]
    return [*rows[:1], *(other["comparison"][0] for other in found["other_chips"] if other["comparison"]), *rows[1:]]


def price_check(chip: Chip) -> str:
    """One sentence: what measurements a chip's prices were held against."""
    against = chip.checked or "no measurement"
    return f"The prices of {chip.name} were checked against {against}."


def _agreement(found: Mapping[str, Any]) -> dict[str, Any]:
    return {**plain(found), "paths": [plain(path) for path in found["paths"]]}


def _losses(losses: Losses) -> dict[str, Any]:
    ablations = [
        {"cause": s.cause, "error": s.error, "gain": s.gain, "agreement": s.agreement, "remedy": s.remedy}
        for s in losses.ablations
    ]
    layers = [{**row, "histogram": list(row["histogram"])} for row in losses.rows()]
    return {"samples": losses.samples, "advice": losses.advice, "layers": layers, "swaps": ablations}


def trial_row(trial: Trial) -> dict[str, Any]:
    """One network on one chip; counts, energy and time are per inference."""
    run, bill, network = trial.chip_run.run, trial.chip_run.bill, trial.placement.network
    limit, share = trial.placement.tightest
    row = {
        "code": trial.code,
        "chip": trial.placement.chip.name,
        "timesteps": run.timesteps,
        "steps": run.steps,
        "samples": run.samples,
        "accuracy_snn": trial.accuracy,
        "accuracy_interval": None if trial.interval is None else list(trial.interval),
        "neurons": network.neurons,
        "synapses": network.synapses,
        "chips_used": trial.placement.chips_used,
        "cores_used": trial.placement.cores_used,
        "tightest": {"limit": limit, "share": share, "lever": REMEDIES[limit]},
        "spikes": run.messages / run.samples,
        "synops": trial.chip_run.synops / run.samples,
        "updates": run.updates / run.samples,
        "clipped_inputs": sum(run.clipped.values()),
        "agreement": None if trial.agreement is None else _agreement(trial.agreement.to_dict()),
        "packets": trial.chip_run.counts.packets / run.samples,
        "latency_ns": bill.latency_ns,
        "throughput_per_s": bill.throughput_per_s,
        "energy_pj": plain(bill.energy_by_part()),
    }
    return plain(row)


def repriced(trial: Trial) -> list[dict[str, Any]]:
    """The same counts at the published price lists of the same family of chips: how much hangs on the prices alone."""
    if not trial.placement.chip.name.startswith(FAMILY):
        return []
    bills = [trial.chip_run.price(load_chip(name)) for name in PRICE_LISTS]
    return [
        {"prices": bill.target, "dynamic_pj": bill.dynamic_pj, "total_pj": bill.energy_pj, "latency_ns": bill.latency_ns}
        for bill in bills
    ]


def verdict(outcome: Outcome) -> dict[str, Any] | None:
    """Whether the chip pays, as data, and in sentences; None where there is nothing to compare with."""
    comparison, trial = outcome.comparison, outcome.trial
    if comparison is None:
        return None
    found = verdict_of(comparison, trial.accuracy, outcome.accuracy_ann, trial.interval)
    return {**found.to_dict(), "answer": list(sentences(found, comparison)), "details": _details(comparison)}


def _warnings(outcome: Outcome) -> tuple[str, ...]:
    trial, run = outcome.trial, outcome.trial.chip_run.run
    classes = run.logits.shape[1] if run.logits.ndim == 2 else 0
    spiking, interval = trial.accuracy, trial.interval
    return warnings_of(spiking, outcome.accuracy_ann, interval, samples=run.samples, classes=max(1, classes))


def _details(comparison: Comparison) -> list[str]:
    """Where the chip loses, in sentences: total energy first, then throughput, then latency."""
    chip, *others = comparison.rows
    said = [comparison.crossing]
    quicker = _ahead({row: row.throughput_per_s / chip.throughput_per_s for row in others})
    if quicker:
        said.append(f"Throughput: {chip.machine} answers {units.rate(chip.throughput_per_s)}. {' '.join(quicker)}")
    sooner = _ahead({row: chip.latency_ns / row.latency_ns for row in others if row.batch == 1})
    if sooner:
        said.append(f"Latency: {chip.machine} takes {units.time(chip.latency_ns)} for one inference. {' '.join(sooner)}")
    return said


def _ahead(ratios: Mapping[Row, float]) -> list[str]:
    """Who is ahead and how far, batch by batch: "At batch 1 better: xeon and tpu-v4 16×, a100 1.8×."."""
    said = []
    for batch in sorted({row.batch for row in ratios}):
        groups: dict[str, list[str]] = {}
        for row in sorted((row for row in ratios if row.batch == batch and ratios[row] > 1), key=lambda row: -ratios[row]):
            groups.setdefault(units.times(ratios[row]), []).append(row.machine)
        if groups:
            said.append(f"At batch {batch} better: {', '.join(f'{_and(names)} {ratio}' for ratio, names in groups.items())}.")
    return said


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def csv_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as CSV with a heading; unknown values are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def versions() -> dict[str, str]:
    """Versions that the numbers depend on."""
    found = {name: metadata.version(name) for name in _PACKAGES}
    return {"neuro-emulator": __version__, "python": platform.python_version(), **found}


def finite(value: Any) -> Any:
    """The same value with None for numbers that are not finite, however deep they lie."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with None for numbers that are not known."""
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()}
