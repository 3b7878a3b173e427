"""A small convolutional network for the digits and its training with torch, in a few seconds and from a fixed seed.

Knows torch and arrays; knows nothing of spikes. The network is an ordinary one: nothing in it is made for conversion.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from neuro.digits.data import Digits
from neuro.threads import one_thread

EPOCHS = 30
BATCH = 64
Progress = Callable[[int, int], None]


def digits_cnn() -> nn.Sequential:
    """Three convolutions with batch norm and ReLU, two average pools and one linear layer: (1, 8, 8) -> 10 logits."""
    layers: dict[str, nn.Module] = {}
    for n, (before, after) in enumerate(((1, 16), (16, 32), (32, 32)), start=1):
        layers[f"conv{n}"] = nn.Conv2d(before, after, 3, padding=1, bias=False)
        layers[f"norm{n}"] = nn.BatchNorm2d(after)
        layers[f"relu{n}"] = nn.ReLU()
        if n > 1:
            layers[f"pool{n}"] = nn.AvgPool2d(2)
    return nn.Sequential(OrderedDict(layers, flat=nn.Flatten(), answer=nn.Linear(128, 10)))


def train(digits: Digits, *, seed: int = 0, epochs: int = EPOCHS, progress: Progress | None = None) -> nn.Sequential:
    """A trained network in evaluation mode. The same seed gives the same weights; the caller's torch state is left alone.

    `progress(done, epochs)` is called after every epoch.
    """
    with one_thread(), torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = digits_cnn()
        x, y = torch.from_numpy(digits.x_train), torch.from_numpy(digits.y_train)
        batches = -(-len(x) // BATCH)
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=epochs * batches)
        for epoch in range(epochs):
            for chosen in torch.randperm(len(x)).split(BATCH):
                loss = nn.functional.cross_entropy(model(_shifted(x[chosen])), y[chosen], label_smoothing=0.05)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            if progress:
                progress(epoch + 1, epochs)
    return model.eval()


def _shifted(x: Tensor) -> Tensor:
    """A batch moved by up to one pixel in each direction, all images alike."""
    down, right = (int(n) for n in torch.randint(0, 3, (2,)))
    height, width = x.shape[2:]
    return nn.functional.pad(x, (1, 1, 1, 1))[:, :, down : down + height, right : right + width]
