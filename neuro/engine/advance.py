"""The compiled heart of the event engine: take one population through its steps, row block by row block.

A block of rows stays in the first cache while it lives through all its steps: deliver, integrate, fire, count. Its spikes
go to lists that later populations read. Rows are independent, so threads may share a sample by rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from neuro.engine.fire import fire_row, gather_fired
from neuro.engine.kernels import convolve, convolve_taps, dense, dense_scaled, depthwise, fan_out, rows_reached, sparse
from neuro.engine.tables import COMPILED, CONV, DENSE, DEPTHWISE, FLUSHED, INLINED, NARROW, SPARSE_WIDE, WIDE

SYNOPS, MESSAGES, UPDATES, DRIVEN, RESTLESS = range(5)


@njit(**COMPILED)
def flush(narrow: Any, wide: Any, lanes: int) -> None:
    """Empty 16-bit accumulators into the 32-bit ones."""
    for j in range(lanes):
        wide[j] += np.int32(narrow[j])
    narrow[:lanes] = 0


@njit(**INLINED)
def deliver_row(
    acc: Any, q: Any, p: Any, arenas: Any, messages: Any, payloads: Any, row: int, base: int, first: int, last: int, reach: Any
) -> int:
    """Deliver the messages of one source row into target rows [first, last); returns the synapses visited."""
    narrow, tables, small, wide, targets, pointers = arenas
    scaled = q.scaled != 0
    synops = 0
    if q.kind == CONV or q.kind == DEPTHWISE:
        reached = rows_reached(q, row, first, last, p.acc_row, reach)
        if q.kind == DEPTHWISE:
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


@njit(**INLINED)
def deliver(
    p: Any, projections: Any, populations: Any, arenas: Any, store: Any, scratch: Any, sample: int, t: int, base: int, first: int, last: int
) -> int:
    """Everything that arrives at step t in target rows [first, last); the sums end in the accumulators that `p` names."""
    lists, payloads, begins, ends = store
    narrow, wide, reach = scratch
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
        if q.kind == CONV or q.kind == DEPTHWISE:
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
                    synops += deliver_row(wide, q, p, arenas, messages, payload, row, base_lane, first, last, reach)
                else:
                    synops += deliver_row(narrow, q, p, arenas, messages, payload, row, base_lane, first, last, reach)
                if p.accumulator == FLUSHED:
                    flush(narrow, wide, lanes)
                begin = stop
    return synops


@njit(**COMPILED)
def advance(
    p: Any, projections: Any, populations: Any, arenas: Any, bias: Any, state: Any, store: Any, counts: Any, traces: Any, totals: Any,
    scratch: Any, masks: Any, samples: Any, rows: Any, steps: Any,
) -> None:  # fmt: skip
    """Take rows [rows[0], rows[1]) of population `p` through steps [steps[0], steps[1]) for samples [samples[0], samples[1]).

    steps[2] is the step of the store's first segment. totals (5, steps) collects synops, messages, updates, driven, restless.
    """
    lists, payloads, begins, ends = store
    narrow, wide, _ = scratch
    fired, sent = masks
    for sample in range(samples[0], samples[1]):
        for first in range(rows[0], rows[1], p.block_rows):
            last = min(first + p.block_rows, rows[1])
            for t in range(steps[0], steps[1]):
                on = p.start <= t < p.stop
                if on:
                    totals[SYNOPS, t] += deliver(p, projections, populations, arenas, store, scratch, sample, t, steps[2], first, last)
                for y in range(first, last):
                    n = min(p.lanes, p.size - y * p.lanes)
                    segment = p.segment_at + sample * p.segment_sample + y * p.segment_row + t - steps[2]
                    at = p.list_at + sample * p.list_sample + y * p.list_row
                    if t > steps[2]:
                        at = ends[segment - 1]
                    begins[segment] = at
                    ends[segment] = at
                    if not on:
                        continue
                    lane = sample * p.size + y * p.lanes
                    v = state[p.v_at + lane : p.v_at + lane + n]
                    aux = state[p.aux_at + lane : p.aux_at + lane + n]
                    second = state[p.second_at + lane : p.second_at + lane + n]
                    a, b = (y - first) * p.acc_row + p.halo, p.bias_at + y * p.bias_row
                    driven, restless = fire_row(p, t - p.start, v, aux, second, narrow, wide, a, bias, b, n, masks)
                    totals[UPDATES, t] += n
                    totals[DRIVEN, t] += driven
                    totals[RESTLESS, t] += restless
                    if p.count_at >= 0:
                        fired[n : (n + 7) & ~7] = 0
                        found = gather_fired(fired, n, lists, at)
                        ends[segment] = at + found
                        totals[MESSAGES, t] += found
                        count_fired(p, counts[p.count_at + lane : p.count_at + lane + n], fired, n)
                        if p.payload:
                            for k in range(at, at + found):
                                payloads[k - p.list_at + p.payload_at] = sent[lists[k]]
                    if p.trace_at >= 0:
                        into = p.trace_at + sample * p.trace_sample + t * p.size + y * p.lanes
                        for j in range(n):
                            traces[into + j] = v[j]


@njit(**COMPILED)
def count_fired(p: Any, counts: Any, fired: Any, n: int) -> None:
    """One more message for every neuron that fired."""
    for j in range(n):
        counts[j] += fired[j]
