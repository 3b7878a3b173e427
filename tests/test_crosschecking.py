"""Samples that weights are fitted to say little of others: where that matters, the agreement has an error measured on others."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import converters
import neuro
from neuro.errors import AccuracyWarning

FEATURES, NEW = 16, 200


def network(depth: int = 4, width: int = 48, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    inner = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU(), *inner, nn.Linear(width, 5)).eval()


def inputs(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(samples, FEATURES)).astype(np.float32)


def error(model: nn.Module, made: converters.Conversion, x: np.ndarray) -> float:
    """The error on inputs, as a user would measure it."""
    with torch.no_grad():
        wanted = model(torch.tensor(x)).numpy()
    apart = neuro.run(made.network, x).logits - wanted
    return float(np.sqrt(np.square(apart).mean() / wanted.var(axis=0).mean()))


def test_few_samples_are_a_warning_with_the_error_on_others() -> None:
    model, few = network(), inputs(24)
    with pytest.warns(AccuracyWarning, match="Calibrate on more samples"):
        made = converters.convert(model, few, code="graded")
    found, new = made.agreement, error(model, made, inputs(NEW, 1))
    assert found.error < 0.05 < 0.1 < new  # what the samples alone would have said
    assert found.estimate_on_new is not None
    assert new / 2 < found.estimate_on_new < 3 * new


def test_the_estimate_is_what_a_user_would_measure_on_a_quarter() -> None:
    model, x = network(2), inputs(60)
    x[1, 0] = 5  # all have the scale of inputs that the others have
    measured = np.arange(60) % 4 == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        whole = converters.convert(model, x, code="graded", weight_bits=4)
        most = converters.convert(model, x[~measured], code="graded", weight_bits=4)
    assert whole.agreement.estimate_on_new == pytest.approx(error(model, most, x[measured]), rel=1e-3)


@pytest.mark.parametrize("how", [{"correct_bias": False}, {}])
def test_many_samples_and_small_errors_need_no_second_conversion(how) -> None:
    made = converters.convert(network(1), inputs(256), code="graded", **how)
    assert made.agreement.estimate_on_new is None
    assert made.agreement.warning is None


def test_no_error_is_silently_many_times_what_is_told() -> None:
    """Networks of several depths, widths and bits, on few samples and on more: a visible error that the agreement is far from
    telling comes with a warning, nearly always (1 of 100 such networks went without when this was written)."""
    rng, silent, tried = np.random.default_rng(0), 0, 24
    for seed in range(tried):
        model = network(int(rng.integers(1, 5)), int(rng.choice([8, 24, 48])), seed)
        x, bits = inputs(int(rng.choice([16, 24, 48, 96])), seed), int(rng.choice([4, 6, 8]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AccuracyWarning)
            made = converters.convert(model, x, code="graded", weight_bits=bits)
        found, new = made.agreement, error(model, made, inputs(NEW, 1000 + seed))
        silent += not found.warning and new > max(0.15, 2 * max(found.error, found.estimate_on_new or 0.0))
    assert silent <= 1
