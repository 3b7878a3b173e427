"""Requests that wait for devices: a first-come queue with dynamic batching, simulated request by request. Knows no target.

A device that is free takes what waits, as many as a batch may hold, and never waits for more. With batches of one, equal service
times and random arrivals it is M/D/c, with exponential ones M/M/c; the tests hold it to their formulas.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.errors import UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Waited:
    """What became of the requests: seconds from arrival to answer (requests,), sizes of the batches, device-seconds of work
    (`busy_s`), and the time from the first arrival until all are answered (`span_s`)."""

    latency_s: Floats
    batches: NDArray[np.int64]
    busy_s: float
    span_s: float

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the requests was answered."""
        return float(np.quantile(self.latency_s, share))


def poisson(rate_hz: float, requests: int, rng: np.random.Generator) -> Floats:
    """Times (requests,) of random arrivals, in seconds, the first at the first gap."""
    times: Floats = np.cumsum(rng.exponential(1 / rate_hz, requests))
    return times


def simulate(
    arrivals: Floats, latency_s: Sequence[float], interval_s: Sequence[float], *, devices: int = 1, stretch: Floats | None = None
) -> Waited:
    """Serve requests that arrive at these times (requests,) in order, on so many equal devices.

    latency_s and interval_s: seconds from the start of a batch to its answers, and until the device is free again, for batches of
    1, 2, ...; stretch (batches,): factors of both for each batch in turn, repeated. Raises UsageError for what is not positive.
    """
    most = len(latency_s)
    if devices < 1 or most != len(interval_s) or not most or min(*latency_s, *interval_s) <= 0:
        raise UsageError(
            "simulate", f"{devices} devices, {most} latencies, {len(interval_s)} intervals", "Use positive ones alike"
        )
    free = [0.0] * devices
    answered = np.empty(len(arrivals))
    sizes: list[int] = []
    first, busy, end = 0, 0.0, 0.0
    times = arrivals.tolist()
    while first < len(times):
        start = max(heapq.heappop(free), times[first])
        size = min(bisect_right(times, start, first, min(first + most, len(times))) - first, most)
        factor = 1.0 if stretch is None else float(stretch[len(sizes) % len(stretch)])
        done = start + factor * latency_s[size - 1]
        answered[first : first + size] = done - arrivals[first : first + size]
        heapq.heappush(free, start + factor * interval_s[size - 1])
        busy += factor * interval_s[size - 1]
        end = max(end, done)
        sizes.append(size)
        first += size
    return Waited(answered, np.array(sizes, np.int64), busy, end - float(arrivals[0]) if len(arrivals) else 0.0)
