"""Depthwise messages as bits: where a processor adds under a mask (AVX-512), a row of plain spikes is spread bit by bit.

Of a spread row each kernel column is a run of bits, and the weights of those that are set are added: neither multiplied nor
widened values are read. Channels come by eights, so that every run begins with a byte. The order of what is spread, and the
tables that say so, are those of `engine.kernels.depthwise`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from neuro.compiled import inner
from neuro.engine.kernels import flush_reached, rows_reached
from neuro.engine.lanes import LANES, LONG
from neuro.engine.tables import DEPTHWISE_COLUMN, FLUSHED, RUN, U
from neuro.specification import IntArray

MASKED = LONG and not numba.config.DISABLE_JIT
OCTET, WORD = 8, 64  # bits
_I8, _I32, _I64 = (ir.IntType(bits) for bits in (8, 32, 64))


def has_bits(q: Any) -> bool:
    """Whether messages of a depthwise projection can be spread as bits, into accumulators of 16 bits."""
    return bool(MASKED and not q["scaled"] and q["channels"] % OCTET == 0 and q["spread"] >= WORD)


def _octets(context: Any, builder: Any, kind: Any, array: Any, bit: Any) -> Any:
    """Where the byte of a bit of an array lies."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(builder.bitcast(data, _I8.as_pointer()), [builder.lshr(bit, _I64(3))])


def _set_bit(typingctx: Any, bits: Any, at: Any) -> Any:
    """Set one bit of an array."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _octets(context, builder, signature.args[0], args[0], args[1])
        one = builder.shl(_I8(1), builder.trunc(builder.and_(args[1], _I64(7)), _I8))
        builder.store(builder.or_(builder.load(place), one), place)
        return context.get_dummy_value()

    return types.void(bits, types.uint64), codegen


def _set_bits(typingctx: Any, bits: Any, at: Any, many: Any) -> Any:
    """How many of bits [at, at + many) of an array are set, from a whole byte on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = builder.bitcast(_octets(context, builder, signature.args[0], args[0], args[1]), _I64.as_pointer())
        words, left = builder.lshr(args[2], _I64(6)), builder.and_(args[2], _I64(WORD - 1))
        found = cgutils.alloca_once_value(builder, _I64(0))
        builder.store(_I64(0), found)

        def add(word: Any) -> None:
            builder.store(builder.add(builder.load(found), builder.ctpop(word)), found)

        with cgutils.for_range(builder, words) as loop:
            add(builder.load(builder.gep(first, [loop.index]), align=1))
        with builder.if_then(builder.icmp_unsigned("!=", left, _I64(0))):
            below = builder.sub(builder.shl(_I64(1), left), _I64(1))
            add(builder.and_(builder.load(builder.gep(first, [words]), align=1), below))
        return builder.load(found)

    u = types.uint64
    return types.int64(bits, u, u), codegen


