"""A quantised ONNX file without its rounding: every quantiser of activations as a clip to the range of its integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper


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
