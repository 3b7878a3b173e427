"""Compiled loops: a block of samples through all populations, one neuron after the other, `SIDE` samples side by side.

All is in one memory of rows of `SIDE` integers: `ROOM` rows for the neuron at work, then what each neuron sent, then sums that
products of shared weights have made. Synapses add rows to rows; a row that arrives alone is read where it lies. The arithmetic
of `neuro.neurons.value`, of potentials up to 2^24, so that sums fit 32 bits; what is multiplied either fits 32 bits, or is
computed in doubles that hold it exactly, as the plan has proven, or in 64 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import compiled, inner
from neuro.engine import tables as T
from neuro.engine.batch.rowwise import LANES, SIDE, add_rows, combine_long, combine_short, largest, long, mark, put, scaled, word
from neuro.engine.batch.tiles import OUTPUTS, pairs4
from neuro.engine.lanes import HALF
from neuro.engine.tables import U
from neuro.engine.values import entry_of, restored

ROOM = 10  # rows of the neuron at work; MASK is -1 for samples that are, NOWHERE is never read
DRIVE, FIRST, SECOND, HELD, OTHER, SUM, BEFORE, ZERO, MASK, NOWHERE = (U(SIDE * row) for row in range(ROOM))
LOWEST, STEP = 2**31 - 1, 4  # words of a step: elapsed, whether it is the one with which it computes, lists of ports 0 and 1
I32, I64 = np.int32, np.int64


@inner
def multiply(q: Any, rows: Any, matrix: Any, memory: Any, packed: Any) -> None:
    """Shared weights times what their sources sent, position by position; values two by two, as 16 bits of a word each."""
    for position in range(q.positions):
        for k in range(q.pairs):
            at = q.rows_at + 2 * (position * q.pairs + k)
            a, b, o = U(word(rows, U(at))), U(word(rows, U(at + 1))), U(k * SIDE)
            for i in range(U(SIDE)):
                put(packed, o + i, I32(I32(word(memory, a + i) & 0xFFFF) | I32(word(memory, b + i) << 16)))
        for block in range(q.blocks):
            at, w = U((q.made_at + (position * q.blocks + block) * OUTPUTS) * SIDE), U(q.matrix_at + block * q.pairs * OUTPUTS)
            for lane in range(0, SIDE, HALF):
                pairs4(memory, at + U(lane), U(SIDE), matrix, w, packed, U(lane), U(SIDE), U(q.pairs))


@inner
def charge(memory: Any, lists: Any, at: int, j: int, o: Any) -> Any:
    """Where what arrives for neuron j lies: in the row that arrives alone, or added up in row o. at: of the pointers, or -1."""
    starts, sources, weights = lists
    if at < 0:
        return ZERO
    begin, end = U(word(starts, U(at + j))), U(word(starts, U(at + j + 1)))
    if begin == end:
        return ZERO
    if end - begin == U(1) and word(weights, begin) == 1:
        return U(word(sources, begin))
    add_rows(memory, o, sources, weights, begin, end)
    return o


@inner
def clip(x: Any, limit: Any) -> Any:
    return min(max(x, I32(-limit)), limit)


@inner
def gather(p: Any, mode: int, memory: Any, charged: Any, held: Any, o: Any) -> Any:
    """What a port holds after a step, in row o, or in the row where it adds up."""
    limit = I32(p.limit)
    if mode == T.FRESH:
        for i in range(U(SIDE)):
            put(memory, o + i, clip(word(memory, charged + i), limit))
        return o
    for i in range(U(SIDE)):
        put(memory, held + i, clip(I32(word(memory, held + i) + word(memory, charged + i)), limit))
    return held


@inner
def combine(p: Any, b: Any, memory: Any, one: Any, two: Any, drive: Any, driven: Any, first: bool, totals: Any, t: Any) -> None:
    """What ports and the steps before have brought, in row SUM; drive, driven: rows of what arrived."""
    limit, sums, rows = I32(p.limit), p.combine == T.DOT, (SUM, one, two, drive, driven)
    if p.combine == T.MAXIMUM:
        largest(memory, SUM, rows, (I32(-LOWEST) if first else I32(0), I32(0) if first else I32(-1)), totals, t)
    elif b.short:
        combine_short(memory, SUM, rows, (I32(-1 if sums else 0), I32(p.shift & 31), I32(-limit), limit), totals, t)
    else:
        keep, scale = np.float64(1 if sums else 0), 1.0 / np.float64(I64(1) << p.shift)
        combine_long(memory, SUM, rows, (keep, scale, np.float64(-limit), np.float64(limit)), totals, t)


@inner
def finish(
    p: Any, b: Any, own: Any, j: int, memory: Any, x: Any, drive: Any, driven: Any, before: Any, at: Any, totals: Any, t: Any
) -> None:
    """The values for what was combined in row x, in row `at`: biased, scaled, clipped, looked up."""
    o, apart, limit = U(p.bias_at + j * b.stride), U(p.parameters_apart), I32(p.limit)
    bias, factor, shift = word(own, o), word(own, o + apart), I64(word(own, o + U(2) * apart))
    half = (I64(1) << shift) >> 1 if p.rounds else I64(word(own, o + U(3) * apart))
    low, high = word(own, o + U(4) * apart), word(own, o + U(5) * apart)
    rows, scale = (x, drive, driven, before, MASK), 1.0 / np.float64(I64(1) << shift)
    bounds = np.float64(low), np.float64(high)
    scaled(memory, at, rows, (bias, I32(-limit), limit, np.float64(factor), np.float64(half), scale, *bounds), totals, t)
    if not b.doubles:
        for i in range(U(SIDE)):
            y = I64(clip(I32(word(memory, x + i) + bias), limit))
            put(memory, at + i, I32(min(max((y * factor + half) >> shift, I64(low)), I64(high))))
    if p.table == T.DIRECT:
        table = p.table_at - I64(low)
        for i in range(U(SIDE)):
            put(memory, at + i, word(own, U(table + word(memory, at + i))))
    elif p.table != T.NO_TABLE:
        for i in range(U(SIDE)):
            index, place = entry_of(p, max(I64(word(memory, at + i)), I64(1)))
            put(memory, at + i, I32(restored(p, I64(word(own, U(p.table_at + index))), place)))


@inner
def value(p: Any, b: Any, j: int, steps: Any, lists: Any, own: Any, memory: Any, totals: Any) -> None:
    """One value neuron through the steps in which something can happen to it."""
    sums, at = p.combine == T.DOT or p.combine == T.MAXIMUM, U((b.first + j) * SIDE)
    if sums or not b.within:
        for i in range(U(SIDE)):
            put(memory, HELD + i, I32(0))
            put(memory, OTHER + i, I32(0))
            put(memory, SUM + i, I32(0))
    for s in range(b.step_from, b.step_to):
        at_step = U(STEP * s)
        elapsed, last = long(steps, at_step), long(steps, at_step + U(1)) != 0
        drive = charge(memory, lists, long(steps, at_step + U(2)), j, FIRST)
        driven = charge(memory, lists, long(steps, at_step + U(3)), j, SECOND) if p.ports > 1 else drive
        one, two = drive, driven
        if not b.within:
            for i in range(U(SIDE)):
                put(memory, DRIVE + i, I32(word(memory, drive + i) | word(memory, driven + i)))
            one = gather(p, p.port0, memory, drive, HELD, FIRST)
            two = gather(p, p.port1, memory, driven, OTHER, SECOND) if p.ports > 1 else one
            drive = driven = DRIVE
        t = U(2 * LANES * s)
        before = ZERO
        if last and sums:
            before = BEFORE
            for i in range(U(SIDE)):
                put(memory, BEFORE + i, word(memory, SUM + i))
        if sums or (last and p.combine != T.CHARGE):
            combine(p, b, memory, one, two, drive, driven, elapsed == 0, totals, U(0) if last else t)
            one = SUM
        if last:
            finish(p, b, own, j, memory, one, drive, driven, before, at, totals, t)
        elif not sums:
            note(memory, drive, driven, totals, t)


@inner
def note(memory: Any, drive: Any, driven: Any, totals: Any, t: Any) -> None:
    """Count samples in which something arrived, in a step that only gathers."""
    combine_short(memory, NOWHERE, (ZERO, ZERO, ZERO, drive, driven), (I32(0), I32(0), I32(0), I32(0)), totals, t)


@inner
def read(p: Any, b: Any, j: int, steps: Any, lists: Any, memory: Any, totals: Any) -> None:
    """One neuron of a readout, whose potential is what it leaves."""
    at, limit = U((b.first + j) * SIDE), I64(p.limit)
    for i in range(U(SIDE)):
        put(memory, at + i, I32(0))
    for s in range(b.step_from, b.step_to):
        drive, t = charge(memory, lists, long(steps, U(STEP * s + 2)), j, FIRST), U(2 * LANES * s)
        combine_short(memory, NOWHERE, (at, ZERO, ZERO, drive, ZERO), (I32(0), I32(0), I32(0), I32(0)), totals, t)
        for i in range(U(SIDE)):
            put(memory, at + i, I32(min(max(I64(word(memory, at + i)) + word(memory, drive + i), -limit), limit)))


@compiled
def advance(
    populations: Any, batched: Any, steps: Any, products: Any, lists: Any, rows: Any, matrix: Any, own: Any, memory: Any,
    packed: Any, spikes: Any, width: int, sent: Any, totals: Any, first: int, samples: int,
) -> None:  # fmt: skip
    """Take a block of up to SIDE samples, whose sources have sent, through all other populations.

    spikes (neurons, width) and sent (neurons,) collect what is sent, totals (steps of populations, 2, LANES) in how many samples
    neurons were driven, and restless. All but populations, batched, products and sent are addresses.
    """
    for i in range(U(SIDE)):
        put(memory, ZERO + i, I32(0))
        put(memory, MASK + i, I32(-1 if i < U(samples) else 0))
    for index in range(len(populations)):
        p, b = populations[index], batched[index]
        for k in range(b.product_from, b.product_to):
            multiply(products[k], rows, matrix, memory, packed)
        for j in range(p.size):
            if p.model == T.VALUE:
                value(p, b, j, steps, lists, own, memory, totals)
                row = U(b.number + j)
                sent[row] += mark(memory, U((b.first + j) * SIDE), MASK, spikes, row * U(width) + U(first))
            elif p.model == T.READOUT:
                read(p, b, j, steps, lists, memory, totals)


@compiled
def collect(rows: Any, at: Any, neurons: Any, payloads: Any) -> None:
    """List what is not 0 of rows (neurons, SIDE), sample by sample; at (samples,): where each sample's list begins, moved on."""
    for j in range(len(rows)):
        for s in range(len(at)):
            payload = rows[j, s]
            if payload != 0:
                neurons[at[s]], payloads[at[s]] = j, payload
                at[s] += 1
