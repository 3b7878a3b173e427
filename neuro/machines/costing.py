"""What a workload costs on a machine: its Bill. The model of each kind of machine is in `kinds`."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from neuro import units
from neuro.bill import Bill
from neuro.errors import MachineError, expect
from neuro.machines.device import BITS, Parameters
from neuro.machines.energy import energy_parts, lower_bound_pj
from neuro.machines.kinds import KINDS
from neuro.machines.machine import Machine
from neuro.machines.parameters import parameters_of, sourced_parameters
from neuro.machines.roofline import Timing
from neuro.machines.workload import Workload
from neuro.numbers import whole


def timing_of(workload: Workload, machine: Machine, precision: str, batch: int, p: Parameters | None = None) -> Timing:
    """The Timing of a batch on a machine, with the class's calibrated parameters or others."""
    p = parameters_of(machine.kind) if p is None else p
    return KINDS[machine.kind].timing(workload, machine, precision, batch, p)


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
    times = KINDS[machine.kind].layers(workload, machine, precision, batch, p)
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
        return f"{KINDS[machine.kind].model}; not validated"
    only = "" if precision == machine.precision else f" in {machine.precision}, not in {precision}"
    return f"{KINDS[machine.kind].model}; checked against {machine.validated}{only}"


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
