"""What a workload costs on a machine: its Bill. Knows which model fits which kind of machine.

Power is idle + (busy - idle) u, with u the share of the time in which the busier of compute and memory works.
"""

from __future__ import annotations

from neuro.bill import Bill, Part
from neuro.errors import MachineError
from neuro.machines.machine import BITS, Machine
from neuro.machines.roofline import LayerTimes, Roof, layer_times
from neuro.machines.workload import Workload
from neuro.sourced import Sourced

_CALCULON = "prior after calculon systems/a100_80g.json: .95 of peak for large kernels, .1 for small ones"
DEFAULTS = {  # used where a machine file says nothing
    "efficiency.compute": Sourced(0.6, "share", "assumed", _CALCULON),
    "efficiency.memory": Sourced(0.8, "share", "assumed", _CALCULON),
    "efficiency.half_size": Sourced(0.05, "GFLOP", "assumed", _CALCULON),
    "time.launch": Sourced(2.0, "us", "assumed", "a few microseconds per kernel"),
    "time.start": Sourced(50.0, "us", "assumed", "host and copies, once per batch"),
}


def cost(workload: Workload, machine: Machine, *, batch: int = 1, precision: str | None = None) -> Bill:
    """The Bill of `workload` on `machine`: energy per inference, latency of a batch, throughput when batches follow each other.

    Throughput leaves out what overlaps with the batch before (host and copies), so it is not `batch / latency`.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise MachineError(f"machine {machine.name!r}", f"batch is {batch!r}", "Give an integer of at least 1")
    precision = precision or machine.precision
    times = layer_times(workload, _roof(machine, precision), bits=BITS[precision], batch=batch)
    launches = float(workload.columns["repeats"][workload.columns["macs"] > 0].sum())
    busy_s = times.total_s + launches * _figure(machine, "time.launch") * 1e-6
    start_s = _figure(machine, "time.start") * 1e-6
    energy = _energy(machine, times, busy_s, batch)
    return Bill(
        target=machine.name,
        parts=energy,
        latency_ns=(busy_s + start_s) * 1e9,
        throughput_per_s=batch / max(busy_s, start_s),
        batch=batch,
        precision=precision,
        basis=_basis(machine),
        times_ns=(("host and copies", start_s * 1e9), ("layers", busy_s * 1e9)),
        assumptions=_assumptions(machine),
        energy_known=bool(energy),
    )


def _figure(machine: Machine, name: str) -> float:
    return machine.value(name, DEFAULTS[name].value)


def _roof(machine: Machine, precision: str) -> Roof:
    return Roof(
        macs_per_s=machine.peak_macs(precision),
        bytes_per_s=machine.value("memory.bandwidth") * 1e9,
        compute_share=_figure(machine, "efficiency.compute"),
        memory_share=_figure(machine, "efficiency.memory"),
        half_flop=_figure(machine, "efficiency.half_size") * 1e9,
    )


def _energy(machine: Machine, times: LayerTimes, busy_s: float, batch: int) -> tuple[Part, ...]:
    if "power.idle" not in machine.figures or "power.busy" not in machine.figures:
        return ()
    idle, busy = machine.figures["power.idle"], machine.figures["power.busy"]
    working_w = max(busy.value - idle.value, 0.0) * times.total_s / busy_s
    return (
        Part("working", working_w * busy_s / batch * 1e12, "dynamic", busy.basis),
        Part("idle power", idle.value * busy_s / batch * 1e12, "static", idle.basis),
    )


def _basis(machine: Machine) -> str:
    return f"roofline; checked against {machine.validated}" if machine.validated else "roofline; not validated"


def _assumptions(machine: Machine) -> tuple[str, ...]:
    used = {**DEFAULTS, **machine.figures}
    return tuple(f"{machine.name}: {name} = {figure}" for name, figure in used.items() if figure.basis == "assumed")
