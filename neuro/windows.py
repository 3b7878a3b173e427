"""Sliding windows over images: how many fit, which pixel each place of a window reads. Knows numbers, no weights or neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import NetworkError
from neuro.numbers import whole

Shape = tuple[int, ...]
Pair = tuple[int, int]
Sides = tuple[Pair, ...]  # padding before and behind, of each axis
Positions = tuple[NDArray[np.int64], NDArray[np.bool_]]


def window_output(size: Shape, kernel: Any, stride: Any, padding: Sides, dilation: Any) -> Shape:
    """Places of a sliding window along each axis of an image; NetworkError where an option has another number of axes."""
    options = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    for name, value in options.items():
        if len(value) != len(size):
            raise NetworkError("window", f"{name} {value} for an image of {len(size)} axes, {size}", "Give one for each axis")
    return tuple(
        (n + sum(p) - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )


def pair(value: Any, where: str, name: str) -> Pair:
    """One whole number for height and width, or one of each; NetworkError for fractions and for other numbers of axes."""
    if type(value) is tuple and len(value) == 2 and type(value[0]) is int and type(value[1]) is int:
        return value
    entries = tuple(value) if isinstance(value, tuple | list | np.ndarray) and np.ndim(value) == 1 else (value, value)
    if len(entries) != 2:
        raise NetworkError(where, f"{name} = {value!r}", "Use one whole number, or one for each of two axes")
    first, second = (whole(where, name, entry, error=NetworkError) for entry in entries)
    return (first, second)


def sides(padding: Any, where: str) -> Sides:
    """Padding as ((top, bottom), (left, right)), given so, as (height, width), or as one whole number; else NetworkError."""
    entries = tuple(padding) if isinstance(padding, tuple | list | np.ndarray) and len(padding) else (padding, padding)
    if len(entries) != 2 or len({isinstance(entry, tuple | list | np.ndarray) for entry in entries}) > 1:
        remedy = "Use whole numbers: one, (height, width) or ((top, bottom), (left, right))"
        raise NetworkError(where, f"padding = {padding!r}", remedy)
    return (pair(entries[0], where, "padding"), pair(entries[1], where, "padding"))


def check_window(where: str, kernel: Shape, stride: Pair, padding: Sides, dilation: Pair) -> None:
    """Refuse a window that takes no step, has no place, or takes something away at the edges."""
    for name, value in {"stride": stride, "dilation": dilation, "kernel": tuple(kernel)}.items():
        if min(value) < 1:
            raise NetworkError(where, f"{name} = {value}", "Use 1 or more")
    if min(a for side in padding for a in side) < 0:
        raise NetworkError(where, f"padding = {padding}", "Use 0 or more")


def reads_padding_alone(size: Shape, places: Shape, kernel: Any, stride: Any, padding: Sides, dilation: Any) -> bool:
    """Whether a window at one of its `places` reads no pixel of an image of `size`; both have one number for each axis."""
    for n, out, k, s, (before, _), d in zip(size, places, kernel, stride, padding, dilation, strict=True):
        at = np.arange(out)[:, None] * s - before + np.arange(k) * d
        if not ((at >= 0) & (at < n)).any(axis=1).all():
            return True
    return False


def positions(p: Any, axis: int, tap: NDArray[np.int64], source: Shape, target: Shape) -> Positions:
    """Source coordinate (taps, target positions) that each tap reads, and whether it lies inside the image.

    p has stride, padding and dilation; axis 0 is the height; source and target are (channels, height, width).
    """
    at = np.arange(target[1 + axis]) * p.stride[axis] - p.padding[axis][0] + tap[:, None] * p.dilation[axis]
    return at, (at >= 0) & (at < source[1 + axis])


def pairs_inside(p: Any, kernel: Shape, source: Shape, target: Shape) -> int:
    """How many pairs of a place of the window and a position of it read a pixel rather than padding."""
    inside = [positions(p, axis, np.arange(kernel[axis]), source, target)[1].sum() for axis in (0, 1)]
    return int(inside[0]) * int(inside[1])
