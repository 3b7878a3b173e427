"""Bits of weights by layer: few where rounding costs the answers little, more where it costs much. Knows weights and
curvature."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from converters.optimising.student import WEIGHTED, rounded_weights
from converters.stages import SPIKING
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer

CHOICES = (8, 6, 5, 4, 3, 2)  # of a weight, as Loihi's synapse formats hold


def allotted(graph: Graph, curvature: Mapping[str, NDArray[np.float64]], average: float) -> dict[str, int]:
    """{layer: bits}, `average` of them for a weight at most: from 8 everywhere, the layer that loses least for the memory that
    it saves gives up bits first.

    curvature {layer: in the shape of its weight}: half the mean squared gradient of the loss, so that rounding a weight by e
    costs about curvature x e^2 (Dong et al. 2019, with the Fisher diagonal for the Hessian). Layers into the same population
    share their bits.
    """
    if not CHOICES[-1] <= average <= CHOICES[0]:
        raise ConversionError("average bits", f"{average} is out of reach", f"Use {CHOICES[-1]} to {CHOICES[0]}")
    into = {layer.name: population_of(graph, layer) for layer in graph.layers if layer.op in WEIGHTED}
    sizes: dict[str, int] = {}
    costs: dict[str, NDArray[np.float64]] = {}
    for name, population in into.items():
        weight = torch.tensor(graph[name].arrays["weight"])
        errors = [(rounded_weights(weight, bits) - weight).double().numpy() for bits in CHOICES]
        cost = np.array([float((curvature[name] * error**2).sum()) for error in errors])
        costs[population] = costs.get(population, np.zeros(len(CHOICES))) + cost
        sizes[population] = sizes.get(population, 0) + weight.numel()
    place = dict.fromkeys(sizes, 0)
    while sum(CHOICES[place[p]] * size for p, size in sizes.items()) > average * sum(sizes.values()):
        able = [p for p in sizes if place[p] + 1 < len(CHOICES)]
        place[min(able, key=lambda p: _price(costs[p], place[p], sizes[p]))] += 1
    return {name: CHOICES[place[population]] for name, population in into.items()}


def _price(cost: NDArray[np.float64], at: int, size: int) -> float:
    """What the next step down costs for each bit of memory that it saves."""
    return float((cost[at + 1] - cost[at]) / ((CHOICES[at] - CHOICES[at + 1]) * size))


def population_of(graph: Graph, layer: Layer) -> str:
    """The population that a layer with weights leads to: the next layer that sends messages, or the output."""
    while layer.op not in SPIKING:
        behind = graph.consumers(layer.name)
        if not behind:
            break
        layer = behind[0]
    return layer.name
