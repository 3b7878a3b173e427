"""Which ONNX operators become which layers: one table. What is not in it is refused by name and node.

Every handler takes the builder and the node and returns what the node's first output is: a layer's name. The first line of
its docstring is the operator's row in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.formats.onnx_building import Builder, per_sample
from converters.formats.onnx_constants import FOLDED
from converters.formats.onnx_shapes import concat, cropped, flatten, pad, reshape, squeeze, transpose, unsqueeze
from converters.formats.onnx_windows import conv, global_pool, mean, pool
from converters.tracing.remedies import remedy
from neuro.graph import Layer

Handler = Callable[[Builder, Any, dict[str, Any]], str]


def visit(b: Builder, node: Any) -> None:
    """Turn one node into layers or a constant."""
    from onnx import helper

    a = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.domain not in ("", "ai.onnx"):
        raise b.refuse(node, f"it is of the domain {node.domain!r}", "Export with the standard operators of ONNX")
    if node.op_type == "Constant":
        b.values[node.output[0]] = _constant(b, node, a)
    elif node.op_type == "Shape" and not b.is_constant(node, 0):
        sizes = np.array([b.batch or 0, *b.layer(node).shape], np.int64)  # 0: "as it is" to a Reshape
        b.values[node.output[0]] = sizes[a.get("start", 0) : a.get("end")]
    elif all(b.is_constant(node, i) for i, name in enumerate(node.input) if name) and node.op_type in FOLDED:
        present = [b.constant(node, i, "input") for i in range(len(node.input))]
        b.values[node.output[0]] = FOLDED[node.op_type](a, *present)
    elif node.op_type in OPERATORS:
        b.values[node.output[0]] = OPERATORS[node.op_type](b, node, a)
    else:
        raise b.refuse(node, "it has no spiking form", _REMEDIES.get(node.op_type) or remedy(node.op_type))


_REMEDIES = {
    **dict.fromkeys(
        ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QLinearAdd", "DynamicQuantizeLinear"),
        "Quantise statically, in the QDQ format",
    ),
    **dict.fromkeys(("If", "Loop", "Scan"), "Write the forward without branches and loops that depend on values"),
}


def _constant(b: Builder, node: Any, a: dict[str, Any]) -> NDArray[Any]:
    for name, dtype in (
        ("value_float", np.float32),
        ("value_int", np.int64),
        ("value_floats", np.float32),
        ("value_ints", np.int64),
    ):
        if name in a:
            return np.asarray(a[name], dtype)
    raise b.refuse(node, f"its value is {', '.join(a) or 'missing'}", "Export with dense constants of numbers")


def _same(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """left out"""
    return b.layer(node).name


def _dropout(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """left out; refused in training mode"""
    training = b.constant(node, 2, "training mode")
    if training is not None and bool(training):
        raise b.refuse(node, "it drops values at random even in evaluation", "Export in evaluation mode")
    return b.layer(node).name


def _cast(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """left out between float types; others are refused"""
    if a["to"] not in (1, 10, 11, 16):
        raise b.refuse(node, f"it casts activations to type {a['to']}", "Keep activations in float")
    return b.layer(node).name


# Activations


def _relu(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """relu"""
    x = b.layer(node)
    return b.add(node, "relu", (x.name,), x.shape, ceiling=None)


def _clip(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """relu with a ceiling; the lower bound must be 0"""
    low, high = b.constant(node, 1, "lower bound"), b.constant(node, 2, "upper bound")
    lowest = float(a.get("min", -np.inf) if low is None else low)
    highest = float(a.get("max", np.inf) if high is None else high)
    if lowest != 0 or highest <= 0:
        raise b.refuse(node, f"it clips to [{lowest}, {highest}]", "Clip to [0, c] with c > 0: spikes count from zero")
    x = b.layer(node)
    return b.add(node, "relu", (x.name,), x.shape, ceiling=None if highest > 3e38 else highest)


# Weighted sums, arithmetic with constants


def _gemm(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """linear; the second factor must be a constant"""
    x, weight = b.layer(node), b.needed(node, 1, "weight")
    if a.get("transA", 0):
        raise b.refuse(node, "it transposes the samples", "Keep samples on the first axis")
    weight = weight if a.get("transB", 0) else weight.T
    bias = b.constant(node, 2, "bias")
    weight = weight * np.float32(a["alpha"]) if a.get("alpha", 1.0) != 1.0 else weight
    if bias is not None:
        bias = np.broadcast_to(per_sample(bias, 1), weight.shape[:1])
        bias = bias * np.float32(a["beta"]) if a.get("beta", 1.0) != 1.0 else bias
    return _linear(b, node, x, weight, bias)


def _matmul(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """linear; one factor must be a constant matrix, on the right. A bias that is added behind it joins it"""
    if b.is_constant(node, 0) or not b.is_constant(node, 1):
        raise b.refuse(node, "it multiplies other than activations by a constant", remedy("matmul"))
    weight = b.needed(node, 1, "weight")
    if weight.ndim != 2:
        raise b.refuse(node, f"its constant has the shape {weight.shape}", "Multiply by a matrix")
    return _linear(b, node, b.layer(node), weight.T, None)


def _linear(b: Builder, node: Any, x: Layer, weight: NDArray[Any], bias: NDArray[Any] | None) -> str:
    if weight.ndim != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise b.refuse(node, f"a matrix for {weight.shape[-1]} values gets samples of shape {x.shape}", "Flatten first")
    return b.add(node, "linear", (x.name,), (*x.shape[:-1], weight.shape[0]), {"weight": weight, "bias": bias})


def _batch_norm(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """batch_norm, with its running statistics; refused in training mode"""
    if a.get("training_mode", 0):
        raise b.refuse(node, "it normalises by the statistics of the batch", "Export in evaluation mode")
    x = b.layer(node)
    names = ("weight", "bias", "mean", "variance")
    arrays = {name: b.needed(node, 1 + i, name) for i, name in enumerate(names)}
    if any(array.shape != x.shape[:1] for array in arrays.values()):
        raise b.refuse(node, f"its statistics do not fit {x.shape[0]} channels", "Export the model again")
    return b.add(node, "batch_norm", (x.name,), x.shape, arrays, epsilon=float(a.get("epsilon", 1e-5)))


def _scaled(b: Builder, node: Any, x: Layer, factor: Any = None, shift: Any = None) -> str:
    arrays = {}
    for name, value in (("factor", factor), ("shift", shift)):
        if value is not None:
            arrays[name] = per_sample(np.asarray(value, np.float32), len(x.shape))
            if np.broadcast_shapes(arrays[name].shape, x.shape) != x.shape:
                raise b.refuse(node, f"a constant of shape {arrays[name].shape} does not fit {x.shape}", "Reshape the constant")
    return b.add(node, "scale", (x.name,), x.shape, arrays)


def _constant_place(b: Builder, node: Any) -> int | None:
    """Which of two operands is a constant, None where neither is."""
    return next((i for i in (0, 1) if b.is_constant(node, i)), None)


def _sum(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """add of activations; a constant joins the linear layer before it, or becomes a scale"""
    place = _constant_place(b, node) if len(node.input) == 2 else None
    if place is None:
        parts = [b.layer(node, i) for i in range(len(node.input))]
        return b.add(node, "add", tuple(p.name for p in parts), tuple(np.broadcast_shapes(*(p.shape for p in parts))))
    x, shift = b.layer(node, 1 - place), b.needed(node, place, "operand")
    bias = per_sample(shift, len(x.shape))
    if x.op == "linear" and "bias" not in x.arrays and bias.shape == x.shape[-1:] and b.used_once(node, 1 - place):
        return b.change(x.name, {"bias": bias})
    return _scaled(b, node, x, shift=shift)


def _difference(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale with a constant, or an add with the second operand times -1"""
    place = _constant_place(b, node)
    if place is None:
        one, two = b.layer(node), b.layer(node, 1)
        negative = _scaled(b, node, two, factor=-1.0)
        return b.add(node, "add", (one.name, negative), tuple(np.broadcast_shapes(one.shape, two.shape)))
    constant = b.needed(node, place, "operand")
    if place == 1:
        return _scaled(b, node, b.layer(node), shift=-np.asarray(constant, np.float32))
    return _scaled(b, node, b.layer(node, 1), factor=-1.0, shift=constant)


