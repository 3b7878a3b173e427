"""A target as its user sees it: times of batches, energy of answers, what it draws while it waits. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from neuro.chip.emulator import ChipRun
from neuro.chip.spec import always_on_w
from neuro.errors import MachineError
from neuro.machines.costing import cost
from neuro.machines.machine import Machine
from neuro.machines.parameters import parameters_of
from neuro.machines.workload import Workload
from neuro.sourced import Sourced

BATCHES = 64  # the largest batch that a device is given
_MEMORY_SLICES = 8  # of a GPU in MIG mode; one instance gets one of them
Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Target:
    """One device. latency_s and interval_s: of batches of 1, 2, ...: until the answers, and until the next batch can start.

    dynamic_j: joules an answer beyond waiting, by batch, None where not public. waiting_w: least and most that it draws while it
    waits, equal where that is known, None where nothing is. sleep_w, wake_s: its sleep, None where it has none that is known.
    stretch: factors of the time of single samples. copies: of the network that fit side by side on one device.
    """

    name: str
    latency_s: tuple[float, ...]
    interval_s: tuple[float, ...]
    dynamic_j: tuple[float, ...] | None
    waiting_w: Bounds | None
    sleep_w: float | None = None
    wake_s: float | None = None
    stretch: tuple[float, ...] = (1.0,)
    copies: int = 1
    copy_note: str = ""

    @property
    def answers_per_s(self) -> float:
        """The most that one device can make, at its best batch."""
        return max((size + 1) / interval for size, interval in enumerate(self.interval_s))


def chip_target(chip_run: ChipRun) -> Target | None:
    """The chip: one sample after the other, each as long as it takes; None where its times are not public."""
    bill, placement = chip_run.bill, chip_run.placement
    if not bill.latency_ns > 0:
        return None
    always = list(always_on_w(placement.chip, placement.chips_used).values())
    watts = sum(power for power in always if power is not None) if None not in always else None
    each = chip_run.step_times.total.sum(axis=1)
    stretch = tuple((each / each.mean()).tolist()) if each.size and each.mean() > 0 else (1.0,)
    latency = bill.latency_ns * 1e-9
    dynamic = (bill.dynamic_pj * 1e-12,) if bill.energy_known else None
    copies = max(1, placement.chip.usable_cores // placement.chip.chips * placement.chips_used // placement.cores_used)
    note = f"{copies} regions of {placement.cores_used} cores; packets of the others and a longer barrier are not modelled"
    waiting = None if watts is None else (watts, watts)
    return Target(bill.target, (latency,), (latency,), dynamic, waiting, stretch=stretch, copies=copies, copy_note=note)


def machine_target(workload: Workload, machine: Machine, batches: int = BATCHES) -> Target | None:
    """A machine, for batches of up to so many; None where no model can cost the network on it."""
    try:
        bills = [cost(workload, machine, batch=size) for size in range(1, batches + 1)]
    except MachineError:
        return None
    known = all(bill.energy_known for bill in bills)
    slices = int(machine.value("core.slices", 1.0))
    return Target(
        machine.name,
        tuple(bill.latency_ns * 1e-9 for bill in bills),
        tuple(bill.batch / bill.throughput_per_s for bill in bills),
        tuple(bill.dynamic_pj * 1e-12 for bill in bills) if known else None,
        waiting_w(machine),
        machine.figures["power.sleep"].value if "power.sleep" in machine.figures else None,
        machine.figures["time.wake"].value * 1e-6 if "time.wake" in machine.figures else None,
        copies=slices,
        copy_note=f"{slices} MIG instances, each with a {_MEMORY_SLICES}th of the memory" if slices > 1 else "",
    )


def waiting_w(machine: Machine) -> Bounds | None:
    """Watts while it waits: as given, or assumed for its kind; between nothing and its running power where neither is told."""
    if "power.busy" not in machine.figures:
        return None
    busy = machine.value("power.busy")
    share = parameters_of(machine.kind)["idle_share"]
    if "power.idle" in machine.figures or share > 0:
        idle = min(machine.value("power.idle", share * busy), busy)
        return idle, idle
    return 0.0, busy


def instance(machine: Machine) -> Machine | None:
    """One MIG instance of a GPU as a machine of its own; None where it cannot be divided."""
    slices = int(machine.value("core.slices", 1.0))
    if slices < 2:
        return None
    units = int(machine.value("core.units")) // slices
    compute = units / machine.value("core.units")
    shares = {"core.units": compute, "power.idle": 1 / slices, "power.busy": 1 / slices}
    shares |= dict.fromkeys(("memory.bandwidth", "memory.capacity", "memory.cache"), 1 / _MEMORY_SLICES)
    figures = {}
    for name, figure in machine.figures.items():
        share = compute if name.startswith("peak.") else shares.get(name, 1.0)
        value = float(np.rint(figure.value * share)) if name == "core.units" else figure.value * share
        figures[name] = (
            figure if share == 1 else Sourced(value, figure.unit, "assumed", f"one of {slices} instances: {figure.source}")
        )
    del figures["core.slices"]
    return replace(machine, name=f"{machine.name} (1 of {slices})", figures=figures, validated="", devices=())


def targets_of(workload: Workload, chip_run: ChipRun, machines: Sequence[Machine], batches: int = BATCHES) -> tuple[Target, ...]:
    """The chip and the machines whose times are known."""
    found = (chip_target(chip_run), *(machine_target(workload, machine, batches) for machine in machines))
    return tuple(target for target in found if target is not None)
