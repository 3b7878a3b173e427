"""Small networks that compute with values, and inputs for them: what several tests convert."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.modules import Module


def inputs(*shape: int, samples: int = 48) -> np.ndarray:
    """Drawn by torch, which is seeded before each test: the same whatever ran before."""
    return torch.randn(samples, *shape).numpy()


class Gate(nn.Module):
    """Squeeze and excite."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x):
        return x * F.hardsigmoid(self.b(F.relu(self.a(x.mean((2, 3), keepdim=True)))))


class Inverted(nn.Module):
    """MobileNetV3's block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.f = nn.Sequential(
            nn.Conv2d(channels, wide, 1), nn.BatchNorm2d(wide), nn.Hardswish(),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide), nn.Hardswish(), Gate(wide), nn.Conv2d(wide, channels, 1),
        )  # fmt: skip

    def forward(self, x):
        return x + self.f(x)


class Attention(nn.Module):
    """One head of two tokens over all; its values are ready long before the softmax that weighs them."""

    def __init__(self, head: int) -> None:
        super().__init__()
        torch.manual_seed(head)
        self.q, self.k, self.v, self.o = nn.Linear(4, head), nn.Linear(4, head), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k = 2 * self.q(x[:, :2]), self.k(x)
        weights = (q @ k.transpose(1, 2) / q.shape[2] ** 0.5).softmax(2)
        return self.o((weights @ self.v(x)).mean(1))


class Encoder(nn.Module):
    """A transformer's block, norms first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.n, self.m, self.a = nn.LayerNorm(width), nn.LayerNorm(width), nn.MultiheadAttention(width, 2, batch_first=True)
        self.f = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        y = self.n(x)
        x = x + self.a(y, y, y, need_weights=False)[0]
        return x + self.f(self.m(x))


def flat(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(5))


def of(function, **modules: nn.Module) -> nn.Module:
    return flat(Module(function, **modules))


def tokens(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A softmax along tokens between two dense layers over them."""
    return m.b(F.gelu(m.a(x) + x.mean((1, 2), keepdim=True)).transpose(1, 2).softmax(2).transpose(1, 2)).flatten(1)


def windows(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Gated features of tokens in windows."""
    return (m.b(m.n(m.a(x)) * torch.sigmoid(m.g(x))).permute(0, 2, 1, 3) + 1).flatten(1)


with torch.random.fork_rng():
    torch.manual_seed(0)
    NETS = {
        "activations": (
            nn.Sequential(
                nn.Linear(12, 16), nn.SiLU(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16),
                nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.PReLU(), nn.Linear(16, 16), nn.Mish(), nn.Linear(16, 16), nn.Sigmoid(),
                nn.Linear(16, 5),
            ),
            (12,),
        ),
        "mobile": (flat(nn.Conv2d(3, 6, 3, 2, 1), nn.Hardswish(), Inverted(6), Inverted(6), nn.MaxPool2d(3, 2, 1)), (3, 10, 10)),
        "attention": (flat(Encoder(8)), (5, 8)),
        "group norm": (flat(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.SiLU()), (3, 6, 6)),
        "response norm": (flat(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.LocalResponseNorm(3)), (3, 6, 6)),
        "extremes": (of(lambda m, x: torch.maximum(m.a(x), x) - torch.minimum(m.a(x), 2 * x), a=nn.Linear(6, 6)), (6,)),
        "softmax inside": (of(lambda m, x: (m.a(x)).softmax(-1) * x, a=nn.Linear(6, 6)), (6,)),
        "transposed": (flat(nn.Conv2d(2, 4, 3), nn.SiLU(), nn.ConvTranspose2d(4, 3, 2, 2), nn.ELU()), (2, 6, 6)),
        "sequence": (flat(nn.Conv1d(4, 6, 3, padding=1), nn.Softplus(), nn.Conv1d(6, 6, 3, groups=6), nn.AvgPool1d(2)), (4, 10)),
        "tokens": (of(tokens, a=nn.Linear(5, 7), b=nn.Linear(7, 3)), (6, 5)),
        "windows": (of(windows, a=nn.Linear(4, 6), g=nn.Linear(4, 6), n=nn.LayerNorm(6), b=nn.Linear(6, 2)), (3, 5, 4)),
        "tokens out": (of(lambda m, x: m.b(F.silu(m.a(x))), a=nn.Linear(4, 6), b=nn.Linear(6, 3)), (5, 4)),
        "long maxima": (flat(nn.Conv1d(2, 4, 1), nn.GELU(), nn.AdaptiveMaxPool1d(1)), (2, 19)),
    }  # fmt: skip


def ready(name: str):
    torch.manual_seed(1)
    model, shape = copy.deepcopy(NETS[name])
    with torch.no_grad():
        model.eval()(torch.zeros(1, *shape))
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.weight *= 2  # as training would, lest values die away with depth
    return model, inputs(*shape)
