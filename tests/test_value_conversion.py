"""Networks that compute with values become networks of value neurons: equal in every engine, near the float ones."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import converters
import neuro
from converters.evaluation import logits
from converters.folding import fold
from converters.values import populations
from converters.values.decompose import decompose
from converters.values.populations import cells
from converters.values.tail import split_tail
from neuro.errors import AccuracyWarning, ConversionError
from tests.modules import Module
from tests.value_networks import NETS, inputs, of, ready


@pytest.mark.parametrize("name", NETS)
def test_the_network_is_near_the_float_one_and_equal_in_every_engine(name: str) -> None:
    model, x = ready(name)
    made = converters.convert(model, x, code="graded")
    assert made.agreement.correlation > 0.99, made.agreement
    expected = made.quantised(x[:3])
    for engine in ("reference", "torch"):
        run = neuro.run(made.network, x[:3], engine=engine)
        assert np.array_equal(run.logits, expected), engine
    counted = converters.quantised.evaluate(made.network, x[:3])
    assert counted.synops == run.synops
    assert all(np.array_equal(counted.spikes[key], run.spikes[key]) for key in run.spikes)


@pytest.mark.parametrize("name", ["mobile", "attention"])
def test_the_event_engine_agrees(name: str) -> None:
    model, x = ready(name)
    made = converters.convert(model, x, code="graded")
    assert np.array_equal(neuro.run(made.network, x[:3], engine="event").logits, made.quantised(x[:3]))


@pytest.mark.parametrize("name", NETS)
def test_primitive_ops_compute_what_the_graph_did(name: str) -> None:
    model, x = ready(name)
    graph = fold(converters.trace(model, x[:2]))
    simple, _ = decompose(graph)
    expected = logits(graph, x)
    assert np.abs(logits(simple, x) - expected).max() < 1e-5 * np.abs(expected).max()


UNARY = st.sampled_from(["silu", "gelu", "tanh", "sigmoid", "softplus", "elu", "abs", "square", "leaky_relu", "hardswish"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["function", "multiply", "add", "linear", "relu", "softmax", "rms_norm"]), UNARY),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(STEPS, st.integers(0, 99))
def test_random_graphs_equal_their_integers(steps, seed: int) -> None:
    """Any order of such layers, each reading the last one and one before: engines and integers agree."""
    rng = np.random.default_rng(seed)
    layers = [neuro.Layer("x", "input", (), (4,))]
    for i, (op, name) in enumerate(steps):
        last, other = layers[-1].name, layers[rng.integers(len(layers))].name
        two = op in ("multiply", "add")
        options = {
            "function": {"name": name, "values": ()}, "relu": {"ceiling": None}, "softmax": {"axis": 0},
            "rms_norm": {"axes": (0,), "epsilon": 0.1},
        }.get(op, {})  # fmt: skip
        arrays = {"weight": rng.normal(size=(4, 4)) / 2, "bias": rng.normal(size=4)} if op == "linear" else {}
        layers.append(neuro.Layer(f"l{i}", op, (last, other) if two else (last,), (4,), arrays, options))
    layers.append(neuro.Layer("y", "linear", (layers[-1].name,), (3,), {"weight": rng.normal(size=(3, 4))}))
    x = rng.normal(size=(40, 4)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        made = converters.convert(neuro.Graph(tuple(layers)), x, code="graded")
    assert np.array_equal(neuro.run(made.network, x[:4], engine="reference").logits, made.quantised(x[:4]))


def test_values_that_are_needed_late_wait_for_it() -> None:
    """A skip path over a deep branch: the port holds it, which no delay of a chip would."""
    deep = [part for _ in range(10) for part in (nn.Linear(6, 6), nn.SiLU())]
    model, x = of(lambda m, x: x * m.f(x), f=nn.Sequential(*deep)), inputs(6)
    model(torch.zeros(1, 6))
    made = converters.convert(model, x, code="graded")
    assert any("held" in p.neuron.ports for p in made.network.populations if isinstance(p.neuron, neuro.Value))
    assert max(p.delay for p in made.network.projections) <= 8
    assert np.array_equal(neuro.run(made.network, x[:4], engine="reference").logits, made.quantised(x[:4]))
    assert made.agreement.correlation > 0.99


@pytest.mark.parametrize("code", ["graded", "rate"])
@pytest.mark.parametrize("last", [nn.Softmax(1), nn.LogSoftmax(1), nn.Sigmoid()])
def test_a_last_softmax_stays_with_the_host(code: str, last: nn.Module) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 4), last), inputs(8, samples=64)
    made = converters.convert(model, x, code=code, timesteps=16)
    assert any("stays with the host" in note for note in made.notes)
    run = neuro.run(made.network, x)
    own = model(torch.tensor(x)).detach().numpy()
    assert np.abs(made.answer(run.logits) - own).max() < (0.05 if code == "graded" else 0.6)
    assert (made.answer(run.logits).argmax(1) == run.predictions).all()
    assert converters.convert(nn.Sequential(*model[:-1]), x, code="graded").tail is None


def test_a_softmax_that_others_read_is_no_tail() -> None:
    graph = fold(converters.trace(Module(lambda m, x: F.relu(x).softmax(1) + x), inputs(4)))
    assert split_tail(graph)[1] is None


def test_auto_takes_the_code_that_has_values() -> None:
    model, x = ready("activations")
    made = converters.convert(model, x, code="auto")
    assert made.code == "graded"
    assert any("computes with values" in note for note in made.notes)


def test_wide_values_are_told() -> None:
    model, x = ready("attention")
    made = converters.convert(model, x, code="graded")
    assert any(note.startswith("values of more than 8 bits: 10 bits") or "16 bits" in note for note in made.notes)
    bits = {p.neuron.value_bits for p in made.network.populations if isinstance(p.neuron, neuro.Value)}
    assert min(bits) == 9  # 8, and one for values beyond calibration
    assert max(bits) <= 16


@pytest.mark.parametrize(("listed", "shared"), [(1 << 20, 4), (1000, 7)])
def test_dense_layers_over_positions_share_their_weights(listed: int, shared: int, monkeypatch) -> None:
    """All positions use one copy of the weights. A layer whose input is rearranged does where a population puts it in order, and
    one is made where the list of synapses would be long."""
    monkeypatch.setattr(populations, "_LISTED", listed)
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(32, 2, 64, batch_first=True, dropout=0).eval()
    model = of(lambda m, x: m.b(m.e(x)).mean(1), e=nn.Linear(8, 32), b=block)
    x = inputs(48, 8, samples=6)
    model(torch.zeros(1, 48, 8))
    made = converters.convert(model, x, code="graded")
    assert sum(type(p) is neuro.Conv1d and p.weights.size > 32 for p in made.network.projections) == shared
    assert max(p.weights[0].size for p in made.network.projections if isinstance(p, neuro.Sparse)) < 48 * 48 * 32
    assert made.agreement.correlation > 0.99
    assert np.array_equal(neuro.run(made.network, x[:1]).logits, made.quantised(x[:1]))


@pytest.mark.parametrize("nested", [False, True])
def test_a_convolution_of_joined_channels_keeps_its_window(nested: bool, monkeypatch) -> None:
    """Of upsampled and other values, as detectors have it: the upsampled ones are a population, no list of synapses."""
    monkeypatch.setattr(populations, "_LISTED", 1000)

    def joined(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = F.silu(m.a(x))
        up = F.interpolate(F.silu(m.b(y)), scale_factor=2.0)
        parts = (torch.cat((up, y), 1), y) if nested else (up, y)
        return F.silu(m.c(torch.cat(parts, 1))).mean((2, 3))

    torch.manual_seed(0)
    wide = 14 if nested else 10
    model = of(joined, a=nn.Conv2d(1, 4, 1), b=nn.Conv2d(4, 6, 2, 2), c=nn.Conv2d(wide, 5, 3, padding=1)).eval()
    x = np.random.default_rng(0).normal(size=(48, 1, 8, 8)).astype(np.float32)
    model(torch.from_numpy(x[:1]))
    made = converters.convert(model, x, code="graded")
    assert made.agreement.correlation > 0.99
    into = [q for p in made.network.populations if p.shape == (5, 8, 8) for q in made.network.into(p.name)]
    assert {type(q).__name__ for q in into} == {"Conv2d"}
    run = neuro.run(made.network, x[:2])
    assert np.array_equal(run.logits, made.quantised(x[:2]))


def differences() -> tuple[nn.Module, np.ndarray]:
    """Small differences of large values, which 8 bits do not hold."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(6, 16), nn.SiLU(), nn.Linear(16, 8), nn.ELU(), nn.Linear(8, 4))
    with torch.no_grad():
        model[0].weight *= 0.05
        model[0].bias += 5.0
        model[2].weight -= model[2].weight.mean(dim=1, keepdim=True)
        model[2].bias -= 5.0 * model[2].weight.sum(dim=1)
    return model, inputs(6)


