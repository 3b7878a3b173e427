"""Max pools over values that may be negative: the same function of calibrated inputs, and the same answers in every code."""

import numpy as np
import pytest
import torch
from torch import nn

import converters
import neuro
from converters import evaluation

CODES = ("rate", "signed", "wait", "radix", "graded")


class PooledSum(nn.Module):
    """A max pool of a sum that was not rectified, one of its inputs read elsewhere too; then one pool of another."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = torch.relu(self.one(x))
        both = self.two(first) + first - 0.5
        pooled = nn.functional.max_pool2d(nn.functional.max_pool2d(both, 2), 2, stride=1)
        return self.last(torch.flatten(pooled[:, :, :2, :2], 1))


class PooledInput(nn.Module):
    """A max pool of the input itself, with padding, and nothing but a pool at the end."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.max_pool2d(x, 3, stride=2, padding=1)


def samples(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(80, 2, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("model", [PooledSum, PooledInput])
@pytest.mark.parametrize("code", CODES)
def test_pools_of_negative_values_follow_the_float_network(model, code) -> None:
    torch.manual_seed(0)
    net, x = model().eval(), samples()
    with torch.no_grad():
        wanted = net(torch.from_numpy(x)).flatten(1).numpy()
    conversion = converters.convert(net, x, code=code, timesteps=8 if code == "radix" else 64)
    assert np.allclose(evaluation.logits(conversion.graph, x).reshape(len(x), -1), wanted, atol=1e-4)
    got = neuro.run(conversion.network, x).logits
    error = np.sqrt(np.square(got - wanted).mean()) / wanted.std(axis=0).mean()
    assert error < {"radix": 0.03, "graded": 0.03}.get(code, 0.12)
    assert any("pools values down to" in note for note in conversion.notes)


def test_values_that_are_never_negative_need_no_lift() -> None:
    conversion = converters.convert(PooledInput(), np.abs(samples()), code="graded")
    assert not any(layer.op == "scale" for layer in conversion.graph.layers)
    x = np.abs(samples())
    with torch.no_grad():
        wanted = PooledInput()(torch.from_numpy(x)).flatten(1).numpy()
    assert np.sqrt(np.square(neuro.run(conversion.network, x).logits - wanted).mean()) < 0.02 * wanted.std()
