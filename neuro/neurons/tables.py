"""Integer tables and scales for `Value` neurons, made from real functions and units. Knows the neuron's arithmetic only.

A unit is the real value of one integer step: real value = integer x unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import NetworkError
from neuro.neurons.base import Integers
from neuro.numbers import real, whole
from neuro.specification import IntArray, frozen_array

Floats = NDArray[np.float64]
_LARGEST_ENTRY = 16  # bits of an entry behind the leading one


def value_bounds(bits: int, signed: bool = True) -> tuple[int, int]:
    """Smallest and largest value of so many bits; signed ones are symmetric about 0."""
    whole("value_bounds", "bits", bits, 1, 31, error=NetworkError)
    return (1 - (1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def value_table(
    function: Callable[[Floats], Any], *, lowest: int, highest: int, unit_in: float, unit_out: float, bits: int = 8,
    signed: bool = True,
) -> IntArray:  # fmt: skip
    """The table of a scalar function on arrays: entry i is round(function((lowest + i) unit_in) / unit_out), clipped to `bits`.

    (highest - lowest + 1,) integers for `Value(lowest=, highest=, table=)`. Error: half of unit_out where nothing was clipped, on
    top of what rounding the input to unit_in costs. Raises NetworkError where the function is not finite.
    """
    _check_units(unit_in, unit_out)
    x = np.arange(lowest, highest + 1, dtype=np.float64) * unit_in
    y = np.broadcast_to(np.asarray(function(x), np.float64), x.shape)
    if not np.isfinite(y).all():
        at = x[~np.isfinite(y)][0]
        raise NetworkError("value_table", f"the function is {y[~np.isfinite(y)][0]} at {at:g}", "Narrow lowest and highest")
    return frozen_array(np.clip(np.rint(y / unit_out), *value_bounds(bits, signed)), np.int32)


def reciprocal_table(*, unit_in: float, unit_out: float, entries: int = 256) -> tuple[IntArray, int]:
    """Table and point of `Value(lookup="reciprocal")`, which yields 1 / (x unit_in) in steps of unit_out.

    Relative error at most 1 / (2 entries) + 2^-15 (0.2 % of 256 entries), then half of unit_out and clipping.
    """
    _check_units(unit_in, unit_out)
    middle = 1 + (np.arange(_power(entries)) + 0.5) / entries
    return _with_point(1 / middle / unit_in / unit_out)


def inverse_root_table(*, unit_in: float, unit_out: float, entries: int = 256) -> tuple[IntArray, int]:
    """Table and point of `Value(lookup="inverse root")`, which yields 1 / sqrt(x unit_in) in steps of unit_out.

    Relative error at most 1 / (2 entries) + 2^-15 (0.2 % of 256 entries), then half of unit_out and clipping.
    """
    _check_units(unit_in, unit_out)
    half = _power(entries, 2) // 2
    middle = 1 + (np.arange(half) + 0.5) / half
    return _with_point(1 / np.sqrt(np.concatenate([middle, 2 * middle]) * unit_in) / unit_out)


def fixed_ratio(ratio: Any, *, bits: int = 16) -> tuple[Integers, Integers]:
    """Multiplier and shift, multiplier / 2^shift = ratio: numbers for a number, arrays for an array of any shape.

    The multiplier has `bits` bits (2 to 30) and the sign of the ratio. Relative error at most 2^-bits; of a ratio below
    2^(bits - 48), which would need a shift beyond 47, absolute error at most 2^-48. Raises NetworkError for a ratio that is
    not finite, or 2^bits and more.
    """
    whole("fixed_ratio", "bits", bits, 2, 30, error=NetworkError)
    given = np.asarray(ratio, np.float64)
    if not np.isfinite(given).all() or (np.abs(given) >= 1 << bits).any():
        raise NetworkError("fixed_ratio", f"a ratio of {given.ravel()[np.abs(given).argmax()]:g}", f"Stay below 2^{bits}")
    mantissa, exponent = np.frexp(given)
    shift = bits - exponent
    multiplier = np.rint(np.ldexp(mantissa, bits)).astype(np.int64)
    shift, multiplier = np.where(shift > 47, 47, shift), np.where(shift > 47, np.rint(np.ldexp(given, 47)), multiplier)
    shift, multiplier = np.where(given == 0, 0, shift), multiplier.astype(np.int64)
    if given.ndim:
        return frozen_array(multiplier, np.int32), frozen_array(shift, np.int32)
    return int(multiplier), int(shift)


def _with_point(wanted: Floats) -> tuple[IntArray, int]:
    """Entries of `_LARGEST_ENTRY` bits, and the power of two that they are to be multiplied by."""
    point = int(np.floor(np.log2(wanted.max()))) + 1 - _LARGEST_ENTRY
    if not -64 <= point <= 64:
        raise NetworkError("table", f"units that differ by 2^{point}", "Use units nearer to each other")
    return frozen_array(np.rint(np.ldexp(wanted, -point)), np.int32), point


def _power(entries: int, least: int = 1) -> int:
    if whole("table", "entries", entries, least, 1 << 16, error=NetworkError) & (entries - 1):
        raise NetworkError("table", f"{entries} entries", "Use a power of two, such as 256")
    return entries


def _check_units(*units: float) -> None:
    for unit in units:
        real("table", "unit", unit, above=0, error=NetworkError)
