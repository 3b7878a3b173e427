"""What tests of optimising share: small networks with data that they learn in a moment, and runs on the emulated chip."""

import numpy as np
import torch
from torch import nn

import neuro
from converters.folding import fold
from converters.frontend import trace
from neuro.chip.files import load_chip
from neuro.optimising.measure import converted, run_on

CHIP = load_chip("loihi2")


class Residual(nn.Module):
    """A convolution, a residual block with a depthwise convolution in it, a pool and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depth, self.point = (
            nn.Conv2d(1, 8, 3, padding=1),
            nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.Conv2d(8, 8, 1),
        )
        self.wide, self.answer = nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.point(torch.relu(self.depth(x))) + x)
        return self.answer(torch.relu(self.wide(x)).mean(dim=(2, 3)))


def data(samples: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images (samples, 1, 6, 6) of four classes: the quarter that is brightest."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, samples)
    x = rng.random((samples, 1, 6, 6)).astype(np.float32) * 0.6
    for image, quarter in zip(x, y, strict=True):
        row, column = divmod(int(quarter), 2)
        image[0, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3] += 0.5
    return x, y


def learned(model: nn.Module, x: np.ndarray, y: np.ndarray, steps: int = 60, seed: int = 0) -> neuro.Graph:
    """The folded graph of a module trained for a moment."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        inputs, labels = torch.as_tensor(x), torch.as_tensor(y)
        for _ in range(steps):
            loss = nn.functional.cross_entropy(model(inputs), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return fold(trace(model.eval(), x[:2]))


def emulated(graph: neuro.Graph, x: np.ndarray, code: str = "graded", timesteps: int = 1):
    """A graph converted, placed on a Loihi 2 and run."""
    return run_on(converted(graph, x[:64], CHIP, {"code": code, "timesteps": timesteps}), CHIP, x)