def _chosen(count: int) -> Callable[..., Any]:
    """An intrinsic for acc[at:] += those weights of `count` rows weights[o:] whose bits, from v on, are set."""

    def typing(acc: Any, weights: Any, bits: Any) -> Any:
        return types.void(acc, types.uint64, weights, bits, types.uint64, *(types.uint64,) * (2 * count))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide, narrow = (ir.VectorType(ir.IntType(signature.args[k].dtype.bitwidth), LANES) for k in (0, 2))
        acc, weights = (context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 2))
        target = builder.gep(acc, [args[1]])
        rows = [builder.gep(weights, [offset]) for offset in args[5 : 5 + count]]
        masks = [_octets(context, builder, signature.args[3], args[3], bit) for bit in args[5 + count :]]
        with cgutils.for_range(builder, args[4]) as loop:
            lane, octet = builder.mul(loop.index, _I64(LANES)), builder.mul(loop.index, _I64(LANES // OCTET))
            at = builder.bitcast(builder.gep(target, [lane]), wide.as_pointer())
            total = builder.load(at, align=1)
            for row, mask in zip(rows, masks, strict=True):
                weight = builder.load(builder.bitcast(builder.gep(row, [lane]), narrow.as_pointer()), align=1)
                weight = builder.sext(weight, wide) if narrow != wide else weight
                chosen = builder.load(builder.bitcast(builder.gep(mask, [octet]), _I32.as_pointer()), align=1)
                chosen = builder.bitcast(chosen, ir.VectorType(ir.IntType(1), LANES))
                total = builder.add(total, builder.select(chosen, weight, wide([0] * LANES)))
            builder.store(total, at, align=1)
        return context.get_dummy_value()

    if count == 1:
        return lambda typingctx, acc, at, weights, bits, blocks, o0, v0: (typing(acc, weights, bits), codegen)
    return lambda typingctx, acc, at, weights, bits, blocks, o0, o1, o2, v0, v1, v2: (typing(acc, weights, bits), codegen)


set_bit, set_bits, chosen1, chosen3 = (intrinsic(made) for made in (_set_bit, _set_bits, _chosen(1), _chosen(3)))


@inner
def room(projection: Any) -> Any:
    """Bits of a spread row, and some behind it that may be read."""
    return (U(projection.spread) // U(WORD) + U(2)) * U(WORD)


@inner
def spread_bits(
    tables: IntArray, projection: Any, source: Any, lists: IntArray, low: int, high: int, spread: IntArray, at: int
) -> None:
    """Set the bits of messages of one row, from bit `at` of the array on."""
    for j in range(at // U(16), (at + room(projection)) // U(16)):
        spread[j] = 0
    columns = U(projection.columns_at)
    moved = U(tables[columns]) + at
    if tables[columns] == tables[columns + U(DEPTHWISE_COLUMN) * U(source.width - 1)]:  # a row without a stride stays in order
        for i in range(U(low), U(high)):
            set_bit(spread, moved + U(lists[i]))
    else:
        reciprocal = (U(1) << U(40)) // U(projection.channels) + U(1)
        for i in range(U(low), U(high)):
            column = columns + U(DEPTHWISE_COLUMN) * ((U(lists[i]) * reciprocal) >> U(40))
            set_bit(spread, at + U(lists[i]) + U(tables[column]))


@inner
def visited(tables: IntArray, projection: Any, lanes: int, spread: IntArray, at: int) -> Any:
    """Synapses that a spread row visits through one kernel row, into a target row of so many lanes."""
    synops = 0
    for k in range(projection.runs):
        synops += set_bits(spread, at + U(tables[U(projection.runs_at) + U(RUN) * U(k)]), U(lanes))
    return synops


@inner
def add_runs(
    acc: IntArray, at: int, weights: IntArray, o: int, tables: IntArray, projection: Any, spread: IntArray, begin: int
) -> None:
    """Add the weights of one kernel row whose bits of a spread row are set."""
    blocks = U(projection.blocks)
    k, run = 0, U(projection.runs_at)
    while k + 3 <= projection.runs:
        v0, v1, v2 = begin + U(tables[run]), begin + U(tables[run + U(2)]), begin + U(tables[run + U(4)])
        o0, o1, o2 = o + U(tables[run + U(1)]), o + U(tables[run + U(3)]), o + U(tables[run + U(5)])
        chosen3(acc, at, weights, spread, blocks, o0, o1, o2, v0, v1, v2)
        k, run = k + 3, run + U(3 * RUN)
    while k < projection.runs:
        chosen1(acc, at, weights, spread, blocks, o + U(tables[run + U(1)]), begin + U(tables[run]))
        k, run = k + 1, run + U(RUN)


@inner
def depthwise(
    acc: IntArray, wide: IntArray, weights: IntArray, tables: IntArray, p: Any, source: Any, projection: Any, lists: IntArray,
    begins: IntArray, ends: IntArray, where: tuple[int, ...], reach: IntArray, spread: IntArray,
) -> Any:  # fmt: skip
    """Plain messages of source rows [row_from, row_to), each to its own channel only, into target rows [first, last). All rows
    are spread before the first is read: what was just written in pieces is slow to read. `where`: as in `engine.kernels`."""
    segment, first, last, row_from, row_to = where
    synops, bits = 0, room(projection)
    for row in range(row_from, row_to):
        low, high = begins[segment + row * source.segment_row], ends[segment + row * source.segment_row]
        if low < high:
            spread_bits(tables, projection, source, lists, low, high, spread, U(row - row_from) * bits)
    for row in range(row_from, row_to):
        if begins[segment + row * source.segment_row] == ends[segment + row * source.segment_row]:
            continue
        reached, at = rows_reached(projection, row, first, last, p.acc_row, reach), U(row - row_from) * bits
        if reached > 0:
            synops += visited(tables, projection, p.lanes, spread, at) * reached
        for r in range(reached):
            o = U(projection.weights_at) + U(reach[r, 0]) * U(projection.row_weights)
            add_runs(acc, U(reach[r, 1] + p.halo), weights, o, tables, projection, spread, at)
        if p.accumulator == FLUSHED:
            flush_reached(acc, wide, reach, reached, p.acc_row)
    return synops
