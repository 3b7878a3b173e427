"""Graphs with random weights whose activations are spread as in trained networks: layers are settled on samples one by one.

A convolution or dense layer is divided by the spread of what it yields on the samples and shifted, channel by channel, as a batch
norm does it. Knows layers; knows no workload.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.opmath import apply
from neuro.graph import Graph, Layer
from neuro.ops import output_shape

Shape = tuple[int, ...]


class Drawing:
    """Adds layers one by one; methods take and give the names of layers. Values on the samples are kept until `forget`."""

    def __init__(self, seed: int = 0) -> None:
        self.layers: list[Layer] = []
        self.shapes: dict[str, Shape] = {}
        self.samples: dict[str, NDArray[np.float32]] = {}
        self._values: dict[str, torch.Tensor] = {}
        self._draw = np.random.default_rng(seed)

    def input(self, name: str, samples: NDArray[np.float32]) -> str:
        """An input with its samples (samples, *shape)."""
        self.samples[name], self._values[name] = samples, torch.as_tensor(samples)
        return self._layer(Layer(name, "input", (), samples.shape[1:]))

    def add(self, op: str, *inputs: str, arrays: dict[str, Any] | None = None, options: dict[str, Any] | None = None) -> str:
        """A layer without random weights."""
        arrays, options = arrays or {}, options or {}
        return self._plain(
            Layer(f"{op}{len(self.layers)}", op, inputs, self._shape(op, inputs, arrays, options), arrays, options)
        )

    def reshape(self, x: str, *shape: int) -> str:
        """The same values in another shape."""
        return self._plain(Layer(f"reshape{len(self.layers)}", "reshape", (x,), shape))

    def _plain(self, layer: Layer) -> str:
        self._values[layer.name] = self._computed(layer)
        return self._layer(layer)

    def conv(self, name: str, x: str, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, gain: float = 1.0) -> str:
        """A convolution that keeps the size at a stride of 1; its results have about the spread `gain`."""
        pad = (kernel - 1) // 2, (kernel - 1) - (kernel - 1) // 2
        rows = self.shapes[x][1]
        if stride > 1:
            whole = max((-(-rows // stride) - 1) * stride + kernel - rows, 0)
            pad = whole // 2 + whole % 2, whole // 2
        options = {"stride": (stride,) * 2, "padding": (pad, pad), "dilation": (1, 1), "groups": groups}
        weight = self._normal(out, self.shapes[x][0] // groups, kernel, kernel)
        return self._settled(name, "conv", x, weight, options, gain)

    def linear(self, name: str, x: str, out: int, gain: float = 1.0) -> str:
        """A dense layer on the last axis."""
        return self._settled(name, "linear", x, self._normal(out, self.shapes[x][-1]), {}, gain)

    def function(self, function: str, x: str) -> str:
        """A scalar function of each value."""
        return self.add("function", x, options={"name": function, "values": ()})

    def forget(self, *kept: str) -> None:
        """Drop the values of all layers but some, which alone may be read from now on."""
        self._values = {name: self._values[name] for name in kept}

    def graph(self, name: str, outputs: Sequence[str] = ()) -> Graph:
        """The graph so far."""
        return Graph(tuple(self.layers), name, outputs=tuple(outputs))

    def _normal(self, *shape: int) -> NDArray[np.float32]:
        return self._draw.standard_normal(shape, np.float32)

    def _shape(self, op: str, inputs: Sequence[str], arrays: dict[str, Any], options: dict[str, Any]) -> Shape:
        probe = Layer("probe", op, tuple(inputs), (1,), arrays, options)
        return output_shape(probe, [self.shapes[one] for one in inputs])

    def _settled(self, name: str, op: str, x: str, weight: NDArray[np.float32], options: dict[str, Any], gain: float) -> str:
        shape = self._shape(op, (x,), {"weight": weight}, options)
        raw = self._computed(Layer(name, op, (x,), shape, {"weight": weight}, options))
        channel = 1 if op == "conv" else raw.ndim - 1
        axes = [axis for axis in range(raw.ndim) if axis != channel]
        spread, mean = raw.std(axes, unbiased=False), raw.mean(axes)
        overall = float(raw.std(unbiased=False)) or 1.0
        scale = gain * self._draw.uniform(0.5, 1.5, len(spread)) / np.maximum(spread.numpy(), 0.1 * overall)
        shift = gain * 0.3 * self._draw.standard_normal(len(spread)) - scale * mean.numpy()
        scale, shift = scale.astype(np.float32), shift.astype(np.float32)
        weight *= scale.reshape(-1, *[1] * (weight.ndim - 1))
        column = [1] * raw.ndim
        column[channel] = -1
        self._values[name] = raw.mul_(torch.as_tensor(scale).reshape(column)).add_(torch.as_tensor(shift).reshape(column))
        return self._layer(Layer(name, op, (x,), shape, {"weight": weight, "bias": shift}, options))

    def _computed(self, layer: Layer) -> torch.Tensor:
        with torch.no_grad():
            return apply(layer, [self._values[name] for name in layer.inputs])

    def _layer(self, layer: Layer) -> str:
        self.layers.append(layer)
        self.shapes[layer.name] = layer.shape
        return layer.name
