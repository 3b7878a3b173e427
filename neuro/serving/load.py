"""Requests that arrive at random with a deadline, on each target: delays, devices needed, joules an answer. Simulates queues."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.machines.ownership import PriceList
from neuro.serving.queue import Waited, poisson, simulate
from neuro.serving.targets import Bounds, Target

REQUESTS = 20_000  # that a simulation of random arrivals looks at
SHARE = 0.99  # of the requests that must meet the deadline
QUERY = 8  # samples of a query of MLPerf's multi-stream scenario
MOST_DEVICES = 1 << 14
_HALVINGS = 24


@dataclass(frozen=True, slots=True)
class Load:
    """One target under a load. rate_hz: requests a second that it answers; devices: the fewest that meet the deadline, or keep up
    where there is none, None where no number does (`why`); p50_s, p99_s: until half, and 99 of 100, are answered; utilisation:
    share of device time at work; batch: mean size; answer_j: least and most joules an answer, waiting included; cost: of 10^6.
    """

    target: str
    rate_hz: float
    devices: int | None
    p50_s: float | None = None
    p99_s: float | None = None
    utilisation: float | None = None
    batch: float | None = None
    answer_j: Bounds | None = None
    cost: dict[str, float] | None = None
    why: str = ""


def load(
    target: Target,
    arrivals: float | NDArray[np.float64] | str,
    *,
    deadline_s: float | None = None,
    prices: PriceList | None = None,
    seed: int = 0,
) -> Load:
    """A target under random arrivals (requests a second), a trace (times in s), or a scenario of MLPerf by name."""
    if isinstance(arrivals, str):
        return _scenario(target, arrivals, deadline_s, prices, seed)
    rng = np.random.default_rng(seed)
    times = poisson(float(arrivals), REQUESTS, rng) if isinstance(arrivals, int | float) else arrivals
    rate_hz = float(arrivals) if isinstance(arrivals, int | float) else (len(times) - 1) / float(times[-1])
    if deadline_s is not None and min(target.latency_s) * min(target.stretch) > deadline_s:
        return Load(target.name, rate_hz, None, why="one inference takes longer than the deadline")
    stretch = rng.choice(target.stretch, len(times))

    def served(devices: int) -> Waited:
        return simulate(times, target.latency_s, target.interval_s, devices=devices, stretch=stretch)

    least = max(1, math.ceil(rate_hz / target.answers_per_s * (1 - 1e-9)))
    found = _fewest(least, lambda devices: deadline_s is None or served(devices).quantile(SHARE) <= deadline_s)
    if found is None:
        return Load(target.name, rate_hz, None, why="the longest samples miss the deadline on any number of devices")
    return _told(target, rate_hz, found, served(found), prices)


def _fewest(least: int, good: Any) -> int | None:
    """The smallest number of devices from `least` on that is good, taking it that more are never worse."""
    most = least
    while not good(most):
        if most >= MOST_DEVICES:
            return None
        least, most = most + 1, most * 2
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if good(middle) else (middle + 1, most)
    return most


def _told(target: Target, rate_hz: float, devices: int, done: Waited, prices: PriceList | None) -> Load:
    joules = _joules(target, devices, done)
    return Load(
        target.name,
        rate_hz,
        devices,
        done.quantile(0.5),
        done.quantile(SHARE),
        done.busy_s / (devices * done.span_s),
        float(done.batches.mean()),
        joules,
        None if prices is None or joules is None else prices.per_million(target.name, devices, rate_hz, joules[1]),
    )


def _joules(target: Target, devices: int, done: Waited) -> Bounds | None:
    """Least and most joules an answer: the work of the batches, and what devices draw that wait."""
    if target.dynamic_j is None or target.waiting_w is None:
        return None
    sizes, answers = done.batches, len(done.latency_s)
    work = float((np.array(target.dynamic_j)[sizes - 1] * sizes).sum())
    least, most = target.waiting_w
    awake_s = devices * done.span_s if least == most else devices * done.span_s - done.busy_s
    return (work + least * awake_s) / answers, (work + most * awake_s) / answers


def _scenario(target: Target, name: str, deadline_s: float | None, prices: PriceList | None, seed: int) -> Load:
    """MLPerf's scenarios on one device: one query at a time, queries of eight, the highest rate at random, all at once."""
    if name == "server":
        return _highest(target, deadline_s or math.inf, prices, seed)
    largest = min(len(target.latency_s), QUERY)
    size = {"single-stream": 1, "multi-stream": largest}.get(name) or 1 + int(
        np.argmin(np.array(target.interval_s) / np.arange(1, len(target.interval_s) + 1))
    )
    pieces = math.ceil(QUERY / size) if name == "multi-stream" else 1
    stretch = np.random.default_rng(seed).choice(target.stretch, (REQUESTS // QUERY, pieces)).sum(axis=1)
    spent = (target.interval_s if name == "offline" else target.latency_s)[size - 1]
    seconds = stretch * spent
    done = Waited(seconds, np.full(len(seconds), size), float(seconds.sum()), float(seconds.sum()))
    answers = size * pieces
    rate_hz = answers * len(seconds) / float(seconds.sum())
    told = _told(target, rate_hz, 1, done, None)
    joules = None
    if target.dynamic_j is not None and target.waiting_w is not None:
        idle = target.waiting_w[0] if target.waiting_w[0] == target.waiting_w[1] else 0.0
        joules = (target.dynamic_j[size - 1] + idle / rate_hz,) * 2
    cost = None if prices is None or joules is None else prices.per_million(target.name, 1, rate_hz, joules[1])
    fields = {**asdict(told), "answer_j": joules, "batch": float(size), "cost": cost}
    return Load(**fields)


def _highest(target: Target, deadline_s: float, prices: PriceList | None, seed: int) -> Load:
    """The highest rate of random arrivals at which one device meets the deadline."""
    rng = np.random.default_rng(seed)
    gaps, stretch = poisson(1.0, REQUESTS, rng), rng.choice(target.stretch, REQUESTS)
    if min(target.latency_s) * min(target.stretch) > deadline_s:
        return Load(target.name, 0.0, None, why="one inference takes longer than the deadline")
    low, high = 0.0, 1.2 * target.answers_per_s
    best: tuple[float, Waited] | None = None
    for _ in range(_HALVINGS):
        rate = (low + high) / 2
        done = simulate(gaps / rate, target.latency_s, target.interval_s, stretch=stretch)
        if done.quantile(SHARE) <= deadline_s and rate <= target.answers_per_s:
            low, best = rate, (rate, done)
        else:
            high = rate
    if best is None:
        return Load(target.name, 0.0, None, why="the longest samples miss the deadline at any rate")
    return _told(target, best[0], 1, best[1], prices)
