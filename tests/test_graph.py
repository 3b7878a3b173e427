"""Graphs are valid from birth: every layer fits its op, its sources and its declared shape; each error can be followed."""

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.errors import GraphError
from neuro.graph import Graph, Layer
from neuro.ops import OPS, output_shape
from neuro.valueops import ROWS
from tests.graphs import PLAIN, SOUND, graph, row
from tests.laws import law

ROOT = Path(__file__).parent.parent


def test_every_op_has_a_sound_example() -> None:
    assert set(SOUND) == set(OPS) - {"input"}
    for shape, given_row in SOUND.values():
        assert graph(shape, given_row).output.op == given_row["op"]


def changed(op: str, shape=None, inputs=None, **more) -> Graph:
    """The sound example of an op with some arrays or options changed; None leaves one out."""
    start, given_row = SOUND[op]
    arrays, options = dict(given_row["arrays"]), dict(given_row["options"])
    for name, value in more.items():
        table = arrays if name in (*OPS[op].arrays, *OPS[op].more_arrays) else options
        table.pop(name, None)
        if value is not LEFT_OUT:
            table[name] = value
    x = Layer("x", "input", (), start)
    sound = graph(start, given_row).output
    return Graph((x, Layer("bad", op, sound.inputs if inputs is None else inputs, shape or sound.shape, arrays, options)))


