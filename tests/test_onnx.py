"""ONNX files in: the same network as the module's own, int8 models, and files that must be refused."""

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
from neuro.digits.model import digits_cnn
from tests.commands import here
from tests.convertible import Branches, Chain, Pools, settled
from tests.onnx_models import exported, renamed, saved, value

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


def test_inputs_and_outputs_are_checked(tmp_path) -> None:
    relu = [helper.make_node("Relu", ["x"], ["y"], "n")]
    opened = saved(relu, [value("x", "n", 1, "h", "w")], [value("y", *[None] * 4)], {}, tmp_path / "open.onnx")
    with pytest.raises(neuro.NeuroError, match="leaves sizes open"):
        converters.read_onnx(opened)
    assert converters.read_onnx(opened, shape=(1, 4, 5)).output.shape == (1, 4, 5)
    with pytest.raises(neuro.NeuroError, match="not \\(2, 4, 5\\)"):
        converters.read_onnx(opened, shape=(2, 4, 5))
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


def test_neuro_run_takes_an_onnx_file(samples, tmp_path, monkeypatch, capsys) -> None:
    path = exported(settled(Chain(), samples), samples, tmp_path / "m.onnx", open_batch=True)
    np.savez(tmp_path / "d.npz", x=samples[:32], y=np.zeros(32, np.int64))
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "run", path.name, "--data", "d.npz", "--json", "-")
    assert status == 0, errors
    found = json.loads(printed)
    expected = converters.convert(converters.read_onnx(path), samples[:32], code="graded").network
    assert found["title"] == "m.onnx as spikes on loihi2"
    assert found["synops"] == neuro.run(expected, samples[:32]).synops / 32
    for flags, words in (("--weights", "w.safetensors"), "holds its weights"), (("--code", "morse"), "radix"):
        status, _, errors = here(monkeypatch, capsys, tmp_path, "run", path.name, "--data", "d.npz", *flags)
        assert (status, words in errors) == (2, True), errors


def _damaged(tmp_path: Path, change: object) -> Path:
    """A linear model with its tensor or graph changed."""
    path = saved(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "n")], [value("x", "n", 4)], [value("y", None, None)],
        {"w": np.zeros((4, 3), np.float32)}, tmp_path / "m.onnx",
    )  # fmt: skip
    model = onnx.load(path)
    change(model.graph)
    path.write_bytes(model.SerializeToString())
    return path


def _outside(**entries: str):
    """Changes the tensor to one whose data lies in another file."""

    def change(graph) -> None:
        graph.initializer[0].ClearField("raw_data")
        graph.initializer[0].data_location = TensorProto.EXTERNAL
        for key, entry in entries.items():
            graph.initializer[0].external_data.add(key=key, value=entry)

    return change


def _typed(data_type: int):
    return lambda graph: setattr(graph.initializer[0], "data_type", data_type)


DAMAGED = {
    "sparse": (lambda graph: graph.sparse_initializer.add(), "it holds sparse tensors. Export the model with dense ones"),
    "unknown type": (_typed(99), "tensor 'w': data type 99 is not known"),
    "half bytes": (_typed(TensorProto.INT4), "its data type is int4. Export with float or 8-bit tensors"),
    "text": (_typed(TensorProto.STRING), "its data type is object"),
    "file that is not there": (_outside(location="w.bin"), "its data file 'w.bin' is not there"),
    "offset in words": (_outside(location="m.onnx", offset="a few"), "offset or length of its data is not a number"),
    "one axis": (lambda g: g.input[0].type.tensor_type.shape.dim.pop(), "its shape is (None,). Export with samples on the first"),
    "output of weights": (lambda graph: setattr(graph.output[0], "name", "w"), "its output does not depend on its input"),
    "shape given as values": (
        lambda g: (g.initializer[0].ClearField("raw_data"), g.initializer[0].float_data.extend([1.0] * 11)),
        "tensor 'w': it declares dimensions (4, 3) (12) and holds 11",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_by_its_part(name, tmp_path) -> None:
    change, message = DAMAGED[name]
    with pytest.raises(neuro.NeuroError) as caught:
        converters.read_onnx(_damaged(tmp_path, change))
    assert message in str(caught.value)
