"""Networks to place and emulate: published architectures with random 8-bit weights, sized like the real ones."""

from __future__ import annotations

import numpy as np

import neuro
from neuro.projections import Projection

LIVELY = 90.0  # threshold for one input with random weights; keeps every layer firing in about one step of ten


class Stack:
    """Builds a network layer by layer; every layer is a population that starts one step after its input."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.populations = [neuro.Population("input", shape, neuro.Source("rate", levels=255))]
        self.projections: list[Projection] = []
        self.start = {"input": 0}

    @property
    def last(self) -> str:
        return self.populations[-1].name

    def add(self, name: str, shape: tuple[int, ...], after: str, threshold: int) -> None:
        self.start[name] = self.start[after] + 1
        neuron = neuro.IntegrateAndFire(threshold, initial_potential=threshold // 2, start_step=self.start[name])
        self.populations.append(neuro.Population(name, shape, neuron))

    def shape(self, name: str) -> tuple[int, ...]:
        return next(p.shape for p in self.populations if p.name == name)

    def weights(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-127, 128, shape)

    def conv(self, name: str, channels: int, kernel: int, *, stride: int = 1, groups: int = 1, of: str | None = None) -> str:
        """A convolution that keeps the image's size but for the stride."""
        source = of or self.last
        inputs, height, width = self.shape(source)
        padding = kernel // 2
        size = tuple((n + 2 * padding - kernel) // stride + 1 for n in (height, width))
        weights = self.weights(channels, inputs // groups, kernel, kernel)
        self.add(name, (channels, *size), source, int(LIVELY * weights[0].size ** 0.5))
        self.projections.append(neuro.Conv2d(source, name, weights, stride, padding, groups=groups))
        return name

    def pool(self, name: str, kernel: int, stride: int, padding: int = 0) -> str:
        source = self.last
        channels, height, width = self.shape(source)
        size = tuple((n + 2 * padding - kernel) // stride + 1 for n in (height, width))
        self.add(name, (channels, *size), source, kernel * kernel)
        self.projections.append(neuro.SumPool2d(source, name, kernel, stride, padding))
        return name

    def dense(self, classes: int) -> neuro.Network:
        """The readout, and the network as it stands."""
        source = self.last
        size = int(np.prod(self.shape(source)))
        self.populations.append(neuro.Population("classes", (classes,), neuro.Readout(start_step=self.start[source] + 1)))
        self.projections.append(neuro.Dense(source, "classes", self.weights(size, classes)))
        return neuro.Network(tuple(self.populations), tuple(self.projections), timesteps=16)


def small_convnet(seed: int = 0) -> neuro.Network:
    """32x32 images, six convolutions: 98,314 neurons."""
    s = Stack((3, 32, 32), seed)
    for name, channels, stride in (("a", 32, 1), ("b", 32, 1), ("c", 64, 2), ("d", 64, 1), ("e", 128, 2), ("f", 128, 1)):
        s.conv(name, channels, 3, stride=stride)
    s.pool("pool", 8, 8)
    return s.dense(10)


def mobilenet(seed: int = 0) -> neuro.Network:
    """MobileNetV1 of width 0.25 for 128x128 images: depthwise and pointwise convolutions by turns."""
    s = Stack((3, 128, 128), seed)
    s.conv("conv0", 8, 3, stride=2)
    plan = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for i, (channels, stride) in enumerate(plan, 1):
        inputs = s.shape(s.last)[0]
        s.conv(f"depth{i}", inputs, 3, stride=stride, groups=inputs)
        s.conv(f"point{i}", channels, 1)
    s.pool("pool", 4, 4)
    return s.dense(1000)


def resnet50(seed: int = 0) -> neuro.Network:
    """ResNet-50 for 224x224 images; a bottleneck's sum is one population with two inputs, the skip delayed to match."""
    s = Stack((3, 224, 224), seed)
    s.conv("conv1", 64, 7, stride=2)
    s.pool("pool1", 3, 2, padding=1)
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for block in range(blocks):
            entry, stride = s.last, 2 if block == 0 and stage > 2 else 1
            label = f"{stage}.{block + 1}"
            s.conv(f"a{label}", width, 1)
            s.conv(f"b{label}", width, 3, stride=stride)
            out = s.conv(f"c{label}", 4 * width, 1)
            if block == 0:
                weights = s.weights(4 * width, s.shape(entry)[0], 1, 1)
                s.projections.append(neuro.Conv2d(entry, out, weights, stride, delay=3))
            else:
                s.projections.append(neuro.OneToOne(entry, out, 64, delay=3))
    s.pool("pool", 7, 7)
    return s.dense(1000)


def listed_layers(seed: int = 0, side: int = 32, channels: int = 8, layers: int = 4) -> tuple[neuro.Network, neuro.Network]:
    """Layers of local 3x3 connections, 32,768 neurons, once as convolutions and once as lists in shuffled order."""
    rng = np.random.default_rng(seed)
    shape = (channels, side, side)
    names = [f"layer{i}" for i in range(layers)]
    fire = neuro.IntegrateAndFire(int(LIVELY * (9 * channels) ** 0.5))
    first = neuro.Population(names[0], shape, neuro.Source("rate", levels=255))
    shaped = [first, *(neuro.Population(name, shape, fire) for name in names[1:])]
    flat = [neuro.Population(p.name, (p.size,), p.neuron) for p in shaped]
    convolutions, lists = [], []
    order = {name: rng.permutation(first.size) for name in names}
    for source, target in zip(names[:-1], names[1:], strict=True):
        conv = neuro.Conv2d(source, target, rng.integers(-127, 128, (channels, channels, 3, 3)), padding=1)
        synapses = conv.synapses(shape, shape)
        triple = (order[source][synapses.pre], order[target][synapses.post], synapses.weight)
        convolutions.append(conv)
        lists.append(neuro.Sparse(source, target, triple))
    shuffled = neuro.Network(tuple(flat), tuple(lists), timesteps=16)
    return neuro.Network(tuple(shaped), tuple(convolutions), timesteps=16), shuffled
