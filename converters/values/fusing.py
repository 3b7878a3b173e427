"""Which parts of a graph are one scalar function of one layer, written out: x * tanh(...), x * clip(x + 3, 0, 6) / 6.

One table computes such a part; each of its layers as a population of its own would round in between. Knows ops only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.opmath import apply
from neuro.functions import compute
from neuro.graph import Graph, Layer

Floats = NDArray[np.float64]
_BENT = frozenset({"function", "multiply", "relu"})
_STRAIGHT = frozenset({"scale", "add", "identity"})


@dataclass(frozen=True, slots=True)
class Fused:
    """Layers, in order, that compute a function of the value of `source`; the last one's name is the function's."""

    source: str
    layers: tuple[Layer, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The functions among them."""
        return tuple(str(layer.options["name"]) for layer in self.layers if layer.op == "function")

    def __call__(self, x: Any) -> Floats:
        """The function of an array."""
        values = {self.source: torch.as_tensor(np.asarray(x, np.float64).reshape(-1, 1))}
        for layer in self.layers:
            if layer.op == "constant":
                values[layer.name] = torch.tensor(layer.arrays["value"]).double().reshape(1, 1)
            else:
                arrays = {name: torch.tensor(value).double().reshape(()) for name, value in layer.arrays.items()}
                values[layer.name] = apply(layer, [values[name] for name in layer.inputs], arrays)
        return np.asarray(values[self.layers[-1].name].numpy().reshape(np.shape(x)), np.float64)


def fused(graph: Graph, populations: Collection[str]) -> dict[str, Fused]:
    """By the name of its last layer, every part of a graph that is a function of one layer with two bends or more. populations:
    layers that must be populations of their own, so that no part goes beyond them."""
    found: dict[str, Fused] = {}
    taken: set[str] = set()
    order = {layer.name: i for i, layer in enumerate(graph.layers)}
    for layer in reversed(graph.layers):
        if layer.name not in taken and layer.op in _BENT:
            part = _grown(graph, layer, order, populations)
            if part is not None:
                found[layer.name] = part
                taken.update(inner.name for inner in part.layers)
    return found


def _grown(graph: Graph, last: Layer, order: Mapping[str, int], populations: Collection[str]) -> Fused | None:
    inside, best = {last.name: last}, None
    while _fits(graph, last, inside):
        outside = {name for layer in inside.values() for name in layer.inputs} - set(inside)
        for name in [name for name in outside if _is_number(graph[name])]:
            inside[name] = graph[name]
            outside.discard(name)
        bends = [layer for layer in inside.values() if layer.op in _BENT]
        if len(outside) == 1 and len(bends) > 1 and any(layer.op != "relu" for layer in bends):
            (source,) = outside
            if graph[source].shape == last.shape:
                best = Fused(source, tuple(sorted(inside.values(), key=lambda layer: order[layer.name])))
        nearest = max(outside, key=lambda name: order[name], default="")
        within = nearest and {reader.name for reader in graph.consumers(nearest)} <= set(inside)
        if not within or nearest in populations or nearest in graph.outputs or graph[nearest].op not in _BENT | _STRAIGHT:
            break
        inside[nearest] = graph[nearest]
    return best


def _fits(graph: Graph, last: Layer, inside: Mapping[str, Layer]) -> bool:
    """Whether all layers work on each value alone, with the same numbers for all."""
    return all(
        layer.op == "constant" or (layer.shape == last.shape and all(array.size == 1 for array in layer.arrays.values()))
        for layer in inside.values()
    ) and all(graph[name].shape == last.shape or _is_number(graph[name]) for layer in inside.values() for name in layer.inputs)


def _is_number(layer: Layer) -> bool:
    return layer.op == "constant" and layer.arrays["value"].size == 1


def function_of(layer: Layer, part: Fused | None) -> Callable[[Any], Floats]:
    """What a population that looks its value up computes of its argument."""
    if part is not None:
        return part
    name, values = str(layer.options["name"]), tuple(layer.options["values"])
    return lambda x: compute(name, x, values)
