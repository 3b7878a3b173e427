"""What few networks need of a conversion: joined inputs, large pools, tuned thresholds, dead layers, sums that saturate."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import converters
import neuro
from converters import calibration, quantised
from converters.ablations import Ablation
from converters.calibration import OCTAVES, PER_OCTAVE, Histogram, thresholds
from converters.diagnosis import Diagnosis
from converters.evaluation import evaluate
from converters.stepping import emulated
from neuro.codes import CODES
from neuro.errors import ConversionError
from tests.convertible import settled


class Joined(nn.Module):
    """A convolution of its own input and of what the first one made of it."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(16, 5)

    def forward(self, x):
        x = F.relu(self.two(torch.cat([F.relu(self.one(x)), x], 1)))
        return self.head(F.avg_pool2d(x, 4).flatten(1))


class Ends(nn.Module):
    """A network that ends in a rectifier, behind a pool of averages of one channel and a pool of single pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(16, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem(x)), 1)
        return F.relu(self.head(F.relu(F.avg_pool2d(x, 2)).flatten(1)))


class Pixels(nn.Module):
    """A network whose output is an image."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 3, stride=2), nn.Conv2d(4, 2, 2)

    def forward(self, x):
        return self.two(F.relu(self.one(x)))


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(0).random((48, 1, 8, 8), np.float32)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    ("model", "fitted", "kind"), [(Joined, True, neuro.Conv2d), (Ends, False, neuro.SumPool2d), (Pixels, True, neuro.Conv2d)]
)
def test_networks_that_join_or_end_otherwise_follow_the_float_network(model, fitted, kind, code, samples) -> None:
    model = settled(model(), samples)
    conversion = converters.convert(model, samples, code=code, timesteps=32, correct_bias=fitted)
    assert any(isinstance(p, kind) for p in conversion.network.projections)
    run = neuro.run(conversion.network, samples[:6])
    with torch.no_grad():
        expected = model(torch.as_tensor(samples[:6])).numpy()
    expected = expected.reshape(run.logits.shape)
    assert np.abs(run.logits - expected).max() < (0.15 if code == "rate" else 0.08) * np.abs(expected).max()
    if code in ("wait", "radix", "graded"):
        assert np.array_equal(conversion.quantised(samples[:6]), run.logits)
    assert conversion.diagnosis.ablations[0].error < 0.05


@pytest.mark.parametrize("code", ["signed", "radix"])
def test_a_pool_that_needs_more_bits_is_refused_with_the_numbers(code, samples) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.MaxPool2d(7), nn.Flatten(), nn.Linear(2, 3))
    power = {"signed": r"3\^6", "radix": r"2\^6"}[code]
    with pytest.raises(ConversionError, match=rf"module '2' \(MaxPool2d.*weights up to {power}, 7 bits hold 63.*smaller windows"):
        converters.convert(settled(model, samples), samples, code=code, timesteps=8, weight_bits=7)
    assert converters.convert(settled(model, samples), samples, code="wait", weight_bits=7).network


def test_data_for_a_graph_must_hold_samples(samples) -> None:
    graph = converters.trace(settled(Joined(), samples), samples)
    for none in (np.zeros((0, 1, 8, 8), np.float32), np.float32(1)):
        with pytest.raises(ConversionError, match="there are no samples"):
            converters.convert(graph, none)


# Calibration


def filled(values: np.ndarray) -> calibration.Range:
    """The range of values (samples, channels)."""
    histogram = Histogram(values.shape[1])
    histogram.add(torch.as_tensor(values, dtype=torch.float32))
    return histogram.finish()


