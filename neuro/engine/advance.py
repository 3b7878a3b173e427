"""The compiled heart of the event engine: take populations through their steps, row block by row block.

A block of rows stays in the first cache while it lives through all its steps: deliver, integrate, fire, count. Its spikes
go to lists that later populations read. Rows are independent, so threads may share a sample by rows.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types

from neuro.compiled import compiled, inlined, inner, recompiled
from neuro.engine.invoke import as_pointer, invoke, reader_of
from neuro.engine.sent import gather_fired, gather_payloads
from neuro.engine.steady import WORTH, quiet_from
from neuro.engine.tables import DEPTHWISE, NARROW, POPULATION, PROJECTION, RADIX, SIGNED, USER, WAIT, WIDE, U

SYNOPS, MESSAGES, UPDATES, DRIVEN, RESTLESS = range(5)


@inner
def deliver(
    p: Any, projections: Any, populations: Any, kernels: Any, narrow: Any, wide: Any, contexts: Any, sample: int, t: int,
    base: int, first: int, last: int, port: int,
) -> Any:  # fmt: skip
    """Everything that arrives at step t on a port in target rows [first, last); sums end in the accumulators that `p` names.

    contexts: where the arrays that the kernels share lie, with 16-bit accumulators and with 32-bit ones.
    """
    lanes = (last - first) * p.acc_row
    if p.accumulator != WIDE:
        for j in range(lanes):
            narrow[j] = 0
    if p.accumulator != NARROW:
        for j in range(lanes):
            wide[j] = 0
    synops = np.int64(0)
    context = contexts[1] if p.accumulator == WIDE else contexts[0]
    for k in range(p.first_projection, p.first_projection + p.projections):
        q = projections[k]
        source = populations[q.source]
        slot = t - q.delay - base
        if slot >= 0 and q.port == port:
            row_from, row_to = 0, source.rows  # from which target rows [first, last) can be reached
            if q.kind <= DEPTHWISE:
                row_from = max(row_from, first * q.stride_y - q.pad_y)
                row_to = min(row_to, (last - 1) * q.stride_y + (q.kernel_rows - 1) * q.dilation_y - q.pad_y + 1)
            top = source.segment_at + sample * source.segment_sample + slot
            synops += invoke(kernels[k], (p, q, source, context, top, first, last, row_from, row_to))
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
        gather_payloads(fired, sent, f, n, lists, at, found, payloads, p.payload_at - p.list_at)
    return found


@inlined
def list_block(
    p: Any, on: bool, slot: int, sample: int, first: int, last: int, totals: Any, traces: Any, wide: Any, spikes: Any, masks: Any
) -> Any:
    """List what a block of rows has sent in a step; returns how many messages. Charges of a USER model go to its traces."""
    lists, payloads, begins, ends = spikes
    fired, sent = masks
    found = np.int64(0)
    for y in range(first, last):
        segment = open_segment(p, begins, ends, sample, y, slot)
        n, f = U(min(p.lanes, p.size - y * p.lanes)), U((y - first) * p.lanes)
        if on and p.model == USER:
            a, lane = U((y - first) * p.acc_row + p.halo), U(sample * p.size + y * p.lanes)
            trace = U(p.trace_at + slot * p.trace_stride) + lane
            for j in range(n):
                traces[trace + j] = wide[a + j]
        elif on and p.count_at >= 0:
            found += list_fired(p, fired, f, sent, n, lists, payloads, begins, ends, segment)
    return found


@inlined
def advance_block(
    p: Any, index: int, live: Any, projections: Any, populations: Any, kernels: Any, narrow: Any, wide: Any, other: Any,
    delivering: Any, living: Any, traces: Any, totals: Any, spikes: Any, masks: Any, sample: int, first: int, last: int, t: int,
    until: int, base: int,
) -> None:  # fmt: skip
    """Take rows [first, last) of population `p` through step t; all steps before `until` follow in the same call."""
    on, slot, lanes = p.start <= t < p.stop, t - base, (last - first) * p.acc_row
    arrived = np.int64(0)
    for k in range(p.ports if on else 0):
        port = p.ports - 1 - k  # the last one first: it then makes room
        arrived += deliver(p, projections, populations, kernels, narrow, wide, delivering, sample, t, base, first, last, port)
        if port > 0:
            for j in range(lanes):
                other[j] = wide[j]
    totals[index, SYNOPS, slot] += arrived
    if on and p.model != USER:
        reads_narrow = p.accumulator == NARROW and not p.widens
        if p.accumulator == NARROW and p.widens:
            for j in range(lanes):
                wide[j] = narrow[j]
        context = living[0] if reads_narrow else living[1]
        left = 1 if p.trace_at >= 0 else min(until, p.stop) - t
        invoke(live, (p, index, t - p.start, slot, left, arrived, sample, first, last, context))
    sends = on and not (p.model in (SIGNED, WAIT, RADIX) and t - p.start < p.gather - 1)
    totals[index, MESSAGES, slot] += list_block(p, sends, slot, sample, first, last, totals, traces, wide, spikes, masks)


def _work() -> Any:
    """The types of `Worker.work`."""

    def array(kind: Any, dimensions: int = 1) -> Any:
        return types.Array(numba.from_dtype(np.dtype(kind)), dimensions, "C")

    plan = (array(np.int64, 2), array(np.int64), array(np.uint64), array(np.uint64), array(PROJECTION), array(POPULATION))
    accumulators = (array(np.int16), array(np.int32), array(np.int32))
    spikes = types.Tuple((array(np.uint32), array(np.int32), array(np.int64), array(np.int64)))
    left = (spikes, array(np.uint16), array(np.int32), array(np.int64, 3), types.Tuple((array(np.uint8), array(np.int32))))
    return types.Tuple((*plan, *accumulators, *left, *(types.int64,) * 5, array(np.uint64)))


work_at = reader_of(_work)


@compiled
def advance(
    work: Any, group_from: int, group_to: int, sample_from: int, sample_to: int, row_from: int, row_to: int, begins: int,
    ends: int, base: int,
) -> Any:  # fmt: skip
    """Take groups of populations, one after the other, through steps [begins, ends) for some samples and rows of each.

    `work` is the address of what a `Worker` and a workspace hold. Its groups (n, 3): where each begins and ends in `order`, a
    list of populations, and how many steps they take at a time. `lives` and `kernels` hold the addresses for populations and
    projections. `base` is the step of the workspace's first segment. totals (populations, 5, steps) collects what SYNOPS ...
    RESTLESS name.
    """
    held = work_at(work)
    groups, order, lives, kernels, projections, populations, narrow, wide, other, spikes, counts, traces, totals, masks = held[
        :14
    ]
    delivering = as_pointer(held[14]), as_pointer(held[15])
    living = as_pointer(held[16]), as_pointer(held[17])
    steadies = held[19]
    for g in range(group_from, group_to):
        for begin in range(begins, ends, groups[g, 2]):
            for i in range(groups[g, 0], groups[g, 1]):
                index = order[i]
                p = populations[index]
                for sample in range(sample_from, sample_to):
                    for first in range(row_from, min(row_to, p.rows), p.block_rows):
                        last = min(first + p.block_rows, min(row_to, p.rows))
                        until = min(begin + groups[g, 2], ends)
                        t, quiet = begin, until
                        if steadies[index] != 0 and p.trace_at < 0 and until - begin >= WORTH:
                            quiet = quiet_from(p, projections, populations, spikes[2], spikes[3], sample, base, begin, until)
                        while t < until:
                            if quiet <= t < p.stop:
                                some, context = min(until, p.stop) - t, as_pointer(held[18])
                                invoke(steadies[index], (p, index, t - base, some, sample, first, last, context))
                                t += some
                                continue
                            advance_block(
                                p, index, lives[index], projections, populations, kernels, narrow, wide, other, delivering,
                                living, traces, totals, spikes, masks, sample, first, last, t, until, base,
                            )  # fmt: skip
                            t += 1
    return np.int64(0)  # what is called by its address returns a number


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
