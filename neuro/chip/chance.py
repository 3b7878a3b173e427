"""Chance without state: every random decision is a number that follows from a seed and from what is decided.

So the same fault strikes the same packet whatever the order, the threads or the blocks in which samples run. Knows integers,
nothing else.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import compiled, plain

Ints = NDArray[np.int64]
PACKETS, POTENTIALS, WEIGHTS, STUCK, THRESHOLDS = range(5)  # what is decided
_MASK = 0xFFFFFFFF


@compiled
def mixed(key: int, part: int) -> int:
    """A 32-bit number that depends on every bit of a key and of one more part."""
    x = (int(key) * 0x01000193 + int(part) + 0x9E3779B9) & _MASK
    x = (((x >> 16) ^ x) * 0x45D9F3B) & _MASK
    x = (((x >> 16) ^ x) * 0x45D9F3B) & _MASK
    return (x >> 16) ^ x


@compiled
def drawn(key: int) -> float:
    """A number above 0 and up to 1, all equally likely."""
    return (key + 1) / 4294967296.0


def key_of(seed: int, *parts: int) -> int:
    """The key of a decision: what is decided, and about what."""
    mix = plain(mixed)  # a few numbers, for which nothing is to be compiled
    key = mix(0, seed)
    for part in parts:
        key = mix(key, part)
    return int(key)


class Flips(NamedTuple):
    """Words of `bits` bits of which each flips with the probability `rate`; `any` is the chance that one of them does."""

    bits: int
    rate: float
    any: float


def flips(bits: int, rate: float) -> Flips:
    """Flips at a rate per bit, 0 to 1."""
    return Flips(bits, rate, 1 - (1 - rate) ** bits)


@compiled
def flipped(word: int, key: int, how: Flips) -> int:
    """A word in two's complement after the flips that a key decides; bits that flip at one rate do at every higher one.

    Each bit has a number drawn from 0 to 1 and flips where that is at most the rate. The least of them is drawn first, which
    settles almost every word, then where it is, and the others above it only where it strikes.
    """
    share = drawn(key)
    if share > how.any:
        return word
    least = 1 - (1 - share) ** (1 / how.bits)
    at = mixed(key, 1) % how.bits
    mask = 1 << at
    for bit in range(how.bits):
        if bit != at and least + (1 - least) * drawn(mixed(key, 2 + bit)) <= how.rate:
            mask |= 1 << bit
    word = (word ^ mask) & ((1 << how.bits) - 1)
    return word - (1 << how.bits) if word >> (how.bits - 1) else word


@compiled
def flip_all(words: Ints, key: int, how: Flips) -> None:
    """Flip bits of every word of an array (words,)."""
    for i in range(len(words)):
        words[i] = flipped(words[i], mixed(key, i), how)


@compiled
def mark_faulty(faulty: NDArray[np.bool_], key: int, rate: float) -> None:
    """Decide for each part (parts,) whether it is faulty; parts that are faulty at one rate are so at every higher one."""
    for i in range(len(faulty)):
        faulty[i] = drawn(mixed(key, i)) <= rate
