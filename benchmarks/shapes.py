"""Networks of well-known shapes with random 8-bit weights, thresholds set for about 7 % activity: for timing, not for accuracy.

The activity is set layer by layer with firing rates in place of spikes: a threshold is the mean positive charge over 0.07.
"""

from __future__ import annotations

import numpy as np
import torch

import neuro

ACTIVITY = 0.07


class Builder:
    """Adds populations one by one, follows their mean firing rates, and sets each threshold."""

    def __init__(self, shape: tuple[int, int, int], seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.image = self.rng.integers(0, 256, (1, *shape))
        self.populations = [neuro.Population("input", shape, neuro.Source("once", levels=255))]
        self.projections: list[object] = []
        self.rates = {"input": torch.tensor(self.image, dtype=torch.float32)}
        self.start = {"input": 0}

    def _weights(self, *shape: int) -> np.ndarray:
        return np.clip(np.rint(self.rng.normal(-2.0, 30.0, shape)), -127, 127).astype(np.int64)

    def _population(self, name: str, charge: torch.Tensor, start: int, hold: bool) -> str:
        threshold = max(1, int(charge.clamp(min=0).mean() / ACTIVITY))
        neuron = neuro.IntegrateAndFire(threshold, initial_potential=threshold // 2, start_step=start, hold_input=hold)
        self.populations.append(neuro.Population(name, tuple(charge.shape[1:]), neuron))
        self.rates[name] = (charge / threshold).clamp(0, 1)
        self.start[name] = start
        return name

    def conv(self, name: str, source: str, out: int, kernel: int, stride: int = 1, groups: int = 1, skip: str | None = None,
             project: int | None = None) -> str:  # fmt: skip
        """A convolution and its neurons; with `skip` a residual path, through a 1x1 convolution of stride `project` if given."""
        channels = self.rates[source].shape[1]
        weights = self._weights(out, channels // groups, kernel, kernel)
        convolve = torch.nn.functional.conv2d
        charge = convolve(self.rates[source], torch.tensor(weights, dtype=torch.float32), None, stride, kernel // 2, 1, groups)
        self.projections.append(neuro.Conv2d(source, name, weights, stride, kernel // 2, groups=groups))
        start = self.start[source] + 1
        if skip:
            delay = start - self.start[skip]
            if project:
                weights = self._weights(out, self.rates[skip].shape[1], 1, 1)
                charge = charge + convolve(self.rates[skip], torch.tensor(weights, dtype=torch.float32), None, project)
                self.projections.append(neuro.Conv2d(skip, name, weights, project, delay=delay))
            else:
                charge = charge + 100 * self.rates[skip]
                self.projections.append(neuro.OneToOne(skip, name, 100, delay=delay))
        return self._population(name, charge, start, hold=source == "input")

    def pool(self, name: str, source: str, kernel: int, stride: int, padding: int = 0) -> str:
        """A population of neurons that each sum a window."""
        ones = torch.ones(self.rates[source].shape[1], 1, kernel, kernel)
        charge = torch.nn.functional.conv2d(self.rates[source], ones, None, stride, padding, 1, ones.shape[0])
        self.projections.append(neuro.SumPool2d(source, name, kernel, stride, padding))
        return self._population(name, charge, self.start[source] + 1, hold=False)

    def dense(self, name: str, source: str, out: int, *, readout: bool = False) -> str:
        """All to all, into neurons or into the readout."""
        weights = self._weights(self.rates[source].numel(), out)
        self.projections.append(neuro.Dense(source, name, weights))
        if readout:
            self.populations.append(neuro.Population(name, (out,), neuro.Readout(start_step=self.start[source] + 1)))
            return name
        charge = self.rates[source].reshape(1, -1) @ torch.tensor(weights, dtype=torch.float32)
        return self._population(name, charge, self.start[source] + 1, hold=False)

    def network(self, timesteps: int) -> neuro.Network:
        return neuro.Network(tuple(self.populations), tuple(self.projections), timesteps)


def vgg9(timesteps: int = 16) -> tuple[neuro.Network, np.ndarray]:
    """VGG-9 at 32x32: 64-64-P-128-128-P-256-256-256-P-1024-10, pooling by neurons."""
    b = Builder((3, 32, 32))
    x = b.conv("conv1", "input", 64, 3)
    x = b.pool("pool1", b.conv("conv2", x, 64, 3), 2, 2)
    x = b.conv("conv3", x, 128, 3)
    x = b.pool("pool2", b.conv("conv4", x, 128, 3), 2, 2)
    for i in (5, 6, 7):
        x = b.conv(f"conv{i}", x, 256, 3)
    x = b.dense("fc1", b.pool("pool3", x, 2, 2), 1024)
    b.dense("out", x, 10, readout=True)
    return b.network(timesteps), b.image


def resnet18(timesteps: int = 16) -> tuple[neuro.Network, np.ndarray]:
    """ResNet-18 at 32x32: 64, then two basic blocks of each of 64, 128, 256, 512."""
    b = Builder((3, 32, 32))
    x = b.conv("conv1", "input", 64, 3)
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            inner = b.conv(f"s{stage}b{block}a", x, width, 3, stride)
            x = b.conv(f"s{stage}b{block}b", inner, width, 3, skip=x, project=stride if stride == 2 else None)
    b.dense("out", b.pool("pool", x, 4, 4), 10, readout=True)
    return b.network(timesteps), b.image


def mobilenet(timesteps: int = 16) -> tuple[neuro.Network, np.ndarray]:
    """MobileNetV1 x0.25 at 96x96: depthwise 3x3 and pointwise 1x1 in turn."""
    b = Builder((3, 96, 96))
    x = b.conv("conv0", "input", 8, 3, 2)
    plan = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for i, (width, stride) in enumerate(plan):
        x = b.conv(f"dw{i}", x, b.rates[x].shape[1], 3, stride, groups=b.rates[x].shape[1])
        x = b.conv(f"pw{i}", x, width, 1)
    b.dense("out", b.pool("pool", x, 3, 3), 2, readout=True)
    return b.network(timesteps), b.image


def resnet50(timesteps: int = 16, size: int = 224) -> tuple[neuro.Network, np.ndarray]:
    """ResNet-50 at 224x224; the max pool of the original is a population that sums its windows."""
    b = Builder((3, size, size))
    x = b.pool("pool1", b.conv("conv1", "input", 64, 7, 2), 3, 2, 1)
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            first = b.conv(f"s{stage}b{block}a", x, width, 1)
            second = b.conv(f"s{stage}b{block}b", first, width, 3, stride)
            x = b.conv(f"s{stage}b{block}c", second, 4 * width, 1, skip=x, project=stride if not block else None)
    b.dense("out", b.pool("pool", x, size // 32, size // 32), 1000, readout=True)
    return b.network(timesteps), b.image
