"""Operands of ONNX nodes brought to one shape: axes of size 1 in front, values repeated along axes. Knows shapes of a sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.formats.onnx_building import Builder
from neuro.graph import Layer


def scaled(b: Builder, node: Any, x: Layer, factor: Any = None, shift: Any = None) -> str:
    """x times a constant, plus a constant; x is repeated where a constant is larger."""
    arrays: dict[str, Any] = {}
    for name, value in (("factor", factor), ("shift", shift)):
        if value is not None:
            arrays[name] = b.per_sample(node, np.asarray(value, np.float32), len(x.shape))
            shape = _together(b, node, [x.shape, arrays[name].shape])
            x = b.layers[spread(b, node, x, shape)]
    return b.add(node, "scale", (x.name,), x.shape, arrays)


def _together(b: Builder, node: Any, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        fact = f"a constant of shape {shapes[1]} does not fit {shapes[0]}"
        raise b.refuse(node, fact, "Reshape the constant") from None


def spread(b: Builder, node: Any, x: Layer, shape: tuple[int, ...]) -> str:
    """The layer repeated so that it has a shape that it broadcasts to."""
    name, own = x.name, x.shape
    if len(own) < len(shape):
        own = (*[1] * (len(shape) - len(own)), *own)
        name = b.add(node, "reshape", (name,), own)
    for axis, (one, many) in enumerate(zip(own, shape, strict=True)):
        if one == 1 and many > 1:
            name = picked(b, node, b.layers[name], axis, np.zeros(many, np.int64))
    return name


def picked(b: Builder, node: Any, x: Layer, axis: int, indices: Any) -> str:
    """Places along an axis in any order, any number of times."""
    shape = (*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
    return b.add(node, "gather", (x.name,), shape, axis=axis, indices=np.asarray(indices, np.int64))


def aligned(b: Builder, node: Any, parts: list[Layer]) -> tuple[list[str], tuple[int, ...]]:
    """The layers with as many axes each, and the shape that they broadcast to.

    ONNX counts axes from the last one. Where samples are on the first axis of each, fewer axes would let samples meet others.
    """
    most = max(len(part.shape) for part in parts)
    names = []
    for part in parts:
        if len(part.shape) < most:
            if b.lead and b.batch != 1 and part.op != "constant":
                shapes = [one.shape for one in parts]
                remedy = "Give both the same number of axes, samples first"
                raise b.refuse(node, f"it joins samples of shapes {shapes}", remedy)
            shape = (*[1] * (most - len(part.shape)), *part.shape)
            part = b.layers[b.add(node, "reshape", (part.name,), shape)]
        names.append(part.name)
    shapes = [b.layers[name].shape for name in names]
    try:
        return names, tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        raise b.refuse(node, f"it joins samples of shapes {shapes}", "Export the model again") from None


def joined(b: Builder, node: Any, op: str, parts: list[Layer]) -> str:
    """An op of several layers that broadcast."""
    if len(parts) == 1:
        return parts[0].name
    names, shape = aligned(b, node, parts)
    return b.add(node, op, tuple(names), shape)


def from_end(b: Builder, node: Any, x: Layer, size: int) -> Layer:
    """Places along an axis of a size, where negative ones count from its end."""
    here = b.layers[function(b, node, x, "greater_or_equal", 0.0)]
    return b.layers[joined(b, node, "add", [x, b.layers[scaled(b, node, here, factor=-float(size), shift=float(size))]])]


def function(b: Builder, node: Any, x: Layer, name: str, *values: float) -> str:
    """A scalar function of a layer."""
    return b.add(node, "function", (x.name,), x.shape, name=name, values=tuple(map(float, values)))
