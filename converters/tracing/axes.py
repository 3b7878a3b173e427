"""Linear maps along one axis of a tensor, written with the cheapest layers that a Graph has. Knows matrices; knows no torch call.

A map is a matrix (out, in) that is applied to every line along the axis: selecting, repeating, padding by reflection,
interpolating and uneven averaging are all of this kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx

from converters.tracing.builder import Builder


def along(b: Builder, node: fx.Node, name: str, axis: int, matrix: Any) -> str:
    """Layer `name` with a matrix (out, in) applied along an axis (without samples); returns the layer that computes it."""
    matrix = np.asarray(matrix, np.float64)
    if matrix.shape[0] == matrix.shape[1] and (matrix == np.eye(len(matrix))).all():
        return name
    run = _run(matrix)
    if run is not None:
        return cropped(b, node, name, {axis: run})
    return blocks(b, node, name, axis, _block(matrix))


def blocks(b: Builder, node: fx.Node, name: str, axis: int, block: NDArray[np.float64]) -> str:
    """Layer `name` with a matrix (out, in) applied to every `in` values in a row along an axis, whose size is a multiple."""
    shape, (outputs, inputs) = b.shape(name), block.shape
    last, parts = axis == len(shape) - 1, shape[axis] // inputs
    order = (*(i for i in range(len(shape)) if i != axis), axis)
    if not last:
        name = b.add(node, "permute", (name,), tuple(shape[i] for i in order), axes=order)
    outer = b.shape(name)[:-1]
    if parts > 1:
        name = b.add(node, "reshape", (name,), (*outer, parts, inputs))
    name = b.add(node, "linear", (name,), (*b.shape(name)[:-1], outputs), {"weight": block})
    if parts > 1:
        name = b.add(node, "reshape", (name,), (*outer, parts * outputs))
    if not last:
        back = tuple(int(i) for i in np.argsort(order))
        name = b.add(node, "permute", (name,), tuple(b.shape(name)[i] for i in back), axes=back)
    return name


def taken(b: Builder, node: fx.Node, name: str, axis: int, indices: Sequence[int] | NDArray[np.int64]) -> str:
    """Layer `name` with some of its slices along an axis, in the order of `indices` (0 or more each, repeated or not)."""
    indices, size = np.asarray(indices, np.int64), b.shape(name)[axis]
    if not indices.size:
        raise b.refuse(node, "it picks nothing", "Leave it out")
    steps, start = np.unique(np.diff(indices)), int(indices[0])
    if len(steps) == 0 or (len(steps) == 1 and steps[0] == 1):
        return cropped(b, node, name, {axis: (start, start + len(indices))})
    if len(steps) == 1 and steps[0] > 1:  # every s-th: in rows of s, the first of each
        step = int(steps[0])
        return blocks(b, node, cropped(b, node, name, {axis: (start, start + step * len(indices))}), axis, np.eye(1, step))
    if np.array_equal(indices, np.arange(size)):
        return name
    return b.add(node, "gather", (name,), resized(b.shape(name), axis, len(indices)), axis=axis, indices=indices)


def resampled(b: Builder, node: fx.Node, name: str, axis: int, matrix: Any) -> str:
    """Layer `name` with a matrix (out, in) of few entries a row applied along an axis."""
    matrix = np.asarray(matrix, np.float64)
    taps = max(int((matrix != 0).sum(1).max()), 1)
    order = np.argsort(matrix == 0, axis=1, kind="stable")[:, :taps]  # the places of each row's entries come first
    weight = np.take_along_axis(matrix, order, 1)
    if taps == 1 and (weight == 1).all():
        return taken(b, node, name, axis, order[:, 0])
    shape = resized(b.shape(name), axis, len(matrix))
    return b.add(node, "resample", (name,), shape, {"weight": weight}, axis=axis, places=order)


def cropped(b: Builder, node: fx.Node, name: str, runs: Mapping[int, tuple[int, int]]) -> str:
    """Layer `name` from a start to before a stop along some axes; beyond their ends there are zeros."""
    shape = b.shape(name)
    cuts = [runs.get(axis, (0, size)) for axis, size in enumerate(shape)]
    if all(cut == (0, size) for cut, size in zip(cuts, shape, strict=True)):
        return name
    sides = tuple((-start, stop - size) for (start, stop), size in zip(cuts, shape, strict=True))
    return b.add(node, "pad", (name,), tuple(stop - start for start, stop in cuts), padding=sides, value=0.0)


def resized(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    """The shape with another size of one axis."""
    return (*shape[:axis], size, *shape[axis + 1 :])


def spread(b: Builder, node: fx.Node, name: str, shape: tuple[int, ...]) -> str:
    """Layer `name` repeated so that it has a shape that it broadcasts to."""
    own = b.shape(name)
    if len(own) < len(shape):
        own = (*[1] * (len(shape) - len(own)), *own)
        name = b.add(node, "reshape", (name,), own)
    for axis, (one, many) in enumerate(zip(own, shape, strict=True)):
        if one != many:
            name = taken(b, node, name, axis, np.zeros(many, np.int64))
    return name


def _run(matrix: NDArray[np.float64]) -> tuple[int, int] | None:
    """Start and end where the matrix keeps a run of consecutive values, else None."""
    ones = np.argwhere(matrix)
    if len(ones) != len(matrix) or not len(ones):
        return None
    start = int(ones[0, 1])
    kept = np.eye(len(matrix), matrix.shape[1], k=start)
    return (start, start + len(matrix)) if kept.shape == matrix.shape and (kept == matrix).all() else None


def _block(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest matrix that, repeated along the diagonal, makes the whole one."""
    outputs, inputs = matrix.shape
    common = int(np.gcd(outputs, inputs))
    for parts in range(common, 1, -1):
        if common % parts == 0:
            block = matrix[: outputs // parts, : inputs // parts]
            if np.count_nonzero(matrix) == parts * np.count_nonzero(block) and (np.kron(np.eye(parts), block) == matrix).all():
                return block
    return matrix
