"""Untrained networks of the sizes that people convert, with images that look like something: ResNet-18, ResNet-50, MobileNet v1.

Weights are drawn, batch norms are settled on the images, so that activations are spread as in a trained network. Outputs mean
nothing: such a network says what conversion costs, not how well it does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

CLASSES = 1000


class Residual(nn.Module):
    """relu(body(x) + skip(x))."""

    def __init__(self, body: nn.Module, skip: nn.Module) -> None:
        super().__init__()
        self.body, self.skip = body, skip

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


def normed(before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution with its batch norm."""
    return nn.Sequential(nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(after))


def stem() -> list[nn.Module]:
    return [normed(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]


def head(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES)]


def resnet(depths: tuple[int, ...], bottleneck: bool) -> nn.Sequential:
    """As He et al. 2016, for ImageNet."""
    layers, before = stem(), 64
    for i, depth in enumerate(depths):
        width = 64 * 2**i
        after = 4 * width if bottleneck else width
        for block in range(depth):
            stride = 2 if i and not block else 1
            parts = ((before, width, 1, 1), (width, width, 3, stride), (width, after, 1, 1))
            if not bottleneck:
                parts = ((before, width, 3, stride), (width, after, 3, 1))
            body = nn.Sequential(*(nn.Sequential(normed(*part), nn.ReLU()) for part in parts[:-1]), normed(*parts[-1]))
            same = stride == 1 and before == after
            layers.append(Residual(body, nn.Identity() if same else normed(before, after, 1, stride)))
            before = after
    return nn.Sequential(*layers, *head(before))


def mobilenet(act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """As Howard et al. 2017, width 1."""
    layers: list[nn.Module] = [normed(3, 32, 3, 2), act()]
    widths = (32, 64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)
    for before, after, stride in zip(widths[:-1], widths[1:], (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), strict=True):
        layers += [normed(before, before, 3, stride, before), act(), normed(before, after), act()]
    return nn.Sequential(*layers, *head(widths[-1]))


NETWORKS: dict[str, Callable[[], nn.Sequential]] = {
    "resnet18": lambda: resnet((2, 2, 2, 2), False),
    "resnet50": lambda: resnet((3, 4, 6, 3), True),
    "mobilenet": mobilenet,
    "hardswish": lambda: mobilenet(nn.Hardswish),
}


def images(count: int, side: int) -> NDArray[np.float32]:
    """Images (count, 3, side, side): coarse patches and noise, about 0 with a spread of 1."""
    draw = np.random.default_rng(0)
    coarse, noise = torch.tensor(draw.random((count, 3, 8, 8))), torch.tensor(draw.random((count, 3, side, side)))
    mixed = 0.7 * F.interpolate(coarse, size=(side, side), mode="bilinear") + 0.3 * noise
    return np.asarray(((mixed - 0.5) / 0.25).float().numpy())


def settled(name: str, x: NDArray[np.float32]) -> nn.Sequential:
    """A network whose batch norms are settled on the first 8 images."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    model.train()
    with torch.no_grad():
        model(torch.tensor(x[:8]))
    return model.eval()
