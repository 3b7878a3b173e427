"""Accelerators of which no more is known than peak, bandwidth and cache: a roofline with the shares that they reach."""

from __future__ import annotations

from neuro.machines.host import plain_rates
from neuro.machines.kind import MachineKind, roofed_layers, roofed_timing

KIND = MachineKind(
    model="roofline",
    needs=("memory.bandwidth",),
    timing=roofed_timing(plain_rates),
    layers=roofed_layers(plain_rates),
    classes={"graph": "accelerator and FPGA overlay", "usb": "USB stick of 2018"},
    fitted={"compute_share": (0.55, 0.2, 0.95), "floor_us": (5, 0.5, 30)},
)
