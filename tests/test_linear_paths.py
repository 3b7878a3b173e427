"""What lies between two populations, as one operator: it computes what the float layers compute, as a window where it can."""

import numpy as np
import pytest
import torch

from converters import integers, linear, operators
from converters.evaluation import logits
from converters.reconstruction import apply
from converters.stages import stages
from neuro.errors import ConversionError
from tests.graphs import POOL, conv, graph, row, weights

IMAGE = (4, 6, 7)
LINE = (4, 11)
PADDED = {**POOL, "kernel": (3, 3), "padding": ((1, 1), (1, 1)), "divisor": None}
PATHS = {
    "nothing": ((row("identity"),), IMAGE, "Window"),
    "conv and conv": ((conv(5, 4), conv(3, 5, (2, 2), stride=(2, 1))), IMAGE, "Window"),
    "conv and dilated conv": ((conv(5, 4, dilation=(2, 1)), conv(3, 5, (2, 1), dilation=(1, 2))), IMAGE, "Window"),
    "conv over time, twice": ((conv(5, 4, (3,), stride=(2,), bias=True), conv(3, 5, (2,))), LINE, "Window"),
    "pointwise and padded conv": ((conv(5, 4, (1, 1)), conv(3, 5, padding=1)), IMAGE, "Window"),
    "conv and pool": ((conv(5, 4, padding=1, bias=True), row("avg_pool", **POOL)), IMAGE, "Window"),
    "pool and conv": ((row("avg_pool", **POOL), conv(5, 4, (2, 2), bias=True)), IMAGE, "Window"),
    "pool and groups": ((row("avg_pool", **POOL), conv(6, 4, (2, 2), groups=2)), IMAGE, "Window"),
    "groups and pool": ((conv(6, 4, (2, 2), groups=2), row("avg_pool", **POOL)), IMAGE, "Window"),
    "groups and groups": ((conv(6, 4, (2, 2), groups=2), conv(4, 6, (2, 2), groups=2)), IMAGE, "Matrix"),
    "conv and padded conv": ((conv(5, 4, padding=1), conv(3, 5, padding=1)), IMAGE, "Matrix"),
    "padded before alone": ((conv(5, 4), conv(3, 5, (2, 2), padding=((0, 1), (0, 0)))), IMAGE, "Matrix"),
    "first padded by less": ((conv(5, 4, (1, 1), stride=(2, 2)), conv(3, 5, padding=1)), (4, 7, 7), "Window"),
    "strided over the edge": (
        (conv(5, 4, (2, 2), stride=(2, 2)), conv(3, 5, (2, 2), stride=(2, 2), padding=((0, 1), (0, 1)))), (4, 7, 7), "Matrix",
    ),
    "cropped, then padded": ((row("pad", padding=((0, 0), (-1, 0), (0, -2)), value=0.0), conv(3, 4, padding=1)), IMAGE, "Matrix"),
    "padded on purpose": ((row("pad", padding=((0, 0), (1, 2), (0, 3)), value=0.0), conv(3, 4)), IMAGE, "Window"),
    "padded behind": ((conv(3, 4), row("pad", padding=((0, 0), (1, 2), (0, 3)), value=0.5)), IMAGE, "Matrix"),
    "padded channels": ((row("pad", padding=((1, 2), (0, 0), (0, -1)), value=0.0),), IMAGE, "Matrix"),
    "conv of the padded line": ((row("pad", padding=((0, 0), (1, 2)), value=0.0), conv(3, 4, (3,), padding=2)), LINE, "Window"),
    "pool of what is inside": ((conv(5, 4), row("avg_pool", **PADDED)), IMAGE, "Matrix"),
    "pool without divisor": ((row("avg_pool", **{**POOL, "divisor": None}),), IMAGE, "Window"),
    "scaled channels": ((conv(5, 4), row("scale", factor=weights(5, 1, 1), shift=weights(5, 1, 1))), IMAGE, "Window"),
    "scaled pixels": ((conv(5, 4), row("scale", factor=weights(4, 5))), IMAGE, "Matrix"),
    "linear": ((conv(5, 4), row("reshape", shape=(100,)), row("linear", weight=weights(3, 100))), IMAGE, "Matrix"),
    "linear of a row": ((row("linear", weight=weights(3, 9), bias=weights(3)),), (9,), "Matrix"),
    "linear of means": (
        (row("avg_pool", **{**POOL, "kernel": (6, 7), "stride": (1, 1), "divisor": None}), row("reshape", shape=(4,)),
         row("linear", weight=weights(3, 4), bias=weights(3))), IMAGE, "Matrix",
    ),
    "linear of the last axis": ((row("linear", weight=weights(3, 7)), row("permute", axes=(2, 0, 1))), IMAGE, "Matrix"),
}  # fmt: skip