def test_the_histogram_counts_positive_values_by_bin(monkeypatch) -> None:
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32) * np.array([1e-9, 1, 1e9], np.float32)
    whole = filled(values)
    monkeypatch.setattr(calibration, "_count", getattr(calibration._count, "py_func", calibration._count))
    plain = filled(values)
    assert np.array_equal(whole.counts, plain.counts)
    for c in range(3):
        highest = int(np.floor(np.log2(values[:, c].max()))) + 1
        octaves = 2.0 ** np.arange(highest - OCTAVES, highest)
        edges = np.append((octaves[:, None] * (1 + np.arange(PER_OCTAVE) / PER_OCTAVE)).ravel(), 2.0**highest)
        above = np.clip(values[:, c][values[:, c] > 0], edges[0], edges[-1])
        assert np.array_equal(plain.counts[c], np.histogram(above, edges)[0])
        assert (plain.smallest[c], plain.largest[c]) == (min(values[:, c].min(), 0), values[:, c].max())


@given(
    exponents=st.lists(st.integers(-120, 120), min_size=1, max_size=30),
    cut=st.integers(0, 30),
    order=st.randoms(use_true_random=False),
)
def test_a_range_depends_neither_on_order_nor_on_batches(exponents, cut, order) -> None:
    values = np.array([(1 + i / 31) * 2.0**e * (-1 if i % 5 == 4 else 1) for i, e in enumerate(exponents)], np.float32)[:, None]
    whole, shuffled = filled(values), list(values)
    order.shuffle(shuffled)
    parts = Histogram(1)
    for part in (shuffled[:cut], shuffled[cut:]):
        if part:
            parts.add(torch.as_tensor(np.array(part)))
    found = parts.finish()
    for name in ("counts", "smallest", "largest", "seen", "top"):
        assert np.array_equal(getattr(found, name), getattr(whole, name)), name


@given(exponent=st.integers(-80, 110))  # all values stay normal float32
def test_thresholds_scale_with_the_values(exponent) -> None:
    values = np.random.default_rng(0).exponential(size=(300, 2)).astype(np.float32) * np.array([1, 1e-6], np.float32)
    for method in ("max", "percentile", "mse"):
        wanted = thresholds(filled(values), method, 16) * 2.0**exponent
        assert np.array_equal(thresholds(filled(np.ldexp(values, exponent)), method, 16), wanted)


@pytest.mark.parametrize("method", ["max", "percentile", "mse"])
def test_thresholds_of_each_method(method) -> None:
    values = np.random.default_rng(0).exponential(size=(20_000, 2)) * [1, 5]
    expected = {"max": values.max(axis=0), "percentile": np.percentile(values, 99.9, axis=0)}.get(method)
    theta = thresholds(filled(values), method, 8)
    if expected is not None:
        assert np.allclose(theta, expected, rtol=0.02)
        assert (thresholds(filled(values), method, 8, ceiling=1.5) == 1.5).all()
        return

    def error(candidate: np.ndarray) -> np.ndarray:
        rounded = candidate / 8 * np.clip(np.floor(values * 8 / candidate + 0.5), 0, 8)
        return np.asarray(((rounded - values) ** 2).mean(axis=0))

    tried = [error(part * values.max(axis=0)) for part in np.linspace(0.1, 1, 46)]
    assert (error(theta) <= 1.02 * np.min(tried, axis=0)).all()


@pytest.mark.parametrize("method", ["max", "percentile", "mse"])
def test_channels_that_are_never_positive_get_a_threshold_all_the_same(method) -> None:
    values = np.random.default_rng(0).exponential(size=(500, 3))
    values[:, 1] = -1
    some = thresholds(filled(values), method, 8)
    assert some[1] == pytest.approx(np.median(some[[0, 2]]))
    assert thresholds(filled(-values[:, [0, 2]]), method, 8).tolist() == [1.0, 1.0]


# Fine-tuning


def capped(samples: np.ndarray) -> nn.Module:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(144, 3))
    return settled(model, samples)


