"""Recurrent networks on spoken words, in float, as values and as changes: `python benchmarks/streams.py --data FOLDER`.

FOLDER has scv2_train.npz, scv2_val.npz and scv2_test.npz of Speech Commands, split by speaker. Trains a small LSTM, GRU and
diagonal state-space network (real modes) on log-mel frames, one answer a frame, the last of which counts; converts them at 8-bit
weights; chooses dead zones on training clips; and says what the test clips say. The networks are kept by `--save FOLDER`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import converters
import neuro
from neuro.keywords.features import FeatureSettings, extract_all

SETTINGS = FeatureSettings(window=640, hop=640, fft=1024, bands=20)  # 25 frames a second
SEED, CLASSES, HIDDEN = 0, 12, 48


class Words(nn.Module):
    """A linear layer, a recurrent one, and the words."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.before = nn.Linear(SETTINGS.bands, HIDDEN)
        self.recurrent = getattr(nn, kind)(HIDDEN, HIDDEN, batch_first=True)
        self.behind = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.behind(self.recurrent(torch.relu(self.before(x)))[0])


class Modes(nn.Module):
    """Two layers of decaying modes, h = a h + B x, each with a rectifier behind."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (SETTINGS.bands, HIDDEN, HIDDEN)
        self.into = nn.ModuleList(nn.Linear(a, HIDDEN) for a in sizes[:2])
        self.decay = nn.ParameterList(nn.Parameter(torch.linspace(-1.0, 4.0, HIDDEN)) for _ in sizes[:2])
        self.mix = nn.ModuleList(nn.Linear(HIDDEN, HIDDEN) for _ in sizes[:2])
        self.behind = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for into, decay, mix in zip(self.into, self.decay, self.mix, strict=True):
            u, a, states = into(x), torch.sigmoid(decay), []
            h = torch.zeros_like(u[:, 0])
            for frame in range(x.shape[1]):
                h = a * h + (1 - a) * u[:, frame]
                states.append(h)
            x = torch.relu(mix(torch.stack(states, 1)))
        return self.behind(x)


def graph_of_modes(model: Modes) -> neuro.Graph:
    """The graph of one frame, whose loops the model writes out in Python."""

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = model

        def forward(self, x: torch.Tensor, h0: torch.Tensor, h1: torch.Tensor) -> dict[str, torch.Tensor]:
            new = {}
            for i, h in enumerate((h0, h1)):
                a = torch.sigmoid(model.decay[i])
                new[f"new{i}"] = a * h + (1 - a) * model.into[i](x)
                x = torch.relu(model.mix[i](new[f"new{i}"]))
            return {"words": model.behind(x), **new}

    example = tuple(np.zeros((2, n), np.float32) for n in (SETTINGS.bands, HIDDEN, HIDDEN))
    return converters.trace(Step().eval(), example, state={"h0": "new0", "h1": "new1"})


def data(folder: Path) -> dict[str, tuple[Any, Any]]:
    """Frames (clips, frames, bands) and words of each part, frames brought to the mean and spread of the training part."""
    found = {}
    for part in ("train", "val", "test"):
        with np.load(folder / f"scv2_{part}.npz") as file:
            found[part] = extract_all(SETTINGS, file["audio"]), file["label"].astype(np.int64)
    mean, spread = (getattr(found["train"][0], of)((0, 1)) for of in ("mean", "std"))
    return {part: (((x - mean) / spread).astype(np.float32), y) for part, (x, y) in found.items()}


def calibration(x: Any) -> Any:
    """256 clips from all over a part, whose clips are in the order of their words."""
    return x[np.linspace(0, len(x) - 1, 256).astype(int)]


def trained(model: nn.Module, x: Any, y: Any, epochs: int) -> nn.Module:
    """The model, trained on clips moved by some frames and in loudness."""
    torch.manual_seed(SEED)
    rng, steps = np.random.default_rng(SEED), epochs * (len(x) // 64)
    optimiser = torch.optim.AdamW(model.parameters(), 4e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(steps):
        at = rng.integers(len(x), size=64)
        some = np.stack([np.roll(clip, shift, 0) for clip, shift in zip(x[at], rng.integers(-2, 3, 64), strict=True)])
        some += rng.normal(0, 0.25, (64, 1, 1)) + rng.normal(0, 0.2, some.shape)
        out = model(torch.as_tensor(some, dtype=torch.float32))[:, -6:].mean(1)
        loss = nn.functional.cross_entropy(out, torch.as_tensor(y[at]), label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def words(frames: Any) -> Any:
    """The word of a clip: the largest mean answer of its last six frames."""
    return np.asarray(frames)[:, -6:].mean(1).argmax(1)


def measured(name: str, graph: neuro.Graph, parts: dict[str, tuple[Any, Any]], budget: float, part: str) -> dict[str, Any]:
    """Accuracy and work of a network in float, as values, and as changes, on a part."""
    from converters.evaluation import logits

    (x, _), (new, y) = parts["train"], parts[part]
    known = calibration(x)
    row = {"network": name, "parameters": graph.parameters, "float": float((words(logits(graph, new)) == y).mean())}
    for code, goal in (("graded", None), ("lossless delta", None), ("delta", converters.Goal(budget))):
        made = converters.convert(graph, known, code="graded" if code == "graded" else "delta", goal=goal)
        run = neuro.run(made.network, new)
        frames = run.samples * run.frames.shape[1]
        row[code] = float((words(run.frames) == y).mean())
        row[f"{code}, synops a frame"] = run.synops / frames
        row[f"{code}, messages a frame"] = run.messages / frames
    return row


def main() -> None:
    """Train, convert, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--budget", type=float, default=0.95, help="share of frames decided alike that dead zones must keep")
    parser.add_argument("--networks", default="lstm,gru,modes")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--saved", type=Path, help="folder with words_lstm and the like, which are measured and not trained")
    parser.add_argument("--part", default="test", help="that is measured: test or val")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    parts, rows = data(given.data), []
    for name in given.networks.split(","):
        if given.saved:
            graph = neuro.Graph.load(given.saved / f"words_{name}.safetensors")
        else:
            torch.manual_seed(SEED)
            model = trained(Modes() if name == "modes" else Words(name.upper()), *parts["train"], given.epochs)
            graph = graph_of_modes(model) if name == "modes" else converters.trace(model, parts["train"][0][:4], frames=True)
        if given.save:
            graph.save(given.save / f"words_{name}.safetensors")
        rows.append(measured(name, graph, parts, given.budget, given.part))
        print(json.dumps(rows[-1], indent=1), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
