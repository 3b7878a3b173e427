"""convert(): networks in, spiking networks in chip integers out; lossless codes equal the quantised network exactly."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import converters
import neuro

CODES = ("rate", "signed", "wait", "radix", "graded")
LOSSLESS = ("wait", "radix", "graded")


class Chain(nn.Module):
    """Convolution, batch norm, average pool, linear: what the demo trains."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(8 * 16, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 5))

    def forward(self, x):
        return self.head(self.features(x))


class Branches(nn.Module):
    """A residual block and a concatenation with the block's input, pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = (
            nn.Conv2d(1, 6, 3, padding=1),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.Conv2d(6, 6, 3, padding=1),
        )
        self.join, self.head = nn.Conv2d(12, 6, 3, padding=1), nn.Linear(6, 5)

    def forward(self, x):
        x = F.relu(self.stem(x))
        y = F.relu(self.two(F.relu(self.one(x))) + x)
        y = F.relu(self.join(torch.cat([y, x], 1)))
        return self.head(y.mean([2, 3]))


def settled(model: nn.Module, samples: np.ndarray, seed: int = 0) -> nn.Module:
    """The model with random weights and batch statistics of the samples."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.as_tensor(samples))
    return model.eval()


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(0).random((64, 1, 8, 8), np.float32)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("model", [Chain, Branches])
def test_every_code_follows_the_float_network(model, code, samples) -> None:
    model = settled(model(), samples)
    with torch.no_grad():
        expected = model(torch.as_tensor(samples[:6])).numpy()
    conversion = converters.convert(model, samples, code=code, timesteps=32)
    run = neuro.run(conversion.network, samples[:6], engine="reference")
    assert np.abs(run.logits - expected).max() < 0.08 * np.abs(expected).max()
    if code in LOSSLESS:
        assert np.array_equal(conversion.quantised(samples[:6]), run.logits)
    else:
        with pytest.raises(neuro.NeuroError, match="depend on timing"):
            conversion.quantised(samples[:6])


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("how", ["auto", "spikes", "ideal"])
@pytest.mark.parametrize("code", CODES)
def test_inputs_arrive_in_every_way(code, how, negative, samples) -> None:
    if code == "graded" and how == "spikes":
        pytest.skip("payloads are not spikes; refused, see the test of errors")
    samples = samples - 0.4 * negative
    model = settled(Branches(), samples)
    conversion = converters.convert(model, samples, code=code, timesteps=32, input=how)
    run = neuro.run(conversion.network, samples[:2], engine="reference")
    with torch.no_grad():
        expected = model(torch.as_tensor(samples[:2])).numpy()
    assert np.abs(run.logits - expected).max() < 0.12 * np.abs(expected).max()
    if code in LOSSLESS:
        assert np.array_equal(conversion.quantised(samples[:2]), run.logits)


def test_max_pooling_is_refused_by_name(samples) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 2))
    with pytest.raises(neuro.NeuroError, match=r"module '2' \(MaxPool2d"):
        converters.convert(model, samples)


def test_the_graph_equals_the_model(samples) -> None:
    from converters.evaluation import logits

    for model in (settled(Chain(), samples), settled(Branches(), samples)):
        graph = converters.trace(model, samples)
        with torch.no_grad():
            assert np.allclose(logits(graph, samples), model(torch.as_tensor(samples)).numpy(), atol=1e-5)
