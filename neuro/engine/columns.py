"""Which target columns a source column of a convolution reaches, and through which columns of the kernel. Knows no weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.engine.layout import Layout
from neuro.projections import Conv2d


@dataclass(frozen=True, slots=True)
class Columns:
    """For each source column: target columns it reaches, ascending, through kernel columns `taps` (descending)."""

    targets: list[list[int]]
    taps: list[list[int]]

    @staticmethod
    def of(conv: Conv2d, width: int) -> Columns:
        stride, dilation = conv.stride[1], conv.dilation[1]  # type: ignore[index]  # settled to pairs at birth
        targets, taps = [], []
        for x in range(width):
            pairs = [
                ((x + conv.padding[1][0] - k * dilation) // stride, k)
                for k in reversed(range(conv.weights.shape[3]))
                if (x + conv.padding[1][0] - k * dilation) % stride == 0
            ]
            targets.append([p[0] for p in pairs])
            taps.append([p[1] for p in pairs])
        return Columns(targets, taps)


def apart(columns: Columns, target: Layout, lanes: int) -> NDArray[np.int64]:
    """For each source lane the lane of its one target, or -1; and the lane of its weight."""
    found = np.zeros((2, len(columns.targets), target.channels), np.int64)
    found[0] = -1
    for x, (targets, taps) in enumerate(zip(columns.targets, columns.taps, strict=True)):
        if targets and 0 <= targets[0] < target.width:
            found[0, x] = targets[0] * target.channels + np.arange(target.channels)
            found[1, x] = found[0, x] + taps[0] * lanes
    return found


def neighbours(conv: Conv2d) -> bool:
    """Whether the target columns of successive taps are neighbours, so that taps merge into one row."""
    return tap_step(conv) == 1


def tap_step(conv: Conv2d) -> int:
    stride, dilation = conv.stride[1], conv.dilation[1]  # type: ignore[index]  # a Conv2d holds pairs once it is made
    return int(dilation // np.gcd(stride, dilation))


def most_taps(columns: Columns) -> int:
    return max(1, *(len(taps) for taps in columns.taps))


def padded_targets(conv: Conv2d, targets: list[int]) -> list[int]:
    """Target columns of one source column, with those that zero-padded taps would reach."""
    if not targets:
        return targets
    return [*targets, targets[0] + (conv.weights.shape[3] - 1) * tap_step(conv)]
