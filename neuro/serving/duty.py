"""A rate that is kept up for days: power, energy and battery life of each target, waiting included. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from neuro.machines.ownership import PriceList
from neuro.serving.targets import Bounds, Target

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Duty:
    """One target at the rate. devices that it takes, `busy`: share of the time in which one works; power_w: least and most that
    all draw, equal where waiting is known, None where nothing is public; joules a day; days on the battery; cost of a million
    inferences (without the battery's bounds: at the most that it draws); asleep: whether it sleeps between inferences."""

    target: str
    devices: int
    busy: float
    power_w: Bounds | None
    day_j: Bounds | None
    battery_days: Bounds | None
    asleep: bool
    cost: dict[str, float] | None


def duty(target: Target, rate_hz: float, battery_j: float | None = None, prices: PriceList | None = None) -> Duty:
    """A target at `rate_hz` inferences a second, one at a time, evenly spread; battery_j: what the battery holds."""
    devices = max(1, math.ceil(rate_hz * target.interval_s[0] * (1 - 1e-12)))
    busy = rate_hz * target.interval_s[0] / devices
    power, asleep = _power(target, rate_hz, devices, busy)
    day = None if power is None else (power[0] * DAY_S, power[1] * DAY_S)
    days = None
    if power is not None and battery_j is not None:
        shortest, longest = (battery_j / watts / DAY_S if watts else math.inf for watts in reversed(power))
        days = (shortest, longest)
    cost = None if prices is None or power is None else prices.per_million(target.name, devices, rate_hz, power[1] / rate_hz)
    return Duty(target.name, devices, busy, power, day, days, asleep, cost)


def _power(target: Target, rate_hz: float, devices: int, busy: float) -> tuple[Bounds | None, bool]:
    """Least and most watts of all devices, and whether they sleep between inferences where that needs less."""
    if target.dynamic_j is None or target.waiting_w is None:
        return None, False
    least, most = target.waiting_w
    working = rate_hz * target.dynamic_j[0]
    waits = 1.0 if least == most else 1 - busy  # a waiting power that is not told apart is in the energy of the work
    awake = (working + devices * least * waits, working + devices * most * waits)
    if target.sleep_w is None:
        return awake, False
    up = min(1.0, busy + rate_hz / devices * (target.wake_s or 0.0))
    lit = up if least == most else up - busy
    slept = [working + devices * (watts * lit + target.sleep_w * (1 - up)) for watts in (least, most)]
    return ((slept[0], slept[1]), True) if slept[1] < awake[1] else (awake, False)


def surely_less(own: Duty, others: Sequence[Duty]) -> tuple[Duty | None, tuple[Duty, ...]]:
    """Of the others: the one that surely draws less and the least at most, or None; and those that perhaps draw less."""
    if own.power_w is None:
        return None, ()
    sure, perhaps = [], []
    for row in others:
        if row.power_w is not None and row.power_w[1] < own.power_w[0]:
            sure.append((row.power_w[1], row))
        elif row.power_w is not None and row.power_w[0] < own.power_w[1]:
            perhaps.append(row)
    return min(sure, key=lambda pair: pair[0])[1] if sure else None, tuple(perhaps)
