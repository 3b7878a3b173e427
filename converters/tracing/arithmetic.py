"""Handlers of sums, and of products and shifts with constants."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from converters.tracing.arguments import bound, operand
from converters.tracing.axes import spread
from converters.tracing.builder import Builder


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
            layers[-1] = _scaled(b, node, layers[-1], factor=alpha)
        else:
            constants[-1] = np.asarray(constants[-1]) * alpha
    return layers, constants, computed[0]


def _scaled(b: Builder, node: fx.Node, x: str, factor: Any = None, shift: Any = None) -> str:
    shape = b.shape(x)
    arrays = {}
    for name, value in (("factor", factor), ("shift", shift)):
        if value is not None:
            value = np.asarray(value, np.float32)
            arrays[name] = value[0] if value.ndim == len(shape) + 1 and len(value) == 1 else value
            if arrays[name].ndim > len(shape):
                raise b.refuse(node, f"a constant of shape {value.shape} does not fit {shape}", "Reshape the constant")
            x = spread(b, node, x, tuple(np.broadcast_shapes(arrays[name].shape, shape)))
            shape = b.shape(x)
    return b.add(node, "scale", (x,), shape, arrays)


def _sum(b: Builder, node: fx.Node, layers: list[str]) -> str:
    """The sum of layers, each repeated where its shape is smaller."""
    shape = tuple(node.meta["value"].shape[1:])
    if any(len(b.shape(name)) != len(shape) for name in layers):
        raise b.refuse(node, "its operands have different numbers of axes", "Give both the same axes, samples first")
    return b.add(node, "add", tuple(spread(b, node, name, shape) for name in layers))


def add(b: Builder, node: fx.Node) -> None:
    layers, constants, _ = _split(b, node)
    b.names[node] = _scaled(b, node, layers[0], shift=constants[0]) if constants else _sum(b, node, layers)


def subtract(b: Builder, node: fx.Node) -> None:
    layers, constants, layer_first = _split(b, node)
    if not constants:
        b.names[node] = _sum(b, node, [layers[0], _scaled(b, node, layers[1], factor=-1.0)])
    elif layer_first:
        b.names[node] = _scaled(b, node, layers[0], shift=-np.asarray(constants[0]))
    else:
        b.names[node] = _scaled(b, node, layers[0], factor=-1.0, shift=constants[0])


def multiply(b: Builder, node: fx.Node) -> None:
    layers, constants, _ = _split(b, node)
    if not constants:
        raise b.refuse(node, "it multiplies two activations", "Multiply by constants only: gates have no spiking form here")
    b.names[node] = _scaled(b, node, layers[0], factor=constants[0])


def divide(b: Builder, node: fx.Node) -> None:
    layers, constants, layer_first = _split(b, node)
    if not constants or not layer_first:
        raise b.refuse(node, "it divides by an activation", "Divide by constants only")
    b.names[node] = _scaled(b, node, layers[0], factor=1 / np.asarray(constants[0], np.float64))


def negate(b: Builder, node: fx.Node) -> None:
    b.names[node] = _scaled(b, node, b.layer(operand(node)), factor=-1.0)
