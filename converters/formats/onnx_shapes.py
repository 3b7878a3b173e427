"""ONNX operators that move or regroup values within a sample."""

from __future__ import annotations

import math
from typing import Any

from converters.formats.onnx_building import Builder
from neuro.graph import Layer

Sides = tuple[tuple[int, int], ...]


def axis_of(b: Builder, node: Any, axis: Any, dims: int) -> int:
    """An axis of the tensor as an axis without samples."""
    place = int(axis) + dims + 1 if axis < 0 else int(axis)
    if not 1 <= place <= dims:
        raise b.refuse(node, f"it works on axis {int(axis)}", "Treat every sample by itself: axis 0 holds the samples")
    return place - 1


def reshape(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape within a sample; the shape must be a constant"""
    x, target = b.layer(node), [int(n) for n in b.needed(node, 1, "shape").ravel()]
    known = (b.batch, *x.shape)
    if not a.get("allowzero", 0):
        target = [known[i] or 0 if n == 0 and i < len(known) else n for i, n in enumerate(target)]
    size, rest = math.prod(x.shape), target[1:]
    if rest.count(-1) == 1:
        others = math.prod(n for n in rest if n != -1)
        rest = [size // others if n == -1 and others else n for n in rest]
    same_batch = bool(target) and (target[0] in (0, -1) or target[0] == b.batch)
    if not same_batch or math.prod(rest) != size or min(rest, default=1) < 1:
        raise b.refuse(node, f"it makes {tuple(target)} of samples {x.shape}, which mixes samples", "Keep the first axis")
    return b.add(node, "reshape", (x.name,), tuple(rest))


def flatten(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape to one axis; axis must be 1"""
    x = b.layer(node)
    if axis_of(b, node, a.get("axis", 1), len(x.shape)) != 0:
        raise b.refuse(node, f"its axis is {a['axis']}, which mixes samples", "Flatten from axis 1")
    return b.add(node, "reshape", (x.name,), (math.prod(x.shape),))


def squeeze(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape without axes of size 1"""
    x, given = b.layer(node), b.constant(node, 1, "axes")
    listed = given.ravel() if given is not None else a.get("axes")
    if listed is None:
        raise b.refuse(node, "it names no axes", "Name the axes to leave out")
    axes = {axis_of(b, node, axis, len(x.shape)) for axis in listed}
    if any(x.shape[axis] != 1 for axis in axes):
        raise b.refuse(node, f"axes of {x.shape} that it leaves out are not 1", "Export the model again")
    return b.add(node, "reshape", (x.name,), tuple(n for axis, n in enumerate(x.shape) if axis not in axes))


def unsqueeze(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape with more axes of size 1, none before the samples"""
    x, given = b.layer(node), b.constant(node, 1, "axes")
    listed = given.ravel() if given is not None else a["axes"]
    dims = len(x.shape) + len(listed)
    axes = {axis_of(b, node, axis, dims) for axis in listed}
    rest = iter(x.shape)
    return b.add(node, "reshape", (x.name,), tuple(1 if axis in axes else next(rest) for axis in range(dims)))


def transpose(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """permute; samples must stay on the first axis"""
    x = b.layer(node)
    order = tuple(a.get("perm", range(len(x.shape), -1, -1)))
    if sorted(order) != list(range(len(x.shape) + 1)) or order[0] != 0:
        raise b.refuse(node, f"its order {order} moves the samples", "Keep samples on the first axis")
    axes = tuple(axis - 1 for axis in order[1:])
    return b.add(node, "permute", (x.name,), tuple(x.shape[axis] for axis in axes), axes=axes)


def concat(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """concat of activations, not of samples"""
    if any(b.is_constant(node, i) for i in range(len(node.input))):
        raise b.refuse(node, "it joins a constant", "Pad instead, or add the constant")
    parts = [b.layer(node, i) for i in range(len(node.input))]
    axis = axis_of(b, node, a["axis"], len(parts[0].shape))
    shapes = {(*part.shape[:axis], *part.shape[axis + 1 :]) for part in parts}
    if len(shapes) != 1:
        raise b.refuse(node, f"it joins {[part.shape for part in parts]} along axis {axis + 1}", "Export the model again")
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return b.add(node, "concat", tuple(part.name for part in parts), tuple(shape), axis=axis)


def pad(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """pad with a constant; negative pads crop"""
    x, given, value = b.layer(node), b.constant(node, 1, "pads"), b.constant(node, 2, "value")
    mode = a.get("mode", b"constant").decode()
    if mode != "constant":
        raise b.refuse(node, f"its mode is {mode!r}", "Pad with a constant")
    listed, dims = [int(n) for n in (given.ravel() if given is not None else a["pads"])], len(x.shape) + 1
    axes = b.constant(node, 3, "axes")
    at = [int(axis) % dims for axis in axes.ravel()] if axes is not None else list(range(dims))
    if len(listed) != 2 * len(at):
        raise b.refuse(node, f"{len(listed)} pads for {len(at)} axes", "Export the model again")
    sides = [(0, 0)] * dims
    for i, axis in enumerate(at):
        sides[axis] = (listed[i], listed[i + len(at)])
    if sides[0] != (0, 0):
        raise b.refuse(node, "it pads the samples", "Pad the other axes")
    filled = float(a.get("value", 0.0)) if value is None else float(value)
    return _padded(b, node, x, tuple(sides[1:]), filled)


def _padded(b: Builder, node: Any, x: Layer, sides: Sides, value: float) -> str:
    shape = tuple(n + sum(side) for n, side in zip(x.shape, sides, strict=True))
    if any(n + min(side) < 1 for n, side in zip(x.shape, sides, strict=True)):
        raise b.refuse(node, f"it leaves {shape} of {x.shape}", "Keep at least one value")
    return b.add(node, "pad", (x.name,), shape, padding=sides, value=value)


def cropped(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """pad that crops; steps must be 1"""
    x = b.layer(node)
    given = [b.constant(node, i, "bounds") for i in range(1, 5)]
    starts = [int(n) for n in (given[0].ravel() if given[0] is not None else a["starts"])]
    ends = [int(n) for n in (given[1].ravel() if given[1] is not None else a["ends"])]
    axes = [int(n) for n in (given[2].ravel() if given[2] is not None else a.get("axes", range(len(starts))))]
    if given[3] is not None and set(given[3].ravel()) != {1}:
        raise b.refuse(node, f"it steps by {given[3].tolist()}", "Slice with a step of 1, or use a stride")
    sides = [(0, 0)] * len(x.shape)
    for start, end, axis in zip(starts, ends, axes, strict=True):
        if axis == 0 and start == 0 and end >= 2**31 - 1:
            continue  # all samples
        place = axis_of(b, node, axis, len(x.shape))
        first, last, _ = slice(start, end).indices(x.shape[place])
        sides[place] = (-first, last - x.shape[place])
    return _padded(b, node, x, tuple(sides), 0.0)
