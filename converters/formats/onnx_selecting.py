"""ONNX operators that leave out, repeat or surround values of a sample: pads, slices, splits and picks by constant indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.formats.onnx_building import Array, Builder
from converters.formats.onnx_shapes import Sides, axis_of, listed, permuted, reshaped
from neuro.graph import Layer

_LARGEST_MATRIX = 2**24  # places of the matrix that picks values along an axis


def pad(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """pad with a constant; negative pads crop"""
    x, value, mode = b.layer(node), b.constant(node, 2, "value"), a.get("mode", b"constant").decode()
    if mode != "constant":
        raise b.refuse(node, f"its mode is {mode!r}", "Pad with a constant")
    pads, dims = listed(b, node, 1, "pads", a) or [], len(x.shape) + 1
    axes = b.constant(node, 3, "axes")
    at = [int(axis) % dims for axis in axes.ravel()] if axes is not None else list(range(dims))
    if len(pads) != 2 * len(at) or len(set(at)) != len(at):
        raise b.refuse(node, f"{len(pads)} pads for {len(at)} axes", "Export the model again")
    sides = [(0, 0)] * dims
    for i, axis in enumerate(at):
        sides[axis] = (pads[i], pads[i + len(at)])
    if sides[0] != (0, 0):
        raise b.refuse(node, "it pads the samples", "Pad the other axes")
    filled = float(a.get("value", 0.0)) if value is None else float(value.reshape(()))
    return _padded(b, node, x, tuple(sides[1:]), filled)


def _padded(b: Builder, node: Any, x: Layer, sides: Sides, value: float = 0.0) -> str:
    shape = tuple(n + sum(side) for n, side in zip(x.shape, sides, strict=True))
    if any(n + min(side) < 1 or n + sum(side) < 1 for n, side in zip(x.shape, sides, strict=True)):
        raise b.refuse(node, f"it leaves {shape} of {x.shape}", "Keep at least one value")
    return b.add(node, "pad", (x.name,), shape, padding=sides, value=value)


def slices(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """pad that crops; with steps, avg_pool of single pixels or linear"""
    x = b.layer(node)
    starts, ends = listed(b, node, 1, "starts", a), listed(b, node, 2, "ends", a)
    if starts is None or ends is None:
        raise b.refuse(node, "it names no bounds", "Export the model again")
    axes = listed(b, node, 3, "axes", a) or list(range(len(starts)))
    steps = listed(b, node, 4, "steps", {}) or [1] * len(starts)
    picks: dict[int, range] = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if axis == 0 and start == 0 and step == 1 and end >= (b.batch or 2**31 - 1):
            continue  # all samples
        place = axis_of(b, node, axis, len(x.shape))
        if place in picks:
            raise b.refuse(node, f"its axes {axes} repeat", "Slice every axis once")
        picks[place] = range(*slice(start, end, step).indices(x.shape[place]))
    return _picked(b, node, x, picks)


def _picked(b: Builder, node: Any, x: Layer, picks: dict[int, range]) -> str:
    """Evenly spaced places along some axes."""
    shape = tuple(len(picks.get(axis, range(n))) for axis, n in enumerate(x.shape))
    if min(shape, default=1) < 1:
        raise b.refuse(node, f"it yields the shape {shape}", "Keep at least one value")
    forward = {axis: r for axis, r in picks.items() if r.step > 0 or len(r) == 1}
    sides = [(-forward[axis][0], forward[axis][-1] + 1 - n) if axis in forward else (0, 0) for axis, n in enumerate(x.shape)]
    name = _padded(b, node, x, tuple(sides)) if any(map(any, sides)) or not picks else x.name
    stride = tuple(forward[axis].step if axis in forward and len(forward[axis]) > 1 else 1 for axis in range(len(x.shape)))
    if any(n > 1 for n in stride[1:]) and stride[0] == 1 and len(stride) in (2, 3):
        ones = (1,) * (len(stride) - 1)
        shape = tuple(-(-n // s) for n, s in zip(b.layers[name].shape, stride, strict=True))
        name = b.add(node, "avg_pool", (name,), shape, kernel=ones, stride=stride[1:], padding=((0, 0),) * len(ones), divisor=1)
        stride = (1,) * len(stride)
    for axis, r in picks.items():
        if axis not in forward:
            name = _gathered(b, node, b.layers[name], axis, np.array(r))
        elif stride[axis] > 1:
            name = _gathered(b, node, b.layers[name], axis, np.arange(0, b.layers[name].shape[axis], stride[axis]))
    return name


def _gathered(b: Builder, node: Any, x: Layer, axis: int, indices: Array) -> str:
    """Places along an axis in any order, any number of times."""
    size = x.shape[axis]
    if indices.size * size > _LARGEST_MATRIX:
        raise b.refuse(node, f"it picks {indices.size} of {size} places one by one", "Pick a run of places")
    matrix = np.zeros((indices.size, size), np.float32)
    matrix[np.arange(indices.size), indices] = 1
    return along(b, node, x, axis, matrix)


def along(b: Builder, node: Any, x: Layer, axis: int, matrix: Array) -> str:
    """A matrix (out, in) that every line of values along an axis goes through."""
    last = len(x.shape) - 1
    order = (*(i for i in range(last + 1) if i != axis), axis)
    moved = x if axis == last else permuted(b, node, x, order)
    name = b.add(node, "linear", (moved.name,), (*moved.shape[:-1], len(matrix)), {"weight": matrix})
    return name if axis == last else permuted(b, node, b.layers[name], tuple(np.argsort(order).tolist())).name


def gather(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """pad that crops, or linear; indices must be constants"""
    if b.is_constant(node, 0):
        raise b.refuse(node, "its indices depend on the data", "Feed the values that they would pick as input")
    x, indices = b.layer(node), b.needed(node, 1, "indices")
    axis = axis_of(b, node, a.get("axis", 0), len(x.shape))
    size = x.shape[axis]
    if indices.dtype.kind not in "iu" or not indices.size or indices.min() < -size or indices.max() >= size:
        raise b.refuse(node, f"its indices do not fit {size} places", "Export the model again")
    flat = indices.ravel().astype(np.int64) % size
    steps = np.diff(flat)
    if (steps == steps[:1]).all() and (not steps.size or steps[0] > 0):
        step = int(steps[0]) if steps.size else 1
        name = _picked(b, node, x, {axis: range(int(flat[0]), int(flat[-1]) + 1, step)})
    else:
        name = _gathered(b, node, x, axis, flat)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    return name if indices.ndim == 1 else reshaped(b, node, b.layers[name], shape).name


def split(b: Builder, node: Any, a: dict[str, Any]) -> tuple[str, ...]:
    """pad that crops, one for each part"""
    x, sizes = b.layer(node), listed(b, node, 1, "split", a)
    axis = axis_of(b, node, a.get("axis", 0), len(x.shape))
    size, parts = x.shape[axis], len(node.output)
    if sizes is None:
        each = -(-size // parts)
        sizes = [*[each] * (parts - 1), size - each * (parts - 1)]
        if "num_outputs" not in a and each * parts != size:
            raise b.refuse(node, f"{parts} equal parts of {size} values", "Export the model again")
    if len(sizes) != parts or sum(sizes) != size or min(sizes) < 1 or a.get("num_outputs", parts) != parts:
        raise b.refuse(node, f"parts of {sizes} of {size} values, and {parts} outputs", "Export the model again")
    starts = [sum(sizes[:i]) for i in range(parts)]
    return tuple(_picked(b, node, x, {axis: range(s, s + n)}) for s, n in zip(starts, sizes, strict=True))
