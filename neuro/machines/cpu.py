"""Processors: a roofline with the shares of peak, bandwidth and cache that they reach."""

from __future__ import annotations

from neuro.machines.host import plain_rates
from neuro.machines.kind import MachineKind, roofed_layers, roofed_timing

KIND = MachineKind(
    model="roofline",
    needs=("memory.bandwidth",),
    timing=roofed_timing(plain_rates),
    layers=roofed_layers(plain_rates),
    classes={"graph": "CPU", "framework": "framework of 2018"},
    fitted={"compute_share": (0.6, 0.2, 0.95), "memory_share": (0.9, 0.4, 0.95), "floor_us": (5, 0.5, 30)},
)
