"""Other implementations of ONNX as witnesses: the onnx package's own node tests and models, onnxruntime on random graphs."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import defs, helper

import converters
import neuro
from converters import naming
from converters.evaluation import logits
from converters.formats.onnx_constants import FOLDED
from converters.formats.onnx_operators import ATTRIBUTES, OPERATORS
from docs.refresh_formats import row
from tests.onnx_models import saved, value
from tests.onnx_node_tests import cases, files, outcome

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
WILD = Path(__file__).parent.parent.parent / "shared" / "data" / "wild"
DIFFERED = {  # seeds of random graphs that were once read to other numbers
    "float": [7, 93],  # a pool with dilation and auto_pad
    "qdq": [],
    "static": [],
}


@pytest.fixture(scope="module")
def node_tests() -> list:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # casts that overflow, while the package makes its data
        return cases(list(OPERATORS))


@pytest.mark.peer("onnx node tests")
def test_a_node_test_is_read_to_its_expected_output_or_refused(node_tests, tmp_path) -> None:
    found, counts = {}, {}
    for case in node_tests:
        for what, content, data, expected, cost in files(case):
            found[what] = outcome(content, data, expected, cost, tmp_path)
            counts.setdefault(case.op, Counter())[found[what].partition(":")[0]] += 1
    assert not [(what, result) for what, result in found.items() if result.startswith("WRONG")]
    assert sum(result == "taken" for result in found.values()) > 240
    assert all("case.onnx" in result for result in found.values() if result != "taken")
    page = (Path(__file__).parent.parent / "docs" / "formats.md").read_text()
    assert all("| {} | {} | {} |".format(*row(op, count)) in page for op, count in counts.items())


@pytest.mark.parametrize("path", [p for p in sorted(LIGHT.glob("*.onnx")) if "vgg" not in p.stem], ids=lambda path: path.stem)
def test_a_light_model_is_taken_up_to_what_has_no_spiking_form(path, tmp_path) -> None:
    """Their weights are all alike, so their values say nothing; where a Softmax ends the file, what stands before it is read."""
    refusal = {"bvlc_alexnet": "LRN", "inception_v1": "LRN", "zfnet512": "LRN", "densenet121": ""}
    operator = refusal.get(path.stem.removeprefix("light_"), "Softmax")
    if operator:
        with pytest.raises(neuro.NeuroError, match=f"{path.name}, node '.*' \\({operator}\\): it has no spiking form"):
            converters.read_onnx(path)
    if operator == "Softmax":
        model = onnx.load(path)
        last = model.graph.node.pop()
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info(last.input[0], 1, None))
        path = tmp_path / path.name
        path.write_bytes(model.SerializeToString())
    if operator != "LRN":
        assert len(converters.read_onnx(path).layers) > 60


def test_names_are_found_at_once_however_often_one_is_asked_for(monkeypatch, tmp_path) -> None:
    """A thousand nodes without names of their own: the number of names tried grows with them, not with their square."""
    nodes = [helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"], "same") for i in range(1000)]
    path = saved(nodes, [value("v0", 1, 2)], [value("v1000", 1, 2)], {}, tmp_path / "m.onnx")
    tried = []

    class Counted(set):
        def __contains__(self, name: object) -> bool:
            tried.append(name)
            return super().__contains__(name)

    made = naming.Names.__init__
    monkeypatch.setattr(naming.Names, "__init__", lambda self: (made(self), setattr(self, "_taken", Counted()))[0])
    names = [layer.name for layer in converters.read_onnx(path).layers]
    assert names[1:4] == ["same", "same_1", "same_2"]
    assert len(set(names)) == 1001
    assert len(tried) < 3000


def test_every_attribute_is_read_or_refused() -> None:
    """Of all versions of an operator since set 7: one that is neither handled nor refused could change what it computes."""
    seen: dict[str, set[str]] = {}
    for schema in defs.get_all_schemas_with_history():
        if not schema.domain and not schema.deprecated and (schema.name in OPERATORS or schema.name in FOLDED):
            seen.setdefault(schema.name, set()).update(schema.attributes)
    assert set(ATTRIBUTES) == {*OPERATORS, *FOLDED}
    for operator, handled in ATTRIBUTES.items():
        assert set(handled.split()) <= seen[operator], operator
    refused = {name: seen[name] - set(handled.split()) for name, handled in ATTRIBUTES.items()}
    old = {"axis", "broadcast", "consumed_inputs", "is_test", "paddings", "shape", "spatial"}  # of sets before 7, and of 7 and 8
    assert {name: left - old for name, left in refused.items() if left - old} == {
        "DequantizeLinear": {"block_size"},
        "QuantizeLinear": {"block_size"},
        "SpaceToDepth": {"mode"},
    }


@pytest.mark.peer("onnxruntime")
@pytest.mark.parametrize(("kind", "graphs"), [("float", 60), ("qdq", 60), ("static", 15)])
def test_random_graphs_are_read_to_what_onnxruntime_computes_or_refused(kind, graphs, tmp_path) -> None:
    pytest.importorskip("onnxruntime")
    from tests.fuzz_onnx import outcome as fuzzed

    found = {seed: fuzzed(seed, kind, tmp_path) for seed in [*range(100, 100 + graphs), *DIFFERED[kind]]}
    assert not {seed: what for seed, what in found.items() if what.startswith("DIFFERS")}
    assert sum(what == "equal" for what in found.values()) > 0.7 * graphs


@pytest.mark.peer("onnxruntime")
def test_the_comparison_notices_a_clip_that_is_lost(monkeypatch, tmp_path) -> None:
    pytest.importorskip("onnxruntime")
    from converters.formats import onnx_quantisers
    from tests.fuzz_onnx import outcome as fuzzed

    monkeypatch.setattr(onnx_quantisers, "clipped", lambda b, node, x, low, high: (x.name, "proven"))
    assert any(fuzzed(seed, "qdq", tmp_path).startswith("DIFFERS") for seed in range(100, 130))


@pytest.mark.skipif(not WILD.is_dir(), reason="shared/data is not there")
@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [
        ("aecmos_gru", None, "it takes 2 inputs (input, h0)"),
        ("basic_pitch", None, "(Sqrt): it has no spiking form"),
        ("espcn_resize", None, "node '/conv4/interp/Resize' (Resize)"),
        ("magika", None, "(Expand): it has no spiking form"),
        ("ppocr_direction", (3, 48, 192), "node 'Softmax@0' (Softmax): it has no spiking form. Return the logits"),
        ("ppocr_v5_det", (3, 64, 64), "node 'HardSwish.0' (HardSwish)"),
        ("silero_vad_16k", None, "it takes 3 inputs"),
        ("speech_embedding", None, "node 'model/leaky_re_lu/LeakyRelu' (LeakyRelu)"),
        ("swift_f0", None, "it takes 3 inputs"),
    ],
)
def test_files_of_the_wild_are_refused_by_file_and_node(name, shape, says) -> None:
    with pytest.raises(neuro.NeuroError) as caught:
        converters.read_onnx(WILD / f"{name}.onnx", shape=shape)
    assert f"{name}.onnx" in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.peer("onnxruntime")
@pytest.mark.skipif(not WILD.is_dir(), reason="shared/data is not there")
@pytest.mark.parametrize("name", ["dnsmos_v8", "espcn_subpixel", "residual_block_clean", "zoo_mnist"])
def test_files_of_the_wild_are_read_to_what_onnxruntime_computes(name) -> None:
    pytest.importorskip("onnxruntime")
    from onnxruntime import InferenceSession

    path = WILD / f"{name}.onnx"
    graph = converters.read_onnx(path)
    session = InferenceSession(path)
    entry = session.get_inputs()[0]
    x = np.random.default_rng(0).random((1, *graph.inputs[0].shape), np.float32)
    expected = session.run(None, {entry.name: x})[0]
    assert np.abs(logits(graph, x) - expected).max() < 1e-4 * np.abs(expected).max()
