"""Between which values a layer's outputs stay, whatever the input. Knows single layers; weighted sums have no bounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neuro.functions import FUNCTIONS
from neuro.graph import Layer

Bounds = tuple[float, float]  # lowest and highest value, infinite where nothing is known

OPEN: Bounds = (-math.inf, math.inf)
_MOVES = ("avg_pool", "max_pool", "concat", "reshape", "permute", "pad", "identity", "gather", "maximum", "minimum")


def bounds_of(layer: Layer, before: list[Bounds]) -> Bounds:
    """Bounds of a layer's values, given those of its inputs'."""
    if layer.op == "relu":
        ceiling = layer.options["ceiling"]
        top = math.inf if ceiling is None else float(ceiling)
        return min(max(before[0][0], 0.0), top), min(max(before[0][1], 0.0), top)
    if layer.op == "add":
        return sum(low for low, _ in before), sum(high for _, high in before)
    if layer.op == "scale":
        return _scaled(before[0], layer.arrays.get("factor", 1.0), layer.arrays.get("shift", 0.0))
    if layer.op == "function":
        row = FUNCTIONS[layer.options["name"]]
        return (max(row.lowest, 0.0), row.highest) if row.keeps_sign and before[0][0] >= 0 else (row.lowest, row.highest)
    if layer.op == "softmax":
        return 0.0, 1.0
    if layer.op not in _MOVES:
        return OPEN
    low, high = min(low for low, _ in before), max(high for _, high in before)
    if layer.op == "pad":
        value = float(layer.options["value"])
        return min(low, value), max(high, value)
    if layer.op == "avg_pool":
        return _averaged(layer, low, high)
    return low, high


def _averaged(layer: Layer, low: float, high: float) -> Bounds:
    """Of a mean in which padding may count as zeros and the divisor may be smaller than the window."""
    divisor = layer.options["divisor"]
    if divisor is None:
        return low, high
    share = math.prod(layer.options["kernel"]) / divisor
    return min(low * share, 0.0), max(high * share, 0.0)


def _scaled(bounds: Bounds, factor: Any, shift: Any) -> Bounds:
    factors, shifts = np.broadcast_arrays(np.asarray(factor, np.float64), np.asarray(shift, np.float64))
    with np.errstate(invalid="ignore"):  # 0 times infinity, which is 0 here
        ends = [np.where(factors == 0, 0.0, factors * end) + shifts for end in bounds]
    return float(np.min(ends)), float(np.max(ends))
