"""Which weights go: a share of each layer, or a pattern such as two of four, as masks. Knows weights and their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from converters.optimising.channels import mixes
from neuro.graph import Graph

Masks = dict[str, NDArray[np.bool_]]
Scores = Mapping[str, NDArray[np.float64]]
_MANY = 0.25  # share of zeros from which on a layer counts as pruned


def share_masks(graph: Graph, scores: Scores, share: float) -> Masks:
    """{layer: kept}: of each layer that mixes channels, `share` of its weights with the least scores go."""
    made: Masks = {}
    for layer in graph.layers:
        if mixes(layer):
            flat = scores[layer.name].ravel()
            mask = np.ones(flat.size, np.bool_)
            mask[np.argsort(flat, kind="stable")[: round(share * flat.size)]] = False
            made[layer.name] = mask.reshape(scores[layer.name].shape)
    return made


def pattern_masks(graph: Graph, scores: Scores, keep: int, of: int) -> Masks:
    """{layer: kept}: of each `of` weights in a row along the inputs of an output (channels of one tap in turn, as matrix units
    hold them) the `keep` with the highest scores stay. Layers whose inputs are no multiple of `of` are left as they are."""
    made: Masks = {}
    for layer in graph.layers:
        if not mixes(layer) or layer.arrays["weight"].shape[1] % of:
            continue
        rows = _rows(scores[layer.name])
        groups = rows.reshape(-1, of)
        order = np.argsort(-groups, axis=1, kind="stable")
        mask = np.zeros(groups.shape, np.bool_)
        np.put_along_axis(mask, order[:, :keep], True, axis=1)
        made[layer.name] = _unrows(mask.reshape(rows.shape), scores[layer.name].shape)
    return made


def masked(graph: Graph, masks: Mapping[str, NDArray[np.bool_]]) -> Graph:
    """The graph with weights at zero where a mask of their layer says so."""
    layers = []
    for layer in graph.layers:
        if layer.name in masks:
            weight = np.where(masks[layer.name], layer.arrays["weight"], np.float32(0))
            layer = replace(layer, arrays={**layer.arrays, "weight": weight})
        layers.append(layer)
    return graph.relayered(layers)


def follows(graph: Graph, keep: int, of: int) -> bool:
    """Whether all layers that mix channels and can have the pattern do, of which there must be one."""
    able = [layer for layer in graph.layers if mixes(layer) and layer.arrays["weight"].shape[1] % of == 0]
    return bool(able) and all(
        bool((np.count_nonzero(_rows(layer.arrays["weight"]).reshape(-1, of), axis=1) <= keep).all()) for layer in able
    )


def zeros_of(graph: Graph) -> Masks:
    """{layer: weights that are not zero} of the layers of which a quarter or more are: what was pruned, and is to stay so."""
    made: Masks = {}
    for layer in graph.layers:
        if mixes(layer):
            kept = layer.arrays["weight"] != 0
            if kept.mean() <= 1 - _MANY:
                made[layer.name] = kept
    return made


def _rows(weight: NDArray[np.floating]) -> NDArray[np.floating]:
    """Weights (out, in, *kernel) as rows in which the inputs of one tap lie side by side."""
    return np.moveaxis(weight, 1, -1).reshape(-1, weight.shape[1])


def _unrows(rows: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)