def test_neurons_that_are_averaged_share_their_weights() -> None:
    layers, shape, _ = PATHS["linear of means"]
    made = graph(shape, *layers)
    pool, flat, last = (layer for layer in made.layers if layer.op in ("avg_pool", "reshape", "linear"))
    before = linear.follow(linear.follow(linear.identity(shape), pool), flat)
    shared, plain = linear.after_shared(before, last), linear.follow(before, last)
    assert shared is not None
    assert (shared.weight.shape, np.prod(shape)) == ((4, 3), 168)
    assert np.array_equal(shared.whole, plain.weight)
    unit = np.arange(1, 5).reshape(4, 1, 1) / 7
    both = [linear.times(op, unit, 3.0) for op in (shared, plain)]
    assert both[0].rows is not None
    assert np.array_equal(both[0].whole, both[1].weight)
    each = np.arange(168).reshape(shape) / 11.0  # differs among those that share
    assert np.array_equal(linear.times(shared, each, 1.0).whole, linear.times(plain, each, 1.0).weight)
    assert operators.full(shared) == operators.full(plain)
    assert np.array_equal(linear.added(shared, shared).whole, 2 * plain.weight)
    rounded = [integers.rounded(linear.times(op, 1.0, 40.0), 127) for op in (shared, plain)]
    stored = [integers.projection("a", "b", op, 1).matrix for op in rounded]
    assert np.array_equal(*stored)
    assert integers.kept(*(linear.times(shared, 1.0, 40.0), rounded[0])) == pytest.approx(
        integers.kept(*(linear.times(plain, 1.0, 40.0), rounded[1]))
    )
    assert linear.after_shared(plain, last) is None


def computed(made, x: np.ndarray) -> np.ndarray:
    """The readout of stages that have no rectifier: every path's operator on the input, and the bias."""
    readout = stages(made)[-1]
    total = sum(apply(path.operator, torch.as_tensor(x)).numpy() for path in readout.paths)
    return np.asarray(total + readout.bias)


@pytest.mark.peer("torch")
@pytest.mark.parametrize("name", PATHS)
def test_layers_in_a_row_are_one_operator(name: str) -> None:
    rows, shape, kind = PATHS[name]
    made = graph(shape, *rows)
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    (path,) = stages(made)[-1].paths
    assert type(path.operator).__name__ == kind
    assert np.allclose(computed(made, x), logits(made, x), atol=1e-5)
    matrix = linear.to_matrix(path.operator)
    assert np.allclose(apply(matrix, torch.as_tensor(x)), apply(path.operator, torch.as_tensor(x)), atol=1e-5)


JOINED = {
    "channels": ((row("scale", "x", factor=np.float32([2])), row("concat", "x", "l0", axis=0), conv(3, 8)), 1),
    "channels in groups": (
        (row("scale", "x", factor=np.float32([2])), row("concat", "x", "l0", axis=0), conv(2, 8, groups=2)), 1,
    ),
    "rows": ((row("scale", "x", factor=np.float32([2])), row("concat", "x", "l0", axis=1), conv(3, 4)), 1),
    "a sum of two windows": ((conv(4, 4, padding=1), conv(4, 4, (1, 1), source="x"), row("add", "l0", "l1")), 2),
    "a sum of two alike": ((conv(5, 4), conv(5, 4, source="x"), row("add", "l0", "l1")), 1),
    "a sum of matrices": (
        (row("linear", weight=weights(7, 7)), row("linear", "x", weight=weights(7, 7, seed=2)), row("add", "l0", "l1")), 1,
    ),
}  # fmt: skip


@pytest.mark.peer("torch")
@pytest.mark.parametrize("name", JOINED)
def test_ways_that_join_add_up_and_merge_where_they_are_alike(name: str) -> None:
    rows, paths = JOINED[name]
    made = graph(IMAGE, *rows)
    x = np.random.default_rng(1).normal(size=(3, *IMAGE)).astype(np.float32)
    assert len(stages(made)[-1].paths) == paths
    assert np.allclose(computed(made, x), logits(made, x), atol=1e-5)


def test_a_network_that_ends_in_spikes_gets_a_readout_of_its_own() -> None:
    for name, expected in (("", "output"), ("output", "output.output")):
        made = graph(IMAGE, conv(5, 4, bias=True), row("relu", ceiling=None, name=name))
        *_, relu, readout = stages(made)
        assert (relu.kind, readout.kind, readout.name) == ("relu", "readout", expected)
        assert [path.source for path in readout.paths] == [relu.name]
        values = torch.as_tensor(weights(2, *relu.shape))
        assert np.array_equal(apply(readout.paths[0].operator, values), values.double())


def test_sums_of_other_shapes_and_maxima_below_zero_are_refused() -> None:
    with pytest.raises(ConversionError, match=r"it adds shapes \(\(4, 6, 7\), \(4, 6, 1\)\). Add equal shapes"):
        stages(graph(IMAGE, row("linear", weight=weights(1, 7)), row("add", "x", "l0")))
    pool = {key: POOL[key] for key in ("kernel", "stride", "padding")}
    with pytest.raises(ConversionError, match="layer 'l1': it pools the maximum of conv values, which may be negative"):
        stages(graph(IMAGE, conv(5, 4), row("max_pool", **pool, dilation=(1, 1))))
