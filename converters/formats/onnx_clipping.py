"""Clips as rectifiers: any range [lowest, highest] by what a Graph has, and none where values are proven to lie within it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converters.formats.onnx_broadcasting import scaled
from converters.formats.onnx_building import Builder
from neuro.graph import Layer

MOST_SHIFT = 1e4  # of a bound: max(x - a, 0) + a keeps the digits of x only where a is not much larger than x
_SLACK = 1e-6  # of a range's width: bounds and ranges were rounded to float32 on their way


def clipped(b: Builder, node: Any, x: Layer, lowest: float, highest: float) -> tuple[str, str]:
    """The layer that clips x to [lowest, highest], and how: "proven" (x itself), "rectifier", or "clip".

    A clip that does not begin at 0 is a rectifier between two shifts: min(max(x - a, 0), b - a) + a, or, where only the upper
    end clips, b - max(b - x, 0).
    """
    if not lowest < highest:
        raise b.refuse(node, f"it clips to [{lowest}, {highest}]", "Clip to a range with a width")
    low, high = b.bounds[x.name]
    slack = _SLACK * (highest - lowest) if math.isfinite(highest - lowest) else 0.0
    below, above = low < lowest - slack, high > highest + slack
    if not below and not above:
        return x.name, "proven"
    if (lowest == 0 or (low >= 0 and not below)) and highest > 0:
        return _rectified(b, node, x, highest if above else None), "rectifier"
    if math.isinf(lowest) and math.isinf(low):
        upside = scaled(b, node, x, factor=-1.0, shift=highest)
        return scaled(b, node, b.layers[_relu(b, node, b.layers[upside], None)], factor=-1.0, shift=highest), "clip"
    start = lowest if math.isfinite(lowest) else low
    inner = b.layers[scaled(b, node, x, shift=-start)]
    between = _relu(b, node, inner, highest - start if above else None)
    return scaled(b, node, b.layers[between], shift=start), "clip"


def limited(b: Builder, node: Any, x: Layer, lowest: float, highest: float) -> str:
    """The layer clipped by comparison: bounds far from its values cost no digits."""
    name = x.name
    for op, bound in (("maximum", lowest), ("minimum", highest)):
        if math.isfinite(bound):
            value = np.full((1,) * len(x.shape), bound, np.float32)
            held = b.add(node, "constant", (), value.shape, {"value": value})
            name = b.add(node, op, (name, held), x.shape)
    return name


def _rectified(b: Builder, node: Any, x: Layer, ceiling: float | None) -> str:
    """A rectifier of x, or x with a lower ceiling where it is one that nothing else reads."""
    if x.op != "relu" or not b.read_once(x.name):
        return _relu(b, node, x, ceiling)
    old = x.options["ceiling"]
    return b.change(x.name, ceiling=min((c for c in (old, ceiling) if c is not None), default=None))


def _relu(b: Builder, node: Any, x: Layer, ceiling: float | None) -> str:
    return b.add(node, "relu", (x.name,), x.shape, ceiling=ceiling)