def test_values_are_widened_where_rounding_would_cost_the_outputs() -> None:
    model, x = differences()
    narrow = converters.convert(model, x, code="graded", value_bits=8)
    made = converters.convert(model, x, code="graded")
    assert narrow.agreement.error > 0.15, narrow.agreement
    assert made.agreement.error < 0.1
    assert any(note.startswith("values of more than 8 bits") and "1.0" not in note for note in made.notes)
    assert all(p.neuron.value_bits == 8 for p in narrow.network.populations if isinstance(p.neuron, neuro.Value))
    assert np.array_equal(neuro.run(made.network, x[:4], engine="reference").logits, made.quantised(x[:4]))


@pytest.mark.parametrize("name", NETS)
def test_what_rounding_is_expected_to_cost_is_what_it_costs(name: str) -> None:
    model, x = ready(name)
    found = converters.convert(model, x, code="graded", value_bits=8).agreement
    assert 1 / 3 < found.error / found.expected < 3, found


def test_value_bits_are_for_networks_of_values() -> None:
    x = inputs(6)
    with pytest.raises(ConversionError, match="value_bits"):
        converters.convert(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)), x, code="graded", value_bits=8)
    model, x = ready("activations")
    with pytest.raises(ConversionError, match="value_bits"):
        converters.convert(model, x, code="graded", value_bits=40)


