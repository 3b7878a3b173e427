"""How a value neuron computes a scalar function: none, a table, a reciprocal or an inverse root. Knows functions and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.values.fusing import Fused, function_of
from converters.values.ranges import Extent
from neuro.errors import ConversionError
from neuro.functions import FUNCTIONS, compute
from neuro.graph import Layer
from neuro.neurons.tables import inverse_root_table, reciprocal_table, value_bounds, value_table
from neuro.neurons.value import MOST_ENTRIES

Floats = NDArray[np.float64]
SCALED_ALIKE = frozenset({"abs", "leaky_relu"})  # f(c x) = c f(x) for c > 0: a unit for each channel
_ARGUMENT_BITS = {"log": 14, "log1p": 14, "sqrt": 14, "power": 14, "reciprocal": 14, "rsqrt": 14, "exp": 12}
_OTHER_BITS, _MOST_BITS = 10, 12  # of the argument of other functions: as many as the result has, within these
INVERSES = ("reciprocal", "rsqrt")
_LEVELS_OFF = frozenset({"sigmoid", "tanh"})  # both are within 2^-bits of an end at +-bits
TABLE_ROOM = 0.1  # share of its range by which an argument may leave what calibration saw
_WIDEST = 64  # times the positive range of a table that the negative one may be
_RESTORED_BITS, _ENTRIES = 20, 1024  # of the argument of a reciprocal, of its table


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a value neuron does with a sum: the real value of a step of its argument and of its result (broadcast to the shape),
    and the neuron's parameters."""

    unit_in: Floats
    unit_out: Floats
    parameters: dict[str, Any]


def argument_bits(layer: Layer, part: Fused | None, bits: int) -> int:
    """Bits of the argument of a function's table whose results have `bits`, unless more are asked for."""
    names = (str(layer.options["name"]),) if part is None else part.names
    usual = max(_OTHER_BITS, min(bits, _MOST_BITS))
    return max((_ARGUMENT_BITS.get(name, usual) for name in names), default=usual)


def is_tabulated(layer: Layer, part: Fused | None, argument: Extent) -> bool:
    """Whether a layer is computed by one table for all its neurons."""
    if layer.op != "function" or part is not None:
        return part is not None
    name = str(layer.options["name"])
    return name not in SCALED_ALIKE and not _is_restored(name, argument)


def _is_restored(name: str, argument: Extent) -> bool:
    return float(argument.lowest.min()) > 0 and name in INVERSES


def sum_headroom(layer: Layer, part: Fused | None, argument: Extent, beyond: int) -> int:
    """Bits by which a sum must be able to go beyond its calibrated range, where its function's result has so many: an inverse is
    larger than before where the sum is smaller."""
    inverse = part is None and layer.op == "function" and _is_restored(str(layer.options["name"]), argument)
    return min(beyond, 1) if inverse else beyond


def lookup(
    layer: Layer,
    part: Fused | None,
    argument: Extent,
    result: Floats,
    bits: int,
    finest: float,
    table_bits: int = 0,
    beyond: int = 0,
) -> Lookup:
    """How to compute a layer of one input, or the part of the graph that ends with it, from a sum. `result`: the largest |value|
    of it, broadcast to the shape; finest: no step of the argument of a table needs to be smaller; table_bits: of that argument,
    0 for as many as usual; beyond: so many of the bits are for values beyond those of calibration."""
    if part is not None:
        return _tabulated(layer, part, argument, bits, finest, table_bits or argument_bits(layer, part, bits - beyond), beyond)
    if layer.op == "quantise":
        return _quantised(layer, len(result.shape))
    if layer.op == "relu":
        return _rectified(result, bits, beyond)
    if layer.op != "function":
        low, high = value_bounds(bits)
        unit = _unit(result, value_bounds(bits - beyond)[1])
        return Lookup(unit, unit, {"lowest": low, "highest": high, "value_bits": bits})
    name, values = str(layer.options["name"]), tuple(layer.options["values"])
    if name in SCALED_ALIKE:
        return _scaled_alike(name, values, argument, result, bits, beyond)
    if _is_restored(name, argument):
        return _restored(name, argument, bits, finest, beyond)
    return _tabulated(layer, None, argument, bits, finest, table_bits or argument_bits(layer, None, bits - beyond), beyond)


def _unit(result: Floats, levels: int) -> Floats:
    """Real values of a step, so that `levels` of them reach the result; where that is 0 everywhere, of the smallest one."""
    positive = result[result > 0]
    least = float(positive.min()) if positive.size else 1.0
    return np.asarray(np.where(result > 0, result, least) / levels)


def _rectified(result: Floats, bits: int, beyond: int) -> Lookup:
    highest = (1 << bits) - 1
    unit = _unit(result, (1 << (bits - beyond)) - 1)
    return Lookup(unit, unit, {"lowest": 0, "highest": highest, "value_bits": bits})


def _quantised(layer: Layer, axes: int) -> Lookup:
    """The quantiser's own grid."""
    o = layer.options
    scale, zero = (np.asarray(layer.arrays[name], np.float64) for name in ("scale", "zero"))
    low, high = np.rint(o["lowest"] - zero).astype(np.int64), np.rint(o["highest"] - zero).astype(np.int64)
    least, most = int(min(low.min(), 0)), int(high.max())
    bits = max(most, -least - 1 if least < 0 else 0).bit_length() + (least < 0)
    if bits > 16:
        raise ConversionError(layer.place, f"its grid has {bits} bits", "Quantise to 16 bits or fewer")
    unit = scale.reshape((1,) * (axes - scale.ndim) + scale.shape)
    parameters = {"lowest": _plain(low, axes), "highest": _plain(high, axes), "value_bits": max(bits, 4)}
    return Lookup(unit, unit, parameters)


