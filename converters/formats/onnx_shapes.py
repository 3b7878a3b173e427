"""ONNX operators that regroup or reorder values within a sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converters.formats.onnx_building import UNKNOWN_BATCH, Array, Builder
from neuro.graph import Layer

Sides = tuple[tuple[int, int], ...]


def axis_of(b: Builder, node: Any, axis: Any, dims: int) -> int:
    """An axis of the tensor as an axis without samples."""
    place = int(axis) + dims + b.lead if axis < 0 else int(axis)
    if not b.lead <= place < dims + b.lead:
        remedy = "Treat every sample by itself: axis 0 holds the samples; where it does not, pass samples=False"
        raise b.refuse(node, f"it works on axis {int(axis)}", remedy)
    return place - b.lead


def listed(b: Builder, node: Any, index: int, name: str, a: dict[str, Any]) -> list[int] | None:
    """Whole numbers that are an input of newer operator sets and an attribute of older ones."""
    given: Array | None = b.constant(node, index, name)
    values = given.ravel() if given is not None else a.get(name)
    return None if values is None else [int(n) for n in values]


def reshape(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape within a sample; the shape must be a constant"""
    x, target = b.layer(node), _target(b, node)
    if not b.lead:
        return b.add(node, "reshape", (x.name,), _whole(b, node, x.shape, target, bool(a.get("allowzero", 0))))
    if not a.get("allowzero", 0):
        target = [(b.batch, *x.shape)[i] or 0 if n == 0 and i <= len(x.shape) else n for i, n in enumerate(target)]
    size, rest = math.prod(x.shape), target[1:]
    if rest.count(-1) == 1:
        others = math.prod(n for n in rest if n != -1)
        rest = [size // others if n == -1 and others else n for n in rest]
    same_batch = bool(target) and (target[0] == -1 or target[0] == (b.batch or 0)) and not (a.get("allowzero") and 0 in target)
    if not same_batch or math.prod(rest) != size or min(rest, default=1) < 1:
        raise b.refuse(node, f"it makes {tuple(target)} of samples {x.shape}, which mixes samples", "Keep the first axis")
    return b.add(node, "reshape", (x.name,), tuple(rest))


def _whole(b: Builder, node: Any, shape: tuple[int, ...], target: list[int], plain: bool) -> tuple[int, ...]:
    """The shape to make of a sample that has no axis of samples."""
    if not plain:
        target = [shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(target)]
    others = math.prod(n for n in target if n != -1)
    made = tuple(math.prod(shape) // others if n == -1 and others else n for n in target)
    if math.prod(made) != math.prod(shape) or min(made, default=1) < 1:
        raise b.refuse(node, f"it makes {tuple(target)} of {shape}", "Export the model again")
    return made


def _target(b: Builder, node: Any) -> list[int]:
    """The shape to make, with 0 or the file's number of samples, or -1, for the axis of samples."""
    name = node.input[1]
    if name not in b.others:
        return [int(n) for n in b.needed(node, 1, "shape").ravel()]
    one, other = ([int(n) for n in np.ravel(np.asarray(held[name]))] for held in (b.values, b.others))
    if (one[0], other[0]) != UNKNOWN_BATCH or one[1:] != other[1:]:
        raise b.refuse(node, "the number of samples moves into other axes", "Keep the first axis")
    return [0, *one[1:]]


def flatten(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape to one axis; axis must be 1"""
    x, axis = b.layer(node), int(a.get("axis", 1))
    if not b.lead:
        at = axis + len(x.shape) if axis < 0 else axis
        return b.add(node, "reshape", (x.name,), (math.prod(x.shape[:at]), math.prod(x.shape[at:])))
    if axis not in (1, -len(x.shape)):
        raise b.refuse(node, f"its axis is {axis}, which mixes samples", "Flatten from axis 1")
    return b.add(node, "reshape", (x.name,), (math.prod(x.shape),))


def squeeze(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape without axes of size 1"""
    x, given = b.layer(node), listed(b, node, 1, "axes", a)
    if given is None and not b.lead:
        given = [axis for axis, n in enumerate(x.shape) if n == 1]
    if given is None:
        raise b.refuse(node, "it names no axes", "Name the axes to leave out")
    axes = {axis_of(b, node, axis, len(x.shape)) for axis in given}
    if any(x.shape[axis] != 1 for axis in axes):
        raise b.refuse(node, f"axes of {x.shape} that it leaves out are not 1", "Export the model again")
    return b.add(node, "reshape", (x.name,), tuple(n for axis, n in enumerate(x.shape) if axis not in axes))


def unsqueeze(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape with more axes of size 1, none before the samples"""
    x, given = b.layer(node), listed(b, node, 1, "axes", a)
    if given is None:
        raise b.refuse(node, "it names no axes", "Name the axes to insert")
    dims = len(x.shape) + len(given)
    axes = {axis_of(b, node, axis, dims) for axis in given}
    if len(axes) != len(given):
        raise b.refuse(node, f"its axes {given} repeat", "Name every axis once")
    rest = iter(x.shape)
    return b.add(node, "reshape", (x.name,), tuple(1 if axis in axes else next(rest) for axis in range(dims)))


def transpose(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """permute; samples must stay on the first axis"""
    x = b.layer(node)
    order = tuple(a.get("perm", range(len(x.shape) + b.lead - 1, -1, -1)))
    if not b.lead:
        return permuted(b, node, x, order).name
    if sorted(order) != list(range(len(x.shape) + 1)) or order[0] != 0:
        raise b.refuse(node, f"its order {order} moves the samples", "Keep samples on the first axis")
    return permuted(b, node, x, tuple(axis - 1 for axis in order[1:])).name


def permuted(b: Builder, node: Any, x: Layer, axes: tuple[int, ...]) -> Layer:
    """The axes of a sample in another order."""
    return b.layers[b.add(node, "permute", (x.name,), tuple(x.shape[axis] for axis in axes), axes=axes)]


def reshaped(b: Builder, node: Any, x: Layer, shape: tuple[int, ...]) -> Layer:
    """The values of a sample in another shape."""
    return b.layers[b.add(node, "reshape", (x.name,), shape)]


def concat(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """concat, of constants too; not of samples"""
    parts = b.values_of(node)
    axis = axis_of(b, node, a["axis"], len(parts[0].shape))
    shapes = {(*part.shape[:axis], *part.shape[axis + 1 :]) for part in parts}
    if len(shapes) != 1 or len({len(part.shape) for part in parts}) != 1:
        raise b.refuse(node, f"it joins {[part.shape for part in parts]} along axis {axis + b.lead}", "Export the model again")
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return b.add(node, "concat", tuple(part.name for part in parts), tuple(shape), axis=axis)


def depth_to_space(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape and permute"""
    x, n, mode = b.layer(node), int(a["blocksize"]), a.get("mode", b"DCR").decode()
    if len(x.shape) != 3 or n < 1 or x.shape[0] % n**2 or mode not in ("DCR", "CRD"):
        raise b.refuse(node, f"blocks of {n} ({mode}) do not fit {x.shape}", "Export the model again")
    channels, height, width = x.shape[0] // n**2, *x.shape[1:]
    if mode == "DCR":
        moved = permuted(b, node, reshaped(b, node, x, (n, n, channels, height, width)), (2, 3, 0, 4, 1))
    else:
        moved = permuted(b, node, reshaped(b, node, x, (channels, n, n, height, width)), (0, 3, 1, 4, 2))
    return reshaped(b, node, moved, (channels, height * n, width * n)).name


def space_to_depth(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape and permute"""
    x, n = b.layer(node), int(a["blocksize"])
    if len(x.shape) != 3 or n < 1 or x.shape[1] % n or x.shape[2] % n:
        raise b.refuse(node, f"blocks of {n} do not fit {x.shape}", "Export the model again")
    channels, height, width = x.shape[0], x.shape[1] // n, x.shape[2] // n
    moved = permuted(b, node, reshaped(b, node, x, (channels, height, n, width, n)), (2, 4, 0, 1, 3))
    return reshaped(b, node, moved, (channels * n**2, height, width)).name
