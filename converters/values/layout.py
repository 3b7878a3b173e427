"""Graph -> Graph of the same values with channels first where dense layers work on many positions, so that they are convolutions.

A dense layer over positions (..., features) shares its weights among positions as a convolution of width 1 does. Values stay with
channels first through everything that works element by element; a permutation stands where another layout is read. The rewritten
graph computes what the given one did. Knows ops; knows no populations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from neuro.graph import Graph, Layer

Axes = tuple[int, ...]
_ELEMENTWISE = frozenset({"function", "relu", "identity", "scale", "mask", "quantise"})
_JOINING = frozenset({"add", "multiply"})
_MOST_AXES = 3  # of an image with channels first


def with_channels_first(graph: Graph) -> Graph:
    """The graph with a convolution for each dense layer over positions; the graph itself where it has none."""
    if graph.has_frames or not any(_over_positions(graph, layer) for layer in graph.layers):
        return graph
    rewriting = _Rewriting(graph)
    for layer in graph.layers:
        rewriting.take(layer)
    return graph.relayered(rewriting.layers)


def _over_positions(graph: Graph, layer: Layer) -> bool:
    shape = layer.shape
    return layer.op == "linear" and 2 <= len(shape) <= _MOST_AXES and prod(shape[:-1]) > 1


class _Rewriting:
    """Layers written so far, and of those that are held in another order the axes that bring the given one back."""

    def __init__(self, graph: Graph) -> None:
        self._graph, self._outputs = graph, set(graph.outputs)
        self.layers: list[Layer] = []
        self._held: dict[str, tuple[str, Axes]] = {}  # name: the layer that holds it, axes: value = permute(held, axes)
        self._plain: dict[str, str] = {}  # held layers that were also written in the given order, under which name
        self._taken = {layer.name for layer in graph.layers}

    def take(self, layer: Layer) -> None:
        """Write a layer, in the order of axes that suits it."""
        if _over_positions(self._graph, layer):
            last = len(layer.shape) - 1
            self._convolved(layer, (*range(1, last + 1), 0))
            return
        axes = self._common(layer)
        if axes is None:
            self.layers.append(replace(layer, inputs=tuple(self._in_order(name) for name in layer.inputs)))
        elif layer.op == "permute":
            source, _ = self._held[layer.inputs[0]]
            self._held[layer.name] = source, tuple(axes[axis] for axis in layer.options["axes"])
            if layer.name in self._outputs:
                self._in_order(layer.name)
        else:
            inputs = tuple(self._held_as(name, axes) for name in layer.inputs)
            self._write(layer, layer.op, inputs, _arrays(layer, axes), _options(layer, axes), axes)

    def _common(self, layer: Layer) -> Axes | None:
        """The order in which to compute a layer: that of its first input that is held in another one."""
        ranks = {len(self._graph[name].shape) for name in layer.inputs}
        held = [self._held[name][1] for name in layer.inputs if name in self._held]
        follows = layer.op in _ELEMENTWISE | _JOINING or layer.op in ("reduce", "permute")
        return held[0] if held and follows and ranks == {len(layer.shape)} else None

    def _convolved(self, layer: Layer, axes: Axes) -> None:
        inner = (1,) * (len(layer.shape) - 1)
        weight = layer.arrays["weight"]
        arrays = {**layer.arrays, "weight": weight.reshape(*weight.shape, *inner)}
        options = {"stride": inner, "padding": ((0, 0),) * len(inner), "dilation": inner, "groups": 1}
        self._write(layer, "conv", (self._held_as(layer.inputs[0], axes),), arrays, options, axes)

    def _write(self, layer: Layer, op: str, inputs: Sequence[str], arrays: Any, options: Any, axes: Axes) -> None:
        """A layer whose value is in another order; one that is an output is given in its own as well."""
        name = self._unused(f"{layer.name}.channels") if layer.name in self._outputs else layer.name
        back = tuple(int(axis) for axis in np.argsort(axes))
        shape = tuple(layer.shape[axis] for axis in back)
        self.layers.append(Layer(name, op, tuple(inputs), shape, arrays, options, layer.where))
        self._held[layer.name] = name, axes
        if layer.name in self._outputs:
            self._in_order(layer.name)

    def _in_order(self, name: str) -> str:
        """The name of a layer with the value in the given order."""
        if name not in self._held:
            return name
        if name not in self._plain:
            (source, axes), layer = self._held[name], self._graph[name]
            made = self._unused(f"{name}.order") if source == name else name
            self.layers.append(Layer(made, "permute", (source,), layer.shape, {}, {"axes": axes}, layer.where))
            self._plain[name] = made
        return self._plain[name]

    def _held_as(self, name: str, axes: Axes) -> str:
        """The name of a layer whose value, permuted by `axes`, is that of the named one."""
        source, now = self._held.get(name, (name, tuple(range(len(axes)))))
        if now == axes:
            return source
        layer = self._graph[name]
        back = np.argsort(axes)
        made = self._unused(f"{name}.channels")
        moved = tuple(now[axis] for axis in back)
        shape = tuple(layer.shape[axis] for axis in back)
        self.layers.append(Layer(made, "permute", (source,), shape, {}, {"axes": moved}, layer.where))
        return made

    def _unused(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def _arrays(layer: Layer, axes: Axes) -> dict[str, Any]:
    """Arrays that broadcast to the given order, for the other one."""
    back, found = np.argsort(axes), {}
    for name, array in layer.arrays.items():
        whole = array.reshape((1,) * (len(axes) - array.ndim) + array.shape) if array.size > 1 else array
        found[name] = whole.transpose(back) if array.size > 1 else array
    return found


def _options(layer: Layer, axes: Axes) -> dict[str, Any]:
    if layer.op != "reduce":
        return dict(layer.options)
    return {**layer.options, "axes": tuple(sorted(axes[axis] for axis in layer.options["axes"]))}
