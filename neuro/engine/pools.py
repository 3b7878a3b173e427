"""Compiled maxima of several inputs: one row of neurons takes its charges apart and marks whose largest input has moved on.

The arithmetic of `neuro.neurons.MaxPool`; places and integers as in `engine.fire`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import inner
from neuro.engine.tables import U
from neuro.specification import IntArray

I32, I64 = np.int32, np.int64
MOST = 2**31 - 1
PIECE = 256  # neurons that are taken at a time


@inner
def turns(p: Any, state: Any, largest: Any, acc: Any, a: Any, n: Any, fired: Any, sent: Any, f: Any) -> Any:
    """The largest of payloads that arrive one a step, sent with the last."""
    driven, restless = I32(0), I32(0)
    turn = largest + U(p.state_stride)
    for j in range(n):
        before, drive = state[largest + j], I32(acc[a + j])
        state[largest + j] = max(before, drive)
        state[turn + j] += 1
        message = min(np.int64(state[largest + j]), p.maximum) if state[turn + j] == p.gather else np.int64(0)
        fired[f + j] = message != 0
        sent[f + j] = message
        driven += I32(drive != 0)
        restless += I32((drive | before) != 0)
    return driven, restless


@inner
def binary(rest: Any) -> tuple[Any, Any]:
    """A number's half, rounded down, and its last digit."""
    return I32(rest >> 1), I32(rest & 1)


@inner
def ternary(rest: Any) -> tuple[Any, Any]:
    """The same to base 3: a third is exact since 1 / 6, which is added, is more than the product is short of."""
    whole = I32((I64(rest) * I64(0x55555555) + I64(0x2AAAAAAA)) >> 32)
    return whole, I32(rest - I32(whole * 3))


@inner
def ternary_short(rest: Any) -> tuple[Any, Any]:
    """The same for numbers of 16 bits."""
    whole = I32(I32(I32(rest * I32(0x5555)) + I32(0x2AAA)) >> 16)
    return whole, I32(rest - I32(whole * 3))


@inner
def leader(
    digit: Any, p: Any, state: IntArray, behind: int, acc: IntArray, a: int, n: int, fired: IntArray, sent: IntArray, f: int
) -> tuple[Any, Any]:
    """How far each tap lags behind the leading one; the leader's progress is the message. Takes its charges apart in place, by
    `digit`."""
    if p.gather == 4:
        return _leader_of_four(digit, p, state, behind, acc, a, n, fired, sent, f)
    driven, restless = I32(0), I32(0)
    for begin in range(U(0), n, U(PIECE)):
        size, lane, place = min(n - begin, U(PIECE)), behind + begin, f + begin
        counted = _leader_of_some(digit, p, state, lane, acc, a + begin, size, fired, sent, place)
        driven, restless = I32(driven + counted[0]), I32(restless + counted[1])
    return driven, restless


@inner
def _leader_of_four(
    digit: Any, p: Any, state: IntArray, behind: int, acc: IntArray, a: int, n: int, fired: IntArray, sent: IntArray, f: int
) -> tuple[Any, Any]:
    """The commonest number of taps, all in registers."""
    driven, restless = I32(0), I32(0)
    centre, doubling, subtract, most = I32(p.threshold), I32(p.doubling), I32(p.subtract), I32(1 if p.doubling else MOST)
    second = behind + U(p.state_stride)
    third, fourth = second + U(p.state_stride), second + U(2 * p.state_stride)
    for j in range(n):
        before, drive = state[behind + j], acc[a + j]
        driven = I32(driven + (drive != 0))
        restless = I32(restless + ((drive | before) != 0))
        rest, digit0 = digit(I32(drive - I32(centre + subtract)) if drive > 0 else I32(drive + centre))
        rest, digit1 = digit(rest)
        rest, digit2 = digit(rest)
        rest, digit3 = digit(rest)
        lag0 = I32(I32(before << doubling) - I32(digit0 - subtract))
        lag1 = I32(I32(state[second + j] << doubling) - I32(digit1 - subtract))
        lag2 = I32(I32(state[third + j] << doubling) - I32(digit2 - subtract))
        lag3 = I32(I32(state[fourth + j] << doubling) - I32(digit3 - subtract))
        least = min(min(lag0, lag1), min(lag2, lag3))
        state[behind + j] = min(I32(lag0 - least), most)
        state[second + j] = min(I32(lag1 - least), most)
        state[third + j] = min(I32(lag2 - least), most)
        state[fourth + j] = min(I32(lag3 - least), most)
        fired[f + j] = least != 0
        sent[f + j] = I32(-least)
    return driven, restless


@inner
def _leader_of_some(
    digit: Any, p: Any, state: IntArray, behind: int, acc: IntArray, a: int, n: int, fired: IntArray, sent: IntArray, f: int
) -> tuple[Any, Any]:
    """So few neurons that they stay in the first cache while tap after tap passes.

    p.threshold centres signed digits; what is taken off a positive charge instead, a power of the base more, leaves the digits of
    the taps as they are, and nothing overflows.
    """
    driven, restless = I32(0), I32(0)
    centre, doubling, subtract, most = I32(p.threshold), I32(p.doubling), I32(p.subtract), I32(1 if p.doubling else MOST)
    for j in range(n):
        before, drive = state[behind + j], acc[a + j]
        driven = I32(driven + (drive != 0))
        restless = I32(restless + ((drive | before) != 0))
        sent[f + j] = I32(MOST)
        acc[a + j] = I32(drive - I32(centre + subtract)) if drive > 0 else I32(drive + centre)
    for i in range(p.gather):
        tap = behind + U(i * p.state_stride)
        for j in range(n):
            whole, last = digit(acc[a + j])
            acc[a + j] = whole
            lag = I32(I32(state[tap + j] << doubling) - I32(last - subtract))
            state[tap + j] = lag
            sent[f + j] = min(sent[f + j], lag)
    for i in range(p.gather):
        tap = behind + U(i * p.state_stride)
        for j in range(n):
            state[tap + j] = min(I32(state[tap + j] - sent[f + j]), most)
    for j in range(n):
        fired[f + j] = sent[f + j] != 0
        sent[f + j] = I32(-sent[f + j])
    return driven, restless
