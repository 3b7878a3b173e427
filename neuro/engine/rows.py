"""Sums of weight rows for a list of messages, as LLVM vectors: up to 192 lanes of the sums stay in registers while all rows pass.

`add_rows(acc, at, weights, base, halves, stride, lists, i, n, reach, reached, apart)` adds, for each of the first `reached` pairs
(kernel row, offset) of `reach`, to acc[at + offset:] the rows of `halves` HALVES that begin at weights[base + kernel row *
apart + lists[k] * stride] for k from i to n; `add_signed_rows(.., payloads, shift)` takes those off of which payloads[k + shift]
is negative, and knows no payloads but -1 and 1. Weights are widened to the accumulator's type.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from neuro.engine.lanes import HALF

MOST, SIZES = 12, (10, 8, 6, 4, 2, 1)  # vectors of 16 sums of 16 bits that stay in registers together, and of what is left
_I64 = ir.IntType(64)


def _generate(signed: bool, context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """A negative row -w is (w ^ -1) + 1: rows are combined with their message's sign, and the negative ones are counted."""
    arrays = [context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 2, 6)]
    wide, narrow = (ir.VectorType(ir.IntType(signature.args[k].dtype.bitwidth), HALF) for k in (0, 2))
    target, rows, listed = (builder.gep(array, [args[k]]) for array, k in zip(arrays, (1, 3, 7), strict=True))
    halves, stride, count, reached, apart = args[4], args[5], builder.sub(args[8], args[7]), args[10], args[11]
    reach = context.make_array(signature.args[9])(context, builder, args[9]).data
    most = MOST * 16 // wide.element.width  # HALVES of sums that the registers hold
    if signed:
        payloads = context.make_array(signature.args[12])(context, builder, args[12]).data
        sent = builder.gep(payloads, [builder.add(args[7], args[13])])

    def place(pointer: Any, half: int, kind: Any) -> Any:
        return builder.bitcast(builder.gep(pointer, [_I64(half * HALF)]), kind.as_pointer())

    def everywhere(value: Any, kind: Any) -> Any:
        one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), HALF), [0] * HALF)
        return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), mask)

    def part(lane: Any, vectors: int) -> None:
        with cgutils.for_range(builder, reached) as loop:
            pair = builder.gep(reach, [builder.shl(loop.index, _I64(1))])
            row, offset = builder.load(pair), builder.load(builder.gep(pair, [_I64(1)]))
            begin = builder.gep(rows, [builder.add(lane, builder.mul(row, apart))])
            part_of_row(builder.gep(target, [builder.add(lane, offset)]), begin, vectors)

    def part_of_row(sum_at: Any, begin: Any, vectors: int) -> None:
        sums = [place(sum_at, k, wide) for k in range(vectors)]
        held = [cgutils.alloca_once(builder, wide) for _ in sums]
        below = cgutils.alloca_once_value(builder, _I64(0))
        builder.store(_I64(0), below)
        for total, kept in zip(sums, held, strict=True):
            builder.store(builder.load(total, align=1), kept)
        with cgutils.for_range(builder, count) as loop:
            which = builder.zext(builder.load(builder.gep(listed, [loop.index])), _I64)
            row = builder.gep(begin, [builder.mul(which, stride)])
            if signed:
                sign = builder.ashr(builder.load(builder.gep(sent, [loop.index])), ir.IntType(32)(31))
                builder.store(builder.sub(builder.load(below), builder.sext(sign, _I64)), below)
                flip = everywhere(builder.trunc(sign, narrow.element) if narrow.element.width < 32 else sign, narrow)
            for k, kept in enumerate(held):
                weight = builder.load(place(row, k, narrow), align=1)
                weight = builder.xor(weight, flip) if signed else weight
                weight = builder.sext(weight, wide) if narrow != wide else weight
                builder.store(builder.add(builder.load(kept), weight), kept)
        if signed:
            negatives = everywhere(builder.trunc(builder.load(below), wide.element), wide)
        for total, kept in zip(sums, held, strict=True):
            found = builder.load(kept)
            builder.store(builder.add(found, negatives) if signed else found, total, align=1)

    with cgutils.for_range(builder, builder.udiv(halves, _I64(most))) as loop:
        part(builder.mul(loop.index, _I64(most * HALF)), most)
    rest = cgutils.alloca_once_value(builder, builder.urem(halves, _I64(most)))
    builder.store(builder.urem(halves, _I64(most)), rest)
    for vectors in (size for size in SIZES if size < most):
        left = builder.load(rest)
        with builder.if_then(builder.icmp_unsigned(">=", left, _I64(vectors))):
            part(builder.mul(builder.sub(halves, left), _I64(HALF)), vectors)
            builder.store(builder.sub(left, _I64(vectors)), rest)
    return context.get_dummy_value()


def _rows(
    typingctx: Any, acc: Any, at: Any, weights: Any, base: Any, halves: Any, stride: Any, lists: Any, i: Any, n: Any,
    reach: Any, reached: Any, apart: Any,
) -> Any:  # fmt: skip
    def codegen(*given: Any) -> Any:
        return _generate(False, *given)

    u = types.uint64
    return types.void(acc, u, weights, u, u, u, lists, u, u, reach, u, u), codegen


def _signed_rows(
    typingctx: Any, acc: Any, at: Any, weights: Any, base: Any, halves: Any, stride: Any, lists: Any, i: Any, n: Any,
    reach: Any, reached: Any, apart: Any, payloads: Any, shift: Any,
) -> Any:  # fmt: skip
    def codegen(*given: Any) -> Any:
        return _generate(True, *given)

    u = types.uint64
    return types.void(acc, u, weights, u, u, u, lists, u, u, reach, u, u, payloads, u), codegen


def _plain(
    acc: Any, at: int, weights: Any, base: int, halves: int, stride: int, lists: Any, i: int, n: int, reach: Any,
    reached: int, apart: int, payloads: Any = None, shift: int = 0,
) -> None:  # fmt: skip
    """The same in NumPy, for runs with the compiler off."""
    lanes = int(halves) * HALF
    for k, (row, offset) in product(range(int(i), int(n)), reach[: int(reached)].tolist()):
        begin, first = int(base) + row * int(apart) + int(lists[k]) * int(stride), int(at) + offset
        sign = 1 if payloads is None else payloads[k + int(shift)]
        acc[first : first + lanes] += weights[begin : begin + lanes].astype(acc.dtype) * acc.dtype.type(sign)


add_rows: Callable[..., Any] = _plain if numba.config.DISABLE_JIT else intrinsic(_rows)
add_signed_rows: Callable[..., Any] = _plain if numba.config.DISABLE_JIT else intrinsic(_signed_rows)
