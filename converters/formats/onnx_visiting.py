"""One ONNX node becomes layers or constants, by the table of `onnx_operators`; what is not in it is refused by name and node."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.formats import onnx_shapes as shapes
from converters.formats.onnx_broadcasting import picked
from converters.formats.onnx_building import UNKNOWN_BATCH, WIDE, Array, Builder, Code
from converters.formats.onnx_constants import FOLDED
from converters.formats.onnx_inside import branch, expand_function, has_function
from converters.formats.onnx_operators import ATTRIBUTES, IMAGES, MOVES_INTEGERS, OPERATORS, READS_INTEGERS, WIDE_ARITHMETIC
from converters.tracing.remedies import unknown
from neuro.errors import ConversionError

_QUANTISER_DOMAINS = ("onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general")
_MOST_FOLDED = 1 << 22  # values that constants are computed from, without a compiled operator
MOST_IMAGES = 64  # of one sample that an operator of images is applied to one by one
_REMEDIES = {
    **dict.fromkeys(
        ("ConvInteger", "MatMulInteger", "QLinearAdd", "DynamicQuantizeLinear"),
        "Quantise statically, in the QDQ format",
    ),
    **dict.fromkeys(
        ("Loop", "Scan"), "Export LSTM, GRU or RNN layers, or one step of the loop with its states as inputs and outputs"
    ),
}


def check_operator(b: Builder, node: Any) -> None:
    """Refuse a node by its operator alone, before anything is computed."""
    if node.domain in _QUANTISER_DOMAINS and node.op_type in ("Quant", "BipolarQuant"):
        return
    if node.domain not in ("", "ai.onnx"):
        raise b.refuse(node, f"it is of the domain {node.domain!r}", "Export with the standard operators of ONNX")
    if node.op_type not in (*ATTRIBUTES, "Constant", "If") and not has_function(node.op_type, b.opset):
        raise _unknown(b, node)


def _unknown(b: Builder, node: Any) -> ConversionError:
    return b.refuse(node, "it has no spiking form", _REMEDIES.get(node.op_type) or unknown(node.op_type))


def visit(b: Builder, node: Any) -> None:
    """Turn one node into layers or a constant."""
    from onnx import helper

    check_operator(b, node)
    a = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type in ATTRIBUTES:
        _check_attributes(b, node, a)
    if node.op_type == "Constant":
        b.values[node.output[0]] = b.load(a["value"], b.where(node)) if "value" in a else _constant(b, node, a)
    elif node.op_type == "If":
        branch(b, node, a, visit)
    elif node.op_type == "Size" and not b.is_constant(node, 0):
        _fold(b, node, [np.array(n * math.prod(b.layer(node).shape), np.int64) for n in _batches(b)])
    elif node.op_type == "Shape" and not b.is_constant(node, 0):
        leads = [[n] * b.lead for n in _batches(b)]
        _fold(b, node, [np.array([*lead, *b.layer(node).shape], np.int64)[_part(a)] for lead in leads])
    elif all(b.is_constant(node, i) for i, name in enumerate(node.input) if name) and node.op_type in FOLDED:
        _fold_node(b, node, a)
    elif node.op_type in OPERATORS and _of_constants(b, node):
        _fold(b, node, [_computed(b, node)])
    elif node.op_type in OPERATORS:
        code = _code(b, node)
        made = (_as_image if not b.lead and node.op_type in IMAGES else OPERATORS[node.op_type])(b, node, a)
        _bind(b, node, (made,) if isinstance(made, str) else made, code)
    elif has_function(node.op_type, b.opset) and b.depth < 5:
        expand_function(b, node, visit)
    else:
        raise _unknown(b, node)


def _as_image(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """An operator of the images of one sample, one after the other, where values have no axis of samples."""
    x = b.layer(node)
    if len(x.shape) < 2 or x.shape[0] > MOST_IMAGES:
        fact = f"it slides over {x.shape[0] if x.shape else 0} images of one sample, at most {MOST_IMAGES} are taken"
        raise b.refuse(node, fact, "Read the file with samples=True if the first axis of images holds samples")
    found = []
    for i in range(x.shape[0]):
        one = x if x.shape[0] == 1 else b.layers[picked(b, node, x, 0, [i])]
        part = b.reading(node, shapes.reshaped(b, node, one, x.shape[1:]))
        part.lead = part.batch = 1
        made = b.layers[str(OPERATORS[node.op_type](part, node, a))]
        found.append(shapes.reshaped(b, node, made, (1, *made.shape)))
    shape = (len(found), *found[0].shape[1:])
    return found[0].name if len(found) == 1 else b.add(node, "concat", tuple(one.name for one in found), shape, axis=0)


def _fold_node(b: Builder, node: Any, a: dict[str, Any]) -> None:
    """Compute a node of constants; twice, for two numbers of samples, where a constant depends on that."""
    depends = any(name in b.others for name in node.input)
    if depends and node.op_type in ("Expand", "ConstantOfShape") and _one_for_all(b, node):
        shape = np.array([1, *np.ravel(np.asarray(b.values[node.input[-1]]))[1:]], np.int64)
        held = [b.values[name] for name in node.input[:-1]]
        _fold(b, node, [FOLDED[node.op_type](a, *held, shape)])
        return
    values: list[Mapping[str, Any]] = [b.values, *[{**b.values, **b.others}] * depends]
    _fold(b, node, [FOLDED[node.op_type](a, *(v[name] if name else None for name in node.input)) for v in values])


def _of_constants(b: Builder, node: Any) -> bool:
    """Whether a node computes with constants alone, which do not depend on the number of samples and are not many."""
    names = [name for name in node.input if name]
    whole = all(b.is_constant(node, i) for i, name in enumerate(node.input) if name) and not any(
        name in b.others for name in names
    )
    return bool(names) and whole and sum(np.size(b.values[name]) for name in names) <= _MOST_FOLDED


def _computed(b: Builder, node: Any) -> tuple[Array, ...]:
    """What a node of constants yields, by the definition of its operator that ONNX comes with."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    given = {name: np.asarray(b.values[name]) for name in node.input if name}
    ends = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    kinds = {name: helper.np_dtype_to_tensor_dtype(x.dtype) for name, x in given.items()}
    begins = [helper.make_tensor_value_info(name, kinds[name], x.shape) for name, x in given.items()]
    graph = helper.make_graph([node], "constants", begins, ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", b.opset)])
    try:
        return tuple(map(np.asarray, ReferenceEvaluator(model).run(None, given)))
    except Exception as error:  # noqa: BLE001  # whatever the definition raises of what a file holds
        raise b.refuse(node, f"it cannot be computed ({type(error).__name__})", "Fold constants when exporting") from error


def _one_for_all(b: Builder, node: Any) -> bool:
    """Whether a shape that is filled or expanded to begins with the number of samples, and names it nowhere else."""
    one, other = (np.ravel(np.asarray(held[node.input[-1]])) for held in (b.values, {**b.values, **b.others}))
    return bool(one.size and (one[0], other[0]) == UNKNOWN_BATCH and (one[1:] == other[1:]).all())


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
    if not b.lead:
        return (1,)
    return UNKNOWN_BATCH if b.batch is None else (b.batch,)


def _part(a: dict[str, Any]) -> slice:
    return slice(a.get("start", 0), a.get("end"))


def _fold(b: Builder, node: Any, found: list[Any]) -> None:
    """Keep a constant; and what it is for another number of samples, where it depends on that."""
    parts = [one if isinstance(one, tuple) else (one,) for one in found]
    for name, *values in zip(node.output, *parts, strict=False):
        b.values[name] = values[0]
        if len(values) > 1 and not np.array_equal(values[0], values[1]):
            b.others[name] = values[1]


def _code(b: Builder, node: Any) -> Code | None:
    """The code of the integers that a node moves. Raises ConversionError where it would compute with integers."""
    codes = [b.codes.get(name) for name in node.input if name in b.values and isinstance(b.values[name], str)]
    first = codes[0] if codes else None
    looks_up = node.op_type == "Gather" and b.is_constant(node, 0)  # integers that say where, in a table of other values
    if looks_up or node.op_type in READS_INTEGERS or all(code is None for code in codes):
        return None
    if node.op_type in (*WIDE_ARITHMETIC, *MOVES_INTEGERS) and all(code is WIDE for code in codes):
        return WIDE
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
