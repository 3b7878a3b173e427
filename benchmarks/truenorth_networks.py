"""Networks of MNIST and CIFAR-10 for TrueNorth's crossbars, trained with torch: groups keep inputs within the axons of a core."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

Tell = Callable[[str], object]


def mnist_cnn() -> nn.Sequential:
    """(1, 28, 28) -> 10: no neuron reads more than 72 others, or 256 before the last layer."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 5, 2, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 48, 3, 2, 1, groups=2, bias=False), nn.BatchNorm2d(48), nn.ReLU()),
        *(nn.Conv2d(48, 96, 3, 2, 1, groups=6, bias=False), nn.BatchNorm2d(96), nn.ReLU()),
        *(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(384, 10)),
    )


def cifar_cnn() -> nn.Sequential:
    """(3, 32, 32) -> 10: no neuron reads more than 144 others, or 512 before the last layer, of which 256 are kept."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 5, 2, 2, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, 2, 1, groups=2, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 128, 3, 2, 1, groups=4, bias=False), nn.BatchNorm2d(128), nn.ReLU()),
        *(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(512, 10)),
    )


def train(model: nn.Sequential, x: torch.Tensor, y: torch.Tensor, *, epochs: int, tell: Tell) -> nn.Sequential:
    """Train in place from a fixed seed, images shifted by up to two pixels, and return the network in evaluation mode."""
    draw = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=epochs * -(-len(x) // 128))
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(x), generator=draw).split(128):
            shift = torch.randint(-2, 3, (2,), generator=draw).tolist()
            batch = torch.roll(x[chosen], shift, (2, 3))
            loss = nn.functional.cross_entropy(model(batch), y[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        tell(f"epoch {epoch + 1} of {epochs}: loss {total / len(x):.3f}")
    return model.eval()
