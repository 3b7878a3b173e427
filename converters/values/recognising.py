"""Graph -> Graph of the same values with a softmax where one is written out, functions side by side, and no bounds beyond floats.

Exporters write exp(x - max) / sum(exp(x - max)), and start maxima from the lowest number there is. Knows ops only.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from converters.values.norms import with_norms
from neuro.graph import Graph, Layer

_MOVED = frozenset({"reshape", "identity"})
_BEYOND = 1e30  # bounds of this size are never reached, and differences to them lose every digit


def recognised(graph: Graph) -> Graph:
    """The graph with each norm and softmax in one layer, and maxima and minima without constants that can never win."""
    graph = _together(with_norms(graph))
    layers = {layer.name: layer for layer in graph.layers}
    for layer in graph.layers:
        layers[layer.name] = _softmax(graph, layer) or _bounded(graph, layer)
    made = graph.relayered(layers.values())
    needed = made.leading_to({*made.outputs, *(layer.name for layer in made.inputs)})
    return made.relayered(layer for layer in made.layers if layer.name in needed)


def _together(graph: Graph) -> Graph:
    """The graph with functions of each value behind a reshape that stands between them and others, so that one table has both."""
    while (changed := next(filter(None, (_behind(graph, layer) for layer in reversed(graph.layers))), None)) is not None:
        graph = graph.relayered(changed.get(layer.name, layer) for layer in graph.layers)
    return graph


def _behind(graph: Graph, layer: Layer) -> dict[str, Layer] | None:
    """A reshape and the function before it in the other order, by their names; None where they stay."""
    if layer.op != "reshape" or not _of_each(graph[layer.inputs[0]]):
        return None
    before, readers = graph[layer.inputs[0]], graph.consumers(layer.name)
    if len(graph.consumers(before.name)) > 1 or before.name in graph.outputs or not readers:
        return None
    if not all(_of_each(reader) for reader in readers):
        return None
    moved = Layer(before.name, "reshape", before.inputs, layer.shape, where=layer.where)
    return {before.name: moved, layer.name: replace(before, name=layer.name, inputs=(before.name,), shape=layer.shape)}


def _of_each(layer: Layer) -> bool:
    """Whether a layer is the same function of each value of another."""
    return layer.op in ("function", "relu", "scale") and all(array.size == 1 for array in layer.arrays.values())


def _softmax(graph: Graph, layer: Layer) -> Layer | None:
    """The softmax that a product is: of an exponential and the reciprocal of its sum along an axis."""
    if layer.op != "multiply" or len(layer.inputs) != 2:
        return None
    for top, bottom in (layer.inputs, layer.inputs[::-1]):
        power, inverse = graph[top], _before_moves(graph, bottom)
        if not _is(power, "exp") or power.shape != layer.shape or not _is(inverse, "reciprocal"):
            continue
        total = _before_moves(graph, inverse.inputs[0])
        axes = total.options.get("axes", ())
        if total.op != "reduce" or total.options["kind"] != "sum" or total.inputs != (top,) or len(axes) != 1:
            continue
        if all(_aligned(graph[name].shape) == _aligned(total.shape) for name in (bottom, inverse.name)):
            source = _without_shift(graph, power.inputs[0], axes[0])
            return Layer(layer.name, "softmax", (source,), layer.shape, {}, {"axis": axes[0]}, layer.where)
    return None


def _is(layer: Layer, function: str) -> bool:
    return layer.op == "function" and layer.options["name"] == function


def _before_moves(graph: Graph, name: str) -> Layer:
    while graph[name].op in _MOVED:
        name = graph[name].inputs[0]
    return graph[name]


def _aligned(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape as it broadcasts: leading axes of one say nothing."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _without_shift(graph: Graph, name: str, axis: int) -> str:
    """The layer that a sum shifts by what is the same along an axis, which no softmax along it sees."""
    layer = graph[name]
    if layer.op == "add" and len(layer.inputs) == 2:
        for value, shift in (layer.inputs, layer.inputs[::-1]):
            whole = (1,) * (len(layer.shape) - len(graph[shift].shape)) + graph[shift].shape
            if graph[value].shape == layer.shape and whole[axis] == 1:
                return _without_shift(graph, value, axis)
    return name


def _bounded(graph: Graph, layer: Layer) -> Layer:
    """A maximum or minimum without the constants that never win."""
    if layer.op not in ("maximum", "minimum"):
        return layer
    sign = -1.0 if layer.op == "maximum" else 1.0
    kept = [name for name in layer.inputs if graph[name].op != "constant" or not _far(graph[name], sign)]
    if len(kept) == len(layer.inputs) or not any(graph[name].shape == layer.shape for name in kept):
        return layer
    if len(kept) == 1:
        return replace(layer, op="identity", inputs=tuple(kept))
    return replace(layer, inputs=tuple(kept))


def _far(layer: Layer, sign: float) -> bool:
    return bool((np.asarray(layer.arrays["value"]) * sign > _BEYOND).all())
