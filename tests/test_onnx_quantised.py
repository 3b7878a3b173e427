"""Quantised ONNX files: the float network that they stand for, with every clip that can be reached."""

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import nn

import converters
import neuro
from converters.evaluation import logits
from tests.laws import law
from tests.onnx_models import exported, reference, saved, value

IMAGE = (4, 4, 6)
BEFORE = {  # what stands before a quantiser, and the same with NumPy
    "input": (None, lambda x: x),
    "max pool": (("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}), lambda x: _pooled(x).max(axis=(3, 5))),
    "average pool": (("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}), lambda x: _pooled(x).mean(axis=(3, 5))),
    "flatten": (("Flatten", {}), lambda x: x.reshape(len(x), -1)),
    "transpose": (("Transpose", {"perm": [0, 2, 3, 1]}), lambda x: x.transpose(0, 2, 3, 1)),
    "relu": (("Relu", {}), lambda x: np.maximum(x, 0)),
    "negation": (("Neg", {}), lambda x: -x),
    "depth to space": (("DepthToSpace", {"blocksize": 2}), None),
}


def _pooled(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2)


def _file(folder: Path, before: str, tensors: dict, axis: int | None = None, behind: tuple = ()) -> Path:
    """An operator, a quantiser with its dequantiser (and operators between), as a file."""
    op = BEFORE[before][0]
    nodes = [helper.make_node(op[0], ["x"], ["p"], "before", **op[1])] if op else []
    more = {} if axis is None else {"axis": axis}
    nodes.append(helper.make_node("QuantizeLinear", ["p" if op else "x", "s", "z"], ["q0"], "q", **more))
    nodes += [helper.make_node(kind, [f"q{i}"], [f"q{i + 1}"], f"b{i}", **o) for i, (kind, o) in enumerate(behind)]
    nodes.append(helper.make_node("DequantizeLinear", [f"q{len(behind)}", "s", "z"], ["y"], "d", **more))
    return saved(nodes, [value("x", "samples", *IMAGE)], [value("y", *[None] * 4)], tensors, folder / "m.onnx")


@law(60)
@given(
    before=st.sampled_from([name for name in BEFORE if BEFORE[name][1]]),
    dtype=st.sampled_from([np.uint8, np.int8, np.uint16, np.int16]),
    place=st.floats(0, 1),
    top=st.floats(0.1, 5),
)
def test_a_quantiser_clips_to_its_range_whatever_stands_before_it(before, dtype, place, top, tmp_path_factory) -> None:
    """Half a step of rounding apart, the values are those of the integers."""
    limits = np.iinfo(dtype)
    zero = dtype(limits.min + round(place * (int(limits.max) - int(limits.min))))
    scale = np.float32(top / 100 if limits.bits == 8 else top / 20_000)
    path = _file(tmp_path_factory.mktemp("m"), before, {"s": scale, "z": zero})
    x = np.random.default_rng(0).normal(size=(5, *IMAGE)).astype(np.float32) * 3
    plain = BEFORE[before][1](x)
    integers = np.clip(np.rint(plain / scale) + float(zero), limits.min, limits.max)
    off = np.abs(logits(converters.read_onnx(path), x) - (integers - float(zero)) * scale)
    assert off.max() <= 0.5 * scale + 1e-4


def test_what_was_wrong_a_rectifier_folded_into_a_quantiser_behind_a_max_pool(tmp_path) -> None:
    path = _file(tmp_path, "max pool", {"s": np.float32(0.1), "z": np.uint8(0)})
    x = np.full((2, *IMAGE), -2.0, np.float32)
    x[1] = 4
    got = logits(converters.read_onnx(path), x)
    assert np.array_equal(got[0], np.zeros_like(got[0]))
    assert np.allclose(got[1], 4)


def test_a_range_that_no_value_can_leave_costs_no_layer(tmp_path) -> None:
    nodes = [
        helper.make_node("Clip", ["x", "low", "high"], ["c"], "c"),
        helper.make_node("MaxPool", ["c"], ["p"], "p", kernel_shape=[2, 2]),
        helper.make_node("QuantizeLinear", ["p", "s", "z"], ["q"], "q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], "d"),
    ]
    for ceiling, ops in ((2.0, "input relu max_pool"), (3.0, "input relu max_pool relu")):
        tensors = {"low": np.float32(0), "high": np.float32(ceiling), "s": np.float32(0.01), "z": np.uint8(0)}
        path = saved(nodes, [value("x", 1, *IMAGE)], [value("y", *[None] * 4)], tensors, tmp_path / "m.onnx")
        graph = converters.read_onnx(path)
        assert [layer.op for layer in graph.layers] == ops.split()
        assert ("1 get no value beyond" in graph.notes[0]) == (ceiling == 2.0)
        assert ("1 clip to their range as rectifiers" in graph.notes[0]) == (ceiling == 3.0)


@pytest.mark.parametrize("axis", [1, -2])
def test_scales_and_zero_points_of_channels(axis, tmp_path) -> None:
    count = (1, *IMAGE)[axis]
    column = [-1 if i == axis % 4 else 1 for i in range(4)]
    for dtype in (np.uint8, np.int8):
        scale = np.linspace(0.005, 0.02, count, dtype=np.float32)
        zero = np.array([np.iinfo(dtype).min + 40 * i for i in range(count)], dtype)
        path = _file(tmp_path, "input", {"s": scale, "z": zero}, axis)
        x = np.random.default_rng(0).normal(size=(3, *IMAGE)).astype(np.float32)
        s, z = scale.reshape(column), zero.astype(float).reshape(column)
        limits = np.iinfo(dtype)
        expected = np.clip(x, (limits.min - z) * s, (limits.max - z) * s)
        assert np.allclose(logits(converters.read_onnx(path), x), expected, atol=1e-5)


def test_integers_are_moved_and_pooled_as_the_values_that_they_stand_for(tmp_path) -> None:
    behind = (("MaxPool", {"kernel_shape": [2, 2]}), ("Transpose", {"perm": [0, 3, 2, 1]}), ("Flatten", {}))
    path = _file(tmp_path, "input", {"s": np.float32(0.02), "z": np.int8(-10)}, behind=behind)
    x = np.random.default_rng(0).normal(size=(3, *IMAGE)).astype(np.float32)
    clipped = np.clip(x, -118 * 0.02, 137 * 0.02)
    pooled = np.lib.stride_tricks.sliding_window_view(clipped, (2, 2), (2, 3)).max(axis=(4, 5))
    assert np.allclose(logits(converters.read_onnx(path), x), pooled.transpose(0, 3, 2, 1).reshape(3, -1), atol=1e-5)


def test_integers_read_with_another_scale_are_other_values(tmp_path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "q"),
        helper.make_node("DequantizeLinear", ["q", "t", "u"], ["y"], "d"),
    ]
    tensors = {"s": np.float32(0.1), "z": np.uint8(100), "t": np.float32(0.4), "u": np.uint8(90)}
    path = saved(nodes, [value("x", 1, 3)], [value("y", None, None)], tensors, tmp_path / "m.onnx")
    assert np.allclose(logits(converters.read_onnx(path), np.array([[0, 1, -2]], np.float32)), [[4, 8, -4]])


@pytest.mark.parametrize("kind", ["dequantised", "per channel", "cast", "moved"])
def test_integer_inputs_stand_for_what_the_file_says(kind, tmp_path) -> None:
    tensors = {"s": np.float32(0.1), "z": np.uint8(128), "w": np.ones((2, 1), np.float32)}
    first = [helper.make_node("DequantizeLinear", ["x", "s", "z"], ["d"], "d")]
    x, expected = np.array([[130, 140], [128, 0]], np.uint8), [[1.4], [-12.8]]
    if kind == "per channel":
        tensors |= {"s": np.array([0.1, 1], np.float32), "z": np.array([128, 100], np.uint8)}
        expected = [[40.2], [-100]]
    elif kind == "cast":
        first, expected = [helper.make_node("Cast", ["x"], ["d"], "c", to=TensorProto.FLOAT)], [[270], [128]]
    elif kind == "moved":
        first = [helper.make_node("Identity", ["x"], ["i"], "i"), helper.make_node("DequantizeLinear", ["i", "s", "z"], ["d"])]
    nodes = [*first, helper.make_node("MatMul", ["d", "w"], ["y"], "m")]
    entry = helper.make_tensor_value_info("x", TensorProto.UINT8, ["samples", 2])
    path = saved(nodes, [entry], [value("y", None, None)], tensors, tmp_path / "m.onnx")
    assert np.allclose(logits(converters.read_onnx(path), x), expected, atol=1e-4)


@pytest.mark.peer("onnxruntime")
def test_decisions_are_those_of_a_network_that_onnxruntime_quantised(tmp_path) -> None:
    """Its quantiser drops the rectifiers behind max pools, which the ranges behind them stand for."""
    onnxruntime = pytest.importorskip("onnxruntime")
    quantization = pytest.importorskip("onnxruntime.quantization")
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(32, 10))
    x = np.random.default_rng(0).normal(size=(300, 1, 8, 8)).astype(np.float32)

    class Samples(quantization.CalibrationDataReader):
        left = [{"input": x}]

        def get_next(self):
            return self.left.pop() if self.left else None

    exported(model, x, tmp_path / "float.onnx", plain=False, open_batch=True)
    logging.disable()  # it recommends a preparation that is not needed here
    quantization.quantize_static(tmp_path / "float.onnx", tmp_path / "int8.onnx", Samples())
    logging.disable(logging.NOTSET)
    assert "Relu" not in {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    expected = onnxruntime.InferenceSession(tmp_path / "int8.onnx").run(None, {"input": x})[0].argmax(1)
    assert (logits(converters.read_onnx(tmp_path / "int8.onnx"), x).argmax(1) == expected).mean() > 0.95
    assert (logits(converters.read_onnx(tmp_path / "float.onnx"), x).argmax(1) == expected).mean() > 0.95


def test_integer_inputs_are_not_computed_with(tmp_path) -> None:
    entry = helper.make_tensor_value_info("x", TensorProto.UINT8, ["samples", 2])
    for op in ("Add", "Div", "MatMul"):
        nodes = [helper.make_node(op, ["x", "c"], ["y"], "n")]
        path = saved(nodes, [entry], [value("y", None, None)], {"c": np.ones((2, 2), np.uint8)}, tmp_path / "m.onnx")
        with pytest.raises(neuro.NeuroError, match=r"m.onnx, node 'n' .*computes with integers"):
            converters.read_onnx(path)
    text = helper.make_tensor_value_info("x", TensorProto.STRING, ["samples", 2])
    nodes = [helper.make_node("Identity", ["x"], ["y"], "n")]
    path = saved(nodes, [text], [value("y", None, None)], {}, tmp_path / "m.onnx")
    with pytest.raises(neuro.NeuroError, match="its type is STRING. Feed floats or integers"):
        converters.read_onnx(path)


def test_operators_on_integers_compute_what_their_values_are(tmp_path) -> None:
    """QLinearConv and QLinearMatMul, within the rounding of their outputs."""
    r = np.random.default_rng(0)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["q"], "q"),
        helper.make_node("QLinearConv", ["q", "xs", "xz", "w", "ws", "wz", "hs", "hz", "b"], ["h"], "c", pads=[1, 0, 1, 0]),
        helper.make_node("QLinearMatMul", ["h", "hs", "hz", "m", "ms", "mz", "ys", "yz"], ["o"], "m"),
        helper.make_node("DequantizeLinear", ["o", "ys", "yz"], ["y"], "d"),
    ]
    tensors = {
        "xs": np.float32(0.02), "xz": np.int8(3), "ws": np.array([0.01, 0.02, 0.005], np.float32), "wz": np.zeros(3, np.int8),
        "w": r.integers(-127, 128, (3, 4, 3, 3)).astype(np.int8), "b": r.integers(-5000, 5000, 3).astype(np.int32),
        "hs": np.float32(0.06), "hz": np.int8(-128), "m": r.integers(-127, 128, (4, 2)).astype(np.int8),
        "ms": np.float32(0.01), "mz": np.int8(0), "ys": np.float32(0.1), "yz": np.int8(0),
    }  # fmt: skip
    path = saved(nodes, [value("x", "n", *IMAGE)], [value("y", *[None] * 4)], tensors, tmp_path / "m.onnx")
    x = r.normal(size=(3, *IMAGE)).astype(np.float32)
    expected, got = reference(path, x), logits(converters.read_onnx(path), x)
    step = 0.01 * np.abs(tensors["m"].astype(float)).sum(0).max()  # what an error of 1 costs behind the matrix
    first = 0.01 * np.abs(tensors["w"][0].astype(float)).sum()
    assert np.abs(got - expected).max() < 0.05 + step * (0.03 + 0.01 * first)
    assert np.abs(got - expected).mean() < 0.02 * np.ptp(expected)
