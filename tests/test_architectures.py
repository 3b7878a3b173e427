"""Networks built like well-known ones become graphs that compute what they compute, whose work is counted, and then spikes."""

import numpy as np
import pytest
import torch
from torch import nn

import converters
import neuro
from converters.evaluation import outputs
from converters.fronts import split_front
from tests.architectures import ARCHITECTURES


def _settled(model: nn.Module) -> nn.Module:
    """The model with statistics as a training leaves them."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model


def _ready(name: str, samples: int) -> tuple[nn.Module, np.ndarray]:
    make, shape, kind = ARCHITECTURES[name]
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 30, (samples, *shape)) if kind is int else rng.normal(size=(samples, *shape)).astype(np.float32)
    return _settled(make()).eval(), x


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_traced_to_what_it_computes(name: str) -> None:
    model, x = _ready(name, 3)
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


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in ("DeiT", "GPT-2")])  # as ViT, and fused
def test_an_architecture_becomes_spikes(name: str) -> None:
    """Near the float network, and in the engines what its integers are; the host looks up words."""
    model, x = _ready(name, 16)
    graph = converters.trace(model, x[:2])
    if x.dtype.kind == "i":
        front, graph = split_front(graph, "words")
        x = outputs(front, x)["words"]
    made = converters.convert(graph, x, code="graded")
    assert made.agreement.correlation > 0.995
    wanted = made.quantised(x[:2])
    for engine in ("event", "reference"):
        for part, found in neuro.run(made.network, x[:2], engine=engine).outputs.items():
            each = wanted[part] if isinstance(wanted, dict) else wanted
            np.testing.assert_array_equal(found.reshape(each.shape), each)
