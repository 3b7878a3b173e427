"""What if: other number formats, structured sparsity, another clock, memory near compute. Knows the limits of each answer.

A switch makes another machine or another workload; the models stay the same and nothing is refitted. Each row says what it
leaves out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from neuro.bill import Bill
from neuro.errors import MachineError
from neuro.machines.costing import cost
from neuro.machines.device import BITS
from neuro.machines.kinds import KINDS
from neuro.machines.machine import Machine
from neuro.machines.parameters import calibrated
from neuro.machines.workload import Workload
from neuro.sourced import Sourced

INDEX_BITS = 2  # that say which of four weights a kept one is (2:4 sparsity), per kept weight
SPARSE_KINDS = ("conv", "fc")  # depthwise and attention have no pruned weights


def sparse(workload: Workload, machine: Machine, precision: str) -> tuple[Workload, Machine]:
    """2:4 structured sparsity: half the products of pruned layers are skipped, weights shrink to half plus their indices."""
    since = KINDS[machine.kind].sparse_since
    if since is None or machine.year < since or "peak.int8" not in machine.figures:
        raise MachineError(f"machine {machine.name!r}", "it has no 2:4 sparse matrix units", "Use an NVIDIA GPU of 2020 or later")
    stored = 0.5 * (1 + INDEX_BITS / BITS[precision])
    ops = tuple(
        replace(op, k=(op.k + 1) // 2, weights=round(op.weight_reads / op.repeats * stored)) if op.kind in SPARSE_KINDS else op
        for op in workload.ops
    )
    return Workload(f"{workload.name}, 2:4 sparse", ops, workload.assumptions), machine


def slowed(machine: Machine, share: float) -> Machine:
    """The machine at `share` of its clock: rates fall with it, power beyond idle with share ** (1 / the throttle exponent)."""
    if not 0.3 <= share <= 1:
        raise MachineError(
            f"machine {machine.name!r}", f"a clock share of {share} is outside 0.3 to 1", "Stay where voltage can follow"
        )
    exponent = calibrated()["gpu"]["throttle_exponent"].value
    figures = dict(machine.figures)
    for name in figures:
        if name.startswith("peak.") or name == "core.clock":
            figures[name] = _scaled(figures[name], share)
    if "power.busy" in figures:
        busy = figures["power.busy"].value
        idle = machine.value("power.idle", calibrated()["power"]["idle_share"].value * busy)
        figures["power.busy"] = _scaled(figures["power.busy"], (idle + (busy - idle) * share ** (1 / exponent)) / busy)
        figures.setdefault("power.idle", Sourced(idle, "W", "assumed", "calibrated.toml, idle_share"))
    return replace(machine, name=f"{machine.name} at {share:.0%} clock", figures=figures)


def near_memory(machine: Machine, factor: float) -> Machine:
    """The machine with `factor` times the memory bandwidth, as units inside the memory see it; arithmetic as it was."""
    if not KINDS[machine.kind].external_memory:
        raise MachineError(f"machine {machine.name!r}", "its memory is on chip already", "Ask a machine with external memory")
    if not 1 <= factor <= 32:
        raise MachineError(f"machine {machine.name!r}", f"a factor of {factor} is outside 1 to 32", "Stay within what was built")
    wider = _scaled(machine.figures["memory.bandwidth"], factor)
    return replace(machine, name=f"{machine.name}, memory x{factor:g}", figures={**machine.figures, "memory.bandwidth": wider})


def _scaled(figure: Sourced, factor: float) -> Sourced:
    return Sourced(figure.value * factor, figure.unit, "assumed", f"{factor:.3g} times: {figure.source}")


def what_if(
    workload: Workload, machine: Machine, *, batch: int = 1, clock: float = 0.7, factor: float = 4.0
) -> list[dict[str, Any]]:
    """One row per switch: latency, throughput and energy, also as ratios to the machine as it is, and what is left out."""
    base = cost(workload, machine, batch=batch)
    switches: list[tuple[str, Callable[[], Bill], str]] = [
        (
            p.upper(),
            partial(cost, workload, machine, batch=batch, precision=p),
            "speed only: what it does to accuracy is not modelled",
        )
        for p in ("int4", "int8", "fp16", "fp32")
    ]
    switches += [
        (
            "2:4 sparsity",
            lambda: cost(*sparse(workload, machine, machine.precision), batch=batch),
            "an upper limit: no index overhead in arithmetic; the network must be pruned and trained for it",
        ),
        (
            f"clock at {clock:.0%}",
            lambda: cost(workload, slowed(machine, clock), batch=batch),
            "power law of GPUs between MaxQ and full clock; static power taken as unchanged",
        ),
        (
            f"memory near compute, x{factor:g}",
            lambda: cost(workload, near_memory(machine, factor), batch=batch),
            "bandwidth only: units in memory do matrix-vector work, so layers with reuse gain nothing; power taken as unchanged",
        ),
    ]
    rows = [_row("as it is", base, base, "")]
    for name, ask, limits in switches:
        try:
            rows.append(_row(name, ask(), base, limits))
        except MachineError as error:
            rows.append({"what_if": name, "machine": machine.name, "not_possible": f"{error.fact}"})
    return rows


def _row(name: str, bill: Bill, base: Bill, limits: str) -> dict[str, Any]:
    return {
        "what_if": name,
        "machine": base.target,
        "precision": bill.precision,
        "batch": bill.batch,
        "latency_ns": bill.latency_ns,
        "throughput_per_s": bill.throughput_per_s,
        "energy_pj": bill.energy_pj if bill.energy_known else None,
        "faster": base.latency_ns / bill.latency_ns,
        "throughput_ratio": bill.throughput_per_s / base.throughput_per_s,
        "energy_ratio": bill.energy_pj / base.energy_pj if bill.energy_known else None,
        "leaves_out": limits,
    }
