"""Listed synapses in the two orders that the kernels read. Knows pairs of neurons, layouts and nothing of networks.

By row: for every target row, the synapses of one source neuron after the other, with a pointer for each pair of a target row
and a source neuron. By source: the synapses of one source neuron after the other, with the target row of each; taken where most
of those pairs have no synapse. Both are made by counting, so time and memory grow with synapses and neurons, not with their
product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import compiled
from neuro.engine.layout import Layout
from neuro.specification import IntArray

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
POINTERS_EACH = 2  # pointers by row that a synapse may cost


@dataclass(frozen=True, slots=True)
class BySource:
    """Pointers (sources + 1,), and of each synapse its target row, lane and weight; `reach` (source rows, 2): first target row
    that a source row reaches, and the one behind the last."""

    starts: Int64s
    rows: NDArray[np.int32]
    lanes: NDArray[np.uint32]
    weights: NDArray[np.int32]
    reach: Int64s


def in_memory(layout: Layout, neurons: Int32s) -> Int32s:
    """Memory positions of neurons given in the user's order."""
    return layout.memory_index.astype(np.int32)[neurons] if layout.moves else neurons


def listed_by_row(synapses: int, sources: int, target_rows: int) -> bool:
    """Whether pointers for every pair of a target row and a source neuron are worth their memory."""
    return target_rows == 1 or target_rows * sources <= POINTERS_EACH * synapses + sources


def list_by_row(
    pre: Int32s, post: Int32s, weight: NDArray[Any], source: Layout, target: Layout, halo: int, kind: type[np.signedinteger[Any]]
) -> tuple[Int64s, NDArray[np.uint32], NDArray[Any]]:
    """Pointers (target rows * sources + 1,), lanes and weights, ascending by target row, source neuron and lane."""
    pre, post, weight = _sorted(pre, post, weight, source.size, target.size)
    starts = np.zeros(target.rows * source.size + 1, np.int64)
    lanes, weights = np.empty(len(pre), np.uint32), np.empty(len(pre), kind)
    _by_row(pre, post, weight, source.size, target.lanes, halo, starts, lanes, weights)
    return starts, lanes, weights


def list_by_source(pre: Int32s, post: Int32s, weight: NDArray[Any], source: Layout, target: Layout, halo: int) -> BySource:
    """The synapses ascending by source neuron and target neuron."""
    pre, post, weight = _sorted(pre, post, weight, source.size, target.size)
    rows = (post // target.lanes).astype(np.int32)
    starts = np.zeros(source.size + 1, np.int64)
    np.cumsum(np.bincount(pre, minlength=source.size), out=starts[1:])
    reach = np.zeros((source.rows, 2), np.int64)
    reach[:, 0] = target.rows
    _reach(pre, rows, source.lanes, reach)
    return BySource(starts, rows, (post % target.lanes + halo).astype(np.uint32), weight.astype(np.int32), reach)


def fan_in(post: Int32s, weight: NDArray[Any], targets: int) -> tuple[Int64s, Int64s]:
    """Of each target neuron, the sum of its positive weights and of the magnitudes of its negative ones."""
    up, down = np.zeros(targets, np.int64), np.zeros(targets, np.int64)
    _fan_in(post, weight, up, down)
    return up, down


def has_repeats(pre: Int32s, post: Int32s, targets: int, room: int) -> bool:
    """Whether two synapses lead from one neuron to one other; `room` pairs there are."""
    return bool(_has_repeats(pre, post, targets, np.zeros(room, np.bool_)))


def _sorted(pre: Int32s, post: Int32s, weight: NDArray[Any], sources: int, targets: int) -> tuple[Int32s, Int32s, NDArray[Any]]:
    """The synapses by source and, of one source, by target; equal ones stay in their order."""
    if _is_sorted(pre, post):
        return pre, post, weight
    order = _ordered(pre, sources, _ordered(post, targets, np.arange(len(post))))
    return pre[order], post[order], weight[order]


@compiled
def _is_sorted(pre: IntArray, post: IntArray) -> bool:
    i = 1
    while i < len(pre) and (pre[i] > pre[i - 1] or (pre[i] == pre[i - 1] and post[i] >= post[i - 1])):
        i += 1
    return i >= len(pre)


@compiled
def _ordered(keys: IntArray, values: int, before: IntArray) -> IntArray:
    """The permutation `before`, sorted by keys below `values` without changing the order of equal ones."""
    places = np.zeros(values + 1, np.int64)
    for key in keys:
        places[key + 1] += 1
    for i in range(1, len(places)):
        places[i] += places[i - 1]
    order = np.empty_like(before)
    for i in before:
        order[places[keys[i]]] = i
        places[keys[i]] += 1
    return order


@compiled
def _by_row(
    pre: IntArray, post: IntArray, weight: IntArray, sources: int, row_lanes: int, halo: int, starts: IntArray,
    lanes: IntArray, weights: IntArray,
) -> None:  # fmt: skip
    """Fill lists from synapses in the order of `_sorted`: targets of one source ascend, and so do their rows. While filling,
    starts[key] is the next place of its list."""
    y, begin, before = 0, 0, -1
    for i in range(len(pre)):
        if pre[i] != before:
            y, begin, before = 0, 0, pre[i]
        while post[i] >= begin + row_lanes:
            y, begin = y + 1, begin + row_lanes
        starts[y * sources + before + 1] += 1
    for k in range(1, len(starts)):
        starts[k] += starts[k - 1]
    before = -1
    for i in range(len(pre)):
        if pre[i] != before:
            y, begin, before = 0, 0, pre[i]
        while post[i] >= begin + row_lanes:
            y, begin = y + 1, begin + row_lanes
        key = y * sources + before
        at = starts[key]
        starts[key] = at + 1
        lanes[at] = post[i] - begin + halo
        weights[at] = weight[i]
    for k in range(len(starts) - 1, 0, -1):
        starts[k] = starts[k - 1]
    starts[0] = 0


@compiled
def _reach(pre: IntArray, rows: IntArray, row_lanes: int, reach: IntArray) -> None:
    for i in range(len(pre)):
        y = pre[i] // row_lanes
        reach[y, 0] = min(reach[y, 0], rows[i])
        reach[y, 1] = max(reach[y, 1], rows[i] + 1)


@compiled
def _fan_in(post: IntArray, weight: IntArray, up: IntArray, down: IntArray) -> None:
    for i in range(len(post)):
        w = np.int64(weight[i])
        if w > 0:
            up[post[i]] += w
        else:
            down[post[i]] -= w


@compiled
def _has_repeats(pre: IntArray, post: IntArray, targets: int, seen: NDArray[np.bool_]) -> bool:
    for i in range(len(pre)):
        pair = pre[i] * targets + post[i]
        if seen[pair]:
            return True
        seen[pair] = True
    return False
