"""The compiled heart of the event engine: take one population through its steps, row block by row block.

A block of rows stays in the first cache while it lives through all its steps: deliver, integrate, fire, count. Its spikes
go to lists that later populations read. Rows are independent, so threads may share a sample by rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import compiled, inlined, recompiled
from neuro.engine.fire import fire_row, gather_fired
from neuro.engine.kernels import (
    convolve,
    convolve_taps,
    dense,
    dense_scaled,
    depthwise,
    fan_out,
    flush,
    gather,
    rows_reached,
    sparse,
    sparse_by_source,
)
from neuro.engine.tables import CONV, DENSE, DEPTHWISE, FLUSHED, NARROW, SPARSE_BY_SOURCE, SPARSE_WIDE, USER, WIDE, U

SYNOPS, MESSAGES, UPDATES, DRIVEN, RESTLESS = range(5)


@inlined
def deliver_row(
    acc: Any, q: Any, p: Any, narrow: Any, tables: Any, small: Any, wide: Any, targets: Any, pointers: Any, lists: Any, low: Any,
    high: Any, payloads: Any, shift: Any, row: int, lanes: int, first: int, last: int, reach: Any,
) -> Any:  # fmt: skip
    """Deliver the messages lists[low:high] of one source row into target rows [first, last); returns the synapses visited."""
    scaled = q.scaled != 0
    base = row * lanes
    synops = np.int64(0)
    if q.kind == CONV:
        reached = rows_reached(q, row, first, last, p.acc_row, reach)
        if reached == 0:
            pass
        elif scaled or q.taps != 1 or q.groups_at >= 0:
            synops = convolve_taps(acc, narrow, tables, q, lists, low, high, payloads, shift, scaled, reach, reached)
        else:
            synops = convolve(acc, narrow, tables, q, lists, low, high, reach, reached)
    elif q.kind == DENSE:
        synops = fan_out(tables, q, first, last, p.lanes, p.size, base, lists, low, high)
        dense_scaled(acc, narrow, q, first, last, p.acc_row, p.halo, base, lists, low, high, payloads, shift)
    elif q.kind == SPARSE_BY_SOURCE:
        synops = sparse_by_source(
            acc, wide, targets, tables, pointers, q, first, last, p.acc_row, row, base, lists, low, high, payloads, shift, scaled
        )
    elif q.kind == SPARSE_WIDE:
        synops = sparse(acc, wide, targets, pointers, q, first, last, p.acc_row, base, lists, low, high, payloads, shift, scaled)
    else:
        synops = sparse(acc, small, targets, pointers, q, first, last, p.acc_row, base, lists, low, high, payloads, shift, scaled)
    return synops


@inlined
def deliver_gathered(
    p: Any, q: Any, weights: Any, narrow: Any, wide: Any, sources: Any, count: int, first: int, last: int
) -> None:
    """Deliver the plain messages of `count` source neurons along a dense projection."""
    if p.accumulator == WIDE:
        dense(wide, weights, q, first, last, p.acc_row, p.halo, sources, 0, count)
        return
    part = q.flush_every if p.accumulator == FLUSHED else count
    for low in range(0, count, part):
        dense(narrow, weights, q, first, last, p.acc_row, p.halo, sources, low, min(low + part, count))
        if p.accumulator == FLUSHED:
            flush(narrow, wide, (last - first) * p.acc_row)


@inlined
def deliver_depthwise(
    p: Any, source: Any, q: Any, weights: Any, tables: Any, lists: Any, payloads: Any, begins: Any, ends: Any,
    accumulators: Any, top: Any, first: int, last: int, row_from: int, row_to: int,
) -> Any:  # fmt: skip
    """Deliver messages of source rows [row_from, row_to), row 0 of which has the segment `top`; returns the synapses visited."""
    narrow, wide, reach, spread_narrow, spread_wide, _, _ = accumulators
    where = (top, first, last, row_from, row_to)
    if p.accumulator == WIDE:
        synops = depthwise(wide, wide, weights, tables, p, source, q, lists, payloads, begins, ends, where, reach, spread_wide)
    else:
        synops = depthwise(
            narrow, wide, weights, tables, p, source, q, lists, payloads, begins, ends, where, reach, spread_narrow
        )
    return synops


@inlined
def rows_read(q: Any, rows: int, first: int, last: int) -> Any:
    """The source rows from which target rows [first, last) can be reached."""
    row_from, row_to = 0, rows
    if q.kind <= DEPTHWISE:
        row_from = max(0, first * q.stride_y - q.pad_y)
        row_to = min(rows, (last - 1) * q.stride_y + (q.kernel_rows - 1) * q.dilation_y - q.pad_y + 1)
    return row_from, row_to


@inlined
def deliver(
    p: Any, projections: Any, populations: Any, arenas: Any, lists: Any, payloads: Any, begins: Any, ends: Any,
    accumulators: Any, sample: int, t: int, base: int, first: int, last: int, port: int,
) -> Any:  # fmt: skip
    """Everything that arrives at step t on a port in target rows [first, last); sums end in the accumulators that `p` names."""
    weights, tables, small, large, targets, pointers = arenas
    narrow, wide, reach, _, _, sources, _ = accumulators
    lanes = (last - first) * p.acc_row
    if p.accumulator != WIDE:
        narrow[:lanes] = 0
    if p.accumulator != NARROW:
        wide[:lanes] = 0
    synops = np.int64(0)
    for k in range(p.first_projection, p.first_projection + p.projections):
        q = projections[k]
        source = populations[q.source]
        slot = t - q.delay - base
        if slot < 0 or q.port != port:
            continue
        row_from, row_to = rows_read(q, source.rows, first, last)
        shift = source.payload_at - source.list_at
        gathered = 0
        top = source.segment_at + sample * source.segment_sample + slot
        if q.kind == DEPTHWISE:
            synops += deliver_depthwise(
                p, source, q, weights, tables, lists, payloads, begins, ends, accumulators, top, first, last, row_from, row_to
            )
            continue
        for row in range(row_from, row_to):
            segment = top + row * source.segment_row
            low, high = begins[segment], ends[segment]
            if low == high:
                continue
            if q.kind == DENSE and not q.scaled:
                synops += fan_out(tables, q, first, last, p.lanes, p.size, row * source.lanes, lists, low, high)
                gathered = gather(lists, low, high, row * source.lanes, sources, gathered)
            elif p.accumulator == WIDE:
                synops += deliver_row(
                    wide, q, p, weights, tables, small, large, targets, pointers, lists, low, high, payloads, shift, row,
                    source.lanes, first, last, reach,
                )  # fmt: skip
            else:
                synops += deliver_row(
                    narrow, q, p, weights, tables, small, large, targets, pointers, lists, low, high, payloads, shift, row,
                    source.lanes, first, last, reach,
                )  # fmt: skip
                if p.accumulator == FLUSHED:
                    flush(narrow, wide, lanes)
        if gathered > 0:
            deliver_gathered(p, q, weights, narrow, wide, sources, gathered, first, last)
    return synops


@inlined
def open_segment(p: Any, begins: Any, ends: Any, sample: int, y: int, slot: int) -> Any:
    """An empty segment for one row and step, behind that of the step before; returns its number."""
    segment = p.segment_at + sample * p.segment_sample + y * p.segment_row + slot
    at = ends[segment - 1] if slot > 0 else p.list_at + sample * p.list_sample + y * p.list_row
    begins[segment] = at
    ends[segment] = at
    return segment


@inlined
def list_fired(
    p: Any, fired: Any, f: Any, sent: Any, n: Any, lists: Any, payloads: Any, begins: Any, ends: Any, segment: int
) -> Any:
    """Write the neurons of a row that fired into its segment; returns how many."""
    at = begins[segment]
    found = gather_fired(fired, f, n, lists, at)
    ends[segment] = at + found
    if p.payload:
        shift = p.payload_at - p.list_at
        for k in range(at, at + found):
            payloads[k + shift] = sent[f + U(lists[k])]
    return found


@inlined
def live(
    p: Any, t: int, slot: int, sample: int, first: int, last: int, bias: Any, state: Any, counts: Any, traces: Any, totals: Any,
    narrow: Any, wide: Any, other: Any, fired: Any, sent: Any,
) -> None:  # fmt: skip
    """A block of rows through one step, once its charges lie in the accumulators: rows without a halo together."""
    neurons = U(min(last * p.lanes, p.size) - first * p.lanes)
    lane = U(sample * p.size + first * p.lanes)
    joined = p.acc_row == p.lanes
    span = neurons if joined else U(p.lanes)
    for y in range(first, first + 1 if joined else last):
        f = U((y - first) * p.lanes)
        a, b = U((y - first) * p.acc_row + p.halo), U(p.bias_at + y * p.bias_row)
        driven, restless = fire_row(p, t - p.start, state, lane + f, narrow, wide, other, a, bias, b, span, fired, sent, f)
        totals[DRIVEN, slot] += driven
        totals[RESTLESS, slot] += restless
    totals[UPDATES, slot] += np.int64(neurons)
    if p.count_at >= 0:
        count = U(p.count_at) + lane
        for j in range(neurons):
            counts[count + j] += fired[j]
    if p.trace_at >= 0:
        v, trace = U(p.v_at) + lane, U(p.trace_at + slot * p.trace_stride) + lane
        for j in range(neurons):
            traces[trace + j] = state[v + j]


@compiled
def advance(
    p: Any, projections: Any, populations: Any, arenas: Any, bias: Any, state: Any, workspace: Any, counts: Any, traces: Any,
    totals: Any, accumulators: Any, masks: Any, samples: Any, rows: Any, steps: Any,
) -> None:  # fmt: skip
    """Take rows [rows[0], rows[1]) of population `p` through steps [steps[0], steps[1]) for samples [samples[0], samples[1]).

    steps[2] is the step of the workspace's first segment. totals (5, its steps) collects what SYNOPS ... RESTLESS name.
    """
    lists, payloads, begins, ends = workspace
    narrow, wide, _, _, _, _, other = accumulators
    fired, sent = masks
    base = steps[2]
    for sample in range(samples[0], samples[1]):
        for first in range(rows[0], rows[1], p.block_rows):
            last = min(first + p.block_rows, rows[1])
            for t in range(steps[0], steps[1]):
                on, slot = p.start <= t < p.stop, t - base
                for k in range(p.ports if on else 0):
                    port = p.ports - 1 - k  # the last one first: it then makes room
                    totals[SYNOPS, slot] += deliver(
                        p, projections, populations, arenas, lists, payloads, begins, ends, accumulators, sample, t, base,
                        first, last, port,
                    )  # fmt: skip
                    if port > 0:
                        other[: (last - first) * p.acc_row] = wide[: (last - first) * p.acc_row]
                if on and p.model != USER:
                    live(p, t, slot, sample, first, last, bias, state, counts, traces, totals, narrow, wide, other, fired, sent)
                for y in range(first, last):
                    segment = open_segment(p, begins, ends, sample, y, slot)
                    n, f = U(min(p.lanes, p.size - y * p.lanes)), U((y - first) * p.lanes)
                    if on and p.model == USER:
                        a, lane = U((y - first) * p.acc_row + p.halo), U(sample * p.size + y * p.lanes)
                        trace = U(p.trace_at + slot * p.trace_stride) + lane
                        for j in range(n):
                            traces[trace + j] = wide[a + j]
                    elif on and p.count_at >= 0:
                        totals[MESSAGES, slot] += list_fired(p, fired, f, sent, n, lists, payloads, begins, ends, segment)


@recompiled
def advance_user(
    step: Any, p: Any, parameters: Any, bias: Any, state: Any, workspace: Any, counts: Any, traces: Any, totals: Any, masks: Any,
    samples: Any, rows: Any, steps: Any,
) -> Any:  # fmt: skip
    """The same for a population whose model's own step is compiled. `advance` has left its charges in the traces; potentials
    replace them.

    `step(j, charge, parameters, state, at, stride)` updates the state in place and returns the message. Returns the
    first message out of bounds, or 0.
    """
    lists, payloads, begins, ends = workspace
    fired, sent = masks
    base = steps[2]
    for sample in range(samples[0], samples[1]):
        for y in range(rows[0], rows[1]):
            n = U(min(p.lanes, p.size - y * p.lanes))
            lane, b = U(sample * p.size + y * p.lanes), U(p.bias_at + y * p.bias_row)
            for t in range(steps[0], steps[1]):
                segment = open_segment(p, begins, ends, sample, y, t - base)
                if not p.start <= t < p.stop:
                    continue
                at = U(p.trace_at + (t - base) * p.trace_stride) + lane
                for j in range(n):
                    charge = np.int64(traces[at + j]) + bias[b + j]
                    v = U(p.v_at) + lane + j
                    before = state[v]
                    message = step(charge, parameters, state, v, p.state_stride)
                    if message < p.minimum or message > p.maximum:
                        return message
                    fired[j] = message != 0
                    sent[j] = message
                    totals[DRIVEN, t - base] += charge != 0
                    totals[RESTLESS, t - base] += (charge != 0) or (before != 0)
                    traces[at + j] = state[v]
                totals[UPDATES, t - base] += np.int64(n)
                totals[MESSAGES, t - base] += list_fired(p, fired, U(0), sent, n, lists, payloads, begins, ends, segment)
                for j in range(n):
                    counts[U(p.count_at) + lane + j] += fired[j]
    return 0