LEFT_OUT = object()
SIDES = ((0, 0), (0, 0))
BROKEN = {  # what is wrong -> (how, what the error says, what it advises)
    "too many channels": (lambda: changed("conv", weight=np.ones((6, 5, 3, 3))), "takes 10 channels.* has 4", r"\(out, 2, "),
    "groups that do not divide": (lambda: changed("conv", groups=3), "3 groups takes 6 channels.*has 4", "divides 4"),
    "outputs that do not divide": (lambda: changed("conv", weight=np.ones((5, 2, 3, 3))), "5 output channels", "divisor"),
    "a kernel of another rank": (lambda: changed("conv", weight=np.ones((6, 2, 3))), r"shape \(6, 2, 3\)", "height, width"),
    "a kernel beyond the image": (lambda: changed("conv", dilation=(3, 3)), "larger than its input", "smaller kernel"),
    "a bias of another size": (lambda: changed("conv", bias=np.ones(5)), r"bias has shape \(5,\).*yields 6", r"Use \(6,\)"),
    "a stride of 0": (lambda: changed("conv", stride=(0, 1)), "stride = 0", "at least 1"),
    "half a stride": (lambda: changed("conv", stride=(1.5, 1)), "stride = 1.5 is not a whole", "whole number"),
    "one stride for two axes": (lambda: changed("conv", stride=(1,)), r"stride = \(1,\)", "2 entries"),
    "a stride that is no tuple": (lambda: changed("conv", stride=1), "stride = 1 is not a tuple", "one entry for each axis"),
    "negative padding": (lambda: changed("conv", padding=((0, 0), (-1, 0))), "padding = -1", "at least 0"),
    "padding without sides": (lambda: changed("conv", padding=((0, 0), (1,))), "no pair", "before, after"),
    "no groups": (lambda: changed("conv", groups=LEFT_OUT), "missing option 'groups'", "stride, padding"),
    "no weight": (lambda: changed("linear", weight=LEFT_OUT), "missing array 'weight'", "Give weight"),
    "an unknown array": (lambda: Layer("bad", "relu", ("x",), (3,), {"weight": np.ones(3)}, {"ceiling": 1}), "'weight'", "none"),
    "an unknown option": (lambda: changed("linear", alpha=1), "unknown option 'alpha'", "Use none"),
    "an image for conv that is none": (
        lambda: Graph((Layer("x", "input", (), (4,)), Layer("bad", "conv", ("x",), (6,), {"weight": np.ones((6, 4))}, PLAIN))),
        r"shape \(4,\)", "channels, height, width",
    ),
    "columns of another number": (lambda: changed("linear", weight=np.ones((3, 5))), "takes 5 values.*has 4", r"\(out, 4\)"),
    "weights of NaN": (lambda: changed("linear", weight=np.full((3, 4), np.nan)), "NaN", "Train"),
    "weights beyond float32": (lambda: changed("linear", weight=np.full((3, 4), 1e300)), "more than float32", "Train"),
    "weights that are text": (lambda: changed("linear", weight=np.full((3, 4), "1")), "array of <U1", "real numbers"),
    "weights that are complex": (lambda: changed("linear", weight=np.full((3, 4), 1j)), "complex128", "real numbers"),
    "ragged weights": (lambda: changed("linear", weight=[[1, 2], [3]]), "no array", "same length"),
    "a norm without arrays": (lambda: Layer("bad", "batch_norm", ("x",), (3,), {}, {"epsilon": 1e-5}), "'mean'", "variance"),
    "a norm of other channels": (lambda: changed("batch_norm", mean=np.ones(2)), r"mean has shape \(2,\)", "each channel"),
    "a negative variance": (lambda: changed("batch_norm", variance=-np.ones(3)), "not above 0", "variance of 0 or more"),
    "a negative epsilon": (lambda: changed("batch_norm", epsilon=-1.0), "epsilon = -1", "at least 0"),
    "a ceiling below 0": (lambda: changed("relu", ceiling=-1.0), "ceiling = -1", "above 0, or None"),
    "a ceiling of NaN": (lambda: changed("relu", ceiling=float("nan")), "not finite", "above 0"),
    "thresholds without levels": (lambda: changed("relu", threshold=np.ones(3)), "one of threshold and levels", "both"),
    "thresholds of other channels": (lambda: changed("relu", threshold=np.ones(2), levels=4), "2 thresholds.*3 channels", "one"),
    "a threshold of 0": (lambda: changed("relu", threshold=np.zeros(1), levels=4), "no positive number", "threshold"),
    "a divisor of 0": (lambda: changed("avg_pool", divisor=0), "divisor = 0", "at least 1"),
    "a window in the padding": (lambda: changed("max_pool", padding=((2, 0), (0, 0))), "reads padding alone", "by less"),
    "a mean of padding": (lambda: changed("avg_pool", padding=((2, 0), (0, 0)), divisor=None), "reads padding alone", "by less"),
    "an empty window": (lambda: changed("max_pool", kernel=(0, 1)), "kernel = 0", "at least 1"),
    "sums of other shapes": (
        lambda: Graph(
            (Layer("x", "input", (), (3, 2)), Layer("y", "reshape", ("x",), (6,)), Layer("bad", "add", ("x", "y"), (6,)))
        ),
        r"\(3, 2\) and \(6,\)", "equal shapes",
    ),
    "an axis beyond": (lambda: changed("concat", axis=2), "axis = 2", "0 to 1"),
    "an axis from behind": (lambda: changed("concat", axis=-1), "axis = -1", "at least 0"),
    "parts that differ": (
        lambda: Graph(
            (Layer("x", "input", (), (3, 2)), Layer("y", "reshape", ("x",), (2, 3)),
             Layer("bad", "concat", ("x", "y"), (5, 2), {}, {"axis": 0}))
        ),
        r"\(3, 2\) and \(2, 3\) along axis 0", "that axis only",
    ),
    "a reshape of another size": (lambda: changed("reshape", shape=(7,)), "7 values.*of 6", "as many"),
    "an axis twice": (lambda: changed("permute", axes=(0, 0, 1)), r"axes = \(0, 0, 1\)", "0 to 2 once"),
    "padding of another rank": (lambda: changed("pad", padding=((0, 0),)), "padding = ", "each axis"),
    "cropped to nothing": (lambda: changed("pad", padding=((0, 0), (-1, -1))), "leaves nothing", "Crop less"),
    "padding of infinity": (lambda: changed("pad", value=float("-inf")), "not finite", "a number"),
    "a factor that does not broadcast": (lambda: changed("scale", factor=np.ones(3)), r"factor of shape \(3,\)", "channels, 1"),
    "a factor that widens": (lambda: changed("scale", factor=np.ones((2, 3, 2))), "does not broadcast", "channels, 1"),
    "another declared shape": (
        lambda: changed("relu", shape=(4,)), r"yields \(3,\).*declared as \(4,\)", r"Declare the shape \(3,\)",
    ),
    "no source": (lambda: changed("relu", inputs=()), "has no input", "Name the layer"),
    "two sources": (lambda: changed("relu", inputs=("x", "x")), "takes 1 input, it has 2", "Name one"),
    "an input that is fed": (lambda: Layer("bad", "input", ("x",), (3,)), "takes no inputs, it has 1", "Leave out"),
    "an unknown source": (lambda: changed("relu", inputs=("y",)), "'y' does not exist", "Use one of x"),
    "itself as source": (lambda: changed("relu", inputs=("bad",)), "feeds itself", "no loop"),
    "text as inputs": (lambda: changed("relu", inputs="x"), "not a tuple of names", "inputs="),
    "no op": (lambda: Layer("bad", ["relu"], ("x",), (3,)), "is not known", "Use one of"),
    "a shape that is a number": (lambda: Layer("bad", "input", (), 3), "not a tuple", "shape="),
    "half a pixel": (lambda: Layer("bad", "input", (), (3, 1.5)), "1.5 is not a whole", "whole number"),
    "options that are a list": (lambda: Layer("bad", "relu", ("x",), (3,), {}, ["ceiling"]), "options is a list", "dict"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_layer_that_does_not_fit_is_refused(what: str) -> None:
    make, fact, remedy = BROKEN[what]
    with pytest.raises(GraphError) as caught:
        make()
    assert "'bad'" in caught.value.where
    assert re.search(fact, caught.value.fact), caught.value.fact
    assert re.search(remedy, caught.value.remedy), caught.value.remedy


def test_a_wrong_channel_count_is_refused_by_the_graph() -> None:
    layers = (Layer("x", "input", (), (2, 4, 4)), Layer("c", "conv", ("x",), (1, 2, 2), {"weight": np.ones((1, 5, 3, 3))}, PLAIN))
    with pytest.raises(GraphError, match=r"layer 'c': its weight \(1, 5, 3, 3\) in 1 group takes 5 channels.*has 2"):
        Graph(layers)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (lambda a, b, c: (a, c, b), "'b' does not come before layer 'c'"),
        (lambda a, b, c: (b, a, c), "'a' does not come before layer 'b'"),
        (lambda a, b, c: (a, b, b), "used twice"),
        (lambda a, b, c: [a, "b"], "'b' is not a layer"),
        (lambda a, b, c: 3, "layers is a int"),
    ],
)
def test_layers_come_in_order_and_once(layers, said: str) -> None:
    relu = {"ceiling": None}
    parts = (
        Layer("a", "input", (), (2,)),
        Layer("b", "relu", ("a",), (2,), {}, relu),
        Layer("c", "relu", ("b",), (2,), {}, relu),
    )
    with pytest.raises(GraphError, match=said):
        Graph(layers(*parts))


