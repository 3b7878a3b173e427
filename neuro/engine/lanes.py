"""Vector additions of weight rows into accumulators, as LLVM vectors of 32 lanes whatever the machine's width.

`add1 .. add8(acc, at, weights, halves, o0, ...)` add 1, 2, 4 or 8 rows of `16 * halves` weights that begin at o0, ... to
acc[at:]; `scaled1` first multiplies the row by a payload; `products1` and `products3` multiply lane by lane. Weights are
widened to the accumulator's type. `mask_of` and `lowest_bit` find set bytes, 64 at a time. Loops that LLVM vectorises by
itself spend more time in remainders than in additions for rows this short.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES, HALF = 32, 16
_I64 = ir.IntType(64)


def _rows(count: int, scaled: bool) -> Callable[..., Any]:
    """An intrinsic that adds `count` rows; with payloads when `scaled`."""

    def typing(acc: Any, weights: Any) -> Any:
        extra = (types.int64,) * (count if scaled else 0)
        return types.void(acc, types.uint64, weights, types.uint64, *(types.uint64,) * count, *extra)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        acc_type, weight_type = signature.args[0].dtype, signature.args[2].dtype
        acc = context.make_array(signature.args[0])(context, builder, args[0]).data
        weights = context.make_array(signature.args[2])(context, builder, args[2]).data
        target = builder.gep(acc, [args[1]])
        rows = [builder.gep(weights, [offset]) for offset in args[4 : 4 + count]]

        def add(lane: Any, lanes: int) -> None:
            wide = ir.VectorType(ir.IntType(acc_type.bitwidth), lanes)
            narrow = ir.VectorType(ir.IntType(weight_type.bitwidth), lanes)

            def vector(pointer: Any, kind: Any, bits: int) -> tuple[Any, Any]:
                at = builder.bitcast(builder.gep(pointer, [lane]), kind.as_pointer())
                return at, builder.load(at, align=bits // 8)

            at, total = vector(target, wide, acc_type.bitwidth)
            terms = [vector(row, narrow, weight_type.bitwidth)[1] for row in rows]
            terms = [builder.sext(term, wide) if narrow != wide else term for term in terms]
            if scaled:
                payloads = [_splat(builder, wide, value) for value in args[4 + count :]]
                terms = [builder.mul(term, payload) for term, payload in zip(terms, payloads, strict=True)]
            while len(terms) > 1:
                terms = [builder.add(*terms[i : i + 2]) for i in range(0, len(terms), 2)]
            builder.store(builder.add(total, terms[0]), at, align=acc_type.bitwidth // 8)

        one = ir.Constant(_I64, 1)
        blocks = builder.lshr(args[3], one)
        with cgutils.for_range(builder, blocks) as loop:
            add(builder.mul(loop.index, ir.Constant(_I64, LANES)), LANES)
        with builder.if_then(builder.trunc(args[3], ir.IntType(1))):
            add(builder.mul(blocks, ir.Constant(_I64, LANES)), HALF)
        return context.get_dummy_value()

    arities: dict[int, Callable[..., Any]] = {
        1: lambda typingctx, acc, at, weights, halves, o0: (typing(acc, weights), codegen),
        2: lambda typingctx, acc, at, weights, halves, o0, o1: (typing(acc, weights), codegen),
        4: lambda typingctx, acc, at, weights, halves, o0, o1, o2, o3: (typing(acc, weights), codegen),
        8: lambda typingctx, acc, at, weights, halves, o0, o1, o2, o3, o4, o5, o6, o7: (typing(acc, weights), codegen),
    }
    if scaled:
        return lambda typingctx, acc, at, weights, halves, o0, p0: (typing(acc, weights), codegen)
    return arities[count]


def _products(count: int) -> Callable[..., Any]:
    """An intrinsic for acc[at:] += sum of `count` rows weights[o:] * values[v:], lane by lane; values as wide as acc."""

    def typing(acc: Any, weights: Any, values: Any) -> Any:
        return types.void(acc, types.uint64, weights, values, types.uint64, *(types.uint64,) * (2 * count))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = [signature.args[i].dtype for i in (0, 2, 3)]
        arrays = [context.make_array(signature.args[i])(context, builder, args[i]).data for i in (0, 2, 3)]
        wide, narrow = (ir.VectorType(ir.IntType(kind.bitwidth), LANES) for kind in kinds[:2])
        target = builder.gep(arrays[0], [args[1]])
        rows = [builder.gep(arrays[1], [offset]) for offset in args[5 : 5 + count]]
        values = [builder.gep(arrays[2], [offset]) for offset in args[5 + count :]]
        with cgutils.for_range(builder, args[4]) as loop:
            lane = builder.mul(loop.index, ir.Constant(_I64, LANES))

            def vector(pointer: Any, kind: Any) -> tuple[Any, Any]:
                at = builder.bitcast(builder.gep(pointer, [lane]), kind.as_pointer())
                return at, builder.load(at, align=1)

            at, total = vector(target, wide)
            for row, value in zip(rows, values, strict=True):
                weight = vector(row, narrow)[1]
                weight = builder.sext(weight, wide) if narrow != wide else weight
                total = builder.add(total, builder.mul(weight, vector(value, wide)[1]))
            builder.store(total, at, align=1)
        return context.get_dummy_value()

    if count == 1:
        return lambda typingctx, acc, at, weights, values, blocks, o0, v0: (typing(acc, weights, values), codegen)
    return lambda typingctx, acc, at, weights, values, blocks, o0, o1, o2, v0, v1, v2: (typing(acc, weights, values), codegen)


def _plain_products(acc: Any, at: int, weights: Any, values: Any, blocks: int, *places: int) -> None:
    n, half = int(blocks) * LANES, len(places) // 2
    for o, v in zip(places[:half], places[half:], strict=True):
        acc[int(at) : int(at) + n] += weights[int(o) : int(o) + n].astype(acc.dtype) * values[int(v) : int(v) + n]


def _splat(builder: Any, kind: Any, value: Any) -> Any:
    """Every lane of a vector set to one 64-bit integer, truncated to the lane's width."""
    scalar = builder.trunc(value, kind.element)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), mask)


