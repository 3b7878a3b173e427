"""Vector additions of weight rows into accumulators, as LLVM vectors of 32 lanes whatever the machine's width.

`add1 .. add8(acc, at, weights, halves, o0, ...)` add 1, 2, 4 or 8 rows of `16 * halves` weights that begin at o0, ... to
acc[at:]; `scaled1` first multiplies the row by a payload; `products1` and `products3` multiply lane by lane. Weights are widened
to the accumulator's type. `paired2 .. paired8` multiply rows by payloads of 16 bits, two rows at a time: where the processor
multiplies pairs of 16-bit numbers into 32 bits that takes a third of the instructions. `mask_of`, `lowest_bit`, `place_bits`
and `place_word` find set bytes, 64 at a time, and `place_values` what belongs to them; `below` how many of 16 ascending numbers
are less than another. Loops that LLVM vectorises by itself spend more time in remainders than in additions for rows this short.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES, HALF = 32, 16
_I64 = ir.IntType(64)


def _has(feature: str) -> bool:
    """Whether the processor that is compiled for is known to have a feature."""
    as_it_is = not numba.config.CPU_NAME and numba.config.CPU_FEATURES is None
    return as_it_is and bool(get_host_cpu_features().get(feature))


PAIRS = _has("avx2")  # it multiplies pairs of 16-bit numbers into 32 bits
LONG = PAIRS and _has("avx512bw")  # it has 32 registers of 512 bits
PLACED = HALF if LONG else 8  # bits whose places are written together
OCTETS = LONG and _has("avx512vbmi2")  # it picks bytes of a vector
QUADS = LONG and _has("avx512vnni")  # it multiplies four bytes and adds them up


def _rows(count: int, scaled: bool, paired: bool = False) -> Callable[..., Any]:
    """An intrinsic that adds `count` rows; with payloads when `scaled`, of 16 bits when `paired`."""

    def typing(acc: Any, weights: Any) -> Any:
        extra = (types.int64,) * (count if scaled else 0)
        return types.void(acc, types.uint64, weights, types.uint64, *(types.uint64,) * count, *extra)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        acc_type, weight_type = signature.args[0].dtype, signature.args[2].dtype
        acc = context.make_array(signature.args[0])(context, builder, args[0]).data
        weights = context.make_array(signature.args[2])(context, builder, args[2]).data
        target = builder.gep(acc, [args[1]])
        rows = [builder.gep(weights, [offset]) for offset in args[4 : 4 + count]]
        payloads = args[4 + count :]
        in_pairs = paired and PAIRS and acc_type.bitwidth == 32 and weight_type.bitwidth <= 16

        def vector(pointer: Any, lane: Any, lanes: int, kind: Any) -> tuple[Any, Any]:
            vectors = ir.VectorType(ir.IntType(kind.bitwidth), lanes)
            at = builder.bitcast(builder.gep(pointer, [lane]), vectors.as_pointer())
            return at, builder.load(at, align=kind.bitwidth // 8)

        def widened(value: Any, lanes: int, bits: int) -> Any:
            wide = ir.VectorType(ir.IntType(bits), lanes)
            return builder.sext(value, wide) if value.type != wide else value

        def add(lane: Any, lanes: int) -> None:
            at, total = vector(target, lane, lanes, acc_type)
            terms = [widened(vector(row, lane, lanes, weight_type)[1], lanes, acc_type.bitwidth) for row in rows]
            if scaled:
                factors = [_splat(builder, total.type, value) for value in payloads]
                terms = [builder.mul(term, factor) for term, factor in zip(terms, factors, strict=True)]
            builder.store(builder.add(total, _total(builder, terms)), at, align=acc_type.bitwidth // 8)

        def add_pairs(lane: Any, lanes: int) -> None:
            for first in range(0, lanes, HALF):
                at_lane = builder.add(lane, ir.Constant(_I64, first))
                terms = [widened(vector(row, at_lane, HALF, weight_type)[1], HALF, 16) for row in rows]
                low, high = [], []
                for i in range(0, count, 2):
                    pair = _splat(builder, ir.VectorType(ir.IntType(32), 8), _joined(builder, *payloads[i : i + 2]))
                    low.append(_products_of_pairs(builder, _mixed(builder, terms[i], terms[i + 1], _LOW), pair))
                    high.append(_products_of_pairs(builder, _mixed(builder, terms[i], terms[i + 1], _HIGH), pair))
                halves = _total(builder, low), _total(builder, high)
                for part, places in enumerate(_ORDER):
                    lane_of_part = builder.add(at_lane, ir.Constant(_I64, part * 8))
                    at, total = vector(target, lane_of_part, 8, acc_type)
                    builder.store(builder.add(total, _mixed(builder, *halves, places)), at, align=acc_type.bitwidth // 8)

        work, one = add_pairs if in_pairs else add, ir.Constant(_I64, 1)
        blocks = builder.lshr(args[3], one)
        with cgutils.for_range(builder, blocks) as loop:
            work(builder.mul(loop.index, ir.Constant(_I64, LANES)), LANES)
        with builder.if_then(builder.trunc(args[3], ir.IntType(1))):
            work(builder.mul(blocks, ir.Constant(_I64, LANES)), HALF)
        return context.get_dummy_value()

    arities: dict[tuple[int, bool], Callable[..., Any]] = {
        (1, False): lambda typingctx, acc, at, weights, halves, o0: (typing(acc, weights), codegen),
        (2, False): lambda typingctx, acc, at, weights, halves, o0, o1: (typing(acc, weights), codegen),
        (4, False): lambda typingctx, acc, at, weights, halves, o0, o1, o2, o3: (typing(acc, weights), codegen),
        (8, False): lambda typingctx, acc, at, weights, halves, o0, o1, o2, o3, o4, o5, o6, o7: (typing(acc, weights), codegen),
        (1, True): lambda typingctx, acc, at, weights, halves, o0, p0: (typing(acc, weights), codegen),
        (2, True): lambda typingctx, acc, at, weights, halves, o0, o1, p0, p1: (typing(acc, weights), codegen),
        (4, True): lambda typingctx, acc, at, weights, halves, o0, o1, o2, o3, p0, p1, p2, p3: (typing(acc, weights), codegen),
        (8, True): lambda typingctx, acc, at, weights, halves, o0, o1, o2, o3, o4, o5, o6, o7, p0, p1, p2, p3, p4, p5, p6, p7: (
            typing(acc, weights),
            codegen,
        ),
    }
    return arities[count, scaled]


# How 16 lanes of two rows are mixed so that neighbours are pairs, as AVX2 does it in one instruction, and put in order again.
_LOW = (0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11, 27)
_HIGH = tuple(place + 4 for place in _LOW)
_ORDER = ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))


def _mixed(builder: Any, one: Any, other: Any, places: tuple[int, ...]) -> Any:
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
    return builder.shuffle_vector(one, other, mask)


def _joined(builder: Any, first: Any, second: Any) -> Any:
    """Two payloads of 16 bits in one integer, the first below."""
    below = builder.and_(first, ir.Constant(_I64, 0xFFFF))
    return builder.or_(below, builder.shl(second, ir.Constant(_I64, 16)))


def _products_of_pairs(builder: Any, pairs: Any, payloads: Any) -> Any:
    """Of 16 numbers of 16 bits and as many factors the products, neighbours added: 8 numbers of 32 bits."""
    numbers, sums = pairs.type, ir.VectorType(ir.IntType(32), 8)
    product = cgutils.get_or_insert_function(builder.module, ir.FunctionType(sums, (numbers, numbers)), "llvm.x86.avx2.pmadd.wd")
    return builder.call(product, (pairs, builder.bitcast(payloads, numbers)))


def _total(builder: Any, terms: list[Any]) -> Any:
    while len(terms) > 1:
        terms = [builder.add(*terms[i : i + 2]) for i in range(0, len(terms), 2)]
    return terms[0]


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


def _addition(count: int, *, scaled: bool = False, paired: bool = False) -> Callable[..., Any]:
    added: Callable[..., Any] = _plain(count, scaled) if numba.config.DISABLE_JIT else intrinsic(_rows(count, scaled, paired))
    return added


def _product(count: int) -> Callable[..., Any]:
    product: Callable[..., Any] = _plain_products if numba.config.DISABLE_JIT else intrinsic(_products(count))
    return product


add1, add2, add4, add8 = (_addition(count) for count in (1, 2, 4, 8))
scaled1 = _addition(1, scaled=True)
paired2, paired4, paired8 = (_addition(count, scaled=True, paired=True) for count in (2, 4, 8))


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


def _compressed(builder: Any, values: Any, bits: Any) -> Any:
    """Those of 16 values whose bits are set, in front of zeros."""
    mask = builder.bitcast(builder.trunc(bits, ir.IntType(HALF)), ir.VectorType(ir.IntType(1), HALF))
    kind = ir.FunctionType(values.type, (values.type, values.type, mask.type))
    compress = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.mask.compress.v16i32")
    return builder.call(compress, (values, ir.Constant(values.type, [0] * HALF), mask))


def _place_values(typingctx: Any, payloads: Any, at: Any, sent: Any, place: Any, some: Any) -> Any:
    """Write those of the PLACED numbers from sent[place] whose bits are set to payloads[at:]; PLACED places, the rest anything.
    Only where the processor is LONG."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(ir.IntType(32), HALF).as_pointer()
        data, numbers = (context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 2))
        values = builder.load(builder.bitcast(builder.gep(numbers, [args[3]]), kind), align=4)
        target = builder.bitcast(builder.gep(data, [args[1]]), kind)
        builder.store(_compressed(builder, values, args[4]), target, align=4)
        return context.get_dummy_value()

    u = types.uint64
    return types.void(payloads, u, sent, u, u), codegen


