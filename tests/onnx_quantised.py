"""A quantised ONNX file without its rounding: every quantiser of activations as a clip to the range of its integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

STILL = ("Relu", "Clip", "Max", "Min", "Neg", "HardSigmoid", "Dropout")  # what moves its result no further than its operand


def without_rounding(content: bytes, ranks: Mapping[str, int]) -> bytes:
    """The file with max and min in place of each QuantizeLinear of activations, and a product and a sum in place of each
    DequantizeLinear behind one. Weights stay as they are. `ranks`: of what is quantised per channel."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    moving, codes, nodes = {value.name for value in graph.input} - set(held), {}, []
    added: dict[str, Any] = {}

    def constant(value: Any) -> str:
        added[f"plain_{len(added)}"] = np.asarray(value, np.float32)
        return f"plain_{len(added) - 1}"

    for node in graph.node:
        live = [name for name in node.input if name in moving]
        moving.update(node.output if live else [])
        if node.op_type == "QuantizeLinear" and live:
            scale, zero = (_column(held[name], ranks.get(node.input[0], 0)) for name in node.input[1:])
            limits = np.iinfo(held[node.input[2]].dtype)
            low, high = ((end - zero) * scale for end in (int(limits.min), int(limits.max)))
            codes[node.output[0]] = (scale, zero)
            nodes.append(helper.make_node("Max", [node.input[0], constant(low)], [f"{node.output[0]}_low"]))
            nodes.append(helper.make_node("Min", [f"{node.output[0]}_low", constant(high)], [node.output[0]]))
        elif node.op_type == "DequantizeLinear" and live:
            own = codes[node.input[0]]
            read = [_column(held[name], own[0].ndim) for name in node.input[1:]]
            nodes.append(helper.make_node("Mul", [node.input[0], constant(read[0] / own[0])], [f"{node.output[0]}_scaled"]))
            shift = constant((own[1] - read[1]) * read[0])
            nodes.append(helper.make_node("Add", [f"{node.output[0]}_scaled", shift], [node.output[0]]))
        else:
            nodes.append(node)
            if live and live[0] in codes:
                codes[node.output[0]] = codes[live[0]]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in added.items())
    return bytes(model.SerializeToString())


def _column(values: Any, rank: int) -> Any:
    """Scales or zero points as they broadcast: one for all, or one for each place on axis 1 of a tensor of that rank."""
    values = np.asarray(values, np.float64)
    return values.reshape(()) if values.size == 1 else values.reshape([-1 if i == 1 else 1 for i in range(rank)])


def rounding(content: bytes, ranks: Mapping[str, int]) -> bytes:
    """A model that yields, whatever its input, how far rounding can move each output: half a step of every quantiser, through the
    magnitudes of all weights. What clips, rectifies or takes the largest moves values together, so it adds nothing."""
    model = onnx.load_model_from_string(without_rounding(content, ranks))
    steps = _steps(content)
    graph = model.graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    moving, nodes, added = {value.name for value in graph.input} - set(held), [], {}

    def constant(value: Any) -> str:
        added[f"bound_{len(added)}"] = np.asarray(value, np.float32)
        return f"bound_{len(added) - 1}"

    def magnitude(name: str) -> str:
        nodes.append(helper.make_node("Abs", [name], [f"{name}_size_{len(nodes)}"]))
        return str(nodes[-1].output[0])

    (entry,) = moving  # which is exact
    nodes.append(helper.make_node("Mul", [entry, constant(0)], ["no_error"]))
    moving.add("no_error")
    for original in graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        live = [name for name in node.input if name in moving]
        if not live:
            nodes.append(node)
            continue
        moving.update(node.output)
        for i, name in enumerate(node.input):
            node.input[i] = "no_error" if name == entry else name
        first = next(name for name in node.input if name in moving)
        if node.op_type == "Min" and node.output[0] in steps:
            nodes.append(helper.make_node("Add", [first, constant(steps[node.output[0]] / 2)], [node.output[0]]))
        elif node.op_type in STILL or (node.op_type in ("Add", "Sub") and len(live) < len(node.input)):
            nodes.append(helper.make_node("Identity", [first], [node.output[0]]))
        else:
            _magnified(node, nodes, magnitude, moving)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in added.items())
    return bytes(model.SerializeToString())


def _steps(content: bytes) -> dict[str, Any]:
    """Scale by the output of each quantiser."""
    graph = onnx.load_model_from_string(content).graph
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return {node.output[0]: held[node.input[1]] for node in graph.node if node.op_type == "QuantizeLinear"}


def _magnified(node: Any, nodes: list[Any], magnitude: Callable[[str], str], moving: set[str]) -> None:
    """A node of weights with their magnitudes and without its bias; any other one as it is, on errors instead of values."""
    if node.op_type in ("Conv", "Gemm"):
        weight = magnitude(node.input[1])
        del node.input[1:]
        node.input.append(weight)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.FLOAT:
                attribute.f = abs(attribute.f)
    elif node.op_type in ("MatMul", "Mul", "Div"):
        for i, name in enumerate(node.input):
            node.input[i] = name if name in moving else magnitude(name)
    elif node.op_type == "BatchNormalization":
        scale, mean = magnitude(node.input[1]), node.input[3]
        nodes.append(helper.make_node("Sub", [mean, mean], [f"{node.output[0]}_none"]))
        for i, name in ((1, scale), (2, nodes[-1].output[0]), (3, nodes[-1].output[0])):
            node.input[i] = name
    elif node.op_type == "Pad" and len(node.input) > 2:
        node.input[2] = ""
    elif node.op_type == "Sub":
        node.op_type = "Add"
    elif node.op_type == "ReduceMin":
        node.op_type = "ReduceMax"
    nodes.append(node)
