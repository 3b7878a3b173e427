"""Weights at zero: they stay so through training and conversion, and what a chip's storage saves is what it really stores."""

import numpy as np
import pytest
import torch
from torch import nn

import converters
import neuro
from converters.optimising.bits import allotted
from converters.optimising.channels import mixes
from converters.optimising.scores import curvature, weight_scores
from converters.optimising.sparsity import follows, masked, pattern_masks, share_masks
from neuro.errors import ConversionError
from neuro.optimising.elsewhere import elsewhere
from neuro.optimising.measure import converted
from tests.optimising import CHIP, Residual, data, emulated, learned

X, Y = data(200)


class Plain(nn.Module):
    """Two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.answer = nn.Linear(36, 32), nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answer(torch.relu(self.first(x.flatten(1))))


def thinned(graph: neuro.Graph, share: float) -> neuro.Graph:
    return masked(graph, share_masks(graph, weight_scores(graph, X, Y, "magnitude"), share))


@pytest.mark.parametrize(("model", "share", "layer"), [(Plain, 0.8, "first"), (Residual, 0.6, "wide")])
def test_conversion_fills_no_weight_that_was_pruned(model, share, layer):
    graph = thinned(learned(model(), X, Y), share)
    network = converted(graph, X[:64], CHIP, {"code": "graded", "timesteps": 1})
    (relu,) = graph.consumers(layer)
    stored = sum(int(np.count_nonzero(p.stored_weights)) for p in network.into(relu.name))
    kept = int(np.count_nonzero(graph[layer].arrays["weight"]))
    assert 0.9 * kept < stored <= kept  # a few round to zero


def test_sparse_lists_save_synapses_and_memory():
    wide = Plain()
    wide.first, wide.answer = nn.Linear(36, 512), nn.Linear(512, 4)
    graph = learned(wide, X, Y, steps=5)
    before, after = emulated(graph, X[:20]), emulated(thinned(graph, 0.8), X[:20])
    assert after.synops < 0.35 * before.synops
    assert after.placement.fill["synapse_bits"].sum() < 0.8 * before.placement.fill["synapse_bits"].sum()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_every_layer_loses_the_share_that_was_asked_for(share):
    graph = thinned(learned(Residual(), X, Y, steps=2), share)
    for layer in graph.layers:
        if mixes(layer):
            weight = layer.arrays["weight"]
            assert weight.size - np.count_nonzero(weight) == round(share * weight.size), layer.name


@pytest.mark.parametrize("norms", [False, True])
def test_rounds_thin_out_a_network_and_keep_it_so(tmp_path, norms):
    goal = neuro.OptimiseGoal(accuracy_loss=0.05, energy=(1.2, 2.0))
    settings = neuro.OptimiseSettings(steps=40, channels=0.0, sparsity=0.8, score="magnitude", norms=norms)
    found = neuro.optimise(learned(Plain(), X, Y), X, labels=Y, goal=goal, settings=settings, folder=tmp_path / "f")
    shares = [1 - np.count_nonzero(w := p.graph["first"].arrays["weight"]) / w.size for p in found.points]
    assert shares[0] == 0 < shares[1] < shares[2] == pytest.approx(0.8, abs=0.01)
    assert found.points[2].recipe["zero_weights"] > 0.7
    assert found.points[2].measured.synapse_bits < found.start.measured.synapse_bits
    assert found.less(found.points[2]) > 2


def test_two_of_four_has_its_row_where_units_skip_zeros(tmp_path):
    settings = neuro.OptimiseSettings(steps=10, channels=0.0, pattern="2:4")
    goal = neuro.OptimiseGoal(energy=(1.0,))
    found = neuro.optimise(learned(Plain(), X, Y), X, labels=Y, goal=goal, settings=settings, folder=tmp_path / "f")
    assert follows(found.points[1].graph, 2, 4)
    rows = elsewhere(found, ("a100", "v100", "stm32u575"), (0, 1))
    noted = [(row.machine, row.point) for row in rows if row.note]
    assert noted == [("a100", 1)]  # no such units before 2020, nor in a microcontroller
    plain = next(row for row in rows if (row.machine, row.point, row.note) == ("a100", 1, ""))
    assert plain.faster == pytest.approx(1.0, abs=0.01)  # zeros alone save nothing there; a dead channel does


@pytest.mark.parametrize("shape", [(6, 8), (3, 8, 3, 3), (5, 4, 3)])
def test_patterns_hold_in_every_row_of_inputs(shape):
    rng = np.random.default_rng(0)
    kinds = {2: "linear", 3: "conv", 4: "conv"}
    dims = len(shape) - 2
    options = {"stride": (1,) * dims, "padding": ((0, 0),) * dims, "dilation": (1,) * dims, "groups": 1} if dims else {}
    source = (shape[1], *shape[2:])
    layer = neuro.Layer("l", kinds[len(shape)], ("x",), (shape[0], *(1,) * dims), {"weight": rng.normal(size=shape)}, options)
    graph = neuro.Graph((neuro.Layer("x", "input", (), source), layer))
    mask = pattern_masks(graph, {"l": rng.random(shape)}, 2, 4)["l"]
    assert (np.moveaxis(mask, 1, -1).reshape(-1, 4).sum(axis=1) == 2).all()


def test_bits_go_where_rounding_costs_most():
    graph = learned(Residual(), X, Y)
    curved = curvature(graph, X[:128], Y[:128])
    given = allotted(graph, curved, 5.0)
    sizes = {name: graph[name].arrays["weight"].size for name in given}
    assert sum(given[name] * size for name, size in sizes.items()) <= 5 * sum(sizes.values())
    assert max(given.values()) > min(given.values())
    flat = {name: np.zeros_like(values) for name, values in curved.items()}
    steep = {**flat, "answer": curved["answer"] + 1}
    assert allotted(graph, steep, 4.0)["answer"] == 8  # the others cost nothing
    assert set(allotted(graph, curved, 8.0).values()) == {8}
    with pytest.raises(ConversionError, match="out of reach"):
        allotted(graph, curved, 1.0)


def test_weights_have_the_bits_of_their_population():
    graph = learned(Plain(), X, Y)
    (relu,) = graph.consumers("first")
    made = converters.convert(graph, X[:64], code="graded", weight_bits={relu.name: 3})
    widths = {p.target: int(np.abs(p.stored_weights).max()) for p in made.network.projections}
    assert widths == {relu.name: 3, graph.output.name: 127}
    plain = converters.convert(graph, X[:64], code="graded", weight_bits={})
    assert plain.network == converters.convert(graph, X[:64], code="graded").network
    for wrong, words in (({"nobody": 4}, "nobody"), ({relu.name: 1}, relu.name)):
        with pytest.raises(ConversionError, match=words):
            converters.convert(graph, X[:64], code="graded", weight_bits=wrong)
    with pytest.raises(ConversionError, match="same bits everywhere"):
        converters.convert(graph, X[:64], code="auto", weight_bits={relu.name: 4})


def test_mixed_bits_save_memory(tmp_path):
    goal, settings = neuro.OptimiseGoal(energy=(1.0,)), neuro.OptimiseSettings(steps=20, channels=0.0, average_bits=4.0)
    found = neuro.optimise(learned(Plain(), X, Y), X, labels=Y, goal=goal, settings=settings, folder=tmp_path / "f")
    start, point = found.points
    assert point.measured.synapse_bits < 0.75 * start.measured.synapse_bits
    assert min(point.recipe["weight_bits"].values()) <= 4
    again = neuro.optimise(learned(Plain(), X, Y), X, labels=Y, goal=goal, settings=settings, folder=tmp_path / "f", resume=True)
    assert again.to_json() == found.to_json()
