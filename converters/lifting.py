"""Max pools over values that may be negative, written with rectified ones: max(x) = max(relu(x + c)) - c, where c lifts the
smallest calibrated value of each channel to zero. Knows graphs and ranges; knows no codes.

Differs from the float network in: values below the calibrated range count as the smallest of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from converters.calibration import calibrate
from neuro.graph import Graph, Layer

RECTIFIED = ("relu", "max_pool")


def lift_pools(graph: Graph, samples: NDArray[np.float32]) -> Graph:
    """The graph with every max pool reading rectified values; itself where all do. samples: (samples, *input shape)."""
    lifted: dict[str, str] = {}  # layer -> what its readers read instead
    layers: list[Layer] = []
    notes: list[str] = []
    for layer in graph.layers:
        layer = replace(layer, inputs=tuple(lifted.get(name, name) for name in layer.inputs))
        before = next((other for other in layers if layer.inputs[:1] == (other.name,)), None)
        if layer.op != "max_pool" or before is None or before.op in RECTIFIED:
            layers.append(layer)
            continue
        smallest = calibrate(_up_to(layers, before), {layer.name: before.name}, samples)[layer.name].smallest
        layers += _lifted(layer, before, -smallest)
        lifted[layer.name] = layers[-1].name
        if smallest.any():
            notes.append(f"layer {layer.name!r} pools values down to {smallest.min():.3g}; smaller ones would count as that")
    return replace(graph.relayered(layers), notes=(*graph.notes, *notes)) if lifted else graph


def _up_to(layers: list[Layer], last: Layer) -> Graph:
    """The graph that ends with one of its layers."""
    return Graph((*layers, Layer(f"{last.name}.value", "identity", (last.name,), last.shape)))


def _lifted(pool: Layer, before: Layer, lift: NDArray[np.float64]) -> list[Layer]:
    column = lift.reshape(-1, *[1] * (len(before.shape) - 1)).astype(np.float32)
    where = pool.where
    up = Layer(f"{pool.name}.lift", "scale", (before.name,), before.shape, {"shift": column}, where=where)
    rectified = Layer(f"{pool.name}.lifted", "relu", (up.name,), before.shape, {}, {"ceiling": None}, where)
    lowered = Layer(f"{pool.name}.lowered", "scale", (pool.name,), pool.shape, {"shift": -column}, where=where)
    if not lift.any():
        return [replace(rectified, inputs=(before.name,)), replace(pool, inputs=(rectified.name,))]
    return [up, rectified, replace(pool, inputs=(rectified.name,)), lowered]
