"""Ops that compute with values: each against an independent definition, its counts, and what conversion says of it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numbers

import converters
import neuro
from converters.convertible import _NEAREST, VALUE_OPS
from converters.evaluation import logits, outputs
from neuro.functions import FUNCTIONS, compute
from neuro.ops import OPS
from tests.graphs import SOUND, graph, row, weights

X = np.random.default_rng(5).normal(size=(3, 4, 5, 6)).astype(np.float32)


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=15)
@given(x=numbers.arrays(np.float32, (1, 7), elements=st.floats(-8, 8, width=32, allow_subnormal=False)))
def test_a_function_is_evaluated_as_it_is_defined(name: str, x: np.ndarray) -> None:
    """Each has two definitions, in float64 by NumPy and in float32 by torch; both keep the bounds and the sign declared."""
    one, values = FUNCTIONS[name], tuple(default for _, default in FUNCTIONS[name].parameters)
    made = graph((7,), row("function", name_=name, values=values))
    with np.errstate(all="ignore"):
        got, expected = logits(made, x), compute(name, x)
        slope = np.abs(compute(name, x * (1 + 2e-7)) - compute(name, x * (1 - 2e-7)))  # what rounding x itself may cost
    held = expected.astype(np.float32).astype(np.float64)  # beyond its range float32 is infinite
    assert np.allclose(got, held, rtol=1e-5, atol=1e-6 + np.nan_to_num(slope), equal_nan=True)
    defined = expected[np.isfinite(expected)]
    assert ((defined >= one.lowest) & (defined <= one.highest)).all()
    assert not one.keeps_sign or not (expected[(x >= 0) & np.isfinite(expected)] < 0).any()


@pytest.mark.parametrize("how", ["sum", "mean"])
def test_reductions_keep_their_axes(how: str) -> None:
    made = graph((4, 5, 6), row("reduce", kind=how, axes=(0, 2)))
    assert np.allclose(logits(made, X), getattr(X, how)((1, 3), keepdims=True), atol=1e-5)


NORMS = {
    "layer_norm": (
        row("layer_norm", weight=weights(5, 6), bias=weights(5, 6), axes=(1, 2), epsilon=1e-5),
        lambda x: F.layer_norm(x, (5, 6), torch.tensor(weights(5, 6)), torch.tensor(weights(5, 6))),
    ),
    "rms_norm": (
        row("rms_norm", weight=weights(6), axes=(2,), epsilon=1e-6), lambda x: F.rms_norm(x, (6,), torch.tensor(weights(6)), 1e-6)
    ),
    "group_norm": (
        row("group_norm", weight=weights(4), bias=weights(4), groups=2, epsilon=1e-5),
        lambda x: F.group_norm(x, 2, torch.tensor(weights(4)), torch.tensor(weights(4))),
    ),
    "local_response_norm": (
        row("local_response_norm", size=3, alpha=0.3, beta=0.75, bias=1.5), lambda x: F.local_response_norm(x, 3, 0.3, 0.75, 1.5)
    ),
    "softmax": (row("softmax", axis=1), lambda x: x.softmax(2)),
    "log_softmax": (row("log_softmax", axis=2), lambda x: x.log_softmax(3)),
    "prelu": (row("prelu", slope=weights(4, 1, 1)), lambda x: F.prelu(x, torch.tensor(weights(4)))),
}  # fmt: skip


@pytest.mark.parametrize("name", NORMS)
def test_norms_are_those_of_torch(name: str) -> None:
    """torch's own functions are another path: ours are written out."""
    made, of = graph((4, 5, 6), NORMS[name][0]), NORMS[name][1]
    assert np.allclose(logits(made, X), of(torch.tensor(X)).numpy(), atol=1e-5)


