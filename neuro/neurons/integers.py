"""Integers as chips compute with them: saturation, wrapping and decay of arrays, and words of 64 bits for a neuron's own step.

Functions on arrays take the namespace `xp` that computes them: numpy, or torch. Knows nothing of neurons.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Array = Any  # integers in 64 bits, of numpy or of torch


def wrap24(x: Array) -> Array:
    """Two's complement in 24 bits."""
    return ((x + (1 << 23)) & 0xFFFFFF) - (1 << 23)


def wrap32(x: Array) -> Array:
    """Two's complement in 32 bits, as engines keep state."""
    return ((x + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def saturate(x: Array, bits: int, xp: Any = np) -> Array:
    """Clip to +-(2^(bits-1) - 1)."""
    limit = (1 << (bits - 1)) - 1
    return xp.clip(x, -limit, limit)


def decay(x: Array, factor: int, xp: Any = np) -> Array:
    """sign(x) * ((|x| * (4096 - factor)) >> 12): rounds toward zero."""
    return xp.sign(x) * ((xp.abs(x) * (4096 - factor)) >> 12)


def wrap(value: int, bits: int) -> int:
    """Two's complement in `bits` bits, of one number."""
    return (int(value) + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def _operation(compute: Callable[..., int]) -> Any:
    """A method of `Word` for its own operator and the reflected one; of other numbers, that of those."""

    def method(self: Word, *others: Any) -> Any:
        if not all(isinstance(other, int) for other in others):
            return NotImplemented
        return Word(compute(int(self), *map(int, others)))

    return method


class Word(int):
    """An integer of 64 bits in two's complement, as compiled code computes: sums and products wrap, a division by zero gives 0,
    and shifts go by the lowest six bits of the distance."""

    def __new__(cls, value: int) -> Word:
        return super().__new__(cls, wrap(value, 64))


def _divided(a: int, b: int) -> int:
    return a // b if b else 0


def _rest(a: int, b: int) -> int:
    return a % b if b else 0


_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": _divided,
    "mod": _rest,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "lshift": lambda a, n: a << (n & 63),
    "rshift": lambda a, n: a >> (n & 63),
}
for _name, _compute in _OPERATIONS.items():
    setattr(Word, f"__{_name}__", _operation(_compute))
    setattr(Word, f"__r{_name}__", _operation(lambda a, b, compute=_compute: compute(b, a)))
_ALONE: dict[str, Callable[[int], int]] = {"neg": operator.neg, "abs": abs, "invert": operator.invert}
for _name, _alone in _ALONE.items():
    setattr(Word, f"__{_name}__", _operation(_alone))
