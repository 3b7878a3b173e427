"""States of a block of rows in fewer bits while it lives through its steps, wherever they fit: several times as many at once.

Before the first step that a call takes a block through, its states are copied from 32 bits to scratch memory of this thread;
after the last one they go back, or as soon as a step could bring one beyond the bits. Before each step the least and largest
charge are known, and of potentials the least and largest of the step before, so nothing is computed that may not fit. The
arithmetic of `engine.fire` and `engine.pools`; places and integers as there. `kept` holds where states are and their bounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import inner
from neuro.engine.tables import U
from neuro.specification import IntArray

I16, I32, I64 = np.int16, np.int32, np.int64
FULL, COMPACT, TOO_LARGE = range(3)  # where the states of a block are: in the workspace; in scratch; in the workspace for good
MODE, LEAST, LARGEST, BIAS_LEAST, BIAS_LARGEST = KEPT = range(5)  # what is kept
PIECE = 1 << 14  # charges that 16 bits count
WORTH = 3  # steps of a call from which on copying pays
INT16, INT8 = 2**15 - 1, 2**7 - 1
EACH, OCTET = I32(0x01010101), I32(0xFF)  # of each byte the lowest bit; one byte
BELOW_TOPS = I64(0x7F7F7F7F)  # added to four lags, it brings a bit to the top of each byte that is not 0
SPREAD = I32(0x00204081)  # brings four bits that are multiplied with it to the lowest bits of four bytes


@inner
def bounds(values: IntArray, at: int, n: int) -> tuple[Any, Any]:
    """The least and largest of values[at:at + n] and 0."""
    least, largest = values.dtype.type(0), values.dtype.type(0)
    for j in range(n):
        least, largest = min(least, values[at + j]), max(largest, values[at + j])
    return I32(least), I32(largest)


@inner
def moved(source: IntArray, at: int, n: int, target: IntArray, to: int) -> None:
    """Copy n numbers to an array of another width."""
    for j in range(n):
        target[to + j] = source[at + j]


@inner
def potentials_fit(
    p: Any, left: int, rows: int, joined: bool, state: IntArray, v: int, bias: IntArray, b: int, n: int, acc: IntArray,
    short: IntArray, kept: IntArray,
) -> bool:  # fmt: skip
    """Whether the n potentials of a block are in `short`, with biases behind them, and fit its 16 bits after this step too."""
    room = U(short.size // 2)
    if kept[MODE] == FULL and left >= WORTH:
        biases = n if joined or p.bias_row > 0 else U(p.lanes)
        kept[LEAST], kept[LARGEST] = bounds(state, v, n)
        kept[BIAS_LEAST], kept[BIAS_LARGEST] = bounds(bias, b, biases)
        kept[MODE] = TOO_LARGE
        if min(kept[LEAST], kept[BIAS_LEAST]) >= -INT16 and max(kept[LARGEST], kept[BIAS_LARGEST]) <= INT16:
            moved(state, v, n, short, U(0))
            moved(bias, b, biases, short, room)
            kept[MODE] = COMPACT
    if kept[MODE] == COMPACT:
        lowest, highest = kept[LEAST] + kept[BIAS_LEAST], kept[LARGEST] + kept[BIAS_LARGEST]
        low, high = I32(0), I32(0)
        for y in range(rows):
            least, largest = bounds(acc, U(y * p.acc_row + p.halo), n if joined else U(p.lanes))
            low, high = min(low, least), max(high, largest)
        if lowest + low < -INT16 or highest + high > INT16:
            moved(short, U(0), n, state, v)
            kept[MODE] = TOO_LARGE
        kept[LEAST] = kept[LARGEST] = 0
    return bool(kept[MODE] == COMPACT)


@inner
def potentials_return(short: IntArray, n: int, state: IntArray, v: int, kept: IntArray) -> None:
    """Potentials back to where they came from, at the last step of a call."""
    if kept[MODE] == COMPACT:
        moved(short, U(0), n, state, v)
    kept[MODE] = FULL


@inner
def integrate_and_fire(
    p: Any, short: IntArray, v: int, b: int, acc: IntArray, a: int, n: int, fired: IntArray, f: int, counts: IntArray, c: int,
    kept: IntArray,
) -> tuple[Any, Any]:  # fmt: skip
    """One row; counts its messages too."""
    undriven, still, least, largest = I16(0), I16(0), I16(0), I16(0)
    threshold, subtract = I16(p.threshold), I16(-1 if p.subtract else 0)
    for j in range(n):
        before = short[v + j]
        drive = I16(acc[a + j] + short[b + j])
        x = I16(before + drive)
        fires = x >= threshold
        fired[f + j] = fires
        counts[c + j] += np.uint16(fires)
        short[v + j] = I16(I16(x - threshold) & subtract) if fires else x
        undriven = I16(undriven + (drive == 0))
        still = I16(still + (I16(drive | before) == 0))
        least, largest = min(least, x), max(largest, x)
    kept[LEAST], kept[LARGEST] = min(kept[LEAST], least), max(kept[LARGEST], largest)
    return I32(n - undriven), I32(n - still)


@inner
def lags_fit(p: Any, left: int, state: IntArray, behind: int, n: int, packed: IntArray, kept: IntArray) -> bool:
    """Whether the lags of four taps of n neurons are in `packed`, a byte each, and fit it until this call ends."""
    if kept[MODE] == FULL and left >= WORTH:
        second = behind + U(p.state_stride)
        third, fourth = second + U(p.state_stride), second + U(2 * p.state_stride)
        least, largest, apart = I32(0), I32(0), I32(0)
        for j in range(n):
            one, two = state[behind + j], state[second + j]
            three, four = state[third + j], state[fourth + j]
            low, high = min(min(one, two), min(three, four)), max(max(one, two), max(three, four))
            least, apart, largest = min(least, low), max(apart, low), max(largest, high)
            packed[j] = I32(I32(one | (two << 8)) | I32((three << 16) | (four << 24)))
        most = 1 if p.doubling else INT8 - left
        kept[MODE] = COMPACT if least == 0 and apart == 0 and largest <= most else TOO_LARGE
    return bool(kept[MODE] == COMPACT)


@inner
def leader_of_four(
    p: Any, packed: IntArray, acc: IntArray, a: int, n: int, fired: IntArray, f: int, counts: IntArray, c: int
) -> tuple[Any, Any]:
    """One row of maxima of plain spikes; counts its messages too. The leader lags by none: it moves on where such a tap sends."""
    undriven, still = I32(0), I32(0)
    if p.doubling:
        for j in range(n):
            drive, lags = I32(acc[a + j]), packed[f + j]
            sends = I32(I32(I32(drive & 15) * SPREAD) & EACH)
            message = I32(sends & ~lags) != 0
            packed[f + j] = I32(lags | I32((EACH if message else I32(0)) & ~sends))
            fired[f + j] = message
            counts[c + j] += np.uint16(message)
            undriven = I32(undriven + (drive == 0))
            still = I32(still + (I32(drive | I32(lags & OCTET)) == 0))
        return I32(n - undriven), I32(n - still)
    for j in range(n):
        drive, lags = I32(acc[a + j]), packed[f + j]
        sends = I32(I32(I32(drive & 15) * SPREAD) & EACH)
        leads = I32(I32(sends << 7) & ~I32(I64(lags) + BELOW_TOPS))
        message = leads != 0
        packed[f + j] = I32(I32(lags + (EACH if message else I32(0))) - sends)
        fired[f + j] = message
        counts[c + j] += np.uint16(message)
        undriven = I32(undriven + (drive == 0))
        still = I32(still + (I32(drive | I32(lags & OCTET)) == 0))
    return I32(n - undriven), I32(n - still)


@inner
def lags_return(p: Any, packed: IntArray, n: int, state: IntArray, behind: int, kept: IntArray) -> None:
    """Lags back to where they came from, at the last step of a call."""
    for tap in range(4 if kept[MODE] == COMPACT else 0):
        at, shift = behind + U(tap * p.state_stride), I32(8 * tap)
        for j in range(n):
            state[at + j] = I32(I32(packed[j] >> shift) & OCTET)
    kept[MODE] = FULL


@inner
def silent(acc: Any, a: Any, n: Any) -> Any:
    """How many of n charges are 0, counted in their own width where that is 16 bits."""
    found = I32(0)
    for begin in range(U(0), n, U(PIECE)):
        some = np.int16(0)
        for j in range(begin, min(begin + U(PIECE), n)):
            some = np.int16(some + (acc[a + j] == 0))
        found = I32(found + some)
    return found
