"""The survey's Table II as spikes: its workloads on boards of an emulated chip, beside an A100 and a TPU v4.

Rows are those of spikes.csv, which `python benchmarks/survey_spikes.py` measures: exact counts at public shapes with random
weights. GPT-3 is one decoder block times 96, without the layer that names the next word.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from neuro.errors import MachineError
from neuro.machines.costing import cost
from neuro.machines.machine import load_machine
from neuro.machines.ready import ready_workload

BESIDE = (("a100", "fp16"), ("tpu-v4", "int8"))
ONE, MANY = 1, 64  # batches
BOARD_CHIPS = 32
_TEXT = ("workload", "chip", "made_by", "version", "date")


@cache
def measured_rows() -> tuple[Mapping[str, Any], ...]:
    """The rows of spikes.csv; none where it was not made."""
    file = resources.files("neuro.machines") / "spikes.csv"
    if not file.is_file():
        return ()
    return tuple(parsed(row) for row in csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))


def parsed(row: Mapping[str, str]) -> dict[str, Any]:
    """A row of text with its numbers as numbers."""
    return {
        key: value if key in _TEXT else float(value) if key.endswith(("_pj", "_ns")) else int(value) for key, value in row.items()
    }


def table_two_spikes(rows: Iterable[Mapping[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Each workload on the chip beside each machine: one inference at a time beside batch 1, one behind the other in all layers
    at once (pipelined) beside batch 64; and where a machine needs less, or does more."""
    return [_beside(row) for row in (measured_rows() if rows is None else rows)]


def _beside(row: Mapping[str, Any]) -> dict[str, Any]:
    workload = ready_workload(row["workload"])
    standing_mw = (row["energy_pj"] - row["dynamic_pj"]) / row["latency_ns"]  # pJ / ns
    found = {
        "name": workload.name + (f" (one block x {row['times']})" if row["times"] > 1 else ""),
        **row,
        "boards": -(-row["chips"] // BOARD_CHIPS),
        "macs": workload.macs,
        "synops_per_mac": row["synops"] / workload.macs,
        "energy_mj": row["energy_pj"] * 1e-9,
        "dynamic_mj": row["dynamic_pj"] * 1e-9,
        "latency_ms": row["latency_ns"] * 1e-6,
        "pipelined_per_s": 1e9 / row["interval_ns"],
        "pipelined_mj": (row["dynamic_pj"] + standing_mw * row["interval_ns"]) * 1e-9,
    }
    less: dict[str, list[str]] = {}
    for name, precision in BESIDE:
        for batch, energy, speed in ((ONE, "energy_mj", "latency_ms"), (MANY, "pipelined_mj", "pipelined_per_s")):
            latency_ms, per_s, energy_mj = _machine(row["workload"], name, precision, batch)
            own = {"latency_ms": latency_ms, "per_s": per_s, "energy_mj": energy_mj}
            found |= {f"{name}_batch_{batch}_{key}": value for key, value in own.items()}
            if energy_mj is not None and energy_mj < found[energy]:
                less.setdefault(f"energy at batch {batch}", []).append(name)
            if speed == "latency_ms" and latency_ms is not None and latency_ms < found[speed]:
                less.setdefault("latency", []).append(name)
            if speed == "pipelined_per_s" and per_s is not None and per_s > found[speed]:
                less.setdefault("rate", []).append(name)
    lost = [f"{what}: {', '.join(names)}" for what, names in less.items()]
    compared = any(found[f"{name}_batch_{ONE}_latency_ms"] is not None for name, _ in BESIDE)
    none = "nowhere, as far as is known" if compared else "not comparable: one machine does not hold the network"
    return {**found, "where_the_chip_loses": "; ".join(lost) or none}


def _machine(workload: str, name: str, precision: str, batch: int) -> tuple[float | None, float | None, float | None]:
    """Latency (ms), rate (1/s) and energy (mJ) of one inference; None where the machine cannot hold it, or it is not public."""
    try:
        bill = cost(ready_workload(workload), load_machine(name), batch=batch, precision=precision)
    except MachineError:
        return None, None, None
    return bill.latency_ns * 1e-6, bill.throughput_per_s, bill.energy_pj * 1e-9 if bill.energy_known else None
