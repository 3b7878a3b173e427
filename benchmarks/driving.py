"""A driving network on a synthetic video, as values and as changes, against the speed of motion: `python -m benchmarks.driving`.

The video is a road in perspective: a seeded texture that comes nearer at some metres a frame, lane markings whose middle wanders
with the way, and noise of the sensor in grey levels. A small network in the manner of PilotNet (33 x 100 pixels, as Lava's)
learns how far the lane bends ahead, is converted to values and to changes, and takes videos of many speeds frame by frame.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import converters
import neuro

SEED, ROWS, COLUMNS, HORIZON = 0, 33, 100, 4
SPEEDS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # metres a frame; 1 is 108 km/h at 30 frames a second
STRETCH = 60.0  # metres over which the lane turns


@dataclass(frozen=True, slots=True)
class Road:
    """A way through a texture: its grey values, and the phases of its turns."""

    texture: NDArray[np.float64]
    turns: NDArray[np.float64]

    @staticmethod
    def drawn(rng: np.random.Generator, size: int = 256) -> Road:
        """A texture whose power falls with the square of the frequency, as in natural images."""
        frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)) + 1 / size
        spectrum = np.fft.rfft2(rng.normal(size=(size, size))) / frequency
        texture = np.fft.irfft2(spectrum, (size, size))
        return Road(texture / texture.std(), rng.uniform(0, 2 * np.pi, 3))

    def middle(self, way: Any) -> Any:
        """Where the middle of the lane lies after so many metres, in metres to the right."""
        return sum(np.sin(way * (i + 1) / STRETCH * 2 + phase) / (i + 1) for i, phase in enumerate(self.turns))


def video(road: Road, speed: float, frames: int, noise: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Frames (frames, 3, rows, columns) in 0 to 1 seen at a speed, and how far ahead the lane bends in each (frames,)."""
    start = rng.uniform(0, 1000)
    rows, columns = np.arange(HORIZON + 1, ROWS)[:, None], np.arange(COLUMNS) - COLUMNS / 2
    depth = 40.0 / (rows - HORIZON)  # metres ahead of what a row shows
    seen, bends = np.empty((frames, 3, ROWS, COLUMNS)), np.empty(frames)
    sky = np.linspace(0.9, 0.6, HORIZON + 1)[:, None]
    for i in range(frames):
        way = start + speed * i
        here = road.middle(way)
        side = columns * depth / 40 + here
        ground = 0.4 + 0.08 * _sampled(road.texture, (way + depth) * 6 + 0 * side, side * 6)
        off = np.abs(np.abs(side - road.middle(way + depth)) - 1.8)
        marked = np.clip(1.5 - off / (0.12 + depth / 40), 0, 1)
        grey = np.where(marked > 0, ground + marked * (0.95 - ground), ground)
        for channel, tint in enumerate((1.0, 0.95, 0.85)):
            seen[i, channel, : HORIZON + 1], seen[i, channel, HORIZON + 1 :] = sky * tint, grey * tint
        bends[i] = road.middle(way + 10) - here
    levels = np.rint(255 * seen + rng.normal(0, noise, seen.shape) * (noise > 0))
    return (np.clip(levels, 0, 255) / 255).astype(np.float32), bends.astype(np.float32)


def _sampled(texture: Any, y: Any, x: Any) -> Any:
    """Values of a periodic texture between its places."""
    size = len(texture)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    down, right = y - top, x - left
    corner = [texture[(top + i) % size, (left + j) % size] for i in (0, 1) for j in (0, 1)]
    upper, lower = (a * (1 - right) + b * right for a, b in (corner[:2], corner[2:]))
    return upper * (1 - down) + lower * down


