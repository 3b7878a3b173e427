"""Sums that others are divided by, and differences of values that are nearly alike, keep their digits where they are small."""

import warnings

import numpy as np
import torch
from torch import nn

import converters
from converters.evaluation import logits
from neuro.errors import AccuracyWarning
from tests.modules import Module

WIDTH, PLACES = 64, 160  # more values than a sum is added up of without parts


def converted(model: nn.Module, x: np.ndarray, **options) -> converters.Conversion:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        return converters.convert(model, x, code="graded", **options)


def errors(made: converters.Conversion, x: np.ndarray) -> np.ndarray:
    """Of each sample, of the outputs' spread."""
    truth = logits(made.graph, x).reshape(len(x), -1)
    got = made.quantised(x).reshape(len(x), -1)
    return np.sqrt(np.square(got - truth).mean(axis=1) / truth.var(axis=0).mean())


def normed() -> nn.Module:
    """Norms of many places, then their largest values."""
    torch.manual_seed(0)

    def forward(m, x):
        return m.last(m.up(m.norm(x)).amax(1))

    return Module(forward, norm=nn.LayerNorm(WIDTH), up=nn.Linear(WIDTH, 24), last=nn.Linear(24, 6)).eval()


def places(samples: int, seed: int) -> np.ndarray:
    """Values around a mean of their place, and at some places hardly apart from it."""
    rng = np.random.default_rng(seed)
    mean, spread = rng.normal(size=(samples, PLACES, 1)), rng.choice([1.0, 0.1], (samples, PLACES, 1), p=[0.9, 0.1])
    return (mean + spread * rng.normal(size=(samples, PLACES, WIDTH))).astype(np.float32)


def test_a_function_adds_up_the_sum_that_it_is_of() -> None:
    made = converted(normed(), places(12, 0))
    root = next(p for p in made.network.populations if p.neuron.computes and p.neuron.lookup == "inverse root")
    assert {q.source for q in made.network.into(root.name)} == {f"{root.name.rsplit('.', 1)[0]}.3"}  # the squares


def test_values_that_are_nearly_alike_keep_their_digits_in_a_norm() -> None:
    made = converted(normed(), places(12, 0))
    assert made.agreement.error < 0.055
    assert errors(made, places(12, 0)).max() < 0.1


def test_weights_of_a_difference_are_in_the_ratio_of_the_units() -> None:
    made = converted(normed(), places(12, 0))
    value, mean = made.network.into("norm.2")
    units = [made.built.units[q.source].ravel() for q in (value, mean)]
    neurons = np.arange(0, PLACES * WIDTH, WIDTH)  # one of each place
    whole = np.asarray(value.weights) * 2.0**value.exponent / np.abs(np.asarray(mean.weights[2])[neurons] * 2.0**mean.exponent)
    apart = np.abs(whole * units[1] / units[0] - 1)
    assert np.sqrt(np.square(apart).mean()) < 1e-3


def test_sums_that_others_are_divided_by_get_no_constant() -> None:
    """The sum of a sharp softmax is near 1, that of a flat one many times as large: a constant would change the sharp one."""
    torch.manual_seed(1)

    def forward(m, x):
        return m.last((m.scores(x).softmax(-1) @ m.values(x)).flatten(1))

    model = Module(forward, scores=nn.Linear(12, 8), values=nn.Linear(12, 12), last=nn.Linear(96, 5)).eval()
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(64, 8, 12)) * rng.choice([0.5, 8.0], (64, 8, 1))).astype(np.float32)
    made, plain = converted(model, x), converted(model, x, correct_bias=False)
    for p in made.network.populations:
        if p.neuron.computes and p.neuron.lookup == "reciprocal":
            assert np.array_equal(p.neuron.bias, plain.network[p.name].neuron.bias)
    assert made.agreement.error < 1.2 * plain.agreement.error + 0.005


def test_a_table_has_no_more_entries_than_it_may() -> None:
    """A rectifier with a slope whose negative side is long, where values need many bits."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.LeakyReLU(0.1), nn.Linear(6, 2)).eval()
    with torch.no_grad():
        model[0].bias[:] = -6.0
        model[0].weight *= 3
    x = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    for bits in (14, "auto"):
        made = converted(model, x, value_bits=bits)
        assert max(p.neuron.table.size for p in made.network.populations if p.neuron.computes) <= 1 << 16
        assert made.agreement.error < 0.05
