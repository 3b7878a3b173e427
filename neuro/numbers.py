"""Whole and real numbers as callers pass them: one rule for every specification and argument. Knows nothing of what they count.

A whole number is a Python or numpy integer: never a truth value, a float (not even 3.0) or text. A real number is a finite
Python or numpy integer or float, never a truth value or text.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from numbers import Integral, Real
from typing import Any

from neuro.errors import NeuroError

Failure = Callable[[str, str, str], NeuroError]
Range = tuple[int | None, int | None]


def whole(
    where: str,
    name: str,
    value: Any,
    least: int | None = None,
    most: int | None = None,
    *,
    error: Failure = NeuroError,
    remedy: str = "",
) -> int:
    """`value` as an int from `least` to `most`; otherwise the error, which says where, which number and what to use."""
    if type(value) is not int and (type(value) is bool or not isinstance(value, Integral)):
        raise error(
            where, f"{name} = {_shown(value)} is not a whole number", remedy or f"Use {_range('a whole number', least, most)}"
        )
    number = int(value)
    if (least is not None and number < least) or (most is not None and number > most):
        raise error(where, f"{name} = {number}", remedy or f"Use {_range('a whole number', least, most)}")
    return number


def real(
    where: str,
    name: str,
    value: Any,
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    error: Failure = NeuroError,
    remedy: str = "",
) -> float:
    """`value` as a finite float from `least` to `most`, and greater than `above`; otherwise the error."""
    low = least if above is None else above
    use = remedy or f"Use {_range('a number', low, most, 'above' if above is not None else 'from')}"
    if type(value) is bool or not isinstance(value, Real):
        raise error(where, f"{name} = {_shown(value)} is not a number", use)
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not isfinite(number):
        raise error(where, f"{name} = {_shown(value)} is not finite", use)
    if (least is not None and number < least) or (most is not None and number > most) or (above is not None and number <= above):
        raise error(where, f"{name} = {_shown(value)}", use)
    return number


def truth(where: str, name: str, value: Any, *, error: Failure = NeuroError) -> bool:
    """`value` as a bool; only a Python or numpy truth value is one."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise error(where, f"{name} = {_shown(value)} is neither true nor false", "Use True or False")
    return bool(value)


def settle_truths(part: Any, error: Failure, *names: str) -> None:
    """Replace the named fields of a frozen dataclass by the truth values they must be."""
    for name in names:
        object.__setattr__(part, name, truth(type(part).__name__, name, getattr(part, name), error=error))


def settle(part: Any, error: Failure, where: str = "", **ranges: Range) -> None:
    """Replace the named fields of a frozen dataclass by the whole numbers they must be."""
    for name, (least, most) in ranges.items():
        value = getattr(part, name)
        if type(value) is int and (least is None or value >= least) and (most is None or value <= most):
            continue
        object.__setattr__(part, name, whole(where or type(part).__name__, name, value, least, most, error=error))


def _range(kind: str, least: float | None, most: float | None, word: str = "from") -> str:
    if least is None and most is None:
        return kind
    if most is None:
        return f"{kind} {word} {least:,}" if word == "above" else f"{kind} of at least {least:,}"
    return f"{kind} {word} {least:,} to {most:,}" if least is not None else f"{kind} of at most {most:,}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
