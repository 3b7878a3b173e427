"""Which sums and means of values are populations of their own before a weighted layer reads them: counted in synapses.

Folded into the weighted layer, a mean gives it a synapse from every value that the mean is of. Knows layers; knows no units or
integers.
"""

from __future__ import annotations

from collections.abc import Set
from math import prod

from neuro.graph import Graph, Layer

MOVES = frozenset({"reshape", "permute", "gather", "identity"})
WEIGHTED = frozenset({"conv", "linear", "conv_transpose"})
MEANS = frozenset({"reduce", "avg_pool"})
_JOINING = frozenset({"concat", "add", "scale"})
_NEURON = 8  # synapses that a neuron and its message cost as much as


def means_apart(graph: Graph, names: Set[str], layer: Layer) -> list[str]:
    """The sums and means that a layer reads, through layers that only move, join or scale values, and that take fewer synapses
    as populations; none of a layer without weights. names: layers that are populations already."""
    if layer.op not in WEIGHTED:
        return []
    share = _synapses(graph, layer) / prod(graph[layer.inputs[0]].shape)
    return [name for name in _means(graph, names, layer.inputs[0]) if _fewer(graph, names, name, share)]


def _synapses(graph: Graph, layer: Layer) -> int:
    """Synapses of a weighted layer that reads its input as it is, those beyond an image's edge among them."""
    positions = {"conv": layer.shape[1:], "linear": layer.shape[:-1]}.get(layer.op, graph[layer.inputs[0]].shape[1:])
    return int(layer.arrays["weight"].size * prod(positions))


def _means(graph: Graph, names: Set[str], name: str) -> list[str]:
    """The sums and means nearest to a layer's value, itself among them."""
    layer = graph[name]
    if name in names:
        return []
    if layer.op in MEANS:
        return [name]
    if layer.op in MOVES | _JOINING:
        alike = [source for source in layer.inputs if layer.op != "add" or graph[source].shape == layer.shape]
        return [found for source in alike for found in _means(graph, names, source)]
    return []


def _fewer(graph: Graph, names: Set[str], name: str, share: float) -> bool:
    """Whether a mean takes fewer synapses as a population, if each of its values has so many of them behind it.

    Folded, each of those becomes one for every value that the mean is of, less those that windows share.
    """
    taps, alone, before = 1, 1, name
    while before not in names and graph[before].op in MOVES | MEANS:
        layer = graph[before]
        if layer.op == "avg_pool":
            kernel, stride = layer.options["kernel"], layer.options["stride"]
            taps, alone = taps * prod(kernel), alone * prod(map(min, kernel, stride))
        elif layer.op == "reduce":
            read = prod(graph[layer.inputs[0]].shape) // prod(layer.shape)
            taps, alone = taps * read, alone * read
        before = layer.inputs[0]
    return share * alone > taps + share + _NEURON
