"""Bits of weights by layer: few where rounding costs the answers little, more where it costs much. Knows weights and
curvature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    found = fewest(costs, sizes, CHOICES, average * sum(sizes.values()))
    return {name: found[population] for name, population in into.items()}


def fewest(
    costs: Mapping[str, NDArray[np.float64]], sizes: Mapping[str, float], choices: Sequence[int], total: float
) -> dict[str, int]:
    """{name: one of the choices}, which fall, so that their sum weighted by the sizes is at most `total`: from the first one for
    all, the name whose next choice costs least for what it saves takes that. costs {name: of each choice}."""
    place = dict.fromkeys(sizes, 0)

    def price(name: str) -> float:
        at = place[name]
        return float((costs[name][at + 1] - costs[name][at]) / ((choices[at] - choices[at + 1]) * sizes[name]))

    while sum(choices[place[name]] * size for name, size in sizes.items()) > total * (1 + 1e-12):
        place[min((name for name in sizes if place[name] + 1 < len(choices)), key=price)] += 1
    return {name: choices[at] for name, at in place.items()}


def population_of(graph: Graph, layer: Layer) -> str:
    """The population that a layer with weights leads to: the next layer that sends messages, or the output."""
    while layer.op not in SPIKING:
        behind = graph.consumers(layer.name)
        if not behind:
            break
        layer = behind[0]
    return layer.name
