"""Passes over a float graph: what they leave, and that the graph computes the same before and behind them."""

import numpy as np
import pytest

from converters.evaluation import logits
from converters.folding import fold, rectify_means
from neuro.graph import Graph
from tests.graphs import POOL, conv, graph, row, weights

IMAGE = (4, 6, 8)
MAX = {"kernel": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
NORM = {name: np.abs(weights(6, seed=i)) + 0.1 for i, name in enumerate(("mean", "variance", "weight", "bias"))}
UP = np.abs(weights(6, 1, 1))
RELU, POOLED = row("relu", ceiling=None), row("max_pool", **MAX)
FOLDED = {
    "batch norm": ((conv(6, 4), row("batch_norm", epsilon=0.1, **NORM)), "conv"),
    "batch norm of a sum that is read twice": (
        (conv(6, 4), row("batch_norm", epsilon=0.1, **NORM), row("add", "l0", "l1")), "conv scale add",
    ),
    "two batch norms of one": (
        (conv(6, 4), row("batch_norm", epsilon=0.1, **NORM), row("batch_norm", epsilon=0.1, **NORM)), "conv",
    ),
    "what changes nothing": (
        (row("identity"), row("pad", padding=((0, 0),) * 3, value=0.0), row("reshape", shape=IMAGE), row("add", "l2"),
         row("concat", "l3", axis=1), row("scale", factor=np.ones(1, np.float32)), conv(6, 4)), "conv",
    ),
    "relu behind a max pool": ((conv(6, 4), POOLED, RELU), "conv relu max_pool"),
    "relu behind a concatenation": (
        (conv(6, 4), conv(6, 4, source="x"), row("concat", "l0", "l1", axis=0), RELU), "conv conv relu relu concat",
    ),
    "relu6 behind a relu": ((conv(6, 4), RELU, row("relu", ceiling=6.0)), "conv relu relu"),
    "relu behind a relu6": ((conv(6, 4), row("relu", ceiling=6.0), RELU), "conv relu"),
    "relu behind a max pool of a relu": ((conv(6, 4), RELU, POOLED, RELU), "conv relu max_pool"),
    "relu behind a max pool that is read twice": (
        (conv(6, 4), RELU, POOLED, RELU, row("add", "l2", "l3")), "conv relu max_pool add",
    ),
    "average of a concatenation that is read twice": (
        (conv(6, 4, padding=1), row("concat", "l0", "x", axis=0), row("avg_pool", **POOL),
         conv(10, 10, (2, 2), source="l1", stride=(2, 2)), row("add", "l2", "l3")),
        "conv concat avg_pool avg_pool concat conv add",
    ),
    "scale behind a max pool": ((conv(6, 4), POOLED, row("scale", factor=UP, shift=-UP), RELU), "conv scale relu max_pool"),
    "negative scale behind a max pool": ((conv(6, 4), RELU, POOLED, row("scale", factor=-UP)), "conv relu max_pool scale"),
    "scale of pixels behind a max pool": (
        (conv(6, 4), RELU, POOLED, row("scale", factor=np.abs(weights(1, 2, 3)))), "conv relu max_pool scale",
    ),
    "average of a concatenation": (
        (conv(6, 4), conv(6, 4, source="x"), row("concat", "l0", "l1", axis=0), row("avg_pool", **POOL)),
        "conv conv avg_pool avg_pool concat",
    ),
    "average of rows that are joined": (
        (conv(6, 4), conv(6, 4, source="x"), row("concat", "l0", "l1", axis=1), row("avg_pool", **POOL)),
        "conv conv concat avg_pool",
    ),
    "maximum of scaled rectified values": (
        (conv(6, 4), RELU, row("scale", factor=UP), row("avg_pool", **POOL), POOLED), "conv relu scale avg_pool relu max_pool",
    ),
    "maximum of padded rectified values": (
        (conv(6, 4), RELU, row("pad", padding=((0, 0), (1, 1), (0, 0)), value=0.5), POOLED), "conv relu pad relu max_pool",
    ),
    "a layer that leads nowhere, behind the output": (
        (conv(6, 4), conv(5, 4, source="x"), row("batch_norm", "l0", epsilon=0.1, **NORM)), "conv conv identity",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDED)
def test_passes_change_how_a_network_is_written_never_what_it_computes(name: str) -> None:
    rows, ops = FOLDED[name]
    made = graph(IMAGE, *rows)
    x = np.random.default_rng(2).normal(size=(3, *IMAGE)).astype(np.float32)
    folded = fold(made)
    assert [layer.op for layer in folded.layers[1:]] == ops.split()
    assert np.allclose(logits(folded, x), logits(made, x), atol=1e-5)
    assert fold(folded) is folded


def test_new_layers_get_names_that_are_free() -> None:
    rows = ({**conv(6, 4), "name": "l2.0"}, POOLED, RELU)
    folded = fold(graph(IMAGE, *rows))
    assert [layer.name for layer in folded.layers[1:]] == ["l2.0", "l2.0_", "l2"]


def test_a_mean_becomes_a_population_where_folding_it_would_multiply_many_synapses() -> None:
    def made(outputs: int) -> Graph:
        last = row("linear", weight=weights(outputs, 4), bias=weights(outputs))
        whole = {**POOL, "kernel": IMAGE[1:], "stride": (1, 1), "padding": ((0, 0), (0, 0)), "divisor": None}
        return graph(IMAGE, RELU, row("avg_pool", **whole), row("reshape", shape=(4,)), last)

    x = np.random.default_rng(2).normal(size=(3, *IMAGE)).astype(np.float32)
    few, many = made(10), made(11)
    assert rectify_means(few, 10 * 192) == few
    means = rectify_means(many, 10 * 192)
    assert [layer.op for layer in means.layers[1:]] == ["relu", "avg_pool", "relu", "reshape", "linear"]
    assert np.array_equal(logits(means, x), logits(many, x))
    assert rectify_means(made(1), 0) == made(1)  # nothing is saved
