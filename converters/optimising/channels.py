"""Channels of a float network that can be removed together, and the network without some of them.

A channel of a convolution is also that of the rectifier, pool, depthwise convolution and sum behind it: such channels make one
*group* and leave together. Knows graphs; knows no scores, prices or training.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.graph import Graph, Layer

Ints = NDArray[np.int64]
_SAME = ("relu", "avg_pool", "max_pool", "identity", "batch_norm", "scale", "pad")


@dataclass(frozen=True, slots=True)
class ChannelGroups:
    """`of` {layer: (entries along its first axis,)}: the group of each entry; `fixed`: groups that must stay."""

    of: Mapping[str, Ints]
    fixed: frozenset[int]

    @property
    def removable(self) -> Ints:
        """The groups that may be removed, ascending."""
        known = np.unique(np.concatenate(list(self.of.values())))
        return np.array([group for group in known.tolist() if group not in self.fixed], np.int64)


class _Ties:
    """Entries that were found to belong together (union-find)."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.fixed: set[int] = set()

    def fresh(self, count: int) -> Ints:
        first = len(self.parent)
        self.parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def root(self, entry: int) -> int:
        while self.parent[entry] != entry:
            self.parent[entry] = self.parent[self.parent[entry]]
            entry = self.parent[entry]
        return entry

    def tie(self, one: Ints, other: Ints) -> None:
        for a, b in zip(one.tolist(), other.tolist(), strict=True):
            first, second = sorted((self.root(a), self.root(b)))
            self.parent[second] = first

    def fix(self, entries: Ints) -> None:
        self.fixed.update(entries.tolist())


def channel_groups(graph: Graph) -> ChannelGroups:
    """The groups of a graph. Channels that meet a layer through which they cannot be followed are fixed, as inputs and
    outputs."""
    ties, of = _Ties(), dict[str, Ints]()
    for layer in graph.layers:
        of[layer.name] = _entries(graph, layer, of, ties)
    for name in graph.outputs:
        ties.fix(of[name])
    roots = {name: np.array([ties.root(entry) for entry in entries.tolist()], np.int64) for name, entries in of.items()}
    return ChannelGroups(roots, frozenset(ties.root(entry) for entry in ties.fixed))


def _entries(graph: Graph, layer: Layer, of: Mapping[str, Ints], ties: _Ties) -> Ints:
    before = [of[name] for name in layer.inputs]
    shapes = [graph[name].shape for name in layer.inputs]
    if layer.op == "conv" and layer.options["groups"] == 1:
        return ties.fresh(layer.shape[0])
    if layer.op == "linear" and len(layer.shape) == 1:
        return ties.fresh(layer.shape[0])
    if layer.op == "conv" and layer.options["groups"] == shapes[0][0] == layer.shape[0]:
        return before[0]
    if layer.op in _SAME and not (layer.op == "pad" and any(layer.options["padding"][0])):
        return before[0]
    if layer.op == "add" and all(shape == layer.shape for shape in shapes):
        for other in before[1:]:
            ties.tie(before[0], other)
        return before[0]
    if layer.op == "concat" and layer.options["axis"] == 0:
        return np.concatenate(before)
    if layer.op == "reshape" and layer.shape[0] == shapes[0][0]:
        return before[0]
    if layer.op == "reshape" and len(layer.shape) == 1:
        return np.repeat(before[0], prod(shapes[0][1:]))
    for entries in before:
        ties.fix(entries)
    made = ties.fresh(layer.shape[0] if layer.shape else 1)
    ties.fix(made)
    return made


def mixes(layer: Layer) -> bool:
    """Whether each output of the layer reads all channels of its input: what reads a channel that has been removed."""
    plain = layer.op == "linear" and len(layer.shape) == 1
    return plain or (layer.op == "conv" and layer.options["groups"] == 1)


def without(graph: Graph, groups: ChannelGroups, removed: Collection[int]) -> tuple[Graph, dict[str, Ints]]:
    """The graph without the channels of some groups, and for each layer the entries along its first axis that are left.

    A layer keeps one entry at least: where all of its groups are named, the first one stays.
    """
    gone = set(removed) - groups.fixed
    for entries in groups.of.values():
        if set(entries.tolist()) <= gone:
            gone.discard(int(entries[0]))
    marked = np.array(sorted(gone), np.int64)
    kept = {name: np.flatnonzero(~np.isin(entries, marked)) for name, entries in groups.of.items()}
    layers = [_cut(graph, layer, kept) for layer in graph.layers]
    return graph.relayered(layers), kept


def _cut(graph: Graph, layer: Layer, kept: Mapping[str, Ints]) -> Layer:
    own = kept[layer.name]
    if layer.op == "input" or (len(own) == layer.shape[0] and all(len(kept[n]) == graph[n].shape[0] for n in layer.inputs)):
        return layer
    options: dict[str, Any] = dict(layer.options)
    arrays = {name: _cut_array(graph, layer, name, array, kept) for name, array in layer.arrays.items()}
    if layer.op == "conv" and layer.options["groups"] > 1:
        options["groups"] = len(own)
    if layer.op == "relu" and options.get("threshold") is not None and options["threshold"].size > 1:
        options["threshold"] = options["threshold"][own]
    shape = (len(own), *layer.shape[1:])
    return replace(layer, shape=shape, arrays=arrays, options=options)


def _cut_array(
    graph: Graph, layer: Layer, name: str, array: NDArray[np.float32], kept: Mapping[str, Ints]
) -> NDArray[np.float32]:
    own = kept[layer.name]
    if layer.op == "scale" and (array.ndim < len(layer.shape) or array.shape[0] == 1):
        return array
    array = array[own]
    if name == "weight" and mixes(layer):
        array = array[:, kept[layer.inputs[0]]]
    return array


def dead_groups(groups: ChannelGroups, read: Mapping[str, NDArray[np.bool_]]) -> Ints:
    """Groups whose values are zero wherever a layer that mixes channels reads them.

    read {source layer: (entries,)}: for each layer that a mixing layer reads, whether an entry was ever anything but zero.
    """
    alive = {g for name, used in read.items() for g in groups.of[name][used].tolist()}
    seen = {g for name in read for g in groups.of[name].tolist()}
    return np.array([g for g in groups.removable.tolist() if g in seen and g not in alive], np.int64)
