"""Neurons that hold a current, once nothing more arrives: all steps that are left, of 64 neurons at a time.

The charge of each is then the same at every step, so potentials stay in registers while step after step marks who fires, 64 to
a word; lists are written from those words, row by row. A first population whose inputs are sent once spends all its steps but one
so. The arithmetic of `engine.fire.held`, for potentials that with any charge fit 32 bits (`short`); places as there.
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

from neuro.compiled import addressed, inner
from neuro.engine import tables as T
from neuro.engine.invoke import address_of
from neuro.engine.lanes import LONG
from neuro.engine.sent import list_bits
from neuro.engine.tables import U
from neuro.engine.tiles import everywhere
from neuro.specification import IntArray

WORD = 64  # neurons
TOGETHER = WORD if LONG else WORD // 2  # of which registers hold potentials, charges and counts
POTENTIALS, CHARGES, FIRED, ROOM = 0, WORD, 2 * WORD, 3 * WORD  # places of the scratch memory
MESSAGES, UPDATES, DRIVEN, RESTLESS = range(1, 5)  # rows of the totals
STEPS = 32  # for which a word of each 32 neurons has room
WORTH = 3  # steps of a call from which on it pays to look whether anything arrives
_I64 = ir.IntType(64)


class _Steps:
    """The code of one call of `fire_steadily`: what it is given, and the values that it makes of it."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        def array(k: int) -> Any:
            return context.make_array(signature.args[k])(context, builder, args[k]).data

        self.builder, self.lanes = builder, ir.VectorType(ir.IntType(32), TOGETHER)
        self.scratch, self.idle = array(0), array(9)
        self.masks, self.apart, self.steps = builder.gep(array(1), [args[2]]), args[3], args[4]
        named = [everywhere(builder, builder.trunc(value, ir.IntType(32)), TOGETHER) for value in args[5:9]]
        self.threshold, self.keep, self.limit, self.below = named
        for part in range(WORD // TOGETHER):
            self.part(part)

    def part(self, part: int) -> None:
        """As many neurons as registers hold; where some are without a charge, those at rest are counted too."""
        builder = self.builder
        drive = builder.load(self.place(CHARGES, part), align=4)
        without = builder.icmp_signed("==", drive, self.lanes([0] * TOGETHER))
        any_without = builder.icmp_unsigned("!=", self.bits(without), ir.IntType(TOGETHER)(0))
        with builder.if_else(any_without) as (some, none):
            with some:
                self.loop(part, drive, without)
            with none:
                self.loop(part, drive, None)

    def loop(self, part: int, drive: Any, without: Any) -> None:
        builder, zeros, ones = self.builder, self.lanes([0] * TOGETHER), self.lanes([1] * TOGETHER)
        potential = cgutils.alloca_once_value(builder, zeros)
        count = cgutils.alloca_once_value(builder, zeros)
        builder.store(builder.load(self.place(POTENTIALS, part), align=4), potential)
        builder.store(zeros, count)
        with cgutils.for_range(builder, self.steps) as loop:
            before, sent = builder.load(potential), builder.load(count)
            if without is not None:
                at_rest = builder.and_(without, builder.icmp_signed("==", before, zeros))
                idle = builder.gep(self.idle, [loop.index])
                found = builder.zext(builder.ctpop(self.bits(at_rest)), _I64)
                builder.store(builder.add(builder.load(idle), found), idle)
            x = self.chosen(">", builder.add(before, drive), self.below)
            x = self.chosen("<", x, self.limit)
            fires = builder.icmp_signed(">=", x, self.threshold)
            word = builder.gep(self.masks, [builder.mul(loop.index, self.apart)])
            pointer = builder.bitcast(word, ir.IntType(TOGETHER).as_pointer())
            builder.store(self.bits(fires), builder.gep(pointer, [_I64(part)]), align=TOGETHER // 8)
            reset = builder.and_(builder.sub(x, self.threshold), self.keep)
            builder.store(builder.select(fires, reset, x), potential)
            builder.store(builder.select(fires, builder.add(sent, ones), sent), count)
        builder.store(builder.load(potential), self.place(POTENTIALS, part), align=4)
        builder.store(builder.load(count), self.place(FIRED, part), align=4)

    def place(self, first: int, part: int) -> Any:
        at = self.builder.gep(self.scratch, [_I64(first + part * TOGETHER)])
        return self.builder.bitcast(at, self.lanes.as_pointer())

    def bits(self, chosen: Any) -> Any:
        return self.builder.bitcast(chosen, ir.IntType(TOGETHER))

    def chosen(self, how: str, one: Any, other: Any) -> Any:
        return self.builder.select(self.builder.icmp_signed(how, one, other), one, other)


def _fire_steadily(
    typingctx: Any, scratch: Any, masks: Any, m: Any, apart: Any, steps: Any, threshold: Any, keep: Any, limit: Any, below: Any,
    idle: Any,
) -> Any:  # fmt: skip
    """Take the WORD neurons whose POTENTIALS and CHARGES are in scratch memory through some steps: who fires in step t is in the
    bits of masks[m + t * apart], how often in FIRED; idle[t] gets those added that have neither charge nor potential.

    keep: -1 where a threshold is taken off, 0 where potentials are set to 0; `below` is -limit."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _Steps(context, builder, signature, args)
        return context.get_dummy_value()

    u, i = types.uint64, types.int64
    return types.void(scratch, masks, u, u, u, i, i, i, i, idle), codegen


def _plain_steadily(
    scratch: Any, masks: Any, m: int, apart: int, steps: int, threshold: int, keep: int, limit: int, below: int, idle: Any
) -> None:
    """The same in NumPy, for runs with the compiler off."""
    x, drive = scratch[:WORD].astype(np.int64), scratch[CHARGES:FIRED].astype(np.int64)
    count = np.zeros(WORD, np.int64)
    for t in range(int(steps)):
        idle[t] += int(((x == 0) & (drive == 0)).sum())
        x = np.clip(x + drive, below, limit)
        fires = x >= threshold
        masks[int(m) + t * int(apart)] = int.from_bytes(np.packbits(fires, bitorder="little").tobytes(), "little")
        x, count = np.where(fires, (x - threshold) & keep, x), count + fires
    scratch[:WORD], scratch[FIRED:] = x, count


fire_steadily: Callable[..., Any] = _plain_steadily if numba.config.DISABLE_JIT else intrinsic(_fire_steadily)


@inner
def quiet_from(
    p: Any, projections: Any, populations: Any, begins: IntArray, ends: IntArray, sample: int, base: int, begin: int, until: int
) -> int:
    """The step from which on, of steps [begin, until), nothing arrives at a population; at the earliest that in which it is
    switched on."""
    quiet = max(begin, p.start)
    for k in range(p.first_projection, p.first_projection + p.projections):
        q = projections[k]
        source = populations[q.source]
        for row in range(source.rows):
            segment = source.segment_at + sample * source.segment_sample + row * source.segment_row - q.delay - base
            t = until
            while t > quiet and (t - 1 - q.delay < base or begins[segment + t - 1] == ends[segment + t - 1]):
                t -= 1
            quiet = t
    return int(quiet)


@inner
def take_in(p: Any, state: IntArray, bias: IntArray, v: int, b: int, n: int, scratch: IntArray) -> Any:
    """Potentials and charges of n neurons to scratch memory, behind them neurons that do nothing; returns how many have no
    charge."""
    undriven, current = np.int64(0), v + U(p.aux_at - p.v_at)
    for j in range(n):
        scratch[j] = state[v + j]
        drive = np.int32(state[current + j] + bias[b + j])
        scratch[U(CHARGES) + j] = drive
        undriven += np.int64(drive == 0)
    for j in range(n, U(WORD)):
        scratch[j] = -1
        scratch[U(CHARGES) + j] = 0
    return undriven


@inner
def put_back(scratch: IntArray, n: int, state: IntArray, v: int, counts: IntArray, c: int) -> None:
    for j in range(n):
        state[v + j] = scratch[j]
        counts[c + j] += np.uint16(scratch[U(FIRED) + j])


@addressed
def steady(p: Any, index: int, slot: int, steps: int, sample: int, first: int, last: int, context: Any) -> Any:
    """Take rows [first, last) of a population through some steps in which nothing arrives. They are listed, and counted in the
    totals, as if they had been taken step by step."""
    bias, state, counts, totals, (lists, payloads, begins, ends), masks, idle, scratch = context[0]
    keep, limit = np.int64(-1 if p.subtract else 0), np.int64(p.limit)
    for y in range(first, last):
        neurons = U(min(p.lanes, p.size - y * p.lanes))
        lane, b = U(sample * p.size + y * p.lanes), U(p.bias_at + y * p.bias_row)
        words = (neurons + U(WORD - 1)) // U(WORD)
        segment = p.segment_at + sample * p.segment_sample + y * p.segment_row + slot
        at = ends[segment - 1] if slot > 0 else p.list_at + sample * p.list_sample + y * p.list_row
        for begin in range(0, steps, idle.size):
            some = min(steps - begin, idle.size)
            for t in range(some):
                idle[t] = 0
            undriven = np.int64(0)
            for word in range(words):
                at_word = word * U(WORD)
                n = min(neurons - at_word, U(WORD))
                undriven += take_in(p, state, bias, U(p.v_at) + lane + at_word, b + at_word, n, scratch)
                fire_steadily(scratch, masks, word, words, U(some), p.threshold, keep, limit, -limit, idle)
                put_back(scratch, n, state, U(p.v_at) + lane + at_word, counts, U(p.count_at) + lane + at_word)
            for t in range(some):
                now = slot + begin + t
                begins[segment + begin + t] = at
                found = list_bits(masks, U(t) * words, words, lists, at)
                at += found
                ends[segment + begin + t] = at
                totals[index, MESSAGES, now] += found
                totals[index, UPDATES, now] += np.int64(neurons)
                totals[index, DRIVEN, now] += np.int64(neurons) - undriven
                totals[index, RESTLESS, now] += np.int64(neurons) - idle[t]
    return np.int64(0)


def _kinds() -> tuple[Any, ...]:
    def array(kind: Any, dimensions: int = 1) -> Any:
        return types.Array(numba.from_dtype(np.dtype(kind)), dimensions, "C")

    spikes = types.Tuple((array(np.uint32), array(np.int32), array(np.int64), array(np.int64)))
    held = (array(np.int32), array(np.int32), array(np.uint16), array(np.int64, 3), spikes)
    context = types.CPointer(types.Tuple((*held, array(np.uint64), array(np.int64), array(np.int32))))
    return (numba.from_dtype(T.POPULATION), *(types.int64,) * 6, context)


def steady_address(p: Any) -> Any:
    """Where `steady` begins, for the record of a population whose neurons it knows; 0 for others."""
    if p["model"] != T.IF or p["hold"] != T.HELD or not p["short"]:
        return 0
    return address_of(steady, () if numba.config.DISABLE_JIT else _kinds())
