"""Trinary weights: each output channel, or neuron, has weights -a, 0 and +a with an `a` of its own, as crossbars can hold them.

Knows graphs and arrays; training through these weights is in `finetuning`. Source: ternary weight networks, Li et al. 2016.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from converters.folding import WEIGHTED
from neuro.graph import Graph, Layer

Tensor = torch.Tensor
MOST_INPUTS = 256  # weights of a channel that are not zero: the axons of a core of TrueNorth
_CUT = 0.7  # of the mean absolute weight: smaller weights become zero


def trinary(weight: Tensor) -> Tensor:
    """The nearest trinary weights by channel, (channels, ...); gradients pass straight through to `weight`.

    A trinary weight stays as it is, but for the `MOST_INPUTS` largest of a channel all become zero.
    """
    flat = weight.reshape(len(weight), -1)
    size = flat.detach().abs()
    kept = size > _CUT * size.mean(dim=1, keepdim=True)
    if size.shape[1] > MOST_INPUTS:
        strongest = size.argsort(dim=1, descending=True, stable=True)[:, :MOST_INPUTS]
        kept &= torch.zeros_like(kept).scatter_(1, strongest, True)
    level = (size * kept).sum(dim=1, keepdim=True) / kept.sum(dim=1, keepdim=True).clamp(min=1)
    value = level * flat.detach().sign() * kept
    return (flat + (value - flat).detach()).reshape(weight.shape)


def trinary_graph(graph: Graph) -> Graph:
    """The graph with the nearest trinary weights, not tuned."""
    layers = [layer for layer in graph.layers if layer.op in WEIGHTED]
    made = {layer.name: _nearest(layer) for layer in layers}
    return graph.relayered([made.get(layer.name, layer) for layer in graph.layers])


def _nearest(layer: Layer) -> Layer:
    weight = trinary(torch.tensor(layer.arrays["weight"])).numpy()
    return replace(layer, arrays={**layer.arrays, "weight": weight})
