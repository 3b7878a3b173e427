"""Digits of values by layer: few where rounding costs the answers little, more where it costs much, as coarser thresholds.

A threshold 2^k times as large takes the k leading digits away, which are then never sent. Knows values and their gradients; knows
no prices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from converters.evaluation import rounded
from converters.opmath import apply, arrays_of
from converters.optimising.bits import fewest
from converters.optimising.scores import loss_of
from converters.optimising.student import tuned_thresholds
from neuro.graph import Graph

Floats = NDArray[np.float64]
_BATCH = 64


def coarser(
    graph: Graph,
    x: NDArray[np.float32],
    y: NDArray[np.int64] | None,
    sizes: Mapping[str, float],
    digits: int,
    average: float,
) -> tuple[Graph, dict[str, int]]:
    """The graph whose rectifiers' values have `average` digits at most, from `digits` everywhere, and how many each has.

    sizes {rectifier: its weight in the average}: what its messages cost. The layer that loses least for the digits that it saves
    gives up digits first; rounding values by e costs half of e^2 times the mean squared gradient of the loss (as for weights,
    Dong et al. 2019). y None: the network's own decisions. Rectifiers with a ceiling keep theirs, as no threshold may exceed it.
    """
    levels = 2**digits - 1
    theta = tuned_thresholds(graph, x, levels)
    costs = _costs(graph, x, y, theta, digits)
    held = {name: sizes[name] for name in theta if graph[name].options["ceiling"] is not None}
    free = {name: max(sizes[name], 1e-9) for name in theta if name not in held}
    target = max(average * sum(sizes[name] for name in theta) - digits * sum(held.values()), sum(free.values()))
    found = dict.fromkeys(held, digits) | fewest(costs, free, tuple(range(digits, 0, -1)), target)
    layers = []
    for layer in graph.layers:
        if layer.name in theta:
            raised = theta[layer.name] * 2.0 ** (digits - found[layer.name])
            layer = replace(layer, options={**layer.options, "threshold": raised, "levels": levels})
        layers.append(layer)
    return graph.relayered(layers), found


def _costs(
    graph: Graph, x: NDArray[np.float32], y: NDArray[np.int64] | None, theta: Mapping[str, Floats], digits: int
) -> dict[str, Floats]:
    """{rectifier: what rounding its values to so many digits costs, from all of them to one}, of an average sample."""
    found = {name: np.zeros(digits) for name in theta}
    arrays = {layer.name: arrays_of(layer) for layer in graph.layers}
    for start in range(0, len(x), _BATCH):
        values = {graph.inputs[0].name: torch.as_tensor(np.ascontiguousarray(x[start : start + _BATCH], np.float32))}
        for layer in graph.layers:
            if layer.op != "input":
                value = apply(layer, [values[name] for name in layer.inputs], arrays[layer.name])
                values[layer.name] = value.requires_grad_(True) if layer.name in theta and not value.requires_grad else value
        loss = loss_of(values[graph.output.name], None if y is None else y[start : start + _BATCH]) * len(
            x[start : start + _BATCH]
        )
        for name, slope in zip(theta, torch.autograd.grad(loss, [values[name] for name in theta]), strict=True):
            value, square = values[name].detach(), slope.double().square()
            for cut in range(digits):
                unit = torch.as_tensor(theta[name] * 2.0**cut, dtype=value.dtype)
                error = rounded(value, unit, 2**digits - 1) - value
                found[name][cut] += float((square * error.double().square()).sum()) / (2 * len(x))
    return found
