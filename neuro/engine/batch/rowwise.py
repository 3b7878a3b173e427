"""What the kernels do to whole rows of samples, as LLVM vectors of eight lanes: loops over as many rows as these have are not
vectorised reliably.

Arrays are passed by their addresses (`address`), because compiled code counts who holds an array at every call; `word`, `long`
and `put` read and write their places. `add_rows(memory, o, sources, weights, begin, end)` writes the weighted sum of the rows
that are listed there to row o. `combine_short`, `combine_long`, `largest` and `scaled` (memory, o, rows, factors, totals, t)
write one row o from others, and add to totals[t:] and totals[t + 8:] in how many samples something arrived, and in how many
there was that or a sum. `mark(memory, o, mask, spikes, at)` clears samples that are none, notes which are not 0, and returns how
many. Each is written once, for vectors of LLVM and, where the compiler is off, arrays of NumPy.
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

from neuro.engine.tiles import everywhere, load

SIDE, LANES = 64, 8  # samples of a row; of a vector
OFF = bool(numba.config.DISABLE_JIT)
_I32, _I64, _DOUBLE = ir.IntType(32), ir.IntType(64), ir.DoubleType()
_EIGHT = ir.VectorType(_I32, LANES)
_ADDRESS = types.uint64


def address(array: Any) -> Any:
    """What kernels find an array by, which must outlive them; with the compiler off the array itself, without dimensions."""
    return array.ravel() if OFF else np.uint64(array.ctypes.data)


class _Vector:
    """Eight lanes, with the operators of an array."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value
        self.real = value.type.element == _DOUBLE

    def _with(self, other: _Vector, real: str, whole: str) -> _Vector:
        return _Vector(self.builder, getattr(self.builder, real if self.real else whole)(self.value, other.value))

    def __add__(self, other: _Vector) -> _Vector:
        return self._with(other, "fadd", "add")

    def __mul__(self, other: _Vector) -> _Vector:
        return self._with(other, "fmul", "mul")

    def __and__(self, other: _Vector) -> _Vector:
        return self._with(other, "", "and_")

    def __or__(self, other: _Vector) -> _Vector:
        return self._with(other, "", "or_")

    def __rshift__(self, other: _Vector) -> _Vector:
        return self._with(other, "", "ashr")


class _Vectors:
    """What there is besides operators, of vectors."""

    @staticmethod
    def _chosen(sign: str, a: _Vector, b: _Vector) -> _Vector:
        builder = a.builder
        test = builder.fcmp_ordered(sign, a.value, b.value) if a.real else builder.icmp_signed(sign, a.value, b.value)
        return _Vector(builder, builder.select(test, a.value, b.value))

    def most(self, a: _Vector, b: _Vector) -> _Vector:
        return self._chosen(">", a, b)

    def clip(self, x: _Vector, low: _Vector, high: _Vector) -> _Vector:
        return self._chosen("<", self._chosen(">", x, low), high)

    def real(self, x: _Vector) -> _Vector:
        return _Vector(x.builder, x.builder.sitofp(x.value, ir.VectorType(_DOUBLE, LANES)))

    def whole(self, x: _Vector) -> _Vector:
        return _Vector(x.builder, x.builder.fptosi(x.value, _EIGHT))

    def floor(self, x: _Vector) -> _Vector:
        kind = x.value.type
        function = cgutils.get_or_insert_function(x.builder.module, ir.FunctionType(kind, [kind]), "llvm.floor.v8f64")
        return _Vector(x.builder, x.builder.call(function, [x.value]))

    def some(self, x: _Vector) -> _Vector:
        zero = ir.Constant(_EIGHT, [0] * LANES)
        return _Vector(x.builder, x.builder.zext(x.builder.icmp_signed("!=", x.value, zero), _EIGHT))


