"""How large a population's integer threshold should be, and which channels give up activation levels for weight resolution.

A threshold Theta scales all weights into a population. Channels whose largest weight or potential would then pass the bits there
are have their float threshold raised instead. Knows error variances; knows no neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.integers import largest_by_channel
from converters.linear import Matrix, Operator

Floats = NDArray[np.float64]
LARGEST_MANTISSA, THRESHOLD_STEP = 2**16, 64  # larger thresholds have an exponent, as on Loihi: 17 bits << 6
MOST_BIAS = 224  # of a step, where weights are trinary: 9 bits with a sign, less what correcting it may add
_STEPS = 2.0 ** np.arange(0, 20.01, 0.25)  # candidates for Theta, relative to one that needs no raise


@dataclass(frozen=True, slots=True)
class Balance:
    """The chosen integer threshold, and the factor (channels,) >= 1 on each float threshold."""

    threshold: int
    raised: Floats


@dataclass(frozen=True, slots=True)
class Room:
    """What limits a threshold. limits: largest integer weight of each operator; held (channels,): the largest potential of a
    threshold of 1, as a share of what the potential's bits hold; ceiling: the largest threshold; most (channels,): how far a
    channel may be raised."""

    limits: Sequence[int]
    held: Floats
    ceiling: float
    most: Floats


def balance(operators: Sequence[Operator], spreads: Sequence[Floats], importance: Floats, power: Floats, room: Room) -> Balance:
    """Least sum over channels of importance x error, where in units of the target's message the error variance of a channel is
    raise^2 / 12 * (1 + (sum of the spreads of its inputs + 1) / Theta^2): rounded activations, weights and bias. A channel is
    raised where its weights or its potentials would need more bits than there are. Weights of an operator with an exponent are
    multiples of a power of two, and their error grows with it. An error is never more than the power of a channel, which is
    lost when it no longer fires.

    operators: in the target's units; spreads: variance of each source's total messages, or their mean square where nothing
    corrects the bias, (channels,) or one; importance and power (channels,), of the target's total messages.
    """
    largest = np.maximum(np.maximum(largest_by_channel(operators, room.limits), room.held), 1e-30)
    coarseness = np.square(np.asarray(room.limits, np.float64) / min(room.limits))
    parts = zip(operators, spreads, coarseness, strict=True)
    noise = sum(_spread(op, spread) * coarse for op, spread, coarse in parts)
    lowest = min(1 / float(largest.max()), room.ceiling)
    highest = min(float((room.most / largest).min()), room.ceiling)
    best, error = lowest, np.inf
    for candidate in np.clip(lowest * _STEPS, 1e-9, max(highest, lowest)):
        raised = np.maximum(1.0, largest * candidate)
        found = float((importance * np.minimum(raised**2 / 12 * (1 + (noise + 1) / candidate**2), power)).sum())
        if found < error * (1 - 1e-9):
            best, error = float(candidate), found
    threshold = max(1, int(best))
    threshold -= threshold % THRESHOLD_STEP if threshold > LARGEST_MANTISSA else 0
    return Balance(threshold, np.maximum(1.0, largest * threshold))


def even(operators: Sequence[Operator], room: Room, bias: float) -> Balance:
    """The largest threshold within the room for all channels alike, so that weights of one size stay of one size; with it a bias
    of `bias` a step, in thresholds, keeps within `MOST_BIAS`."""
    largest = max(float(np.max(np.maximum(largest_by_channel(operators, room.limits), room.held))), 1e-30)
    threshold = max(1, int(min(1 / largest, room.ceiling, MOST_BIAS / max(bias, 1e-30))))
    return Balance(threshold, np.full(np.shape(room.most), max(1.0, largest * threshold)))


def _spread(op: Operator, spread: Floats) -> Floats:
    """Per target channel (first axis): the sum of source variances over non-zero weights, (channels,)."""
    if isinstance(op, Matrix):
        by_neuron = np.repeat(np.broadcast_to(spread, (op.source[0],)), int(np.prod(op.source[1:])))
        if op.rows is not None:
            by_neuron = np.bincount(op.rows, by_neuron).astype(np.float64)
        sums = np.asarray((op.weight != 0).astype(np.float64).T @ by_neuron)
        return np.asarray(sums.reshape(op.target[0], -1).max(axis=1))
    out, per_group = op.weight.shape[:2]
    group = np.arange(out) // (out // op.groups)
    variance = np.broadcast_to(spread, (op.source[0],))[group[:, None] * per_group + np.arange(per_group)]
    taps = (op.weight != 0).reshape(out, per_group, -1).sum(axis=2)
    return np.asarray((taps * variance).sum(axis=1))
