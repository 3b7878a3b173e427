"""What a projection's messages can add to one accumulator, and the form in which its weights are stored, which that follows.

The widths of accumulators rest on these proofs. Knows projections; knows no arenas and no kernels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.engine.layout import Layout
from neuro.engine.listing import Int32s, fan_in
from neuro.network import Network
from neuro.projections import Conv2d, Projection, forms
from neuro.specification import IntArray

INT16, INT32 = 2**15 - 1, 2**31 - 1


@dataclass(frozen=True, slots=True)
class Bound:
    """Largest magnitude that a projection's messages can add to one accumulator: in a step, and in the part between flushes."""

    step: int
    part: int
    needs_wide: bool


@dataclass(frozen=True, slots=True)
class WeightSums:
    """Largest sums of magnitudes of weights into one target neuron, of one sign and of both; and between two flushes.

    They do not depend on what is sent: `bound` says what messages with some payloads can add.
    """

    one_sign: int
    both_signs: int
    part_one_sign: int
    part_both_signs: int
    biggest: int
    gathered: bool  # dense: plain messages are flushed in parts as small as need be
    exponent: int = 0  # of the charge

    def bound(self, payloads: tuple[int, int]) -> Bound:
        """The proof: a target gets at most one message of each source neuron in a step, of at most the largest payload."""
        largest = max(abs(payloads[0]), abs(payloads[1])) << self.exponent
        step, part = self.one_sign * largest, self.part_one_sign * largest
        if payloads[0] < 0:
            step, part = self.both_signs * largest, self.part_both_signs * largest
        part = self.biggest if self.gathered and payloads == (0, 1) and not self.exponent else part
        return Bound(step, part, largest > 1 or self.biggest > INT16)


def as_stored(projection: Projection) -> tuple[Projection, int]:
    """The projection whose weights kernels keep, and the power of two that they multiply messages by: none where the weights
    fit their 16 bits with the exponent, or are listed one by one in 32. What learns keeps its rule, and its weights alone."""
    if not projection.exponent:
        return projection, 0
    plain, largest = replace(projection, exponent=0), magnitude(projection.stored_weights)  # type: ignore[type-var]  # every kind is a dataclass
    if projection.rule is not None:
        return plain, projection.exponent
    if projection.storage == "sparse" or largest << projection.exponent <= INT16 or largest > INT16:
        return projection.expanded(), 0
    return plain, projection.exponent


def sums(projection: Projection, exponent: int, network: Network) -> WeightSums:
    """The sums of a stored projection's weights."""
    found = _sums(projection, network)
    return replace(found, exponent=exponent)


def _sums(projection: Projection, network: Network) -> WeightSums:
    source, target = network[projection.source], network[projection.target]
    if projection.rule is not None:  # whatever it learns
        most = max(map(abs, projection.rule.bounds))
        into = np.bincount(projection.synapses(source.shape, target.shape).post, minlength=1)
        worst = most * int(into.max(initial=0))
        return WeightSums(worst, worst, worst, worst, most, False)
    conv = as_convolution(projection, network)
    biggest = magnitude(projection.stored_weights)
    if conv is not None:
        rows = [_worst(*_signs(conv.weights[:, :, ky], (1, 2))) for ky in range(conv.weights.shape[2])]
        parts = (max(one for one, _ in rows), max(both for _, both in rows))
        return WeightSums(*_worst(*_signs(conv.weights, (1, 2, 3))), *parts, biggest, False)
    matrix = projection.matrix
    if matrix is not None:
        step = _worst(*_signs(matrix, (0,)))
        return WeightSums(*step, *step, biggest, True)
    _, post, weight = listed(projection, network)
    step = _worst(*fan_in(post, weight, target.size))
    return WeightSums(*step, *step, biggest, False)


def listed(projection: Projection, network: Network) -> tuple[Int32s, Int32s, IntArray]:
    """Source neurons, target neurons and weights of a projection's synapses; where they are stored as such, there is no copy."""
    if projection.storage == "sparse":
        stored: Any = projection.expanded()
        return stored.weights  # type: ignore[no-any-return]  # three arrays, once it is made
    synapses = projection.synapses(network[projection.source].shape, network[projection.target].shape)
    return synapses.pre.astype(np.int32), synapses.post.astype(np.int32), synapses.weight


def bounds(projection: Projection, network: Network, payloads: tuple[int, int]) -> Bound:
    """What messages of a projection can add: sums of positive and of negative weights, times the largest payload."""
    return sums(*as_stored(projection), network).bound(payloads)


def _signs(weights: NDArray[Any], axes: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sums of positive weights and of the magnitudes of negative ones."""
    up, down = (np.maximum(signed, 0).sum(axis=axes, dtype=np.int64) for signed in (weights, -weights))
    return up, down


def _worst(up: NDArray[np.int64], down: NDArray[np.int64]) -> tuple[int, int]:
    return int(np.maximum(up, down).max(initial=0)), int((up + down).max(initial=0))


def magnitude(values: NDArray[Any]) -> int:
    """The largest absolute value, of which there is no copy; 0 of none."""
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


def as_convolution(projection: Projection, network: Network) -> Conv2d | None:
    """The projection as a 2-d convolution with 16-bit weights, and rows whose columns kernels can tell, where it is one."""
    conv = forms.as_convolution(projection, network[projection.source].shape, network[projection.target].shape)
    if conv is None or magnitude(conv.weights) > INT16:
        return None
    return conv if _divisible(Layout.of(network[projection.source].shape)) else None


def _divisible(layout: Layout) -> bool:
    """Whether kernels find the column of a lane exactly: by a product with 2^40 / channels that must stay within 64 bits."""
    return layout.width < 1 << 23 and layout.lanes * layout.channels < 1 << 40


def is_depthwise(conv: Conv2d) -> bool:
    """Whether every source channel reaches its own target channel only."""
    return bool(conv.groups == conv.weights.shape[0] and conv.weights.shape[1] == 1)
