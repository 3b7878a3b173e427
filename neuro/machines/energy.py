"""Energy: power times time on a machine, and operations plus bytes as a lower bound. Knows times, not how they were made.

P = idle + (full - idle) (awake + (1 - awake) u), u the share of the time in which compute or memory is busy, `awake` what a
machine draws beyond idle as soon as it holds a job, full the power under full load: the limit, or what a GPU's full clock needs
(gpu.py) where that is less. The lower bound adds operations and bytes by level with Horowitz's 45 nm figures, scaled with the
node, without idle power.
"""

from __future__ import annotations

from neuro.bill import Part
from neuro.machines.device import BITS, Parameters
from neuro.machines.kinds import KINDS
from neuro.machines.machine import Machine
from neuro.machines.roofline import Timing
from neuro.machines.workload import Workload
from neuro.sourced import Sourced

_HOROWITZ = "Horowitz 2014 (PMC8934428, table 3), 45 nm"
MAC_PJ = {  # energy of one multiply-accumulate at 45 nm
    32: Sourced(4.6, "pJ", "derived", f"{_HOROWITZ}: FP32 multiply 3.7 + add 0.9"),
    16: Sourced(1.5, "pJ", "derived", "Horowitz 2014, 45 nm: FP16 multiply 1.1 + add 0.4"),
    8: Sourced(0.23, "pJ", "derived", "Horowitz 2014, 45 nm: INT8 multiply 0.2 + add 0.03"),
}
SRAM_PJ_PER_BYTE = Sourced(1.25, "pJ", "derived", f"{_HOROWITZ}: 10 pJ per 64 bit of an 8 KB SRAM")
DRAM_PJ_PER_BYTE = Sourced(160.0, "pJ", "derived", "Horowitz 2014, 45 nm: 640 pJ per 32 bit")
NODE_NM = 45.0


def power_w(machine: Machine, busy: float, p: Parameters, batch: int = 1) -> tuple[float, float] | None:
    """Idle and running power of the device, or None where its limit is not known. A single stream leaves a Jetson's DLAs idle."""
    if "power.busy" not in machine.figures:
        return None
    limit = machine.value("power.busy")
    idle = min(machine.value("power.idle", p["idle_share"] * limit), limit)
    full = min(limit, KINDS[machine.kind].full_w(machine, p) or limit)
    work = busy * (machine.value("core.single_share", 1.0) if batch == 1 else 1.0)
    awake = p["awake_share" if machine.form in ("card", "socket", "dut") else "module_awake_share"]
    return idle, idle + max(full - idle, 0.0) * (awake + (1 - awake) * work)


def energy_parts(machine: Machine, timing: Timing, batch: int, chips: int, p: Parameters) -> tuple[Part, ...]:
    """Energy of the device per inference: working (beyond idle) and idle; nothing where the power is not known."""
    powers = power_w(machine, timing.busy, p, batch)
    if powers is None:
        return ()
    idle, running = powers
    per_inference_pj = chips * timing.latency_s / batch * 1e12
    basis = machine.figures["power.busy"].basis
    idle_basis = machine.figures["power.idle"].basis if "power.idle" in machine.figures else "assumed"
    return (
        Part("working", (running - idle) * per_inference_pj, "dynamic", basis),
        Part("idle power", idle * per_inference_pj, "static", idle_basis),
    )


def lower_bound_pj(workload: Workload, machine: Machine, precision: str, batch: int = 1) -> float | None:
    """Operations and bytes, per inference; None where the node is not known. Values cross one SRAM, weights DRAM too."""
    if "core.node" not in machine.figures:
        return None
    bits = BITS[precision]
    shrink = machine.value("core.node") / NODE_NM
    mac_pj = MAC_PJ[min(MAC_PJ, key=lambda width: (width < bits, width))].value * shrink
    c = workload.columns
    stored = float((c["repeats"] * c["weights"]).sum()) * bits / 8 / batch
    moved = float((c["repeats"] * (c["inputs"] + c["outputs"])).sum()) * bits / 8
    return workload.macs * mac_pj + (stored + moved) * SRAM_PJ_PER_BYTE.value * shrink + stored * DRAM_PJ_PER_BYTE.value