def _place_bits(typingctx: Any, lists: Any, at: Any, base: Any, some: Any) -> Any:
    """Write base + the position of each of PLACED bits that is set to lists[at:], ascending; PLACED places, the rest anything."""

    def long(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = ir.VectorType(ir.IntType(32), HALF)
        places = builder.add(ir.Constant(lanes, list(range(HALF))), _splat(builder, lanes, args[2]))
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        target = builder.bitcast(builder.gep(data, [args[1]]), lanes.as_pointer())
        builder.store(_compressed(builder, places, args[3]), target, align=4)
        return context.get_dummy_value()

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, lanes = ir.VectorType(ir.IntType(8), 8), ir.VectorType(ir.IntType(32), 8)
        places = [[bit for bit in range(8) if octet >> bit & 1] for octet in range(256)]
        rows = ir.ArrayType(kind, 256)([kind(row + [0] * (8 - len(row))) for row in places])
        table = cgutils.global_constant(builder, "places_of_bits", rows)
        row = builder.load(builder.gep(table, [_I64(0), args[3]]), align=8)
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        target = builder.bitcast(builder.gep(data, [args[1]]), lanes.as_pointer())
        builder.store(builder.add(builder.zext(row, lanes), _splat(builder, lanes, args[2])), target, align=4)
        return context.get_dummy_value()

    u = types.uint64
    return types.void(lists, u, u, u), long if LONG else codegen


def _place_word(typingctx: Any, lists: Any, at: Any, base: Any, bits: Any) -> Any:
    """Write base + the position of each of 64 bits that is set to lists[at:], ascending; up to HALF places more, anything. Only
    where the processor picks OCTETS."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        octets, lanes = ir.VectorType(ir.IntType(8), 64), ir.VectorType(ir.IntType(32), HALF)
        mask = builder.bitcast(args[3], ir.VectorType(ir.IntType(1), 64))
        kind = ir.FunctionType(octets, (octets, octets, mask.type))
        compress = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.mask.compress.v64i8")
        places = builder.call(compress, (octets(list(range(64))), octets([0] * 64), mask))
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        target, first, found = builder.gep(data, [args[1]]), _splat(builder, lanes, args[2]), builder.ctpop(args[3])

        def write(part: int) -> None:
            some = builder.shuffle_vector(places, places, lanes(list(range(part, part + HALF))))
            at_part = builder.bitcast(builder.gep(target, [_I64(part)]), lanes.as_pointer())
            builder.store(builder.add(builder.zext(some, lanes), first), at_part, align=4)
            if part + HALF < 64:
                with builder.if_then(builder.icmp_unsigned(">", found, _I64(part + HALF)), likely=False):
                    write(part + HALF)

        write(0)
        return context.get_dummy_value()

    u = types.uint64
    return types.void(lists, u, u, u), codegen


def _below(typingctx: Any, lists: Any, at: Any, bound: Any) -> Any:
    """How many of lists[at:at + 16] come before the first that is not below the bound, which has 31 bits; all are read."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(ir.IntType(32), HALF)
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), kind.as_pointer())
        limit = _splat(builder, kind, args[2])
        others = builder.icmp_signed(">=", builder.load(place, align=4), limit)
        bits = builder.zext(builder.bitcast(others, ir.IntType(HALF)), _I64)
        return builder.cttz(builder.or_(bits, _I64(1 << HALF)), ir.IntType(1)(1))

    u = types.uint64
    return u(lists, u, u), codegen


