"""Systolic arrays of R x C cells: exact cycles of a product (M, K) x (K, N), stalls on memory, depthwise as it is: poorly used.

Conventions of SCALE-Sim (which reports the last cycle index, one less). Depthwise layers are `groups` products with N = 1.
| dataflow | cycles |
|---|---|
| os, output stationary | ceil(M/R) ceil(N/C) (R + C + K - 2) |
| ws, weight stationary | ceil(K/R) ceil(N/C) (2R + C + M - 2) |
| db, weight stationary with the next weights loaded meanwhile (TPU) | R + ceil(K/R) ceil(N/C) max(M, R) + R + C - 2 |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from neuro.errors import MachineError
from neuro.machines.device import Device
from neuro.machines.host import plain_rates
from neuro.machines.kind import MachineKind, roofed_layers, roofed_timing
from neuro.machines.roofline import Floats, Waste
from neuro.machines.workload import Columns, Workload

DATAFLOWS: dict[str, Callable[[Any, Any, Any, int, int], Any]] = {
    "os": lambda m, k, n, r, c: np.ceil(m / r) * np.ceil(n / c) * (r + c + k - 2),
    "ws": lambda m, k, n, r, c: np.ceil(k / r) * np.ceil(n / c) * (2 * r + c + m - 2),
    "db": lambda m, k, n, r, c: r + np.ceil(k / r) * np.ceil(n / c) * np.maximum(m, r) + r + c - 2,
}


def systolic_cycles(m: Any, k: Any, n: Any, *, rows: int, columns: int, dataflow: str) -> Any:
    """Cycles of (m, k) x (k, n) on a rows x columns array; integers or arrays of them."""
    if dataflow not in DATAFLOWS:
        raise MachineError(f"dataflow {dataflow!r}", "there is no such dataflow", f"Use one of {', '.join(DATAFLOWS)}")
    return DATAFLOWS[dataflow](m, k, n, rows, columns)


def utilisation(workload: Workload, *, rows: int, columns: int, dataflow: str, batch: int = 1) -> list[dict[str, Any]]:
    """One row per layer with MACs: cycles of a batch and the share of cells that work."""
    rows_out = []
    for op in (op for op in workload.ops if op.macs):
        cycles = systolic_cycles(op.m * batch, op.k, op.n, rows=rows, columns=columns, dataflow=dataflow)
        total = int(cycles) * op.groups * op.repeats
        share = op.macs * batch / (rows * columns * total)
        rows_out.append({"layer": op.name, "kind": op.kind, "cycles": total, "utilisation": share})
    return rows_out


@cache
def array_waste(rows: int, columns: int, dataflow: str) -> Waste:
    """MACs that a kernel occupies all cells for: cycles times cells. Several arrays share the work evenly."""

    def occupied(table: Columns, piece: Floats, units: float) -> Floats:
        cycles = DATAFLOWS[dataflow](table["m"] * piece, table["k"], table["n"], rows, columns)
        cells: Floats = cycles * table["groups"] * (table["macs"] > 0) * rows * columns
        return cells

    return occupied


def machine_waste(machine: Device) -> Waste:
    """The waste of a machine's arrays."""
    return array_waste(int(machine.value("core.rows")), int(machine.value("core.columns")), machine.dataflow)


KIND = MachineKind(
    model="systolic cycles",
    needs=("memory.bandwidth", "core.rows", "core.columns"),
    timing=roofed_timing(plain_rates, machine_waste),
    layers=roofed_layers(plain_rates, machine_waste),
    classes={"graph": "systolic array"},
    trains=True,
)