class _Arrays:
    """The same of arrays."""

    most, floor = staticmethod(np.maximum), staticmethod(np.floor)

    def clip(self, x: Any, low: Any, high: Any) -> Any:
        return np.minimum(np.maximum(x, low), high)

    def real(self, x: Any) -> Any:
        return x.astype(np.float64)

    def whole(self, x: Any) -> Any:
        return x.astype(np.int32)

    def some(self, x: Any) -> Any:
        return (x != 0).astype(np.int32)


def _combine_short(ops: Any, rows: Any, factors: Any) -> Any:
    """A product of two rows in 32 bits, shifted right, and where keep is -1 the sum so far."""
    (before, one, two, drive, driven), (keep, shift, low, high) = rows, factors
    return ops.clip(((one * two) >> shift) + (before & keep), low, high), drive | driven, before


def _combine_long(ops: Any, rows: Any, factors: Any) -> Any:
    """The same in doubles; keep is 1, or 0."""
    (before, one, two, drive, driven), (keep, scale, low, high) = rows, factors
    product = ops.floor(ops.real(one) * ops.real(two) * scale)
    return ops.whole(ops.clip(product + ops.real(before) * keep, low, high)), drive | driven, before


def _largest(ops: Any, rows: Any, factors: Any) -> Any:
    """The largest of two rows and, but in the first step, of what was largest before."""
    (before, one, two, drive, driven), (lowest, first) = rows, factors
    return ops.most(ops.most(one, two), (before & first) + lowest), drive | driven, before


