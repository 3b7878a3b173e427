"""ONNX operators that compute: rectifiers and clips, weighted sums, arithmetic with constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.formats.onnx_building import Array, Builder, per_sample
from converters.formats.onnx_clipping import clipped, scaled
from converters.formats.onnx_selecting import along
from converters.formats.onnx_shapes import reshaped
from converters.formats.onnx_windows import Handler
from converters.tracing.remedies import remedy
from neuro.graph import Layer

_LARGEST = 3e38  # at or beyond the largest float32: no bound


def relu(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """relu"""
    x = b.layer(node)
    return b.add(node, "relu", (x.name,), x.shape, ceiling=None)


def clip(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """relu with a ceiling; between two shifts where the lower bound is not 0"""
    low, high = b.constant(node, 1, "lower bound"), b.constant(node, 2, "upper bound")
    lowest = float(a.get("min", -np.inf) if low is None else low.reshape(()))
    highest = float(a.get("max", np.inf) if high is None else high.reshape(()))
    lowest, highest = (np.copysign(np.inf, v) if abs(v) > _LARGEST else v for v in (lowest, highest))
    return clipped(b, node, b.layer(node), float(lowest), float(highest))[0]


def hard_sigmoid(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale, then relu with a ceiling of 1"""
    inner = scaled(b, node, b.layer(node), a.get("alpha", 0.2), a.get("beta", 0.5))
    return clipped(b, node, b.layers[inner], 0.0, 1.0)[0]


def extremum(largest: bool) -> Handler:
    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        place = constant_place(b, node) if len(node.input) == 2 else None
        if place is None:
            raise b.refuse(node, "it compares activations", "Compare with a constant")
        x, sign = b.layer(node, 1 - place), 1.0 if largest else -1.0
        bound = np.asarray(b.needed(node, place, "operand"), np.float32) * sign
        inner = scaled(b, node, x, factor=None if largest else -1.0, shift=-bound)
        above = b.add(node, "relu", (inner,), x.shape, ceiling=None)
        return scaled(b, node, b.layers[above], factor=None if largest else -1.0, shift=bound * sign)

    handle.__doc__ = "relu between two shifts; one operand must be a constant"
    return handle


# Weighted sums


