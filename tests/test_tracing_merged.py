"""Samples that share their axis with windows, heads or patches: traced as torch computes them, refused where they cannot be told
apart."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import converters
from converters.evaluation import logits
from converters.frontend import trace
from neuro.errors import ConversionError
from tests.merged import MODELS


@pytest.mark.parametrize(("model", "shape"), MODELS)
def test_what_shares_the_axis_of_samples_is_computed_as_torch_does(model, shape):
    torch.manual_seed(0)
    made, x = model().eval(), torch.randn(64, *shape)
    with torch.no_grad():
        truth = made(x).numpy()
    np.testing.assert_allclose(logits(trace(made, x[:5].numpy()), x.numpy()).reshape(truth.shape), truth, rtol=1e-4, atol=1e-5)
    found = converters.convert(made, x.numpy(), code="graded")
    assert found.agreement.correlation > 0.99


class PerFrame(nn.Module):
    """A convolution of every frame by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv(x.reshape(-1, 1, 6, 6))).mean((2, 3)).reshape(len(x), -1)


class Mixed(nn.Module):
    """Two samples in one row: no axis is that of samples."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.silu(x.reshape(-1, 2 * x.shape[1])).reshape(x.shape)


class Normed(nn.Module):
    """Statistics over samples and windows together."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.flatten(0, 1)
        return (y - y.mean(0)).reshape(x.shape).sum((1, 2))


@pytest.mark.parametrize(("model", "shape"), [(PerFrame, (4, 6, 6)), (Mixed, (6,)), (Normed, (4, 3, 6))])
def test_what_cannot_be_told_apart_is_refused(model, shape):
    x = np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)
    with pytest.raises(ConversionError, match="mixes samples"):
        converters.convert(model().eval(), x, code="graded")
