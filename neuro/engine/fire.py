"""Compiled neuron models: one row of neurons integrates its charges and marks who fires. The arithmetic of `neuro.neurons`.

Each takes the population's table, where its state variables lie in `state`, its charges from acc[a], biases from bias[b],
the number of neurons, and from place f on `fired` (1 where a message is sent) and `sent` (its payload, written only by
models that have payloads), and returns how many neurons were driven and restless. Loops are plain so that they vectorise;
places are unsigned because signed ones cost numba a test each. Sums are computed in 64 bits (numba widens narrower integers, and
so do the casts where it is switched off); what is stored in 32 is a potential, which its model bounds, a count of steps, or a
held current that the plan has proven to fit. One that may not fit lies in two words, `HELD_LONG`. Where potentials are `short`,
a step's sums fit 32 bits too, and loops that do without a held current compute in those: twice as many at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import inner
from neuro.engine.compact import silent
from neuro.engine.tables import HELD_LONG, U
from neuro.specification import IntArray

I32, I64 = np.int32, np.int64
WORD = np.int64(1 << 32)


@inner
def integrate_and_fire(
    whole: Any, p: Any, state: Any, v: Any, acc: Any, a: Any, bias: Any, b: Any, n: Any, fired: Any, f: Any
) -> Any:
    """`whole` is the type that it computes in: I32 where potentials are `short`, else I64."""
    undriven, still = I32(0), I32(0)
    threshold, limit = whole(p.threshold), whole(p.limit)
    keep = whole(-1) if p.subtract else whole(0)
    for j in range(n):
        before = whole(state[v + j])
        drive = whole(whole(acc[a + j]) + bias[b + j])
        x = min(max(whole(before + drive), whole(-limit)), limit)
        fires = x >= threshold
        fired[f + j] = fires
        state[v + j] = whole(whole(x - threshold) & keep) if fires else x
        undriven = I32(undriven + (drive == 0))
        still = I32(still + ((drive | before) == 0))
    return I32(n - undriven), I32(n - still)


@inner
def hold(state: Any, current: Any, stride: Any, long: bool, charge: Any) -> Any:
    """Add a charge to a held current, the upper word of which lies `stride` behind the lower one; returns the current."""
    total = I64(state[current]) + charge
    if long:
        total += I64(state[current + stride]) * WORD
        low = (total + WORD // 2) % WORD - WORD // 2
        state[current] = low
        state[current + stride] = (total - low) // WORD
    else:
        state[current] = total
    return total


@inner
def held(
    whole: Any, charged: bool, p: Any, state: Any, v: Any, current: Any, acc: Any, a: Any, bias: Any, b: Any, n: Any, fired: Any,
    f: Any,
) -> Any:  # fmt: skip
    """Integrate and fire with a current that keeps every charge, where there are any; `whole` as in `integrate_and_fire`."""
    undriven, still = I32(0), I32(0)
    threshold, limit = whole(p.threshold), whole(p.limit)
    keep = whole(-1) if p.subtract else whole(0)
    if charged:
        for j in range(n):
            state[current + j] = I32(state[current + j] + acc[a + j])
    for j in range(n):
        before = whole(state[v + j])
        drive = whole(whole(state[current + j]) + bias[b + j])
        x = min(max(whole(before + drive), whole(-limit)), limit)
        fires = x >= threshold
        fired[f + j] = fires
        state[v + j] = whole(whole(x - threshold) & keep) if fires else x
        undriven = I32(undriven + (drive == 0))
        still = I32(still + ((drive | before) == 0))
    return I32(n - undriven), I32(n - still)


@inner
def held_long(p: Any, state: Any, v: Any, current: Any, acc: Any, a: Any, bias: Any, b: Any, n: Any, fired: Any, f: Any) -> Any:
    """The same with a current of 64 bits."""
    driven, restless = I32(0), I32(0)
    threshold, limit, stride = I64(p.threshold), I64(p.limit), U(p.state_stride)
    keep = I64(-1) if p.subtract else I64(0)
    for j in range(n):
        before = I64(state[v + j])
        drive = hold(state, current + j, stride, True, I64(acc[a + j])) + bias[b + j]
        x = min(max(before + drive, -limit), limit)
        fires = x >= threshold
        fired[f + j] = fires
        state[v + j] = ((x - threshold) & keep) if fires else x
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless


@inner
def signed(
    p: Any,
    state: Any,
    v: Any,
    count: Any,
    current: Any,
    elapsed: int,
    acc: Any,
    a: Any,
    bias: Any,
    b: Any,
    n: Any,
    fired: Any,
    sent: Any,
    f: Any,
) -> Any:
    silent = elapsed < p.gather - 1
    holds, long, stride = p.hold != 0, p.hold == HELD_LONG, U(p.state_stride)
    driven, restless = I32(0), I32(0)
    threshold, limit, lowest, highest = I64(p.threshold), I64(p.limit), I64(p.minimum), I64(p.maximum)
    for j in range(n):
        before = I64(state[v + j])
        drive = I64(acc[a + j]) + bias[b + j]
        if holds:
            drive = hold(state, current + j, stride, long, I64(acc[a + j])) + bias[b + j]
        x = min(max(before + drive, -limit), limit)
        message = I64((x >= threshold) & (state[count + j] < highest)) - I64((x < 0) & (state[count + j] > lowest))
        message = I64(0) if silent else message
        state[v + j] = x - threshold * message
        state[count + j] += message
        fired[f + j] = message != 0
        sent[f + j] = message
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless


@inner
def signed_plainly(
    holds: bool, p: Any, state: Any, v: Any, count: Any, current: Any, elapsed: int, acc: Any, a: Any, bias: Any, b: Any,
    n: Any, fired: Any, sent: Any, f: Any,
) -> Any:  # fmt: skip
    """The same without a held current, or with one of 32 bits, in 32 bits, where potentials are `short`."""
    driven, restless = I32(0), I32(0)
    loud = I32(0 if elapsed < p.gather - 1 else 1)
    threshold, limit, lowest, highest = I32(p.threshold), I32(p.limit), I32(p.minimum), I32(p.maximum)
    for j in range(n):
        before, sum_sent = state[v + j], state[count + j]
        charge = I32(acc[a + j])
        if holds:
            charge = I32(state[current + j] + charge)
            state[current + j] = charge
        drive = I32(charge + bias[b + j])
        x = min(max(I32(before + drive), I32(-limit)), limit)
        up, down = (x >= threshold) & (sum_sent < highest), (x < 0) & (sum_sent > lowest)
        message = I32((I32(up) - I32(down)) * loud)
        state[v + j] = I32(x - I32(threshold * message))
        state[count + j] = I32(sum_sent + message)
        fired[f + j] = message != 0
        sent[f + j] = message
        driven = I32(driven + (drive != 0))
        restless = I32(restless + ((drive | before) != 0))
    return driven, restless


@inner
def wait(
    p: Any, state: Any, v: Any, current: Any, elapsed: int, acc: Any, a: Any, bias: Any, b: Any, n: Any, fired: Any, f: Any
) -> Any:
    driven, restless = I32(0), I32(0)
    limit = I64(p.limit)
    gathering = elapsed < p.gather
    holds, long, stride = p.hold != 0, p.hold == HELD_LONG, U(p.state_stride)
    threshold = I64(p.threshold) if elapsed >= p.gather - 1 else I64(2**31 - 1)
    for j in range(n):
        before = I64(state[v + j])
        drive = I64(0)
        if gathering:
            if holds:
                drive = hold(state, current + j, stride, long, I64(acc[a + j])) + bias[b + j]
            else:
                drive = I64(acc[a + j]) + bias[b + j]
        x = min(max(before + drive, -limit), limit)
        fires = x >= threshold
        fired[f + j] = fires
        state[v + j] = x - threshold if fires else x
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless


@inner
def radix(
    whole: Any, p: Any, state: Any, v: Any, elapsed: int, acc: Any, a: Any, bias: Any, b: Any, n: Any, fired: Any, f: Any
) -> Any:
    """`whole` as in `integrate_and_fire`; a digit worth more than any potential is never sent."""
    last = elapsed == p.gather - 1
    if elapsed < p.gather:
        gathered = radix_gathers(whole, last, p, state, v, acc, a, bias, b, n)
        if not last:
            return gathered
    still = I32(0)
    worth = whole(min(I64(p.threshold) << max(p.digits - 1 - (elapsed - p.gather + 1), 0), I64(p.limit) + 1))
    for j in range(n):
        x = whole(state[v + j])
        fires = x >= worth
        fired[f + j] = fires
        state[v + j] = whole(x - worth) if fires else x
        still = I32(still + (x == 0))
    return gathered if last else (I32(0), I32(n - still))


@inner
def radix_gathers(whole: Any, last: bool, p: Any, state: Any, v: Any, acc: Any, a: Any, bias: Any, b: Any, n: Any) -> Any:
    """Doubles what is there and adds a charge; with the last one a bias."""
    undriven, still, limit = I32(0), I32(0), whole(p.limit)
    if last:
        for j in range(n):
            before = whole(state[v + j])
            drive = whole(whole(acc[a + j]) + bias[b + j])
            state[v + j] = min(max(whole(whole(before + before) + drive), whole(-limit)), limit)
            undriven = I32(undriven + (drive == 0))
            still = I32(still + ((drive | before) == 0))
    else:
        for j in range(n):
            before = whole(state[v + j])
            drive = whole(acc[a + j])
            state[v + j] = min(max(whole(whole(before + before) + drive), whole(-limit)), limit)
            still = I32(still + ((drive | before) == 0))
        undriven = silent(acc, a, n)
    return I32(n - undriven), I32(n - still)


@inner
def graded(p: Any, state: Any, current: Any, acc: Any, a: Any, bias: Any, b: Any, n: Any, fired: Any, sent: Any, f: Any) -> Any:
    driven = I32(0)
    holds, long, stride = p.hold != 0, p.hold == HELD_LONG, U(p.state_stride)
    if not holds:
        return graded_plainly(p, acc, a, bias, b, n, fired, sent, f)
    for j in range(n):
        drive = hold(state, current + j, stride, long, I64(acc[a + j])) + bias[b + j]
        payload = min(max(drive // p.threshold, p.minimum), p.maximum)
        fired[f + j] = payload != 0
        sent[f + j] = payload
        driven += I32(drive != 0)
    return driven, driven


@inner
def graded_plainly(p: Any, acc: Any, a: Any, bias: Any, b: Any, n: Any, fired: Any, sent: Any, f: Any) -> Any:
    """The same without a held current: charge and bias fit 32 bits, as the plan has proven, and doubles divide those exactly: a
    quotient that is no whole number lies at least 1 / threshold from one, further than a double rounds."""
    driven = I32(0)
    threshold, lowest, highest = np.float64(p.threshold), np.float64(p.minimum), np.float64(p.maximum)
    for j in range(n):
        drive = I32(acc[a + j] + bias[b + j])
        payload = I32(min(max(np.floor(np.float64(drive) / threshold), lowest), highest))
        fired[f + j] = payload != 0
        sent[f + j] = payload
        driven = I32(driven + (drive != 0))
    return driven, driven


@inner
def leaked(x: np.int32, kept: np.int32) -> np.int32:
    """sign(x) * ((|x| * kept) >> 12) for |x| <= 2^23 and kept <= 2^12, in 32 bits: the upper and lower 12 bits apart, and what
    rounds towards zero instead of down added where x is negative."""
    up = I32(I32(x >> 31) & 0xFFF)
    return I32(I32(I32(x >> 12) * kept) + I32(I32(I32(I32(x & 0xFFF) * kept) + up) >> 12))


@inner
def leaked_little(x: np.int32, whole: np.int32, kept: np.int32) -> np.int32:
    """The same with one product, where `little` is kept or lost: x & whole, and the factor `kept`, as `parts` has them."""
    up = I32(I32(x >> 31) & 0xFFF)
    return I32(I32(x & whole) + I32(I32(I32(x * kept) + up) >> 12))


@inner
def parts(kept: int | np.int32) -> tuple[np.int32, np.int32]:
    """A mask and a factor, as small as can be: x * kept is (x & mask) * 2^12 + x * factor."""
    return (I32(-1), I32(kept - 4096)) if kept > 2048 else (I32(0), I32(kept))


@inner
def little(kept: int) -> bool:
    """Whether the product of |x| <= 2^23 with the factor that is kept, or lost, fits 32 bits."""
    return bool(-256 < parts(kept)[1] < 256)


@inner
def cuba(
    p: Any, state: IntArray, v: Any, u: Any, elapsed: int, acc: IntArray, a: Any, bias: IntArray, b: Any, n: Any,
    fired: IntArray, f: Any,
) -> Any:  # fmt: skip
    """The loop of what the neurons do: a test inside it would be one for every few neurons."""
    rests = p.refractory > 1
    any_decay = not (little(4096 - p.current_decay - 1) and little(4096 - p.voltage_decay))
    if rests and any_decay:
        return leaky(True, True, p, state, v, u, elapsed, acc, a, bias, b, n, fired, f)
    if rests:
        return leaky(True, False, p, state, v, u, elapsed, acc, a, bias, b, n, fired, f)
    if any_decay:
        return leaky(False, True, p, state, v, u, elapsed, acc, a, bias, b, n, fired, f)
    return leaky(False, False, p, state, v, u, elapsed, acc, a, bias, b, n, fired, f)


@inner
def leaky(
    rests: bool, any_decay: bool, p: Any, state: IntArray, v: Any, u: Any, elapsed: int, acc: IntArray, a: Any,
    bias: IntArray, b: Any, n: Any, fired: IntArray, f: Any,
) -> Any:  # fmt: skip
    """In 32 bits: u wraps to 24, v is clipped to 24, a bias has at most 20 and a threshold 23. `rests`: whether it pauses;
    `any_decay`: whether a decay keeps, and loses, more than `little`."""
    undriven, still = I32(0), I32(0)
    kept, rest, pause = I32(-1), u + U(p.state_stride), I32(p.refractory - 1)
    if p.reset_interval > 0 and elapsed % p.reset_interval == p.reset_offset:
        kept = I32(0)
        for j in range(n):
            state[u + j] = 0
            if rests:
                state[rest + j] = 0
    du, dv = I32(4096 - p.current_decay - 1), I32(4096 - p.voltage_decay)
    (whole_u, part_u), (whole_v, part_v) = parts(du), parts(dv)
    threshold, limit, shift = I32(p.threshold << 6), I32(p.limit), p.shift & 7  # as the compiler sees, less than 32
    for j in range(n):
        before, old = state[v + j], state[u + j]
        x = I32(before & kept)
        left_u = leaked(old, du) if any_decay else leaked_little(old, whole_u, part_u)
        left_v = leaked(x, dv) if any_decay else leaked_little(x, whole_v, part_v)
        now = I32(I32((left_u + (I64(acc[a + j]) << 6)) << 8) >> 8)
        state[u + j] = now
        drive = I32(now + I32(bias[b + j] << shift))
        x = min(max(I32(left_v + drive), I32(-limit)), limit)
        if rests:
            resting = state[rest + j]
            x = I32(0) if resting > 0 else x
            state[rest + j] = pause if x > threshold else max(I32(resting - 1), I32(0))
        fires = x > threshold
        fired[f + j] = fires
        state[v + j] = I32(0) if fires else x
        undriven = I32(undriven + (drive == 0))
        still = I32(still + (I32(drive | before) == 0))
    return I32(n - undriven), I32(n - still)


@inner
def readout(p: Any, elapsed: int, state: Any, v: Any, acc: Any, a: Any, n: Any) -> Any:
    driven, restless = I32(0), I32(0)
    limit, kept = np.int64(p.limit), np.int64(1 << p.doubling)
    if p.period > 0 and elapsed % p.period == p.refresh0:
        kept = np.int64(0)
    for j in range(n):
        before = np.int64(state[v + j])
        drive = np.int64(acc[a + j])
        x = before * kept + drive
        state[v + j] = min(max(x, -limit), limit)
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless
