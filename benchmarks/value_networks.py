"""Two networks that compute with values, trained on spoken words: a small MobileNetV3 and a small Conformer.

`python -m benchmarks.value_networks mobilenet|conformer` trains one (one thread, seed 0) and writes
benchmarks/weights/NAME.safetensors. Only training parts are read. Data lie in ../shared/data (its README has sources and
licences); the training part is small, so accuracies are fit for comparing a float network with its spiking form only.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.conversion_networks import CALIBRATION, DATA, WEIGHTS, Case

SEED, WIDTH, FRAMES, BANDS = 0, 48, 25, 32
Data = tuple[Tensor, Tensor]


def unit(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1, act: nn.Module | None = None) -> list[nn.Module]:
    """A convolution and a batch norm, perhaps an activation."""
    layers = [nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(after)]
    return layers + ([act] if act is not None else [])


class Gate(nn.Module):
    """Squeeze and excite."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


class Inverted(nn.Module):
    """MobileNetV3's block: wider, depthwise, gated, narrower; a skip path where the size stays."""

    def __init__(self, before: int, wide: int, after: int, kernel: int, stride: int, gated: bool) -> None:
        super().__init__()
        act: Callable[[], nn.Module] = nn.Hardswish if gated else nn.ReLU
        layers = [*unit(before, wide, 1, act=act()), *unit(wide, wide, kernel, stride, wide, act())]
        self.body = nn.Sequential(*layers, *([Gate(wide)] if gated else []), *unit(wide, after, 1))
        self.same = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.same else self.body(x)


def mobilenet() -> nn.Sequential:
    """Log-mel images (1, 25, 32) -> 12 logits, after Howard et al. 2019, shrunken: hard swish, gates, kernels of 3 and 5."""
    blocks = [
        Inverted(16, 48, 24, 3, 1, False),
        Inverted(24, 72, 32, 5, 2, True),
        Inverted(32, 96, 32, 3, 1, True),
        Inverted(32, 128, 48, 3, 2, True),
        Inverted(48, 144, 48, 3, 1, True),
    ]
    last = [*unit(48, 192, 1, act=nn.Hardswish()), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, 12)]
    return nn.Sequential(*unit(1, 16, 3, 2, act=nn.Hardswish()), *blocks, *last)


class Mixed(nn.Module):
    """A block of a Conformer (Gulati et al. 2020): half a feed-forward, attention, convolution with GLU, half a feed-forward."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(5))
        halves = (nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)) for _ in range(2))
        self.first, self.last = halves
        self.attention, self.batch = nn.MultiheadAttention(width, heads, batch_first=True), nn.BatchNorm1d(width)
        self.up, self.down = nn.Conv1d(width, 2 * width, 1), nn.Conv1d(width, width, 1)
        self.depth = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.drop(self.first(self.norms[0](x)))
        y = self.norms[1](x)
        x = x + self.drop(self.attention(y, y, y, need_weights=False)[0])
        y = F.glu(self.up(self.norms[2](x).transpose(1, 2)), dim=1)
        x = x + self.drop(self.down(F.silu(self.batch(self.depth(y)))).transpose(1, 2))
        return self.norms[4](x + 0.5 * self.drop(self.last(self.norms[3](x))))


class Conformer(nn.Module):
    """Log-mel frames (25, 32) -> 12 logits: two blocks of width 48 with four heads, the mean over the frames."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.places = nn.Linear(BANDS, WIDTH), nn.Parameter(0.02 * torch.randn(FRAMES, WIDTH))
        self.blocks = nn.Sequential(Mixed(WIDTH, 4), Mixed(WIDTH, 4))
        self.answer = nn.Linear(WIDTH, 12)

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.blocks(self.before(x) + self.places).mean(1))


