"""How much smaller the error is on the samples that a network was calibrated on than on others.

The trained networks of `benchmarks/conversion_networks.py`, in code graded, on 32, 64 and 256 calibration samples; and one built
like MobileNetV2 with random weights, where small changes grow from layer to layer. Prints a table: the agreement's error, what it
estimates for new inputs (where it does), and the error on 128 inputs that were not calibrated on.

    python -m benchmarks.fitted_samples
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

import converters
from benchmarks.conversion_networks import CASES
from benchmarks.large_networks import images

COUNTS, NEW, SIDE = (32, 64, 256), 128, 64


class Residual(nn.Module):
    """An inverted residual: expanded, filtered channel by channel, projected without a rectifier."""

    def __init__(self, before: int, after: int, stride: int, factor: int) -> None:
        super().__init__()
        inner = before * factor
        self.body = nn.Sequential(
            *([*_normed(before, inner), nn.ReLU6()] if factor > 1 else []),
            *_normed(inner, inner, 3, stride, inner),
            nn.ReLU6(),
            *_normed(inner, after),
        )
        self.same = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.body(x)
        return x + y if self.same else y


def _normed(before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(after)]


def mobilenet_v2(x: Any) -> nn.Sequential:
    """The layers of MobileNetV2 (Sandler et al. 2018, table 2), random weights, batch norms settled on the first 32 images."""
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    torch.manual_seed(0)
    layers, before = [*_normed(3, 32, 3, 2), nn.ReLU6()], 32
    for factor, after, repeats, stride in rows:
        for repeat in range(repeats):
            layers.append(Residual(before, after, 1 if repeat else stride, factor))
            before = after
    made = nn.Sequential(
        *layers, *_normed(before, 1280), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)
    )
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    with torch.no_grad():
        made.train()(torch.tensor(x[:32]))
    return made.eval()


def cases() -> Iterator[tuple[str, nn.Module, Any, Any]]:
    """Name, network, inputs to calibrate on, others."""
    for name, make in CASES.items():
        case = make()
        yield name, case.model, case.calibration, case.x[:NEW]
    x = images(max(COUNTS) + NEW, SIDE)
    yield "MobileNetV2, 64 x 64, random weights", mobilenet_v2(x), x[:-NEW], x[-NEW:]


def main() -> None:
    warnings.simplefilter("ignore")
    print("| network | calibration samples | error on them | estimated for new | new |\n" + "|---" * 5 + "|")
    for name, model, calibration, new in cases():
        with torch.no_grad():
            truth = model(torch.tensor(new)).numpy()
        for count in COUNTS:
            made = converters.convert(model, calibration[:count], code="graded")
            apart = made.quantised(new).reshape(truth.shape) - truth
            error = np.sqrt(np.square(apart).mean() / truth.var(axis=0).mean())
            found = made.agreement
            estimate = "" if found.estimate_on_new is None else f"{found.estimate_on_new:.3f}"
            print(f"| {name} | {count} | {found.error:.3f} | {estimate} | {error:.3f} |", flush=True)


if __name__ == "__main__":
    main()
