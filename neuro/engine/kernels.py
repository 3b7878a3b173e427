"""Compiled loops: deliver messages into accumulators (convolution, depthwise, dense, sparse) for a block of target rows.

Every function adds weight x payload for the messages of one step and returns the synapses visited. Knows the tables of
`engine.tables`; knows nothing of neurons. Messages are `lists[low:high]`, lanes of one source row, their payloads
`payloads[low + shift:]`: whole arrays with places in them, because a slice costs more than a short row. Places are unsigned
because signed ones cost numba a test each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import inlined, inner
from neuro.engine.lanes import HALF, add1, add2, add4, add8, below, paired2, paired4, paired8, products1, products3, scaled1
from neuro.engine.rows import add_rows, add_signed_rows
from neuro.engine.tables import COLUMN, DEPTHWISE_COLUMN, FLUSHED, RUN, U
from neuro.specification import IntArray


@inner
def payload_of(projection: Any, payloads: Any, at: Any) -> Any:
    """What the weights of a scaled projection are multiplied by for the message at this place."""
    return (np.int64(payloads[at]) if projection.carried else np.int64(1)) << projection.exponent


@inner
def flush(narrow: Any, wide: Any, lanes: int) -> None:
    """Empty 16-bit accumulators into the 32-bit ones."""
    for j in range(lanes):
        wide[j] += np.int32(narrow[j])
        narrow[j] = 0


@inner
def emptied(narrow: Any, wide: Any, p: Any, projection: Any, rows: int, held: Any, more: Any) -> Any:
    """Messages of which 16-bit accumulators will hold charges when those of one more source row are added, any number of which
    fits, as the plan has proven; they are emptied first where they may have no room for both. 0 where they are never emptied."""
    if p.accumulator != FLUSHED:
        return np.int64(0)
    if held > 0 and held + more > projection.flush_every:
        flush(narrow, wide, rows * p.acc_row)
        held = np.int64(0)
    return np.int64(held + more)


@inner
def flush_reached(narrow: Any, wide: Any, reach: Any, reached: int, lanes: int) -> None:
    """The same for the target rows that a source row has reached."""
    for r in range(reached):
        at = U(reach[r, 1])
        for j in range(U(lanes)):
            wide[at + j] += np.int32(narrow[at + j])
            narrow[at + j] = 0


@inner
def rows_reached(projection: Any, source_row: int, first: int, last: int, acc_row: int, reach: Any) -> Any:
    """Kernel rows through which `source_row` reaches target rows [first, last): fills reach[:, 0] with kernel rows and
    reach[:, 1] with their accumulator offsets, and returns how many."""
    found, top, stride = 0, source_row + projection.pad_y, projection.stride_y
    y, beyond = (top, 0) if stride == 1 else (top // stride, top % stride)  # what is left of `top`, step by step
    for ky in range(projection.kernel_rows):
        if beyond == 0 and first <= y < last:
            reach[found, 0] = ky
            reach[found, 1] = (y - first) * acc_row
            found += 1
        beyond -= projection.dilation_y
        while beyond < 0:
            beyond += stride
            y -= 1
    return found


@inner
def convolve(
    add_column: Any, acc: IntArray, weights: IntArray, tables: IntArray, projection: Any, lists: IntArray, low: int, high: int,
    payloads: IntArray, shift: int, reach: IntArray, reached: int,
) -> Any:  # fmt: skip
    """Messages of one source row through shared kernels: `add_column` adds the rows of those of one column together."""
    synops, i, n, channels = np.int64(0), U(low), U(high), U(projection.channels)
    reciprocal = (U(1) << U(40)) // channels + U(1)
    while i < n:
        x = (U(lists[i]) * reciprocal) >> U(40)
        base = x * channels
        some = below(lists, i, base + channels)
        j = i + some
        while some == U(HALF) and j < n:
            some = below(lists, j, base + channels)
            j += some
        j = min(j, n)
        column = U(projection.columns_at) + U(COLUMN) * x
        run = U(tables[column + U(2)])
        begin = U(tables[column + U(1)]) - base * run  # may wrap around: what is added makes up for it
        synops += np.int64(tables[column + U(3)]) * np.int64(j - i) * reached
        add_column(acc, U(tables[column]), weights, begin, run, projection, lists, i, j, payloads, U(shift), reach, reached)
        i = j
    return synops


@inner
def convolve_each(
    acc: IntArray,
    weights: IntArray,
    tables: IntArray,
    projection: Any,
    lists: IntArray,
    low: int,
    high: int,
    reach: IntArray,
    reached: int,
) -> Any:
    """Plain messages of one source row through shared kernels, one after the other: where columns have few, to find out how many
    takes longer than to add them."""
    synops, channels = np.int64(0), U(projection.channels)
    reciprocal = (U(1) << U(40)) // channels + U(1)
    for i in range(U(low), U(high)):
        x = (U(lists[i]) * reciprocal) >> U(40)
        column, channel = U(projection.columns_at) + U(COLUMN) * x, U(lists[i]) - x * channels
        run = U(tables[column + U(2)])
        at, begin, row = U(tables[column]), U(tables[column + U(1)]) + channel * run, channels * run
        synops += np.int64(tables[column + U(3)])
        for r in range(reached):
            add1(acc, at + U(reach[r, 1]), weights, run // U(HALF), begin + U(reach[r, 0]) * row)
    return synops * reached


@inlined
def plain_column(
    acc: IntArray, lane: int, weights: IntArray, begin: int, run: int, projection: Any, lists: IntArray, i: int, j: int,
    payloads: IntArray, shift: int, reach: IntArray, reached: int,
) -> None:  # fmt: skip
    """Add to acc[lane:], and the rows reached, runs of the weights that begin at lane 0's: messages [i, j) without payloads."""
    halves, row = run // U(HALF), U(projection.channels) * run
    add_rows(acc, lane, weights, begin, halves, run, lists, i, j, reach, U(reached), row)