def _scaled(ops: Any, rows: Any, factors: Any) -> Any:
    """Biased and clipped, then scaled in doubles, rounded, and clipped to the values."""
    (x, drive, driven, before, mask), (bias, low, high, factor, half, scale, lowest, highest) = rows, factors
    x = ops.clip(x + bias, low, high)
    y = ops.floor((ops.real(x) * factor + half) * scale)
    return ops.whole(ops.clip(y, lowest, highest)), drive | driven | (x & mask), before


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    def kernel(typingctx: Any, memory: Any, o: Any, rows: Any, factors: Any, totals: Any, t: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place, counts = (builder.inttoptr(args[i], _I32.as_pointer()) for i in (0, 4))
            at = [builder.gep(place, [row]) for row in (*cgutils.unpack_tuple(builder, args[2]), args[1])]
            given = tuple(_Vector(builder, everywhere(builder, x, LANES)) for x in cgutils.unpack_tuple(builder, args[3]))
            found: list[list[_Vector]] = [[], []]
            for lane in range(0, SIDE, LANES):
                *read, written = (builder.gep(row, [_I64(lane)]) for row in at)
                vectors = tuple(_Vector(builder, load(builder, row, _EIGHT)) for row in read)
                result, drive, before = function(_Vectors(), vectors, given)
                builder.store(result.value, builder.bitcast(written, _EIGHT.as_pointer()), align=4)
                for counted, row in zip(found, (drive, drive | before), strict=True):
                    counted.append(_Vectors().some(row))
            for i, counted in enumerate(found):
                pointer = builder.gep(counts, [builder.add(args[5], _I64(i * LANES))])
                total = _Vector(builder, load(builder, pointer, _EIGHT))
                for more in counted:
                    total = total + more
                builder.store(total.value, builder.bitcast(pointer, _EIGHT.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(_ADDRESS, _ADDRESS, rows, factors, _ADDRESS, _ADDRESS), codegen

    return kernel


def _plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    def kernel(memory: Any, o: int, rows: Any, factors: Any, totals: Any, t: int) -> None:
        read = tuple(memory[row : row + SIDE] for row in rows)
        memory[o : o + SIDE], drive, before = function(_Arrays(), read, factors)
        for i, row in enumerate((drive, drive | before)):
            totals[t + i * LANES] += np.count_nonzero(row)

    return kernel


def _add_rows(typingctx: Any, memory: Any, o: Any, sources: Any, weights: Any, begin: Any, end: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        memory, sources, weights = (builder.inttoptr(args[i], _I32.as_pointer()) for i in (0, 2, 3))
        held = [cgutils.alloca_once(builder, _EIGHT) for _ in range(SIDE // LANES)]
        for place in held:
            builder.store(ir.Constant(_EIGHT, [0] * LANES), place)
        with cgutils.for_range(builder, builder.sub(args[5], args[4])) as loop:
            k = builder.add(args[4], loop.index)
            row = builder.gep(memory, [builder.zext(builder.load(builder.gep(sources, [k])), _I64)])
            weight = everywhere(builder, builder.load(builder.gep(weights, [k])), LANES)
            for i, place in enumerate(held):
                value = load(builder, builder.gep(row, [_I64(i * LANES)]), _EIGHT)
                builder.store(builder.add(builder.load(place), builder.mul(value, weight)), place)
        for i, place in enumerate(held):
            target = builder.gep(memory, [builder.add(args[1], _I64(i * LANES))])
            builder.store(builder.load(place), builder.bitcast(target, _EIGHT.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(*(_ADDRESS,) * 6), codegen


def _add_plainly(memory: Any, o: int, sources: Any, weights: Any, begin: int, end: int) -> None:
    rows = [memory[sources[k] : sources[k] + SIDE].astype(np.int64) * int(weights[k]) for k in range(begin, end)]
    memory[o : o + SIDE] = np.sum(rows, axis=0)


def _mark(typingctx: Any, memory: Any, o: Any, mask: Any, spikes: Any, at: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        memory, spikes = (builder.inttoptr(args[i], ir.IntType(bits).as_pointer()) for i, bits in ((0, 32), (3, 8)))
        total, octets = ir.Constant(_I64, 0), ir.VectorType(ir.IntType(8), LANES)
        for lane in range(0, SIDE, LANES):
            row, mask, target = (
                builder.gep(where, [builder.add(x, _I64(lane))])
                for where, x in ((memory, args[1]), (memory, args[2]), (spikes, args[4]))
            )
            kept = builder.and_(load(builder, row, _EIGHT), load(builder, mask, _EIGHT))
            builder.store(kept, builder.bitcast(row, _EIGHT.as_pointer()), align=4)
            some = builder.icmp_signed("!=", kept, ir.Constant(_EIGHT, [0] * LANES))
            builder.store(builder.zext(some, octets), builder.bitcast(target, octets.as_pointer()), align=1)
            total = builder.add(total, builder.zext(builder.ctpop(builder.bitcast(some, ir.IntType(LANES))), _I64))
        return total

    return types.int64(*(_ADDRESS,) * 5), codegen


def _mark_plainly(memory: Any, o: int, mask: int, spikes: Any, at: int) -> int:
    memory[o : o + SIDE] &= memory[mask : mask + SIDE]
    spikes[at : at + SIDE] = memory[o : o + SIDE] != 0
    return int(np.count_nonzero(memory[o : o + SIDE]))


combine_short, combine_long, largest, scaled = (
    _plainly(function) if OFF else intrinsic(_compiled(function))
    for function in (_combine_short, _combine_long, _largest, _scaled)
)


def _read(bits: int) -> Callable[..., Any]:
    def kernel(typingctx: Any, array: Any, i: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.load(builder.gep(builder.inttoptr(args[0], ir.IntType(bits).as_pointer()), [args[1]]))

        return (types.int32 if bits == 32 else types.int64)(_ADDRESS, _ADDRESS), codegen

    return kernel


def _write(typingctx: Any, array: Any, i: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], builder.gep(builder.inttoptr(args[0], _I32.as_pointer()), [args[1]]))
        return context.get_dummy_value()

    return types.void(_ADDRESS, _ADDRESS, types.int32), codegen


def _plain_read(array: Any, i: int) -> Any:
    return array[i]


def _plain_write(array: Any, i: int, value: int) -> None:
    array[i] = value


word, long = (_plain_read if OFF else intrinsic(_read(bits)) for bits in (32, 64))
put: Callable[..., Any] = _plain_write if OFF else intrinsic(_write)
add_rows: Callable[..., Any] = _add_plainly if OFF else intrinsic(_add_rows)
mark: Callable[..., Any] = _mark_plainly if OFF else intrinsic(_mark)
