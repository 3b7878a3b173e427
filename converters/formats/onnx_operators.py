"""Which ONNX operators become which layers: one table. What is not in it is refused by name and node.

Every handler takes the builder and the node and returns what the node's outputs are: a layer's name, or one for each output.
The first line of its docstring is the operator's row in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converters.formats import onnx_arithmetic as arithmetic
from converters.formats import onnx_quantisers as quantisers
from converters.formats import onnx_selecting as selecting
from converters.formats import onnx_shapes as shapes
from converters.formats.onnx_building import UNKNOWN_BATCH, Array, Builder, Code
from converters.formats.onnx_constants import FOLDED
from converters.formats.onnx_reductions import reduce
from converters.formats.onnx_windows import conv, global_pool, pool
from converters.tracing.remedies import remedy
from neuro.errors import ConversionError

Handler = Callable[[Builder, Any, dict[str, Any]], str | tuple[str, ...]]


def check_operator(b: Builder, node: Any) -> None:
    """Refuse a node by its operator alone, before anything is computed."""
    if node.domain not in ("", "ai.onnx"):
        raise b.refuse(node, f"it is of the domain {node.domain!r}", "Export with the standard operators of ONNX")
    if node.op_type not in ATTRIBUTES and node.op_type != "Constant":
        raise _unknown(b, node)


def _unknown(b: Builder, node: Any) -> ConversionError:
    return b.refuse(node, "it has no spiking form", _REMEDIES.get(node.op_type) or remedy(node.op_type))


def visit(b: Builder, node: Any) -> None:
    """Turn one node into layers or a constant."""
    from onnx import helper

    a = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type in ATTRIBUTES:
        _check_attributes(b, node, a)
    if node.op_type == "Constant":
        b.values[node.output[0]] = _constant(b, node, a)
    elif node.op_type == "Shape" and not b.is_constant(node, 0):
        _fold(b, node, [np.array([n, *b.layer(node).shape], np.int64)[_part(a)] for n in _batches(b)])
    elif all(b.is_constant(node, i) for i, name in enumerate(node.input) if name) and node.op_type in FOLDED:
        depends = any(name in b.others for name in node.input)
        held = [b.values] + [{**b.values, **b.others}] * depends
        _fold(b, node, [FOLDED[node.op_type](a, *(values[name] if name else None for name in node.input)) for values in held])
    elif node.op_type in OPERATORS:
        code = _code(b, node)
        made = OPERATORS[node.op_type](b, node, a)
        _bind(b, node, (made,) if isinstance(made, str) else made, code)
    else:
        raise _unknown(b, node)


def _check_attributes(b: Builder, node: Any, a: dict[str, Any]) -> None:
    """Refuse an attribute that is not handled, unless it says what is so without it."""
    from onnx import defs, helper

    unknown = set(a) - set(ATTRIBUTES[node.op_type].split())
    known = defs.get_schema(node.op_type, b.opset).attributes if unknown else {}
    for name in sorted(unknown):
        default = known[name].default_value if name in known else None
        if default is None or not default.name or helper.get_attribute_value(default) != a[name]:
            raise b.refuse(node, f"its attribute {name} is {a[name]!r}", "Export without it")


def _batches(b: Builder) -> tuple[int, ...]:
    return UNKNOWN_BATCH if b.batch is None else (b.batch,)


def _part(a: dict[str, Any]) -> slice:
    return slice(a.get("start", 0), a.get("end"))


def _fold(b: Builder, node: Any, found: list[Array]) -> None:
    """Keep a constant; and what it is for another number of samples, where it depends on that."""
    b.values[node.output[0]] = found[0]
    if len(found) > 1 and not np.array_equal(found[0], found[1]):
        b.others[node.output[0]] = found[1]


def _code(b: Builder, node: Any) -> Code | None:
    """The code of the integers that a node moves. Raises ConversionError where it would compute with integers."""
    codes = [b.codes.get(name) for name in node.input if name in b.values and isinstance(b.values[name], str)]
    first = codes[0] if codes else None
    if node.op_type in READS_INTEGERS or all(code is None for code in codes):
        return None
    if node.op_type in MOVES_INTEGERS and first is not None and first.single:
        if all(code is not None and code.same(first) for code in codes):
            return first
        raise b.refuse(node, "it joins integers of different scales", "Dequantise them first")
    fact = "it computes with integers" if node.op_type not in MOVES_INTEGERS else "it moves integers with a scale per channel"
    raise b.refuse(node, fact, "Dequantise first (DequantizeLinear), or feed floats")


def _bind(b: Builder, node: Any, made: tuple[str, ...], code: Code | None) -> None:
    for extra in node.output[len(made) :]:
        if extra and b.uses[extra]:
            raise b.refuse(node, f"its output {extra!r} is used", "Use its first output only")
    for value, name in zip(node.output, made, strict=False):
        b.bind(value, name, code)


_REMEDIES = {
    **dict.fromkeys(
        ("ConvInteger", "MatMulInteger", "QLinearAdd", "DynamicQuantizeLinear"),
        "Quantise statically, in the QDQ format",
    ),
    **dict.fromkeys(("If", "Loop", "Scan"), "Write the forward without branches and loops that depend on values"),
}


def _constant(b: Builder, node: Any, a: dict[str, Any]) -> Array:
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


READS_INTEGERS = ("Cast", "DequantizeLinear", "QLinearConv", "QLinearMatMul")
MOVES_INTEGERS = (
    "Concat",
    "DepthToSpace",
    "Flatten",
    "Gather",
    "Identity",
    "MaxPool",
    "ReduceMax",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)  # a scale is positive, so the largest integer is that of the largest value

OPERATORS: dict[str, Handler] = {
    "Add": arithmetic.total,
    "AveragePool": pool("avg_pool"),
    "BatchNormalization": arithmetic.batch_norm,
    "Cast": quantisers.cast,
    "Clip": arithmetic.clip,
    "Concat": shapes.concat,
    "Conv": conv,
    "DepthToSpace": shapes.depth_to_space,
    "DequantizeLinear": quantisers.dequantize,
    "Div": arithmetic.quotient,
    "Dropout": _dropout,
    "Flatten": shapes.flatten,
    "Gather": selecting.gather,
    "Gemm": arithmetic.gemm,
    "GlobalAveragePool": global_pool("avg_pool"),
    "GlobalMaxPool": global_pool("max_pool"),
    "HardSigmoid": arithmetic.hard_sigmoid,
    "Identity": _same,
    "MatMul": arithmetic.matmul,
    "Max": arithmetic.extremum(True),
    "MaxPool": pool("max_pool"),
    "Min": arithmetic.extremum(False),
    "Mul": arithmetic.product,
    "Neg": arithmetic.negative,
    "Pad": selecting.pad,
    "QLinearConv": quantisers.qlinear_conv,
    "QLinearMatMul": quantisers.qlinear_matmul,
    "QuantizeLinear": quantisers.quantize,
    "ReduceMax": reduce("largest"),
    "ReduceMean": reduce("mean"),
    "ReduceMin": reduce("smallest"),
    "ReduceSum": reduce("sum"),
    "Relu": arithmetic.relu,
    "Reshape": shapes.reshape,
    "Slice": selecting.slices,
    "SpaceToDepth": shapes.space_to_depth,
    "Split": selecting.split,
    "Squeeze": shapes.squeeze,
    "Sub": arithmetic.difference,
    "Sum": arithmetic.total,
    "Transpose": shapes.transpose,
    "Unsqueeze": shapes.unsqueeze,
}

_WINDOW = "auto_pad dilations kernel_shape pads strides"
ATTRIBUTES: dict[str, str] = {  # those that a handler reads, or that change nothing in evaluation
    **dict.fromkeys((*OPERATORS, *FOLDED), ""),
    "AveragePool": f"{_WINDOW} ceil_mode count_include_pad",
    "BatchNormalization": "epsilon momentum training_mode",
    "Cast": "to saturate round_mode",
    "Clip": "min max",
    "Concat": "axis",
    "ConstantOfShape": "value",
    "Conv": f"{_WINDOW} group",
    "DepthToSpace": "blocksize mode",
    "DequantizeLinear": "axis output_dtype",
    "Dropout": "ratio seed",
    "Flatten": "axis",
    "Gather": "axis",
    "Gemm": "alpha beta transA transB",
    "HardSigmoid": "alpha beta",
    "MaxPool": f"{_WINDOW} ceil_mode storage_order",
    "Pad": "mode pads value",
    "QLinearConv": f"{_WINDOW} group",
    "QuantizeLinear": "axis output_dtype precision saturate",
    **dict.fromkeys(("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"), "axes keepdims noop_with_empty_axes"),
    "Reshape": "allowzero",
    "Shape": "start end",
    "Slice": "axes starts ends",
    "SpaceToDepth": "blocksize",
    "Split": "axis num_outputs split",
    "Squeeze": "axes",
    "Transpose": "perm",
    "Unsqueeze": "axes",
}
