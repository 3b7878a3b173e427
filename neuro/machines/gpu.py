"""Graphics processors: tiles, waves, kernel floors and power throttling. Knows the shapes of layers, not their meaning.

A layer is a product (M b, K) x (K, N); its tiles are spread over the SMs in waves, long K is split while SMs would idle. A
kernel costs at least `kernel_cycles` of the clock. Where the power limit cannot feed the full clock (w0 node / 7 nm watts per
TOPS of peak), the clock falls by (limit / demand) ** exponent. Differs from cuBLAS in: two tile sizes stand for all of its
kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.machines.device import BITS, Device, Parameters
from neuro.machines.kind import MachineKind, roofed_layers, roofed_timing
from neuro.machines.roofline import Floats, Rates
from neuro.machines.workload import Columns

TILES = ((128, 1.0), (64, 0.7))  # side, rate relative to the large tile (half the reuse, assumed)
SPLIT_K = 256  # a slice of K is not made shorter than this


def demand_w(machine: Device, p: Parameters) -> float:
    """Watts that the full clock needs, from the INT8 peak and the process node; 0 where one of them is not known."""
    if not {"peak.int8", "core.node"} <= set(machine.figures):
        return 0.0
    return p["full_clock_w_per_tops"] * machine.value("core.node") / 7 * machine.value("peak.int8")


def clock_share(machine: Device, p: Parameters) -> float:
    """Share of the full clock that the power limit allows; 1 where limit or demand are not known."""
    demand, limit = demand_w(machine, p), machine.value("power.busy", float("inf"))
    return float((limit / demand) ** p["throttle_exponent"]) if demand > limit else 1.0


def gpu_rates(machine: Device, precision: str, batch: int, p: Parameters) -> Rates:
    """What the machine reaches. A single stream uses `single_share` of the peak (a Jetson's GPU without its DLAs)."""
    share = machine.value("core.single_share", 1.0) if batch == 1 else 1.0
    return Rates(
        macs_per_s=machine.peak_macs(precision) * p["compute_share"] * clock_share(machine, p) * share,
        bytes_per_s=machine.value("memory.bandwidth") * 1e9 * p["memory_share"],
        cache_bytes=machine.value("memory.cache", 0.0) * 2**20 * p["cache_share"],
        floor_s=p["kernel_cycles"] / (machine.value("core.clock") * 1e6),
        units=machine.value("core.units"),
        bits=BITS[precision],
    )


def tiled(columns: Columns, piece: Floats, units: float) -> Floats:
    """MACs that a kernel occupies the GPU for, with whole tiles in whole waves: the better of the tile sizes."""
    m, n, k = columns["m"] * piece, columns["n"], np.maximum(columns["k"], 1)
    best: Any = np.inf
    for side, relative in TILES:
        tiles = np.ceil(m / side) * np.ceil(n / side) * columns["groups"]
        slices = np.clip(np.floor(units / np.maximum(tiles, 1)), 1, np.maximum(1, k // SPLIT_K))
        waves = np.ceil(tiles * slices / units) / slices
        best = np.minimum(best, waves * units * side * side * k / relative)
    occupied: Floats = best * (columns["macs"] > 0)
    return occupied


KIND = MachineKind(
    model="tiles and waves",
    needs=("memory.bandwidth", "core.units", "core.clock"),
    timing=roofed_timing(gpu_rates, lambda machine: tiled),
    layers=roofed_layers(gpu_rates, lambda machine: tiled),
    classes={"graph": "GPU", "framework": "framework of 2018"},
    fitted={
        "compute_share": (0.9, 0.3, 0.95),
        "memory_share": (0.9, 0.4, 0.95),
        "cache_share": (0.5, 0.05, 1.0),
        "kernel_cycles": (10000, 1000, 40000),
        "full_clock_w_per_tops": (0.9, 0.1, 3.0),
        "throttle_exponent": (0.6, 0.2, 1.0),
        "maxq_cap": (0.7, 0.3, 1.0),
    },
    full_w=demand_w,
    trains=True,
    sparse_since=2020,
)
