"""Networks of published shapes with random weights, converted in code graded: what that takes in passes of the float network.

MobileNetV2 (Sandler et al. 2018), EfficientNet-B0 (Tan and Le 2019), ConvNeXt-T (Liu et al. 2022) and a ViT of DeiT-Ti's width
(Touvron et al. 2021) with six blocks on small images. Batch norms are settled on 32 images of `benchmarks/large_networks.py`.

    python -m benchmarks.value_shapes [NAME ...] [--folded]

One thread, processor time; peak: of the process, and of the forward passes before it. --folded: linear layers behind linear
layers are folded, as `bottlenecks="folded"` does.
"""

from __future__ import annotations

import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import converters
from benchmarks.large_networks import images
from converters.quantised import evaluate

Act = Callable[[], nn.Module]
SETTLED, TOGETHER, RUN, CLASSES = 32, 8, 2, 1000


class Gate(nn.Module):
    """Squeeze and excite."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(F.silu(self.down(x.mean((2, 3), keepdim=True)))))


def normed(before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution with a batch norm."""
    return [nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(after)]


class Inverted(nn.Module):
    """An inverted residual: expanded, filtered channel by channel, gated or not, projected without an activation."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, factor: int, act: Act, gated: bool) -> None:
        super().__init__()
        inner = before * factor
        expanded = [*normed(before, inner), act()] if factor > 1 else []
        filtered = [*normed(inner, inner, kernel, stride, inner), act()]
        gate = [Gate(inner, max(1, before // 4))] if gated else []
        self.body, self.same = nn.Sequential(*expanded, *filtered, *gate, *normed(inner, after)), stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.same else y


Row = tuple[int, int, int, int, int]  # factor, channels, repeats, stride, kernel
V2: tuple[Row, ...] = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 32, 3, 2, 3),
    (6, 64, 4, 2, 3),
    (6, 96, 3, 1, 3),
    (6, 160, 3, 2, 3),
    (6, 320, 1, 1, 3),
)
B0: tuple[Row, ...] = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


def inverted_residuals(rows: tuple[Row, ...], act: Act, gated: bool) -> nn.Sequential:
    """A stem, inverted residuals, a wide layer, a mean and a classifier."""
    layers, before = [*normed(3, 32, 3, 2), act()], 32
    for factor, after, repeats, stride, kernel in rows:
        for repeat in range(repeats):
            layers.append(Inverted(before, after, kernel, 1 if repeat else stride, factor, act, gated))
            before = after
    last = [*normed(before, 1280), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, CLASSES)]
    return nn.Sequential(*layers, *last)


class ChannelsLast(nn.Module):
    """A layer norm over channels, at each place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNextBlock(nn.Module):
    """Depthwise 7 x 7, norm, wider by 4 with GELU and back, scaled, added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix, self.norm = nn.Conv2d(channels, channels, 7, padding=3, groups=channels), nn.LayerNorm(channels, eps=1e-6)
        self.up, self.down = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(F.gelu(self.up(self.norm(self.mix(x).permute(0, 2, 3, 1))))) * self.scale
        return x + y.permute(0, 3, 1, 2)


def convnext(widths: tuple[int, ...] = (96, 192, 384, 768), depths: tuple[int, ...] = (3, 3, 9, 3)) -> nn.Sequential:
    """ConvNeXt, by default T."""
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 4), ChannelsLast(widths[0])]
    for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if i:
            layers += [ChannelsLast(widths[i - 1]), nn.Conv2d(widths[i - 1], width, 2, 2)]
        layers += [ConvNextBlock(width) for _ in range(depth)]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(widths[-1], eps=1e-6), nn.Linear(widths[-1], CLASSES)
    )


class Attending(nn.Module):
    """A transformer block: norm, attention, norm, wider by 4 with GELU and back."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first, self.second, self.heads = nn.LayerNorm(width), nn.LayerNorm(width), heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        count, tokens, width = x.shape
        parts = self.qkv(self.first(x)).reshape(count, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = parts
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(count, tokens, width))
        return x + self.wide(self.second(x))


class Vit(nn.Module):
    """Patches, a class token, places, blocks, a norm and a classifier."""

    def __init__(self, side: int, patch: int, width: int = 192, depth: int = 6, heads: int = 3) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, width, patch, patch), nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, (side // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*[Attending(width, heads) for _ in range(depth)])
        self.norm, self.answer = nn.LayerNorm(width), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.answer(self.norm(self.blocks(x))[:, 0])


CASES: dict[str, tuple[Callable[[], nn.Module], int, int]] = {  # network, side of an image, images
    "MobileNetV2": (lambda: inverted_residuals(V2, nn.ReLU6, False), 224, 32),
    "EfficientNet-B0": (lambda: inverted_residuals(B0, nn.SiLU, True), 224, 32),
    "EfficientNet-B0, small": (lambda: inverted_residuals(B0, nn.SiLU, True), 96, 128),
    "ConvNeXt-T": (convnext, 128, 32),
    "ViT": (lambda: Vit(32, 4), 32, 128),
}


def settled(model: nn.Module, x: Any) -> nn.Module:
    """A network whose batch norms have drawn scales and shifts, and the statistics of the first images."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.momentum = None
        module.weight.data.uniform_(0.5, 1.5)
        module.bias.data.normal_(0, 0.3)
    if norms:
        with torch.no_grad():
            model.train()(torch.as_tensor(x[:SETTLED]))
    return model.eval()


def made(name: str) -> tuple[nn.Module, Any]:
    """A network, and images to calibrate it on."""
    make, side, count = CASES[name]
    torch.manual_seed(0)
    model, x = make(), torch.tensor(images(max(count, SETTLED), side))
    return settled(model, x), x[:count]


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def row(name: str, bottlenecks: Any) -> str:
    """One network's line."""
    model, x = made(name)

    def forward() -> float:
        began = time.process_time()
        with torch.no_grad():
            for some in x.split(TOGETHER):
                model(some)
        return time.process_time() - began

    passes_s, before = min(forward() for _ in range(3)), peak_mb()
    small = x[:8, :, :32, :32]
    converters.convert(Vit(32, 8, 24, 1), small.numpy(), code="graded")  # loads and compiles what all need
    converters.convert(inverted_residuals(B0[1:2], nn.SiLU, True).eval(), small.numpy(), code="graded")
    began = time.process_time()
    found = converters.convert(model, x.numpy(), code="graded", bottlenecks=bottlenecks)
    took_s, peak = time.process_time() - began, peak_mb()
    neurons = sum(population.size for population in found.network.populations)
    synops = evaluate(found.network, x[:RUN].numpy()).synops / RUN / 1e6
    costs = f"{took_s:.1f} | {took_s / passes_s:.1f} | {peak:,.0f} ({before:,.0f})"
    return f"| {name} | {len(x)} | {neurons:,} | {synops:,.0f} | {costs} |"


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    names, folded = [name for name in sys.argv[1:] if name in CASES], [flag for flag in sys.argv[1:] if flag == "--folded"]
    if len(names) == 1:
        print(row(names[0], "folded" if folded else "auto"), flush=True)
        return
    columns = ("network", "images", "neurons", "million synops an image", "conversion, s", "forward passes", "peak MB (before)")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)
    for name in names or CASES:  # each in a process of its own, for its peak
        os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-m", "benchmarks.value_shapes", name, *folded])


if __name__ == "__main__":
    main()
