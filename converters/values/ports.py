"""What the ports of a cell read: values of one population as they are, or a weighted sum of several along every linear way.

`names` are the layers that are populations. Knows layers and linear operators; knows no units or integers.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from scipy import sparse

from converters import linear
from converters.linear import Matrix, Operator
from converters.opmath import apply
from converters.stages import Path, split_concat
from converters.values.cells import Pick, Places, Sum
from neuro.graph import Graph, Layer


def _positions(graph: Graph, names: set[str], name: str) -> tuple[str, Places]:
    """The population that a layer's values are, and the place there of each of them, in the layer's shape."""
    source, chain = name, []
    while source not in names:
        chain.append(graph[source])
        source = graph[source].inputs[0]
    at = torch.arange(prod(graph[source].shape)).reshape(1, *graph[source].shape)
    for layer in reversed(chain):
        at = apply(layer, [at])
    return source, at[0].numpy()


def pick(graph: Graph, names: set[str], name: str, shape: tuple[int, ...]) -> Pick:
    source, at = _positions(graph, names, name)
    return Pick(source, np.broadcast_to(at, shape).reshape(-1, 1))


def dotted(graph: Graph, names: set[str], layer: Layer) -> tuple[Pick, Pick]:
    """Rows of the first matrix and columns of the second, one for each result."""
    (first, a), (second, b) = (_positions(graph, names, name) for name in layer.inputs)
    whole = (*layer.shape, a.shape[-1])
    rows = np.broadcast_to(a[..., :, None, :], whole)
    columns = np.broadcast_to(np.swapaxes(b, -1, -2)[..., None, :, :], whole)
    return Pick(first, rows.reshape(-1, whole[-1])), Pick(second, columns.reshape(-1, whole[-1]))


def taps_of(graph: Graph, names: set[str], layer: Layer) -> Pick:
    """Every window's places; those beyond the image are replaced by one inside, which changes no maximum."""
    source, at = _positions(graph, names, layer.inputs[0])
    o, found = layer.options, []
    for axis, n in enumerate(at.shape[1:]):
        start = np.arange(layer.shape[1 + axis]) * o["stride"][axis] - o["padding"][axis][0]
        taps = start[:, None] + np.arange(o["kernel"][axis]) * o["dilation"][axis]
        inside = (taps >= 0) & (taps < n)
        anyone = np.take_along_axis(taps, inside.argmax(1)[:, None], 1)
        found.append(np.where(inside, taps, anyone))
    picked = at
    for axis, taps in enumerate(found):  # (channels, out, taps, ...) for each axis in turn
        picked = np.take(picked, taps, axis=1 + 2 * axis)
    axes = len(found)
    order = (0, *(1 + 2 * i for i in range(axes)), *(2 + 2 * i for i in range(axes)))
    return Pick(source, picked.transpose(order).reshape(prod(layer.shape), -1))


def weighted_sum(graph: Graph, name: str, names: set[str]) -> Sum:
    merged: dict[Any, Path] = {}
    paths = _paths(graph, name, names)
    for path in paths:
        op = path.operator
        key: Any = (path.source, "matrix")
        if isinstance(op, linear.Window):
            key = (path.source, op.stride, op.padding, op.dilation, op.groups, op.weight.shape)
        if key in merged:
            path = Path(path.source, replace(op, weight=merged[key].operator.weight + op.weight))
        merged[key] = path
    with torch.no_grad():
        bias = _at_zero(graph, name, names, {})[0].numpy().astype(np.float64)
    return Sum(tuple(merged.values()), bias)


def _at_zero(graph: Graph, name: str, names: set[str], known: dict[str, torch.Tensor]) -> torch.Tensor:
    """The value (1, *shape) of a layer where all populations are zero; known: filled with those of layers on the way."""
    if name not in known:
        layer = graph[name]
        if name in names:
            known[name] = torch.zeros(1).expand(1, *layer.shape)
        elif layer.op == "constant":
            known[name] = torch.tensor(layer.arrays["value"]).expand(1, *layer.shape)
        else:
            known[name] = apply(layer, [_at_zero(graph, source, names, known) for source in layer.inputs])
    return known[name]


def _paths(graph: Graph, name: str, names: set[str]) -> list[Path]:
    """Every linear way from a population to the value of a layer."""
    layer = graph[name]
    if name in names:
        return [Path(name, linear.identity(layer.shape))]
    shapes = tuple(graph[source].shape for source in layer.inputs)
    found: list[Path] = []
    if layer.op == "conv" and graph[layer.inputs[0]].op == "concat" and layer.inputs[0] not in names:
        for source, piece in split_concat(graph, layer):
            for path in _paths(graph, source, names):
                found.append(Path(path.source, linear.follow(path.operator, piece)))
        if found:
            return found
    for part, source in enumerate(layer.inputs):
        for path in _paths(graph, source, names):
            found.append(Path(path.source, _followed(path.operator, layer, part, shapes)))
    return found


def _followed(operator: Operator, layer: Layer, part: int, shapes: tuple[tuple[int, ...], ...]) -> Operator:
    if layer.op == "mask":
        return linear.times(operator, 1.0, np.broadcast_to(layer.arrays["keep"] != 0, layer.shape))
    if layer.op == "add" and shapes[part] != layer.shape:
        at = np.arange(prod(shapes[part])).reshape(shapes[part])
        matrix = linear.to_matrix(operator)
        weight = matrix.weight.tocsc() if sparse.issparse(matrix.weight) else matrix.weight
        return Matrix(matrix.source, layer.shape, weight[:, np.broadcast_to(at, layer.shape).ravel()])
    if layer.op == "scale":
        factor = np.broadcast_to(layer.arrays.get("factor", np.ones(1)), layer.shape)
        return linear.times(operator, 1.0, factor)
    return linear.follow(operator, layer, part, shapes)
