"""Channels of a float network that can be removed together, and the network without some of them.

A channel of a convolution is also that of the rectifier, pool, depthwise convolution and sum behind it; a head of attention is a
run of channels of queries, keys and values. Such channels make one *group* and leave together (which ones: `following`). Knows
graphs; knows no scores, prices or training.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.optimising.following import Followed, Ties, followed, mixing_axis
from neuro.graph import Graph, Layer

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChannelGroups:
    """`of` {layer: (entries along its channel axis,)}: the group of each entry; `axis` {layer: which that is}; `fixed`: groups
    that must stay."""

    of: Mapping[str, Ints]
    axis: Mapping[str, int]
    fixed: frozenset[int]

    @property
    def removable(self) -> Ints:
        """The groups that may be removed, ascending."""
        known = np.unique(np.concatenate(list(self.of.values())))
        return np.array([group for group in known.tolist() if group not in self.fixed], np.int64)


def channel_groups(graph: Graph) -> ChannelGroups:
    """The groups of a graph. Channels that meet a layer through which they cannot be followed are fixed, as inputs and
    outputs."""
    ties, found = Ties(), dict[str, Followed]()
    for layer in graph.layers:
        found[layer.name] = followed(layer, [graph[name] for name in layer.inputs], [found[name] for name in layer.inputs], ties)
    for name in graph.outputs:
        ties.fix(found[name].entries)
    roots = {name: np.array([ties.root(entry) for entry in one.entries.tolist()], np.int64) for name, one in found.items()}
    axes = {name: one.axis for name, one in found.items()}
    return ChannelGroups(roots, axes, frozenset(ties.root(entry) for entry in ties.fixed))


def mixes(layer: Layer) -> bool:
    """Whether each output of the layer reads all channels of its input: what reads a channel that has been removed."""
    return mixing_axis(layer) is not None


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
    layers = [_cut(graph, layer, groups, kept) for layer in graph.layers]
    return graph.relayered(layers), kept


def _cut(graph: Graph, layer: Layer, groups: ChannelGroups, kept: Mapping[str, Ints]) -> Layer:
    own, axis = kept[layer.name], groups.axis[layer.name]
    if layer.op == "input" or all(len(kept[n]) == len(groups.of[n]) for n in (layer.name, *layer.inputs)):
        return layer
    options: dict[str, Any] = dict(layer.options)
    arrays = {name: _cut_array(layer, name, array, groups, kept) for name, array in layer.arrays.items()}
    if layer.op == "conv" and layer.options["groups"] > 1:
        options["groups"] = len(own)
    if layer.op == "relu" and options.get("threshold") is not None and options["threshold"].size > 1 and axis == 0:
        options["threshold"] = options["threshold"][own]
    if layer.op == "pad" and any(options["padding"][axis]):
        options["padding"] = _cropped(options["padding"], axis, len(groups.of[layer.inputs[0]]), kept[layer.inputs[0]])
    shape = (*layer.shape[:axis], len(own), *layer.shape[axis + 1 :]) if layer.shape else layer.shape
    return replace(layer, shape=shape, arrays=arrays, options=options)


def _cut_array(
    layer: Layer, name: str, array: NDArray[np.float32], groups: ChannelGroups, kept: Mapping[str, Ints]
) -> NDArray[np.float32]:
    own, axis, entries = kept[layer.name], groups.axis[layer.name], len(groups.of[layer.name])
    if layer.op in ("conv", "linear", "batch_norm"):
        array, read = array[own], kept[layer.inputs[0]]
        return array[:, read] if name == "weight" and mixes(layer) and len(read) < len(groups.of[layer.inputs[0]]) else array
    at = axis - (len(layer.shape) - array.ndim)  # arrays broadcast from the right
    return array.take(own, at) if at >= 0 and array.shape[at] == entries > 1 else array


def _cropped(padding: Any, axis: int, size: int, kept: Ints) -> Any:
    """The padding that leaves what it left of the entries that are kept."""
    low, high = padding[axis]
    mine = (-int((kept < -low).sum()), -int((kept >= size + high).sum()))
    return (*padding[:axis], mine, *padding[axis + 1 :])


def dead_groups(groups: ChannelGroups, read: Mapping[str, NDArray[np.bool_]]) -> Ints:
    """Groups whose values are zero wherever a layer that mixes channels reads them.

    read {source layer: (entries,)}: for each layer that a mixing layer reads, whether an entry was ever anything but zero.
    """
    alive = {g for name, used in read.items() for g in groups.of[name][used].tolist()}
    seen = {g for name in read for g in groups.of[name].tolist()}
    return np.array([g for g in groups.removable.tolist() if g in seen and g not in alive], np.int64)
