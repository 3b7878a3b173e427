"""The node tests of the onnx package as a witness: what it says an operator computes, beside what we read from the same file.

Every test becomes several files: each input in turn is the data and the others are constants, with the number of samples fixed
and left open, and once all inputs are data; for each output. What is refused with samples on the first axis is read as one sample
as a whole. A file is taken (and then its values must be the expected ones) or refused by a NeuroError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

import converters
from converters.evaluation import outputs
from neuro.errors import NeuroError

NODES = "onnx.backend.test.case.node"
_INTEGERS = {"QuantizeLinear": (1, 2), "QLinearConv": (6, 7), "QLinearMatMul": (6, 7)}  # where the output's scale is


@dataclass(frozen=True)
class Case:
    """A model of one node, what goes in and what must come out."""

    name: str
    op: str
    model: Any
    inputs: list[Any]
    outputs: list[Any]


def cases(operators: list[str]) -> list[Case]:
    """The package's tests of some operators; what the package expands into other operators is left out."""
    node = import_module(NODES)
    for path in sorted(_folder().glob("*.py")):
        if any(f'"{operator}"' in path.read_text() for operator in operators):
            import_module(f"{NODES}.{path.stem}")
    found = {case.name: case for case in node._NodeTestCases if case.data_sets}
    return [
        Case(name, case.model.graph.node[0].op_type, case.model, *([_array(v) for v in side] for side in case.data_sets[0]))
        for name, case in sorted(found.items())
        if "_expanded" not in name and case.model.graph.node[0].op_type in operators
    ]


def _array(value: Any) -> Any:
    """A tensor as an array; sequences and optional values as they are."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def all_operators() -> list[str]:
    """Every operator of ONNX that the package's node tests speak of."""
    text = "".join(path.read_text() for path in _folder().glob("*.py"))
    return sorted({schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain and f'"{schema.name}"' in text})


def _folder() -> Path:
    return Path(import_module(NODES).__file__ or "").parent


def files(case: Case) -> Iterator[tuple[str, bytes, Any, Any, float]]:
    """The files that a test becomes: what it is, its bytes, data, expected values, and what rounding to integers may cost."""
    given = [v for v in case.model.graph.input]
    numbers = [i for i, data in enumerate(case.inputs) if isinstance(data, np.ndarray) and data.dtype.kind in "fiub"]
    for at in [(i,) for i in numbers] + [tuple(i for i in numbers if case.inputs[i].dtype.kind == "f")] * (len(numbers) > 1):
        if len(at) < 1 or (len(at) == 1 and len(numbers) > 1 and case.inputs[at[0]].dtype.kind != "f" and case.op == "Pad"):
            continue
        for out, expected in enumerate(case.outputs):
            for opened in (False, True):
                if opened and (len(at) > 1 or case.inputs[at[0]].ndim < 2):
                    continue
                model = onnx.ModelProto()
                model.CopyFrom(case.model)
                graph = model.graph
                graph.ClearField("input")
                for i in at:
                    graph.input.add().CopyFrom(given[i])
                if opened:
                    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "samples"
                others = [(v.name, c) for i, (v, c) in enumerate(zip(given, case.inputs, strict=True)) if i not in at]
                if not all(isinstance(c, np.ndarray) for _, c in others):
                    continue
                graph.initializer.extend(numpy_helper.from_array(c, name) for name, c in others)
                kept = onnx.ValueInfoProto()
                kept.CopyFrom(case.model.graph.output[out])
                graph.ClearField("output")
                graph.output.append(kept)
                step = _dequantised(case, graph, expected) if case.op in _INTEGERS else None
                wanted, cost = (expected, 0.0) if step is None else step
                names = " and ".join(given[i].name for i in at)
                what = f"{case.name}, data {names}, output {kept.name}{', open' if opened else ''}"
                data = {given[i].name: case.inputs[i] for i in at}
                yield what, model.SerializeToString(), data, wanted, cost


def _dequantised(case: Case, graph: Any, expected: Any) -> tuple[Any, float] | None:
    """Let a node that yields integers end in the values that they stand for."""
    node = graph.node[0]
    at = [i for i in _INTEGERS[case.op] if i < len(node.input) and node.input[i]]
    names = [v.name for v in case.model.graph.input]
    scale, *zero = (case.inputs[names.index(node.input[i])] for i in at)
    if scale.dtype != np.float32 or (zero and zero[0].dtype.kind not in "iu"):
        return None
    attributes = [a for a in node.attribute if a.name in ("axis", "block_size")]
    tail = helper.make_node("DequantizeLinear", [graph.output[0].name, *(node.input[i] for i in at)], ["as_values"])
    tail.attribute.extend(attributes)
    graph.node.append(tail)
    graph.output[0].CopyFrom(helper.make_tensor_value_info("as_values", onnx.TensorProto.FLOAT, None))
    if any(a.name == "block_size" for a in attributes):
        return None
    axis = next((a.i for a in attributes if a.name == "axis"), 1)
    column = [-1 if i == axis % expected.ndim and scale.size > 1 else 1 for i in range(expected.ndim)]
    shift = zero[0].astype(np.float64).reshape(column if zero[0].size > 1 else [1] * expected.ndim) if zero else 0.0
    return (expected.astype(np.float64) - shift) * scale.reshape(column), float(scale.max())


def outcome(content: bytes, data: Mapping[str, Any], expected: Any, cost: float, folder: Path) -> str:
    """ "taken", "refused: ..." with the reason, or "WRONG: ..."; any other error is raised."""
    path = folder / "case.onnx"
    path.write_bytes(content)
    whole = False
    try:
        graph = converters.read_onnx(path)
        whole = any(layer.shape == np.shape(data[layer.name]) for layer in graph.inputs)  # recurrent: of one sample
    except NeuroError as error:
        try:
            graph, whole = converters.read_onnx(path, samples=False), True
        except NeuroError:
            return f"refused: {error}"
    x = {layer.name: np.array(data[layer.name], np.float32) for layer in graph.inputs}  # others change nothing
    (got,) = outputs(graph, {name: values[None] if whole else values for name, values in x.items()}).values()
    got = got[0] if whole else got
    if not isinstance(expected, np.ndarray) or got.shape != expected.shape:
        return f"WRONG: shape {got.shape}, expected {getattr(expected, 'shape', type(expected))}"
    wanted = expected.astype(np.float64)
    close = np.isclose(got, wanted, 2**-8 if expected.dtype.itemsize == 2 else 1e-3, 1e-5 + cost, equal_nan=True)
    return "taken" if close.all() else f"WRONG: {got.ravel()[:6]}, expected {wanted.ravel()[:6]}"
