"""Handlers of sums, and of products and shifts with constants."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from converters.tracing.arguments import bound, operand
from converters.tracing.axes import spread
from converters.tracing.builder import Builder

_MASKED = -1e9


def _split(b: Builder, node: fx.Node) -> tuple[list[str], list[Any], bool]:
    """Layers and constants among the two operands, and whether the first is a layer."""
    a = bound(node, "input other", alpha=1, rounding_mode=None)
    if a["rounding_mode"] is not None:
        raise b.refuse(node, f"it rounds by {a['rounding_mode']!r}", "Divide without rounding")
    operands = (a["input"], a["other"])
    computed = [isinstance(o, fx.Node) and not o.meta["constant"] for o in operands]
    layers = [b.layer(o) for o, is_layer in zip(operands, computed, strict=True) if is_layer]
    constants = [b.constant(node, o, "operand") for o, is_layer in zip(operands, computed, strict=True) if not is_layer]
    if a["alpha"] != 1:  # a factor of the second operand
        alpha = b.constant(node, a["alpha"], "alpha")
        if computed[1]:
            layers[-1] = scaled(b, node, layers[-1], factor=alpha)
        else:
            constants[-1] = np.asarray(constants[-1]) * alpha
    return layers, constants, computed[0]


def scaled(b: Builder, node: fx.Node, x: str, factor: Any = None, shift: Any = None) -> str:
    shape = b.shape(x)
    arrays = {}
    for name, value in (("factor", factor), ("shift", shift)):
        if value is not None:
            value = np.asarray(value, np.float32)
            arrays[name] = b.per_sample(node, value, len(shape))
            if arrays[name].ndim > len(shape):
                raise b.refuse(node, f"a constant of shape {value.shape} does not fit {shape}", "Reshape the constant")
            x = spread(b, node, x, tuple(np.broadcast_shapes(arrays[name].shape, shape)))
            shape = b.shape(x)
    return b.add(node, "scale", (x,), shape, arrays)


def _masked(b: Builder, node: fx.Node, name: str, added: Any) -> str:
    """Numbers so far below 0 that nothing is left of the sum: the places where they are added become a mask."""
    low = added <= _MASKED
    keep = b.per_sample(node, np.asarray(~low, np.float32), len(b.shape(name)))
    shape = tuple(np.broadcast_shapes(b.shape(name), keep.shape))
    value = max(float(added.min()), -float(np.finfo(np.float32).max))
    name = b.add(node, "mask", (spread(b, node, name, shape),), shape, {"keep": keep}, value=value)
    rest = np.where(low, 0, added)
    return scaled(b, node, name, shift=rest) if rest.any() else name


def summed(b: Builder, node: fx.Node, layers: list[str]) -> str:
    """The sum of layers, each repeated where its shape is smaller."""
    shape = b.shape_of(node)
    if any(len(b.shape(name)) != len(shape) for name in layers):
        raise b.refuse(node, "its operands have different numbers of axes", "Give both the same axes, samples first")
    return b.add(node, "add", tuple(spread(b, node, name, shape) for name in layers))


def add(b: Builder, node: fx.Node) -> None:
    layers, constants, _ = _split(b, node)
    if constants and np.min(constants[0], initial=0) <= _MASKED:
        b.names[node] = _masked(b, node, layers[0], np.asarray(constants[0], np.float64))
        return
    b.names[node] = scaled(b, node, layers[0], shift=constants[0]) if constants else summed(b, node, layers)


def subtract(b: Builder, node: fx.Node) -> None:
    layers, constants, layer_first = _split(b, node)
    if not constants:
        b.names[node] = summed(b, node, [layers[0], scaled(b, node, layers[1], factor=-1.0)])
    elif layer_first:
        b.names[node] = scaled(b, node, layers[0], shift=-np.asarray(constants[0]))
    else:
        b.names[node] = scaled(b, node, layers[0], factor=-1.0, shift=constants[0])


def multiply(b: Builder, node: fx.Node) -> None:
    layers, constants, _ = _split(b, node)
    if constants:
        b.names[node] = scaled(b, node, layers[0], factor=constants[0])
    elif layers[0] == layers[1]:
        b.names[node] = _applied(b, node, layers[0], "square")
    else:
        b.names[node] = _multiplied(b, node, layers)


def _multiplied(b: Builder, node: fx.Node, layers: list[str]) -> str:
    """The product of layers that broadcast."""
    shape = b.shape_of(node)
    if any(len(b.shape(name)) != len(shape) for name in layers):
        raise b.refuse(node, "its operands have different numbers of axes", "Give both the same axes, samples first")
    return b.add(node, "multiply", tuple(layers))


def _applied(b: Builder, node: fx.Node, name: str, function: str) -> str:
    return b.add(node, "function", (name,), b.shape(name), name=function, values=())


def divide(b: Builder, node: fx.Node) -> None:
    layers, constants, layer_first = _split(b, node)
    if constants and layer_first:
        b.names[node] = scaled(b, node, layers[0], factor=1 / np.asarray(constants[0], np.float64))
        return
    inverse = _applied(b, node, layers[-1], "reciprocal")
    b.names[node] = scaled(b, node, inverse, factor=constants[0]) if constants else _multiplied(b, node, [layers[0], inverse])


def negate(b: Builder, node: fx.Node) -> None:
    b.names[node] = scaled(b, node, b.layer(operand(node)), factor=-1.0)
