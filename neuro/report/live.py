"""What the page's script recomputes with: counts by step, prices, machines by batch, and the positions of its sliders.

The script (live.js) repeats what `neuro.chip.pricing`, `neuro.serving.duty` and `neuro.verdict` compute, operation by operation;
tests/test_report_live.py holds it to them, to the last digit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from neuro.chip.pricing import energy_terms
from neuro.chip.spec import WATT_NS_IN_PJ, always_on_w
from neuro.comparison import Comparison
from neuro.report.outcome import Outcome, Trial
from neuro.serving.targets import waiting_w

FACTORS = (
    0.01,
    0.02,
    0.03,
    0.05,
    0.07,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    0.7,
    1.0,
    1.5,
    2.0,
    3.0,
    5.0,
    7.0,
    10.0,
    15.0,
    20.0,
    30.0,
    50.0,
)
RATES = (0.0, *(digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5)))  # a second; 0: one inference by itself
GROUPS = {
    "synapse": "synapse",
    "learning": "synapse",
    "neuron": "neuron",
    "program": "neuron",
}  # parts whose prices have a slider; others: messages
_MOST_STEPS = 2_000


@dataclass(frozen=True, slots=True)
class Slider:
    """One slider: its name in the script, what a person reads, and its position at first, of `positions`."""

    name: str
    label: str
    first: int
    positions: int


@dataclass(frozen=True, slots=True)
class Live:
    """The sliders, the machines to choose from, and the data (JSON) and script of the page."""

    sliders: tuple[Slider, ...]
    machines: tuple[str, ...]
    data: str
    script: str


def live(outcome: Outcome) -> Live | None:
    """The moving part of an outcome's page; None where there is no energy to recompute."""
    bill = outcome.trial.chip_run.bill
    if outcome.comparison is None or not bill.total_known:
        return None
    chip = chip_data(outcome.trial)
    machines = machine_data(outcome.comparison)
    if not machines:
        return None
    unit = FACTORS.index(1.0)
    factors = {
        "activity": "activity of the network",
        "synapse": "price of synaptic operations",
        "neuron": "price of neurons",
        "messages": "price of messages",
        "static": "power that always flows",
    }
    sliders = [Slider(name, label, unit, len(FACTORS)) for name, label in factors.items()]
    sliders.append(Slider("batch", "batch on the machines", 0, len(machines[0]["batches"])))
    sliders.append(Slider("rate", "inferences a second", 0, len(RATES)))
    if len(chip["windows"]) > 1:
        sliders.insert(0, Slider("window", "timesteps T", len(chip["windows"]) - 1, len(chip["windows"])))
    data = {
        "chip": chip,
        "machines": machines,
        "factors": FACTORS,
        "rates": RATES,
        "groups": GROUPS,
        "float": outcome.accuracy_ann,
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    script = (resources.files("neuro.report") / "live.js").read_text(encoding="utf-8")
    return Live(tuple(sliders), tuple(machine["name"] for machine in machines), text, script)


def chip_data(trial: Trial) -> dict[str, Any]:
    """Counts by step and prices of the chip, its power, and where the readout may be read: steps, latency, accuracy."""
    run, counts, chip = trial.chip_run, trial.chip_run.counts, trial.placement.chip
    terms = [
        [name, [[key, chip.value(key), values.tolist()] for key, values in by_step.items() if values.any()]]
        for name, by_step in energy_terms(counts, chip)
    ]
    always = {name: power for name, power in always_on_w(chip, 1).items() if power is not None}
    return {
        "name": chip.name,
        "samples": counts.samples,
        "chips": counts.chips,
        "parts": terms,
        "static_w": always.get("static"),
        "management_w": always.get("management"),
        "pj_of_watt_ns": WATT_NS_IN_PJ,
        "windows": _windows(trial, run.run.steps),
    }


def _windows(trial: Trial, steps: int) -> list[dict[str, Any]]:
    """Where the readout may be read, the whole window last: chip steps until then, latency (ns) and accuracy."""
    whole = {"steps": steps, "latency_ns": trial.chip_run.bill.latency_ns, "accuracy": trial.accuracy}
    by_step = trial.accuracy_by_step
    if by_step is None or len(by_step) < 2 or steps > _MOST_STEPS:
        return [{"T": trial.chip_run.run.timesteps, **whole}]
    total = trial.chip_run.step_times.total
    managed = trial.placement.chip.time.management_inference or 0.0
    first = steps - len(by_step) + 1  # the step after which the readout has seen one timestep
    earlier = [
        {
            "T": seen + 1,
            "steps": first + seen,
            "latency_ns": float(total[:, : first + seen].sum(axis=1).mean()) + managed,
            "accuracy": float(share),
        }
        for seen, share in enumerate(by_step[:-1])
    ]
    return [*earlier, {"T": len(by_step), **whole}]


def machine_data(comparison: Comparison) -> list[dict[str, Any]]:
    """Each machine whose energy is known: its energies and latency at every batch, and what it draws while it waits."""
    waiting: Mapping[str, Sequence[float] | None] = {machine.name: waiting_w(machine) for machine in comparison.machines}
    found = []
    for name, watts in waiting.items():
        rows = [row for row in comparison.curves if row.machine == name]
        if any(row.energy_pj is None or row.dynamic_pj is None or not np.isfinite(row.energy_pj) for row in rows):
            continue
        single = rows[0]
        batches = [[row.batch, row.energy_pj, row.latency_ns] for row in rows]
        more = {"dynamic_j": (single.dynamic_pj or 0.0) * 1e-12, "interval_s": 1 / single.throughput_per_s}
        found.append({"name": name, "batches": batches, "waiting_w": watts, **more})
    return found
