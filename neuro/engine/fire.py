"""Compiled neuron models: one row of neurons integrates its charges and marks who fires. The arithmetic of `neuro.neurons`.

Each takes the population's table, potentials and second state of the row, its charges and biases, the number of
neurons, `fired` (1 where a message is sent) and `sent` (its payload, written only by models that have payloads),
and returns how many neurons were driven and restless. Loops are plain so that they vectorise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import compiled, inlined
from neuro.engine.lanes import lowest_bit, mask_of
from neuro.engine.tables import CUBA, GRADED, IF, NARROW, RADIX, SIGNED, WAIT

I32 = np.int32


@compiled
def integrate_and_fire(p: Any, v: Any, acc: Any, bias: Any, n: int, fired: Any) -> Any:
    driven, restless = I32(0), I32(0)
    threshold, limit = I32(p.threshold), I32(p.limit)
    keep = I32(-1) if p.subtract else I32(0)
    for j in range(n):
        before = v[j]
        drive = I32(acc[j]) + bias[j]
        x = min(max(before + drive, -limit), limit)
        fires = x >= threshold
        fired[j] = fires
        v[j] = ((x - threshold) & keep) if fires else x
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless


@compiled
def held(p: Any, v: Any, current: Any, acc: Any, bias: Any, n: int, fired: Any) -> Any:
    """Integrate and fire with a current that keeps every charge."""
    driven, restless = I32(0), I32(0)
    threshold, limit = I32(p.threshold), I32(p.limit)
    keep = I32(-1) if p.subtract else I32(0)
    for j in range(n):
        before = v[j]
        current[j] += I32(acc[j])
        drive = current[j] + bias[j]
        x = min(max(before + drive, -limit), limit)
        fires = x >= threshold
        fired[j] = fires
        v[j] = ((x - threshold) & keep) if fires else x
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless


@compiled
def signed(p: Any, v: Any, count: Any, current: Any, acc: Any, bias: Any, n: int, fired: Any, sent: Any) -> Any:
    driven, restless = I32(0), I32(0)
    threshold, limit, lowest, highest = I32(p.threshold), I32(p.limit), I32(p.minimum), I32(p.maximum)
    for j in range(n):
        before = v[j]
        drive = I32(acc[j]) + bias[j]
        if p.hold:
            current[j] += I32(acc[j])
            drive = current[j] + bias[j]
        x = min(max(before + drive, -limit), limit)
        message = I32((x >= threshold) & (count[j] < highest)) - I32((x < 0) & (count[j] > lowest))
        v[j] = x - threshold * message
        count[j] += message
        fired[j] = message != 0
        sent[j] = message
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless


@compiled
def wait(p: Any, v: Any, current: Any, elapsed: int, acc: Any, bias: Any, n: int, fired: Any) -> Any:
    driven, restless = I32(0), I32(0)
    limit = I32(p.limit)
    gathering = elapsed < p.gather
    threshold = I32(p.threshold) if elapsed >= p.gather - 1 else I32(2**31 - 1)
    for j in range(n):
        before = v[j]
        drive = I32(0)
        if gathering:
            if p.hold:
                current[j] += I32(acc[j])
                drive = current[j] + bias[j]
            else:
                drive = I32(acc[j]) + bias[j]
        x = min(max(before + drive, -limit), limit)
        fires = x >= threshold
        fired[j] = fires
        v[j] = x - threshold if fires else x
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless


@compiled
def radix(p: Any, v: Any, elapsed: int, acc: Any, bias: Any, n: int, fired: Any) -> Any:
    driven, restless = I32(0), I32(0)
    limit = np.int64(p.limit)
    gathering = elapsed < p.gather
    last = elapsed == p.gather - 1
    worth = np.int64(p.threshold) << max(p.digits - 1 - (elapsed - p.gather + 1), 0)
    emitting = elapsed >= p.gather - 1
    for j in range(n):
        before = np.int64(v[j])
        drive = np.int64(0)
        x = before
        if gathering:
            drive = np.int64(acc[j]) + (np.int64(bias[j]) if last else 0)
            x = min(max(2 * before + drive, -limit), limit)
        fires = emitting & (x >= worth)
        fired[j] = fires
        v[j] = x - worth if fires else x
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless


@compiled
def graded(p: Any, current: Any, acc: Any, bias: Any, n: int, fired: Any, sent: Any) -> Any:
    driven = I32(0)
    for j in range(n):
        drive = I32(acc[j]) + bias[j]
        if p.hold:
            current[j] += I32(acc[j])
            drive = current[j] + bias[j]
        payload = min(max(np.int64(drive) // p.threshold, p.minimum), p.maximum)
        fired[j] = payload != 0
        sent[j] = payload
        driven += I32(drive != 0)
    return driven, driven


@compiled
def cuba(p: Any, v: Any, u: Any, acc: Any, bias: Any, n: int, fired: Any) -> Any:
    driven, restless = I32(0), I32(0)
    du, dv = np.int64(4096 - p.current_decay - 1), np.int64(4096 - p.voltage_decay)
    threshold, limit, half = np.int64(p.threshold) << 6, np.int64(p.limit), np.int64(1 << 23)
    for j in range(n):
        before = np.int64(v[j])
        old = np.int64(u[j])
        size = (abs(old) * du) >> 12
        now = (size if old >= 0 else -size) + (np.int64(acc[j]) << 6)
        now = ((now + half) & 0xFFFFFF) - half
        u[j] = now
        drive = now + (np.int64(bias[j]) << p.shift)
        size = (abs(before) * dv) >> 12
        x = min(max((size if before >= 0 else -size) + drive, -limit), limit)
        fires = x > threshold
        fired[j] = fires
        v[j] = 0 if fires else x
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless


@compiled
def readout(p: Any, v: Any, acc: Any, n: int) -> Any:
    driven, restless = I32(0), I32(0)
    limit = np.int64(p.limit)
    for j in range(n):
        before = np.int64(v[j])
        drive = np.int64(acc[j])
        x = (before << p.doubling) + drive
        v[j] = min(max(x, -limit), limit)
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless


@inlined
def fire_row(p: Any, elapsed: int, v: Any, aux: Any, second: Any, narrow: Any, wide: Any, bias: Any, n: int, masks: Any) -> Any:
    """One step of one row of a population of any built-in model, from whichever accumulators hold its charge.

    `aux` holds current, u or count, `second` a held current beside a count. Only the commonest models read 16-bit
    accumulators directly, to compile less.
    """
    fired, sent = masks
    if p.accumulator == NARROW and p.model != IF:
        for j in range(n):
            wide[j] = narrow[j]
    if p.model == IF and p.accumulator == NARROW:
        counted = held(p, v, aux, narrow, bias, n, fired) if p.hold else integrate_and_fire(p, v, narrow, bias, n, fired)
    elif p.model == IF:
        counted = held(p, v, aux, wide, bias, n, fired) if p.hold else integrate_and_fire(p, v, wide, bias, n, fired)
    elif p.model == SIGNED:
        counted = signed(p, v, aux, second, wide, bias, n, fired, sent)
    elif p.model == WAIT:
        counted = wait(p, v, aux, elapsed, wide, bias, n, fired)
    elif p.model == RADIX:
        counted = radix(p, v, elapsed, wide, bias, n, fired)
    elif p.model == GRADED:
        counted = graded(p, aux, wide, bias, n, fired, sent)
    elif p.model == CUBA:
        counted = cuba(p, v, aux, wide, bias, n, fired)
    else:
        counted = readout(p, v, wide, n)
    return counted


@compiled
def gather_fired(fired: Any, n: int, lists: Any, at: int) -> Any:
    """Write the lanes that fired, ascending, to lists[at:]; returns how many. `fired` is padded with zeros to 64s."""
    found = np.uint64(at)
    for base in range(np.uint64(0), np.uint64(n), np.uint64(64)):
        bits = mask_of(fired, base)
        while bits != np.uint64(0):
            lists[found] = base + lowest_bit(bits)
            found += np.uint64(1)
            bits &= bits - np.uint64(1)
    return np.int64(found) - at