@given(data=st.data())
def test_a_transposed_convolution_is_a_plain_one_of_its_input_with_zeros_between(data: st.DataObject) -> None:
    groups, dims = data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from([1, 2]))
    draw = lambda low, high: tuple(data.draw(st.integers(low, high)) for _ in range(dims))  # noqa: E731  # one draw each
    kernel, stride, dilation, size = draw(1, 3), draw(1, 3), draw(1, 2), draw(1, 4)
    made = graph(
        (4, *size),
        row("conv_transpose", weight=weights(4, 3, *kernel), stride=stride, padding=((0, 0),) * dims, dilation=dilation,
            groups=groups),
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(2, 4, *size)).astype(np.float32)
    wide = np.zeros((2, 4, *((n - 1) * s + 1 for n, s in zip(size, stride, strict=True))), np.float32)
    wide[(..., *(slice(None, None, s) for s in stride))] = x
    turned = np.flip(weights(4, 3, *kernel), tuple(range(2, 2 + dims))).copy()
    plain = np.concatenate([part.swapaxes(0, 1) for part in np.split(turned, groups)])
    sides = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    of = (F.conv1d, F.conv2d)[dims - 1]
    expected = of(torch.tensor(wide), torch.tensor(plain), None, 1, sides, dilation, groups).numpy()
    assert np.allclose(logits(made, x), expected, atol=1e-4)
    synapses = np.prod(size) * 4 * 3 * np.prod(kernel)  # every pixel and channel meets each of its weights once, and no zero
    assert neuro.weigh(made).macs == synapses


def test_products_of_activations_are_counted_as_what_they_are() -> None:
    made = graph((2, 3, 3), row("matmul", "x", "x"))
    (op,) = neuro.weigh(made).ops
    assert (op.kind, op.macs, op.parameters, op.inputs, op.outputs) == ("attention", 2 * 27, 0, 36, 18)
    table = graph((3,), row("embedding", weight=weights(5, 2)), row("reshape", shape=(6,)), row("linear", weight=weights(1, 6)))
    assert neuro.weigh(table).ops[0].weight_reads == 6  # rows that are looked up, not the whole table


@pytest.mark.parametrize("op", sorted(VALUE_OPS))
def test_codes_without_values_refuse_it_by_its_layer_and_name_the_one_that_has_them(op: str) -> None:
    start, given_row = SOUND[op]
    made = graph(start, given_row)
    x = np.random.default_rng(0).random((4, *start), np.float32)
    with pytest.raises(
        neuro.NeuroError, match=r"layer 'l0': the (op|function) \w+ has no spiking form. (Use code='graded'|[A-Z])"
    ) as caught:
        converters.convert(made, x, code="rate")
    assert ("graded" in caught.value.remedy) == (op not in ("embedding", "argmax"))  # those are the host's


def test_the_table_of_nearest_ops_is_complete() -> None:
    assert set(_NEAREST) == VALUE_OPS
    assert set(OPS) > VALUE_OPS


def test_several_inputs_and_outputs_have_names(tmp_path) -> None:
    layers = (
        neuro.Layer("x", "input", (), (3,)),
        neuro.Layer("state", "input", (), (3,)),
        neuro.Layer("sum", "add", ("x", "state"), (3,)),
        neuro.Layer("y", "relu", ("sum",), (3,), {}, {"ceiling": None}),
        neuro.Layer("next", "identity", ("sum",), (3,)),
    )
    made = neuro.Graph(layers, outputs=("y", "next"))
    given_values = {"x": np.ones((2, 3)), "state": -np.arange(6).reshape(2, 3)}
    found = outputs(made, given_values)
    assert np.array_equal(found["next"], [[1, 0, -1], [-2, -3, -4]])
    assert np.array_equal(found["y"], np.maximum(found["next"], 0))
    made.save(tmp_path / "graph.safetensors")
    assert neuro.Graph.load(tmp_path / "graph.safetensors") == made
    assert converters.folding.fold(made).outputs == ("y", "next")
    assert made.only("y").output.name == "y"
    assert made != neuro.Graph(layers[:3])
    for change, message in (
        ({"x": np.ones((2, 3))}, "input 'state': it is missing. Pass x, state"),
        ({**given_values, "z": 1}, "input 'z': it is not one of the network's"),
        ({**given_values, "x": np.ones((2, 4))}, r"input 'x': its shape is \(2, 4\). Pass \(samples, 3\)"),
        ({**given_values, "x": np.ones((1, 3))}, "different numbers of samples"),
        (np.ones((2, 3)), "takes 2 inputs"),
    ):
        with pytest.raises(neuro.NeuroError, match=message):
            outputs(made, change)
    with pytest.raises(neuro.NeuroError, match="it has 2 outputs"):
        made.output  # noqa: B018  # the property refuses
    with pytest.raises(neuro.NeuroError, match="2 inputs"):
        converters.convert(made.only("y"), np.ones((4, 3)), code="graded")
    for names, message in ((("sum", "next"), "layer 'y' reads it"), (("y",), "leave out the last layer"), (("z",), "no such")):
        with pytest.raises(neuro.NeuroError, match=message):
            neuro.Graph(layers, outputs=names)
