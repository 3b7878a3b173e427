"""Vector additions of weight rows into accumulators, as LLVM vectors of 32 lanes whatever the machine's width.

`add1 .. add8(acc, at, weights, blocks, o0, ...)` add 1, 2, 4 or 8 rows of `32 * blocks` weights that begin at o0, ... to
acc[at:]; `scaled1` first multiplies the row by a payload; `products` multiplies lane by lane. Weights are widened to the
accumulator's type. `mask_of` and `lowest_bit` find set bytes, 64 at a time. Loops that LLVM vectorises by itself spend more
time in remainders than in additions for rows this short.
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

LANES = 32
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
        wide = ir.VectorType(ir.IntType(acc_type.bitwidth), LANES)
        narrow = ir.VectorType(ir.IntType(weight_type.bitwidth), LANES)
        target = builder.gep(acc, [args[1]])
        rows = [builder.gep(weights, [offset]) for offset in args[4 : 4 + count]]
        payloads = [_splat(builder, wide, value) for value in args[4 + count :]]
        with cgutils.for_range(builder, args[3]) as loop:
            lane = builder.mul(loop.index, ir.Constant(_I64, LANES))

            def vector(pointer: Any, kind: Any, bits: int) -> tuple[Any, Any]:
                at = builder.bitcast(builder.gep(pointer, [lane]), kind.as_pointer())
                return at, builder.load(at, align=bits // 8)

            at, total = vector(target, wide, acc_type.bitwidth)
            terms = [vector(row, narrow, weight_type.bitwidth)[1] for row in rows]
            terms = [builder.sext(term, wide) if narrow != wide else term for term in terms]
            if scaled:
                terms = [builder.mul(term, payload) for term, payload in zip(terms, payloads, strict=True)]
            while len(terms) > 1:
                terms = [builder.add(*terms[i : i + 2]) for i in range(0, len(terms), 2)]
            builder.store(builder.add(total, terms[0]), at, align=acc_type.bitwidth // 8)
        return context.get_dummy_value()

    arities: dict[int, Callable[..., Any]] = {
        1: lambda typingctx, acc, at, weights, blocks, o0: (typing(acc, weights), codegen),
        2: lambda typingctx, acc, at, weights, blocks, o0, o1: (typing(acc, weights), codegen),
        4: lambda typingctx, acc, at, weights, blocks, o0, o1, o2, o3: (typing(acc, weights), codegen),
        8: lambda typingctx, acc, at, weights, blocks, o0, o1, o2, o3, o4, o5, o6, o7: (typing(acc, weights), codegen),
    }
    if scaled:
        return lambda typingctx, acc, at, weights, blocks, o0, p0: (typing(acc, weights), codegen)
    return arities[count]


def _products(typingctx: Any, acc: Any, at: Any, weights: Any, offset: Any, values: Any, begin: Any, blocks: Any) -> Any:
    """acc[at:] += weights[offset:] * values[begin:], lane by lane; values are of the accumulator's type."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = [(signature.args[i], args[i], args[i + 1]) for i in (0, 2, 4)]
        starts = [builder.gep(context.make_array(kind)(context, builder, value).data, [o]) for kind, value, o in arrays]
        kinds = [ir.VectorType(ir.IntType(kind.dtype.bitwidth), LANES) for kind, _, _ in arrays]
        with cgutils.for_range(builder, args[6]) as loop:
            lane = builder.mul(loop.index, ir.Constant(_I64, LANES))
            places = [
                builder.bitcast(builder.gep(start, [lane]), kind.as_pointer()) for start, kind in zip(starts, kinds, strict=True)
            ]
            total, weight, value = (builder.load(place, align=2) for place in places)
            weight = builder.sext(weight, kinds[0]) if kinds[1] != kinds[0] else weight
            builder.store(builder.add(total, builder.mul(weight, value)), places[0], align=2)
        return context.get_dummy_value()

    return types.void(acc, types.uint64, weights, types.uint64, values, types.uint64, types.uint64), codegen


def _plain_products(acc: Any, at: int, weights: Any, offset: int, values: Any, begin: int, blocks: int) -> None:
    n = int(blocks) * LANES
    acc[int(at) : int(at) + n] += weights[int(offset) : int(offset) + n].astype(acc.dtype) * values[int(begin) : int(begin) + n]


def _splat(builder: Any, kind: Any, value: Any) -> Any:
    """Every lane of a vector set to one 64-bit integer, truncated to the lane's width."""
    scalar = builder.trunc(value, kind.element)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), mask)


def _plain(count: int, scaled: bool) -> Callable[..., None]:
    """The same addition in NumPy, for runs with the compiler off."""

    def add(acc: Any, at: int, weights: Any, blocks: int, *rest: int) -> None:
        n = int(blocks) * LANES
        for i in range(count):
            row = weights[int(rest[i]) : int(rest[i]) + n].astype(acc.dtype)
            acc[int(at) : int(at) + n] += row * acc.dtype.type(rest[count + i]) if scaled else row

    return add


def _addition(count: int, *, scaled: bool = False) -> Callable[..., Any]:
    added: Callable[..., Any] = _plain(count, scaled) if numba.config.DISABLE_JIT else intrinsic(_rows(count, scaled))
    return added


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
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


def _plain_mask(flags: Any, at: int) -> Any:
    chosen = flags[int(at) : int(at) + 64] != 0
    return np.packbits(chosen, bitorder="little").view(np.uint64)[0]


def _plain_lowest_bit(bits: Any) -> int:
    return (int(bits) & -int(bits)).bit_length() - 1


products: Callable[..., Any] = _plain_products if numba.config.DISABLE_JIT else intrinsic(_products)
mask_of: Callable[..., Any] = _plain_mask if numba.config.DISABLE_JIT else intrinsic(_mask_of)
lowest_bit: Callable[..., Any] = _plain_lowest_bit if numba.config.DISABLE_JIT else intrinsic(_lowest_bit)
