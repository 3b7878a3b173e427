"""The tables of a survey, reproduced from the models and the catalogue, with the printed numbers beside them.

Survey: P. Yadav, "AI Hardware Accelerators: Architecture Trade-offs, Performance Analysis, and Production Deployment", 2025. Its
"latency" is 1000 / throughput in every row of Table I; its Table II mixes MAC and FLOP.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any

from neuro.bill import Bill, Part
from neuro.errors import MachineError
from neuro.machines.costing import cost
from neuro.machines.device import BITS
from neuro.machines.kinds import KINDS
from neuro.machines.machine import Machine, list_machines, load_machine
from neuro.machines.points import setting_of, shipped_points
from neuro.machines.ready import ready_workload
from neuro.machines.workload import Workload

OFFLINE = 256  # batch of the throughput column
TABLE_ONE = (  # machine, precision, printed images/s, printed "ms", printed W
    ("xeon", "fp32", 145, 6.9, 205),
    ("a100", "fp16", 12_800, 0.08, 250),
    ("tpu-v4", "int8", 17_500, 0.06, 175),
    ("stratix-10-nx", "int8", 3_200, 0.31, 75),
    ("inferentia-1", "int8", 6_400, 0.16, 70),
)
_ONE_NOTES = {
    "xeon": "205 W is the thermal limit of one Platinum 8280",
    "a100": "250 W is the limit of the PCIe card, not a reading",
    "tpu-v4": "175 W is the limit of TPU v4i; INT8 runs at the rate of BF16 on v4",
    "stratix-10-nx": "no public ResNet-50 result",
    "inferentia-1": "normally BF16, which would make the printed rate 82 % of its peak; power is not published",
}
TABLE_TWO = (  # workload, printed parameters (M), "GFLOPs", FLOP/byte, MB
    ("resnet50", 25.6, 4.1, 67.2, 98),
    ("efficientnet-b7", 66.3, 37.0, 1247.5, 254),
    ("bert-large-128", 340, 22.5, 148.1, 1300),
    ("gpt3-decode", 175_000, 314_000, 314_000, 700_000),
    ("yolov5l", 46.5, 108.0, 515.0, 178),
)
TABLE_THREE = (  # requirement, printed for training, inference, edge
    ("precision", "FP32/FP16", "INT8/FP16", "INT8/INT4"),
    ("batch", "128-1024", "1-128", "1-8"),
    ("latency", "relaxed", "<100 ms", "<10 ms"),
    ("memory", "80 GB and more", "16 GB", "1-4 GB"),
    ("power", "300-400 W", "75-250 W", "5-15 W"),
)


def table_one(extra: Iterable[Bill] = ()) -> list[dict[str, Any]]:
    """ResNet-50: throughput at batch 256 and latency at batch 1, each beside what the survey prints and what was measured.

    Then the row that the survey lacks: the same network emulated on a board of spiking chips at stated activities, as
    emulated.csv holds it. `extra` are more bills of the same network, such as that of the user's own weights on the chip.
    """
    workload = ready_workload("resnet50")
    rows = []
    for name, precision, throughput, latency_ms, watts in TABLE_ONE:
        machine = load_machine(name)
        many, one = (cost(workload, machine, batch=batch, precision=precision) for batch in (OFFLINE, 1))
        printed = {"printed_throughput_per_s": throughput, "printed_latency_ms": latency_ms, "printed_power_w": watts}
        rows.append({**_one(many, one), **printed, "measured": _measured(machine, workload), "note": _ONE_NOTES[name]})
    added = [(bill, "; ".join(bill.assumptions[:1])) for bill in extra]
    blank = {"printed_throughput_per_s": None, "printed_latency_ms": None, "printed_power_w": None, "measured": ""}
    return [*rows, *({**_one(bill, bill), **blank, "note": note} for bill, note in (*emulated(), *added))]


@cache
def emulated() -> tuple[tuple[Bill, str], ...]:
    """Bills of ResNet-50 on the emulated board, with how they came about; none where emulated.csv was not made."""
    file = resources.files("neuro.machines") / "emulated.csv"
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))) if file.is_file() else []
    return tuple((_emulated_bill(row), _emulated_note(row)) for row in rows)


def _emulated_bill(row: dict[str, str]) -> Bill:
    total, dynamic = float(row["energy_pj"]), float(row["dynamic_pj"])
    parts = (
        Part("emulated, dynamic", dynamic, "dynamic", row["basis"]),
        Part("emulated, static", total - dynamic, "static", row["basis"]),
    )
    latency, rate = float(row["latency_ns"]), float(row["throughput_per_s"])
    return Bill(row["machine"], parts, latency, rate, precision="spikes", basis=f"emulated; {row['basis']}")


def _emulated_note(row: dict[str, str]) -> str:
    size = f"{int(row['neurons']):,} neurons and {int(row['synapses']):,} synapses on {int(row['cores']):,} cores"
    stated = f"stated activity {float(row['activity']):.0%} in each of {row['timesteps']} steps, random weights"
    return f"{stated}; {size}; made by {row['made_by']} on {row['date']}"


def _one(many: Bill, one: Bill) -> dict[str, Any]:
    known = many.energy_known
    return {
        "machine": many.target,
        "precision": many.precision,
        "throughput_per_s": many.throughput_per_s,
        "throughput_batch": many.batch,
        "latency_ms": one.latency_ns * 1e-6,
        "latency_batch": one.batch,
        "energy_mj": many.energy_pj * 1e-9 if known else None,
        "single_energy_mj": one.energy_pj * 1e-9 if known else None,
        "power_w": many.energy_pj * 1e-12 * many.throughput_per_s if known else None,
        "basis": many.basis,
    }


def _measured(machine: Machine, workload: Workload) -> str:
    """The best single-device readings of the shipped points, as text."""
    best: dict[str, tuple[float, str]] = {}
    for point in shipped_points():
        if machine.name not in ("xeon", "inferentia-1", "stratix-10-nx", "tpu-v4") and workload.name == point.workload:
            setting = setting_of(point) if "server" not in point.batch_or_scenario else None
            if setting and setting.machine.name == machine.name and not setting.capped:
                if point.throughput_per_s and not setting.stream:
                    best["images/s"] = max(
                        best.get("images/s", (0.0, "")), (point.throughput_per_s / setting.count, setting.precision)
                    )
                if point.latency_ms and setting.batch == 1:
                    best["ms"] = min(best.get("ms", (1e9, "")), (point.latency_ms, setting.precision))
    return ", ".join(
        f"{value:,.3f}".rstrip("0").rstrip(".") + f" {unit} ({precision})" for unit, (value, precision) in best.items()
    )


def table_two() -> list[dict[str, Any]]:
    """Five workloads: parameters, MACs, FLOP (= 2 x MAC), FP32 weights and FLOP per byte, beside the printed numbers."""
    rows = []
    for name, parameters_m, gflops, intensity, megabytes in TABLE_TWO:
        workload = ready_workload(name)
        weights = workload.parameters * 4
        rows.append(
            {
                "workload": workload.name,
                "parameters": workload.parameters,
                "macs": workload.macs,
                "flop": 2 * workload.macs,
                "weights_mib": weights / 2**20,
                "intensity_weights_only": 2 * workload.macs / weights,
                "intensity_fp32": workload.intensity(32),
                "intensity_fp16": workload.intensity(16),
                "intensity_int8": workload.intensity(8),
                "intensity_fp32_batch_128": workload.intensity(32, 128),
                "printed_parameters_m": parameters_m,
                "printed_gflops": gflops,
                "printed_intensity": intensity,
                "printed_megabytes": megabytes,
                "printed_is": _reading(workload, gflops),
            }
        )
    return rows


def _reading(workload: Workload, printed_gflops: float) -> str:
    """What the printed operation count can mean, from the counted one."""
    macs_g = workload.macs * 1e-9
    for meaning, value in (("MAC, not FLOP", macs_g), ("FLOP = 2 x MAC", 2 * macs_g)):
        if abs(printed_gflops / value - 1) < 0.05:
            return meaning
    return f"neither MAC nor FLOP: {printed_gflops / (2 * macs_g):.3g} of the counted FLOP"


def table_three() -> list[dict[str, Any]]:
    """Needs of training, inference and the edge, as queries of the catalogue beside what the survey prints."""
    groups = [_group(machine) for machine in map(load_machine, list_machines())]
    machines = {name: [load_machine(m) for m, g in zip(list_machines(), groups, strict=True) if g == name] for name in _GROUPS}
    rows = []
    for requirement, *printed in TABLE_THREE:
        row: dict[str, Any] = {"requirement": requirement}
        for group, text in zip(_GROUPS, printed, strict=True):
            row[f"printed_{group}"] = text
            row[group] = _QUERIES[requirement](machines[group])
        rows.append(row)
    return rows


_GROUPS = ("training", "inference", "edge")


def _group(machine: Machine) -> str:
    """Cards of 40 GiB and more train; other cards and sockets infer; modules, kits, sticks and chips are the edge."""
    if machine.form not in ("card", "socket"):
        return "edge"
    trains = KINDS[machine.kind].trains and machine.value("memory.capacity", 0.0) >= 32
    return "training" if trains else "inference"


def _range(values: Sequence[float], unit: str) -> str:
    return f"{min(values):.3g} to {max(values):.3g} {unit} ({len(values)} machines)" if values else "not known"


def _precisions(machines: Sequence[Machine]) -> str:
    counts: dict[str, int] = {}
    for machine in machines:
        for precision in machine.precisions:
            counts[precision] = counts.get(precision, 0) + 1
    ordered = sorted(counts, key=lambda precision: -counts[precision])
    return ", ".join(f"{precision.upper()} {counts[precision]}" for precision in ordered) + f" of {len(machines)}"


def _saturating(machine: Machine) -> float | None:
    """The smallest power-of-two batch at which ResNet-50 reaches 90 % of its throughput at batch 1024; None: it does not run."""
    workload = ready_workload("resnet50")
    if not KINDS[machine.kind].external_memory or "memory.bandwidth" not in machine.figures:
        return None
    best = cost(workload, machine, batch=1024).throughput_per_s
    return next(2.0**n for n in range(11) if cost(workload, machine, batch=2**n).throughput_per_s >= 0.9 * best)


def _latencies(machines: Sequence[Machine]) -> list[float]:
    workload = ready_workload("resnet50")
    able = [m for m in machines if KINDS[m.kind].external_memory]
    return [cost(workload, machine).latency_ns * 1e-6 for machine in able]


_QUERIES: dict[str, Callable[[Sequence[Machine]], str]] = {
    "precision": _precisions,
    "batch": lambda ms: "90 % of the best throughput at batch " + _range([b for m in ms if (b := _saturating(m))], ""),
    "latency": lambda ms: "ResNet-50 at batch 1: " + _range(_latencies(ms), "ms"),
    "memory": lambda ms: _range([m.value("memory.capacity") for m in ms if "memory.capacity" in m.figures], "GiB"),
    "power": lambda ms: _range([m.value("power.busy") for m in ms if "power.busy" in m.figures], "W"),
}


def roofline(machines: Sequence[str] | None = None, workloads: Sequence[str] | None = None) -> dict[str, list[dict[str, Any]]]:
    """Data of the roofline figure: `roofs` (peak FLOP/s, bytes/s, ridge) and `points` (each workload on each machine)."""
    chosen = [load_machine(name) for name in machines or list_machines()]
    chosen = [m for m in chosen if "memory.bandwidth" in m.figures and KINDS[m.kind].external_memory]
    roofs, points = [], []
    for machine in chosen:
        chips = machine.value("core.chips", 1.0)
        peak, bandwidth = 2 * machine.peak_macs(machine.precision) * chips, machine.value("memory.bandwidth") * 1e9 * chips
        roofs.append(
            {
                "machine": machine.name,
                "precision": machine.precision,
                "peak_flop_per_s": peak,
                "bytes_per_s": bandwidth,
                "ridge_flop_per_byte": peak / bandwidth,
            }
        )
        points.extend(_placed(machine, workloads or [name for name, *_ in TABLE_TWO]))
    return {"roofs": roofs, "points": points}


def _placed(machine: Machine, workloads: Sequence[str]) -> list[dict[str, Any]]:
    """Each workload at batch 1 and 64: its FLOP per byte and the FLOP/s that the model gives; left out where it does not fit."""
    placed = []
    for name in workloads:
        for batch in (1, 64):
            workload = ready_workload(name)
            try:
                bill = cost(workload, machine, batch=batch)
            except MachineError:
                continue
            intensity = workload.intensity(BITS[machine.precision], batch)
            flop_per_s = 2 * workload.macs * bill.throughput_per_s
            row = {"machine": machine.name, "workload": workload.name, "batch": batch}
            placed.append({**row, "flop_per_byte": intensity, "flop_per_s": flop_per_s})
    return placed