def _product(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale; one factor must be a constant"""
    place = _constant_place(b, node)
    if place is None:
        raise b.refuse(node, "it multiplies two activations", "Multiply by constants only: gates have no spiking form here")
    return _scaled(b, node, b.layer(node, 1 - place), factor=b.needed(node, place, "factor"))


def _quotient(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale; the divisor must be a constant"""
    if _constant_place(b, node) != 1:
        raise b.refuse(node, "it divides by an activation", "Divide by constants only")
    divisor = np.asarray(b.needed(node, 1, "divisor"), np.float64)
    if not divisor.all():
        raise b.refuse(node, "it divides by 0", "Divide by other constants")
    return _scaled(b, node, b.layer(node), factor=1 / divisor)


def _negative(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale by -1"""
    return _scaled(b, node, b.layer(node), factor=-1.0)


# int8 models: a quantiser of activations clips to its range


def _quantize(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """relu with the range as its ceiling where the range begins at 0; else left out, and noted"""
    x, scale = b.layer(node), b.needed(node, 1, "scale")
    zero = b.constant(node, 2, "zero point")
    zero = np.zeros((), np.uint8) if zero is None else zero
    if scale.size != 1 or zero.size != 1 or zero.dtype.kind not in "iu" or not float(scale) > 0:
        raise b.refuse(node, "it quantises activations per channel, or not to integers", "Quantise activations per tensor")
    limits = np.iinfo(zero.dtype)
    top = float(scale) * (int(limits.max) - int(zero))
    if int(zero) != limits.min or x.op in ("input", "max_pool", "reshape", "permute") or _positive(b, x):
        rectified = x.op == "relu" and int(zero) == limits.min and b.used_once(node, 0)
        b.kept, b.left_out = b.kept + rectified, b.left_out + (not rectified)
        ceiling = x.options.get("ceiling")
        return b.change(x.name, ceiling=top if ceiling is None else min(top, ceiling)) if rectified else x.name
    b.kept += 1
    return b.add(node, "relu", (x.name,), x.shape, ceiling=top)


def _positive(b: Builder, x: Layer) -> bool:
    """Whether a layer's values cannot be negative."""
    return x.op == "relu" or (
        x.op in ("avg_pool", "max_pool", "add", "concat", "reshape", "permute")
        and all(_positive(b, b.layers[n]) for n in x.inputs)
    )


OPERATORS: dict[str, Handler] = {
    "Add": _sum,
    "AveragePool": pool("avg_pool"),
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": concat,
    "Conv": conv,
    "DequantizeLinear": _same,
    "Div": _quotient,
    "Dropout": _dropout,
    "Flatten": flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": global_pool("avg_pool"),
    "GlobalMaxPool": global_pool("max_pool"),
    "Identity": _same,
    "MatMul": _matmul,
    "MaxPool": pool("max_pool"),
    "Mul": _product,
    "Neg": _negative,
    "Pad": pad,
    "QuantizeLinear": _quantize,
    "ReduceMean": mean,
    "Relu": _relu,
    "Reshape": reshape,
    "Slice": cropped,
    "Squeeze": squeeze,
    "Sub": _difference,
    "Sum": _sum,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