def test_refusals_name_layer_and_remedy() -> None:
    x = inputs(6)
    for function, says in (
        (lambda m, x: 1 / x, "reciprocal is not finite everywhere"),
        (lambda m, x: (m.a(x)).log(), "log is not finite everywhere"),
    ):
        model = of(function, a=nn.Linear(6, 6))
        model(torch.ones(1, 6))
        with pytest.raises(ConversionError, match=says):
            converters.convert(model, x, code="graded")
    model, x = ready("activations")
    with pytest.raises(ConversionError, match="refine"):
        converters.convert(model, x, code="graded", refine=3)


def test_cells_read_operands_of_products_as_they_are() -> None:
    """A sum of weighted values that is multiplied becomes a population of its own."""
    graph = fold(converters.trace(Module(lambda m, x: m.a(x) * m.b(x), a=nn.Linear(6, 6), b=nn.Linear(6, 6)), inputs(6)))
    found = cells(*decompose(graph))
    assert [cell.kind for cell in found] == ["input", "sum", "sum", "product", "readout"]


def test_the_diagnosis_tells_each_populations_error() -> None:
    model, x = ready("attention")
    made = converters.convert(model, x, code="graded")
    found = made.diagnosis
    assert {layer.name for layer in found.layers} == {
        p.name for p in made.network.populations if isinstance(p.neuron, neuro.Value)
    }
    assert all(layer.cosine > 0.9 for layer in found.layers)
    now, values, weights = found.ablations
    assert now.error == pytest.approx(made.agreement.error**2, rel=0.5)
    assert max(values.gain, weights.gain) > now.error / 4
    assert found.advice


def test_a_product_that_is_almost_nothing_is_almost_nothing() -> None:
    """Two gates that are never open together: their product is far below one step of either."""
    model = of(lambda m, x: 1e3 * (x.clamp(min=0) * (-x + 1e-7).clamp(min=0)) + x)
    model(torch.zeros(1, 6))
    x = inputs(6)
    made = converters.convert(model, x, code="graded")
    assert made.agreement.correlation > 0.99
    assert np.array_equal(neuro.run(made.network, x[:4], engine="reference").logits, made.quantised(x[:4]))
