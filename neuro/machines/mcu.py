"""Microcontrollers and always-on accelerators: rates by operation type, one layer after the other, one inference at a time.

cycles = sum over types of MAC / rate. The rates are the machine's own where its file gives them; else the class's rates per
CoreMark/MHz times its CoreMark/MHz, which makes cores predictable that were never measured. Memory is on chip and part of the
rates.
"""

from __future__ import annotations

from neuro.errors import MachineError
from neuro.machines.device import Device, Parameters
from neuro.machines.kind import LayerTimes, MachineKind
from neuro.machines.roofline import Timing
from neuro.machines.workload import Op, Workload

RATES = ("conv", "shallow", "depthwise", "fc")  # operation types with a rate of their own, in MAC per cycle


def core_rates(machine: Device, p: Parameters) -> dict[str, float]:
    """MAC per cycle by operation type."""
    if "rate.conv" in machine.figures:
        return {kind: machine.value(f"rate.{kind}") for kind in RATES if f"rate.{kind}" in machine.figures}
    coremark = machine.value("core.coremark")
    return {kind: p[f"{kind}_per_coremark"] * coremark for kind in RATES}


def mcu_timing(workload: Workload, machine: Device, precision: str, batch: int, p: Parameters) -> Timing:
    """Timing on a microcontroller. A MachineError for an operation that has no rate there."""
    machine.peak_macs(precision)
    rates, clock_hz = core_rates(machine, p), machine.value("core.clock") * 1e6
    total = batch * sum(op_cycles(machine, op, rates) for op in workload.ops) / clock_hz
    return Timing(total, total, 1.0)


def op_cycles(machine: Device, op: Op, rates: dict[str, float]) -> float:
    """Cycles of one layer, all its repeats."""
    if not op.macs:
        return 0.0
    if op.kind not in rates:
        raise MachineError(
            f"machine {machine.name!r}, layer {op.name!r}",
            f"{op.kind} has no rate there",
            "Use another machine, a workload of convolutions and fully connected layers, or add the rate to the machine file",
        )
    return op.macs / rates[op.kind]


def _layers(workload: Workload, machine: Device, precision: str, batch: int, p: Parameters) -> LayerTimes:
    rates, clock_ghz = core_rates(machine, p), machine.value("core.clock") * 1e-3
    return [(op.name, batch * op_cycles(machine, op, rates) / clock_ghz, 0.0, 0.0) for op in workload.ops]


KIND = MachineKind(
    model="rates by operation",
    needs=("core.clock",),
    timing=mcu_timing,
    layers=_layers,
    classes={"graph": "microcontroller"},
    fitted={f"{kind}_per_coremark": (0.2, 0.01, 1.0) for kind in RATES},
    fitted_with="core.coremark",
    external_memory=False,
)
