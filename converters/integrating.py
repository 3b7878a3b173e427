"""Compiled: neurons that fire in time, over a whole window, with the arithmetic of `neuro.neurons`, and values of lossless codes;
tests hold them equal."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import compiled

_BLOCK = 2048  # neurons whose potentials stay near the processor


@compiled
def integrate(
    charge: Any, bias: Any, start: Any, levels: Any, subtracts: Any, early: Any, steps: Any, frames: Any, counts: Any
) -> None:
    """Fill frames (steps, samples, neurons), unless there are none, and counts (samples, neurons) of neurons that take charges
    (steps, samples, neurons), or one frame of them at every step: whole numbers in one float type that holds every sum.

    levels, in that type: 0, 1, threshold, largest |potential|, and the counts at which they send no more negative and no more
    positive messages. They integrate `early` steps before the first message.
    """
    zero, one, threshold, limit, lowest, highest = levels
    samples, neurons = counts.shape
    v, count, unkept = np.empty(_BLOCK, bias.dtype), np.empty(_BLOCK, bias.dtype), np.empty((1, 1, _BLOCK), np.int8)
    for n in range(samples):
        for first in range(0, neurons, _BLOCK):
            size = min(_BLOCK, neurons - first)
            own = bias[first : first + size]
            for i in range(size):
                v[i], count[i] = start[first + i], zero
            for t in range(steps + early):
                brought = charge[min(t, len(charge) - 1), n, first : first + size]
                share = one if t < steps else zero
                if t < early:
                    for i in range(size):
                        x = v[i] + own[i] + share * brought[i]
                        v[i] = min(max(x, -limit), limit)
                    continue
                out = frames[t - early, n, first : first + size] if len(frames) else unkept[0, 0, :size]
                for i in range(size):
                    x = v[i] + own[i] + share * brought[i]
                    x = min(max(x, -limit), limit)
                    up = one if x >= threshold and count[i] < highest else zero
                    down = one if x < zero and count[i] > lowest else zero
                    message = up - down
                    count[i] += message
                    out[i] = np.int8(message)
                    v[i] = x - threshold * message if subtracts or message == zero else zero
            for i in range(size):
                counts[n, first + i] = np.int16(count[i])


@compiled
def divide(potential: Any, more: Any, threshold: Any, lowest: Any, highest: Any, values: Any) -> None:
    """Fill values (samples, neurons) with (potential + more) / threshold, rounded down and clipped; more is (neurons,).

    Whole numbers in one float type that holds every sum: a quotient of such is never rounded up to a whole number.
    """
    for k in range(len(potential)):
        row, out = potential[k], values[k]
        for i in range(len(row)):
            out[i] = np.int16(min(max(np.floor((row[i] + more[i]) / threshold), lowest), highest))
