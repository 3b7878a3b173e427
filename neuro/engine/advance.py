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
    depthwise_rows,
    fan_out,
    rows_reached,
    sparse,
)
from neuro.engine.tables import DENSE, DEPTHWISE, DEPTHWISE_ROWS, FLUSHED, NARROW, SPARSE_WIDE, USER, WIDE

SYNOPS, MESSAGES, UPDATES, DRIVEN, RESTLESS = range(5)


@compiled
def flush(narrow: Any, wide: Any, lanes: int) -> None:
    """Empty 16-bit accumulators into the 32-bit ones."""
    for j in range(lanes):
        wide[j] += np.int32(narrow[j])
    narrow[:lanes] = 0


@inlined
def deliver_row(
    acc: Any, q: Any, p: Any, arenas: Any, messages: Any, payloads: Any, row: int, base: int, first: int, last: int, reach: Any,
    spread: Any, lanes: int,
) -> Any:  # fmt: skip
    """Deliver the messages of one source row into target rows [first, last); returns the synapses visited."""
    narrow, tables, small, wide, targets, pointers = arenas
    scaled = q.scaled != 0
    synops = 0
    if q.kind <= DEPTHWISE_ROWS:
        reached = rows_reached(q, row, first, last, p.acc_row, reach)
        if q.kind == DEPTHWISE_ROWS:
            synops = depthwise_rows(acc, narrow, tables, q, messages, payloads, scaled, reach, reached, spread, lanes)
        elif q.kind == DEPTHWISE:
            synops = depthwise(acc, narrow, tables, q, messages, payloads, scaled, reach, reached)
        elif scaled or q.taps != 1 or q.groups_at >= 0:
            synops = convolve_taps(acc, narrow, tables, q, messages, payloads, scaled, reach, reached)
        else:
            synops = convolve(acc, narrow, tables, q, messages, reach, reached)
    elif q.kind == DENSE:
        synops = fan_out(tables, q, first, last, p.lanes, p.size, base, messages)
        if scaled:
            dense_scaled(acc, narrow, q, first, last, p.acc_row, p.halo, base, messages, payloads)
        else:
            dense(acc, narrow, q, first, last, p.acc_row, p.halo, base, messages)
    elif q.kind == SPARSE_WIDE:
        synops = sparse(acc, wide, targets, pointers, q, first, last, p.acc_row, base, messages, payloads, scaled)
    else:
        synops = sparse(acc, small, targets, pointers, q, first, last, p.acc_row, base, messages, payloads, scaled)
    return synops


@inlined
def deliver(
    p: Any,
    projections: Any,
    populations: Any,
    arenas: Any,
    store: Any,
    accumulators: Any,
    sample: int,
    t: int,
    base: int,
    first: int,
    last: int,
) -> Any:
    """Everything that arrives at step t in target rows [first, last); the sums end in the accumulators that `p` names."""
    lists, payloads, begins, ends = store
    narrow, wide, reach, spread_narrow, spread_wide = accumulators
    lanes = (last - first) * p.acc_row
    if p.accumulator != WIDE:
        narrow[:lanes] = 0
    if p.accumulator != NARROW:
        wide[:lanes] = 0
    synops = 0
    for k in range(p.first_projection, p.first_projection + p.projections):
        q = projections[k]
        source = populations[q.source]
        slot = t - q.delay - base
        if slot < 0:
            continue
        low, high = 0, source.rows
        if q.kind <= DEPTHWISE_ROWS:
            low = max(0, first * q.stride_y - q.pad_y)
            high = min(source.rows, (last - 1) * q.stride_y + (q.kernel_rows - 1) * q.dilation_y - q.pad_y + 1)
        for row in range(low, high):
            segment = source.segment_at + sample * source.segment_sample + row * source.segment_row + slot
            begin, end = begins[segment], ends[segment]
            while begin < end:
                stop = end
                if p.accumulator == FLUSHED and q.kind == DENSE:
                    stop = min(end, begin + q.flush_every)
                messages = lists[begin:stop]
                payload = payloads[begin - source.list_at + source.payload_at : stop - source.list_at + source.payload_at]
                base_lane = row * source.lanes
                if p.accumulator == WIDE:
                    synops += deliver_row(
                        wide, q, p, arenas, messages, payload, row, base_lane, first, last, reach, spread_wide, source.lanes
                    )
                else:
                    synops += deliver_row(
                        narrow, q, p, arenas, messages, payload, row, base_lane, first, last, reach, spread_narrow, source.lanes
                    )
                if p.accumulator == FLUSHED:
                    flush(narrow, wide, lanes)
                begin = stop
    return synops


@compiled
def open_segment(p: Any, begins: Any, ends: Any, sample: int, y: int, slot: int) -> Any:
    """An empty segment for one row and step, behind that of the step before; returns its number."""
    segment = p.segment_at + sample * p.segment_sample + y * p.segment_row + slot
    at = ends[segment - 1] if slot > 0 else p.list_at + sample * p.list_sample + y * p.list_row
    begins[segment] = at
    ends[segment] = at
    return segment


