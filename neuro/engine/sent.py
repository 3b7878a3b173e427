"""Compiled lists of what a row of neurons has sent: which of them fired, and the payloads of their messages.

Neurons are marked by bytes, of which 64 are looked at together. Several places are written at a time, so that loops end where a
processor expects it: up to SLACK places behind the last message are overwritten. Knows nothing of neurons but their order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import inlined, inner
from neuro.engine.lanes import HALF, LONG, OCTETS, PLACED, lowest_bit, mask_of, ones, place_bits, place_values, place_word
from neuro.engine.tables import U
from neuro.specification import IntArray

FEW = 8  # of 64 neurons that fired, above which they are listed PLACED at a time
SLACK = HALF  # places behind the end of a list that listing may overwrite
SPARSE = 16  # neurons for each message, from which on payloads are taken one by one


@inner
def fired_bits(fired: IntArray, f: int, n: int, base: int) -> Any:
    """Which of the 64 neurons from `base` on fired, of n that are marked from fired[f] on."""
    bits = mask_of(fired, f + base)
    return bits & ((U(1) << (n - base)) - U(1)) if n - base < U(64) else bits


@inner
def _list_bits(bits: int, base: int, lists: IntArray, found: int) -> Any:
    """Write base + the places of the bits of a word, ascending, to lists[found:]; returns where they end."""
    end = found + ones(bits)
    if end - found > U(FEW):
        for part in range(U(0), U(64), U(PLACED)):
            some = (bits >> part) & U((1 << PLACED) - 1)
            place_bits(lists, found, base + part, some)
            found += ones(some)
    while found < end:
        for k in range(U(FEW)):
            lists[found + k] = base + lowest_bit(bits)
            bits &= bits - U(1)
        found += U(FEW)
    return end


@inner
def _list_octets(bits: int, base: int, lists: IntArray, found: int) -> Any:
    """The same where a processor picks bytes of a vector."""
    place_word(lists, found, base, bits)  # up to SLACK places behind them too
    return found + ones(bits)


list_word = _list_octets if OCTETS else _list_bits


@inlined
def gather_fired(fired: IntArray, f: int, n: int, lists: IntArray, at: int) -> Any:
    """Write which of the neurons fired[f:f + n] fired, ascending from 0, to lists[at:]; returns how many."""
    found = U(at)
    for base in range(U(0), n, U(64)):
        found = list_word(fired_bits(fired, f, n, base), base, lists, found)
    return np.int64(found) - at


@inner
def list_bits(masks: IntArray, first: int, words: int, lists: IntArray, at: int) -> Any:
    """Write the places of the bits of words masks[first:first + words], ascending from 0, to lists[at:]; returns how many."""
    found = U(at)
    for word in range(U(words)):
        found = list_word(masks[first + word], word * U(64), lists, found)
    return np.int64(found) - at


@inner
def _one_by_one(
    fired: IntArray, sent: IntArray, f: int, n: int, lists: IntArray, at: int, found: int, payloads: IntArray, shift: int
) -> None:
    """Write what each of the neurons lists[at:at + found] has sent to payloads[at + shift:]."""
    for k in range(at, at + found):
        payloads[k + shift] = sent[f + U(lists[k])]


@inner
def _together(
    fired: IntArray, sent: IntArray, f: int, n: int, lists: IntArray, at: int, found: int, payloads: IntArray, shift: int
) -> None:
    """The same, from the marks of which the list was made, where many fired."""
    if np.int64(found) * SPARSE < np.int64(n):
        _one_by_one(fired, sent, f, n, lists, at, found, payloads, shift)
        return
    place = U(at + shift)
    for base in range(U(0), n, U(64)):
        bits = fired_bits(fired, f, n, base)
        for part in range(U(0), U(64), U(PLACED)):
            some = (bits >> part) & U((1 << PLACED) - 1)
            place_values(payloads, place, sent, f + base + part, some)
            place += ones(some)


gather_payloads = _together if LONG else _one_by_one
