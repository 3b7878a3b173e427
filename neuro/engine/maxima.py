"""Compiled neurons of maximum pools, which tell by the order or the size of what arrives which tap is the largest.

The arguments and results are those of `engine.fire`; there are no biases.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import inner
from neuro.engine.tables import U
from neuro.specification import IntArray

I32, I64 = np.int32, np.int64
THIRD, MOST = np.int64(0x55555555), 2**31 - 1
PIECE = 256  # neurons of a pool that are taken at a time


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
def leader(
    p: Any, state: IntArray, behind: int, acc: IntArray, a: int, n: int, fired: IntArray, sent: IntArray, f: int
) -> tuple[Any, Any]:
    """How far each tap lags behind the leading one; the leader's progress is the message. Takes its charges apart in place."""
    driven, restless = I32(0), I32(0)
    for begin in range(U(0), n, U(PIECE)):
        counted = _leader_of_some(p, state, behind + begin, acc, a + begin, min(n - begin, U(PIECE)), fired, sent, f + begin)
        driven, restless = I32(driven + counted[0]), I32(restless + counted[1])
    return driven, restless


@inner
def _leader_of_some(
    p: Any, state: IntArray, behind: int, acc: IntArray, a: int, n: int, fired: IntArray, sent: IntArray, f: int
) -> tuple[Any, Any]:
    """So few neurons that they stay in the first cache while tap after tap passes.

    p.threshold centres signed digits; what is taken off a positive charge instead, a power of the base more, leaves the digits of
    the taps as they are, and nothing overflows.
    """
    driven, restless = I32(0), I32(0)
    ternary, centre, doubling, subtract = p.digits == 3, I32(p.threshold), I32(p.doubling), I32(p.subtract)
    for j in range(n):
        before, drive = state[behind + j], acc[a + j]
        driven = I32(driven + (drive != 0))
        restless = I32(restless + ((drive | before) != 0))
        sent[f + j] = I32(MOST)
        if ternary:
            acc[a + j] = I32(drive - I32(centre + 1)) if drive > 0 else I32(drive + centre)
    for i in range(p.gather):
        tap = behind + U(i * p.state_stride)
        for j in range(n):
            rest = acc[a + j]
            whole = I32((I64(rest) * THIRD + THIRD // 2) >> 32) if ternary else I32(rest >> 1)
            digit = I32(rest - I32(whole * 3)) if ternary else I32(rest & 1)
            acc[a + j] = whole
            lag = I32(I32(state[tap + j] << doubling) - I32(digit - subtract))
            state[tap + j] = lag
            sent[f + j] = min(sent[f + j], lag)
    for i in range(p.gather):
        tap = behind + U(i * p.state_stride)
        most = I32(1 if p.doubling else MOST)
        for j in range(n):
            state[tap + j] = min(I32(state[tap + j] - sent[f + j]), most)
    for j in range(n):
        fired[f + j] = sent[f + j] != 0
        sent[f + j] = I32(-sent[f + j])
    return driven, restless