def gemm(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """linear; the second factor must be a constant"""
    x, weight = b.layer(node), b.needed(node, 1, "weight")
    if a.get("transA", 0):
        raise b.refuse(node, "it transposes the samples", "Keep samples on the first axis")
    if weight.ndim != 2 or len(x.shape) != 1:
        raise b.refuse(node, f"a matrix {weight.shape} gets samples of shape {x.shape}", "Flatten first")
    weight = weight if a.get("transB", 0) else weight.T
    bias = b.constant(node, 2, "bias")
    weight = weight * np.float32(a["alpha"]) if a.get("alpha", 1.0) != 1.0 else weight
    if bias is not None:
        own = per_sample(bias, 1)
        if own.ndim > 1 or own.size not in (1, len(weight)):
            raise b.refuse(node, f"its bias {bias.shape} differs from sample to sample", "Use one bias for all samples")
        bias = np.broadcast_to(own, weight.shape[:1]) * np.float32(a.get("beta", 1.0))
    return _linear(b, node, x, weight, bias)


def matmul(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """linear; one factor must be a constant matrix. A bias that is added behind it joins it"""
    place = constant_place(b, node)
    if place is None:
        raise b.refuse(node, "it multiplies two activations", remedy("matmul"))
    x, weight = b.layer(node, 1 - place), b.needed(node, place, "weight")
    rank = weight.ndim
    weight = weight.reshape(weight.shape[-2:]) if rank > 2 and set(weight.shape[:-2]) == {1} else weight
    if weight.ndim not in (1, 2) or rank > len(x.shape) + 1:
        raise b.refuse(node, f"its constant has the shape {weight.shape}", "Multiply by a matrix")
    vector = weight.ndim == 1
    weight = weight[None] if vector else weight.T if place else weight
    if place:
        name = _linear(b, node, x, weight, None)
        return reshaped(b, node, b.layers[name], x.shape[:-1]).name if vector else name
    axis = len(x.shape) - 2
    if axis < 0 or x.shape[axis] != weight.shape[1]:
        raise b.refuse(node, f"a matrix for {weight.shape[1]} values gets samples of shape {x.shape}", "Export the model again")
    name = along(b, node, x, axis, weight)
    return reshaped(b, node, b.layers[name], (*x.shape[:axis], x.shape[-1])).name if vector else name


def _linear(b: Builder, node: Any, x: Layer, weight: Array, bias: Array | None) -> str:
    if weight.ndim != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise b.refuse(node, f"a matrix for {weight.shape[-1]} values gets samples of shape {x.shape}", "Flatten first")
    return b.add(node, "linear", (x.name,), (*x.shape[:-1], weight.shape[0]), {"weight": weight, "bias": bias})


def batch_norm(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """batch_norm, with its running statistics; refused in training mode"""
    if a.get("training_mode", 0):
        raise b.refuse(node, "it normalises by the statistics of the batch", "Export in evaluation mode")
    x = b.layer(node)
    names = ("weight", "bias", "mean", "variance")
    arrays = {name: b.needed(node, 1 + i, name) for i, name in enumerate(names)}
    if any(array.shape != x.shape[:1] for array in arrays.values()):
        raise b.refuse(node, f"its statistics do not fit {x.shape[0] if x.shape else 0} channels", "Export the model again")
    return b.add(node, "batch_norm", (x.name,), x.shape, arrays, epsilon=float(a.get("epsilon", 1e-5)))


# Sums, and products with constants


def constant_place(b: Builder, node: Any) -> int | None:
    """Which of two operands is a constant, None where neither is."""
    return next((i for i in (0, 1) if b.is_constant(node, i)), None)


def total(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """add of activations; a constant joins the linear layer before it, or becomes a scale"""
    place = constant_place(b, node) if len(node.input) == 2 else None
    if place is None:
        return _added(b, node, [b.layer(node, i) for i in range(len(node.input))])
    x, shift = b.layer(node, 1 - place), b.needed(node, place, "operand")
    bias = per_sample(shift, len(x.shape))
    if x.op == "linear" and "bias" not in x.arrays and bias.shape == x.shape[-1:] and b.read_once(x.name):
        return b.change(x.name, {"bias": bias})
    return scaled(b, node, x, shift=shift)


def _added(b: Builder, node: Any, parts: list[Layer]) -> str:
    shapes = [part.shape for part in parts]
    if len({len(shape) for shape in shapes}) != 1:
        raise b.refuse(node, f"it adds samples of shapes {shapes}", "Add values with the same number of axes")
    return b.add(node, "add", tuple(part.name for part in parts), tuple(np.broadcast_shapes(*shapes)))


def difference(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale with a constant, or an add with the second operand times -1"""
    place = constant_place(b, node)
    if place is None:
        negative = scaled(b, node, b.layer(node, 1), factor=-1.0)
        return _added(b, node, [b.layer(node), b.layers[negative]])
    constant = b.needed(node, place, "operand")
    if place == 1:
        return scaled(b, node, b.layer(node), shift=-np.asarray(constant, np.float32))
    return scaled(b, node, b.layer(node, 1), factor=-1.0, shift=constant)


def product(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale; one factor must be a constant"""
    place = constant_place(b, node)
    if place is None:
        raise b.refuse(node, "it multiplies two activations", "Multiply by constants only: gates have no spiking form here")
    return scaled(b, node, b.layer(node, 1 - place), factor=b.needed(node, place, "factor"))


def quotient(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale; the divisor must be a constant"""
    if constant_place(b, node) != 1:
        raise b.refuse(node, "it divides by an activation", "Divide by constants only")
    divisor = np.asarray(b.needed(node, 1, "divisor"), np.float64)
    if not divisor.all():
        raise b.refuse(node, "it divides by 0", "Divide by other constants")
    return scaled(b, node, b.layer(node), factor=1 / divisor)


def negative(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale by -1"""
    return scaled(b, node, b.layer(node), factor=-1.0)
