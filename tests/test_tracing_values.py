"""Modules, functions and methods of torch that compute with values: each traced to what it computes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import converters
import neuro
from converters.evaluation import outputs

X = np.random.default_rng(4).normal(size=(3, 4, 6, 6)).astype(np.float32)


class Of(nn.Module):
    """A function of the input, with the modules that it uses."""

    def __init__(self, function, **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def of(function, **modules: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return Of(function, **modules).eval()


MODULES = [
    nn.SiLU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.Hardswish(),
    nn.Hardsigmoid(),
    nn.Sigmoid(),
    nn.Tanh(),
    nn.LeakyReLU(0.2),
    nn.PReLU(4),
    nn.ELU(0.7),
    nn.CELU(0.7),
    nn.SELU(),
    nn.Softplus(2.0),
    nn.Softsign(),
    nn.Mish(),
    nn.LogSigmoid(),
    nn.GLU(1),
    nn.Softmax(1),
    nn.LogSoftmax(-1),
    nn.LayerNorm((6, 6)),
    nn.RMSNorm(6),
    nn.GroupNorm(2, 4),
    nn.InstanceNorm2d(4, affine=True),
    nn.LocalResponseNorm(3),
    nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2, dilation=2),
    nn.Hardtanh(-2, 3),
    nn.ReLU6(),
    nn.Upsample(scale_factor=1.5, mode="bilinear"),
    nn.Upsample(scale_factor=2),
    nn.AdaptiveAvgPool2d((4, 5)),
]

CALLS = {
    "clips": of(lambda m, x: x.clamp(-0.5, 0.7) + x.clamp(max=0.3) + torch.clamp(x, min=-0.2) + x.clamp(-1e7, 1e7)),
    "powers": of(lambda m, x: x**2 + x.abs().add(0.1).pow(0.3) + torch.pow(2.0, x) + (x.abs() + 1) ** -0.5),
    "roots": of(lambda m, x: torch.rsqrt(x.abs() + 1) + (x.square() + 1).sqrt().log() + torch.exp(-x.abs()) + x.erf()),
    "quotients": of(lambda m, x: x / (x.abs() + 1) + 2.0 / (1 + torch.exp(x)) + x / 3),
    "extremes": of(lambda m, x: torch.maximum(x, -x) + torch.minimum(x, torch.zeros(1)) + x.amin((2, 3), True)),
    "larger of two": of(lambda m, x: torch.max(x, 0.5 * x)),
    "least": of(lambda m, x: x.min(2)[0]),
    "comparisons": of(lambda m, x: torch.where(x > 0.1, x, 0.5 * x) + (x <= 0).float() + torch.where(x < -0.3, 1.0, x)),
    "masks": of(lambda m, x: x.masked_fill(torch.eye(6).bool(), float("-inf")).softmax(-1) + torch.tril(x)),
    "additive mask": of(lambda m, x: (x + torch.triu(torch.full((6, 6), float("-inf")), 1)).softmax(-1)),
    "products": of(lambda m, x: x @ x.transpose(2, 3) * x.mean(1, keepdim=True) + torch.matmul(x, torch.ones(4, 6, 6))),
    "einsum": of(lambda m, x: torch.einsum("bchw,bcvw->bhcv", x, x)),
    "einsum with a table": of(lambda m, x: torch.einsum("bchw,cd->bdhw", x, torch.eye(4, 5))),
    "batches": of(lambda m, x: torch.bmm(x[:, 0], x[:, 1]) + torch.baddbmm(x[:, 2], x[:, 0], x[:, 1], beta=0.5, alpha=2)),
    "attention": of(lambda m, x: F.scaled_dot_product_attention(x, x, x, is_causal=True)),
    "attention with a mask": of(lambda m, x: F.scaled_dot_product_attention(x, x * 2, x, attn_mask=torch.eye(6) > 0, scale=0.3)),
    "grouped attention": of(lambda m, x: F.scaled_dot_product_attention(x, x[:, :2], x[:, :2], enable_gqa=True)),
    "multihead": of(lambda m, x: m.a(x[:, 0], x[:, 1], x[:, 2], attn_mask=torch.eye(6).bool())[0],
                    a=nn.MultiheadAttention(6, 2, batch_first=True)),
    "norms": of(lambda m, x: F.normalize(x, dim=1) + F.layer_norm(x, (6,)) + F.group_norm(x, 2) + F.instance_norm(x)),
    "samples second": of(lambda m, x: m.l(x.flatten(2).permute(1, 0, 2)).softmax(-1).transpose(0, 1), l=nn.Linear(36, 5)),
    "joined constant": of(lambda m, x: torch.cat([torch.ones(1, 1, 6, 6).expand(len(x), -1, -1, -1), x], 1)),
    "places": of(lambda m, x: x.argmax(1).float() + x.argmax(-1, keepdim=True).float().sum(1)),
    "flips": of(lambda m, x: x.flip(2) + x.roll(1, 3) + x[:, [2, 0, 1, 3]] + F.pad(x, (1, 1, 2, 2), mode="reflect")[..., :6, :6]),
}  # fmt: skip


def same(model: nn.Module, graph: neuro.Graph, x: np.ndarray = X) -> None:
    with torch.no_grad():
        expected = model(torch.as_tensor(x)).numpy()
    (got,) = outputs(graph, x).values()
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_modules_are_traced_to_what_they_compute(module: nn.Module) -> None:
    same(module.eval(), converters.trace(module, X))


@pytest.mark.parametrize("name", CALLS)
def test_calls_are_traced_to_what_they_compute(name: str) -> None:
    same(CALLS[name], converters.trace(CALLS[name], X))


class Two(nn.Module):
    """Two inputs, a mapping out."""

    def forward(self, x: Tensor, state: Tensor) -> dict[str, Tensor]:
        new = torch.tanh(x + 0.5 * state)
        return {"y": new.sum(1), "state": new}


def test_several_inputs_and_outputs_keep_their_names() -> None:
    given = {"x": X[:, :, 0, 0], "state": X[:, :, 1, 1]}
    graph = converters.trace(Two(), given)
    assert [layer.name for layer in graph.inputs] == ["x", "state"]
    expected = np.tanh(given["x"] + 0.5 * given["state"])
    found = outputs(graph, given)
    assert np.allclose([*found.values()][1], expected, atol=1e-6)
    assert np.allclose(found["y"], expected.sum(1), atol=1e-5)
    with pytest.raises(neuro.NeuroError, match="forward takes x, state, the example has x, z"):
        converters.trace(Two(), {"x": X, "z": X})


def test_moved_values_are_no_products() -> None:
    """Flips, picks and enlargements move values: machines are not asked for multiplications by 0 and 1."""
    model = of(lambda m, x: m.c(F.interpolate(x.flip(2), scale_factor=2)), c=nn.Conv2d(4, 3, 1))
    assert neuro.weigh(converters.trace(model, X)).macs == 4 * 3 * 144
