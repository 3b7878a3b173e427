"""How large a population's integer threshold should be, and which channels give up activation levels for weight resolution.

A threshold Theta scales all weights into a population. Channels whose largest weight would then pass the weight bits have
their float threshold raised instead. Knows error variances; knows no neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.linear import Matrix, Operator, largest_into

Floats = NDArray[np.float64]
LARGEST_MANTISSA, THRESHOLD_STEP = 2**16, 64  # larger thresholds have an exponent, as on Loihi: 17 bits << 6
_STEPS = 2.0 ** np.arange(0, 8.01, 0.25)  # candidates for Theta, relative to one that needs no raise


@dataclass(frozen=True, slots=True)
class Balance:
    """The chosen integer threshold, and the factor (channels,) >= 1 on each float threshold."""

    threshold: int
    raised: Floats


def balance(
    operators: Sequence[Operator],
    spreads: Sequence[Floats],
    importance: Floats,
    power: Floats,
    room: tuple[Sequence[int], float],
    most: Floats,
) -> Balance:
    """Least sum over channels of importance x error, where in units of the target's message the error variance of a channel is
    raise^2 / 12 * (1 + sum of the variances of its inputs / Theta^2): rounded activations, and rounded weights. Weights of an
    operator with an exponent are multiples of a power of two, and their error grows with it. An error is never more than the
    power of a channel, which is lost when it no longer fires.

    operators: in the target's units; spreads: variance of each source's total messages, (channels,) or one; importance and
    power (channels,), in the target's units; room: largest integer weight of each operator, and largest threshold;
    most (channels,): bound on each raise.
    """
    limits, ceiling = room
    largest = np.max([_by_channel([op], "largest") / n for op, n in zip(operators, limits, strict=True)], axis=0)
    largest = np.maximum(largest, 1e-30)
    coarseness = np.square(np.asarray(limits, np.float64) / min(limits))
    parts = zip(operators, spreads, coarseness, strict=True)
    noise = sum(_by_channel([op], "spread", spread) * coarse for op, spread, coarse in parts)
    lowest = min(1 / float(largest.max()), ceiling)
    highest = min(float((most / largest).min()), ceiling)
    best, error = lowest, np.inf
    for candidate in np.clip(lowest * _STEPS, 1e-9, max(highest, lowest)):
        raised = np.maximum(1.0, largest * candidate)
        found = float((importance * np.minimum(raised**2 / 12 * (1 + noise / candidate**2), power)).sum())
        if found < error * (1 - 1e-9):
            best, error = float(candidate), found
    threshold = max(1, int(best))
    threshold -= threshold % THRESHOLD_STEP if threshold > LARGEST_MANTISSA else 0
    return Balance(threshold, np.maximum(1.0, largest * threshold))


def _by_channel(operators: Sequence[Operator], what: str, spread: Floats | None = None) -> Floats:
    """Per target channel (first axis): the largest absolute weight, or the sum of source variances over non-zero weights."""
    found = []
    for op in operators:
        if isinstance(op, Matrix):
            by_neuron = largest_into(op) if spread is None else _matrix_spread(op, spread)
            found.append(by_neuron.reshape(op.target[0], -1).max(axis=1))
        elif spread is None:
            found.append(np.abs(op.weight).reshape(len(op.weight), -1).max(axis=1))
        else:
            out, per_group = op.weight.shape[:2]
            group = np.arange(out) // (out // op.groups)
            variance = np.broadcast_to(spread, (op.source[0],))[group[:, None] * per_group + np.arange(per_group)]
            taps = (op.weight != 0).reshape(out, per_group, -1).sum(axis=2)
            found.append((taps * variance).sum(axis=1))
    result: Floats = np.max(found, axis=0)
    return result


def _matrix_spread(op: Matrix, spread: Floats) -> Floats:
    channels = np.broadcast_to(spread, (op.source[0],))
    by_neuron = np.repeat(channels, int(np.prod(op.source[1:])))
    return np.asarray((op.weight != 0).astype(np.float64).T @ by_neuron)
