"""What value networks recognise in a graph before they make populations of it: functions and softmax written out, far bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import converters
import neuro
from converters.evaluation import logits
from converters.values.decompose import decompose
from converters.values.fusing import fused
from converters.values.layout import with_channels_first
from converters.values.populations import cells
from converters.values.recognising import recognised

FUNCTIONS = st.sampled_from(["tanh", "sigmoid", "square", "erf", "softplus", "abs", "hardswish"])
STEPS = st.lists(st.tuples(st.sampled_from(["function", "multiply", "add", "scale", "relu", "constant"]), FUNCTIONS), max_size=7)


def elementwise(steps, seed: int) -> neuro.Graph:
    """Layers that work on each of four values alone, each on the last one and one before; then a dense layer."""
    rng = np.random.default_rng(seed)
    layers = [neuro.Layer("x", "input", (), (4,))]
    for i, (op, name) in enumerate(steps):
        last, other = layers[-1].name, layers[rng.integers(len(layers))].name
        if op == "constant":
            layers.insert(1, neuro.Layer(f"c{i}", "constant", (), (1,), {"value": np.array([0.5], np.float32)}))
            op, other = "multiply", f"c{i}"
        options = {"function": {"name": name, "values": ()}, "relu": {"ceiling": None}}.get(op, {})
        arrays = {"factor": np.float32(rng.normal()), "shift": np.float32(rng.normal())} if op == "scale" else {}
        inputs = (last, other) if op in ("multiply", "add") else (last,)
        layers.append(neuro.Layer(f"l{i}", op, inputs, (4,), arrays, options))
    layers.append(neuro.Layer("y", "linear", (layers[-1].name,), (3,), {"weight": rng.normal(size=(3, 4))}))
    return neuro.Graph(tuple(layers))


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 99))
def test_a_fused_part_computes_what_its_layers_do(steps, seed: int) -> None:
    graph = elementwise(steps, seed)
    x = torch.tensor(np.random.default_rng(seed).normal(size=(5, 4)), dtype=torch.float64)
    for name, part in fused(graph, ()).items():
        values = converters.evaluation.evaluate(graph, {"x": x.float()}, (part.source, name))
        expected, argument = (values[key].double().numpy() for key in (name, part.source))
        assert np.allclose(part(argument), expected, rtol=1e-4, atol=1e-5 * max(1, np.abs(expected).max()))
        inner = [layer.name for layer in part.layers[:-1] if layer.op != "constant"]
        readers = {reader.name for key in inner for reader in graph.consumers(key)}
        assert readers <= {layer.name for layer in part.layers}, "what others read is no inner layer"


def written_out(x: torch.Tensor) -> torch.Tensor:
    """GELU as exporters write it; the cube of a large value leaves no levels for small ones."""
    return 0.5 * x * (torch.tanh((x + x * x * x * 0.044715) * 0.79788456) + 1)


class Written(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = written_out(6 * self.a(x))
        y = y - y.mean(1, keepdim=True)
        power = torch.exp(y - y.amax(1, keepdim=True))
        return self.b(power / power.sum(1, keepdim=True))


def test_a_function_written_out_is_one_table() -> None:
    torch.manual_seed(0)
    model, x = Written(), np.random.default_rng(0).normal(size=(48, 6)).astype(np.float32)
    graph = recognised(converters.trace(model, x[:2]))
    assert [layer.op for layer in graph.layers].count("softmax") == 1
    assert np.allclose(logits(graph, x), model(torch.tensor(x)).detach().numpy(), atol=1e-5)
    found = cells(*decompose(graph))
    assert [part.names for cell in found if (part := cell.fused)] == [("square", "tanh")]
    made = converters.convert(model, x, code="graded")
    assert made.agreement.correlation > 0.995, made.agreement
    assert np.array_equal(neuro.run(made.network, x[:4], engine="reference").logits, made.quantised(x[:4]))


def test_a_sum_of_powers_along_another_axis_is_no_softmax() -> None:
    class Other(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            power = torch.exp(x)
            return power / power.sum(1, keepdim=True) + power / power.sum((1, 2), keepdim=True)

    x = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float32)
    graph = recognised(converters.trace(Other(), x[:2]))
    assert [layer.op for layer in graph.layers].count("softmax") == 1
    assert np.allclose(logits(graph, x), Other()(torch.tensor(x)).numpy(), atol=1e-5)


@pytest.mark.parametrize(("op", "bound", "kept"), [("maximum", -3e38, 1), ("minimum", 3e38, 1), ("maximum", -1.0, 2)])
def test_bounds_beyond_every_value_are_left_out(op: str, bound: float, kept: int) -> None:
    """Of x and -3e38 the larger one as a + relu(b - a) would be 0."""
    layers = (
        neuro.Layer("x", "input", (), (4,)),
        neuro.Layer("c", "constant", (), (1,), {"value": np.array([bound], np.float32)}),
        neuro.Layer("m", op, ("x", "c"), (4,)),
        neuro.Layer("y", "linear", ("m",), (3,), {"weight": np.ones((3, 4), np.float32)}),
    )
    graph = neuro.Graph(layers)
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    made = recognised(graph)
    assert len(made["m"].inputs) == kept
    assert np.allclose(logits(decompose(made)[0], x), logits(graph, x), atol=1e-5)


def test_a_root_behind_a_reshape_is_one_table_with_what_bounds_it() -> None:
    """Of 1 / sqrt(max(v, 0) + e), v rounded by itself would be 0 where it is small."""

    class Rooted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            v = x.mean(1).clamp(min=0)
            return x * (v.reshape(-1, 1) + 1e-3).sqrt().reciprocal()

    x = np.random.default_rng(0).normal(size=(64, 24)).astype(np.float32)
    graph = recognised(converters.trace(Rooted(), x[:2]))
    assert np.allclose(logits(graph, x), Rooted()(torch.tensor(x)).numpy(), rtol=1e-3, atol=1e-4)
    assert ("sqrt", "reciprocal") in [part.names for cell in cells(*decompose(graph)) if (part := cell.fused)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["linear", "function", "scale", "add", "multiply", "reduce", "permute"]), max_size=8),
    st.integers(0, 99),
)
def test_channels_first_computes_the_same(ops: list[str], seed: int) -> None:
    """Dense layers over positions among all that may stand between them."""
    rng = np.random.default_rng(seed)
    layers = [neuro.Layer("x", "input", (), (3, 5))]
    for i, op in enumerate(ops):
        last = layers[-1]
        same = [layer.name for layer in layers if layer.shape == last.shape]
        inputs = (last.name, str(rng.choice(same))) if op in ("add", "multiply") else (last.name,)
        shape, arrays, options = last.shape, {}, {}
        if op == "linear":
            shape, arrays = (shape[0], 4), {"weight": rng.normal(size=(4, shape[1])), "bias": rng.normal(size=4)}
        elif op == "function":
            options = {"name": "tanh", "values": ()}
        elif op == "scale":
            arrays = {"factor": rng.normal(size=shape[1]), "shift": rng.normal(size=(shape[0], 1))}
        elif op == "reduce":
            axis = int(rng.integers(2))
            options = {"kind": "mean", "axes": (axis,)}
            shape = tuple(1 if a == axis else n for a, n in enumerate(shape))
        elif op == "permute":
            options, shape = {"axes": (1, 0)}, shape[::-1]
        layers.append(neuro.Layer(f"l{i}", op, inputs, shape, arrays, options))
    graph = neuro.Graph(tuple(layers))
    x = rng.normal(size=(3, 3, 5)).astype(np.float32)
    made = with_channels_first(graph)
    assert made.output.name == graph.output.name
    assert np.allclose(logits(made, x), logits(graph, x), atol=1e-4)
