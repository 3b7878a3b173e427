"""Nodes that hold other nodes: branches whose condition is a constant, and operators that ONNX defines by a function of others.

The nodes inside are visited as if they stood in the graph itself. Knows no operators.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converters.formats.onnx_building import Builder

Visit = Callable[[Builder, Any], None]
_MOST_DEEP = 20  # branches inside branches


def branch(b: Builder, node: Any, a: dict[str, Any], visit: Visit) -> None:
    """The branch that a constant condition chooses."""
    chosen = a["then_branch"] if bool(np.all(b.needed(node, 0, "condition"))) else a["else_branch"]
    if b.depth >= _MOST_DEEP:
        raise b.refuse(node, f"it stands {b.depth} branches deep", "Export the model again")
    for tensor in chosen.initializer:
        b.values[tensor.name] = b.load(tensor, f"{b.file}, tensor {tensor.name!r}")
    b.depth += 1
    for inner in chosen.node:
        visit(b, inner)
    b.depth -= 1
    if len(chosen.output) != len(node.output):
        raise b.refuse(node, f"its branch yields {len(chosen.output)} values for {len(node.output)}", "Export the model again")
    for outer, value in zip(node.output, chosen.output, strict=True):
        rename(b, node, value.name, outer)


def rename(b: Builder, node: Any, value: str, other: str) -> None:
    """Let a value be known by another name too."""
    found = b.values.get(value)
    if found is None:
        raise b.refuse(node, f"its value {value!r} is not computed", "Export the model again")
    if isinstance(found, str):
        b.bind(other, found, b.codes.get(value))
        return
    b.values[other] = found
    if value in b.others:
        b.others[other] = b.others[value]


def has_function(op: str, opset: int) -> bool:
    """Whether ONNX defines an operator by others."""
    from onnx import defs

    try:
        schema: Any = defs.get_schema(op, opset)
    except defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def expand_function(b: Builder, node: Any, visit: Visit) -> None:
    """The nodes that define the operator, in its place."""
    body = _body(b, node)
    given = {attribute.name: attribute for attribute in node.attribute}
    given = {**{attribute.name: attribute for attribute in body.attribute_proto}, **given}
    prefix = f"{node.name or node.output[0]}/{len(b.layers)}/"
    names = {"": ""} | dict(zip(body.input, [*node.input, *[""] * len(body.input)], strict=False))
    inner = []
    for part in body.node:
        made = type(part)()
        made.CopyFrom(part)
        made.name = node.name or node.output[0]
        made.input[:] = [names.get(name, prefix + name) for name in part.input]
        made.output[:] = [prefix + name if name else "" for name in part.output]
        made.ClearField("attribute")
        for attribute in part.attribute:
            own = given.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
            if own is not None:
                made.attribute.add().CopyFrom(own)
                made.attribute[-1].name = attribute.name
                made.attribute[-1].ref_attr_name = ""
        inner.append(made)
    b.count_uses(inner)
    b.uses.update(prefix + name for name in body.output)
    outer, b.opset = b.opset, _opset_of(body, b.opset)
    b.depth += 1
    for made in inner:
        visit(b, made)
    b.depth -= 1
    b.opset = outer
    for name, value in zip(body.output, node.output, strict=False):
        if value and b.uses[value]:
            rename(b, node, prefix + name, value)


def _opset_of(body: Any, opset: int) -> int:
    return next((int(entry.version) for entry in body.opset_import if entry.domain in ("", "ai.onnx")), opset)


def _body(b: Builder, node: Any) -> Any:
    """The function that defines the operator for inputs of these types."""
    from onnx import FunctionProto, defs

    schema: Any = defs.get_schema(node.op_type, b.opset)
    body = FunctionProto()
    if schema.has_function:
        body.CopyFrom(schema.function_body)
        return body
    types = [_type_of(b, name) for name in node.input]
    body.ParseFromString(schema.get_context_dependent_function(node.SerializeToString(), [t.SerializeToString() for t in types]))
    if not body.node:
        raise b.refuse(node, "it has no definition for inputs of these types", "Export it as other operators")
    return body


def _type_of(b: Builder, name: str) -> Any:
    from onnx import TensorProto, TypeProto, helper

    if not name:
        return TypeProto()
    value = b.values[name]
    if isinstance(value, str):
        kind = TensorProto.INT64 if name in b.codes else TensorProto.FLOAT
        return helper.make_tensor_type_proto(kind, [*[b.batch] * b.lead, *b.layers[value].shape])
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