def _plain_below(lists: Any, at: int, bound: int) -> int:
    others = np.flatnonzero(lists[int(at) : int(at) + HALF] >= bound)
    return int(others[0]) if others.size else HALF


def _plain_mask(flags: Any, at: int) -> Any:
    chosen = flags[int(at) : int(at) + 64] != 0
    return int.from_bytes(np.packbits(chosen, bitorder="little").tobytes(), "little")


def _plain_lowest_bit(bits: Any) -> int:
    return (int(bits) & -int(bits) or 1).bit_length() - 1  # of none, anything: it is overwritten


def _plain_ones(bits: int) -> Any:
    return int(bits).bit_count()


def _plain_place_bits(lists: Any, at: int, base: int, some: int) -> None:
    places = [bit for bit in range(PLACED) if some >> bit & 1]
    lists[int(at) : int(at) + len(places)] = [base + bit for bit in places]


def _plain_place_word(lists: Any, at: int, base: int, bits: int) -> None:
    places = [base + bit for bit in range(64) if bits >> bit & 1]
    lists[int(at) : int(at) + len(places)] = places


def _plain_place_values(payloads: Any, at: int, sent: Any, place: int, some: int) -> None:
    values = [sent[int(place) + bit] for bit in range(PLACED) if some >> bit & 1]
    payloads[int(at) : int(at) + len(values)] = values


products1, products3 = (_product(count) for count in (1, 3))
mask_of: Callable[..., Any] = _plain_mask if numba.config.DISABLE_JIT else intrinsic(_mask_of)
lowest_bit: Callable[..., Any] = _plain_lowest_bit if numba.config.DISABLE_JIT else intrinsic(_lowest_bit)
ones: Callable[..., Any] = _plain_ones if numba.config.DISABLE_JIT else intrinsic(_ones)
below: Callable[..., Any] = _plain_below if numba.config.DISABLE_JIT else intrinsic(_below)
place_bits: Callable[..., Any] = _plain_place_bits if numba.config.DISABLE_JIT else intrinsic(_place_bits)
place_word: Callable[..., Any] = _plain_place_word if numba.config.DISABLE_JIT else intrinsic(_place_word)
place_values: Callable[..., Any] = _plain_place_values if numba.config.DISABLE_JIT else intrinsic(_place_values)
