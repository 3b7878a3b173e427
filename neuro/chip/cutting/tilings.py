"""Tilings: populations divided into slices, and how many synapses lead from each source neuron into each slice.

Convolutions are handled by the ranges of rows, columns and channels that a source neuron reaches; their synapses are
never listed. Knows networks and slices; knows nothing of cores, limits or chips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.network import Network
from neuro.projections import Conv2d, Projection
from neuro.projections.forms import as_convolution
from neuro.specification import Specification, frozen_array

Ints = NDArray[np.int64]
Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tiling(Specification):
    """A population of `shape` cut into a grid of boxes: `edges[axis]` ascends from 0 to shape[axis].

    Slices are numbered in C order of the grid. With `order`, a permutation of the flat neurons, the population counts as
    one axis and slice k holds the neurons order[edges[0][k]:edges[0][k + 1]].
    """

    shape: tuple[int, ...]
    edges: tuple[Ints, ...]
    order: Ints | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple(frozen_array(e, np.int64) for e in self.edges))
        if self.order is not None:
            object.__setattr__(self, "order", frozen_array(self.order, np.int64))
        axes = (self.size,) if self.order is not None else self.shape
        assert len(self.edges) == len(axes)
        assert all(e[0] == 0 and e[-1] == n and (np.diff(e) > 0).all() for e, n in zip(self.edges, axes, strict=True))

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of parts along each axis."""
        return tuple(len(e) - 1 for e in self.edges)

    @property
    def slices(self) -> int:
        return int(np.prod(self.grid))

    def sizes(self) -> Ints:
        """Neurons in each slice."""
        size = np.ones(1, np.int64)
        for edges in self.edges:
            size = np.multiply.outer(size, np.diff(edges))
        return size.ravel()

    def labels(self) -> Labels:
        """The slice of each neuron, in C order of the population's shape."""
        label = np.zeros(1, np.int32)
        for edges in self.edges:
            part = np.repeat(np.arange(len(edges) - 1, dtype=np.int32), np.diff(edges))
            label = np.add.outer(label * (len(edges) - 1), part)
        label = label.ravel().astype(np.int32)
        if self.order is None:
            return label
        spread = np.empty(self.size, np.int32)
        spread[self.order] = label
        return spread

    def parts_of(self, axis: int) -> Labels:
        """The part of each coordinate along one axis."""
        return np.repeat(np.arange(self.grid[axis], dtype=np.int32), np.diff(self.edges[axis]))