def test_options_come_in_one_form() -> None:
    one = changed("conv", stride=[np.int64(1), 1], padding=np.zeros((2, 2), int), groups=np.int32(2)).output
    assert one.options == {**PLAIN, "groups": 2}
    assert all(type(n) is int for n in one.options["stride"])
    assert changed("relu", ceiling=np.float32(6)).output.options["ceiling"] == 6.0
    assert changed("relu", ceiling=float("inf")).output.options["ceiling"] is None


def test_a_layer_cannot_be_changed_from_outside() -> None:
    mine, options = np.ones((3, 4), np.float32), {"ceiling": 6.0}
    shown = mine.view()
    shown.setflags(write=False)
    linear, relu = Layer("a", "linear", ("x",), (3,), {"weight": shown}), Layer("r", "relu", ("a",), (3,), {}, options)
    mine[:], options["ceiling"] = 7, -1
    assert (linear.arrays["weight"] == 1).all()
    assert relu.options["ceiling"] == 6.0
    for change in (lambda: relu.options.update(ceiling=1), lambda: linear.arrays.__setitem__("bias", mine), relu.options.clear):
        with pytest.raises(TypeError, match="frozen"):
            change()
    assert pickle.loads(pickle.dumps(linear)) == copy.deepcopy(linear) == copy.copy(linear) == linear


