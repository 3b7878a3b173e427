"""Layers written one behind another: what rewrites of a graph share. Knows ops; knows nothing of populations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from neuro.graph import Layer
from neuro.ops import output_shape


class Writer:
    """Layers in place of one layer, the last of which takes its name. `bits`: what each population among them needs at least,
    named by its layer; linear layers that are named there become populations too."""

    def __init__(self, layer: Layer, shapes: Mapping[str, tuple[int, ...]], bits: dict[str, int]) -> None:
        self.layer, self.layers, self.bits = layer, [], bits  # type: tuple[Layer, list[Layer], dict[str, int]]
        self._shapes = dict(shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a layer so far."""
        return self._shapes[name]

    def add(
        self, op: str, inputs: Sequence[str], *, bits: int = 0, shape: tuple[int, ...] = (), arrays: Any = None, **options: Any
    ) -> str:
        """Write a layer and return its name."""
        name = f"{self.layer.name}.{len(self.layers)}"
        while name in self._shapes:
            name += "_"
        made = Layer(name, op, tuple(inputs), shape or (1,), arrays or {}, options, self.layer.where)
        found = shape or output_shape(made, [self._shapes[source] for source in inputs])
        made = made if found == made.shape else Layer(name, op, tuple(inputs), found, made.arrays, options, self.layer.where)
        self.layers.append(made)
        self._shapes[name] = found
        if bits:
            self.bits[name] = bits
        return name

    def function(self, name: str, source: str, *values: float, bits: int = 0) -> str:
        """A scalar function of a layer."""
        return self.add("function", (source,), bits=bits, name=name, values=values)

    def scaled(self, source: str, factor: Any = 1.0, shift: Any = 0.0) -> str:
        """A layer times a factor, plus a shift."""
        arrays = {"factor": np.asarray(factor, np.float32), "shift": np.asarray(shift, np.float32)}
        return self.add("scale", (source,), arrays=arrays)

    def less(self, first: str, second: str, *, bits: int = 0) -> str:
        """first - second."""
        return self.add("add", (first, self.scaled(second, -1.0)), bits=bits)

    def reshaped(self, source: str, shape: Sequence[int]) -> str:
        """A layer in another shape."""
        same = tuple(shape) == self.shape(source)
        return source if same else self.add("reshape", (source,), shape=tuple(int(n) for n in shape))

    def taken(self, source: str, axis: int, indices: Any) -> str:
        """Some places of a layer along an axis."""
        return self.add("gather", (source,), axis=axis, indices=indices)

    def largest(self, source: str, axis: int) -> str:
        """The largest along one axis, which stays with size 1."""
        shape = self.shape(source)
        last = [i for i in range(len(shape)) if i != axis] + [axis]
        moved = source if last == list(range(len(shape))) else self.add("permute", (source,), axes=tuple(last))
        flat = self.reshaped(moved, (prod(shape) // shape[axis], shape[axis]))
        n = shape[axis]
        pooled = self.add("max_pool", (flat,), kernel=(n,), stride=(n,), padding=((0, 0),), dilation=(1,))
        return self.reshaped(pooled, [1 if i == axis else size for i, size in enumerate(shape)])

    def finished(self) -> list[Layer]:
        """The layers, the last of them with the name of what they replace."""
        last, name = self.layers[-1], self.layer.name
        if last.name in self.bits:
            self.bits[name] = self.bits.pop(last.name)
        return [*self.layers[:-1], Layer(name, last.op, last.inputs, last.shape, last.arrays, last.options, last.where)]
