"""Random ONNX files with two inputs and two or three outputs: dense layers and functions, joined, and what comes out of that."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SAMPLES = 24
FUNCTIONS = ("Sigmoid", "Tanh", "Relu", "HardSigmoid", "LeakyRelu", "Softplus")


def drawn(seed: int) -> tuple[bytes, dict[str, np.ndarray], tuple[str, ...]]:
    """A file with two inputs and two or three outputs, inputs for it, and the names of its outputs."""
    rng = np.random.default_rng(seed)
    nodes, tensors = [], {}
    wide = int(rng.integers(2, 6))
    sizes = {"left": int(rng.integers(1, 6)), "right": int(rng.integers(1, 6))}
    x = {name: (10.0 ** rng.uniform(-1, 1) * rng.normal(size=(SAMPLES, n))).astype(np.float32) for name, n in sizes.items()}

    def node(op: str, inputs: list[str], out: str, **attributes) -> str:
        nodes.append(helper.make_node(op, inputs, [out], **attributes))
        return out

    def dense(name: str, before: int, after: int, out: str) -> str:
        tensors[f"{out}.w"] = (rng.normal(size=(before, after)) / np.abs(x.get(name, np.ones(1))).max()).astype(np.float32)
        tensors[f"{out}.b"] = (0.3 * rng.normal(size=after)).astype(np.float32)
        return node("Gemm", [name, f"{out}.w", f"{out}.b"], out)

    hidden = [dense(name, n, wide, f"{name}.h") for name, n in sizes.items()]
    hidden = [node(str(rng.choice(FUNCTIONS)), [h], f"{h}.f") if rng.random() < 0.8 else h for h in hidden]
    op = str(rng.choice(["Mul", "Add", "Sub", "Max", "Concat"]))
    joined = node(op, hidden, "joined", **({"axis": 1} if op == "Concat" else {}))
    width = wide * (1 + (op == "Concat"))
    ends = {}
    for i in range(int(rng.integers(2, 4))):
        kind, name = str(rng.choice(["dense", "function", "softmax", "plain", "one"])), f"end{i}"
        if kind == "plain":
            node("Identity", [joined], name)
        elif kind == "one":
            node("ReduceSum", [joined, _axes(tensors)], name, keepdims=1)
        else:
            made = dense(joined, width, int(rng.integers(1, 4)), name if kind == "dense" else f"{name}.d")
            if kind != "dense":
                node("Softmax" if kind == "softmax" else str(rng.choice(FUNCTIONS)), [made], name)
        ends[name] = kind
    graph = helper.make_graph(
        nodes,
        "drawn",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", n]) for name, n in sizes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ends],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = min(model.ir_version, 10)
    return bytes(model.SerializeToString()), x, tuple(ends)


def _axes(tensors: dict[str, np.ndarray]) -> str:
    tensors["axes"] = np.array([1], np.int64)
    return "axes"