@st.composite
def damaged(draw):
    """A sound layer with one of its facts replaced by something else."""
    op = draw(st.sampled_from(sorted(SOUND)))
    start, given_row = SOUND[op]
    sound = graph(start, given_row).output
    values = st.sampled_from(
        [None, True, -1, 0, 1, 2, 7, 1.5, "16", float("nan"), float("inf"), (), (1,), (0, 0), (1, 1, 1), ((0, 0),),
         ((1, 2), (3, 4)), [[1], [2, 3]], np.int64(1), np.ones(3), np.ones((2, 2)), np.zeros((6, 2, 3, 3)), {}, object()]
    )  # fmt: skip
    fields = {name: getattr(sound, name) for name in ("inputs", "shape")} | {
        "arrays": {**sound.arrays},
        "options": {**sound.options},
    }
    which = draw(st.sampled_from(["inputs", "shape", "arrays", "options"]))
    names = [*fields[which], "other"] if which in ("arrays", "options") else []
    if names and draw(st.booleans()):
        fields[which][draw(st.sampled_from(names))] = draw(values)
    else:
        fields[which] = draw(values)
    return op, start, fields


@law(150)
@given(damaged())
def test_what_is_born_can_be_weighed_and_evaluated_and_all_else_is_refused(case) -> None:
    op, start, fields = case
    x = Layer("x", "input", (), start)
    try:
        made = Graph((x, Layer("l", op, **fields), Layer("fc", "linear", ("l",), (2,), {"weight": np.ones((2, 3))})))
    except neuro.NeuroError:
        try:
            made = Graph((x, Layer("l", op, **fields)))
        except neuro.NeuroError:
            return
    from converters.evaluation import logits

    size = (2, 4) if made.has_frames else (2,)
    answer = logits(made, np.random.default_rng(0).random((*size, *start)).astype(np.float32))
    assert answer.shape == (*size, *made.output.shape)
    assert np.isfinite(answer).all()


def tables() -> dict[str, set[str]]:
    """Every table in the code whose keys are ops, by its name."""
    from converters import linear, opmath, stages, trinary
    from converters.formats import onnx_bounds
    from neuro.machines import workload

    return {
        "opmath._APPLY": set(opmath._APPLY),
        "workload._COUNT": set(workload._COUNT),
        "linear.FOLLOWED": set(linear.FOLLOWED),
        "stages.SPIKING": set(stages.SPIKING),
        "trinary.WEIGHTED": set(trinary.WEIGHTED),
        "onnx_bounds._MOVES": set(onnx_bounds._MOVES),
    }


LISTED = {op for op, one in OPS.items() if one.listed is not None}
VALUES = {op for op, one in ROWS.items() if one.listed is None} - {"constant"}  # no linear map
_WITHOUT_WEIGHTS = "it has no weights that are trained"
BOUNDED = {"avg_pool", "max_pool", "concat", "reshape", "permute", "pad", "identity", "gather", "maximum", "minimum"}
_NO_BOUNDS = "its values may leave the range of its inputs; bounds_of has a rule of its own where there are bounds"
NOT_COVERED = {  # table -> op -> why it stands in none of its rows
    "opmath._APPLY": {op: "its value is given" for op in ("input", "constant", "previous")},
    "workload._COUNT": {"permute": "its entries say what it asks"},
    "linear.FOLLOWED": {
        "input": "a path begins there",
        "constant": "it is a bias",
        "relu": "a path ends there",
        "max_pool": "a path ends there",
        "batch_norm": "folding takes it away",
        **{op: "its entries are the path" for op in LISTED},
        **{op: "it is no linear map of one input" for op in VALUES},
    },
    "stages.SPIKING": {op: "it is part of a path between populations" for op in set(OPS) - {"input", "relu", "max_pool"}},
    "trinary.WEIGHTED": {op: _WITHOUT_WEIGHTS for op in set(OPS) - {"conv", "linear"}},
    "onnx_bounds._MOVES": {op: _NO_BOUNDS for op in set(OPS) - BOUNDED},
}


@pytest.mark.parametrize("name", NOT_COVERED)
def test_tables_over_ops_cover_them(name: str) -> None:
    covered, left_out = tables()[name], set(NOT_COVERED[name])
    assert covered | left_out == set(OPS)
    assert not covered & left_out, "an op that a table covers needs no reason"


def values_of(layer: Layer, source: tuple[int, ...], x: np.ndarray) -> np.ndarray:
    pre, post, weight = OPS[layer.op].listed(layer, source)
    out = np.zeros((len(x), int(np.prod(layer.shape))), np.float32)
    np.add.at(out, (slice(None), post), x.reshape(len(x), -1)[:, pre] * weight.astype(np.float32))
    return out.reshape(len(x), *layer.shape)


