"""What the models say about a measured point: one number per quantity, for the whole system that was measured.

Knows points, timings and power; fits nothing. A power reading "wall" of cards includes their server (`server_w`, and
`server_share` of the cards' power for supply and fans), of modules their board (`board_share`). MaxQ settings hold the power
limit at `maxq_cap` of the default.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from neuro.errors import MachineError
from neuro.machines.costing import timing_of
from neuro.machines.device import Parameters
from neuro.machines.energy import power_w
from neuro.machines.kinds import KINDS
from neuro.machines.machine import Machine
from neuro.machines.points import PointConditions, PublishedPoint, setting_of
from neuro.machines.roofline import Timing


def class_of(machine: Machine) -> str:
    """How the error tables call machines of this kind and runtime."""
    return KINDS[machine.kind].classes.get(machine.runtime, machine.kind)


@dataclass(frozen=True, slots=True)
class Observation:
    """One measured number: a point's throughput (1/s), latency (ms) or energy (mJ), with its setting."""

    point: PublishedPoint
    setting: PointConditions
    quantity: str
    measured: float

    @property
    def family(self) -> str:
        return self.point.family

    @property
    def machine_class(self) -> str:
        return class_of(self.setting.machine)


def observations(points: Iterable[PublishedPoint]) -> tuple[tuple[Observation, ...], tuple[tuple[str, str], ...]]:
    """Everything that can be predicted, and (id, reason) of the rest. Throughput of a single stream at batch 1 is its latency."""
    usable: list[Observation] = []
    unused: list[tuple[str, str]] = []
    for point in points:
        try:
            setting = setting_of(point)
        except MachineError as error:
            unused.append((point.id, str(error)))
            continue
        capped = " with capped power" if setting.capped else ""
        for quantity, measured in _quantities(point, setting):
            usable.append(Observation(point, setting, quantity + capped, measured))
        if point.energy_mj is not None:
            reason = _energy_reason(point, setting)
            if reason:
                unused.append((point.id, reason))
            else:
                usable.append(Observation(point, setting, _energy_quantity(point, setting) + capped, point.energy_mj))
    return tuple(usable), tuple(unused)


def _quantities(point: PublishedPoint, setting: PointConditions) -> list[tuple[str, float]]:
    if setting.stream and setting.batch == 1:
        latency = point.latency_ms or (1000 / point.throughput_per_s if point.throughput_per_s else None)
        return [("latency", latency)] if latency else []
    found = [("throughput", point.throughput_per_s)] if point.throughput_per_s else []
    return [*found, ("batch latency", point.latency_ms)] if point.latency_ms else found


def _energy_quantity(point: PublishedPoint, setting: PointConditions) -> str:
    """What the reading tells of: a stream of single queries on a card is, at the wall, mostly its server's idling."""
    if point.energy_kind == "dynamic":
        return "dynamic energy"
    if point.power_scope == "wall" and setting.machine.form == "card" and setting.stream:
        return "energy of a server with one query at a time"
    return "energy"


def _energy_reason(point: PublishedPoint, setting: PointConditions) -> str:
    if setting.machine.form == "socket":
        return "energy of a processor: what the cores in use draw, of all that its limit allows, is not modelled"
    if "power.busy" not in setting.machine.figures:
        return f"energy: the power of {setting.machine.name} is not known"
    return "energy over the idle after a run: only the spiking chip has it" if "after-run" in point.energy_kind else ""


def time_of(observation: Observation, p: Parameters) -> Timing:
    """The Timing behind an observation."""
    setting = observation.setting
    machine = _capped(setting.machine, p) if setting.capped else setting.machine
    return timing_of(setting.workload, machine, setting.precision, setting.batch, p)


def predict(observation: Observation, p: Parameters, times: Timing | None = None) -> float:
    """What the models say, in the unit of the measurement; `times` when they are known already."""
    setting, point = observation.setting, observation.point
    times = times or time_of(observation, p)
    if "latency" in observation.quantity:
        return times.latency_s * 1e3
    rate = setting.batch / (times.latency_s if setting.stream else times.interval_s)
    working = 1 if setting.stream else setting.count
    if "throughput" in observation.quantity:
        return rate * working
    machine = _capped(setting.machine, p) if setting.capped else setting.machine
    if point.energy_kind == "dynamic":  # fitted apart: dynamic and total are never mixed
        p = {**p, **dict.fromkeys(("awake_share", "module_awake_share"), p["dynamic_awake_share"])}
    idle_w, running_w = _system_power(machine, setting.count, working, times.busy, point, setting.batch, p)
    power = running_w - idle_w if point.energy_kind == "dynamic" else running_w
    return 1e3 * power / (rate * working)


def _capped(machine: Machine, p: Parameters) -> Machine:
    """The machine with its power held at `maxq_cap` of the default. On modules that lowers the clock at any load."""
    cap, exponent = p.get("maxq_cap", 1.0), p.get("throttle_exponent", 0.0)
    figures = dict(machine.figures)
    if "power.busy" in figures:
        figures["power.busy"] = replace(figures["power.busy"], value=figures["power.busy"].value * cap)
    if "core.clock" in figures and machine.form != "card":
        figures["core.clock"] = replace(figures["core.clock"], value=figures["core.clock"].value * cap**exponent)
    return replace(machine, figures=figures)


def _system_power(
    machine: Machine, count: int, working: int, busy: float, point: PublishedPoint, batch: int, p: Parameters
) -> tuple[float, float]:
    """Idle and running power of everything that the reading includes: cards bring their server, modules their carrier board."""
    powers = power_w(machine, busy, p, batch)
    if powers is None:
        raise MachineError(f"machine {machine.name!r}", "its power is not known", "Add power.busy to a machine file")
    idle, running = powers
    server, share = (p["server_w"], p["server_share"]) if machine.form == "card" else (0.0, p["board_share"])
    server, supply = (server, 1 + share) if point.power_scope == "wall" else (0.0, 1.0)
    return server + count * idle * supply, server + (working * running + (count - working) * idle) * supply
