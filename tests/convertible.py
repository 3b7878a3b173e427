"""Small torch networks that convert, with batch norms that have seen data."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Chain(nn.Module):
    """Convolution, batch norm, average pool, linear: what the demo trains."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(8 * 16, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 5))

    def forward(self, x):
        return self.head(self.features(x))


class Pools(nn.Module):
    """Max pools before and behind rectifiers and batch norm, over a concatenation, overlapping and padded."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(6), nn.ReLU())
        self.next = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())
        self.pool, self.head = nn.MaxPool2d(3, 2, 1), nn.Linear(12 * 4, 5)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.pool(torch.cat([x, self.next(x)], 1)).flatten(1))


class Branches(nn.Module):
    """A residual block and a concatenation with the block's input, pooled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = (
            nn.Conv2d(1, 6, 3, padding=1),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.Conv2d(6, 6, 3, padding=1),
        )
        self.join, self.head = nn.Conv2d(12, 6, 3, padding=1), nn.Linear(6, 5)

    def forward(self, x):
        x = F.relu(self.stem(x))
        y = F.relu(self.two(F.relu(self.one(x))) + x)
        y = F.relu(self.join(torch.cat([y, x], 1)))
        return self.head(y.mean([2, 3]))


def settled(model: nn.Module, samples: np.ndarray, seed: int = 0) -> nn.Module:
    """The model with random weights and batch statistics of the samples."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.as_tensor(samples))
    return model.eval()
