"""How a network is used, as it is written on the command line: rates, batteries, arrivals, deadlines. Knows no target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError, UsageError
from neuro.machines.ownership import PriceList
from neuro.reading import TABLE_BYTES, read_text

SCENARIOS = ("single-stream", "multi-stream", "server", "offline")  # of MLPerf Inference
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "day": 86400.0}
_TIMES = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}
_NUMBER = r"([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)"


@dataclass(frozen=True, slots=True)
class Use:
    """How the network is used; None: not said.

    rate_hz: inferences a second, evenly spread. battery_j: energy of a full battery. arrivals: requests a second that come at
    random (Poisson), times of requests (s), or one of `SCENARIOS`; deadline_s: within which 99 of 100 are to be answered. prices:
    what devices and electricity cost.
    """

    rate_hz: float | None = None
    battery_j: float | None = None
    arrivals: float | NDArray[np.float64] | str | None = None
    deadline_s: float | None = None
    prices: PriceList | None = None

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate_hz), ("battery", self.battery_j), ("deadline", self.deadline_s)):
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(name, f"it is {value:g}", "Use a number above 0")
        if self.battery_j is not None and self.rate_hz is None:
            raise UsageError("battery", "how long it lasts depends on the rate", "Add a rate, such as --rate 10/s")
        if isinstance(self.arrivals, str) and self.arrivals not in SCENARIOS:
            raise UsageError("arrivals", f"{self.arrivals!r} is not known", f"Use 200/s, a file, or {', '.join(SCENARIOS)}")
        if self.arrivals is None and self.deadline_s is not None:
            raise UsageError("deadline", "requests that have it are not described", "Add --arrivals, such as --arrivals 200/s")
        if isinstance(self.arrivals, str) and self.arrivals == "server" and self.deadline_s is None:
            raise UsageError("arrivals", "the server scenario is about a deadline", "Add --deadline, such as --deadline 15ms")


def parse_rate(option: str, text: str) -> float:
    """Times a second of "10/s", "6/min", "1/h" or "24/day"."""
    found = re.fullmatch(_NUMBER + r"\s*/\s*(s|min|h|day)", text.strip())
    if not found or float(found[1]) == 0:
        raise UsageError(option, f"{text!r} is no rate", "Write it as 10/s, 6/min, 1/h or 24/day")
    return float(found[1]) / _SECONDS[found[2]]


def parse_time(option: str, text: str) -> float:
    """Seconds of "15ms", "200us" or "0.1s"."""
    found = re.fullmatch(_NUMBER + r"\s*(us|µs|ms|s)", text.strip())
    if not found or float(found[1]) == 0:
        raise UsageError(option, f"{text!r} is no time", "Write it as 15ms, 200us or 0.1s")
    return float(found[1]) * _TIMES[found[2]]


def parse_battery(option: str, text: str) -> float:
    """Joules of "1000mAh@3.7V" or "3.7Wh"."""
    charge = re.fullmatch(_NUMBER + r"\s*(m?)Ah\s*@\s*" + _NUMBER + r"\s*V", text.strip())
    energy = re.fullmatch(_NUMBER + r"\s*Wh", text.strip())
    if charge:
        return float(charge[1]) * (1e-3 if charge[2] else 1.0) * float(charge[3]) * 3600
    if energy:
        return float(energy[1]) * 3600
    raise UsageError(option, f"{text!r} is no battery", "Write it as 1000mAh@3.7V or 3.7Wh")


def parse_arrivals(option: str, text: str) -> float | NDArray[np.float64] | str:
    """A rate of random arrivals, a scenario's name, or the times in a file: seconds, a line each, in order."""
    if text in SCENARIOS:
        return text
    if not Path(text).exists():
        try:
            return parse_rate(option, text)
        except UsageError:
            remedy = f"Write 200/s, the name of a file of times in seconds, or {', '.join(SCENARIOS)}"
            raise UsageError(option, f"{text!r} is no rate, no file and no scenario", remedy) from None
    return read_arrivals(Path(text))


def read_arrivals(path: Path) -> NDArray[np.float64]:
    """Times (requests,) in seconds since the first, from a file with one in each line. FormatError for another order."""
    lines = [line.strip() for line in read_text(path, TABLE_BYTES).splitlines() if line.strip()]
    try:
        times = np.array([float(line) for line in lines], np.float64)
    except ValueError as error:
        raise FormatError(
            str(path), f"a line is no number ({error})", "Write the time of a request in each line, in seconds"
        ) from None
    if len(times) < 2 or not np.isfinite(times).all() or (np.diff(times) < 0).any() or times[-1] <= times[0]:
        fact = f"its {len(times)} times are not in order" if len(times) > 1 else f"it has {len(times)} requests"
        raise FormatError(str(path), fact, "Write two or more times in seconds, the earliest first")
    since: NDArray[np.float64] = times - times[0]
    return since
