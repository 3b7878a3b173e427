"""ONNX operators that make a sample larger or smaller: resize, expand, tile, transposed convolution; and triangles of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.formats.onnx_broadcasting import picked, spread
from converters.formats.onnx_building import UNKNOWN_BATCH, Builder
from converters.formats.onnx_functions import masked
from converters.formats.onnx_shapes import axis_of
from neuro.graph import Layer
from neuro.valueops import transposed_size

_COORDINATES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric")
_TAPS = {"nearest": 1, "linear": 2, "cubic": 4}
Weights = tuple[NDArray[np.int64], NDArray[np.float64]]  # (out, taps) each: which places are read, times what


def resize(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """gather (nearest) or resample (linear, cubic) along each axis; constant scales or sizes"""
    x, rank = b.layer(node), len(b.layer(node).shape) + b.lead
    old = node.op_type == "Upsample" or b.opset < 11
    scales = b.constant(node, 1 if old else 2, "scales") if "scales" not in a else np.asarray(a["scales"])
    sizes = None if old else b.constant(node, 3, "sizes")
    axes = [int(axis) % rank for axis in a.get("axes", range(rank))]
    mode, how = a.get("mode", b"nearest").decode(), a.get("coordinate_transformation_mode", b"half_pixel").decode()
    how, mode = "asymmetric" if old else how, "linear" if mode == "bilinear" else mode
    if mode not in _TAPS or how not in _COORDINATES or a.get("antialias", 0):
        remedy = "Use nearest, linear or cubic, without antialias, and no region of interest"
        raise b.refuse(node, f"its mode is {mode!r}, its coordinates {how!r}", remedy)
    given = sizes if sizes is not None and sizes.size else scales
    if given is None or given.size != len(axes):
        raise b.refuse(node, f"{0 if given is None else given.size} scales or sizes for {len(axes)} axes", "Give one for each")
    by_size = given is sizes and sizes is not None
    factors = _factors(b, node, x, axes, given.ravel(), by_size, a)
    name = x.name
    for axis, (out, scale) in sorted(factors.items()):
        name = _resized(b, node, b.layers[name], axis, out, scale, {**a, "mode": mode, "how": how, "old": old})
    return name


def _factors(
    b: Builder, node: Any, x: Layer, axes: list[int], given: Any, by_size: bool, a: dict[str, Any]
) -> dict[int, tuple[int, float]]:
    """The size and the scale of each axis of a sample that changes."""
    found: dict[int, tuple[int, float]] = {}
    policy = a.get("keep_aspect_ratio_policy", b"stretch").decode()
    sizes = [x.shape[axis - b.lead] if axis >= b.lead else b.batch or 1 for axis in axes]
    ratio = None
    if by_size and policy != "stretch":
        ratio = (min if policy == "not_larger" else max)(float(n) / own for n, own in zip(given, sizes, strict=True))
    for axis, value, own in zip(axes, given, sizes, strict=True):
        if ratio is not None:
            out, scale = int(math.floor(ratio * own + 0.5)), ratio
        else:
            out, scale = (int(value), float(value) / own) if by_size else (int(math.floor(own * np.float32(value))), float(value))
        if axis < b.lead:
            if (by_size and b.batch is not None and out != own) or (not by_size and value != 1):
                raise b.refuse(node, "it resizes the axis of samples", "Leave that axis as it is")
            continue
        if out < 1 or out > 2**24:
            raise b.refuse(node, f"it makes {out} places of {own}", "Use other scales or sizes")
        if out != own or scale != 1:
            found[axis - b.lead] = (out, scale)
    return found


def _resized(b: Builder, node: Any, x: Layer, axis: int, out: int, scale: float, o: dict[str, Any]) -> str:
    size = x.shape[axis]
    if o["how"] == "align_corners" and abs(scale * size - out) > 1e-6 * size:
        fact = f"it aligns the corners of {scale * size:g} places, which ONNX and onnxruntime read differently"
        raise b.refuse(node, fact, "Use scales that yield whole sizes")
    at = _coordinates(o["how"], size, out, scale)
    if o["mode"] == "nearest":
        return picked(b, node, x, axis, np.clip(_nearest(b, node, at, o), 0, size - 1))
    places, weight = _taps(at, o["mode"], float(o.get("cubic_coeff_a", -0.75)))
    inside = (places >= 0) & (places < size)
    if o.get("exclude_outside", 0):
        weight = np.where(inside, weight, 0.0)
        weight = weight / weight.sum(1, keepdims=True)
    shape = (*x.shape[:axis], out, *x.shape[axis + 1 :])
    places = np.clip(places, 0, size - 1)
    return b.add(node, "resample", (x.name,), shape, {"weight": weight}, axis=axis, places=places)


def _coordinates(how: str, size: int, out: int, scale: float) -> NDArray[np.float64]:
    """Where each place lies in the smaller or larger axis that it is read from."""
    at = np.arange(out, dtype=np.float64)
    if how == "asymmetric":
        return at / scale
    if how == "align_corners":
        return at * (size - 1) / (out - 1) if out > 1 else at * 0
    if how == "pytorch_half_pixel" and out == 1:
        return at * 0
    if how == "half_pixel_symmetric":
        adjustment = out / (scale * size)
        return size / 2 * (1 - adjustment) + (at + 0.5) / scale - 0.5
    return (at + 0.5) / scale - 0.5


def _nearest(b: Builder, node: Any, at: NDArray[np.float64], o: dict[str, Any]) -> NDArray[np.int64]:
    kind = "floor" if o["old"] else o.get("nearest_mode", b"round_prefer_floor").decode()
    rules: dict[str, Callable[[Any], Any]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda v: np.ceil(v - 0.5),
        "round_prefer_ceil": lambda v: np.floor(v + 0.5),
    }
    if kind not in rules:
        raise b.refuse(node, f"its nearest_mode is {kind!r}", f"Use one of {', '.join(rules)}")
    return np.asarray(rules[kind](at), np.int64)


def _taps(at: NDArray[np.float64], mode: str, a: float) -> Weights:
    """Places and weights of linear and cubic interpolation (Keys, with the coefficient a)."""
    below = np.floor(at)
    part = at - below
    if mode == "linear":
        return np.stack([below, below + 1], 1).astype(np.int64), np.stack([1 - part, part], 1)
    offsets = np.arange(-1, 3)
    d = np.abs(part[:, None] - offsets)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return (below[:, None] + offsets).astype(np.int64), np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def expand(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """gather that repeats values; the shape must be a constant"""
    x, target = b.layer(node), sample_shape(b, node, 1)
    if len(target) < len(x.shape):
        target = (*[1] * (len(x.shape) - len(target)), *target)
    try:
        shape = tuple(np.broadcast_shapes(x.shape, target))
    except ValueError:
        raise b.refuse(node, f"it makes {target} of samples {x.shape}", "Export the model again") from None
    if b.lead and len(shape) != len(x.shape):
        raise b.refuse(node, f"it makes {target} of samples {x.shape}", "Keep samples on the first axis")
    return spread(b, node, x, shape)


def sample_shape(b: Builder, node: Any, index: int) -> tuple[int, ...]:
    """A shape that is an input of the node, without the axis of samples where it names that."""
    rank, name = len(b.layer(node).shape), node.input[index]
    if name in b.others:
        one, other = (np.ravel(np.asarray(held[name])) for held in (b.values, b.others))
        if (one[0], other[0]) != UNKNOWN_BATCH or (one[1:] != other[1:]).any():
            raise b.refuse(node, "the number of samples moves into other axes", "Keep the first axis")
        return tuple(int(n) for n in one[1:])
    target = tuple(int(n) for n in b.needed(node, index, "shape").ravel())
    if not b.lead or len(target) <= rank:
        return target
    if target[0] not in (1, b.batch or 1):
        raise b.refuse(node, f"it makes {target} of samples, which repeats them", "Keep the first axis")
    return target[1:]


def tile(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """gather that repeats values"""
    x, times = b.layer(node), [int(n) for n in b.needed(node, 1, "repeats").ravel()]
    if len(times) != len(x.shape) + b.lead or (b.lead and times[0] != 1) or min(times) < 1:
        raise b.refuse(node, f"it repeats samples {x.shape} {times} times", "Repeat the axes of a sample, once or more")
    name = x.name
    for axis, n in enumerate(times[b.lead :]):
        if n > 1:
            name = picked(b, node, b.layers[name], axis, np.tile(np.arange(b.layers[name].shape[axis]), n))
    return name


def triangle(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """mask of the upper or lower triangle"""
    x, given = b.layer(node), b.constant(node, 1, "diagonal")
    if len(x.shape) < 2:
        raise b.refuse(node, f"it takes a triangle of samples {x.shape}", "Use matrices, (..., rows, columns)")
    k = 0 if given is None else int(given.reshape(()))
    ones = np.ones(x.shape[-2:], np.float32)
    return masked(b, node, x, np.triu(ones, k) if a.get("upper", 1) else np.tril(ones, k), 0.0)


def conv_transpose(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """conv_transpose, over one or two axes"""
    x, weight, bias = b.layer(node), b.needed(node, 1, "weight"), b.constant(node, 2, "bias")
    dims, groups = weight.ndim - 2, int(a.get("group", 1))
    if dims not in (1, 2) or len(x.shape) != dims + 1 or weight.shape[0] != x.shape[0] or groups < 1:
        raise b.refuse(node, f"weights {weight.shape} slide over samples {x.shape}", "Use one or two axes")
    ones, kernel = (1,) * dims, tuple(a.get("kernel_shape", weight.shape[2:]))
    stride, dilation = tuple(a.get("strides", ones)), tuple(a.get("dilations", ones))
    more = tuple(a.get("output_padding", (0,) * dims))
    if kernel != weight.shape[2:] or not len(stride) == len(dilation) == len(more) == dims or min(*stride, *dilation) < 1:
        raise b.refuse(node, f"kernel {kernel}, strides {stride}, dilations {dilation}", "Export the model again")
    whole = transposed_size(x.shape[1:], kernel, stride, ((0, 0),) * dims, dilation)
    padding = _cropped(b, node, a, x.shape[1:], whole, stride, more)
    shape = (weight.shape[1] * groups, *(n - before - after for n, (before, after) in zip(whole, padding, strict=True)))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return b.add(node, "conv_transpose", (x.name,), shape, {"weight": weight, "bias": bias}, **options)


def _cropped(
    b: Builder, node: Any, a: dict[str, Any], size: Any, whole: Any, stride: Any, more: Any
) -> tuple[tuple[int, int], ...]:
    """What is cropped before and after each axis; negative where zeros are added."""
    dims, auto = len(size), a.get("auto_pad", b"NOTSET").decode()
    flat = tuple(a.get("pads", (0,) * 2 * dims))
    wanted = a.get("output_shape")
    if auto.startswith("SAME") and wanted is None:
        wanted = [n * s for n, s in zip(size, stride, strict=True)]
    if wanted is None:
        pairs = zip(flat[:dims], flat[dims:], more, strict=True)
        return tuple((before, after - extra) for before, after, extra in pairs)
    sides = []
    for n, extra, out in zip(whole, more, list(wanted)[-dims:], strict=True):
        total = n + extra - int(out)
        if total < 0 and total % 2:
            raise b.refuse(node, f"an output of {int(out)} places for {n + extra}", "Export it with pads and output_padding")
        before = total // 2 if auto == "SAME_UPPER" else total - total // 2
        sides.append((before, total - before - extra))
    return tuple(sides)


def space(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """crop or pad around the centre"""
    x, given = b.layer(node), b.needed(node, 1, "shape").ravel()
    axes = [axis_of(b, node, axis, len(x.shape)) for axis in a.get("axes", range(b.lead, len(x.shape) + b.lead))]
    if len(given) != len(axes):
        raise b.refuse(node, f"{len(given)} sizes for {len(axes)} axes", "Name the axes of a sample")
    sides = [(0, 0)] * len(x.shape)
    for axis, out in zip(axes, (int(n) for n in given), strict=True):
        n = x.shape[axis]
        before = (out - n) // 2 if out >= n else -((n - out) // 2)
        sides[axis] = (before, out - n - before)
    shape = tuple(n + sum(side) for n, side in zip(x.shape, sides, strict=True))
    return b.add(node, "pad", (x.name,), shape, padding=tuple(sides), value=0.0)
