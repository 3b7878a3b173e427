"""Sums over samples, in doubles and in the order of the samples, of what torch has computed: bit for bit those of numpy.

Compiled where an array lies in the order of its axes; numpy adds others, and single values, in an order of its own.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from neuro.compiled import compiled, goes_without

Floats = NDArray[np.float64]
_PLAIN_S, _COMPILING_S = 4e-9, 3.0  # of a value in numpy; of the kernels
_BLOCK = 1024  # values whose sums stay near the processor
_OFF = bool(numba.config.DISABLE_JIT)


def squares(slope: NDArray[np.float32], value: NDArray[np.float32], share: float) -> tuple[Floats, Floats]:
    """The sum over samples of slope^2 x share, and that where the value is not 0, (*shape) each; both (samples, *shape)."""
    if _suits(slope) and value.flags.c_contiguous:
        found = np.zeros((2, *slope.shape[1:]))
        sum_squares(slope.reshape(len(slope), -1), value.reshape(len(slope), -1), share, found.reshape(2, -1))
        return found[0], found[1]
    power = np.square(slope.astype(np.float64)) * share
    return power.sum(axis=0), (power * (value != 0)).sum(axis=0)


def moments(values: list[NDArray[np.float32]]) -> Floats:
    """The sum of values, and of their squares, over frames and their samples (samples, *shape): (2, *shape)."""
    if all(map(_suits, values)):
        found = np.zeros((2, *values[0].shape[1:]))
        for value in values:
            sum_moments(value.reshape(len(value), -1), found.reshape(2, -1))
        return found
    value = np.stack([one.astype(np.float64) for one in values])
    return np.asarray(np.stack((value, np.square(value))).sum(axis=(1, 2)))


def _suits(values: NDArray[np.float32]) -> bool:
    single = values.size == len(values)
    plain = values.dtype != np.float32 or not values.flags.c_contiguous or single or _OFF
    return not plain and not goes_without(sum_squares, values.size * _PLAIN_S, _COMPILING_S)


@compiled
def sum_squares(slope: Any, value: Any, share: float, found: Any) -> None:
    """Add to found (2, values) for slopes and values (samples, values)."""
    every, active = found
    for first in range(0, len(every), _BLOCK):
        size = min(_BLOCK, len(every) - first)
        total, sent_total = every[first : first + size], active[first : first + size]
        for k in range(len(slope)):
            row, sent = slope[k, first : first + size], value[k, first : first + size]
            for i in range(size):
                x = np.float64(row[i])
                power = x * x * share
                total[i] += power
                sent_total[i] += power if sent[i] != 0 else 0.0


@compiled
def sum_moments(values: Any, found: Any) -> None:
    """Add values (samples, values) and their squares to found (2, values)."""
    total, squared = found
    for k in range(len(values)):
        row = values[k]
        for i in range(len(row)):
            x = np.float64(row[i])
            total[i] += x
            squared[i] += x * x
