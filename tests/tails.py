"""A network whose inner values have long tails, and its inputs: what few samples show of ranges is little."""

import numpy as np
import torch
from torch import nn

import converters
from converters.evaluation import logits
from tests.modules import Module

FEW, MANY = 10, 300


def net() -> nn.Module:
    """Squares of products: inputs are bounded, and what is computed of them has long tails."""
    torch.manual_seed(3)

    def forward(m, x):
        product = m.a(x) * m.b(x)
        return m.c(product * product)

    return Module(forward, a=nn.Linear(16, 24), b=nn.Linear(16, 24), c=nn.Linear(24, 5))


def uniform(samples: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).uniform(-1, 1, (samples, 16)).astype(np.float32)
    x[:, 0] = np.sign(x[:, 0])  # so that no input is clipped
    return x


def apart(made: converters.Conversion, x: np.ndarray) -> float:
    """The error on inputs, of the outputs' spread."""
    truth = logits(made.graph, x)
    return float(np.sqrt(np.square(made.quantised(x) - truth).mean() / truth.var(axis=0).mean()))
