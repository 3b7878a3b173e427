"""ONNX operators that leave out, repeat or surround values of a sample: pads, slices, splits and picks by constant indices."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.formats.onnx_broadcasting import aligned, from_end, function, picked, scaled
from converters.formats.onnx_building import LARGEST, WIDE, Array, Builder
from converters.formats.onnx_shapes import Sides, axis_of, listed, permuted, reshaped
from neuro.graph import Layer

_MOST_PICKS = 64  # by data, along an axis
_MODES = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}  # of ONNX, as NumPy calls them


def pad(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """pad with a constant, or gather of the values beside; negative pads crop"""
    x, value, mode = b.layer(node), b.constant(node, 2, "value"), a.get("mode", b"constant").decode()
    if mode != "constant" and mode not in _MODES:
        raise b.refuse(node, f"its mode is {mode!r}", f"Pad in one of the modes constant, {', '.join(_MODES)}")
    pads, dims = listed(b, node, 1, "pads", a) or [], len(x.shape) + b.lead
    axes = b.constant(node, 3, "axes")
    at = [int(axis) % dims for axis in axes.ravel()] if axes is not None else list(range(dims))
    if len(pads) != 2 * len(at) or len(set(at)) != len(at):
        raise b.refuse(node, f"{len(pads)} pads for {len(at)} axes", "Export the model again")
    sides = [(0, 0)] * dims
    for i, axis in enumerate(at):
        sides[axis] = (pads[i], pads[i + len(at)])
    if b.lead and sides[0] != (0, 0):
        raise b.refuse(node, "it pads the samples", "Pad the other axes")
    if mode != "constant":
        return _beside(b, node, x, sides[b.lead :], _MODES[mode])
    filled = float(np.clip(a.get("value", 0.0) if value is None else float(value.reshape(())), -LARGEST, LARGEST))
    return _padded(b, node, x, tuple(sides[b.lead :]), filled)


def _beside(b: Builder, node: Any, x: Layer, sides: list[tuple[int, int]], mode: Any) -> str:
    """Padded by values of its own."""
    name = x.name
    for axis, (before, after) in enumerate(sides):
        if before or after:
            n = b.layers[name].shape[axis]
            crops = (max(-before, 0), n - max(-after, 0))
            places = np.pad(np.arange(n)[slice(*crops)], (max(before, 0), max(after, 0)), mode=mode)
            name = picked(b, node, b.layers[name], axis, places)
    return name


def _padded(b: Builder, node: Any, x: Layer, sides: Sides, value: float = 0.0) -> str:
    shape = tuple(n + sum(side) for n, side in zip(x.shape, sides, strict=True))
    if any(n + min(side) < 1 or n + sum(side) < 1 for n, side in zip(x.shape, sides, strict=True)):
        raise b.refuse(node, f"it leaves {shape} of {x.shape}", "Keep at least one value")
    return b.add(node, "pad", (x.name,), shape, padding=sides, value=value)


def slices(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """pad that crops; with steps, avg_pool of single pixels or gather"""
    x = b.layer(node)
    starts, ends = listed(b, node, 1, "starts", a), listed(b, node, 2, "ends", a)
    if starts is None or ends is None:
        raise b.refuse(node, "it names no bounds", "Export the model again")
    given = listed(b, node, 3, "axes", a)
    axes = list(range(len(starts))) if given is None else given
    steps = listed(b, node, 4, "steps", {}) or [1] * len(starts)
    picks: dict[int, range] = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if b.lead and axis == 0 and start == 0 and step == 1 and end >= (b.batch or 10**9):
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
            name = picked(b, node, b.layers[name], axis, np.array(r))
        elif stride[axis] > 1:
            name = picked(b, node, b.layers[name], axis, np.arange(0, b.layers[name].shape[axis], stride[axis]))
    return name


def along(b: Builder, node: Any, x: Layer, axis: int, matrix: Array) -> str:
    """A matrix (out, in) that every line of values along an axis goes through."""
    last = len(x.shape) - 1
    order = (*(i for i in range(last + 1) if i != axis), axis)
    moved = x if axis == last else permuted(b, node, x, order)
    name = b.add(node, "linear", (moved.name,), (*moved.shape[:-1], len(matrix)), {"weight": matrix})
    return name if axis == last else permuted(b, node, b.layers[name], tuple(np.argsort(order).tolist())).name


def gather(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """pad that crops, or gather; of a constant table by data, embedding"""
    if b.is_constant(node, 0):
        return _looked_up(b, node, a)
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
        name = picked(b, node, x, axis, flat)
    shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
    return name if indices.ndim == 1 else reshaped(b, node, b.layers[name], shape).name


def _looked_up(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """Rows of a constant table, by indices that are data."""
    table, x = b.needed(node, 0, "table"), b.layer(node, 1)
    if a.get("axis", 0) % max(table.ndim, 1) or not table.ndim or b.code(node, 1) is None:
        raise b.refuse(node, f"data pick from a table of shape {table.shape} along axis {a.get('axis', 0)}", "Look up whole rows")
    arrays = {"weight": table.reshape(len(table), -1).astype(np.float32)}
    name = b.add(node, "embedding", (x.name,), (*x.shape, arrays["weight"].shape[1]), arrays)
    if table.dtype.kind in "biu":
        b.codes[node.output[0]] = WIDE
    return name if table.ndim == 2 else reshaped(b, node, b.layers[name], (*x.shape, *table.shape[1:])).name


def gather_elements(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """gather by constant indices that all lines share; one index from the data by comparisons with each place"""
    x = b.value(node)
    axis = axis_of(b, node, a.get("axis", 0), len(x.shape))
    if b.is_constant(node, 1):
        indices = b.per_sample(node, b.needed(node, 1, "indices"), len(x.shape))
        lines = np.moveaxis(indices, axis, -1).reshape(-1, indices.shape[axis])
        whole = (*indices.shape[:axis], *indices.shape[axis + 1 :]) == (*x.shape[:axis], *x.shape[axis + 1 :])
        if not whole or (lines != lines[:1]).any():
            raise b.refuse(node, "its indices differ from line to line", "Gather whole slices")
        return picked(b, node, x, axis, lines[0] % x.shape[axis])
    index = b.layer(node, 1)
    if index.shape[axis] > _MOST_PICKS or len(index.shape) != len(x.shape):
        raise b.refuse(node, f"data pick {index.shape} of {x.shape}", f"Pick at most {_MOST_PICKS} places along the axis")
    index = from_end(b, node, index, x.shape[axis])
    parts = [picked(b, node, index, axis, [i]) for i in range(index.shape[axis])]
    found = [_by_place(b, node, x, b.layers[part], axis) for part in parts]
    if len(found) == 1:
        return found[0]
    shape = (*b.layers[found[0]].shape[:axis], len(found), *b.layers[found[0]].shape[axis + 1 :])
    return b.add(node, "concat", tuple(found), shape, axis=axis)


def _by_place(b: Builder, node: Any, x: Layer, index: Layer, axis: int) -> str:
    """The value at one place of each line, the place being data."""
    names, shape = aligned(b, node, [x, index])
    places = np.arange(x.shape[axis], dtype=np.float32).reshape([-1 if i == axis else 1 for i in range(len(x.shape))])
    off = scaled(b, node, b.layers[names[1]], shift=-places)
    here = function(b, node, b.layers[off], "equal", 0.0)
    kept = b.add(node, "multiply", (names[0], here), shape)
    total = tuple(1 if i == axis else n for i, n in enumerate(shape))
    return b.add(node, "reduce", (kept,), total, kind="sum", axes=(axis,))


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
