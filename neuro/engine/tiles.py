"""Dense products of a row of values with interleaved weights, as LLVM vectors: a tile of pixels x target channels at a time.

`bytes4(acc, at, apart, weights, w, jump, values, v, stride, steps, starts, s)` and `bytes1` add, to `OUTPUTS` channels of 4
pixels or of 1, the products of bytes: values of 0 to 2 and weights of 8 bits, four source channels a step, in sums of 16 bits
that may wrap around, or of 32 where the processor adds four products to each (`QUADS`, AVX-512 VNNI). `words4` and `words1` do
the same for values of 16 bits and weights of 8 or 16, in sums of 32 bits. `bytes_most`, `words_most`: `PIXELS` pixels at a time.
Pixels lie `apart` lanes apart in `acc` and `stride` values apart in `values`; the weights of a step, OUTPUTS x GROUP, `jump`
apart. What is in starts[s:] is added to each pixel. Only where the processor multiplies pairs (`PAIRS`); knows nothing of
projections.
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

from neuro.engine.lanes import QUADS

OUTPUTS, GROUP = 16, 4  # target channels of a tile; source channels of a step
PIXELS = 8 if QUADS else 4  # of the largest tile
_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def load(builder: Any, pointer: Any, kind: Any) -> Any:
    return builder.load(builder.bitcast(pointer, kind.as_pointer()), align=1)


def everywhere(builder: Any, value: Any, lanes: int) -> Any:
    """A vector with one value in every lane."""
    kind = ir.VectorType(value.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes))


def pairs_of_words(builder: Any, a: Any, b: Any) -> Any:
    """Neighbouring products of 16 numbers of 16 bits added: 8 of 32 bits."""
    words, sums = ir.VectorType(_I16, 16), ir.VectorType(_I32, 8)
    product = cgutils.get_or_insert_function(builder.module, ir.FunctionType(sums, (words, words)), "llvm.x86.avx2.pmadd.wd")
    return builder.call(product, (a, b))


def _held(octets: bool) -> tuple[int, Any, int]:
    """In how many vectors the sums of a pixel are held, of which kind, and their channels in a vector once they are added up."""
    if QUADS:
        return (1 if octets else 2), ir.VectorType(_I32, 16), 16
    return (2, ir.VectorType(_I16, 16), 8) if octets else (4, ir.VectorType(_I32, 8), 8)


def _added(builder: Any, octets: bool, sums: Any, values: Any, weights: Any) -> Any:
    """Sums, and to each of them two products of 16 bits or of bytes without sign and with one, or four of these."""
    if QUADS:
        name, kind = f"llvm.x86.avx512.{'vpdpbusd' if octets else 'vpdpwssd'}.512", sums.type
        given = (sums, builder.bitcast(values, kind), builder.bitcast(weights, kind))
        return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, (kind,) * 3), name), given)
    if not octets:
        return builder.add(sums, pairs_of_words(builder, builder.bitcast(values, ir.VectorType(_I16, 16)), weights))
    bytes_ = ir.VectorType(_I8, 32)
    kind = ir.FunctionType(sums.type, (bytes_, bytes_))
    product = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx2.pmadd.ub.sw")
    return builder.add(sums, builder.call(product, (builder.bitcast(values, bytes_), weights)))


def _halves_joined(builder: Any, one: Any, other: Any) -> Any:
    """Neighbouring lanes of two vectors added: one as long."""
    lanes = one.type.count
    kind = ir.VectorType(_I32, lanes)
    both = [builder.shuffle_vector(one, other, ir.Constant(kind, list(range(first, 2 * lanes, 2)))) for first in (0, 1)]
    return builder.add(*both)


def _starts(builder: Any, starts: Any, bits: int, lanes: int) -> list[Any]:
    """What is added to each pixel, so many channels in a vector."""
    kind, narrow = ir.VectorType(ir.IntType(bits), lanes), ir.VectorType(_I32, lanes)
    found = [load(builder, builder.gep(starts, [_I64(first)]), kind) for first in range(0, OUTPUTS, lanes)]
    return [builder.trunc(one, narrow) if bits > 32 else one for one in found]


def _sums(builder: Any, found: list[Any], octets: bool) -> list[Any]:
    """The sums of a pixel, 8 or 16 channels in a vector of 32 bits, from those of its pairs or quads of channels."""
    if octets and QUADS:
        return found
    if octets:
        ones = ir.Constant(ir.VectorType(_I16, 16), [1] * 16)
        return [pairs_of_words(builder, one, ones) for one in found]
    return [_halves_joined(builder, *found[i : i + 2]) for i in range(0, len(found), 2)]


def _tile(count: int, octets: bool) -> Callable[..., Any]:
    """The intrinsic for a tile of `count` pixels."""

    def typing(acc: Any, weights: Any, values: Any, starts: Any) -> Any:
        u = types.uint64
        return types.void(acc, u, u, weights, u, u, values, u, u, u, starts, u)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def pointer(i: int) -> Any:
            return context.make_array(signature.args[i])(context, builder, args[i]).data

        acc_bits, weight_bits = signature.args[0].dtype.bitwidth, signature.args[3].dtype.bitwidth
        at, apart, w, jump, v, stride, steps, s = (args[i] for i in (1, 2, 4, 5, 7, 8, 9, 11))
        acc, weights, values = pointer(0), builder.gep(pointer(3), [w]), builder.gep(pointer(6), [v])
        starts = builder.gep(pointer(10), [s])
        at_pixel = [builder.gep(values, [builder.mul(stride, _I64(k))]) for k in range(count)]
        parts, sums, lanes = _held(octets)
        held = [[cgutils.alloca_once(builder, sums) for _ in range(parts)] for _ in range(count)]
        for row in held:
            for place in row:
                builder.store(ir.Constant(sums, [0] * sums.count), place)

        def weights_of(step: Any, part: int) -> Any:
            each = OUTPUTS * GROUP // parts
            place = builder.gep(weights, [builder.add(builder.mul(step, jump), _I64(part * each))])
            found = load(builder, place, ir.VectorType(ir.IntType(weight_bits), each))
            return found if octets or weight_bits == 16 else builder.sext(found, ir.VectorType(_I16, each))

        def value_of(pixel: Any, step: Any) -> Any:
            place = builder.gep(pixel, [builder.mul(step, _I64(GROUP))])
            return everywhere(builder, load(builder, place, _I32 if octets else _I64), OUTPUTS // parts)

        with cgutils.for_range(builder, steps) as loop:
            rows = [weights_of(loop.index, part) for part in range(parts)]
            for pixel, row in zip(at_pixel, held, strict=True):
                value = value_of(pixel, loop.index)
                for place, weight in zip(row, rows, strict=True):
                    builder.store(_added(builder, octets, builder.load(place), value, weight), place)
        first = _starts(builder, starts, signature.args[10].dtype.bitwidth, lanes)
        for k, row in enumerate(held):
            sums_of_pixel = _sums(builder, [builder.load(place) for place in row], octets)
            for h, (half, start) in enumerate(zip(sums_of_pixel, first, strict=True)):
                kind = ir.VectorType(ir.IntType(acc_bits), lanes)
                lane = builder.add(builder.add(at, builder.mul(apart, _I64(k))), _I64(lanes * h))
                place = builder.bitcast(builder.gep(acc, [lane]), kind.as_pointer())
                total = builder.add(half, start)
                total = builder.trunc(total, kind) if acc_bits < 32 else total
                builder.store(builder.add(builder.load(place, align=acc_bits // 8), total), place, align=acc_bits // 8)
        return context.get_dummy_value()

    return lambda typingctx, acc, at, apart, weights, w, jump, values, v, stride, steps, starts, s: (
        typing(acc, weights, values, starts),
        codegen,
    )


def _plain(count: int) -> Callable[..., None]:
    """The same in NumPy, for runs with the compiler off."""

    def add(
        acc: Any, at: int, apart: int, weights: Any, w: int, jump: int, values: Any, v: int, stride: int, steps: int, starts: Any,
        s: int,
    ) -> None:  # fmt: skip
        at, apart, w, jump, v, stride, steps, s = map(int, (at, apart, w, jump, v, stride, steps, s))
        rows = np.stack([weights[w + k * jump : w + k * jump + OUTPUTS * GROUP] for k in range(steps)]).astype(np.int64)
        matrix = rows.reshape(steps, OUTPUTS, GROUP).swapaxes(1, 2).reshape(steps * GROUP, OUTPUTS)
        for k in range(count):
            row = values[v + k * stride : v + k * stride + steps * GROUP].astype(np.int64)
            place = slice(at + k * apart, at + k * apart + OUTPUTS)
            acc[place] = (acc[place] + row @ matrix + starts[s : s + OUTPUTS]).astype(acc.dtype)

    return add


def _intrinsic(count: int, octets: bool) -> Callable[..., Any]:
    made: Callable[..., Any] = _plain(count) if numba.config.DISABLE_JIT else intrinsic(_tile(count, octets))
    return made


bytes4, bytes1, words4, words1 = (_intrinsic(count, octets) for octets in (True, False) for count in (4, 1))
bytes_most, words_most = (_intrinsic(PIXELS, octets) for octets in (True, False))
