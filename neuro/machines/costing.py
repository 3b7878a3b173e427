"""What a workload costs on a machine: its Bill. Knows which model fits which kind of machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil

from neuro import units
from neuro.bill import Bill
from neuro.errors import MachineError, expect
from neuro.machines.energy import energy_parts, lower_bound_pj
from neuro.machines.fpga import dataflow_timing, pipeline
from neuro.machines.gpu import gpu_rates, tiled
from neuro.machines.host import Parameters, host_seconds, hosted, plain_rates
from neuro.machines.machine import BITS, Machine
from neuro.machines.mcu import core_rates, mcu_timing, op_cycles
from neuro.machines.parameters import parameters_of, sourced_parameters
from neuro.machines.roofline import Rates, Timing, Waste, layer_seconds, no_waste, timing
from neuro.machines.systolic import machine_waste
from neuro.machines.workload import Workload
from neuro.numbers import whole

_ROOFS: dict[str, tuple[Callable[[Machine, str, int, Parameters], Rates], Callable[[Machine], Waste]]] = {
    "gpu": (gpu_rates, lambda machine: tiled),
    "systolic": (plain_rates, machine_waste),
    "accelerator": (plain_rates, lambda machine: no_waste),
    "cpu": (plain_rates, lambda machine: no_waste),
}
_OTHERS = {"dataflow": dataflow_timing, "mcu": mcu_timing}
MODELS = {
    "gpu": "tiles and waves",
    "systolic": "systolic cycles",
    "accelerator": "roofline",
    "cpu": "roofline",
    "dataflow": "folded pipeline",
    "mcu": "rates by operation",
}


def timing_of(workload: Workload, machine: Machine, precision: str, batch: int, p: Parameters | None = None) -> Timing:
    """The Timing of a batch on a machine, with the class's calibrated parameters or others."""
    p = parameters_of(machine.kind) if p is None else p
    if machine.kind in _OTHERS:
        return _OTHERS[machine.kind](workload, machine, precision, batch, p)
    rates, waste = _ROOFS[machine.kind]
    reached = hosted(rates(machine, precision, batch, p), machine, p)
    return timing(workload, reached, batch, waste(machine), host_seconds(machine, p))


def cost(workload: Workload, machine: Machine, *, batch: int = 1, precision: str | None = None) -> Bill:
    """The Bill of `workload` on `machine`: energy per inference, latency of a batch, throughput when batches follow each other.

    Throughput leaves out what overlaps with the batch before (the host), so it is not `batch / latency`. Energy is the device's
    own, without its host. A MachineError where no model fits: an unknown precision, or an operation the machine cannot do.
    """
    batch, precision = _asked(workload, machine, batch, precision)
    _check_capacity(workload, machine, precision)
    p = parameters_of(machine.kind)
    chips = min(int(machine.value("core.chips", 1.0)), batch)
    times = timing_of(workload, machine, precision, ceil(batch / chips), p)
    parts = energy_parts(machine, times, batch, chips, p)
    return Bill(
        target=machine.name,
        parts=parts,
        latency_ns=times.latency_s * 1e9,
        throughput_per_s=batch / times.interval_s,
        batch=batch,
        precision=precision,
        basis=_basis(machine, precision),
        times_ns=(("host", times.start_s * 1e9), ("layers", (times.latency_s - times.start_s) * 1e9)),
        assumptions=_assumptions(workload, machine, precision, batch, times),
        energy_known=bool(parts),
    )


def cost_by_layer(
    workload: Workload, machine: Machine, *, batch: int = 1, precision: str | None = None
) -> list[dict[str, object]]:
    """One row per layer: nanoseconds of compute, memory and floor for a batch, and what the layer waits for."""
    (batch, precision), p = _asked(workload, machine, batch, precision), parameters_of(machine.kind)
    if machine.kind == "mcu":
        rates, clock_ghz = core_rates(machine, p), machine.value("core.clock") * 1e-3
        times = [(op.name, batch * op_cycles(machine, op, rates) / clock_ghz, 0.0, 0.0) for op in workload.ops]
    elif machine.kind == "dataflow":
        clock_ghz = machine.value("core.clock") * 1e-3
        times = [(s.name, batch * s.cycles / clock_ghz, 0.0, 0.0) for s in pipeline(workload, machine, precision, p)]
    else:
        made, waste = _ROOFS[machine.kind]
        seconds = layer_seconds(workload, hosted(made(machine, precision, batch, p), machine, p), batch, waste(machine))
        times = [
            (op.name, 1e9 * float(c), 1e9 * float(m), 1e9 * float(f)) for op, c, m, f in zip(workload.ops, *seconds, strict=True)
        ]
    names = ("compute", "memory", "floor")
    return [
        {
            "layer": name,
            **{f"{n}_ns": t for n, t in zip(names, ns, strict=True)},
            "bound": names[max(range(3), key=lambda i: ns[i])],
        }
        for name, *ns in times
    ]


def _asked(workload: Workload, machine: Machine, batch: object, precision: str | None) -> tuple[int, str]:
    """Batch and precision of a call, checked; the machine's own precision where none is named."""
    expect("workload", workload, Workload, "Pass neuro.weigh(graph) or neuro.ready_workload(name)", MachineError)
    expect("machine", machine, Machine, 'Pass a machine, such as neuro.load_machine("a100")', MachineError)
    size = whole(f"machine {machine.name!r}", "batch", batch, 1, error=MachineError)
    if precision is not None and precision not in machine.precisions:
        fact = f"no peak rate is known for precision {precision!r}"
        raise MachineError(f"machine {machine.name!r}", fact, f"Use one of {', '.join(machine.precisions)}")
    return size, precision or machine.precision


def _check_capacity(workload: Workload, machine: Machine, precision: str) -> None:
    """Refuses a workload whose weights the machine cannot hold: nothing here models swapping or sharding."""
    needed_gib = workload.parameters * BITS[precision] / 8 / 2**30
    if "memory.capacity" in machine.figures and needed_gib > machine.value("memory.capacity"):
        raise MachineError(
            f"machine {machine.name!r}",
            f"{workload.name} has {needed_gib:.3g} GiB of {precision} weights, more than its memory holds",
            "Use a machine with more memory, fewer bits, or a smaller network",
        )


def _basis(machine: Machine, precision: str) -> str:
    if not machine.validated:
        return f"{MODELS[machine.kind]}; not validated"
    only = "" if precision == machine.precision else f" in {machine.precision}, not in {precision}"
    return f"{MODELS[machine.kind]}; checked against {machine.validated}{only}"


def _assumptions(workload: Workload, machine: Machine, precision: str, batch: int, times: Timing) -> tuple[str, ...]:
    used: Mapping[str, object] = {**sourced_parameters(machine.kind), **machine.figures}
    stated = [f"{machine.name}: {name} = {figure}" for name, figure in used.items() if getattr(figure, "basis", "") == "assumed"]
    bound = lower_bound_pj(workload, machine, precision, batch)
    if bound is not None:
        most = machine.value("power.busy", float("nan")) * times.latency_s / batch * 1e12
        stated.append(
            f"{machine.name}: at batch {batch} energy lies between {units.energy(bound)} (operations and bytes alone) "
            f"and {units.energy(most)} (the power limit all the time)"
        )
    return (*stated, *(f"{machine.name}: {note}" for note in times.notes))
