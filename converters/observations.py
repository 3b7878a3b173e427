"""What the weight rows of an operator see and what they should amount to, at some places of a stage; and the second moments.

Values that populations send are whole numbers, and products of them are summed in float32 only as far as it holds every sum: the
moments are the same on every processor. Knows operators; knows nothing of how weights are fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from converters.linear import Matrix, Operator, Window

Array = NDArray[Any]
Floats = NDArray[np.float64]
Tensor = torch.Tensor
_MOST, _ROOM = 2**14, 2**24  # observations of a stage, and inputs of all weight rows in them, unless rows are so wide that
_PER_INPUT = 32  # that many observations for each input of a row are more
_EXACT = 2**24  # whole numbers up to here are float32
_SHORTEST = 64  # sums of fewer products than this are made in float64


@dataclass(frozen=True, slots=True)
class Places:
    """Places of a stage that are looked at: for each range of samples, positions in the stage's image (all of them: None)."""

    parts: tuple[tuple[slice, Array | None], ...]

    def of(self, values: Array) -> Array:
        """Values (samples, channels, places) there, (channels, observations)."""
        found = [values[rows] if at is None else values[rows][:, :, at] for rows, at in self.parts]
        return np.concatenate([part.swapaxes(0, 1).reshape(part.shape[1], -1) for part in found], axis=1)


def places_of(operators: Sequence[Operator], samples: int) -> Places:
    """Places to fit some operators into one stage at: all where there are few, or where an operator is a matrix."""
    count = int(np.prod(operators[0].target[1:]))
    keep = min(_kept(op, samples) for op in operators)
    if keep >= count or not all(isinstance(op, Window) for op in operators):
        return Places(((slice(0, samples), None),))
    draw, batch = torch.Generator().manual_seed(0), -(-samples // 16)
    starts = range(0, samples, batch)
    chosen = (torch.randperm(count, generator=draw)[:keep].numpy() for _ in starts)
    return Places(tuple((slice(start, start + batch), at) for start, at in zip(starts, chosen, strict=True)))


def _kept(operator: Operator, samples: int) -> int:
    if isinstance(operator, Matrix):
        return int(np.prod(operator.target[1:]))
    width = int(np.prod(operator.weight.shape[1:]))
    return max(1, min(_MOST, max(_PER_INPUT * width, _ROOM // (operator.groups * width))) // samples)


def observe(operator: Window, values: Tensor, places: Places) -> Array:
    """Inputs of an operator's weight rows, (groups, inputs, observations): float32 of whole numbers, else float64."""
    kernel = operator.weight.shape[2:]
    image = F.pad(values, [side for sides in reversed(operator.padding) for side in sides]).numpy()
    taps, bases = _offsets(operator, image.shape[2:])
    parts = []
    for rows, at in places.parts:
        flat = _floats(image[rows]).reshape(-1, image.shape[1], int(np.prod(image.shape[2:]))).swapaxes(0, 1)
        index = bases if at is None else bases[at]
        found = np.empty((len(flat), len(taps), flat.shape[1], len(index)), flat.dtype)
        for i, tap in enumerate(taps):
            found[:, i] = flat[:, :, index + tap]
        parts.append(found.reshape(operator.groups, -1, flat.shape[1] * len(index)))
    assert parts[0].shape[1] == operator.weight.shape[1] * int(np.prod(kernel))
    return np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]


def _offsets(operator: Window, image: tuple[int, ...]) -> tuple[Array, Array]:
    """Where the taps of a kernel and the windows lie in a padded image, as offsets into it laid flat."""
    steps = np.cumprod((1, *image[:0:-1]))[::-1]

    def laid(counts: Sequence[int], strides: Sequence[int]) -> Array:
        grid = np.indices(counts).reshape(len(counts), -1)
        return np.asarray((np.asarray(strides) * steps) @ grid)

    return laid(operator.weight.shape[2:], operator.dilation), laid(operator.target[1:], operator.stride)


def _floats(values: Array) -> Array:
    return values.astype(np.float32 if values.dtype.kind in "iub" and _largest(values) < _EXACT else np.float64)


def _largest(values: Array) -> int:
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


@dataclass(frozen=True, slots=True)
class Moments:
    """Of the inputs of each weight row: mean square, covariance (groups, inputs, inputs), and covariance with what the rows
    should amount to, (groups, inputs, rows of the group)."""

    power: float
    inputs: Floats
    wanted: Floats
    count: int


def moments(inputs: Array, wanted: Array) -> Moments:
    """Moments of inputs (groups, inputs, observations) with wanted (groups x rows, observations)."""
    groups, width, count = inputs.shape
    square = _products(inputs) / count
    mean = inputs.sum(axis=2, dtype=np.float64) / count
    target = wanted.reshape(groups, -1, count)
    mean_wanted = target.mean(axis=2, dtype=np.float64)
    cross = np.zeros((groups, width, target.shape[1]))
    for start in range(0, count, _MOST // 4):
        part = slice(start, start + _MOST // 4)
        cross += inputs[:, :, part].astype(np.float64) @ target[:, :, part].astype(np.float64).swapaxes(1, 2)
    power = float(np.einsum("gii->", square)) / (groups * width)
    return Moments(
        power,
        square - mean[:, :, None] * mean[:, None],
        cross / count - mean[:, :, None] * mean_wanted[:, None],
        count,
    )


def _products(inputs: Array) -> Floats:
    """Sums of products of all pairs of inputs, (groups, inputs, inputs)."""
    count = inputs.shape[2]
    step = count
    if inputs.dtype == np.float32:
        largest = max(1.0, float(inputs.max(initial=0)), -float(inputs.min(initial=0)))
        step = min(count, int(_EXACT / largest**2))
    if step < min(_SHORTEST, count):
        return _products(inputs.astype(np.float64))
    total = np.zeros((*inputs.shape[:2], inputs.shape[1]))
    for start in range(0, count, step):
        part = inputs[:, :, start : start + step]
        total += part @ part.swapaxes(1, 2)
    return total
