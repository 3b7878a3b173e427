"""The row that the survey's Table I lacks: ResNet-50 as spikes on a board of chips. Knows networks and chips, no other machine.

Weights are the user's (`resnet50_graph`, to be converted like any other network), or random ones at a stated activity: then the
network is placed within every limit of the chip, each neuron fires with that probability in each step, and every message is
counted on the mesh.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.bill import Bill
from neuro.chip.counts import Counter, Tables
from neuro.chip.placing.placement import Placement
from neuro.chip.pricing import price
from neuro.engine.records import Messages, Recorder
from neuro.errors import FormatError, UsageError
from neuro.graph import Graph, Layer
from neuro.network import Network, Population
from neuro.neurons import IntegrateAndFire, Readout, Source
from neuro.projections import Conv2d, Dense, OneToOne, Projection, SumPool2d

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # width and blocks of each stage
_THRESHOLD = 256


def resnet50_network(*, side: int = 224, timesteps: int = 16, seed: int = 0) -> Network:
    """ResNet-50 as integrate-and-fire neurons with random 8-bit weights and a sum pool for its max pool; for counting only."""
    draw = np.random.default_rng(seed)
    populations = [Population("image", (3, side, side), Source("rate", levels=255))]
    projections: list[Projection] = []

    def grow(name: str, channels: int, side: int, depth: int) -> str:
        populations.append(Population(name, (channels, side, side), IntegrateAndFire(threshold=_THRESHOLD, start_step=depth)))
        return name

    def convolve(source: str, target: str, size: tuple[int, int], kernel: int, stride: int = 1, delay: int = 1) -> None:
        weights = draw.integers(-127, 128, (size[1], size[0], kernel, kernel), dtype=np.int32)
        projections.append(Conv2d(source, target, weights, stride, kernel // 2, delay=delay))

    side //= 2
    convolve("image", grow("conv1", 64, side, 1), (3, 64), 7, 2)
    side //= 2
    before, channels, depth = grow("pool", 64, side, 2), 64, 2
    projections.append(SumPool2d("conv1", before, 3, 2, 1))
    for stage, (width, blocks) in enumerate(STAGES, 1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", 2 if block == 0 and stage > 1 else 1
            convolve(before, grow(f"{name}.1", width, side, depth + 1), (channels, width), 1)
            side //= stride
            convolve(f"{name}.1", grow(f"{name}.2", width, side, depth + 2), (width, width), 3, stride)
            convolve(f"{name}.2", grow(f"{name}.3", 4 * width, side, depth + 3), (width, 4 * width), 1)
            if block == 0:
                convolve(before, f"{name}.3", (channels, 4 * width), 1, stride, delay=3)
            else:
                projections.append(OneToOne(before, f"{name}.3", _THRESHOLD, delay=3))
            before, channels, depth = f"{name}.3", 4 * width, depth + 3
    projections.append(SumPool2d(before, grow("avgpool", channels, 1, depth + 1), side))
    populations.append(Population("fc", (1000,), Readout(start_step=depth + 2)))
    projections.append(Dense("avgpool", "fc", draw.integers(-127, 128, (channels, 1000), dtype=np.int32)))
    return Network(tuple(populations), tuple(projections), timesteps=timesteps)


def at_activity(placement: Placement, activity: float, *, timesteps: int | None = None, seed: int = 0) -> Bill:
    """The bill of one inference in which every neuron fires with probability `activity` in every step of its window.

    Messages are drawn, then counted and priced as an emulation's are; every neuron counts as driven in every step.
    """
    if not 0 < activity <= 1:
        raise UsageError("activity", f"it is {activity}", "Give a probability above 0 and at most 1")
    steps = timesteps or placement.network.timesteps
    if steps is None:
        raise UsageError("timesteps", "neither the call nor the network names them", "Pass timesteps=16, say")
    tables = Tables(placement, steps)
    counter, recorder = Counter(tables, 1), Recorder(placement.network, 1, steps)
    draw = np.random.default_rng(seed)
    counter.observe(0, {p.name: _drawn(p, tables.steps, steps, activity, draw) for p in placement.network.populations})
    for p in placement.network.populations:
        window = slice(p.neuron.start_step, p.neuron.start_step + p.neuron.active_steps(steps))
        for count in (recorder.counts[p.name].driven, recorder.counts[p.name].restless):
            count[window] = p.size
    bill = price(counter.finish(recorder.finish()), placement.chip)
    stated = f"stated activity: every neuron fires with probability {activity:g} in each of its {steps} steps; random weights"
    return replace(
        bill, target=f"{placement.chip.name} at {100 * activity:g} % activity", assumptions=(stated, *bill.assumptions)
    )


def _drawn(population: Population, steps: int, timesteps: int, activity: float, draw: np.random.Generator) -> Messages:
    """Messages of one sample of a population, step by step."""
    neuron, size = population.neuron, population.size
    window = range(neuron.start_step, neuron.start_step + neuron.active_steps(timesteps))
    fires = not neuron.is_readout
    sent = [np.flatnonzero(draw.random(size, np.float32) < activity) if t in window and fires else () for t in range(steps)]
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in sent])]).astype(np.int64)
    return Messages(offsets, np.concatenate([np.asarray(s, np.int32) for s in sent]), None)


def resnet50_graph(tensors: Mapping[str, NDArray[Any]]) -> Graph:
    """ResNet-50 from its trained tensors under torchvision's names (conv1.weight, layer1.0.bn1.running_mean, ...).

    A FormatError names the tensor that is missing or has another shape.
    """
    layers = [Layer("image", "input", (), (3, 224, 224))]

    def take(name: str, *shape: int) -> NDArray[np.float32]:
        if name not in tensors or tuple(tensors[name].shape) != shape:
            found = "is missing" if name not in tensors else f"has shape {tuple(tensors[name].shape)}, not {shape}"
            raise FormatError(f"weights, {name}", f"the tensor {found}", "Give ResNet-50 under torchvision's names")
        return np.asarray(tensors[name], np.float32)

    def convolved(name: str, norm: str, source: str, size: tuple[int, int], kernel: int, stride: int, side: int) -> str:
        cin, cout = size
        options = {"stride": (stride,) * 2, "padding": ((kernel // 2,) * 2,) * 2, "dilation": (1, 1), "groups": 1}
        weight = take(f"{name}.weight", cout, cin, kernel, kernel)
        layers.append(Layer(name, "conv", (source,), (cout, side, side), {"weight": weight}, options))
        keys = {"mean": "running_mean", "variance": "running_var", "weight": "weight", "bias": "bias"}
        arrays = {key: take(f"{norm}.{said}", cout) for key, said in keys.items()}
        layers.append(Layer(norm, "batch_norm", (name,), (cout, side, side), arrays, {"epsilon": 1e-5}))
        return norm

    def relu(name: str, source: str, channels: int, side: int) -> str:
        layers.append(Layer(name, "relu", (source,), (channels, side, side), options={"ceiling": None}))
        return name

    before = relu("relu", convolved("conv1", "bn1", "image", (3, 64), 7, 2, 112), 64, 112)
    pooling = {"kernel": (3, 3), "stride": (2, 2), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}
    layers.append(Layer("maxpool", "max_pool", (before,), (64, 56, 56), options=pooling))
    before, channels, side = "maxpool", 64, 56
    for stage, (width, blocks) in enumerate(STAGES, 1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", 2 if block == 0 and stage > 1 else 1
            skip, out = before, 4 * width
            first = convolved(f"{name}.conv1", f"{name}.bn1", before, (channels, width), 1, 1, side)
            first = relu(f"{name}.relu1", first, width, side)
            side //= stride
            second = convolved(f"{name}.conv2", f"{name}.bn2", first, (width, width), 3, stride, side)
            third = relu(f"{name}.relu2", second, width, side)
            third = convolved(f"{name}.conv3", f"{name}.bn3", third, (width, out), 1, 1, side)
            if block == 0:
                skip = convolved(f"{name}.downsample.0", f"{name}.downsample.1", before, (channels, out), 1, stride, side)
            layers.append(Layer(f"{name}.add", "add", (third, skip), (out, side, side)))
            before, channels = relu(f"{name}.relu", f"{name}.add", out, side), out
    average = {"kernel": (7, 7), "stride": (7, 7), "padding": ((0, 0), (0, 0)), "divisor": None}
    layers.append(Layer("avgpool", "avg_pool", (before,), (2048, 1, 1), options=average))
    layers.append(Layer("flatten", "reshape", ("avgpool",), (2048,)))
    arrays = {"weight": take("fc.weight", 1000, 2048), "bias": take("fc.bias", 1000)}
    layers.append(Layer("fc", "linear", ("flatten",), (1000,), arrays))
    return Graph(tuple(layers), name="ResNet-50")
