"""ONNX operators that compute: rectifiers and clips, weighted sums, arithmetic with constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.formats.onnx_broadcasting import function, joined, scaled
from converters.formats.onnx_building import Array, Builder
from converters.formats.onnx_clipping import MOST_SHIFT, clipped, limited
from converters.formats.onnx_functions import additive_mask, masked
from converters.formats.onnx_selecting import along
from converters.formats.onnx_shapes import permuted, reshaped
from converters.formats.onnx_windows import Handler
from neuro.graph import Layer

_LARGEST = 3e38  # at or beyond the largest float32: no bound


def relu(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """relu"""
    x = b.layer(node)
    return b.add(node, "relu", (x.name,), x.shape, ceiling=None)


def clip(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """relu with a ceiling; between two shifts where the lower bound is not 0, maximum and minimum where one is beyond 10^4"""
    low, high = b.constant(node, 1, "lower bound"), b.constant(node, 2, "upper bound")
    lowest = float(a.get("min", -np.inf) if low is None else low.reshape(()))
    highest = float(a.get("max", np.inf) if high is None else high.reshape(()))
    lowest, highest = (np.copysign(np.inf, v) if abs(v) > _LARGEST else v for v in (lowest, highest))
    far = lowest != 0 and max((abs(v) for v in (lowest, highest) if np.isfinite(v)), default=0.0) > MOST_SHIFT
    if far and lowest < highest:
        return limited(b, node, b.layer(node), float(lowest), float(highest))
    return clipped(b, node, b.layer(node), float(lowest), float(highest))[0]


def hard_sigmoid(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale, then relu with a ceiling of 1"""
    inner = scaled(b, node, b.layer(node), a.get("alpha", 0.2), a.get("beta", 0.5))
    return clipped(b, node, b.layers[inner], 0.0, 1.0)[0]


def extremum(largest: bool) -> Handler:
    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        place = constant_place(b, node) if len(node.input) == 2 else None
        if place is None or np.abs(b.needed(node, place, "operand")).max(initial=0) > MOST_SHIFT:
            return joined(b, node, "maximum" if largest else "minimum", b.values_of(node))
        x, sign = b.layer(node, 1 - place), 1.0 if largest else -1.0
        bound = np.asarray(b.needed(node, place, "operand"), np.float32) * sign
        inner = b.layers[scaled(b, node, x, factor=None if largest else -1.0, shift=-bound)]
        above = b.add(node, "relu", (inner.name,), inner.shape, ceiling=None)
        return scaled(b, node, b.layers[above], factor=None if largest else -1.0, shift=bound * sign)

    op = "maximum" if largest else "minimum"
    handle.__doc__ = f"{op} of activations; with a constant, relu between two shifts"
    return handle


