"""Weights into a population as integers: one scale for each neuron or channel, with a power of two for each source.

Knows the units and ranges of what is read; knows no neurons' parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from converters import integers, linear, operators
from converters.linear import Operator, Window
from converters.operators import sums_into
from converters.values.cells import Cell, Sum
from converters.values.functions import sum_headroom
from converters.values.ranges import Extent
from converters.values.widths import Widths
from neuro.network import Population
from neuro.projections import Projection

Floats = NDArray[np.float64]
_LARGEST_EXPONENT = 7
_NEGLIGIBLE = 2.0**-12  # of a population's charge: paths that bring less need no resolution of their own
_SEVERAL, FEW = 1.5, 4  # values that a neuron reads, of which all weights can be near whole numbers
_ACCUMULATED = 0.8 * 2**31  # charge of one step of time; the rest for a bias, and for what rounding of weights adds
_SHARES = 2**24  # of a neuron's largest weight, in which others are compared
_ALIKE = 2.0  # scales of neurons that differ by less share the larger one


@dataclass(frozen=True, slots=True)
class Encoded:
    """A population, the projections into it, the real value of a step of what it sends (as many axes as its shape, each whole
    or 1), the step at which it sends, and of each path the share of its weights' energy that rounding keeps."""

    population: Population
    projections: tuple[Projection, ...]
    unit: Floats
    sends_at: int
    kept: tuple[tuple[str, float], ...] = ()
    step: Floats | None = None  # of a weighted sum, the real value of a step of its charge

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest integer that it sends."""
        return self.population.neuron.messages


def compressed(values: Floats, alike: float = 1.0) -> Floats:
    """The array with every axis reduced to its largest entry along which entries differ by no more than a factor."""
    for axis in range(values.ndim):
        most = values.max(axis=axis, keepdims=True)
        if values.shape[axis] > 1 and (most <= alike * np.where(values > 0, values, np.inf)).all():
            values = most
    return values


@dataclass(frozen=True, slots=True)
class Scaled:
    """Integer operators, their exponents, and the real value of one step of the charge that they bring, per neuron."""

    operators: tuple[Operator, ...]
    exponents: tuple[int, ...]
    step: Floats
    kept: tuple[tuple[str, float], ...]


def scaled(
    cell: Cell,
    port: Sum,
    made: Mapping[str, Encoded],
    extent: Extent,
    widths: Widths,
    clipped: bool = False,
    alike: frozenset[str] = frozenset(),
) -> Scaled:
    shape, senders = cell.layer.shape, [made[path.source] for path in port.paths]
    real = [linear.times(path.operator, s.unit, 1.0) for path, s in zip(port.paths, senders, strict=True)]
    sizes = [integers.largest_weight([op]) for op in real]
    exponents = exponents_of(sizes, [max(map(abs, s.range)) for s in senders])
    each = [largest_into(op, shape) / 2.0**e for op, e in zip(real, exponents, strict=True)]
    largest = together(each, shape, any(isinstance(op, Window) for op in real))
    room = reach_of(port, extent, largest.shape)
    limit = widths.limit_of(cell.weight_bits)
    most = widths.room(clipped, sum_headroom(cell.layer, cell.fused, extent, cell.headroom))
    whole = np.clip(np.floor(largest * most / np.where(room > 0, room, 1e-300)), 1, limit)
    alone = np.where(room > 0, 0.0, 1.0)  # without weights: what its bias needs
    step = np.where(largest > 0, largest / _fitting(real, exponents, largest, whole), alone)
    step = np.maximum(step, _least_step(largest, room, most, widths))
    levels = [max(map(abs, s.range)) for s in senders]
    if _may_overflow(real, levels, exponents, limit):
        step = np.maximum(step, _held(real, levels, (limit, widths.limit), largest.shape))
    for path, sender, e in zip(port.paths, senders, exponents, strict=True):
        if path.source in alike:  # a whole number of steps, the same for all of them
            unit = np.broadcast_to(sender.unit, shape) / 2.0**e
            step = unit / np.maximum(np.floor(unit / step * (1 + 1e-9)), 1)
    fine = [linear.times(op, 1.0, 1 / np.broadcast_to(step, shape) / 2.0**e) for op, e in zip(real, exponents, strict=True)]
    done = [integers.rounded_with_share(op, limit) for op in fine]
    kept = tuple((path.source, share) for path, (_, share) in zip(port.paths, done, strict=True))
    return Scaled(tuple(op for op, _ in done), tuple(exponents), np.asarray(step), kept)


def _least_step(largest: Floats, room: Floats, most: float, widths: Widths) -> Floats:
    """The step with which a sum has so much room: small weights beside a large bias lose digits, not the sum its range. Where the
    largest weight would be most of a step, it is one, if a potential just holds the calibrated range: rounded up, a mean would
    be larger than it is."""
    least = room / most
    near = (largest < least) & (2 * largest >= least) & (room < largest * widths.largest)
    return np.asarray(np.where(near, largest, least))


def _may_overflow(real: Sequence[Operator], levels: Sequence[int], exponents: Sequence[int], limit: int) -> bool:
    """Whether weights could bring more in one step of time than an accumulator holds, were all of them the largest."""
    read = [prod(op.weight.shape[1:] if isinstance(op, Window) else op.source) for op in real]
    return bool(sum(n * m * 2**e for n, m, e in zip(read, levels, exponents, strict=True)) * limit >= _ACCUMULATED)


def _held(real: Sequence[Operator], levels: Sequence[int], limits: tuple[int, int], scales: tuple[int, ...]) -> Floats:
    """The step with which no messages bring more in one step of time than an accumulator holds, whatever the samples are. limits:
    largest weights, and of one synapse."""
    limit, single = limits
    total = np.zeros(real[0].target)
    for op, m in zip(real, levels, strict=True):
        sums = sums_into(op)
        if limit > single:  # the two parts of a weight may have different signs
            sums = sums + sums_into(replace(op, weight=(op.weight != 0) * 1.0)) * integers.largest_weight([op]) / single
        total += m * (sums.reshape(-1, *[1] * (total.ndim - 1)) if isinstance(op, Window) else sums.reshape(total.shape))
    for axis, count in enumerate(scales):
        if count == 1:
            total = total.max(axis=axis, keepdims=True)
    return np.asarray(total / _ACCUMULATED)


def _fitting(real: Sequence[Operator], exponents: Sequence[int], largest: Floats, whole: Floats) -> Floats:
    """How many steps the largest weight into each neuron has, half of `whole` at least: where neurons read few values, as many as
    bring all weights near whole numbers. A sum of values that nearly cancel is small beside what rounding of weights changes."""
    if not real or not _SEVERAL <= sum(map(_values_read, real)) <= FEW:
        return whole
    group = np.broadcast_to(np.arange(largest.size).reshape(largest.shape), real[0].target)
    parts = [_weights_of(op, group) for op in real]
    of = np.concatenate([places for places, _ in parts])
    share = np.concatenate([np.abs(weights) / 2.0**e for (_, weights), e in zip(parts, exponents, strict=True)])
    share = np.rint(share / np.maximum(largest.ravel(), 1e-300)[of] * _SHARES).astype(np.int64)
    of, share = np.divmod(np.unique(of * (2 * _SHARES) + share), 2 * _SHARES)
    best, least = whole.ravel().copy(), np.full(whole.size, np.inf)
    for less in range(int(whole.max()) // 2 + 1):
        tried = np.maximum(whole.ravel() - less, 1)
        apart = share / _SHARES - np.rint(share / _SHARES * tried[of]) / tried[of]
        error = np.bincount(of, np.square(apart), whole.size)
        better = (error < least) & (2 * tried >= whole.ravel())
        best, least = np.where(better, tried, best), np.where(better, error, least)
    return np.asarray(best.reshape(whole.shape))


def _values_read(op: Operator) -> float:
    """How many values a neuron reads, on average."""
    if isinstance(op, Window):
        return float(prod(op.weight.shape[1:]))
    stored = op.weight.nnz if sparse.issparse(op.weight) else op.weight.size
    return float(stored / prod(op.target))


def _weights_of(op: Operator, group: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """The weights into neurons, and of each the group of its neuron; group: those of all neurons, (*target shape)."""
    if isinstance(op, Window):
        first = group.reshape(len(op.weight), -1)[:, 0]
        return np.repeat(first, prod(op.weight.shape[1:])), op.weight.ravel()
    found = sparse.coo_array(op.weight)
    return group.ravel()[found.coords[1]], found.data


def exponents_of(largest: Sequence[float], levels: Sequence[int]) -> list[int]:
    """Powers of two by which sources of very different units keep all the bits of their weights. For each source: its largest
    weight, in real values for one step of it, and the largest integer that it sends."""
    brought = [size * most for size, most in zip(largest, levels, strict=True)]
    counted = [size for size, part in zip(largest, brought, strict=True) if part > _NEGLIGIBLE * max(brought)]
    if len(largest) == 1 or not counted:
        return [0] * len(largest)
    finest = min(counted)
    return [int(np.clip(np.ceil(np.log2(size / finest)), 0, _LARGEST_EXPONENT)) if size > finest else 0 for size in largest]


def largest_into(op: Operator, shape: tuple[int, ...]) -> Floats:
    """The largest weight into each neuron; into each channel where a window shares its weights. As many axes as the shape."""
    if isinstance(op, Window):
        return np.asarray(np.abs(op.weight).reshape(len(op.weight), -1).max(axis=1).reshape(-1, *[1] * (len(shape) - 1)))
    return operators.largest_into(op).reshape(shape)


def together(each: Sequence[Floats], shape: tuple[int, ...], shared: bool) -> Floats:
    """The largest of all paths' weights, for neurons with one scale; shared: a window is among them, so channels have one."""
    largest = np.zeros((1,) * len(shape))
    for one in each:
        largest = np.maximum(largest, one)
    if shared:
        return np.asarray(largest.max(axis=tuple(range(1, len(shape))), keepdims=True))
    return compressed(largest, _ALIKE)


def reach_of(port: Sum, extent: Extent, scales: tuple[int, ...]) -> Floats:
    """How far a sum goes on the way to its calibrated range, for neurons that share a scale of that shape."""
    reach = np.maximum(extent.size, np.abs(port.bias)) + np.abs(port.bias)
    room = compressed(reach, _ALIKE) if scales == reach.shape else reach
    for axis, count in enumerate(scales):
        if count == 1:
            room = room.max(axis=axis, keepdims=True)
    return np.asarray(room)