def test_tuning_follows_labels_and_keeps_ceilings(samples) -> None:
    model, losses = capped(30 * samples), []
    labels = np.arange(48) % 3
    tuned = converters.finetune(
        model,
        30 * samples,
        levels=3,
        steps=25,
        labels=labels,
        progress=lambda step, steps, loss: losses.append((step, steps, loss)),
    )
    assert [step for step, *_ in losses] == list(range(1, 26))
    assert np.mean([loss for *_, loss in losses[-5:]]) < 0.85 * losses[0][2]
    relu = next(layer for layer in tuned.layers if layer.op == "relu")
    assert relu.options["levels"] == 3
    assert relu.options["threshold"].max() <= 6.0
    inputs = {tuned.inputs[0].name: torch.as_tensor(30 * samples)}
    before = evaluate(tuned, inputs, relu.inputs)[relu.inputs[0]].numpy()
    step = (relu.options["threshold"] / 3).reshape(-1, 1, 1)
    found = evaluate(tuned, inputs, (relu.name,), quantised=True)[relu.name].numpy()
    assert np.allclose(found, step * np.clip(np.floor(before / step + 0.5), 0, 3), atol=1e-4)
    spiking = converters.convert(tuned, 30 * samples, code="wait", timesteps=3)
    expected = evaluate(tuned, inputs, (tuned.output.name,), quantised=True)[tuned.output.name].numpy()
    assert np.abs(spiking.quantised(30 * samples) - expected).mean() < 0.05 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"levels": 0}, "levels = 0. Use a whole number from 1"),
        ({"steps": -1}, "steps = -1. Use a whole number"),
        ({"labels": np.zeros(3)}, r"their shape is \(3,\), samples are 48. Pass one per sample"),
    ],
)
def test_tuning_checks_its_arguments(arguments, says, samples) -> None:
    with pytest.raises(ConversionError, match=says):
        converters.finetune(capped(samples), samples, **arguments)


# Signals


@pytest.mark.parametrize(("low", "high"), [(None, None), (0, None), (None, 2), (-1, 1)])
def test_signed_neurons_step_as_they_are_emulated(low, high) -> None:
    rng = np.random.default_rng(0)
    neuron = neuro.SignedIntegrateAndFire(9, minimum=low, maximum=high, initial_potential=2, start_step=1)
    network = neuro.Network(
        (neuro.Population("x", (6,), neuro.Source("signed", 0.1, 10)), neuro.Population("y", (8,), neuron)),
        (neuro.Dense("x", "y", rng.integers(-9, 10, (6, 8))),),
        timesteps=12,
    )
    inputs = rng.normal(size=(5, 6)).clip(-1, 1).astype(np.float32)
    signals, _ = emulated(network, inputs, 12, lossless=False)
    run = neuro.run(network, inputs, record=("raster",))
    assert np.array_equal(run.raster["y"][:, 1:13], signals["y"].frames.swapaxes(0, 1))
    sent = np.asarray(run.raster["y"]).cumsum(axis=1)
    assert (sent.min(), sent.max()) == (sent.min() if low is None else low, sent.max() if high is None else high)
    assert sent.min() < 0 or low == 0


def test_a_potential_that_saturates_is_refused_with_the_number() -> None:
    neuron = neuro.WaitIntegrateAndFire(5, 1, potential_bits=9)
    network = neuro.Network(
        (
            neuro.Population("x", (2,), neuro.Source("once", 1.0, 255)),
            neuro.Population("y", (2,), neuron),
            neuro.Population("z", (2,), neuro.Readout(start_step=1)),
        ),
        (neuro.Dense("x", "y", np.eye(2, dtype=int)), neuro.Dense("y", "z", np.eye(2, dtype=int))),
        timesteps=4,
    )
    assert quantised.evaluate(network, np.full((1, 2), 9.0)).spikes["y"].tolist() == [[1, 1]]
    network = neuro.Network(
        network.populations, (neuro.Dense("x", "y", 2 * np.eye(2, dtype=int)), network.projections[1]), network.timesteps
    )
    with pytest.raises(ConversionError, match=r"a potential of 400 saturates at 9 bits. Calibrate on inputs as large"):
        quantised.evaluate(network, np.array([[3.0, 200.0]]))


def test_advice_says_so_where_no_change_helps() -> None:
    ablations = (Ablation("as it is", 1.0, 0.0, 0.5, ""), Ablation("rounding", 0.95, 0.05, 0.5, "Use more bits"))
    assert Diagnosis((), ablations, 4).advice == "No single change recovers much of the error of 1."