def average(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """add, and scale"""
    parts = b.values_of(node)
    return scaled(b, node, b.layers[joined(b, node, "add", parts)], factor=1 / len(parts))


# Weighted sums


def gemm(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """linear where the second factor is a constant, else matmul"""
    x = b.value(node)
    if a.get("transA", 0) and b.lead:
        raise b.refuse(node, "it transposes the samples", "Keep samples on the first axis")
    if len(x.shape) != 2 - b.lead:
        raise b.refuse(node, f"a matrix gets samples of shape {x.shape}", "Flatten first")
    x = permuted(b, node, x, (1, 0)) if a.get("transA", 0) else x
    constant_bias = len(node.input) > 2 and bool(node.input[2]) and b.is_constant(node, 2)
    bias = b.constant(node, 2, "bias") if constant_bias else None
    alpha, beta = (float(a.get(key, 1.0)) for key in ("alpha", "beta"))
    if b.is_constant(node, 1):
        weight = b.needed(node, 1, "weight")
        if weight.ndim != 2:
            raise b.refuse(node, f"a matrix {weight.shape} gets samples of shape {x.shape}", "Flatten first")
        weight = weight if a.get("transB", 0) else weight.T
        weight = weight * np.float32(alpha) if alpha != 1.0 else weight
        own = None if bias is None else b.per_sample(node, bias, 1)
        if own is not None and own.ndim < 2 and own.size in (1, len(weight)):
            return _linear(b, node, x, weight, np.broadcast_to(own, weight.shape[:1]) * np.float32(beta))
        name = _linear(b, node, x, weight, None)
    else:
        if b.lead:
            raise b.refuse(node, "its second factor mixes samples", "Use MatMul on matrices of one sample")
        second = permuted(b, node, b.layer(node, 1), (1, 0)) if a.get("transB", 0) else b.layer(node, 1)
        name = b.add(node, "matmul", (x.name, second.name), (x.shape[0], second.shape[1]))
        name = scaled(b, node, b.layers[name], factor=alpha) if alpha != 1.0 else name
    if bias is not None:
        return scaled(b, node, b.layers[name], shift=bias * np.float32(beta))
    if len(node.input) < 3 or not node.input[2]:
        return name
    more = b.layer(node, 2)
    more = b.layers[scaled(b, node, more, factor=beta)] if beta != 1.0 else more
    return joined(b, node, "add", [b.layers[name], more])


def matmul(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """linear where one factor is a constant matrix, else matmul. A bias that is added behind it joins it"""
    place = constant_place(b, node)
    if place is None:
        return _stacked(b, node)
    weight = b.needed(node, place, "weight")
    if weight.ndim > 2 and set(weight.shape[:-2]) == {1} and weight.ndim <= len(b.layer(node, 1 - place).shape) + b.lead:
        weight = weight.reshape(weight.shape[-2:])
    if weight.ndim > 2:
        return _stacked(b, node)
    x, vector = b.layer(node, 1 - place), weight.ndim == 1
    if weight.ndim not in (1, 2):
        raise b.refuse(node, f"its constant has the shape {weight.shape}", "Multiply by a matrix")
    weight = weight[None] if vector else weight.T if place else weight
    if place:
        name = _linear(b, node, x, weight, None)
        return reshaped(b, node, b.layers[name], x.shape[:-1]).name if vector else name
    axis = len(x.shape) - 2
    if axis == -1 and not b.lead:  # a vector: its matrix stands before it
        name = b.add(node, "linear", (x.name,), (len(weight),), {"weight": weight})
        return reshaped(b, node, b.layers[name], ()).name if vector else name
    if axis < 0 or x.shape[axis] != weight.shape[1]:
        raise b.refuse(node, f"a matrix for {weight.shape[1]} values gets samples of shape {x.shape}", "Export the model again")
    name = along(b, node, x, axis, weight)
    return reshaped(b, node, b.layers[name], (*x.shape[:axis], x.shape[-1])).name if vector else name


def _stacked(b: Builder, node: Any) -> str:
    """A product of two layers, or of one and a stack of constant matrices."""
    first, second = b.values_of(node)
    least = 2 - b.lead if b.lead and min(len(first.shape), len(second.shape)) < 2 else 0
    if least:
        raise b.refuse(node, f"it multiplies samples of shapes {first.shape} and {second.shape}", "Use matrices of one sample")
    rows, columns = len(first.shape) == 1, len(second.shape) == 1
    first = reshaped(b, node, first, (1, *first.shape)) if rows else first
    second = reshaped(b, node, second, (*second.shape, 1)) if columns else second
    rank = max(len(first.shape), len(second.shape))
    parts = []
    for part in (first, second):
        if len(part.shape) < rank:
            if b.lead and b.batch != 1 and part.op != "constant":
                raise b.refuse(node, f"it multiplies stacks {first.shape} and {second.shape}", "Give both as many axes")
            part = reshaped(b, node, part, (*[1] * (rank - len(part.shape)), *part.shape))
        parts.append(part)
    try:
        outer = tuple(np.broadcast_shapes(parts[0].shape[:-2], parts[1].shape[:-2]))
    except ValueError:
        raise b.refuse(node, f"it multiplies stacks {first.shape} and {second.shape}", "Export the model again") from None
    shape = (*outer, parts[0].shape[-2], parts[1].shape[-1])
    made = b.layers[b.add(node, "matmul", tuple(part.name for part in parts), shape)]
    if not rows and not columns:
        return made.name
    kept = (*outer, *([] if rows else [shape[-2]]), *([] if columns else [shape[-1]]))
    return reshaped(b, node, made, kept).name


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
    """add of activations; a constant joins the linear layer before it, or becomes a scale, or a mask where it is far below 0"""
    place = constant_place(b, node) if len(node.input) == 2 else None
    if place is None:
        return joined(b, node, "add", b.values_of(node))
    x, shift = b.layer(node, 1 - place), b.needed(node, place, "operand")
    kept = additive_mask(shift)
    if kept is not None:
        return masked(b, node, x, kept, float(shift.min()))
    bias = b.per_sample(node, shift, len(x.shape))
    if x.op == "linear" and "bias" not in x.arrays and bias.shape == x.shape[-1:] and b.read_once(x.name):
        return b.change(x.name, {"bias": bias})
    return scaled(b, node, x, shift=shift)


def difference(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale with a constant, or an add with the second operand times -1"""
    place = constant_place(b, node)
    if place is None:
        negative = scaled(b, node, b.layer(node, 1), factor=-1.0)
        return joined(b, node, "add", [b.layer(node), b.layers[negative]])
    constant = b.needed(node, place, "operand")
    if place == 1:
        return scaled(b, node, b.layer(node), shift=-np.asarray(constant, np.float32))
    return scaled(b, node, b.layer(node, 1), factor=-1.0, shift=constant)


def product(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale by a constant, function square of one and the same activations, else multiply"""
    place = constant_place(b, node)
    if place is not None:
        return scaled(b, node, b.layer(node, 1 - place), factor=b.needed(node, place, "factor"))
    first, second = b.layer(node), b.layer(node, 1)
    return function(b, node, first, "square") if first is second else joined(b, node, "multiply", [first, second])


def quotient(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale by a constant; of activations, multiply by function reciprocal"""
    if constant_place(b, node) != 1:
        inverse = function(b, node, b.layer(node, 1), "reciprocal")
        if constant_place(b, node) == 0:
            return scaled(b, node, b.layers[inverse], factor=b.needed(node, 0, "dividend"))
        return joined(b, node, "multiply", [b.layer(node), b.layers[inverse]])
    divisor = np.asarray(b.needed(node, 1, "divisor"), np.float64)
    if not divisor.all():
        raise b.refuse(node, "it divides by 0", "Divide by other constants")
    return scaled(b, node, b.layer(node), factor=1 / divisor)


def negative(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale by -1"""
    return scaled(b, node, b.layer(node), factor=-1.0)
