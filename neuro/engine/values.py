"""Compiled value neurons: one row of them gathers, combines, scales, looks up and sends. The arithmetic of `neuro.neurons.value`.

Arguments and results are those of `engine.fire`. `acc` has the charges of port 0, `other` those of port 1. What a neuron has
for itself lies behind its bias, one array after the other. Nothing here can leave 64 bits: ports and what is combined of them
saturate below 2^30, multipliers stay within 2^30, and halves of a power of two within 2^46.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import inner
from neuro.engine import tables as T
from neuro.engine.tables import U

I32, I64 = np.int32, np.int64


@inner
def gathered(p: Any, mode: int, state: Any, at: Any, charge: Any, phase: int, anew: Any) -> Any:
    """What a port holds after this step; its state is renewed. anew: whether changes begin at 0."""
    limit = I64(p.limit)
    total = min(max(charge, -limit), limit)
    if mode != T.FRESH:
        before = I64(state[at])
        if mode == T.CHANGES:
            total = min(max((I64(0) if anew else before) + charge, -limit), limit)
        elif phase >= p.gather:
            total = before
        elif phase > 0:
            total = min(max((before << 1 if mode == T.DIGIT_PORT else before) + charge, -limit), limit)
        state[at] = total
    return total


@inner
def combined(p: Any, first: Any, second: Any, before: Any, phase: int) -> Any:
    """The ports as one number, with what the steps before have brought."""
    limit, x = I64(p.limit), first
    if p.combine == T.MAXIMUM:
        x = max(first, second) if p.ports > 1 else first
        x = max(before, x) if phase > 0 else x
    elif p.combine != T.CHARGE:
        x = (first * second) >> p.shift
        if p.combine == T.DOT and phase > 0:
            x += before
        x = min(max(x, -limit), limit)
    return x


@inner
def entry_of(p: Any, x: Any) -> Any:
    """Which entry of the table the bits behind the leading one choose, and the place of that."""
    leading, by = I64(0), I64(16)
    while by > 0:
        leading += by if x >> (leading + by) > 0 else I64(0)
        by >>= 1
    if p.table == T.RECIPROCAL:
        return ((x << p.bits) >> leading) - (I64(1) << p.bits), leading
    kept = p.bits - 1
    return (((x << kept) >> leading) - (I64(1) << kept)) + ((leading & 1) << kept), leading >> 1


@inner
def restored(p: Any, entry: Any, place: Any) -> Any:
    """An entry moved back by the place of the leading bit."""
    by = p.point - place
    down = min(max(-by, I64(0)), I64(40))
    moved = entry << min(by, I64(24)) if by >= 0 else (entry + ((I64(1) << down) >> 1)) >> down
    return min(max(moved, p.minimum), p.maximum)


@inner
def valued(p: Any, x: Any, bias: Any, b: Any) -> Any:
    """The value for a combined number, whose bias has joined: scaled, clipped, looked up."""
    apart = U(p.parameters_apart)
    shift = I64(bias[b + U(2) * apart])
    half = (I64(1) << shift) >> 1 if p.rounds else I64(bias[b + U(3) * apart])
    y = (x * bias[b + apart] + half) >> shift
    y = min(max(y, I64(bias[b + U(4) * apart])), I64(bias[b + U(5) * apart]))
    if p.table == T.DIRECT:
        y = I64(bias[U(p.table_at + y - I64(bias[b + U(4) * apart]))])
    elif p.table != T.NO_TABLE:
        index, place = entry_of(p, max(y, I64(1)))
        y = restored(p, I64(bias[U(p.table_at + index)]), place)
    return y


@inner
def emitted(p: Any, y: Any, state: Any, at: Any, phase: int, full: Any) -> Any:
    """The message for a value, which is 0 before and after the step in which it is computed. full: whether all of it is sent."""
    last = phase == p.gather - 1
    if p.emit == T.SEND_VALUE:
        message = y
    elif p.emit == T.SEND_CHANGE:
        message = y - I64(state[at]) if last else I64(0)
        message = message if abs(message) >= p.dead_zone or full else I64(0)
        state[at] += message
        message = y if full and last else message
    else:
        left, place = y if last else I64(state[at]), p.digits - 1 - (phase - p.gather + 1)
        message = I64(0)
        if 0 <= place < p.digits:
            message = (abs(left) >> place) * (I64(1) if left >= 0 else I64(-1))
            left -= message << place
        state[at] = left
    return message


@inner
def value(
    p: Any, elapsed: int, state: Any, v: Any, acc: Any, other: Any, a: Any, bias: Any, b: Any, n: Any, fired: Any, sent: Any,
    f: Any,
) -> Any:  # fmt: skip
    phase = elapsed % p.period
    driven, restless = I32(0), I32(0)
    limit, stride, sums = I64(p.limit), U(p.state_stride), p.combine == T.DOT or p.combine == T.MAXIMUM
    port0, port1, sent_at = v + U(p.port0_at) * stride, v + U(p.port1_at) * stride, v + U(p.sent_at) * stride
    frame = elapsed // p.period % p.refresh if p.refresh > 0 else -1
    anew0, anew1 = phase == 0 and frame == p.refresh0, phase == 0 and frame == p.refresh1
    full = frame == p.refresh_sent
    for j in range(n):
        before, charge, charge1 = I64(state[v + j]), I64(acc[a + j]), I64(0)
        first, second = gathered(p, p.port0, state, port0 + j, charge, phase, anew0), I64(0)
        if p.ports > 1:
            charge1 = I64(other[a + j])
            second = gathered(p, p.port1, state, port1 + j, charge1, phase, anew1)
        drive, y = charge | charge1, I64(0)
        if phase < p.gather:
            x = combined(p, first, second, before, phase)
            if phase == p.gather - 1:
                x = min(max(x + bias[b + j], -limit), limit)
                drive |= x
                y = valued(p, x, bias, b + j)
                state[v + j] = 0
            elif sums:
                state[v + j] = x
        message = emitted(p, y, state, sent_at + j, phase, full)
        fired[f + j] = message != 0
        sent[f + j] = message
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless


@inner
def plain_value(p: Any, elapsed: int, acc: Any, a: Any, bias: Any, b: Any, n: Any, fired: Any, sent: Any, f: Any) -> Any:
    """Without any state: what arrives in the last step of a frame is scaled and looked up."""
    driven, limit = I32(0), I64(p.limit)
    if elapsed % p.period != p.gather - 1:
        for j in range(n):
            fired[f + j] = 0
            driven += I32(acc[a + j] != 0)
        return driven, driven
    for j in range(n):
        charge = I64(acc[a + j])
        x = min(max(min(max(charge, -limit), limit) + bias[b + j], -limit), limit)
        y = valued(p, x, bias, b + j)
        fired[f + j] = y != 0
        sent[f + j] = y
        driven += I32((charge | x) != 0)
    return driven, driven
