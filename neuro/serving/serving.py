"""All that a use asks of all targets, as one value: duty, load, and copies of the network side by side on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from neuro import units
from neuro.chip.emulator import ChipRun
from neuro.machines.machine import Machine
from neuro.machines.workload import Workload
from neuro.serving.duty import Duty, duty, surely_less
from neuro.serving.load import Load, load
from neuro.serving.targets import BATCHES, Bounds, Target, chip_target, instance, machine_target, targets_of
from neuro.serving.use import Use


@dataclass(frozen=True, slots=True)
class Sharing:
    """Copies of the network side by side on one device: seconds of one inference, answers a second of all, joules of each."""

    target: str
    copies: int
    latency_s: float
    answers_per_s: float
    answer_j: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Serving:
    """What the use costs on each target, what was asked of it; `answer`: in sentences; `conditions`: what it holds for."""

    duty: tuple[Duty, ...] = ()
    load: tuple[Load, ...] = ()
    sharing: tuple[Sharing, ...] = ()
    answer: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    currency: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values: watts, joules, seconds."""
        rows: dict[str, tuple[Any, ...]] = {"duty": self.duty, "load": self.load, "sharing": self.sharing}
        said = {"answer": list(self.answer), "conditions": list(self.conditions), "currency": self.currency}
        return {**{name: [asdict(row) for row in found] for name, found in rows.items()}, **said}


def serve(workload: Workload, chip_run: ChipRun, machines: Sequence[Machine], use: Use) -> Serving:
    """The use on the chip and on every machine whose times are known."""
    targets = targets_of(workload, chip_run, machines, BATCHES if use.arrivals is not None else 1)
    duties: tuple[Duty, ...] = ()
    loads: tuple[Load, ...] = ()
    shares: tuple[Sharing, ...] = ()
    if use.rate_hz is not None:
        duties = tuple(duty(target, use.rate_hz, use.battery_j, use.prices) for target in targets)
    if use.arrivals is not None:
        loads = tuple(load(target, use.arrivals, deadline_s=use.deadline_s, prices=use.prices) for target in targets)
        shares = tuple(_sharing(workload, chip_run, machines))
    said = [*_duty_said(duties, use), *_load_said(loads)]
    held = _conditions(targets, use)
    return Serving(duties, loads, shares, tuple(said), held, use.prices.currency if use.prices else "")


def _sharing(workload: Workload, chip_run: ChipRun, machines: Sequence[Machine]) -> list[Sharing]:
    chip = chip_target(chip_run)
    found = [] if chip is None or chip.copies < 2 else [_shared(chip, chip.copies, chip.copy_note, 1 / chip.copies)]
    for machine in machines:
        part = instance(machine)
        target = None if part is None else machine_target(workload, part, 1)
        if target is not None:
            whole = machine_target(workload, machine, 1)
            copies, note = (whole.copies, whole.copy_note) if whole else (1, "")
            found.append(_shared(target, copies, note, 1.0))
    return found


def _shared(target: Target, copies: int, note: str, waiting_share: float) -> Sharing:
    """waiting_share: of what the target draws while waiting, the part of one copy."""
    joules = None
    if target.dynamic_j is not None and target.waiting_w is not None and target.waiting_w[0] == target.waiting_w[1]:
        joules = target.dynamic_j[0] + target.waiting_w[0] * waiting_share * target.interval_s[0]
    return Sharing(target.name, copies, target.latency_s[0], copies / target.interval_s[0], joules, note)


def _duty_said(rows: tuple[Duty, ...], use: Use) -> list[str]:
    if not rows or use.rate_hz is None:
        return []
    own, *others = rows
    rate = f"At {units.rate(use.rate_hz)}, waiting included,"
    if own.power_w is None:
        return [f"{rate} what {own.target} draws is not public."]
    days = "" if own.battery_days is None else f" ({_days(own.battery_days)} on the battery)"
    drawn = f"{rate} {own.target} draws {watts(own.power_w)}{days}"
    less, perhaps = surely_less(own, others)
    if less is not None and less.power_w is not None:
        lasts = "" if less.battery_days is None else f" ({_days(less.battery_days)})"
        return [f"{drawn}: more than {less.target}, {watts(less.power_w)}{lasts}."]
    if perhaps:
        names = ", ".join(row.target for row in perhaps)
        return [f"{drawn}; whether {names} draw less is not known, because what they draw while waiting is not public."]
    return [f"{drawn}, the least of all targets whose power is known."]


def _load_said(rows: tuple[Load, ...]) -> list[str]:
    known = [(row.answer_j, row) for row in rows if row.devices is not None and row.answer_j is not None]
    if not known:
        return []
    (_, most), least = min(known, key=lambda pair: pair[0][1])
    sure = all(row is least or bounds[0] >= most for bounds, row in known)
    energy, devices = joules((most, most)), f"{least.devices:,} device{'s' if least.devices != 1 else ''}"
    if sure:
        return [f"Under this load {least.target} needs the least energy an answer, {energy} at most, on {devices}."]
    more = "others may need less, as what they draw while waiting is not public"
    return [f"Under this load {least.target} needs at most {energy} an answer, on {devices}; {more}."]


def _conditions(targets: Sequence[Target], use: Use) -> tuple[str, ...]:
    held = []
    if use.rate_hz is not None:
        held.append("a rate is kept up by single inferences, evenly spread; power is of the devices, without sensors and radio")
    if use.rate_hz is not None and all(target.sleep_w is None for target in targets):
        held.append("no sleep state of these targets is known (power.sleep of a machine file): they wait awake")
    bounded = [target.name for target in targets if target.waiting_w and target.waiting_w[0] != target.waiting_w[1]]
    if bounded:
        held.append(f"what {', '.join(bounded)} draw while waiting is not public: between nothing and their running power")
    if use.arrivals is not None:
        held.append(f"a free device takes what waits, up to {BATCHES} at once (the chip one), and never waits for more")
    return tuple(held)


def watts(power: Bounds | None) -> str:
    """Watts, or from least to most."""
    return _range(power, units.power)


def joules(energy: Bounds | None) -> str:
    """Joules, or from least to most."""
    return _range(energy, lambda value: units.energy(value * 1e12))


def _days(days: Bounds) -> str:
    return _range(days, units.days)


def _range(bounds: Bounds | None, write: Any) -> str:
    if bounds is None:
        return units.UNKNOWN
    least, most = (write(value) for value in bounds)
    return least if least == most else f"{least} to {most}"