@inlined
def signed_column(
    acc: IntArray, lane: int, weights: IntArray, begin: int, run: int, projection: Any, lists: IntArray, i: int, j: int,
    payloads: IntArray, shift: int, reach: IntArray, reached: int,
) -> None:  # fmt: skip
    """The same for messages of -1 and 1."""
    halves, row = run // U(HALF), U(projection.channels) * run
    add_signed_rows(acc, lane, weights, begin, halves, run, lists, i, j, reach, U(reached), row, payloads, shift)


@inner
def convolve_taps(
    acc: IntArray, weights: IntArray, tables: IntArray, projection: Any, lists: IntArray, low: Any, high: Any,
    payloads: IntArray, shift: Any, scaled: bool, reach: IntArray, reached: int,
) -> Any:  # fmt: skip
    """Messages of one source row through shared kernels, one by one: payloads, groups, taps that are not neighbours."""
    synops = np.int64(0)
    channels, taps, step = U(projection.channels), U(projection.taps), U(projection.tap_lanes)
    reciprocal = (U(1) << U(40)) // channels + U(1)
    for i in range(U(low), U(high)):
        x = (U(lists[i]) * reciprocal) >> U(40)
        channel = U(lists[i]) - x * channels
        column = projection.columns_at + COLUMN * np.int64(x)
        lane, begin, run = U(tables[column]), U(tables[column + 1]), U(tables[column + 2])
        synops += np.int64(tables[column + 3]) * reached
        if projection.groups_at >= 0:
            lane += U(tables[projection.groups_at + np.int64(channel)])
        for r in range(reached):
            at = lane + U(reach[r, 1])
            row = begin + (U(reach[r, 0]) * channels + channel) * taps * run
            for tap in range(taps):
                if scaled:
                    scaled1(
                        acc,
                        at + tap * step,
                        weights,
                        run // U(HALF),
                        row + tap * run,
                        payload_of(projection, payloads, i + U(shift)),
                    )
                else:
                    add1(acc, at + tap * step, weights, run // U(HALF), row + tap * run)
    return synops


@inner
def message_at(projection: Any, lists: Any, payloads: Any, shift: Any, i: Any, end: Any) -> Any:
    """The lane and factor of a message, or of none, behind the last: its lane and 0."""
    at = i if i < end else end - U(1)
    return U(lists[at]), payload_of(projection, payloads, at + U(shift)) if i < end else np.int64(0)


@inlined
def scaled_column(
    acc: IntArray, lane: int, weights: IntArray, begin: int, run: int, projection: Any, lists: IntArray, i: int, j: int,
    payloads: IntArray, shift: int, reach: IntArray, reached: int,
) -> None:  # fmt: skip
    """The same for messages with factors of 16 bits, eight at a time."""
    halves, row = run // U(HALF), U(projection.channels) * run
    while i < j:
        c0, p0 = message_at(projection, lists, payloads, shift, i, j)
        o0 = c0 * run
        if j - i == U(1):
            for r in range(reached):
                scaled1(acc, lane + U(reach[r, 1]), weights, halves, begin + U(reach[r, 0]) * row + o0, p0)
            return
        c1, p1 = message_at(projection, lists, payloads, shift, i + U(1), j)
        o1 = c1 * run
        if j - i <= U(2):
            for r in range(reached):
                o = begin + U(reach[r, 0]) * row
                paired2(acc, lane + U(reach[r, 1]), weights, halves, o + o0, o + o1, p0, p1)
            return
        c2, p2 = message_at(projection, lists, payloads, shift, i + U(2), j)
        c3, p3 = message_at(projection, lists, payloads, shift, i + U(3), j)
        o2, o3 = c2 * run, c3 * run
        if j - i <= U(4):
            for r in range(reached):
                o, at = begin + U(reach[r, 0]) * row, lane + U(reach[r, 1])
                paired4(acc, at, weights, halves, o + o0, o + o1, o + o2, o + o3, p0, p1, p2, p3)
            return
        c4, p4 = message_at(projection, lists, payloads, shift, i + U(4), j)
        c5, p5 = message_at(projection, lists, payloads, shift, i + U(5), j)
        c6, p6 = message_at(projection, lists, payloads, shift, i + U(6), j)
        c7, p7 = message_at(projection, lists, payloads, shift, i + U(7), j)
        o4, o5, o6, o7 = c4 * run, c5 * run, c6 * run, c7 * run
        for r in range(reached):
            o = begin + U(reach[r, 0]) * row
            paired8(
                acc, lane + U(reach[r, 1]), weights, halves, o + o0, o + o1, o + o2, o + o3, o + o4, o + o5, o + o6, o + o7,
                p0, p1, p2, p3, p4, p5, p6, p7,
            )  # fmt: skip
        i += U(8)


@inner
def depthwise(
    acc: Any, wide: Any, weights: Any, tables: Any, p: Any, source: Any, projection: Any, lists: Any, payloads: Any, begins: Any,
    ends: Any, where: Any, reach: Any, spread: Any,
) -> Any:  # fmt: skip
    """Messages of source rows [row_from, row_to), each to its own channel only, into target rows [first, last).

    They are spread, columns of one phase of the stride side by side between zeros; then every kernel column is a run of
    lanes to multiply. All rows are spread before the first is read: a vector that was just written in pieces is slow to read.
    `where` is the segment of source row 0, first, last, row_from, row_to.
    """
    segment, first, last, row_from, row_to = where
    synops, shift = np.int64(0), source.payload_at - source.list_at
    for row in range(row_from, row_to):
        low, high = begins[segment + row * source.segment_row], ends[segment + row * source.segment_row]
        if low < high:
            at = U((row - row_from) * projection.spread)
            visited = spread_row(tables, projection, lists, low, high, payloads, shift, spread, at)
            synops += visited * rows_reached(projection, row, first, last, p.acc_row, reach)
    for row in range(row_from, row_to):
        if begins[segment + row * source.segment_row] == ends[segment + row * source.segment_row]:
            continue
        reached = rows_reached(projection, row, first, last, p.acc_row, reach)
        at = U((row - row_from) * projection.spread)
        for r in range(reached):
            o = U(projection.weights_at) + U(reach[r, 0]) * U(projection.row_weights)
            multiply_runs(acc, U(reach[r, 1] + p.halo), weights, o, tables, projection, spread, at)
        if p.accumulator == FLUSHED:
            flush_reached(acc, wide, reach, reached, p.acc_row)
    return synops


@inner
def apart(
    acc: IntArray, weights: IntArray, tables: IntArray, projection: Any, halo: int, lists: IntArray, low: int, high: int,
    payloads: IntArray, shift: int, reach: IntArray, reached: int,
) -> Any:  # fmt: skip
    """Messages of one source row, each to its own channel of the one target column that its column reaches, if any."""
    synops, scaled = np.int64(0), projection.scaled != 0
    lanes, weights_at = U(projection.columns_at), U(projection.runs_at)
    for r in range(reached):
        at, o = U(reach[r, 1]) + U(halo), U(projection.weights_at) + U(reach[r, 0]) * U(projection.row_weights)
        for i in range(U(low), U(high)):
            lane = U(lists[i])
            weight = np.int64(weights[o + U(tables[weights_at + lane])])
            target = np.int64(tables[lanes + lane])
            if target >= 0:
                acc[at + U(target)] += weight * payload_of(projection, payloads, i + U(shift)) if scaled else weight
                synops += 1
    return synops


@inner
def spread_row(
    tables: Any, projection: Any, lists: Any, low: Any, high: Any, payloads: Any, shift: Any, spread: Any, at: Any
) -> Any:
    """Write messages of one row between zeros to spread[at:]; returns the synapses they visit through one kernel row."""
    synops = np.int64(0)
    reciprocal = (U(1) << U(40)) // U(projection.channels) + U(1)
    for j in range(U(projection.spread)):
        spread[at + j] = 0
    for i in range(U(low), U(high)):
        column = projection.columns_at + DEPTHWISE_COLUMN * np.int64((U(lists[i]) * reciprocal) >> U(40))
        spread[at + U(lists[i]) + U(np.int64(tables[column]))] = payload_of(projection, payloads, i + U(shift))
        synops += tables[column + 1]
    return synops


@inner
def multiply_runs(acc: Any, at: Any, weights: Any, o: Any, tables: Any, projection: Any, spread: Any, begin: Any) -> None:
    """Add the products of one kernel row with a spread row."""
    blocks = U(projection.blocks)
    k, run = 0, U(projection.runs_at)
    while k + 3 <= projection.runs:
        v0, v1, v2 = begin + U(tables[run]), begin + U(tables[run + U(2)]), begin + U(tables[run + U(4)])
        o0, o1, o2 = o + U(tables[run + U(1)]), o + U(tables[run + U(3)]), o + U(tables[run + U(5)])
        products3(acc, at, weights, spread, blocks, o0, o1, o2, v0, v1, v2)
        k, run = k + 3, run + U(3 * RUN)
    while k < projection.runs:
        products1(acc, at, weights, spread, blocks, o + U(tables[run + U(1)]), begin + U(tables[run]))
        k, run = k + 1, run + U(RUN)


@inner
def dense(
    acc: Any, weights: Any, projection: Any, first: int, last: int, acc_row: int, halo: int, sources: Any, low: int, high: int
) -> None:
    """Plain messages of source neurons sources[low:high] to target rows [first, last), up to eight weight rows at a time."""
    halves, lanes = U(projection.row_weights // HALF), U(projection.row_weights)
    stride, begin = U(projection.target_rows) * lanes, U(projection.weights_at)
    i, n = U(low), U(high)
    while i < n:
        count = U(8) if n - i >= U(8) else U(4) if n - i >= U(4) else U(2) if n - i >= U(2) else U(1)
        for y in range(first, last):
            at = U((y - first) * acc_row + halo)
            o = begin + U(y) * lanes
            o0 = o + U(sources[i]) * stride
            if count == U(1):
                add1(acc, at, weights, halves, o0)
                continue
            o1 = o + U(sources[i + U(1)]) * stride
            if count == U(2):
                add2(acc, at, weights, halves, o0, o1)
                continue
            o2, o3 = o + U(sources[i + U(2)]) * stride, o + U(sources[i + U(3)]) * stride
            if count == U(4):
                add4(acc, at, weights, halves, o0, o1, o2, o3)
                continue
            o4, o5 = o + U(sources[i + U(4)]) * stride, o + U(sources[i + U(5)]) * stride
            o6, o7 = o + U(sources[i + U(6)]) * stride, o + U(sources[i + U(7)]) * stride
            add8(acc, at, weights, halves, o0, o1, o2, o3, o4, o5, o6, o7)
        i += count


@inner
def gather(lists: Any, low: Any, high: Any, source_base: int, sources: Any, at: int) -> Any:
    """Write the source neurons of one row's messages to sources[at:]; returns where they end."""
    move = U(at) - U(low)
    for i in range(U(low), U(high)):
        sources[i + move] = source_base + lists[i]
    return at + (high - low)


@inner
def dense_scaled(
    acc: Any, weights: Any, projection: Any, first: int, last: int, acc_row: int, halo: int, source_base: int, lists: Any,
    low: Any, high: Any, payloads: Any, shift: Any,
) -> None:  # fmt: skip
    """Messages with payloads, of one source row that begins at neuron `source_base`, to target rows [first, last)."""
    halves, lanes = U(projection.row_weights // HALF), U(projection.row_weights)
    stride, begin = U(projection.target_rows) * lanes, U(projection.weights_at)
    i, n = U(low), U(high)
    while projection.paired and i + U(2) < n:
        c0, p0 = message_at(projection, lists, payloads, shift, i, n)
        c1, p1 = message_at(projection, lists, payloads, shift, i + U(1), n)
        c2, p2 = message_at(projection, lists, payloads, shift, i + U(2), n)
        c3, p3 = message_at(projection, lists, payloads, shift, i + U(3), n)
        for y in range(first, last):
            o = begin + U(y) * lanes + U(source_base) * stride
            o0, o1, o2, o3 = o + c0 * stride, o + c1 * stride, o + c2 * stride, o + c3 * stride
            paired4(acc, U((y - first) * acc_row + halo), weights, halves, o0, o1, o2, o3, p0, p1, p2, p3)
        i += U(4)
    for k in range(min(i, n), n):
        for y in range(first, last):
            o = begin + U(y) * lanes + (U(source_base) + U(lists[k])) * stride
            scaled1(acc, U((y - first) * acc_row + halo), weights, halves, o, payload_of(projection, payloads, k + U(shift)))


@inner
def fan_out(
    tables: Any, projection: Any, first: int, last: int, lanes: int, size: int, source_base: int, lists: Any, low: Any, high: Any
) -> Any:
    """Synapses that messages of one source row visit in target rows [first, last) of a dense projection."""
    if projection.fan_at < 0:
        return (high - low) * (min(last * lanes, size) - first * lanes)
    total = np.int64(0)
    for i in range(U(low), U(high)):
        for y in range(first, last):
            total += tables[projection.fan_at + (source_base + np.int64(lists[i])) * projection.target_rows + y]
    return total
