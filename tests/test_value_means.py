"""Means that weighted layers read are populations of their own where that takes fewer synapses, and cost no accuracy."""

import math
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import converters
import neuro
from converters.evaluation import logits
from converters.values import populations

SIDE, CHANNELS = 8, 6


class Joined(nn.Module):
    """A mean and a maximum of the same values, joined and read by one layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((x.mean((2, 3)), x.amax((2, 3))), 1)


class InTurn(nn.Module):
    """A mean over one axis and then over the other."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(3).mean(2)


def pooled(kernel: int, stride: int, wide: int, groups: int) -> list[nn.Module]:
    """A mean of windows and a convolution that reads it."""
    side = (SIDE - kernel) // stride + 1
    conv = nn.Conv2d(CHANNELS, wide * groups, min(3, side), groups=groups)
    return [nn.AvgPool2d(kernel, stride), conv, nn.Tanh(), nn.Flatten(), nn.LazyLinear(3)]


def converted(*behind: nn.Module, seed: int = 0) -> tuple[converters.Conversion, np.ndarray, np.ndarray]:
    """A small network of functions whose last layers are given; inputs; and what the float network answers."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(2, CHANNELS, 3, padding=1), nn.SiLU(), *behind).eval()
    x = np.random.default_rng(seed).normal(size=(48, 2, SIDE, SIDE)).astype(np.float32)
    with torch.no_grad():
        model(torch.from_numpy(x[:1]))
        for layer in model[2:]:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.reset_parameters()
    return converters.convert(model, x, code="graded"), x, logits(converters.trace(model, x), x)


def correlation(made: converters.Conversion, x: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.corrcoef(made.quantised(x).ravel(), wanted.ravel())[0, 1])


@pytest.mark.parametrize("mean", [nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), InTurn()], ids=["pool", "axes in turn"])
def test_a_layer_behind_a_mean_has_a_synapse_for_each_weight(mean: nn.Module) -> None:
    made, x, wanted = converted(mean, nn.Linear(CHANNELS, 40))
    into = sum(q.count(made.network[q.source].shape, (40,)) for q in made.network.into(made.network.populations[-1].name))
    assert into == CHANNELS * 40
    assert correlation(made, x, wanted) > 0.999
    run = neuro.run(made.network, x[:2], engine="reference")
    assert np.array_equal(run.logits, made.quantised(x[:2]))


def test_a_mean_is_apart_where_it_is_joined_with_others() -> None:
    made, x, wanted = converted(Joined(), nn.Linear(2 * CHANNELS, 40))
    assert made.network.synapses < SIDE * SIDE * CHANNELS * 40
    assert correlation(made, x, wanted) > 0.999


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 2, 24]), st.sampled_from([1, CHANNELS]), st.integers(0, 9))
def test_means_apart_never_cost_more(kernel: int, stride: int, wide: int, groups: int, seed: int) -> None:
    """Neither synapses and neurons nor accuracy, whatever windows and layers."""
    apart, x, wanted = converted(*pooled(kernel, stride, wide, groups), seed=seed)
    with patch.object(populations, "means_apart", lambda *_: []):
        folded, *_ = converted(*pooled(kernel, stride, wide, groups), seed=seed)
    more = apart.network.neurons - folded.network.neurons
    assert apart.network.synapses <= folded.network.synapses - max(more, 0)
    lost = [math.sqrt(max(0.0, 1 - correlation(made, x, wanted) ** 2)) for made in (apart, folded)]
    assert lost[0] < 1.5 * lost[1] + 0.01