def _plain(count: int, scaled: bool) -> Callable[..., None]:
    """The same addition in NumPy, for runs with the compiler off."""

    def add(acc: Any, at: int, weights: Any, halves: int, *rest: int) -> None:
        n = int(halves) * HALF
        for i in range(count):
            row = weights[int(rest[i]) : int(rest[i]) + n].astype(acc.dtype)
            acc[int(at) : int(at) + n] += row * acc.dtype.type(rest[count + i]) if scaled else row

    return add


def _addition(count: int, *, scaled: bool = False) -> Callable[..., Any]:
    added: Callable[..., Any] = _plain(count, scaled) if numba.config.DISABLE_JIT else intrinsic(_rows(count, scaled))
    return added


def _product(count: int) -> Callable[..., Any]:
    product: Callable[..., Any] = _plain_products if numba.config.DISABLE_JIT else intrinsic(_products(count))
    return product


add1, add2, add4, add8 = (_addition(count) for count in (1, 2, 4, 8))
scaled1 = _addition(1, scaled=True)


def _mask_of(typingctx: Any, flags: Any, at: Any) -> Any:
    """Which of the 64 bytes from flags[at] are not zero, as bits of an integer."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        bytes_type = ir.VectorType(ir.IntType(8), 64)
        pointer = builder.bitcast(builder.gep(data, [args[1]]), bytes_type.as_pointer())
        loaded = builder.load(pointer, align=1)
        return builder.bitcast(builder.icmp_unsigned("!=", loaded, ir.Constant(bytes_type, [0] * 64)), _I64)

    return types.uint64(flags, types.uint64), codegen


def _lowest_bit(typingctx: Any, bits: Any) -> Any:
    """Position of the lowest bit that is set; the integer must not be zero."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen


def _ones(typingctx: Any, bits: Any) -> Any:
    """How many bits are set."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), codegen


def _plain_mask(flags: Any, at: int) -> Any:
    chosen = flags[int(at) : int(at) + 64] != 0
    return int.from_bytes(np.packbits(chosen, bitorder="little").tobytes(), "little")


def _plain_lowest_bit(bits: Any) -> int:
    return (int(bits) & -int(bits) or 1).bit_length() - 1  # of none, anything: it is overwritten


def _plain_ones(bits: int) -> Any:
    return int(bits).bit_count()


products1, products3 = (_product(count) for count in (1, 3))
mask_of: Callable[..., Any] = _plain_mask if numba.config.DISABLE_JIT else intrinsic(_mask_of)
lowest_bit: Callable[..., Any] = _plain_lowest_bit if numba.config.DISABLE_JIT else intrinsic(_lowest_bit)
ones: Callable[..., Any] = _plain_ones if numba.config.DISABLE_JIT else intrinsic(_ones)
