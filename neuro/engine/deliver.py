"""One kernel for each way in which a projection's messages reach a block of rows in one step; `kernel_of` chooses it.

All take the same: the records of target, projection and source; a pointer to the arrays that all calls share, the accumulators
that charges are added to first; the segment of source row 0, target rows [first, last), and source rows [row_from, row_to).
They return the synapses visited.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numba import types

from neuro.compiled import addressed
from neuro.engine import kernels as K
from neuro.engine import listed, masked, tiled
from neuro.engine import tables as T
from neuro.engine.invoke import address_of
from neuro.engine.tiled import NEVER, NO_TILES, OCTETS, WORDS

FLUSHED = T.FLUSHED
EACH = 1  # messages for each column of a row, up to which they are added one by one


PLAIN, SIGNS, SCALED, ONE_BY_ONE = range(4)  # through shared kernels: spikes; of two signs; with factors of 16 bits; any


@lru_cache
def convolving(form: int, way: int) -> Callable[..., Any]:
    """The kernel for messages of a form through shared kernels, which multiplies rows of many messages in a `way` of
    `engine.tiled`."""

    def deliver(  # noqa: C901  # only one branch of each kind is compiled
        p: Any, q: Any, source: Any, context: Any, top: int, first: int, last: int, row_from: int, row_to: int
    ) -> Any:
        acc, wide, spread, arenas, (lists, payloads, begins, ends), reach, sources, octets, words = context[0]
        synops, shift, held = np.int64(0), source.payload_at - source.list_at, np.int64(0)
        for row in range(row_from, row_to):
            segment = top + row * source.segment_row
            low, high = begins[segment], ends[segment]
            if low < high:
                reached = K.rows_reached(q, row, first, last, p.acc_row, reach)
                if reached > 0:
                    held = K.emptied(acc, wide, p, q, last - first, held, high - low)
                    if high - low > q.tile_above:
                        if way == OCTETS:
                            each = tiled.spread_values(q, arenas[1], lists, low, high, payloads, shift, octets, q.carried)
                            tiled.multiply_octets(acc, arenas[0], arenas[1], p, q, octets, q.carried, reach, reached)
                            synops += each * reached
                        elif way == WORDS:
                            each = tiled.spread_values(q, arenas[1], lists, low, high, payloads, shift, words, 0)
                            tiled.multiply_words(acc, arenas[0], arenas[1], p, q, words, reach, reached)
                            synops += each * reached
                    elif form == PLAIN and high - low < EACH * source.width:
                        synops += K.convolve_each(acc, arenas[0], arenas[1], q, lists, low, high, reach, reached)
                    elif form == PLAIN:
                        synops += K.convolve(
                            K.plain_column, acc, arenas[0], arenas[1], q, lists, low, high, payloads, shift, reach, reached
                        )
                    elif form == SIGNS:
                        synops += K.convolve(
                            K.signed_column, acc, arenas[0], arenas[1], q, lists, low, high, payloads, shift, reach, reached
                        )
                    elif form == SCALED:
                        synops += K.convolve(
                            K.scaled_column, acc, arenas[0], arenas[1], q, lists, low, high, payloads, shift, reach, reached
                        )
                    else:
                        synops += K.convolve_taps(
                            acc, arenas[0], arenas[1], q, lists, low, high, payloads, shift, q.scaled != 0, reach, reached
                        )
        K.flush(acc, wide, (last - first) * p.acc_row if held > 0 else 0)
        return synops

    # Kernels are told apart by their names, on disk and in memory.
    deliver.__qualname__ = f"deliver_{form}_{way}"
    return addressed(deliver)


@addressed
def deliver_depthwise(
    p: Any, q: Any, source: Any, context: Any, top: int, first: int, last: int, row_from: int, row_to: int
) -> Any:
    """Messages each to its own channel only."""
    acc, wide, spread, arenas, (lists, payloads, begins, ends), reach, sources, octets, words = context[0]
    where = (top, first, last, row_from, row_to)
    return K.depthwise(acc, wide, arenas[0], arenas[1], p, source, q, lists, payloads, begins, ends, where, reach, spread)


@addressed
def deliver_masked(p: Any, q: Any, source: Any, context: Any, top: int, first: int, last: int, row_from: int, row_to: int) -> Any:
    """The same for plain messages, spread as bits."""
    acc, wide, spread, arenas, (lists, payloads, begins, ends), reach, sources, octets, words = context[0]
    where = (top, first, last, row_from, row_to)
    return masked.depthwise(acc, wide, arenas[0], arenas[1], p, source, q, lists, begins, ends, where, reach, spread)


@addressed
def deliver_apart(p: Any, q: Any, source: Any, context: Any, top: int, first: int, last: int, row_from: int, row_to: int) -> Any:
    """The same where no column is read twice, as by a pool: so few additions that they are done one by one."""
    acc, wide, spread, arenas, (lists, payloads, begins, ends), reach, sources, octets, words = context[0]
    synops, shift = np.int64(0), source.payload_at - source.list_at
    for row in range(row_from, row_to):
        segment = top + row * source.segment_row
        low, high = begins[segment], ends[segment]
        if low < high:
            reached = K.rows_reached(q, row, first, last, p.acc_row, reach)
            synops += K.apart(acc, arenas[0], arenas[1], q, p.halo, lists, low, high, payloads, shift, reach, reached)
            if p.accumulator == FLUSHED:
                K.flush_reached(acc, wide, reach, reached, p.acc_row)
    return synops


@addressed
def deliver_dense(p: Any, q: Any, source: Any, context: Any, top: int, first: int, last: int, row_from: int, row_to: int) -> Any:
    """Plain messages to all neurons: those of all source rows are gathered first."""
    acc, wide, spread, arenas, (lists, payloads, begins, ends), reach, sources, octets, words = context[0]
    synops = np.int64(0)
    gathered: Any = np.int64(0)
    for row in range(row_from, row_to):
        segment = top + row * source.segment_row
        begin, end = begins[segment], ends[segment]
        if begin < end:
            synops += K.fan_out(arenas[1], q, first, last, p.lanes, p.size, row * source.lanes, lists, begin, end)
            gathered = K.gather(lists, begin, end, row * source.lanes, sources, gathered)
    part = q.flush_every if p.accumulator == FLUSHED else gathered
    low: Any = np.int64(0)
    while low < gathered:
        high = min(low + part, gathered)
        K.dense(acc, arenas[0], q, first, last, p.acc_row, p.halo, sources, low, high)
        if p.accumulator == FLUSHED:
            K.flush(acc, wide, (last - first) * p.acc_row)
        low = high
    return synops


@addressed
def deliver_dense_scaled(
    p: Any, q: Any, source: Any, context: Any, top: int, first: int, last: int, row_from: int, row_to: int
) -> Any:
    """Messages with payloads to all neurons."""
    acc, wide, spread, arenas, (lists, payloads, begins, ends), reach, sources, octets, words = context[0]
    synops, shift = np.int64(0), source.payload_at - source.list_at
    for row in range(row_from, row_to):
        segment, base = top + row * source.segment_row, row * source.lanes
        low, high = begins[segment], ends[segment]
        if low < high:
            synops += K.fan_out(arenas[1], q, first, last, p.lanes, p.size, base, lists, low, high)
            K.dense_scaled(acc, arenas[0], q, first, last, p.acc_row, p.halo, base, lists, low, high, payloads, shift)
            if p.accumulator == FLUSHED:
                K.flush(acc, wide, (last - first) * p.acc_row)
    return synops


@addressed
def deliver_sparse(p: Any, q: Any, source: Any, context: Any, top: int, first: int, last: int, row_from: int, row_to: int) -> Any:
    """Messages along listed synapses with weights of 16 bits."""
    acc, wide, spread, arenas, (lists, payloads, begins, ends), reach, sources, octets, words = context[0]
    synops, shift, scaled = np.int64(0), source.payload_at - source.list_at, q.scaled != 0
    for row in range(row_from, row_to):
        segment, base = top + row * source.segment_row, row * source.lanes
        low, high = begins[segment], ends[segment]
        if low < high:
            synops += listed.sparse(
                acc, arenas[2], arenas[4], arenas[5], q, first, last, p.acc_row, base, lists, low, high, payloads, shift, scaled
            )
            if p.accumulator == FLUSHED:
                K.flush(acc, wide, (last - first) * p.acc_row)
    return synops


@addressed
def deliver_sparse_wide(
    p: Any, q: Any, source: Any, context: Any, top: int, first: int, last: int, row_from: int, row_to: int
) -> Any:
    """Messages along listed synapses with weights of 32 bits."""
    acc, wide, spread, arenas, (lists, payloads, begins, ends), reach, sources, octets, words = context[0]
    synops, shift, scaled = np.int64(0), source.payload_at - source.list_at, q.scaled != 0
    for row in range(row_from, row_to):
        segment, base = top + row * source.segment_row, row * source.lanes
        low, high = begins[segment], ends[segment]
        if low < high:
            synops += listed.sparse(
                acc, arenas[3], arenas[4], arenas[5], q, first, last, p.acc_row, base, lists, low, high, payloads, shift, scaled
            )
            if p.accumulator == FLUSHED:
                K.flush(acc, wide, (last - first) * p.acc_row)
    return synops


@addressed
def deliver_by_source(
    p: Any, q: Any, source: Any, context: Any, top: int, first: int, last: int, row_from: int, row_to: int
) -> Any:
    """Messages along synapses listed source by source."""
    acc, wide, spread, arenas, (lists, payloads, begins, ends), reach, sources, octets, words = context[0]
    synops, shift, scaled = np.int64(0), source.payload_at - source.list_at, q.scaled != 0
    for row in range(row_from, row_to):
        segment, base = top + row * source.segment_row, row * source.lanes
        low, high = begins[segment], ends[segment]
        if low < high:
            synops += listed.sparse_by_source(
                acc, arenas[3], arenas[4], arenas[1], arenas[5], q, first, last, p.acc_row, row, base, lists, low, high, payloads,
                shift, scaled,
            )  # fmt: skip
            if p.accumulator == FLUSHED:
                K.flush(acc, wide, (last - first) * p.acc_row)
    return synops


_KERNELS = {
    T.SPARSE: deliver_sparse,
    T.SPARSE_WIDE: deliver_sparse_wide,
    T.SPARSE_BY_SOURCE: deliver_by_source,
}


def kernel_of(q: Any, wide: bool, weights: Any) -> Callable[..., Any]:
    """The kernel for a projection's record, into 32-bit accumulators or 16-bit ones, from weights of this type."""
    if q["kind"] == T.CONV:
        apart = q["taps"] != 1 or q["groups_at"] >= 0 or (q["scaled"] and not q["paired"])
        way = NO_TILES if q["tile_above"] == NEVER else tiled.way_of(wide, weights)
        form = PLAIN if not q["scaled"] else SCALED if wide else SIGNS  # 16 bits are proven for no larger payloads
        return convolving(ONE_BY_ONE if apart else form, way)
    if q["kind"] == T.DENSE:
        return deliver_dense_scaled if q["scaled"] else deliver_dense
    if q["kind"] == T.DEPTHWISE:
        if q["runs"] and not wide and masked.has_bits(q):
            return deliver_masked
        return deliver_depthwise if q["runs"] else deliver_apart
    return _KERNELS[int(q["kind"])]


