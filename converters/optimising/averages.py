"""The average of networks of one shape: what each training forgot, the others remember.

Networks that were trained from the same one lie close together, and their average is often better than each (Wortsman et al.
2022); with a share of the one that they began with it keeps what training on few data loses. Knows graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from converters.optimising.student import tuned_thresholds
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer


def averaged(graphs: Sequence[Graph], shares: Sequence[float], x: NDArray[np.float32]) -> Graph:
    """The network whose weights and biases are means of those of `graphs` by shares of 1, thresholds geometric means.

    x: typical inputs (samples, *shape), for the thresholds of a network whose rectifiers have none for the levels of the others.
    Raises ConversionError for networks of different layers or sizes, and shares that are none.
    """
    if len(graphs) != len(shares) or not graphs or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        fact = f"{len(graphs)} networks with shares {tuple(shares)}"
        raise ConversionError("average", fact, "Give each network a share of 0 or more, 1 in all")
    first = graphs[0]
    for graph in graphs[1:]:
        _check_alike(first, graph)
    levels = {layer.options["levels"] for graph in graphs for layer in graph.layers if "levels" in layer.options}
    if len(levels) > 1:
        fact = f"their rectifiers were tuned for {' and '.join(map(str, sorted(levels)))} levels"
        raise ConversionError("average", fact, "Use networks that were trained in the same code and T")
    found = [tuned_thresholds(graph, x, *levels) if levels else {} for graph in graphs]
    layers = []
    for layer in first.layers:
        each = [graph[layer.name] for graph in graphs]
        names = dict.fromkeys(name for one in each for name in one.arrays)
        layer = replace(layer, arrays={name: _mean([_array(one, name, each) for one in each], shares) for name in names})
        if layer.name in found[0]:
            theta = np.exp(_mean([np.log(one[layer.name]) for one in found], shares))
            layer = replace(layer, options={**layer.options, "threshold": theta, "levels": next(iter(levels))})
        layers.append(layer)
    return first.relayered(layers)


def scaled(graph: Graph, factor: float) -> Graph:
    """The graph with thresholds times a factor. Below 1 more is sent and the largest values are clipped: in codes that count,
    spikes are then finer, and what comes too early is a smaller part of a value."""
    tuned = (layer.name for layer in graph.layers if "threshold" in layer.options)
    new = {name: {**graph[name].options, "threshold": np.asarray(graph[name].options["threshold"]) * factor} for name in tuned}
    return graph.relayered(replace(one, options=new[one.name]) if one.name in new else one for one in graph.layers)


def _check_alike(first: Graph, other: Graph) -> None:
    for one, two in zip(first.layers, other.layers, strict=False):
        if (one.name, one.op, one.inputs, one.shape) != (two.name, two.op, two.inputs, two.shape):
            fact = f"one is {one.op} {one.shape}, the other {two.op} {two.shape}"
            raise ConversionError(f"average, layer {one.name!r}", fact, "Use networks from which nothing else was removed")
    if len(first.layers) != len(other.layers):
        fact = f"one has {len(first.layers)} layers, the other {len(other.layers)}"
        raise ConversionError("average", fact, "Use networks from which nothing else was removed")


def _array(layer: Layer, name: str, each: Sequence[Layer]) -> NDArray[np.floating]:
    """A layer's array; of one that another has, a bias of zero."""
    if name in layer.arrays:
        return layer.arrays[name]
    return np.zeros_like(next(one.arrays[name] for one in each if name in one.arrays))


def _mean(values: Sequence[NDArray[np.floating]], shares: Sequence[float]) -> NDArray[np.floating]:
    total = sum(share * np.asarray(value, np.float64) for share, value in zip(shares, values, strict=True))
    return np.asarray(total, values[0].dtype)
