"""The spotters' float networks in torch, their fitting, and the published DS-CNN. The only file of this room that imports torch.

Knows features (clips, frames, size) and targets; knows nothing of audio. Networks take (clips, size, frames).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from neuro.errors import FormatError, UsageError
from neuro.keywords.features import Floats
from neuro.reading import read_npz

Batch = tuple[Floats, Floats]  # features (clips, frames, size), targets (clips, classes) that add up to 1
Progress = Callable[[int, int, float], None]
_DSCNN = (
    "00.conv",
    *(f"{2 * i + 1 + part:02}.{kind}" for i in range(4) for part, kind in enumerate(("dwconv", "conv"))),
    "09.fc",
)


def multilayer(size: int, frames: int, classes: int) -> nn.Module:
    """size x frames -> 256 -> 256 -> classes; 390 inputs from 15 frames of 26 values, as Blouw et al. 2019."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(size * frames, 256),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(256, classes),
    )


def separable(size: int, frames: int, classes: int, channels: int = 96) -> nn.Module:
    """A depthwise-separable network over time: nothing is padded, so it can run on a stream; the mean over time at the end."""
    layers: list[nn.Module] = _block(size, channels, 5)
    for _ in range(3):
        layers += _block(channels, channels, 9, groups=channels) + _block(channels, channels, 1)
    if frames < 5 + 3 * 8:
        raise UsageError("separable network", f"{frames} frames are fewer than it sees at once", "Use 29 frames or more")
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(channels, classes))


MODELS: dict[str, Callable[[int, int, int], nn.Module]] = {"multilayer": multilayer, "separable": separable}


class DsCnn(nn.Module):
    """MLPerf Tiny's keyword spotter: (clips, 10, 49) MFCC -> 12 logits; see shared/data/pretrained."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ZeroPad2d((1, 1, 4, 5)), nn.Conv2d(1, 64, (10, 4), 2), nn.ReLU()]
        for _ in range(4):
            layers += [nn.Conv2d(64, 64, 3, padding=1, groups=64), nn.ReLU(), nn.Conv2d(64, 64, 1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(x.transpose(1, 2).unsqueeze(1))
        return logits


def load_mlperf_dscnn(path: Any) -> DsCnn:
    """The published weights of `mlperf_kws_dscnn.npz` (no pickle) in a module that `converters.convert` takes."""
    remedy = "Pass mlperf_kws_dscnn.npz"
    weights = {name: torch.tensor(array) for name, array in read_npz(path, remedy).items() if array.dtype == np.float32}
    model = DsCnn()
    trained = [layer for layer in model.layers if isinstance(layer, nn.Conv2d | nn.Linear)]
    try:
        for name, layer in zip(_DSCNN, trained, strict=True):
            layer.load_state_dict({"weight": weights[f"{name}.weight"], "bias": weights[f"{name}.bias"]})
    except (KeyError, RuntimeError) as error:
        raise FormatError(str(path), f"its weights do not fit ({error})", remedy) from None
    return model.eval()


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    steps: int,
    *,
    learning_rate: float = 4e-3,
    seed: int = 0,
    progress: Progress | None = None,
) -> nn.Module:
    """Train on `steps` batches (AdamW, one cycle of the learning rate, labels smoothed); the model itself, ready for use.

    Dropout is drawn from `seed`; torch's own generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _fit(model, batches, steps, learning_rate, progress)


def _fit(model: nn.Module, batches: Iterable[Batch], steps: int, learning_rate: float, progress: Progress | None) -> nn.Module:
    optimiser = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps)
    model.train()
    for step, (features, targets) in zip(range(steps), batches, strict=False):
        loss = F.cross_entropy(model(_tensor(features)), torch.from_numpy(targets), label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress:
            progress(step + 1, steps, float(loss.detach()))
    return model.eval()


def build(kind: str, size: int, frames: int, classes: int, seed: int) -> nn.Module:
    """A network of `MODELS` with weights drawn from `seed`; torch's own generator is left as it was."""
    if kind not in MODELS:
        raise UsageError(f"model {kind!r}", "there is none of that name", f"Use {' or '.join(MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[kind](size, frames, classes)


def logits(model: nn.Module, features: Floats, batch: int = 256) -> NDArray[np.float32]:
    """Outputs (clips, classes) for features (clips, frames, size)."""
    with torch.no_grad():
        parts = [model(_tensor(features[i : i + batch])).numpy() for i in range(0, len(features), batch)]
    return np.concatenate(parts)


def _block(inputs: int, outputs: int, kernel: int, groups: int = 1) -> list[nn.Module]:
    return [nn.Conv1d(inputs, outputs, kernel, groups=groups, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]


def _tensor(features: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(features.transpose(0, 2, 1)))
