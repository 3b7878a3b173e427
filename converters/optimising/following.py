"""Along which axis of each layer channels lie, and which of them belong together. Knows ops; removes nothing.

Channels are followed through the layer's inputs: a layer that mixes them begins new ones, most others hand theirs on. Where they
cannot be followed they are fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from neuro.graph import Layer

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Followed:
    """The entries (n,) along one axis of a layer."""

    axis: int
    entries: Ints


class Ties:
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


def mixing_axis(layer: Layer) -> int | None:
    """The axis of its input along which each output of a layer reads all entries; None for a layer that does not mix them."""
    if layer.op == "linear":
        return len(layer.shape) - 1
    return 0 if layer.op == "conv" and layer.options["groups"] == 1 else None


def followed(layer: Layer, sources: Sequence[Layer], before: Sequence[Followed], ties: Ties) -> Followed:
    """The channels of a layer, those of its sources given."""
    mixed = mixing_axis(layer)
    if mixed is not None:
        if before[0].axis != mixed:
            ties.fix(before[0].entries)
        return Followed(mixed, ties.fresh(layer.shape[mixed]))
    found = _RULES.get(layer.op, _unknown)(layer, sources, before, ties)
    if found is not None:
        return found
    for one in before:
        ties.fix(one.entries)
    made = ties.fresh(layer.shape[0] if layer.shape else 1)
    ties.fix(made)
    return Followed(0, made)


Rule = Callable[[Layer, Sequence[Layer], Sequence[Followed], Ties], Followed | None]


def _unknown(layer: Layer, sources: Sequence[Layer], before: Sequence[Followed], ties: Ties) -> Followed | None:
    return None


def _same(layer: Layer, sources: Sequence[Layer], before: Sequence[Followed], ties: Ties) -> Followed | None:
    return before[0]


def _image(layer: Layer, sources: Sequence[Layer], before: Sequence[Followed], ties: Ties) -> Followed | None:
    """Channels first; each is computed by itself."""
    alone = layer.op != "conv" or layer.options["groups"] == sources[0].shape[0] == layer.shape[0]
    return before[0] if alone and before[0].axis == 0 else None


def _along(layer: Layer, sources: Sequence[Layer], before: Sequence[Followed], ties: Ties) -> Followed | None:
    """What treats the entries of some axes together leaves those of others alone."""
    o = layer.options
    return before[0] if before[0].axis not in o.get("axes", (o.get("axis"),)) else None


def _normed(layer: Layer, sources: Sequence[Layer], before: Sequence[Followed], ties: Ties) -> Followed | None:
    """As `_along`; entries that share their statistics, or a sum of one, must all stay, where they are."""
    if _along(layer, sources, before, ties) is None:
        ties.fix(before[0].entries)
    return before[0]


def _padded(layer: Layer, sources: Sequence[Layer], before: Sequence[Followed], ties: Ties) -> Followed | None:
    axis, entries = before[0].axis, before[0].entries
    low, high = layer.options["padding"][axis]
    return Followed(axis, entries[-low : len(entries) + high]) if low <= 0 and high <= 0 else None


def _together(layer: Layer, sources: Sequence[Layer], before: Sequence[Followed], ties: Ties) -> Followed | None:
    """Element by element: entries at one place belong together; a source of one entry serves them all and stays."""
    first = next((one for one, source in zip(before, sources, strict=True) if _fills(one, source, layer)), None)
    if first is None or not layer.shape:
        return None
    for one, source in zip(before, sources, strict=True):
        if _fills(one, source, layer) and one.axis == first.axis:
            ties.tie(first.entries, one.entries)
        elif source.shape[first.axis] == 1:
            ties.fix(one.entries)
        else:
            return None
    return first


def _fills(one: Followed, source: Layer, layer: Layer) -> bool:
    return bool(source.shape) and source.shape[one.axis] == layer.shape[one.axis]


def _concat(layer: Layer, sources: Sequence[Layer], before: Sequence[Followed], ties: Ties) -> Followed | None:
    axis = before[0].axis
    if any(one.axis != axis for one in before):
        return None
    if layer.options["axis"] == axis:
        return Followed(axis, np.concatenate([one.entries for one in before]))
    return _together(layer, sources, before, ties)


def _permuted(layer: Layer, sources: Sequence[Layer], before: Sequence[Followed], ties: Ties) -> Followed | None:
    return Followed(layer.options["axes"].index(before[0].axis), before[0].entries)


def _reshaped(layer: Layer, sources: Sequence[Layer], before: Sequence[Followed], ties: Ties) -> Followed | None:
    """Axes before the channels stay as they are; the channels stay, become runs of as many (heads), or are merged with axes
    behind them."""
    axis, entries = before[0].axis, before[0].entries
    old, new = sources[0].shape, layer.shape
    if new[:axis] != old[:axis] or len(new) <= axis:
        return None
    size = new[axis]
    if size == len(entries):
        return before[0]
    if size < len(entries) and len(entries) % size == 0 and new[axis + 2 :] == old[axis + 1 :]:
        runs = entries.reshape(size, -1)
        for place in range(1, runs.shape[1]):
            ties.tie(runs[:, 0], runs[:, place])
        return Followed(axis, runs[:, 0])
    for stop in range(axis + 2, len(old) + 1):
        if size == prod(old[axis:stop]) and new[axis + 1 :] == old[stop:]:
            return Followed(axis, np.repeat(entries, prod(old[axis + 1 : stop])))
    return None


def _matmul(layer: Layer, sources: Sequence[Layer], before: Sequence[Followed], ties: Ties) -> Followed | None:
    """Stacks of matrices belong together; so do the places over which is summed; columns are those of the second."""
    (first, second), last = before, len(layer.shape) - 1
    if first.axis == second.axis < last - 1 and len(first.entries) == len(second.entries):
        ties.tie(first.entries, second.entries)
        return first
    if first.axis == last and second.axis == last - 1:
        ties.tie(first.entries, second.entries)
        made = ties.fresh(layer.shape[0])
        ties.fix(made)
        return Followed(0, made)
    if second.axis == last:
        ties.fix(first.entries)
        return second
    return None


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("relu", "identity", "scale", "function", "prelu", "mask"), _same),
    **dict.fromkeys(("conv", "avg_pool", "max_pool", "batch_norm"), _image),
    **dict.fromkeys(("reduce", "gather", "resample"), _along),
    **dict.fromkeys(("softmax", "log_softmax", "layer_norm", "rms_norm"), _normed),
    **dict.fromkeys(("add", "multiply", "maximum", "minimum", "where"), _together),
    "pad": _padded,
    "concat": _concat,
    "permute": _permuted,
    "reshape": _reshaped,
    "matmul": _matmul,
}
