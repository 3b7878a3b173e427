"""Sums of weight rows for a list of messages, as LLVM vectors: as many sums as registers hold stay there while all rows pass.

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

from neuro.engine.lanes import HALF, LONG
from neuro.engine.tiles import everywhere

PIECE = 2 if LONG else 1  # HALVES of a vector
REGISTERS = 25 if LONG else 12  # vectors of sums of 16 bits that registers hold together
MOST, SIZES = 24 if LONG else 12, (12, 10, 8, 6, 4, 2, 1)  # HALVES of a row that they hold, and of what is left
TOGETHER = (5, 3, 2, 1)  # rows, where these are short
_I64 = ir.IntType(64)


class _Sums:
    """The code of one call. A negative row -w is (w ^ -1) + 1: rows are combined with their message's sign, and the negative
    ones are counted."""

    def __init__(self, signed: bool, context: Any, builder: Any, signature: Any, args: Any) -> None:
        arrays = [context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 2, 6, 9)]
        self.signed, self.builder, self.reach = signed, builder, arrays[3]
        self.sum_kind, self.weight_kind = (ir.IntType(signature.args[k].dtype.bitwidth) for k in (0, 2))
        self.target, self.weights, self.listed = (
            builder.gep(array, [args[k]]) for array, k in zip(arrays, (1, 3, 7), strict=False)
        )
        self.stride, self.count, self.reached, self.apart = args[5], builder.sub(args[8], args[7]), args[10], args[11]
        self.narrower = self.sum_kind.width // 16  # registers of 16 bits that a vector of sums takes
        if signed:
            payloads = context.make_array(signature.args[12])(context, builder, args[12]).data
            self.sent = builder.gep(payloads, [builder.add(args[7], args[13])])
        self.all_parts(args[4])

    def all_parts(self, halves: Any) -> None:
        """As many HALVES of a row as the registers hold together, and what is left."""
        builder, most = self.builder, MOST // self.narrower
        with cgutils.for_range(builder, builder.udiv(halves, _I64(most))) as loop:
            self.part(builder.mul(loop.index, _I64(most * HALF)), most)
        rest = cgutils.alloca_once_value(builder, builder.urem(halves, _I64(most)))
        builder.store(builder.urem(halves, _I64(most)), rest)
        for size in (size for size in SIZES if size < most):
            left = builder.load(rest)
            with builder.if_then(builder.icmp_unsigned(">=", left, _I64(size))):
                self.part(builder.mul(builder.sub(halves, left), _I64(HALF)), size)
                builder.store(builder.sub(left, _I64(size)), rest)

    def part(self, lane: Any, size: int) -> None:
        """`size` HALVES of all rows that are reached, as many rows together as the registers hold."""
        builder, room = self.builder, REGISTERS // self.narrower
        done = cgutils.alloca_once_value(builder, _I64(0))
        builder.store(_I64(0), done)
        for together in (many for many in TOGETHER if many == 1 or many * -(-size // PIECE) <= room):
            before = builder.load(done)
            turns = builder.udiv(builder.sub(self.reached, before), _I64(together))
            with cgutils.for_range(builder, turns) as loop:
                first = builder.add(before, builder.mul(loop.index, _I64(together)))
                self.rows([self.row(lane, builder.add(first, _I64(k))) for k in range(together)], size)
            builder.store(builder.add(before, builder.mul(turns, _I64(together))), done)

    def row(self, lane: Any, which: Any) -> tuple[Any, Any]:
        """Where the sums and the weights of one of the rows that are reached begin, from some lane on."""
        builder = self.builder
        pair = builder.gep(self.reach, [builder.shl(which, _I64(1))])
        kernel_row, offset = builder.load(pair), builder.load(builder.gep(pair, [_I64(1)]))
        weights = builder.gep(self.weights, [builder.add(lane, builder.mul(kernel_row, self.apart))])
        return builder.gep(self.target, [builder.add(lane, offset)]), weights

    def rows(self, places: list[tuple[Any, Any]], size: int) -> None:
        """All messages, added to `size` HALVES of some rows."""
        builder = self.builder
        pieces = [(first, HALF * min(PIECE, size - first)) for first in range(0, size, PIECE)]
        parts = [(at, weights, first, lanes) for at, weights in places for first, lanes in pieces]
        sums = [self.place(at, first, ir.VectorType(self.sum_kind, lanes)) for at, _, first, lanes in parts]
        held = [cgutils.alloca_once(builder, total.type.pointee) for total in sums]
        below = cgutils.alloca_once_value(builder, _I64(0))
        builder.store(_I64(0), below)
        for total, kept in zip(sums, held, strict=True):
            builder.store(builder.load(total, align=1), kept)
        with cgutils.for_range(builder, self.count) as loop:
            lane = builder.zext(builder.load(builder.gep(self.listed, [loop.index])), _I64)
            begin = builder.mul(lane, self.stride)
            sign = self.sign(loop.index, below) if self.signed else None
            for (_, weights, first, lanes), kept in zip(parts, held, strict=True):
                weight = self.weight(builder.gep(weights, [begin]), first, lanes, sign)
                builder.store(builder.add(builder.load(kept), weight), kept)
            body = builder.basic_block
        body.terminator.set_metadata("llvm.loop", _as_written(builder.module))
        # Zeros behind a run may reach into the row above: that one, which `reach` has first, is stored after it.
        for total, kept in reversed(list(zip(sums, held, strict=True))):
            found = builder.load(kept)
            if self.signed:
                found = builder.add(
                    found, everywhere(builder, builder.trunc(builder.load(below), self.sum_kind), found.type.count)
                )
            builder.store(found, total, align=1)

    def sign(self, index: Any, below: Any) -> Any:
        """-1 where a message is negative, which is counted, else 0."""
        builder = self.builder
        sign = builder.ashr(builder.load(builder.gep(self.sent, [index])), ir.IntType(32)(31))
        builder.store(builder.sub(builder.load(below), builder.sext(sign, _I64)), below)
        return builder.trunc(sign, self.weight_kind) if self.weight_kind.width < 32 else sign

    def weight(self, row: Any, first: int, lanes: int, sign: Any) -> Any:
        """Some weights of a row, combined with a sign, as wide as sums."""
        builder, narrow = self.builder, ir.VectorType(self.weight_kind, lanes)
        weight = builder.load(self.place(row, first, narrow), align=1)
        weight = weight if sign is None else builder.xor(weight, everywhere(builder, sign, lanes))
        return builder.sext(weight, ir.VectorType(self.sum_kind, lanes)) if self.weight_kind != self.sum_kind else weight

    def place(self, pointer: Any, half: int, kind: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(pointer, [_I64(half * HALF)]), kind.as_pointer())


def _as_written(module: Any) -> Any:
    """What tells LLVM not to repeat the body of a loop: columns have few messages, and would be done in what is left over."""
    said = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop = module.add_metadata([said, said])
    loop.operands = (loop, said)  # LLVM expects a loop's own name first
    return loop


def _rows(
    typingctx: Any, acc: Any, at: Any, weights: Any, base: Any, halves: Any, stride: Any, lists: Any, i: Any, n: Any,
    reach: Any, reached: Any, apart: Any,
) -> Any:  # fmt: skip
    def codegen(context: Any, *given: Any) -> Any:
        _Sums(False, context, *given)
        return context.get_dummy_value()

    u = types.uint64
    return types.void(acc, u, weights, u, u, u, lists, u, u, reach, u, u), codegen


def _signed_rows(
    typingctx: Any, acc: Any, at: Any, weights: Any, base: Any, halves: Any, stride: Any, lists: Any, i: Any, n: Any,
    reach: Any, reached: Any, apart: Any, payloads: Any, shift: Any,
) -> Any:  # fmt: skip
    def codegen(context: Any, *given: Any) -> Any:
        _Sums(True, context, *given)
        return context.get_dummy_value()

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
