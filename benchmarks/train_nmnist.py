"""Trains the network of examples/event_camera.py on binned recordings of N-MNIST, and writes its weights.

python benchmarks/train_nmnist.py --recordings nmnist_train.npz --digits mnist.npz --write examples/nmnist_cnn.safetensors
python benchmarks/train_nmnist.py --recordings nmnist_train.npz --digits mnist.npz --hold-out 250  (for choices)

First on the training digits of MNIST, moved as N-MNIST's camera moved (what gets brighter and darker on each way of the
triangle), then on the recordings, with each way's events weighted at random, turned, scaled and bent. One thread and a seed: the
same weights each time on one machine. Only training parts are read; the test part is opened by the example alone.
"""

from __future__ import annotations

import argparse
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from neuro.events import binned, read_recordings

STEP_US, STEPS = 10_000, 34
WAYS = (0, 10, 20, STEPS)  # steps in which the camera goes along one side of its triangle, about 100 ms each
DIRECTIONS = ((0.4, 0.8), (0.9, -0.8), (-1.3, -0.2))  # (right, down) of the three sides, fitted to the training recordings
PLACES = ((-2, 0), (1, 0), (0, -2))  # where the digit stands meanwhile, pixels from the middle, fitted likewise
SIZE = 34


def event_cnn() -> nn.Sequential:
    """Two convolutions, an average pool and a linear layer: shares of steps with an event (2, 34, 34) -> 10 logits."""
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(2, 24, 5, stride=2, bias=False),
        "norm1": nn.BatchNorm2d(24),
        "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(24, 48, 3, bias=False),
        "norm2": nn.BatchNorm2d(48),
        "relu2": nn.ReLU(),
        "pool2": nn.AvgPool2d(2),
        "flat": nn.Flatten(),
        "drop": nn.Dropout(0.3),
        "answer": nn.Linear(48 * 6 * 6, 10),
    }
    return nn.Sequential(OrderedDict(layers))


def recorded(path: Path) -> tuple[Tensor, Tensor]:
    """Shares of steps with an event on each way of the camera, (recordings, 3, 2, 34, 34), and classes."""
    found = read_recordings(path, size=(SIZE, SIZE))
    steps = np.stack([binned(r, step_us=STEP_US, steps=STEPS) for r in found.recordings])
    ways = np.stack([steps[:, a:b].sum(axis=1) for a, b in zip(WAYS, WAYS[1:], strict=False)], axis=1)
    return torch.from_numpy((ways / STEPS).astype(np.float32)), torch.from_numpy(found.labels)


def simulated(path: Path, most: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The same for MNIST's training digits: where it gets brighter or darker; as many events on average as in `like`."""
    with np.load(path) as arrays:
        images, labels = arrays["x_train"][:most], arrays["y_train"][:most]
    x = nn.functional.pad(torch.from_numpy(images.astype(np.float32) / 255), (3, 3, 3, 3))[:, None]
    x = nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    down, right = (torch.roll(x, -1, dim) - torch.roll(x, 1, dim) for dim in (2, 3))
    pairs = zip(DIRECTIONS, PLACES, strict=True)
    slopes = [torch.roll(right * a + down * b, (y, x), (2, 3)) for (a, b), (x, y) in pairs]
    ways = torch.stack([torch.cat([slope.clamp(min=0), (-slope).clamp(min=0)], dim=1) for slope in slopes], dim=1)
    return ways * (like.mean() / ways.mean()), torch.from_numpy(labels.astype(np.int64))


def varied(ways: Tensor) -> Tensor:
    """A batch (n, 3, 2, 34, 34) as (n, 2, 34, 34): ways weighted at random, turned, scaled, sheared, moved and bent."""
    n = len(ways)
    x = (ways * (0.6 + 0.8 * torch.rand(n, 3, 1, 1, 1))).sum(1)
    turn, shear, (wide, high) = 0.5 * torch.rand(n) - 0.25, 0.5 * torch.rand(n) - 0.25, 1 + 0.3 * torch.rand(2, n) - 0.15
    move = (2 * torch.rand(n, 2) - 1) * 3 / (SIZE / 2)
    top = torch.stack([turn.cos() * wide, shear - turn.sin() * wide, move[:, 0]], 1)
    bottom = torch.stack([turn.sin() * high, turn.cos() * high, move[:, 1]], 1)
    grid = nn.functional.affine_grid(torch.stack([top, bottom], 1), list(x.shape), align_corners=False)
    bent = nn.functional.interpolate(0.2 * torch.rand(n, 2, 6, 6) - 0.1, size=(SIZE, SIZE), mode="bilinear", align_corners=True)
    return nn.functional.grid_sample(x, grid + bent.permute(0, 2, 3, 1), align_corners=False)


def trained(model: nn.Module, x: Tensor, y: Tensor, *, epochs: int, rate: float, batch: int = 50) -> None:
    """Train in place; one line an epoch in ten."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=epochs * -(-len(x) // batch))
    model.train()
    for epoch in range(epochs):
        for chosen in torch.randperm(len(x)).split(batch):
            loss = nn.functional.cross_entropy(model(varied(x[chosen])), y[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1} of {epochs}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
    model.eval()


def right(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of recordings whose class is found."""
    with torch.no_grad():
        return float((model(x.sum(1)).argmax(1) == y).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--digits", type=Path, required=True)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--hold-out", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--simulated", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, nargs=2, default=(4, 150), metavar=("SIMULATED", "RECORDED"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    x, y = recorded(options.recordings)
    order = torch.from_numpy(np.random.default_rng(options.seed).permutation(len(x)))
    held, kept = order[: options.hold_out], order[options.hold_out :]
    model = event_cnn()
    trained(model, *simulated(options.digits, options.simulated, x[kept]), epochs=options.epochs[0], rate=5e-3)
    print(f"after simulated digits: {right(model, x[kept], y[kept]):.1%} of the recordings kept")
    trained(model, x[kept], y[kept], epochs=options.epochs[1], rate=3e-3)
    print(f"after recordings: {right(model, x[kept], y[kept]):.1%} of those trained on")
    if len(held):
        print(f"held out: {right(model, x[held], y[held]):.1%} of {len(held)}")
    if options.write:
        save_file(model.state_dict(), options.write)
        print(f"wrote {options.write}")


if __name__ == "__main__":
    main()
