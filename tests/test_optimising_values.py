"""Networks that compute with values made smaller: heads of attention and hidden channels leave, and the rest is trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import neuro
from converters.evaluation import logits
from converters.folding import fold
from converters.frontend import trace
from converters.optimising.channels import channel_groups, mixes, without
from converters.optimising.plain import PlainStudent
from converters.optimising.scores import channel_scores, weight_scores
from neuro.errors import UsageError
from neuro.graph import Graph
from neuro.optimising.measure import measures, run_on
from neuro.optimising.optimise import split
from tests.optimising import CHIP

TOKENS, WIDTH, HEADS = 4, 6, 3


class Block(nn.Module):
    """Attention of three heads and a gated feed-forward, each beside a skip path; a gate over channels as MobileNet has them."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.norms = nn.Linear(5, WIDTH), nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.up, self.depth, self.down = nn.Conv1d(WIDTH, 16, 1), nn.Conv1d(8, 8, 3, padding=1, groups=8), nn.Conv1d(8, WIDTH, 1)
        self.squeeze, self.answer = nn.Linear(8, 8), nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.before(x)
        y = self.norms[0](x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        y = nn.functional.silu(self.depth(nn.functional.glu(self.up(self.norms[1](x).transpose(1, 2)), dim=1)))
        gated = y * torch.sigmoid(self.squeeze(y.mean(dim=2)))[:, :, None]
        return self.answer((x + self.down(gated).transpose(1, 2)).mean(dim=1))


def data(samples: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (samples, 4, 5) of three classes: the feature that is largest at the largest token."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(samples, TOKENS, 5)).astype(np.float32), rng.integers(0, 3, samples)
    x[np.arange(samples), rng.integers(0, TOKENS, samples), y] += 3
    return x, y


def network() -> Graph:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        model = Block()
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(60):
            loss = nn.functional.cross_entropy(model(torch.as_tensor(X)), torch.as_tensor(Y))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return split(model.eval(), X, Y, None, 0).graph


X, Y = data()
GRAPH = network()


def zeroed(graph: Graph, kept) -> Graph:
    """The graph in which nothing reads the entries that are not kept."""
    layers = []
    for layer in graph.layers:
        if mixes(layer) and len(kept[layer.inputs[0]]) < len(channel_groups(graph).of[layer.inputs[0]]):
            weight = np.array(layer.arrays["weight"])
            weight[:, np.setdiff1d(np.arange(weight.shape[1]), kept[layer.inputs[0]])] = 0
            layer = replace(layer, arrays={**layer.arrays, "weight": weight})
        layers.append(layer)
    return graph.relayered(layers)


def heads(graph: Graph) -> list[int]:
    """The groups of the heads: those of the softmax."""
    (softmax,) = (layer.name for layer in graph.layers if layer.op == "softmax")
    return [group for group in channel_groups(graph).of[softmax].tolist() if group not in channel_groups(graph).fixed]


@given(st.lists(st.integers(0, 60), max_size=20))
@settings(max_examples=40)
def test_without_heads_and_channels_as_if_nothing_read_them(picked):
    groups = channel_groups(GRAPH)
    removed = {int(groups.removable[i % len(groups.removable)]) for i in picked}
    smaller, kept = without(GRAPH, groups, removed)
    assert np.allclose(logits(smaller, X[:8]), logits(zeroed(GRAPH, kept), X[:8]), atol=1e-5)
    assert all(layer.shape[groups.axis[layer.name]] == len(kept[layer.name]) for layer in smaller.layers)
    again = channel_groups(smaller)
    assert {n: len(again.of[n]) for n in again.of} == {n: len(kept[n]) for n in kept}
    assert len(again.removable) == len(groups.removable) - (len(removed) - sum(_stayed(groups, kept, removed)))


def _stayed(groups, kept, removed) -> list[bool]:
    """Which groups stay although they were named, as their layer would be empty without them."""
    left = {int(g) for name, entries in groups.of.items() for g in entries[kept[name]]}
    return [group in left for group in sorted(removed)]


def test_a_head_is_one_group_of_its_queries_keys_and_values():
    groups = channel_groups(GRAPH)
    assert len(heads(GRAPH)) == HEADS
    projections = [layer.name for layer in GRAPH.layers if layer.op == "linear" and heads(GRAPH)[0] in groups.of[layer.name]]
    assert len(projections) == 3
    for name in projections:
        assert np.array_equal(groups.of[name], np.repeat(heads(GRAPH), WIDTH // HEADS))
    hidden = next(layer for layer in GRAPH.layers if layer.op == "conv" and layer.shape[0] == 16)
    assert np.array_equal(groups.of[hidden.name][:8], groups.of[hidden.name][8:])  # a value and its gate
    assert len(groups.removable) == HEADS + 8  # what the squeezed gate yields leaves with the channel that it scales


def test_movement_of_heads_and_channels_is_the_slope_of_the_loss_along_a_gate():
    groups = channel_groups(GRAPH)
    scores = channel_scores(GRAPH, groups, X[:20], Y[:20], "movement")

    def loss(group: int, gate: float) -> float:
        layers = []
        for layer in GRAPH.layers:
            if mixes(layer) and group in groups.of[layer.inputs[0]]:
                weight = layer.arrays["weight"].astype(np.float64)
                weight[:, groups.of[layer.inputs[0]] == group] *= gate
                layer = replace(layer, arrays={**layer.arrays, "weight": weight.astype(np.float32)})
            layers.append(layer)
        found = torch.as_tensor(logits(GRAPH.relayered(layers), X[:20])).double()
        return float(nn.functional.cross_entropy(found, torch.as_tensor(Y[:20])))

    for group in groups.removable.tolist():
        slope = (loss(group, 1.02) - loss(group, 0.98)) / 0.04
        assert scores[group] == pytest.approx(abs(slope), rel=0.05, abs=2e-4)


def test_a_head_that_nothing_reads_scores_nothing():
    groups, gone = channel_groups(GRAPH), heads(GRAPH)[1]
    _, kept = without(GRAPH, groups, [gone])
    for score in ("fisher", "movement", "magnitude"):
        scores = channel_scores(zeroed(GRAPH, kept), groups, X[:20], None, score)
        assert scores[gone] == min(scores.values()) == 0
    assert set(weight_scores(GRAPH, X[:20], Y[:20], "fisher")) == {
        layer.name for layer in GRAPH.layers if "weight" in layer.arrays
    } - {layer.name for layer in GRAPH.layers if layer.op == "layer_norm"}


def test_a_plain_student_is_its_graph_and_keeps_zeros():
    first = next(layer for layer in GRAPH.layers if layer.op == "linear")
    mask = np.ones(first.arrays["weight"].shape, np.bool_)
    assert np.allclose(logits(PlainStudent(GRAPH, {}).graph(), X[:9]), logits(GRAPH, X[:9]))
    mask[0] = False
    student = PlainStudent(GRAPH, {first.name: mask})
    optimiser = torch.optim.Adam(student.parameters(0.01))
    for _ in range(3):
        optimiser.zero_grad()
        student.forward(torch.as_tensor(X)).values[student.output].square().mean().backward()
        optimiser.step()
    trained = student.graph()[first.name].arrays["weight"]
    assert not trained[0].any()
    assert (trained[1:] != first.arrays["weight"][1:]).all()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    goal, how = neuro.OptimiseGoal(0.1, (1.3,)), neuro.OptimiseSettings(steps=10, batch=16)
    folder = tmp_path_factory.mktemp("values") / "f"
    return neuro.optimise(GRAPH, X, labels=Y, goal=goal, settings=how, folder=folder)


def test_rounds_of_a_network_of_values(found):
    start, smaller = found.points
    assert smaller.measured.dynamic_pj < start.measured.dynamic_pj / 1.15
    assert smaller.recipe["removed_groups"] > 0
    parts = split(GRAPH, X, Y, None, 0)
    assert measures(run_on(smaller.network, CHIP, parts.x), parts.wanted) == smaller.measured
    assert sum(layer.weights for layer in smaller.measured.layers) < sum(layer.weights for layer in start.measured.layers)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 3), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.a(x) * self.b(y)


def test_what_networks_of_values_cannot_have(tmp_path):
    for wrong, message in (
        ({"code": "rate"}, "which 'rate' does not carry"),
        ({"codes": ("wait:8",)}, "which 'wait:8' does not carry"),
        ({"average_bits": 4.0}, "channels, heads and weights of it can be removed"),
        ({"norms": True}, "channels, heads and weights of it can be removed"),
    ):
        how = neuro.OptimiseSettings(**wrong)
        with pytest.raises(UsageError, match=message):
            neuro.optimise(GRAPH, X, labels=Y, settings=how, folder=tmp_path / "f")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        two = fold(trace(TwoInputs().eval(), {"x": X[:2, 0], "y": X[:2, 1]}))
    with pytest.raises(UsageError, match="it has 2 inputs"):
        split(two, X[:, 0], Y, None, 0)