@lru_cache
def _kinds(wide: bool, arenas: tuple[str, ...]) -> tuple[Any, ...]:
    """The types of a kernel's arguments: 32-bit accumulators or 16-bit ones, arenas of these types."""

    def array(kind: Any, dimensions: int = 1) -> Any:
        return types.Array(numba.from_dtype(np.dtype(kind)), dimensions, "C")

    population, acc = numba.from_dtype(T.POPULATION), array(np.int32 if wide else np.int16)
    spikes = types.Tuple((array(np.uint32), array(np.int32), array(np.int64), array(np.int64)))
    held = (acc, array(np.int32), acc, types.Tuple(tuple(map(array, arenas))), spikes)
    context = types.CPointer(types.Tuple((*held, array(np.int64, 2), array(np.uint32), array(np.uint8), array(np.int16))))
    return (population, numba.from_dtype(T.PROJECTION), population, context, *(types.int64,) * 5)


def delivery_address(q: Any, wide: bool, arenas: tuple[Any, ...]) -> Any:
    """Where the kernel for a projection into 32-bit or 16-bit accumulators begins."""
    kinds = () if numba.config.DISABLE_JIT else _kinds(wide, tuple(a.dtype.str for a in arenas))
    return address_of(kernel_of(q, wide, arenas[0].dtype), kinds)