@pytest.mark.parametrize("op", sorted(LISTED))
def test_the_entries_of_an_op_are_what_it_computes(op: str) -> None:
    from converters.evaluation import logits
    from converters.opmath import _listed

    start, given_row = SOUND[op]
    made = graph(start, given_row)
    x = np.random.default_rng(2).normal(size=(3, *start)).astype(np.float32)
    expected = values_of(made.output, start, x) + _constant(made.output)
    same = (
        np.array_equal if op in ("permute", "gather") else np.allclose
    )  # others have a rule of their own, which adds in another order
    assert same(logits(made, x), expected)
    assert np.array_equal(_listed(made.output, {}, torch.as_tensor(x)).numpy() + _constant(made.output), expected)


def _constant(layer: Layer) -> np.ndarray:
    """What a layer yields of nothing: its entries leave that out."""
    bias = layer.arrays.get("bias", np.zeros(1, np.float32))
    return bias.reshape(-1, *[1] * (len(layer.shape) - 1))


@pytest.mark.parametrize("op", sorted(set(SOUND)))
def test_ops_that_keep_the_sign_do(op: str) -> None:
    from converters.evaluation import logits

    start, given_row = SOUND[op]
    made = graph(start, given_row)
    x = np.random.default_rng(3).random((3, *start)).astype(np.float32)
    assert not OPS[op].keeps_sign or logits(made, x).min() >= 0


def test_every_op_has_its_line_in_the_table_of_ops() -> None:
    import neuro.ops

    listed = {name for line in neuro.ops.__doc__.splitlines() if line.startswith("| ") for name in line.split("|")[1].split(",")}
    assert {name.strip() for name in listed} - {"op"} == set(OPS)
    row_of = OPS["conv"]
    assert output_shape(graph(*SOUND["conv"]).output, [(4, 5, 5)]) == (6, 3, 3)
    assert row_of.arrays == ("weight",)


LINEAR = set(OPS) - {"input", "constant", "relu", "max_pool", "batch_norm"} - VALUES  # what lies between populations


@pytest.mark.parametrize("op", sorted(LINEAR))
def test_linear_paths_know_every_linear_op(op: str) -> None:
    from converters import linear
    from converters.evaluation import logits
    from converters.stages import stages

    start, given_row = SOUND[op]
    made = graph(start, given_row)
    (path, *more), x = stages(made)[-1].paths, np.random.default_rng(1).normal(size=(2, *start)).astype(np.float32)
    weight = linear.to_matrix(path.operator).weight
    got = x.reshape(2, -1) @ weight + np.broadcast_to(stages(made)[-1].bias, made.output.shape).ravel()
    assert np.allclose(got.reshape(2, *made.output.shape), logits(made, x), atol=1e-5)
    assert not more


def test_no_file_names_an_op_that_does_not_exist() -> None:
    """Ops are told apart by `layer.op == "..."` and `layer.op in (...)`: each name must be in the table."""
    found: set[str] = set()
    files = [path for top in ("neuro", "converters") for path in (ROOT / top).rglob("*.py") if "tracing" not in path.parts]
    for path in files:
        for match in re.finditer(r"(?:\w|\])\.op (?:not )?(?:==|!=|in) (\([^)]*\)|\"[^\"]*\")", path.read_text()):
            found |= set(re.findall(r'"([a-z_]+)"', match[1]))
    known = set(OPS) | {"placeholder", "output", "call_module", "call_method", "get_attr", "call_function"}  # those of torch.fx
    assert found <= known
    assert {"conv", "linear", "max_pool"} <= found


def test_a_single_number_comes_back_from_a_file_as_a_single_number(tmp_path: Path) -> None:
    made = graph((3, 2), row("scale", factor=np.array(0.5, np.float32), shift=np.ones(1, np.float32)))
    made.save(tmp_path / "graph.safetensors")
    back = neuro.Graph.load(tmp_path / "graph.safetensors")
    assert back == made
    assert back.output.arrays["factor"].shape == ()
    assert back.output.arrays["shift"].shape == (1,)
