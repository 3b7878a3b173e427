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


def add_squares(slope: NDArray[np.float32], value: NDArray[np.float32], share: float, every: Floats, active: Floats) -> None:
    """Add to `every` the sum over samples of slope^2 x share, and to `active` that where the value is not 0, (*shape) each; slope
    and value (samples, *shape)."""
    if _suits(slope) and value.flags.c_contiguous:
        sum_squares(slope.reshape(len(slope), -1), value.reshape(len(value), -1), share, every.reshape(-1), active.reshape(-1))
        return
    power = np.square(slope.astype(np.float64)) * share
    every += power.sum(axis=0)
    active += (power * (value != 0)).sum(axis=0)


def add_moments(values: list[NDArray[np.float32]], share: float, found: Floats) -> None:
    """Add to found (2, *shape) the sum of values, and of their squares, over frames and their samples (samples, *shape), times
    the share."""
    if all(map(_suits, values)):
        whole = values[0] if len(values) == 1 else np.concatenate(values)
        sum_moments(whole.reshape(len(whole), -1), share, found.reshape(2, -1))
        return
    value = np.stack([one.astype(np.float64) for one in values])
    found += np.stack((value, np.square(value))).sum(axis=(1, 2)) * share


def _suits(values: NDArray[np.float32]) -> bool:
    single = values.size == len(values)
    plain = values.dtype != np.float32 or not values.flags.c_contiguous or single or _OFF
    return not plain and not goes_without(sum_squares, values.size * _PLAIN_S, _COMPILING_S)


@compiled
def sum_squares(slope: Any, value: Any, share: float, every: Any, active: Any) -> None:
    """Add to every and active (values) for slopes and values (samples, values)."""
    more, sent_more = np.empty(_BLOCK), np.empty(_BLOCK)
    for first in range(0, len(every), _BLOCK):
        size = min(_BLOCK, len(every) - first)
        more[:], sent_more[:] = 0, 0
        for k in range(len(slope)):
            row, sent = slope[k, first : first + size], value[k, first : first + size]
            for i in range(size):
                x = np.float64(row[i])
                power = x * x * share
                more[i] += power
                sent_more[i] += power if sent[i] != 0 else 0.0
        for i in range(size):
            every[first + i] += more[i]
            active[first + i] += sent_more[i]


@compiled
def sum_moments(values: Any, share: float, found: Any) -> None:
    """Add values (samples, values) and their squares, times the share, to found (2, values)."""
    total, squared = found
    more, squared_more = np.empty(_BLOCK), np.empty(_BLOCK)
    for first in range(0, len(total), _BLOCK):
        size = min(_BLOCK, len(total) - first)
        more[:], squared_more[:] = 0, 0
        for k in range(len(values)):
            row = values[k, first : first + size]
            for i in range(size):
                x = np.float64(row[i])
                more[i] += x
                squared_more[i] += x * x
        for i in range(size):
            total[first + i] += more[i] * share
            squared[first + i] += squared_more[i] * share
