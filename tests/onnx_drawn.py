"""Random ONNX graphs: operators with random options and, where asked for, quantisers, as far as onnxruntime takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_drawn_values import STEPS as VALUES

SAMPLES = 3
LARGEST = 3000  # values of a sample
Shape = tuple[int, ...]


class Drawn:
    """A random graph while it grows: each node that onnxruntime accepts stays."""

    def __init__(self, seed: int, kind: str) -> None:
        self.rng = np.random.default_rng(seed)
        self.kind = kind
        self.opset = int(self.rng.integers(7 if kind in ("float", "values") else 13, 24))
        self.nodes: list[Any] = []
        self.tensors: dict[str, Any] = {}
        self.shape: Shape = tuple(self.rng.integers(1, 8, int(self.rng.choice([1, 2, 3, 3, 3]))).tolist())
        self.x = self.rng.normal(size=(SAMPLES, *self.shape)).astype(np.float32)
        self.opened = bool(self.rng.random() < 0.5)
        self.values: dict[str, Any] = {"x": self.x}
        self.now = "x"

    def pick(self, *options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def whole(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def held(self, value: Any) -> str:
        """The name of a constant."""
        name = f"c{len(self.tensors)}"
        self.tensors[name] = np.asarray(value)
        return name

    def floats(self, *shape: int) -> Any:
        return self.rng.normal(size=shape).astype(np.float32)

    def listed(self, key: str, values: list[int], since: int) -> tuple[list[str], dict[str, Any]]:
        """Whole numbers as an input since an operator set, as an attribute before."""
        return ([self.held(np.array(values, np.int64))], {}) if self.opset >= since else ([], {key: values})

    def node(self, op: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> list[str]:
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, f"n{len(self.nodes)}", **attributes))
        return names

    def model(self, output: str) -> bytes:
        shape = ["samples" if self.opened else SAMPLES, *self.shape]
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
        tensors = [numpy_helper.from_array(value, name) for name, value in self.tensors.items()]
        graph = helper.make_graph(self.nodes, "drawn", inputs, outputs, tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = min(model.ir_version, 10)
        return bytes(model.SerializeToString())

    def grow(self) -> None:
        """One more operation, if onnxruntime takes it and it keeps the samples apart."""
        before = (len(self.nodes), dict(self.tensors))
        table = {**STEPS, **{"qdq": QUANTISERS, "values": VALUES}.get(self.kind, {})}
        name = self.pick(*table)
        try:
            out = table[name](self, self.now, self.values[self.now].shape[1:])
            value = run(self.model(out), self.x)
        except Exception:  # noqa: BLE001  # whatever is wrong with a random node, here or to onnxruntime
            value = None
        if value is None or value.shape[:1] != (SAMPLES,) or not 0 < value[0].size <= LARGEST or np.abs(value).max() > 1e6:
            self.nodes, self.tensors = self.nodes[: before[0]], before[1]
            return
        self.values[out] = value
        self.now = out


def run(content: bytes, x: Any) -> Any:
    """What onnxruntime computes."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it warns of shapes that it infers otherwise than it computes
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def _window(g: Drawn, shape: Shape, since: int = 7) -> dict[str, Any]:
    dims = len(shape) - 1
    found: dict[str, Any] = {"kernel_shape": [g.whole(1, min(3, n)) for n in shape[1:]] or [1]}
    if g.rng.random() < 0.6:
        found["strides"] = [g.whole(1, 3) for _ in range(dims)]
    if g.rng.random() < 0.3 and g.opset >= since:
        found["dilations"] = [g.whole(1, 2) for _ in range(dims)]
    how = g.pick("none", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID")
    if how == "pads":
        found["pads"] = [g.whole(0, 2) for _ in range(2 * dims)]
    elif how != "none":
        found["auto_pad"] = how
    return found


def _conv(g: Drawn, x: str, shape: Shape) -> str:
    window = _window(g, shape)
    groups = g.pick(1, 1, shape[0], *(n for n in (2, 3) if shape[0] % n == 0))
    out = groups * g.whole(1, 3)
    inputs = [x, g.held(g.floats(out, shape[0] // groups, *window["kernel_shape"]))]
    inputs += [g.held(g.floats(out))] if g.rng.random() < 0.5 else []
    return g.node("Conv", inputs, group=groups, **window)[0]


def _pool(g: Drawn, x: str, shape: Shape) -> str:
    op = g.pick("MaxPool", "AveragePool")
    window = _window(g, shape, 10 if op == "MaxPool" else 19)
    if g.opset >= 10 and g.rng.random() < 0.4:
        window["ceil_mode"] = 1
    if op == "AveragePool" and g.rng.random() < 0.5:
        window["count_include_pad"] = 1
    return g.node(op, [x], **window)[0]


def _gemm(g: Drawn, x: str, shape: Shape) -> str:
    out, across = g.whole(1, 6), g.whole(0, 1)
    weight = g.floats(*((out, shape[0]) if across else (shape[0], out)))
    bias = [g.held(g.floats(*g.pick((out,), (1, out), (1,), ())))] if g.opset >= 11 and g.rng.random() < 0.7 else []
    bias = bias or ([g.held(g.floats(out))] if g.opset < 11 else [])
    more = {key: float(g.rng.normal()) for key in ("alpha", "beta") if g.rng.random() < 0.4}
    return g.node("Gemm", [x, g.held(weight), *bias], transB=across, **more)[0]


def _matmul(g: Drawn, x: str, shape: Shape) -> str:
    size = shape[-1]
    if len(shape) > 1 and g.rng.random() < 0.3:
        return g.node("MatMul", [g.held(g.floats(g.whole(1, 5), shape[-2])), x])[0]
    weight = g.floats(*g.pick((size, g.whole(1, 6)), (size, g.whole(1, 6)), (1, size, 2), (size,)))
    made = g.node("MatMul", [x, g.held(weight)])[0]
    if g.rng.random() < 0.3:
        return made
    if g.rng.random() < 0.3:  # the product under two names, one of them with a bias
        other = g.node("Identity", [made])[0]
        shifted = g.node("Add", [other, g.held(g.floats(weight.shape[-1]))])[0]
        return g.node("Add", [made, shifted])[0]
    return g.node("Add", [made, g.held(g.floats(weight.shape[-1]))])[0]


def _norm(g: Drawn, x: str, shape: Shape) -> str:
    arrays = [g.floats(shape[0]) for _ in range(3)] + [np.abs(g.floats(shape[0])) + 0.1]
    return g.node("BatchNormalization", [x, *map(g.held, arrays)], epsilon=float(g.pick(1e-5, 1e-2)))[0]


def _constant(g: Drawn, x: str, shape: Shape) -> str:
    own = [n if g.rng.random() < 0.6 else 1 for n in shape][g.whole(0, len(shape)) :]
    value = g.floats(*g.pick(own, own, [1, *shape[1:]], ()))
    op = g.pick("Add", "Sub", "Mul", "Div", "Max", "Min")
    value = np.where(np.abs(value) < 0.2, np.float32(0.5), value) if op == "Div" else value
    inputs = [x, g.held(value)]
    return g.node(op, inputs if op == "Div" or g.rng.random() < 0.5 else inputs[::-1])[0]


def _joined(g: Drawn, x: str, shape: Shape) -> str:
    other = g.pick(*(name for name, value in g.values.items() if value.shape[1:] == shape))
    op = g.pick("Add", "Sub", "Concat", "Sum")
    if op == "Concat":
        return g.node(op, [x, other, *g.pick([], [x])], axis=g.pick(*range(1, len(shape) + 1), -1))[0]
    return g.node(op, [x, other, x] if op == "Sum" else [x, other])[0]


def _reshape(g: Drawn, x: str, shape: Shape) -> str:
    size, kind = int(np.prod(shape)), g.pick("flatten", "reshape", "dynamic", "squeeze")
    if kind == "flatten":
        return g.node("Flatten", [x], axis=g.pick(1, 1, 1 if g.opset < 11 else -len(shape)))[0]
    if kind == "squeeze":
        if g.rng.random() < 0.5:
            more, attributes = g.listed("axes", [g.pick(1, len(shape) + 1)], 13)
            return g.node("Unsqueeze", [x, *more], **attributes)[0]
        more, attributes = g.listed("axes", [i + 1 for i, n in enumerate(shape) if n == 1][:1], 13)
        return g.node("Squeeze", [x, *more], **attributes)[0]
    factor = g.pick(*(n for n in range(1, size + 1) if size % n == 0))
    if kind == "dynamic":  # as exporters write x.view(x.size(0), -1)
        sizes = g.node("Shape", [x])[0]
        first = g.node("Gather", [sizes, g.held(np.array([0], np.int64))], axis=0)[0]
        target = g.node("Concat", [first, g.held(np.array([factor, -1], np.int64))], axis=0)[0]
        return g.node("Reshape", [x, target])[0]
    target = [g.pick(0, -1, SAMPLES), *g.pick([-1], [0, -1], [factor, size // factor], [size], [factor, -1])]
    return g.node("Reshape", [x, g.held(np.array(target, np.int64))])[0]


def _moved(g: Drawn, x: str, shape: Shape) -> str:
    if len(shape) == 3 and g.rng.random() < 0.2:
        mode = {"mode": g.pick("DCR", "CRD")} if g.opset >= 11 else {}
        return (
            g.node("DepthToSpace", [x], blocksize=2, **mode)[0]
            if shape[0] % 4 == 0
            else g.node("SpaceToDepth", [x], blocksize=2)[0]
        )
    return g.node("Transpose", [x], perm=[0, *(1 + g.rng.permutation(len(shape))).tolist()])[0]


def _pad(g: Drawn, x: str, shape: Shape) -> str:
    pads = [0 if i % (len(shape) + 1) == 0 else g.whole(-1, 2) for i in range(2 * len(shape) + 2)]
    more, attributes = g.listed("pads", pads, 11)
    value = float(g.rng.normal()) if g.rng.random() < 0.5 else 0.0
    if attributes:
        return g.node("Pad", [x], value=value, **attributes)[0]
    return g.node("Pad", [x, *more, g.held(np.float32(value))])[0]


def _reduced(g: Drawn, x: str, shape: Shape) -> str:
    op = g.pick("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "GlobalAveragePool", "GlobalMaxPool")
    if op.startswith("Global"):
        return g.node(op, [x])[0]
    axes = sorted({g.whole(1, len(shape)) for _ in range(2)})
    more, attributes = g.listed("axes", axes, 13 if op == "ReduceSum" else 18)
    return g.node(op, [x, *more], keepdims=g.whole(0, 1), **attributes)[0]


def _cut(g: Drawn, x: str, shape: Shape) -> str:
    axis, kind = g.whole(1, len(shape)), g.pick("slice", "split", "gather")
    size = shape[axis - 1]
    if kind == "gather":
        indices = np.array([g.whole(-size, size - 1) for _ in range(g.whole(1, 4))], np.int64)
        return g.node("Gather", [x, g.held(indices[0] if g.rng.random() < 0.3 else indices)], axis=axis)[0]
    if kind == "split" and size > 1:
        first = g.whole(1, size - 1)
        more, attributes = g.listed("split", [first, size - first], 13)
        return g.pick(*g.node("Split", [x, *more], 2, axis=axis, **attributes))
    start, end, step = g.whole(-size, size), g.pick(g.whole(-size, size), 2**31 - 1), g.pick(1, 1, 2, -1, -2)
    if g.opset < 10:
        return g.node("Slice", [x], starts=[start], ends=[end], axes=[axis])[0]
    end = -(2**31) if step < 0 and g.rng.random() < 0.5 else end
    return g.node("Slice", [x, *(g.held(np.array([n], np.int64)) for n in (start, end, axis, step))])[0]


def _bounded(g: Drawn, x: str, shape: Shape) -> str:
    kind = g.pick("Relu", "Relu", "Clip", "Neg", "Identity", "Dropout", "HardSigmoid")
    if kind != "Clip":
        return g.node(kind, [x])[0]
    low, high = g.pick((0.0, 1.0), (-0.5, 0.7), (0.0, None), (None, 0.3), (-1.0, None), (0.2, 0.9))
    if g.opset >= 11:
        return g.node("Clip", [x, *("" if v is None else g.held(np.float32(v)) for v in (low, high))])[0]
    return g.node("Clip", [x], **{key: v for key, v in (("min", low), ("max", high)) if v is not None})[0]


def _quantiser(g: Drawn, x: str, shape: Shape) -> str:
    dtype = g.pick(np.uint8, np.int8)
    limits, largest = np.iinfo(dtype), float(np.abs(g.values[x]).max()) + 1e-3
    count = shape[0] if g.rng.random() < 0.2 else 0
    scale = np.float32(largest * g.rng.uniform(0.2, 1.2, count or None) / 127)
    zero = g.pick(limits.min, 0, 128 if dtype == np.uint8 else 0, g.whole(limits.min, limits.max))
    tensors = [g.held(scale), g.held(np.full(scale.shape, zero, dtype))]
    axis = {"axis": 1} if count else {}
    code = g.node("QuantizeLinear", [x, *tensors], **axis)[0]
    if not count and len(shape) == 3 and g.rng.random() < 0.3:
        code = g.node("MaxPool", [code], kernel_shape=[min(2, n) for n in shape[1:]])[0]
    if not count and g.rng.random() < 0.2:
        tensors = [g.held(scale * np.float32(g.pick(1, 0.5))), tensors[1]]  # read with another scale
    return g.node("DequantizeLinear", [code, *tensors], **axis)[0]


def _weights(g: Drawn, x: str, shape: Shape) -> str:
    """A product with weights that are stored as integers."""
    out = g.whole(1, 5)
    held, scale = (
        g.rng.integers(-127, 128, (shape[-1], out)).astype(np.int8),
        np.abs(g.floats(out)) * np.float32(0.01) + np.float32(1e-3),
    )
    zero = g.rng.integers(-5, 6, out).astype(np.int8)
    weight = g.node("DequantizeLinear", [g.held(held), g.held(scale), g.held(zero)], axis=1)[0]
    made = g.node("MatMul", [x, weight])[0]
    bias = [g.held(g.rng.integers(-900, 900, out).astype(np.int32)), g.held(scale * np.float32(0.1))]
    return g.node("Add", [made, g.node("DequantizeLinear", bias, axis=0)[0]])[0]


STEPS: dict[str, Callable[[Drawn, str, Shape], str]] = {
    f.__name__: f
    for f in (_conv, _conv, _pool, _gemm, _matmul, _norm, _constant, _joined, _reshape, _moved, _pad, _reduced, _cut, _bounded)
}  # fmt: skip
QUANTISERS = {"_quantiser": _quantiser, "_quantiser again": _quantiser, "_weights": _weights}
