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
from converters.evaluation import outputs
from converters.formats.onnx_constants import FOLDED
from converters.formats.onnx_operators import ATTRIBUTES, OPERATORS
from docs.refresh_formats import row
from tests.onnx_models import saved, value
from tests.onnx_node_tests import cases, files, outcome

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
WILD = Path(__file__).parent.parent.parent / "shared" / "data" / "wild"
DIFFERED = {  # seeds of random graphs that were once read to other numbers
    "float": [7, 93],  # a pool with dilation and auto_pad
    "qdq": [90117],  # a constant of shape (1,) beside a value with no axis but that of samples
    "static": [],
    "values": [90177],  # the same
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
    assert sum(result == "taken" for result in found.values()) > 1200
    taken = {what.partition(",")[0] for what, result in found.items() if result == "taken"}
    assert len(taken) > 600  # tests, of whose files one or more are taken
    assert all("case.onnx" in result for result in found.values() if result != "taken")
    page = (Path(__file__).parent.parent / "docs" / "formats.md").read_text()
    assert all("| {} | {} | {} |".format(*row(op, count)) in page for op, count in counts.items())


@pytest.mark.parametrize("path", [p for p in sorted(LIGHT.glob("*.onnx")) if "vgg" not in p.stem], ids=lambda path: path.stem)
def test_a_light_model_is_taken(path) -> None:
    """Their weights are all alike, so their values say nothing."""
    assert len(converters.read_onnx(path).layers) > 20


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
    assert set(ATTRIBUTES) - set(seen) == {"BipolarQuant", "Quant"}  # of another domain
    for operator, handled in ATTRIBUTES.items():
        if operator not in seen:
            continue
        assert set(handled.split()) <= seen[operator], operator
    refused = {name: seen[name] - set(handled.split()) for name, handled in ATTRIBUTES.items() if name in seen}
    old = {
        "axis",
        "broadcast",
        "consumed_inputs",
        "is_test",
        "output_sequence",
        "paddings",
        "shape",
        "spatial",
    }  # of sets before 7, and of 7 and 8
    assert {name: left - old for name, left in refused.items() if left - old} == {
        "DequantizeLinear": {"block_size"},
        "Mod": {"fmod"},
        "QuantizeLinear": {"block_size"},
        "Range": {"stash_type"},
        "SpaceToDepth": {"mode"},
        "Upsample": {"height_scale", "width_scale"},
    }


@pytest.mark.peer("onnxruntime")
@pytest.mark.parametrize(("kind", "graphs"), [("float", 60), ("qdq", 60), ("static", 15), ("values", 60)])
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


WILD_FILES: dict[str, dict] = {  # how each is read
    "basic_pitch": {},
    "dnsmos_v8": {},
    "espcn_resize": {},
    "espcn_subpixel": {},
    "magika": {},
    "ppocr_direction": {"shape": (3, 48, 192)},
    "ppocr_v5_det": {"sizes": {"DynamicDimension.1": 64, "DynamicDimension.2": 64}},
    "residual_block_clean": {},
    "speech_embedding": {},
    "swift_f0": {"sizes": {"samples": 2048}, "fixed": {"fmin": 46.875, "fmax": 2093.75}, "samples": False},
    "zoo_mnist": {},
}


@pytest.mark.skipif(not WILD.is_dir(), reason="shared/data is not there")
@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("aecmos_gru", {}, "input 'input': it leaves sizes open: (1, 3, frames, 160)"),
        ("ppocr_direction", {}, "or sizes={'x[2]': ...}"),
        ("silero_vad_16k", {"sizes": {"sequence": 576}, "fixed": {"sr": 16000}}, "input 'state': it leaves sizes open"),
    ],
)
def test_files_of_the_wild_are_refused_by_file_and_node(name, given, says) -> None:
    with pytest.raises(neuro.NeuroError) as caught:
        converters.read_onnx(WILD / f"{name}.onnx", **given)
    assert f"{name}.onnx" in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.peer("onnxruntime")
@pytest.mark.skipif(not WILD.is_dir(), reason="shared/data is not there")
@pytest.mark.parametrize("name", WILD_FILES)
def test_files_of_the_wild_are_read_to_what_onnxruntime_computes(name) -> None:
    pytest.importorskip("onnxruntime")
    from onnxruntime import InferenceSession, SessionOptions

    path, how, options = WILD / f"{name}.onnx", WILD_FILES[name], SessionOptions()
    options.log_severity_level = 3
    graph, session = converters.read_onnx(path, **how), InferenceSession(path, options)
    (x,), rng = graph.inputs, np.random.default_rng(0)
    types = {entry.name: entry.type for entry in session.get_inputs()}
    data = rng.integers(0, 257, (1, *x.shape)) if "int" in types[x.name] else rng.normal(size=(1, *x.shape))
    whole = how.get("samples", True)
    feed = {x.name: np.asarray(data if whole else data[0], np.int32 if "int" in types[x.name] else np.float32)}
    feed |= {key: np.asarray(number, np.float32) for key, number in how.get("fixed", {}).items()}
    expected = session.run(None, feed)
    for got, wanted in zip(outputs(graph, np.asarray(data, np.float32)).values(), expected, strict=True):
        wanted = np.asarray(wanted if whole else wanted[None], np.float64)
        assert got.shape == wanted.shape
        assert np.abs(got - wanted).max() < 1e-4 * np.abs(wanted).max() + 2e-7  # what onnxruntime's own sigmoid is off by