@compiled
def list_fired(p: Any, fired: Any, sent: Any, n: int, store: Any, counts: Any, lane: int, segment: int) -> Any:
    """Write the neurons of a row that fired into its segment and count them; returns how many."""
    lists, payloads, begins, ends = store
    fired[n : (n + 63) & ~63] = 0
    at = begins[segment]
    found = gather_fired(fired, n, lists, at)
    ends[segment] = at + found
    counted = counts[p.count_at + lane : p.count_at + lane + n]
    for j in range(n):
        counted[j] += fired[j]
    if p.payload:
        for k in range(at, at + found):
            payloads[k - p.list_at + p.payload_at] = sent[lists[k]]
    return found


@inlined
def live(
    p: Any, t: int, y: int, lane: int, n: int, bias: Any, state: Any, store: Any, counts: Any, traces: Any, totals: Any,
    accumulators: Any, a: int, masks: Any, segment: int, base: int,
) -> None:  # fmt: skip
    """One row through one step, once its charge lies in the accumulators."""
    narrow, wide, _, _, _ = accumulators
    v = state[p.v_at + lane : p.v_at + lane + n]
    aux = state[p.aux_at + lane : p.aux_at + lane + n]
    second = state[p.second_at + lane : p.second_at + lane + n]
    biases = bias[p.bias_at + y * p.bias_row : p.bias_at + y * p.bias_row + n]
    driven, restless = fire_row(p, t - p.start, v, aux, second, narrow[a : a + n], wide[a : a + n], biases, n, masks)
    totals[UPDATES, t - base] += n
    totals[DRIVEN, t - base] += driven
    totals[RESTLESS, t - base] += restless
    if p.count_at >= 0:
        totals[MESSAGES, t - base] += list_fired(p, masks[0], masks[1], n, store, counts, lane, segment)
    if p.trace_at >= 0:
        for j in range(n):
            traces[p.trace_at + (t - base) * p.trace_stride + lane + j] = v[j]


@compiled
def advance(
    p: Any, projections: Any, populations: Any, arenas: Any, bias: Any, state: Any, store: Any, counts: Any, traces: Any,
    totals: Any, accumulators: Any, masks: Any, samples: Any, rows: Any, steps: Any,
) -> None:  # fmt: skip
    """Take rows [rows[0], rows[1]) of population `p` through steps [steps[0], steps[1]) for samples [samples[0], samples[1]).

    steps[2] is the step of the store's first segment. totals (5, steps of the store) collects synops, messages, updates, driven, restless.
    """
    _, _, begins, ends = store
    base = steps[2]
    for sample in range(samples[0], samples[1]):
        for first in range(rows[0], rows[1], p.block_rows):
            last = min(first + p.block_rows, rows[1])
            for t in range(steps[0], steps[1]):
                on = p.start <= t < p.stop
                if on:
                    totals[SYNOPS, t - base] += deliver(
                        p, projections, populations, arenas, store, accumulators, sample, t, base, first, last
                    )
                for y in range(first, last):
                    segment = open_segment(p, begins, ends, sample, y, t - base)
                    n = min(p.lanes, p.size - y * p.lanes)
                    lane, a = sample * p.size + y * p.lanes, (y - first) * p.acc_row + p.halo
                    if on and p.model == USER:
                        for j in range(n):
                            traces[p.trace_at + (t - base) * p.trace_stride + lane + j] = accumulators[1][a + j]
                    elif on:
                        live(p, t, y, lane, n, bias, state, store, counts, traces, totals, accumulators, a, masks, segment, base)


@recompiled
def advance_user(
    step: Any, p: Any, parameters: Any, state: Any, store: Any, counts: Any, traces: Any, totals: Any, masks: Any, samples: Any,
    rows: Any, steps: Any,
) -> Any:  # fmt: skip
    """The same for a population of a UserNeuron, whose charges `advance` has left in the traces; potentials replace them.

    `step(j, charge, parameters, state, at, stride)` updates the state in place and returns the message. Returns the
    first message out of bounds, or 0.
    """
    _, _, begins, ends = store
    fired, sent = masks
    base = steps[2]
    for sample in range(samples[0], samples[1]):
        for y in range(rows[0], rows[1]):
            n = min(p.lanes, p.size - y * p.lanes)
            lane = sample * p.size + y * p.lanes
            for t in range(steps[0], steps[1]):
                segment = open_segment(p, begins, ends, sample, y, t - base)
                if not p.start <= t < p.stop:
                    continue
                at = p.trace_at + (t - base) * p.trace_stride + lane
                for j in range(n):
                    charge = traces[at + j]
                    before = state[p.v_at + lane + j]
                    message = step(charge, parameters, state, p.v_at + lane + j, p.state_stride)
                    if message < p.minimum or message > p.maximum:
                        return message
                    fired[j] = message != 0
                    sent[j] = message
                    totals[DRIVEN, t - base] += charge != 0
                    totals[RESTLESS, t - base] += (charge != 0) or (before != 0)
                    traces[at + j] = state[p.v_at + lane + j]
                totals[UPDATES, t - base] += n
                totals[MESSAGES, t - base] += list_fired(p, fired, sent, n, store, counts, lane, segment)
    return 0
