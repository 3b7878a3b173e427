"""ONNX files in: the same network as the module's own, int8 models, operators one by one, and files that must be refused."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import nn

import converters
import neuro
from benchmarks.conversion_networks import mnist_cnn, spoken
from converters.evaluation import logits
from converters.formats.onnx_operators import OPERATORS
from neuro.digits.model import digits_cnn
from tests.commands import here
from tests.onnx_models import exported, reference, renamed, saved, value
from tests.test_conversion import Branches, Chain, Pools, settled

ROOT = Path(__file__).parent.parent
RECORDED = Path(__file__).parent / "data" / "onnx"
PRETRAINED = ROOT.parent / "shared" / "data" / "pretrained"
needs_data = pytest.mark.skipif(not PRETRAINED.is_dir(), reason="shared/data is not there")


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(0).random((64, 1, 8, 8), np.float32)


@pytest.mark.parametrize("open_batch", [False, True])
@pytest.mark.parametrize("model", [Chain, Branches, Pools])
def test_an_exported_module_converts_to_the_module_s_own_network(model, open_batch, samples, tmp_path) -> None:
    model = settled(model(), samples)
    graph = converters.read_onnx(exported(model, samples, tmp_path / "m.onnx", open_batch=open_batch))
    assert converters.convert(tmp_path / "m.onnx", samples, code="graded").graph == converters.convert(graph, samples).graph
    for code in ("rate", "radix"):
        own = converters.convert(model, samples, code=code, timesteps=8).network
        assert renamed(converters.convert(graph, samples, code=code, timesteps=8).network) == renamed(own)


def _mnist() -> nn.Module:
    arrays = np.load(PRETRAINED / "sinabs_mnist_cnn.npz", allow_pickle=False)
    model = mnist_cnn()
    for layer, key in zip([x for x in model if isinstance(x, nn.Conv2d | nn.Linear)], arrays.files, strict=True):
        layer.weight.data = torch.tensor(arrays[key])
    return model


def _keywords() -> nn.Module:
    from neuro.keywords.model import load_mlperf_dscnn

    return load_mlperf_dscnn(PRETRAINED / "mlperf_kws_dscnn.npz")


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        pytest.param(digits_cnn, (1, 8, 8), id="digits"),
        pytest.param(spoken, (1, 32, 32), id="spoken_digits"),
        pytest.param(_mnist, (1, 28, 28), id="sinabs_mnist_cnn", marks=needs_data),
        pytest.param(_keywords, (10, 49), id="mlperf_kws_dscnn", marks=needs_data),
    ],
)
def test_the_benchmark_s_networks_convert_to_their_own(make, shape, tmp_path) -> None:
    torch.manual_seed(0)
    model, x = make().eval(), np.random.default_rng(0).random((4, *shape), np.float32)
    graph = converters.read_onnx(exported(model, x, tmp_path / "m.onnx"))
    own, read = (converters.convert(m, x, code="radix", timesteps=6, correct_bias=False).network for m in (model, graph))
    assert renamed(read) == renamed(own)


def test_batch_norms_folded_by_the_exporter_change_nothing_but_rounding(samples, tmp_path) -> None:
    model = settled(Chain(), samples)
    graph = converters.read_onnx(exported(model, samples, tmp_path / "m.onnx", plain=False))
    runs = [neuro.run(converters.convert(m, samples, code="graded").network, samples[:6]).logits for m in (graph, model)]
    assert np.abs(runs[0] - runs[1]).max() < 0.01 * np.abs(runs[1]).max()


@pytest.mark.golden("torch, ONNX Runtime")
@pytest.mark.parametrize("name", ["chain", "branches", "chain_int8", "branches_int8"])
def test_recorded_files_give_the_recorded_outputs(name, samples) -> None:
    """By torch's newer exporter and by ONNX Runtime's quantiser; a rounding to int8 after every layer may cost 3 %."""
    graph, recorded = converters.read_onnx(RECORDED / f"{name}.onnx"), np.load(RECORDED / f"{name}.npz")
    x, expected = recorded["x"], recorded["logits"]
    allowed = (0.03 if "int8" in name else 1e-5) * np.abs(expected).max()
    assert np.abs(logits(graph, x) - expected).max() < allowed
    conversion = converters.convert(graph, samples, code="graded")
    assert np.abs(neuro.run(conversion.network, x).logits - expected).max() < allowed + 0.02 * np.abs(expected).max()
    assert ("int8" in name) == any("an int8 model" in note for note in conversion.network.notes)


def test_modules_keep_their_paths_as_names(samples) -> None:
    names = [layer.name for layer in converters.read_onnx(RECORDED / "chain.onnx").layers]
    assert names[1:5] == ["features.1", "features.2", "features.3", "features.4"]


W = np.random.default_rng(3)
IMAGE = (2, 6, 7)


def one(op: str, *more: str, tensors: dict | None = None, shape=IMAGE, **attributes) -> tuple:
    """A network of one node on x, with constants by name."""
    return [helper.make_node(op, ["x", *more], ["y"], "n", **attributes)], tensors or {}, shape


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
    nodes, tensors, shape = BY_HAND[name]
    path = saved(nodes, [value("x", "samples", *shape)], [value("y", *[None] * 4)], tensors, tmp_path / "m.onnx")
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
    assert np.allclose(got, expected, atol=1e-6)


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
    "Gelu": (one("Gelu"), "node 'n' (Gelu): it has no spiking form. Use ReLU"),
    "Softmax": (one("Softmax"), "Return the logits"),
    "LeakyRelu": (one("LeakyRelu"), "negative slope"),
    "Clip": (one("Clip", "l", tensors={"l": np.float32(-1)}), "it clips to [-1.0, inf]"),
    "QLinearConv": (one("QLinearConv"), "QDQ format"),
    "Loop": (one("Loop"), "without branches and loops"),
    "other domain": (one("Conv", domain="com.microsoft"), "domain 'com.microsoft'"),
    "product": (([helper.make_node("Mul", ["x", "x"], ["y"], "n")], {}, IMAGE), "it multiplies two activations"),
    "mixes samples": (one("Reshape", "s", tensors={"s": ints(6, -1)}), "which mixes samples"),
    "moves samples": (one("Transpose", perm=[1, 0, 2, 3]), "moves the samples"),
    "over samples": (one("ReduceMean", "a", tensors={"a": ints(0)}), "axis 0"),
    "reflects": (one("Pad", "p", tensors={"p": ints(*[0] * 8)}, mode="reflect"), "its mode is 'reflect'"),
    "huge": (one("Pad", "p", tensors={"p": ints(0, 0, 2**40, 0, 0, 0, 0, 0)}), "it yields the shape"),
    "huge constant": (
        ([helper.make_node("ConstantOfShape", ["s"], ["c"], "n"), helper.make_node("Add", ["x", "c"], ["y"])],
         {"s": ints(2**20, 2**20)}, IMAGE),
        "asks for 1,099,511,627,776 values",
    ),
    "missing input": (one("Conv", "w"), "its input 'w' does not come before it"),
    "broken window": (one("AveragePool", kernel_shape=[0, 0]), "window (0, 0)"),
    "missing attribute": (one("AveragePool"), "do not fit it"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_spiking_form_is_refused_by_name_and_node(name, tmp_path) -> None:
    (nodes, tensors, shape), message = REFUSED[name]
    path = saved(nodes, [value("x", "samples", *shape)], [value("y", *[None] * 4)], tensors, tmp_path / "m.onnx")
    with pytest.raises(neuro.NeuroError) as caught:
        converters.read_onnx(path)
    assert message in str(caught.value)


def test_inputs_and_outputs_are_checked(tmp_path) -> None:
    relu = [helper.make_node("Relu", ["x"], ["y"], "n")]
    opened = saved(relu, [value("x", "n", 1, "h", "w")], [value("y", *[None] * 4)], {}, tmp_path / "open.onnx")
    with pytest.raises(neuro.NeuroError, match="leaves sizes open"):
        converters.read_onnx(opened)
    assert converters.read_onnx(opened, shape=(1, 4, 5)).output.shape == (1, 4, 5)
    with pytest.raises(neuro.NeuroError, match="not \\(2, 4, 5\\)"):
        converters.read_onnx(opened, shape=(2, 4, 5))
    two = saved(relu, [value("x", 1, 2), value("z", 1, 2)], [value("y", 1, 2)], {}, tmp_path / "two.onnx")
    with pytest.raises(neuro.NeuroError, match="it takes 2 inputs \\(x, z\\)"):
        converters.read_onnx(two)
    outputs = saved(relu, [value("x", 1, 2)], [value("y", 1, 2), value("x", 1, 2)], {}, tmp_path / "outputs.onnx")
    with pytest.raises(neuro.NeuroError, match="it has 2 outputs"):
        converters.read_onnx(outputs)
    old = saved(relu, [value("x", 1, 2)], [value("y", 1, 2)], {}, tmp_path / "old.onnx", opset=5)
    with pytest.raises(neuro.NeuroError, match="operator set is 5"):
        converters.read_onnx(old)
    with pytest.raises(neuro.NeuroError, match="there is no such file"):
        converters.read_onnx(tmp_path / "none.onnx")


def _external(tmp_path, location: str, length: int, weights: np.ndarray) -> Path:
    """A linear model whose weights lie in another file."""
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    path = saved(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "n")], [value("x", "n", 4)], [value("y", None, None)],
        {"w": weights}, folder / "m.onnx",
    )  # fmt: skip
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, entry in (("location", location), ("offset", "8"), ("length", str(length))):
        tensor.external_data.add(key=key, value=entry)
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_is_read_from_the_model_s_folder_only(tmp_path) -> None:
    weights = np.random.default_rng(0).random((4, 3), np.float32)
    blob = b"\0" * 8 + weights.tobytes()
    path = _external(tmp_path, "weights.bin", 48, weights)
    (path.parent / "weights.bin").write_bytes(blob)
    assert np.array_equal(converters.read_onnx(path).output.arrays["weight"], weights.T)
    (tmp_path / "outside.bin").write_bytes(blob)
    for location in ("../outside.bin", str(tmp_path / "outside.bin"), ""):
        with pytest.raises(neuro.NeuroError, match="outside the model's folder"):
            converters.read_onnx(_external(tmp_path, location, 48, weights))
    (path.parent / "link.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(neuro.NeuroError, match="outside the model's folder"):
        converters.read_onnx(_external(tmp_path, "link.bin", 48, weights))
    with pytest.raises(neuro.NeuroError, match="it needs 48 bytes"):
        converters.read_onnx(_external(tmp_path, "weights.bin", 2**40, weights))


def test_declared_sizes_are_checked_before_anything_is_made(tmp_path) -> None:
    path = saved(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "n")], [value("x", "n", 4)], [value("y", None, None)],
        {"w": np.zeros((4, 3), np.float32)}, tmp_path / "m.onnx",
    )  # fmt: skip
    model = onnx.load(path)
    for dims in ((2**40, 2**20), (4, 4), (-1, 3)):
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)
        path.write_bytes(model.SerializeToString())
        with pytest.raises(neuro.NeuroError, match="tensor 'w'"):
            converters.read_onnx(path)


@settings(max_examples=150)
@given(data=st.data())
def test_a_broken_file_is_refused_and_nothing_else_happens(data, tmp_path_factory) -> None:
    good = bytearray((RECORDED / "branches.onnx").read_bytes()[:4000])
    whole = bytearray((RECORDED / "branches.onnx").read_bytes())
    content = data.draw(st.sampled_from([good, whole])).copy()
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "broken.onnx"
    path.write_bytes(content)
    try:
        read_anyway = converters.read_onnx(path)
    except neuro.NeuroError:
        return
    assert isinstance(read_anyway, neuro.Graph)


def test_every_handler_says_what_it_takes() -> None:
    assert all((handler.__doc__ or "").strip() for handler in OPERATORS.values())


def test_neuro_run_takes_an_onnx_file(samples, tmp_path, monkeypatch, capsys) -> None:
    path = exported(settled(Chain(), samples), samples, tmp_path / "m.onnx", open_batch=True)
    np.savez(tmp_path / "d.npz", x=samples[:32], y=np.zeros(32, np.int64))
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "run", path.name, "--data", "d.npz", "--json", "-")
    assert status == 0, errors
    found = json.loads(printed)
    expected = converters.convert(converters.read_onnx(path), samples[:32], code="rate").network
    assert found["title"] == "m.onnx as spikes on loihi2"
    assert found["synops"] == neuro.run(expected, samples[:32]).synops / 32
    for flags, words in (("--weights", "w.safetensors"), "holds its weights"), (("--code", "morse"), "radix"):
        status, _, errors = here(monkeypatch, capsys, tmp_path, "run", path.name, "--data", "d.npz", *flags)
        assert (status, words in errors) == (2, True), errors
