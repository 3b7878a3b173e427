"""The kinds of machines, one file each."""

from __future__ import annotations

from neuro.machines import accelerator, cpu, fpga, gpu, mcu, systolic
from neuro.machines.kind import MachineKind

KINDS: dict[str, MachineKind] = {
    "gpu": gpu.KIND,
    "accelerator": accelerator.KIND,
    "systolic": systolic.KIND,
    "dataflow": fpga.KIND,
    "cpu": cpu.KIND,
    "mcu": mcu.KIND,
}
