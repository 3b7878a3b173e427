"""Networks built like well-known ones become graphs that compute what they compute, and whose work is counted."""

import numpy as np
import pytest
import torch
from torch import nn

import converters
import neuro
from converters.evaluation import outputs
from tests.architectures import ARCHITECTURES


def _settled(model: nn.Module) -> nn.Module:
    """The model with statistics as a training leaves them."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_traced_to_what_it_computes(name: str) -> None:
    make, shape, kind = ARCHITECTURES[name]
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 30, (3, *shape)) if kind is int else rng.normal(size=(3, *shape)).astype(np.float32)
    model = _settled(make()).eval()
    graph = converters.trace(model, x[:2])
    with torch.no_grad():
        result = model(torch.as_tensor(x))
    expected = [part.numpy() for part in (result if isinstance(result, tuple) else [result])]
    found = outputs(graph, x)
    assert len(found) == len(expected)
    for got, wanted in zip(found.values(), expected, strict=True):
        assert got.shape == wanted.shape
        assert np.abs(got - wanted).max() < 1e-4 * np.abs(wanted).max()
    assert neuro.weigh(graph).macs > 0
    assert len(graph.layers) < 120
