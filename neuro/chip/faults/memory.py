"""Broken memory: the network that a chip holds when weights are stuck or bits of them are wrong. Nothing is run here."""

from __future__ import annotations

import numpy as np

from neuro.chip.chance import STUCK, WEIGHTS, Ints, flip_all, flips, key_of, mark_faulty
from neuro.chip.cutting.limits import common_shift, weight_bits
from neuro.chip.faultspec import Faults
from neuro.chip.spec import Chip
from neuro.network import Network
from neuro.projections import Projection
from neuro.specification import INT32


def with_broken_weights(network: Network, chip: Chip, faults: Faults) -> Network:
    """The network as a chip with broken memory holds it; the same one where no weight is faulty."""
    if not faults.weight_flips and not faults.stuck_weights:
        return network
    broken = tuple(_with_faults(projection, i, chip, faults) for i, projection in enumerate(network.projections))
    return Network(network.populations, broken, network.timesteps, network.notes)


def _with_faults(projection: Projection, index: int, chip: Chip, faults: Faults) -> Projection:
    stored = projection.stored_weights.astype(np.int64)
    weights = stored.ravel().copy()
    if faults.weight_flips:
        weights = _flipped(weights, projection, chip, faults, key_of(faults.seed, WEIGHTS, index))
    stuck = np.zeros(len(weights), np.bool_)
    if faults.stuck_weights:
        mark_faulty(stuck, key_of(faults.seed, STUCK, index), faults.stuck_weights)
        value = {"zero": 0, "least": stored.min(initial=0), "most": stored.max(initial=0)}[faults.stuck_at]
        weights = np.where(stuck, value, weights)
    return projection.with_weights(weights.reshape(stored.shape).astype(np.int32))


def _flipped(weights: Ints, projection: Projection, chip: Chip, faults: Faults, key: int) -> Ints:
    """Weights are stored in two's complement, or without a sign where all have the same; a common power of two is left out."""
    bits, shift = weight_bits(projection, chip), common_shift(weights)
    low, high = weights.min(initial=0), weights.max(initial=0)
    masks, words = np.zeros_like(weights), np.abs(weights) >> shift
    flip_all(masks, key, flips(bits, faults.weight_flips))
    if low < 0 < high:
        words = weights >> shift
    else:
        masks &= (1 << bits) - 1
    sign = -1 if low < 0 == high else 1
    return np.clip(((words ^ masks) * sign) << shift, -INT32.max, INT32.max)