def even(shape: tuple[int, ...], parts: Sequence[int]) -> Tiling:
    """Each axis in parts of equal size, give or take one."""
    return Tiling(shape, tuple(np.arange(k + 1) * n // k for n, k in zip(shape, parts, strict=True)))


@dataclass(frozen=True, slots=True)
class Fan:
    """Where the messages of a population lead: source neurons of one class reach the same slices by as many synapses.

    classes (neurons,); class k leads to slices[starts[k]:starts[k + 1]], by `synops` synapses each.
    """

    classes: Labels
    starts: Ints
    slices: Ints
    synops: Ints


def fan(projection: Projection, network: Network, tiling: Tiling, *, zeros: bool = True) -> Fan:
    """The fan of a projection into its target, which is cut by `tiling`; zeros: whether synapses of weight zero count too."""
    source, target = network[projection.source], network[projection.target]
    window = as_window(projection, source.shape)
    if window is not None and tiling.order is None:
        if not zeros and (window.weights == 0).any():
            return _window_fan_without_zeros(window, with_rows(source.shape), _with_rows(tiling))
        return _window_fan(window, with_rows(source.shape), _with_rows(tiling))
    if projection.matrix is not None and (zeros or projection.matrix.all()):
        sizes = tiling.sizes()
        return Fan(np.zeros(source.size, np.int32), np.array([0, len(sizes)]), np.arange(len(sizes)), sizes)
    if projection.matrix is not None:
        counts = kept_by_slice(projection.matrix, tiling)
        at, slices = np.nonzero(counts)
        starts = np.concatenate([[0], np.cumsum(np.bincount(at, minlength=len(counts)))])
        return Fan(np.arange(source.size, dtype=np.int32), starts, slices, counts[at, slices])
    if projection.offset is not None:
        labels = tiling.labels()[projection.offset : projection.offset + source.size]
        ones = np.ones(tiling.slices, np.int64)
        return Fan(labels, np.arange(tiling.slices + 1), np.arange(tiling.slices), ones)
    synapses = projection.synapses(source.shape, target.shape)
    at = synapses.pre * tiling.slices + tiling.labels()[synapses.post]
    key, synops = np.unique(at if zeros else at[synapses.weight != 0], return_counts=True)
    pre = key // tiling.slices
    starts = np.concatenate([[0], np.cumsum(np.bincount(pre, minlength=source.size))])
    return Fan(np.arange(source.size, dtype=np.int32), starts, key % tiling.slices, synops.astype(np.int64))


def kept_by_slice(matrix: NDArray[Any], tiling: Tiling) -> Ints:
    """(source neurons, slices): weights of a matrix (pre, post) that are not zero."""
    order = np.argsort(tiling.labels(), kind="stable")
    firsts = np.concatenate([[0], np.cumsum(tiling.sizes())[:-1]])
    counts: Ints = np.add.reduceat((matrix != 0)[:, order], firsts, axis=1, dtype=np.int64)
    return counts


def as_window(projection: Projection, source: tuple[int, ...]) -> Conv2d | None:
    """Sliding windows as a two-dimensional convolution (a pooling as a depthwise one), else None."""
    return as_convolution(projection, source, source) if projection.slides else None


def with_rows(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(channels, length) as (channels, 1, length)."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


def _with_rows(tiling: Tiling) -> Tiling:
    if len(tiling.shape) == 3:
        return tiling
    return Tiling(with_rows(tiling.shape), (tiling.edges[0], np.array([0, 1]), tiling.edges[1]))


def reach(window: Conv2d, axis: int, source: int, tiling: Tiling) -> Ints:
    """(source coordinates, parts): taps by which a source row (axis 0) or column (axis 1) reaches each part."""
    parts = tiling.parts_of(1 + axis)
    table = np.zeros((source, tiling.grid[1 + axis]), np.int64)
    for tap in range(window.weights.shape[2 + axis]):
        at = _reads(window, axis, tap, len(parts))
        inside = (at >= 0) & (at < source)
        np.add.at(table, (at[inside], parts[inside]), 1)
    return table


def _reads(window: Conv2d, axis: int, tap: int, outputs: int) -> Ints:
    """The source coordinate that each output reads through one tap."""
    stride: Any = window.stride
    dilation: Any = window.dilation
    at: Ints = np.arange(outputs) * stride[axis] - window.padding[axis][0] + tap * dilation[axis]
    return at


def channel_reach(window: Conv2d, tiling: Tiling) -> Ints:
    """(source channels, parts): output channels of each part that a source channel reaches."""
    out, per_group = window.weights.shape[:2]
    group_of_output = np.arange(out) // (out // window.groups)
    per_part = np.zeros((window.groups, tiling.grid[0]), np.int64)
    np.add.at(per_part, (group_of_output, tiling.parts_of(0)), 1)
    return np.repeat(per_part, per_group, axis=0)


def _window_fan(window: Conv2d, source: tuple[int, ...], tiling: Tiling) -> Fan:
    """Classes of source neurons from the classes of their channel, row and column."""
    tables = [channel_reach(window, tiling), reach(window, 0, source[1], tiling), reach(window, 1, source[2], tiling)]
    rows, of = zip(*(np.unique(table, axis=0, return_inverse=True) for table in tables), strict=True)
    of = tuple(o.reshape(-1).astype(np.int32) for o in of)
    classes = (of[0][:, None, None] * len(rows[1]) + of[1][:, None]) * len(rows[2]) + of[2]
    counts: Ints = rows[0][:, None, None, :, None, None] * rows[1][None, :, None, None, :, None]
    counts = (counts * rows[2][None, None, :, None, None, :]).reshape(-1, tiling.slices)
    at, slices = np.nonzero(counts)
    starts = np.concatenate([[0], np.cumsum(np.bincount(at, minlength=len(counts)))])
    return Fan(np.ascontiguousarray(classes.ravel(), np.int32), starts, slices, counts[at, slices])


def _window_fan_without_zeros(window: Conv2d, source: tuple[int, ...], tiling: Tiling) -> Fan:
    """The same, by weights that are not zero; slices reached by zero weights alone are reached, by no synapse."""
    held = [_taps_into(window, axis, source[1 + axis], tiling) for axis in (0, 1)]
    kept = _kept_weights(window, tiling)
    tables = [kept, *held]
    rows, of = zip(*(np.unique(table, axis=0, return_inverse=True) for table in tables), strict=True)
    of = tuple(o.reshape(-1).astype(np.int32) for o in of)
    classes = (of[0][:, None, None] * len(rows[1]) + of[1][:, None]) * len(rows[2]) + of[2]
    counts = np.einsum("cpij,yqi,xrj->cyxpqr", *rows, optimize=True).reshape(-1, tiling.slices)
    reached = channel_reach(window, tiling)[np.unique(kept, axis=0, return_index=True)[1]] > 0
    meets = np.einsum("cp,yq,xr->cyxpqr", reached, rows[1].any(axis=2), rows[2].any(axis=2)).reshape(-1, tiling.slices)
    at, slices = np.nonzero(meets)
    starts = np.concatenate([[0], np.cumsum(np.bincount(at, minlength=len(counts)))])
    return Fan(np.ascontiguousarray(classes.ravel(), np.int32), starts, slices, counts[at, slices])


def _taps_into(window: Conv2d, axis: int, source: int, tiling: Tiling) -> Ints:
    """(source coordinates, parts, taps): 1 where a source row (axis 0) or column (axis 1) reaches a part by a tap."""
    parts = tiling.parts_of(1 + axis)
    table = np.zeros((source, tiling.grid[1 + axis], window.weights.shape[2 + axis]), np.int64)
    for tap in range(table.shape[2]):
        at = _reads(window, axis, tap, len(parts))
        inside = (at >= 0) & (at < source)
        table[at[inside], parts[inside], tap] = 1
    return table


def _kept_weights(window: Conv2d, tiling: Tiling) -> Ints:
    """(source channels, parts, rows, columns of the kernel): weights of the part's channels that are not zero."""
    out, per_group, *kernel = window.weights.shape
    table = np.zeros((per_group * window.groups, tiling.grid[0], *kernel), np.int64)
    for o, part in enumerate(tiling.parts_of(0)):
        first = o // (out // window.groups) * per_group
        table[first : first + per_group, part] += window.weights[o] != 0
    return table