def network() -> nn.Sequential:
    """Four convolutions and four linear layers."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, 2), nn.ReLU(), nn.Conv2d(24, 36, 3, 2), nn.ReLU(), nn.Conv2d(36, 64, 3, (1, 2)), nn.ReLU(),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 3 * 9, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(),
        nn.Linear(50, 10), nn.ReLU(), nn.Linear(10, 1),
    )  # fmt: skip


def trained(steps: int, noise: float) -> nn.Module:
    """The network, trained on single frames of roads of their own."""
    rng = np.random.default_rng(SEED)
    torch.manual_seed(SEED)
    parts = [video(Road.drawn(rng), 3.0, 64, noise, rng) for _ in range(12)]
    x, y = (torch.as_tensor(np.concatenate([part[i] for part in parts])) for i in (0, 1))
    model = network()
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    for _ in range(steps):
        at = torch.as_tensor(rng.integers(len(x), size=16))
        loss = nn.functional.mse_loss(model(x[at])[:, 0], y[at])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def measured(placed: dict[str, Any], speed: float, frames: int, noise: float) -> dict[str, Any]:
    """Errors, messages, synops and energy of a frame, of each form of the network, at a speed; the first frame left out."""
    rng = np.random.default_rng(SEED + 100)
    x, bends = video(Road.drawn(rng), speed, frames, noise, rng)
    row: dict[str, Any] = {"speed": speed, "noise": noise, "input changes": float((np.diff(x, axis=0) != 0).mean())}
    for name, placement in placed.items():
        first, whole = (neuro.emulate(placement, x[None, :n]) for n in (1, frames))
        row[name] = {
            "error": float(np.sqrt(np.square(whole.run.frames[0, 1:, 0] - bends[1:]).mean())),
            "messages": (whole.run.messages - first.run.messages) / (frames - 1),
            "synops": (whole.run.synops - first.run.synops) / (frames - 1),
            "energy_uj": (whole.bill.dynamic_pj - first.bill.dynamic_pj) / (frames - 1) * 1e-6,
        }
    return row


def break_even(rows: list[dict[str, Any]], name: str, what: str) -> float | None:
    """The speed at which changes cost as much as values, between two that were measured; None where they cost less at all."""
    ratios = [row[name][what] / row["graded"][what] for row in rows]
    for i in range(1, len(rows)):
        if ratios[i - 1] < 1 <= ratios[i]:
            low, high = rows[i - 1]["speed"], rows[i]["speed"]
            share = (1 - ratios[i - 1]) / (ratios[i] - ratios[i - 1])
            return float(high * share if low == 0 else low * (high / low) ** share)
    return None


def main() -> None:
    """Train, convert, take videos of every speed, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400, help="of training")
    parser.add_argument("--frames", type=int, default=8, help="of each video")
    parser.add_argument("--noise", default="0,1", help="standard deviations of the sensor's noise, in grey levels of 255")
    parser.add_argument("--budget", type=float, default=0.98, help="share of frames whose answer dead zones must keep")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    chip, found = neuro.load_chip("loihi2"), []
    for noise in map(float, given.noise.split(",")):
        model = trained(given.steps, noise)
        rng = np.random.default_rng(SEED + 1)
        known = np.stack([video(Road.drawn(rng), speed, 8, noise, rng)[0] for speed in (0.03, 0.1, 0.3, 1.0)])
        graph = converters.trace(model, known[0])
        made = {
            "graded": converters.convert(graph, known, code="graded", frames=True),
            "lossless": converters.convert(graph, known, code="delta"),
            "delta": converters.convert(graph, known, code="delta", goal=converters.Goal(given.budget)),
        }
        macs = neuro.weigh(graph).macs
        placed = {name: neuro.place(one.network, chip) for name, one in made.items()}
        rows = [measured(placed, speed, given.frames, noise) for speed in SPEEDS]
        found.append({"noise": noise, "macs": macs, "rows": rows, "notes": made["delta"].notes})
        _show(noise, macs, rows)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


def _show(noise: float, macs: int, rows: list[dict[str, Any]]) -> None:
    """A line for each speed; and where changes cost as much as values."""
    print(f"noise of {noise:g} grey levels; dense: {macs:,} products a frame; fewer: than dense")
    print("m a frame  input      graded               changes, dead zones of 1        changes, chosen dead zones")
    print("            that    synops  energy  messages    synops   fewer  energy  messages    synops   fewer  energy  error")
    for row in rows:
        line = f"{row['speed']:9g} {100 * row['input changes']:5.0f} %"
        for name in ("graded", "lossless", "delta"):
            one = row[name]
            fewer = f"{macs / one['synops']:6.1f} x" if one["synops"] else "       -"
            counts = f"{one['messages']:9,.0f} {one['synops']:9,.0f} {fewer}" if name != "graded" else f"{one['synops']:9,.0f}"
            line += f" {counts} {one['energy_uj']:4.1f} uJ"
        print(f"{line} {row['delta']['error']:+6.3f}".replace("+", " "))
    for name in ("lossless", "delta"):
        for what in ("synops", "energy_uj"):
            print(f"break-even of {name} with graded, {what}: {break_even(rows, name, what) or 'none, fewer at every speed'}")


if __name__ == "__main__":
    main()
