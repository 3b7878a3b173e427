"""ONNX operators one by one: they compute what ONNX says, or are refused by name and node."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

import converters
import neuro
from converters.evaluation import logits
from converters.formats.onnx_operators import OPERATORS
from tests.onnx_models import reference, saved, value

W = np.random.default_rng(3)
IMAGE = (2, 6, 7)


def one(op: str, *more: str, tensors: dict | None = None, shape=IMAGE, opset: int = 20, **attributes) -> tuple:
    """A network of one node on x, with constants by name."""
    return [helper.make_node(op, ["x", *more], ["y"], "n", **attributes)], tensors or {}, shape, opset


def file_of(network: tuple, path: Path) -> Path:
    """The network as a file."""
    nodes, tensors, shape, *opset = network
    return saved(nodes, [value("x", "samples", *shape)], [value("y", *[None] * 4)], tensors, path, *opset)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


BY_HAND = {
    "add": one("Add", "c", tensors={"c": W.random((1, 2, 1, 1), np.float32)}),
    "average, ceil": one("AveragePool", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1),
    "average, padded": one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 1]),
    "average, padding counts": one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    "batch norm": one(
        "BatchNormalization", "g", "b", "m", "v", tensors={k: W.random(2, np.float32) + 0.1 for k in "gbmv"}, epsilon=1e-3
    ),
    "clip": one("Clip", "low", "high", tensors={"low": np.float32(0), "high": np.float32(0.5)}),
    "conv, same upper": one(
        "Conv", "w", tensors={"w": W.normal(size=(3, 2, 2, 3)).astype(np.float32)}, strides=[2, 2], auto_pad="SAME_UPPER"
    ),
    "conv, same lower": one("Conv", "w", tensors={"w": W.normal(size=(3, 2, 2, 2)).astype(np.float32)}, auto_pad="SAME_LOWER"),
    "conv, groups": one(
        "Conv", "w", "b", tensors={"w": W.normal(size=(4, 1, 2, 2)).astype(np.float32), "b": W.random(4, np.float32)},
        group=2, dilations=[2, 1], pads=[1, 0, 0, 2],
    ),
    "conv over time": one(
        "Conv", "w", tensors={"w": W.normal(size=(3, 2, 3)).astype(np.float32)}, shape=(2, 9), strides=[2], pads=[1, 1]
    ),
    "div": one("Div", "c", tensors={"c": np.float32(3)}),
    "flatten": one("Flatten"),
    "gemm": one(
        "Gemm", "w", "b", tensors={"w": W.random((5, 3), np.float32), "b": W.random(3, np.float32)}, shape=(5,),
        alpha=2.0, beta=0.5,
    ),
    "global average": one("GlobalAveragePool"),
    "global max": one("GlobalMaxPool"),
    "max, ceil": one("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    "max, padded": one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], dilations=[1, 1]),
    "mean, image": one("ReduceMean", "a", tensors={"a": ints(2, 3)}, keepdims=0),
    "mean, channels": one("ReduceMean", "a", tensors={"a": ints(1)}, keepdims=1),
    "neg": one("Neg"),
    "pad": one("Pad", "p", "v", tensors={"p": ints(0, 0, 1, 0, 0, 0, 2, 1), "v": np.float32(0.25)}),
    "pad, axes": one("Pad", "p", "", "a", tensors={"p": ints(1, 2), "a": ints(3)}),
    "reshape": one("Reshape", "s", tensors={"s": ints(0, 3, -1)}),
    "slice": one("Slice", "s", "e", "a", tensors={"s": ints(1), "e": ints(-1), "a": ints(2)}),
    "squeeze": one("Squeeze", "a", tensors={"a": ints(1)}, shape=(1, 4)),
    "sub from": ([helper.make_node("Sub", ["c", "x"], ["y"], "n")], {"c": np.float32(1)}, IMAGE),
    "transpose": one("Transpose", perm=[0, 3, 1, 2]),
    "unsqueeze": one("Unsqueeze", "a", tensors={"a": ints(1, -1)}, shape=(4,)),
    "matmul and bias": (
        [helper.make_node("MatMul", ["x", "w"], ["z"], "m"), helper.make_node("Add", ["b", "z"], ["y"], "n")],
        {"w": W.random((4, 3), np.float32), "b": W.random(3, np.float32)}, (2, 4),
    ),
    "average of a line, padded": one("AveragePool", kernel_shape=[3], strides=[2], pads=[1, 1], shape=(2, 9)),
    "cast": one("Cast", to=TensorProto.DOUBLE),
    "constants": (
        [
            helper.make_node("Constant", [], ["low"], value_float=0.0),
            helper.make_node("Constant", [], ["shape"], value_ints=[0, -1]),
            helper.make_node("Constant", [], ["two"], value_int=2),
            helper.make_node("Constant", [], ["shift"], value_floats=[1.5]),
            helper.make_node("Cast", ["two"], ["factor"], to=TensorProto.FLOAT),
            helper.make_node("Clip", ["x", "low"], ["a"]),
            helper.make_node("Reshape", ["a", "shape"], ["b"]),
            helper.make_node("Mul", ["factor", "b"], ["c"]),
            helper.make_node("Sub", ["c", "shift"], ["y"]),
        ],
        {}, IMAGE,
    ),
    "dropout": one("Dropout", "ratio", "training", tensors={"ratio": np.float32(0.5), "training": np.bool_(False)}),
    "gemm without bias": one("Gemm", "w", tensors={"w": W.random((3, 5), np.float32)}, shape=(5,), transB=1),
    "integers": (
        [
            helper.make_node("Div", ["n", "d"], ["q"], "d"),  # -7 / 2 is -3
            helper.make_node("Squeeze", ["q"], ["s"], "s"),
            helper.make_node("Slice", ["x", "s", "e", "a"], ["y"], "n"),
        ],
        {"n": ints(-7).reshape(1, 1), "d": ints(2), "e": ints(-1), "a": ints(3)}, IMAGE,
    ),
    "join": (
        [helper.make_node("Relu", ["x"], ["z"], "r"), helper.make_node("Concat", ["x", "z"], ["y"], "n", axis=-1)], {}, IMAGE,
    ),
    "quantised constant": (
        [
            helper.make_node("QuantizeLinear", ["w", "s"], ["q"], "q"),
            helper.make_node("DequantizeLinear", ["q", "s"], ["v"], "d"),
            helper.make_node("Mul", ["x", "v"], ["y"], "n"),
        ],
        {"w": np.linspace(-0.5, 3.5, 7, dtype=np.float32), "s": np.float32(0.01)}, IMAGE,
    ),
    "clip, once": one("Clip", opset=7, min=0.0, max=0.75),
    "mean, once": one("ReduceMean", opset=13, axes=[-1, 2], keepdims=0),
    "pad, once": one("Pad", opset=7, pads=[0, 0, 1, 0, 0, 1, 0, 2], value=0.5),
    "slice, once": one("Slice", opset=9, starts=[1, -3], ends=[2, 1000], axes=[1, 2]),
    "slice, first axes": one("Slice", "s", "e", tensors={"s": ints(0, 1), "e": ints(2**31 - 1, 2)}),
    "squeeze, once": one("Squeeze", opset=11, axes=[-1], shape=(4, 1)),
    "unsqueeze, once": one("Unsqueeze", opset=11, axes=[1], shape=(4,)),
    "sub": ([helper.make_node("Relu", ["x"], ["z"], "r"), helper.make_node("Sub", ["x", "z"], ["y"], "n")], {}, IMAGE),
    "average of far pixels": one("AveragePool", kernel_shape=[2, 2], dilations=[2, 1]),
    "clip, both sides": one("Clip", "low", "high", tensors={"low": np.float32(-0.5), "high": np.float32(0.75)}),
    "clip, above": one("Clip", "", "high", tensors={"high": np.float32(-0.25)}),
    "depth to space": one("DepthToSpace", blocksize=2, mode="CRD", shape=(8, 2, 3)),
    "gather": one("Gather", "i", tensors={"i": ints(3, 0, -1)}, axis=2),
    "gather, one": one("Gather", "i", tensors={"i": np.int64(-2)}, axis=-1),
    "hard sigmoid": one("HardSigmoid", alpha=0.3),
    "max with a constant": one("Max", "c", tensors={"c": W.normal(size=(2, 1, 1)).astype(np.float32)}),
    "max, image": one("ReduceMax", "a", tensors={"a": ints(2, 3)}, keepdims=0),
    "max, channels": one("ReduceMax", "a", tensors={"a": ints(1)}),
    "min, columns": one("ReduceMin", "a", tensors={"a": ints(-1)}, keepdims=0),
    "min with a constant": one("Min", "c", tensors={"c": np.float32(0.3)}),
    "product on the left": (
        [helper.make_node("MatMul", ["w", "x"], ["y"], "n")], {"w": W.normal(size=(4, 6)).astype(np.float32)}, IMAGE,
    ),
    "slice, every second pixel": (
        one("Slice", "s", "e", "a", "d", tensors={"s": ints(1), "e": ints(6), "a": ints(2), "d": ints(2)})
    ),
    "slice, backwards": one("Slice", "s", "e", "a", "d", tensors={"s": ints(-1), "e": ints(-9), "a": ints(1), "d": ints(-1)}),
    "space to depth": one("SpaceToDepth", blocksize=2, shape=(3, 4, 2)),
    "split": (
        [helper.make_node("Split", ["x", "n"], ["a", "b", "c"], "s", axis=2), helper.make_node("Sub", ["c", "a"], ["y"], "n")],
        {"n": ints(2, 2, 2)}, IMAGE,
    ),
    "sum, image": one("ReduceSum", "a", tensors={"a": ints(2, 3)}),
    "a product under two names": (
        [
            helper.make_node("MatMul", ["x", "w"], ["z"], "m"),
            helper.make_node("Identity", ["z"], ["same"], "i"),
            helper.make_node("Add", ["same", "b"], ["shifted"], "n"),
            helper.make_node("Mul", ["z", "two"], ["twice"], "t"),
            helper.make_node("Sub", ["shifted", "twice"], ["y"], "s"),
        ],
        {"w": W.random((4, 3), np.float32), "b": W.random(3, np.float32), "two": np.float32(2)}, (4,),
    ),
    "a layer that leads nowhere": (
        [helper.make_node("Neg", ["x"], ["y"], "n"), helper.make_node("Relu", ["y"], ["z"], "r")], {}, IMAGE,
    ),
    "shape of the input": (
        [
            helper.make_node("Shape", ["x"], ["s"], "s"),
            helper.make_node("Gather", ["s", "zero"], ["n"], "g"),
            helper.make_node("Unsqueeze", ["n", "axis"], ["n1"], "u"),
            helper.make_node("Concat", ["n1", "rest"], ["t"], "c", axis=0),
            helper.make_node("Reshape", ["x", "t"], ["y"], "r"),
        ],
        {"zero": np.int64(0), "axis": ints(0), "rest": ints(-1)}, IMAGE,
    ),
    "dequantised weights": (
        [
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], "d", axis=0),
            helper.make_node("Conv", ["x", "w"], ["y"], "n"),
        ],
        {
            "q": W.integers(-127, 128, (3, 2, 2, 2)).astype(np.int8),
            "s": W.random(3, np.float32),
            "z": np.zeros(3, np.int8),
        },
        IMAGE,
    ),
}  # fmt: skip


@pytest.mark.peer("onnx.reference")
@pytest.mark.parametrize("name", BY_HAND)
def test_operators_compute_what_onnx_says(name, tmp_path) -> None:
    nodes, _, shape, *_ = BY_HAND[name]
    path = file_of(BY_HAND[name], tmp_path / "m.onnx")
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    if "average" in name and "ceil" in name or name == "max, ceil":
        expected = (torch.nn.functional.avg_pool2d if "av" in name else torch.nn.functional.max_pool2d)(
            torch.as_tensor(x), tuple(nodes[0].attribute[1].ints), 2, ceil_mode=True
        ).numpy()  # the reference implementation lets windows begin outside
    else:
        expected = reference(path, x)
    graph = converters.read_onnx(path)
    got = logits(graph, x)
    assert got.shape == expected.shape
    assert np.allclose(got, expected, atol=1e-6 * max(1, np.abs(expected).max()))


def test_a_quantiser_of_a_sum_is_its_rectifier(tmp_path) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["z"], "n"),
        helper.make_node("QuantizeLinear", ["z", "s", "zero"], ["q"], "q"),
        helper.make_node("DequantizeLinear", ["q", "s", "zero"], ["y"], "d"),
    ]
    tensors = {"w": np.eye(3, dtype=np.float32), "s": np.float32(0.01), "zero": np.uint8(0)}
    path = saved(nodes, [value("x", "samples", 3)], [value("y", None, None)], tensors, tmp_path / "m.onnx")
    x = np.array([[-1, 1.234, 9]], np.float32)
    assert np.allclose(logits(converters.read_onnx(path), x), [[0, 1.234, 2.55]])
    assert np.abs(reference(path, x) - logits(converters.read_onnx(path), x)).max() <= 0.0051


REFUSED = {
    "LSTM": (one("LSTM", "w", "w", tensors={"w": np.ones((1, 4, 4), np.float32)}), "it takes 2 sequences at once"),
    "Clip": (one("Clip", "l", "h", tensors={"l": np.float32(2), "h": np.float32(1)}), "it clips to [2.0, 1.0]"),
    "ConvInteger": (one("ConvInteger"), "QDQ format"),
    "Loop": (one("Loop"), "or one step of the loop with its states as inputs"),
    "other domain": (one("Conv", domain="com.microsoft"), "domain 'com.microsoft'"),
    "mixes samples": (one("Reshape", "s", tensors={"s": ints(6, -1)}), "which mixes samples"),
    "moves samples": (one("Transpose", perm=[1, 0, 2, 3]), "moves the samples"),
    "over samples": (one("ReduceMean", "a", tensors={"a": ints(0)}), "axis 0"),
    "pads somehow": (one("Pad", "p", tensors={"p": ints(*[0] * 8)}, mode="mirror"), "its mode is 'mirror'"),
    "huge": (one("Pad", "p", tensors={"p": ints(0, 0, 2**40, 0, 0, 0, 0, 0)}), "it yields the shape"),
    "huge constant": (
        ([helper.make_node("ConstantOfShape", ["s"], ["c"], "n"), helper.make_node("Add", ["x", "c"], ["y"])],
         {"s": ints(2**20, 2**20)}, IMAGE),
        "asks for 1,099,511,627,776 values",
    ),
    "missing input": (one("Conv", "w"), "its input 'w' does not come before it"),
    "broken window": (one("AveragePool", kernel_shape=[0, 0]), "window (0, 0)"),
    "missing attribute": (one("AveragePool"), "do not fit it"),
    "missing weight": (one("Conv"), "its weight is missing"),
    "a constant rectified": (
        ([helper.make_node("Relu", ["c"], ["y"], "n")], {"c": np.float32(1)}, IMAGE), "its output does not depend on its input",
    ),
    "weight of data": (
        ([helper.make_node("Conv", ["x", "x"], ["y"], "n")], {}, IMAGE), "its weight depends on the data. Make it a parameter",
    ),
    "division of constants by 0": (
        ([helper.make_node("Div", ["c", "z"], ["d"], "n"), helper.make_node("Add", ["x", "d"], ["y"])],
         {"c": ints(1), "z": ints(0)}, IMAGE), "do not fit it (ZeroDivisionError",
    ),
    "division by 0": (one("Div", "z", tensors={"z": np.float32(0)}), "it divides by 0"),
    "constant of text": (
        ([helper.make_node("Constant", [], ["c"], "n", value_string="a"), helper.make_node("Add", ["x", "c"], ["y"])], {}, IMAGE),
        "its value is value_string. Export with dense constants",
    ),
    "dropout in training": (
        one("Dropout", "r", "t", tensors={"r": np.float32(0.5), "t": np.bool_(True)}), "drops values at random",
    ),
    "cast to integers": (one("Cast", to=TensorProto.INT8), "it casts activations to type 3. Keep activations in float"),
    "transposed samples": (one("Gemm", "w", tensors={"w": np.ones((5, 5), np.float32)}, shape=(5,), transA=1), "transposes"),
    "product of another size on the left": (
        ([helper.make_node("MatMul", ["w", "x"], ["y"], "n")], {"w": np.ones((5, 5), np.float32)}, IMAGE), "for 5 values gets",
    ),
    "product across samples": (([helper.make_node("MatMul", ["x", "x"], ["y"], "n")], {}, (4,)), "multiplies samples of shapes"),
    "product with a box": (one("MatMul", "w", tensors={"w": np.ones((3, 7, 3), np.float32)}), "it multiplies stacks (2, 6, 7)"),
    "product of another size": (one("MatMul", "w", tensors={"w": np.ones((6, 3), np.float32)}), "for 6 values gets samples"),
    "statistics of the batch": (
        one("BatchNormalization", *"gbmv", tensors={k: np.ones(2, np.float32) for k in "gbmv"}, training_mode=1),
        "statistics of the batch. Export in evaluation mode",
    ),
    "statistics of others": (
        one("BatchNormalization", *"gbmv", tensors={k: np.ones(3, np.float32) for k in "gbmv"}), "do not fit 2 channels",
    ),
    "constant that is larger": (
        one("Add", "c", tensors={"c": np.ones((2, 2, 6, 7), np.float32)}), "differs from sample to sample",
    ),
    "quantised by a channel too many": (
        one("QuantizeLinear", "s", tensors={"s": np.ones(3, np.float32)}), "(3,) scales or zero points for 2 channels",
    ),
    "quantised output": (one("QuantizeLinear", "s", tensors={"s": np.float32(1)}), "output 'y': it is integers. End the file"),
    "scale of 0": (one("QuantizeLinear", "s", tensors={"s": np.float32(0)}), "its scale is not a number above 0"),
    "blocks of a scale": (
        one("QuantizeLinear", "s", tensors={"s": np.ones((2, 3, 7), np.float32)}, opset=21, axis=2, block_size=2),
        "its attribute block_size is 2. Export without it",
    ),
    "attribute of no operator": (one("Relu", slope=0.5), "its attribute slope is 0.5"),
    "sum of integers": (
        ([helper.make_node("QuantizeLinear", ["x", "s"], ["q"]), helper.make_node("Add", ["q", "q"], ["y"], "n")],
         {"s": np.float32(1)}, IMAGE), "node 'n' (Add): it computes with integers. Dequantise first",
    ),
    "integers of different scales joined": (
        ([helper.make_node("QuantizeLinear", ["x", "s"], ["q"]), helper.make_node("QuantizeLinear", ["x", "t"], ["r"]),
          helper.make_node("Concat", ["q", "r"], ["y"], "n", axis=1)],
         {"s": np.float32(1), "t": np.float32(2)}, IMAGE), "it joins integers of different scales",
    ),
    "samples counted": (
        ([helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "zero"], ["n"]),
          helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT), helper.make_node("Mul", ["x", "f"], ["y"], "n")],
         {"zero": np.int64(0)}, IMAGE), "its factor depends on the number of samples",
    ),
    "samples spread over another axis": (
        ([helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Mul", ["s", "two"], ["t"]),
          helper.make_node("Reshape", ["x", "t"], ["y"], "n")],
         {"two": np.array([2, 1, 1, 1], np.int64)}, IMAGE), "the number of samples moves into other axes",
    ),
    "samples added to rows": (
        ([helper.make_node("ReduceMax", ["x", "a"], ["r"], keepdims=0), helper.make_node("Add", ["x", "r"], ["y"], "n")],
         {"a": ints(1)}, (4, 5)), "it joins samples of shapes [(4, 5), (5,)]",
    ),
    "pads beyond the window": (
        one("MaxPool", kernel_shape=[1, 1], pads=[1, 1, 1, 1]), "its window (1, 1) lies in the padding",
    ),
    "pads by two rules": (
        one("MaxPool", kernel_shape=[2, 2], auto_pad="SAME_UPPER", pads=[1, 1, 1, 1]), "its auto_pad is 'SAME_UPPER', its pads",
    ),
    "kernel that is not the weights'": (
        one("Conv", "w", tensors={"w": np.ones((1, 2, 2, 2), np.float32)}, kernel_shape=[3, 3]), "kernel or bias does not fit",
    ),
    "picked by data": (
        ([helper.make_node("Gather", ["c", "x"], ["y"], "n")], {"c": np.ones((4, 2), np.float32)}, (3,)), "data pick from",
    ),
    "flattened samples": (one("Flatten", axis=2), "its axis is 2, which mixes samples"),
    "squeezed at will": (one("Squeeze"), "it names no axes"),
    "squeezed channels": (one("Squeeze", "a", tensors={"a": ints(1)}), "axes of (2, 6, 7) that it leaves out are not 1"),
    "joined sizes": (
        ([helper.make_node("Transpose", ["x"], ["z"], "t", perm=[0, 1, 3, 2]),
          helper.make_node("Concat", ["x", "z"], ["y"], "n", axis=1)], {}, IMAGE),
        "it joins [(2, 6, 7), (2, 7, 6)] along axis 1",
    ),
    "pads that are missing": (one("Pad", "p", tensors={"p": ints(1, 1)}), "2 pads for 4 axes"),
    "padded samples": (one("Pad", "p", tensors={"p": ints(1, *[0] * 7)}), "it pads the samples"),
    "nothing left": (one("Slice", "s", "e", "a", tensors={"s": ints(4), "e": ints(4), "a": ints(2)}), "the shape (2, 0, 7)"),
    "nothing but pads": (one("Pad", "p", tensors={"p": ints(0, 0, -7, 0, 0, 0, 3, 0)}), "it leaves (2, 2, 7) of (2, 6, 7)"),
    "one sample of many": (one("Slice", "s", "e", tensors={"s": ints(1), "e": ints(2)}), "it works on axis 0. Treat"),
    "convolution of boxes": (one("Conv", "w", tensors={"w": np.ones((1, 2, 1, 1, 1), np.float32)}), "it slides over 3 axes"),
    "groups that do not divide": (
        one("Conv", "w", tensors={"w": np.ones((3, 1, 1, 1), np.float32)}, group=2), "in 2 groups do not fit (2, 6, 7)",
    ),
    "pool of a row": (one("MaxPool", kernel_shape=[2], shape=(5,)), "it pools samples of shape (5,)"),
    "pool of all of a row": (one("GlobalMaxPool", shape=(5,)), "it pools samples of shape (5,)"),
    "indices": (
        ([helper.make_node("MaxPool", ["x"], ["z", "i"], "n", kernel_shape=[2, 2]), helper.make_node("Add", ["z", "i"], ["y"])],
         {}, IMAGE), "its output 'i' is used. Use its first output only",
    ),
    "mean of all": (one("ReduceMean"), "it takes the mean over the samples too. Name the axes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_spiking_form_is_refused_by_name_and_node(name, tmp_path) -> None:
    network, message = REFUSED[name]
    path = file_of(network, tmp_path / "m.onnx")
    with pytest.raises(neuro.NeuroError) as caught:
        converters.read_onnx(path)
    assert message in str(caught.value)


def test_every_handler_says_what_it_takes() -> None:
    assert all((handler.__doc__ or "").strip() for handler in OPERATORS.values())
