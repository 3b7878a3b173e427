"""The networks of `benchmarks/conversion.py` with their data: five trained float networks, two of them trained by others.

`python benchmarks/conversion_networks.py spoken|cifar` trains one again and writes benchmarks/weights/NAME.safetensors.
Data lie in ../shared/data (see its README for sources and licences); images of CIFAR-10 are lossy JPEG copies, good for
comparing a float network with its spiking form and for nothing else.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
WEIGHTS = Path(__file__).parent / "weights"
CALIBRATION = 256
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Case:
    """A trained network, inputs to calibrate it on (without labels) and labelled inputs to test it on."""

    name: str
    model: nn.Module
    calibration: Floats
    x: Floats
    y: NDArray[np.int64]


class Block(nn.Module):
    """Two convolutions with batch norm beside a skip path, which strides by a 1x1 convolution where the size changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.norm2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        same = stride == 1 and before == after
        self.skip = (
            nn.Identity() if same else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.skip(x))


def spoken() -> nn.Sequential:
    """Log-mel images (1, 32, 32) of spoken digits: a convolution, a max pool and three residual blocks."""
    stem = [nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    blocks = [Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def resnet20() -> nn.Sequential:
    """Images (3, 32, 32): nine residual blocks of 16, 32 and 64 channels, as He et al. 2016, behind a convolution of stride 2."""
    blocks, before = [], 16
    for width in (16, 32, 64):
        for i in range(3):
            blocks.append(Block(before, width, 2 if i == 0 and width > 16 else 1))
            before = width
    stem = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def mnist_cnn() -> nn.Sequential:
    """sinabs' test network: three convolutions with average pools, two linear layers, no biases."""
    layers: list[nn.Module] = []
    for before, after, kernel in ((1, 20, 5), (20, 32, 5), (32, 128, 3)):
        layers += [nn.Conv2d(before, after, kernel, bias=False), nn.ReLU(), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 500, bias=False), nn.ReLU(), nn.Linear(500, 10, bias=False))


def spoken_data() -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """Log-mel images (3000, 1, 32, 32), digits, and which belong to the official test split (takes 0 to 4)."""
    from neuro.keywords.features import FeatureSettings, extract

    found = np.load(DATA / "fsdd" / "fsdd.npz", allow_pickle=False)
    settings = FeatureSettings(rate=8000, window=256, hop=160, fft=256, bands=32, low_hz=60.0, high_hz=3900.0, floor=1e-3)
    length = 31 * settings.hop + settings.window
    audio, begins = found["audio"], found["start"]
    clips = np.zeros((len(begins) - 1, length), np.int16)
    for i, (start, stop) in enumerate(zip(begins, begins[1:], strict=False)):
        clip = audio[start:stop][:length]
        first = (length - len(clip)) // 2
        clips[i, first : first + len(clip)] = clip
    images = np.stack([extract(settings, clip).T for clip in clips])[:, None]
    return ((images + 3) / 4).astype(np.float32), found["digit"].astype(np.int64), found["take"] < 5


def cifar_data(part: str) -> tuple[Floats, NDArray[np.int64]]:
    """Images (samples, 3, 32, 32) in 0..1 in a drawn order, and classes."""
    from PIL import Image

    found = np.load(DATA / "cifar10_jpeg" / f"cifar10_{part}_jpeg.npz", allow_pickle=False)
    blob, start = found["blob"].tobytes(), found["start"]
    pixels = [np.asarray(Image.open(io.BytesIO(blob[a:b]))) for a, b in zip(start, start[1:], strict=False)]
    order = np.random.default_rng(0).permutation(len(pixels))
    images = np.stack(pixels)[order].transpose(0, 3, 1, 2)
    return images.astype(np.float32) / 255, found["label"][order].astype(np.int64)


def digits_case() -> Case:
    """The demo's network, trained in seconds."""
    from neuro.digits.data import load_digits
    from neuro.digits.model import train

    digits = load_digits()
    return Case("digits", train(digits), digits.x_train[:CALIBRATION], digits.x_held_out, digits.y_held_out)


def spoken_case() -> Case:
    x, y, test = spoken_data()
    return Case("spoken_digits", _trained(spoken(), "spoken"), _drawn(x[~test]), x[test], y[test])


def mnist_case() -> Case:
    found = np.load(DATA / "mnist" / "mnist.npz", allow_pickle=False)
    arrays = np.load(DATA / "pretrained" / "sinabs_mnist_cnn.npz", allow_pickle=False)
    model = mnist_cnn()
    weighted = [layer for layer in model if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer, key in zip(weighted, ("0", "3", "6", "10", "12"), strict=True):
        layer.weight.data = torch.tensor(arrays[f"{key}.weight"])
    train, test = (found[name][:, None].astype(np.float32) / 255 for name in ("x_train", "x_test"))
    return Case("sinabs_mnist_cnn", model.eval(), _drawn(train), test, found["y_test"].astype(np.int64))


def keywords_case() -> Case:
    """Calibrated on the train speakers; tested on the test speakers first, then on all others, calibration clips left out."""
    from neuro.keywords.features import MLPERF_KWS, extract
    from neuro.keywords.model import load_mlperf_dscnn

    parts = [np.load(DATA / "speech_commands" / f"scv2_{name}.npz", allow_pickle=False) for name in ("test", "val", "train")]
    x = np.concatenate([np.stack([extract(MLPERF_KWS, clip).T for clip in part["audio"]]) for part in parts])
    y = np.concatenate([part["label"] for part in parts]).astype(np.int64)
    first = len(x) - len(parts[2]["label"])
    chosen = first + np.random.default_rng(0).permutation(len(x) - first)[:CALIBRATION]
    kept = np.setdiff1d(np.arange(len(x)), chosen)
    model = load_mlperf_dscnn(DATA / "pretrained" / "mlperf_kws_dscnn.npz")
    return Case("mlperf_kws_dscnn", model, np.ascontiguousarray(x[chosen]), np.ascontiguousarray(x[kept]), y[kept])


def cifar_case() -> Case:
    x, y = cifar_data("test")
    calibration, _ = cifar_data("train")
    return Case("cifar_resnet20", _trained(resnet20(), "cifar"), calibration[:CALIBRATION], x, y)


CASES: dict[str, Callable[[], Case]] = {
    "digits": digits_case,
    "spoken_digits": spoken_case,
    "sinabs_mnist_cnn": mnist_case,
    "mlperf_kws_dscnn": keywords_case,
    "cifar_resnet20": cifar_case,
}


def _drawn(x: Floats) -> Floats:
    return np.ascontiguousarray(x[np.random.default_rng(0).permutation(len(x))[:CALIBRATION]])


def _trained(model: nn.Module, name: str) -> nn.Module:
    model.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    return model.eval()


def train(model: nn.Module, data: tuple[Tensor, Tensor], epochs: int, change: Callable[[Tensor], Tensor], rate: float) -> None:
    """Stochastic gradient descent with one cycle of the learning rate, products in bfloat16; `change` augments a batch."""
    x, y = data
    steps = -(-len(x) // 128)
    optimiser = torch.optim.SGD(model.parameters(), rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * steps)
    model.to(memory_format=torch.channels_last).train()
    for epoch in range(epochs):
        began, right = time.perf_counter(), 0
        for chosen in torch.randperm(len(x)).split(128):
            with torch.autocast("cpu", torch.bfloat16):
                out = model(change(x[chosen]).contiguous(memory_format=torch.channels_last)).float()
            loss = F.cross_entropy(out, y[chosen], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            right += int((out.argmax(1) == y[chosen]).sum())
        print(f"epoch {epoch + 1}/{epochs}: {100 * right / len(x):.2f} % right, {time.perf_counter() - began:.0f} s", flush=True)
    model.eval()


def crop(x: Tensor, margin: int, flip: bool) -> Tensor:
    """Each image moved by up to `margin` pixels, and half of them mirrored."""
    size = x.shape[2]
    padded = F.pad(x, (margin,) * 4)
    top, left = torch.randint(0, 2 * margin + 1, (2, len(x)))
    rows, columns = (first[:, None] + torch.arange(size) for first in (top, left))
    moved = padded[
        torch.arange(len(x))[:, None, None, None],
        torch.arange(x.shape[1])[:, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]
    mirrored = torch.rand(len(x)) < 0.5 * flip
    return torch.where(mirrored[:, None, None, None], moved.flip(3), moved)


def main(name: str, epochs: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if name == "spoken":
        x, y, test = spoken_data()
        model = spoken()
        train(model, (torch.tensor(x[~test]), torch.tensor(y[~test])), epochs, lambda b: crop(b, 3, False), 0.05)
        x, y = x[test], y[test]
    else:
        x, y = cifar_data("train")
        model = resnet20()
        train(model, (torch.tensor(x), torch.tensor(y)), epochs, lambda b: crop(b, 4, True), 0.2)
        x, y = cifar_data("test")
    with torch.no_grad():
        right = sum(
            int((model(torch.tensor(x[i : i + 250])).argmax(1).numpy() == y[i : i + 250]).sum()) for i in range(0, len(x), 250)
        )
    print(f"test: {100 * right / len(x):.2f} %")
    WEIGHTS.mkdir(exist_ok=True)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, WEIGHTS / f"{name}.safetensors")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else {"spoken": 25, "cifar": 15}[sys.argv[1]])