def _plain(values: Any, axes: int) -> Any:
    return int(values.flat[0]) if values.size == 1 else values.reshape((1,) * (axes - values.ndim) + values.shape)


def _scaled_alike(name: str, values: tuple[float, ...], argument: Extent, result: Floats, bits: int, beyond: int) -> Lookup:
    """The same table whatever the unit, so each channel has its own; the argument is as fine as the result."""
    signed = FUNCTIONS[name].lowest < 0
    low, high = value_bounds(bits, signed)
    unit = _unit(result, value_bounds(bits - beyond, signed)[1])
    needed = float((argument.lowest / unit).min()) * 2**beyond * (1 + TABLE_ROOM)  # a slope makes negative values smaller
    least = -high if name == "abs" else int(np.clip(np.floor(needed), -min(_WIDEST * high, MOST_ENTRIES - 1 - high), -high))
    table = value_table(
        lambda x: compute(name, x, values), lowest=least, highest=high, unit_in=1, unit_out=1, bits=bits, signed=signed
    )
    return Lookup(unit, unit, {"lowest": least, "highest": high, "table": table, "value_bits": bits})


def most_alike(layer: Layer, argument: Extent, result: Floats) -> int:
    """The bits with which the table of a function that has a unit for each channel has as many entries as one may have."""
    ratio = max(-float((argument.lowest / np.where(result > 0, result, np.inf)).min()) * (1 + TABLE_ROOM), 1.0)
    return int(np.log2(MOST_ENTRIES / (1 + min(ratio, _WIDEST)))) + (FUNCTIONS[str(layer.options["name"])].lowest < 0)


def _restored(name: str, argument: Extent, bits: int, finest: float, beyond: int) -> Lookup:
    made = reciprocal_table if name == "reciprocal" else inverse_root_table
    least, most = float(argument.lowest.min()), float(argument.highest.max()) * (1 + TABLE_ROOM)
    unit_in = max(most / (1 << _RESTORED_BITS), finest)
    unit_out = float(compute(name, np.array(least / (1 + TABLE_ROOM)))) / ((1 << (bits - beyond)) - 1)
    table, point = made(unit_in=unit_in, unit_out=unit_out, entries=_ENTRIES)
    how = "reciprocal" if name == "reciprocal" else "inverse root"
    parameters = {"lowest": 1, "highest": 1 << (_RESTORED_BITS + 3 + beyond), "table": table, "lookup": how, "point": point}
    return Lookup(np.array(unit_in), np.array(unit_out), {**parameters, "value_bits": bits})


def _tabulated(
    layer: Layer, part: Fused | None, argument: Extent, bits: int, finest: float, table_bits: int, beyond: int
) -> Lookup:
    of = function_of(layer, part)
    name = " of ".join(part.names[::-1]) if part else str(layer.options["name"])
    low, high = float(argument.lowest.min()), float(argument.highest.max())
    seen = of(low + (high - low) / 4096 * np.arange(4097))
    pole = name in INVERSES and low <= 0 <= high and not np.isfinite(of(np.zeros(1))).all()
    if pole or not np.isfinite(seen[1:-1]).all():
        fact = f"{name} is not finite everywhere between {low:.3g} and {high:.3g}, the range of its argument in calibration"
        raise ConversionError(layer.place, fact, "Keep its argument above 0, by a clip or an addition before it")
    if part is None and name in _LEVELS_OFF and bits - beyond > _OTHER_BITS:  # beyond, the result is the same to half a step
        low, high = max(low, beyond - bits), min(high, float(bits - beyond))
    room = TABLE_ROOM * (high - low)
    unit_in = max((high - low + 2 * room) / ((1 << table_bits) - 2), finest)
    least, most = outward(low, high, beyond)
    lowest, highest = int(np.floor((least - room) / unit_in)), int(np.ceil((most + room) / unit_in))
    lowest, highest = _finite(of, lowest, highest, unit_in, (low + high) / 2)
    ends = seen[np.isfinite(seen)]
    signed = bool(ends.min() < 0)
    largest = float(np.abs(ends).max()) or 1.0
    unit_out = largest / value_bounds(bits - beyond, signed)[1]
    table = value_table(
        of,
        lowest=lowest, highest=highest, unit_in=unit_in, unit_out=unit_out, bits=bits, signed=signed,
    )  # fmt: skip
    parameters = {"lowest": lowest, "highest": highest, "table": table, "value_bits": bits}
    return Lookup(np.array(unit_in), np.array(unit_out), parameters)


def outward(low: float, high: float, bits: int) -> tuple[float, float]:
    """The ends of a range with so many bits of headroom: each 2^bits times as far out, from 0 or towards it."""
    return low * 2.0 ** (bits if low < 0 else -bits), high * 2.0 ** (bits if high > 0 else -bits)


def _finite(of: Any, lowest: int, highest: int, unit: float, middle: float) -> tuple[int, int]:
    """The part of a range of integers around a real value in which a function of them is finite."""
    with np.errstate(all="ignore"):
        broken = np.flatnonzero(~np.isfinite(of(np.arange(lowest, highest + 1) * unit))) + lowest
    at = middle / unit
    below, above = broken[broken < at], broken[broken >= at]
    return int(below.max(initial=lowest - 1)) + 1, int(above.min(initial=highest + 1)) - 1
