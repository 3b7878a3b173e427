"""Compiled loops over rows of many samples: sums of weights, products, maxima, and the values of neurons, in exact floats.

Every array of values is (neurons, samples), so that what one neuron does is the same for all samples beside each other. Knows
numbers only; `rows` proves that they stay exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import compiled

I32, F32, F64 = np.int32, np.float32, np.float64


@compiled
def add_listed(total: Any, source: Any, pre: Any, post: Any, weight: Any) -> None:
    """Add what listed synapses bring to rows of a total; weights in its type."""
    for k in range(len(pre)):
        to, row, factor = total[post[k]], source[pre[k]], weight[k]
        for i in range(len(to)):
            to[i] += factor * row[i]


@compiled
def add_picked(total: Any, source: Any, pre: Any, weight: Any) -> None:
    """Add to every row of a total the one row that it reads."""
    for j in range(len(total)):
        to, row, factor = total[j], source[pre[j]], weight[j]
        for i in range(len(to)):
            to[i] += factor * row[i]


@compiled
def add_window(total: Any, source: Any, weights: Any, window: Any) -> None:
    """Add what a window over images brings. weights (out, in / groups, height, width) in the type of the total; window: groups,
    height and width of the source and of the target, strides, padding before, and dilation along both axes."""
    groups, high, wide, places, columns, step, across, above, left, down, right = window
    outputs, inputs, rows, taps = weights.shape
    for o in range(outputs):
        first = o // (outputs // groups) * inputs
        for y in range(places):
            for x in range(columns):
                to = total[(o * places + y) * columns + x]
                for c in range(inputs):
                    for ky in range(rows):
                        v = y * step - above + ky * down
                        if v < 0 or v >= high:
                            continue
                        for kx in range(taps):
                            u = x * across - left + kx * right
                            if u < 0 or u >= wide:
                                continue
                            row, factor = source[((first + c) * high + v) * wide + u], weights[o, c, ky, kx]
                            for i in range(len(to)):
                                to[i] += factor * row[i]


@compiled
def add_products(v: Any, one: Any, two: Any, scale: float, limit: float) -> None:
    """Add products of two operands (rows, which row each neuron reads, weights), scaled and rounded down, and saturate."""
    rows, pre, weight = one
    others, before, factors = two
    for j in range(len(v)):
        to, a, b, w = v[j], rows[pre[j]], others[before[j]], F64(weight[j]) * F64(factors[j])
        for i in range(len(to)):
            x = F64(to[i]) + np.floor(F64(a[i]) * F64(b[i]) * w * scale)
            to[i] = F32(min(max(x, -limit), limit))


@compiled
def take_largest(v: Any, source: Any, pre: Any, weight: Any) -> None:
    """Take the rows that neurons read where they are larger."""
    for j in range(len(v)):
        to, row, factor = v[j], source[pre[j]], weight[j]
        for i in range(len(to)):
            x = factor * row[i]
            to[i] = x if x > to[i] else to[i]


@compiled
def finish(x: Any, parameters: Any, limit: float, table: Any) -> None:
    """Turn what was combined into values: biased, scaled, clipped, and looked up where the table has entries.

    parameters (6, neurons): bias, multiplier, half, 2^-shift, lowest, highest.
    """
    for j in range(len(x)):
        row = x[j]
        bias, factor, half, scale, low, high = parameters[:, j]
        for i in range(len(row)):
            y = min(max(min(max(F64(row[i]), -limit), limit) + bias, -limit), limit)
            row[i] = F32(min(max(np.floor((y * factor + half) * scale), low), high))
        if len(table):
            for i in range(len(row)):
                row[i] = table[I32(row[i]) - I32(low)]