@cache
def words() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Frames (clips, 25, 32) and words of the parts of Speech Commands, split by speaker, brought to the training part's mean
    and spread."""
    from neuro.keywords.features import FeatureSettings, extract_all

    settings, found = FeatureSettings(window=640, hop=640, fft=1024, bands=BANDS), {}
    for part in ("train", "val", "test"):
        with np.load(DATA / "speech_commands" / f"scv2_{part}.npz", allow_pickle=False) as file:
            found[part] = extract_all(settings, file["audio"]), file["label"].astype(np.int64)
    mean, spread = (getattr(found["train"][0], of)((0, 1)) for of in ("mean", "std"))
    return {part: (((x - mean) / spread).astype(np.float32), y) for part, (x, y) in found.items()}


def moved(x: Tensor) -> Tensor:
    """Clips moved by some frames, in loudness and by noise, with a stretch of frames and of bands left out."""
    order = (torch.arange(FRAMES) - torch.randint(-4, 5, (len(x), 1))) % FRAMES
    x = torch.gather(x, 1, order[:, :, None].expand_as(x)) + 0.25 * torch.randn(len(x), 1, 1) + 0.2 * torch.randn_like(x)
    for axis, most in ((1, 5), (2, 6)):
        shape = [1, 1, 1]
        shape[axis] = -1
        begin = torch.randint(0, x.shape[axis], (len(x), 1, 1))
        at = torch.arange(x.shape[axis]).reshape(shape)
        x = x * ~((at >= begin) & (at < begin + torch.randint(0, most + 1, (len(x), 1, 1))))
    return x


def train(model: nn.Module, data: Data, *, epochs: int, rate: float, batch: int, change: Callable[[Tensor], Tensor]) -> None:
    """AdamW with one cycle of the learning rate; `change` augments a batch."""
    x, y = data
    optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * -(-len(x) // batch))
    model.train()
    for epoch in range(epochs):
        began, right = time.perf_counter(), 0
        for chosen in torch.randperm(len(x)).split(batch):
            out = model(change(x[chosen]))
            loss = F.cross_entropy(out, y[chosen], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            right += int((out.argmax(1) == y[chosen]).sum())
        share = 100 * right / len(x)
        print(
            f"epoch {epoch + 1} of {epochs}: {share:.2f} % right, {time.perf_counter() - began:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    model.eval()


def trained(name: str, epochs: int) -> nn.Module:
    """The network, trained anew."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    x, y = words()["train"]
    if name == "mobilenet":
        model: nn.Module = mobilenet()
        train(
            model,
            (torch.tensor(x), torch.tensor(y)),
            epochs=epochs,
            rate=6e-3,
            batch=64,
            change=lambda some: moved(some)[:, None],
        )
    else:
        model = Conformer()
        train(model, (torch.tensor(x), torch.tensor(y)), epochs=epochs, rate=3e-3, batch=64, change=moved)
    return model


def case(name: str) -> Case:
    """Tested on 1,000 clips of speakers that training has not heard, calibrated on 256 training clips."""
    parts = words()
    chosen = np.random.default_rng(0).permutation(len(parts["train"][0]))[:CALIBRATION]
    x, y = (np.concatenate([parts["test"][i], parts["val"][i]])[:1000] for i in (0, 1))
    known = parts["train"][0][chosen]
    if name == "mobilenet":
        known, x = known[:, None], x[:, None]
    return Case(name, _kept(NETWORKS[name](), name), known, x, y)


NETWORKS: dict[str, Callable[[], nn.Module]] = {"mobilenet": mobilenet, "conformer": Conformer}
EPOCHS = {"mobilenet": 40, "conformer": 60}


def _kept(model: nn.Module, name: str) -> nn.Module:
    model.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=list(NETWORKS))
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--folder", type=Path, default=WEIGHTS)
    given = parser.parse_args()
    model = trained(given.network, given.epochs or EPOCHS[given.network])
    file = given.folder / f"{given.network}.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, file)
    print(f"wrote {file}")


if __name__ == "__main__":
    main()
