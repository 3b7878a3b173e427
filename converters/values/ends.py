"""The smallest and largest values of arrays of samples, by neuron and by sample, in one walk through them. Knows arrays only.

Floats are compared as integers that lie in the same order, as compilers can do side by side; NaN lies beyond both infinities.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from neuro.compiled import compiled, goes_without

Floats = NDArray[np.float64]
_PLAIN_S, _COMPILING_S = 3e-9, 2.0  # of a value in torch; of the kernel
_OFF = bool(numba.config.DISABLE_JIT)
_REST = np.iinfo(np.int32).max  # all bits but the sign


class Ends:
    """Of values of a shape the smallest and largest of each neuron, and those of each sample along an axis of the shape, or
    (axis None) of all its neurons. samples: how many there will be."""

    def __init__(self, shape: tuple[int, ...], axis: int | None, samples: int) -> None:
        inner = prod(shape) if axis is None else prod(shape[axis + 1 :])
        channels = 1 if axis is None else shape[axis]
        self._sizes = prod(shape) // (channels * inner), channels, inner
        self._shape, self._samples, self._seen = shape, samples, 0
        self._by_neuron: Any = None
        self._by_sample: Any = None

    def add(self, value: torch.Tensor) -> None:
        """Take the values (samples, *shape) of some more samples."""
        plain = value.contiguous().numpy().reshape(-1, *self._sizes)
        if self._by_neuron is None:
            self._by_neuron = np.empty((2, *self._sizes), plain.dtype)
            self._by_sample = np.empty((2, self._samples, self._sizes[1]), plain.dtype)
            self._by_neuron[:] = np.reshape((np.inf, -np.inf), (2, 1, 1, 1))
        part = self._by_sample[:, self._seen : self._seen + len(plain)]
        self._seen += len(plain)
        if plain.dtype != np.float32 or _OFF or goes_without(take_ends, plain.size * _PLAIN_S, _COMPILING_S):
            low, high = self._by_neuron
            np.minimum(low, plain.min(axis=0), out=low)
            np.maximum(high, plain.max(axis=0), out=high)
            part[0], part[1] = plain.min(axis=(1, 3)), plain.max(axis=(1, 3))
        else:
            take_ends(plain.view(np.int32), self._by_neuron.view(np.int32), part.view(np.int32))

    def by_neuron(self) -> tuple[Floats, Floats]:
        """The smallest and the largest of each neuron, (*shape) each."""
        low, high = _together(self._by_neuron).reshape(2, *self._shape)
        return low, high

    def by_sample(self, count: int) -> Floats:
        """The smallest and the largest of each of so many samples, to which as many of those given belong, one behind another:
        (2, count, places on the axis or 1)."""
        found = _together(self._by_sample)
        if count == self._seen:
            return found
        each = found.reshape(2, count, -1, self._sizes[1])
        return np.stack((each[0].min(axis=1), each[1].max(axis=1)))


def _together(ends: NDArray[Any]) -> Floats:
    """The smallest and largest as doubles, both NaN where one is: the kernel finds NaN on one side of all other values."""
    found = ends.astype(np.float64)
    broken = np.isnan(found)
    if broken.any():
        found[:, broken.any(axis=0)] = np.nan
    return found


@compiled
def take_ends(bits: Any, by_neuron: Any, by_sample: Any) -> None:
    """Lower and raise by_neuron (2, outer, channels, inner), and fill by_sample (2, samples, channels), with the smallest and
    largest of floats (samples, outer, channels, inner); all as the bits of floats."""
    samples, outer, channels, inner = bits.shape
    lowest, highest = by_neuron[0].reshape(-1), by_neuron[1].reshape(-1)
    for i in range(len(lowest)):
        lowest[i] ^= (lowest[i] >> 31) & _REST
        highest[i] ^= (highest[i] >> 31) & _REST
    for k in range(samples):
        flat = bits[k].reshape(-1)
        for i in range(len(flat)):
            x = np.int32(flat[i] ^ ((flat[i] >> 31) & _REST))
            lowest[i] = min(lowest[i], x)
            highest[i] = max(highest[i], x)
        low, high = by_sample[0, k], by_sample[1, k]
        low[:], high[:] = np.int32(_REST), np.int32(-_REST - 1)
        for o in range(outer):
            if inner == 1:
                row = bits[k, o].reshape(-1)
                for c in range(channels):
                    x = np.int32(row[c] ^ ((row[c] >> 31) & _REST))
                    low[c] = min(low[c], x)
                    high[c] = max(high[c], x)
                continue
            for c in range(channels):
                row = bits[k, o, c]
                first, last = low[c], high[c]
                for i in range(inner):
                    x = np.int32(row[i] ^ ((row[i] >> 31) & _REST))
                    first = min(first, x)
                    last = max(last, x)
                low[c], high[c] = first, last
        for c in range(channels):
            low[c] ^= (low[c] >> 31) & _REST
            high[c] ^= (high[c] >> 31) & _REST
    for i in range(len(lowest)):
        lowest[i] ^= (lowest[i] >> 31) & _REST
        highest[i] ^= (highest[i] >> 31) & _REST
