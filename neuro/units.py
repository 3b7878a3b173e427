"""Numbers as people read them: 1.23 µJ, 45 µs, 12,345. All other files keep pJ and ns."""

from __future__ import annotations

from math import floor, isfinite, log10

_PREFIXES = {-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
UNKNOWN = "not public"


def energy(pj: float | None) -> str:
    """Picojoules with a fitting prefix, three digits; None and NaN are shown as unknown, here and below."""
    return _scaled(pj, -12, "J")


def time(ns: float | None) -> str:
    """Nanoseconds with a fitting prefix, three digits."""
    return _scaled(ns, -9, "s")


def rate(per_s: float | None) -> str:
    """Events per second with a fitting prefix, three digits."""
    return _scaled(per_s, 0, "/s")


def power(watts: float | None) -> str:
    """Watts with a fitting prefix, three digits."""
    return _scaled(watts, 0, "W")


def days(value: float) -> str:
    """A time in days as hours, days or years."""
    if not isfinite(value):
        return "without end"
    if value < 2:
        return f"{_digits(value * 24, 3)} hours"
    return f"{_digits(value, 3)} days" if value < 730 else f"{_digits(value / 365.25, 3)} years"


def count(n: float) -> str:
    """A number of things: in full up to a million, with thousands separated."""
    if not isfinite(n):
        return UNKNOWN
    if n >= 1e6:
        return _scaled(n, 0, "").rstrip()
    return f"{n:,.0f}" if n >= 100 or float(n).is_integer() else f"{n:.3g}"


def percent(fraction: float) -> str:
    """A fraction as a percentage with one digit behind the point."""
    return f"{100 * fraction:.1f} %"


def times(ratio: float) -> str:
    """A ratio: 12×, 0.4×, 3,400×."""
    return f"{ratio:,.0f}×" if ratio >= 10 else f"{_digits(ratio, 2)}×"


def _scaled(value: float | None, exponent: int, unit: str) -> str:
    if value is None or not isfinite(value):
        return UNKNOWN
    if value == 0:
        return f"0 {unit}"
    size = floor(log10(abs(float(f"{value:.3g}")))) + exponent
    step = min(max(size // 3 * 3, min(_PREFIXES)), max(_PREFIXES))
    return f"{_digits(value * 10.0 ** (exponent - step), 3)} {_PREFIXES[step]}{unit}"


def _digits(value: float, digits: int) -> str:
    """`value` with this many significant digits and no exponent."""
    if value == 0:
        return "0"
    behind = max(0, digits - 1 - floor(log10(abs(float(f"{value:.{digits}g}")))))
    return f"{value:,.{behind}f}"
