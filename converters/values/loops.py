"""Graph -> Graph of the same values in which every `previous` reads a layer that computes something, and begins at 0.

What only moves values (reshape, permute, gather, concat) is moved behind `previous`, so that parts of a joined state become
populations of their own. Knows ops; knows no populations.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuro.graph import Graph, Layer

_ONE_BY_ONE = ("function", "relu", "add", "multiply")
_WEIGHTED = ("linear", "conv")
_MOVES = ("reshape", "permute", "gather", "identity", "concat")


def settle_loops(graph: Graph) -> Graph:
    """The graph with its `previous` layers in that form; one without any as it is."""
    if not graph.has_frames:
        return graph
    return graph.relayered(_narrowed(_picked(_sunk(_started(graph)))).layers)


def copied(graph: Graph) -> tuple[Graph, tuple[str, ...]]:
    """The graph in which weighted layers read a copy of sums that come back a frame later, and the names of the copies: they
    need fewer bits than the sum, and may leave small changes out."""
    sums = {one.inputs[0] for one in graph.layers if one.op == "previous" and graph[one.inputs[0]].op == "add"}
    before = {one.name: one.inputs[0] for one in graph.layers if one.op == "previous" and one.inputs[0] in sums}
    read = {one.name: _behind_names(graph, one.inputs[0]) for one in graph.layers if one.op in _WEIGHTED}
    read = {name: source for name, source in read.items() if source in sums or source in before}
    wanted = {before.get(source, source) for source in read.values()}
    layers: list[Layer] = []
    for layer in graph.layers:
        layers.append(replace(layer, inputs=(f"{read[layer.name]}.copy",)) if layer.name in read else layer)
        if layer.name in wanted:
            layers.append(Layer(f"{layer.name}.copy", "identity", (layer.name,), layer.shape, where=layer.where))
        if layer.name in before and before[layer.name] in wanted:
            copy = f"{before[layer.name]}.copy"
            layers.append(Layer(f"{layer.name}.copy", "previous", (copy,), layer.shape, where=layer.where))
    needed = Graph(tuple(layers), graph.name, graph.notes, graph.outputs).leading_to(graph.outputs) if wanted else set()
    made = [layer for layer in layers if not wanted or layer.name in needed or layer.op == "input"]
    return graph.relayered(made), tuple(f"{name}.copy" for name in wanted)


def _behind_names(graph: Graph, name: str) -> str:
    """The layer that identities only give other names."""
    while graph[name].op == "identity":
        (name,) = graph[name].inputs
    return name


def _narrowed(graph: Graph) -> Graph:
    """Layers of one value after the other without first axes of size 1, so that their next axis may be that of channels."""
    layers: list[Layer] = []
    for layer in graph.layers:
        shape = layer.shape
        while len(shape) > 1 and shape[0] == 1:
            shape = shape[1:]
        if layer.op not in _ONE_BY_ONE or shape == layer.shape or any(graph[name].shape != layer.shape for name in layer.inputs):
            layers.append(layer)
            continue
        inputs = tuple(f"{layer.name}.{i}" for i in range(len(layer.inputs)))
        given = zip(inputs, layer.inputs, strict=True)
        layers += [Layer(name, "reshape", (source,), shape, where=layer.where) for name, source in given]
        layers.append(replace(layer, name=f"{layer.name}.values", inputs=inputs, shape=shape))
        layers.append(Layer(layer.name, "reshape", (f"{layer.name}.values",), layer.shape, where=layer.where))
    return graph.relayered(layers)


def _started(graph: Graph) -> Graph:
    """previous(x, from s) = previous(x - s, from 0) + s."""
    layers: list[Layer] = []
    after: dict[str, list[Layer]] = {}
    for layer in graph.layers:
        start = layer.arrays.get("start") if layer.op == "previous" else None
        if start is None or not start.any():
            layers.append(replace(layer, arrays={}) if layer.op == "previous" else layer)
            continue
        less, held = f"{layer.name}.less", f"{layer.name}.held"
        after.setdefault(layer.inputs[0], []).append(
            Layer(less, "scale", layer.inputs, layer.shape, {"shift": -start}, {}, layer.where)
        )
        layers.append(Layer(held, "previous", (less,), layer.shape, where=layer.where))
        layers.append(Layer(layer.name, "scale", (held,), layer.shape, {"shift": start}, {}, layer.where))
    return graph.relayered([one for layer in layers for one in (layer, *after.get(layer.name, ()))])


def _sunk(graph: Graph) -> Graph:
    """Moves behind `previous`: of each layer that computes something there is one `previous`."""
    made: dict[str, str] = {}
    layers: list[Layer] = []
    for layer in graph.layers:
        if layer.op != "previous":
            layers.append(layer)
            continue
        source = layer.inputs[0]
        whole = _behind(graph, source, made, layers)
        layers.append(Layer(layer.name, "identity", (whole,), layer.shape, where=layer.where))
    return graph.relayered(layers)


def _behind(graph: Graph, name: str, made: dict[str, str], layers: list[Layer]) -> str:
    """The layer with the last value of another; it is written where there is none yet."""
    if name in made:
        return made[name]
    source, free = graph[name], f"{name}.before"
    while any(free == one.name for one in (*graph.layers, *layers)):
        free += "_"
    op = _move_of(graph, source)
    if op is None:
        layers.append(Layer(free, "previous", (name,), source.shape, where=source.where))
    else:
        inputs = tuple(_behind(graph, one, made, layers) for one in op.inputs)
        layers.append(replace(op, name=free, inputs=inputs))
    made[name] = free
    return free


def _move_of(graph: Graph, layer: Layer) -> Layer | None:
    """The layer where it only moves values; a sum with zeros does too."""
    if layer.op in _MOVES:
        return layer
    if layer.op == "add":
        left = [name for name in layer.inputs if graph[name].op != "constant" or np.any(graph[name].arrays["value"])]
        if len(left) == 1 and graph[left[0]].shape == layer.shape:
            return Layer(layer.name, "identity", (left[0],), layer.shape, where=layer.where)
    return None


def _picked(graph: Graph) -> Graph:
    """A gather or crop of joined layers that lies within one of them reads that one."""
    known: dict[str, Layer] = {}
    layers = []
    for layer in graph.layers:
        known[layer.name] = made = _direct(layer, known)
        layers.append(made)
    needed = Graph(tuple(layers), graph.name, graph.notes, graph.outputs).leading_to(graph.outputs)
    return graph.relayered([layer for layer in layers if layer.name in needed])


def _direct(layer: Layer, known: dict[str, Layer]) -> Layer:
    if layer.op not in ("gather", "pad") or len(layer.inputs) != 1:
        return layer
    source = _through(known[layer.inputs[0]], known)
    if source.op != "concat":
        return layer
    axis = source.options["axis"]
    wanted = _wanted(layer, source.shape, axis)
    if wanted is None:
        return layer
    at = 0
    for name in source.inputs:
        size = known[name].shape[axis]
        if at <= wanted.min() and wanted.max() < at + size:
            return Layer(layer.name, "gather", (name,), layer.shape, {}, {"axis": axis, "indices": wanted - at}, layer.where)
        at += size
    return layer


def _through(layer: Layer, known: dict[str, Layer]) -> Layer:
    while layer.op == "identity":
        layer = known[layer.inputs[0]]
    return layer


def _wanted(layer: Layer, shape: tuple[int, ...], axis: int) -> NDArray[np.int64] | None:
    """The places along an axis that a layer keeps, where it does nothing else."""
    if layer.op == "gather":
        return np.asarray(layer.options["indices"]) if layer.options["axis"] == axis else None
    sides = layer.options["padding"]
    if any(side > 0 for pair in sides for side in pair) or any(any(pair) for i, pair in enumerate(sides) if i != axis):
        return None
    return np.arange(-sides[axis][0], shape[axis] + sides[axis][1])
