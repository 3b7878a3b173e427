"""ONNX operators that slide windows over images: convolutions and pools. Knows shapes of one sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from converters.formats.onnx_building import Builder
from converters.formats.onnx_shapes import axis_of
from neuro.graph import Layer

Handler = Callable[[Builder, Any, dict[str, Any]], str]
Sides = tuple[tuple[int, int], ...]


def conv(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """conv, over one or two axes"""
    x, weight = b.layer(node), b.needed(node, 1, "weight")
    dims = weight.ndim - 2
    if dims not in (1, 2) or len(x.shape) != dims + 1:
        raise b.refuse(node, f"it slides over {dims} axes of samples {x.shape}", "Use convolutions over one or two axes")
    stride, dilation, sides = _window(b, node, a, x.shape[1:], weight.shape[2:])
    groups = int(a.get("group", 1))
    if groups < 1 or weight.shape[1] * groups != x.shape[0] or weight.shape[0] % groups:
        raise b.refuse(node, f"weights {weight.shape} in {groups} groups do not fit {x.shape}", "Export the model again")
    shape = (weight.shape[0], *_out(x.shape[1:], weight.shape[2:], stride, dilation, sides))
    arrays = {"weight": weight, "bias": b.constant(node, 2, "bias")}
    return b.add(node, "conv", (x.name,), shape, arrays, stride=stride, padding=sides, dilation=dilation, groups=groups)


def _window(b: Builder, node: Any, a: dict[str, Any], size: tuple[int, ...], kernel: tuple[int, ...]) -> Any:
    """Stride, dilation and padding ((before, after), ...) of a sliding window."""
    ones = (1,) * len(size)
    stride, dilation = tuple(a.get("strides", ones)), tuple(a.get("dilations", ones))
    flat = tuple(a.get("pads", (0,) * 2 * len(size)))
    if len(kernel) != len(size) or min((*stride, *dilation, *kernel)) < 1 or min(flat) < 0 or len(flat) != 2 * len(size):
        raise b.refuse(node, f"window {kernel}, strides {stride}, dilations {dilation}, pads {flat}", "Export the model again")
    auto = a.get("auto_pad", b"NOTSET").decode()
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        sides = []
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            less, more = total // 2, total - total // 2
            sides.append((less, more) if auto == "SAME_UPPER" else (more, less))
        return stride, dilation, tuple(sides)
    return stride, dilation, tuple(zip(flat[: len(size)], flat[len(size) :], strict=True))


def _out(size: Any, kernel: Any, stride: Any, dilation: Any, sides: Sides, up: bool = False) -> tuple[int, ...]:
    """Places of a sliding window; `up`: also where it hangs over, as long as it begins inside."""
    places = []
    for n, k, s, d, (before, after) in zip(size, kernel, stride, dilation, sides, strict=True):
        room = n + before + after - d * (k - 1) - 1
        out = (-(-room // s) if up else room // s) + 1
        places.append(out - 1 if up and (out - 1) * s >= n + before else out)
    return tuple(places)


def pool(op: str) -> Handler:
    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        x, kernel = b.layer(node), tuple(a["kernel_shape"])
        if len(x.shape) not in (2, 3):
            raise b.refuse(node, f"it pools samples of shape {x.shape}", "Pool over one or two axes")
        if len(node.output) > 1 and b.uses[node.output[1]]:
            raise b.refuse(node, "it returns indices", "Pool without indices")
        stride, dilation, given = _window(b, node, a, x.shape[1:], kernel)
        out = _out(x.shape[1:], kernel, stride, dilation, given, bool(a.get("ceil_mode", 0)))
        parts = zip(out, stride, dilation, kernel, x.shape[1:], given, strict=True)
        sides = tuple(
            (before, max(after, (o - 1) * s + d * (k - 1) + 1 - n - before)) for o, s, d, k, n, (before, after) in parts
        )
        if op == "max_pool":
            return b.add(node, op, (x.name,), (x.shape[0], *out), kernel=kernel, stride=stride, padding=sides, dilation=dilation)
        if set(dilation) != {1}:
            raise b.refuse(node, f"it averages with dilation {dilation}", "Average neighbouring pixels")
        counted = bool(a.get("count_include_pad", 0)) and any(map(any, given))
        if counted and sides != given:
            raise b.refuse(node, "ceil_mode with padding that counts divides unevenly", "Use count_include_pad=0 or ceil_mode=0")
        divisor = None if not counted and any(map(any, sides)) else math.prod(kernel)
        return b.add(node, op, (x.name,), (x.shape[0], *out), kernel=kernel, stride=stride, padding=sides, divisor=divisor)

    handle.__doc__ = op
    return handle


def global_pool(op: str) -> Handler:
    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        return pool_all(b, node, op, b.layer(node))

    handle.__doc__ = f"{op} over the whole image"
    return handle


def pool_all(b: Builder, node: Any, op: str, x: Layer) -> str:
    kernel, none = x.shape[1:], ((0, 0),) * (len(x.shape) - 1)
    if len(x.shape) not in (2, 3):
        raise b.refuse(node, f"it pools samples of shape {x.shape}", "Pool over one or two axes")
    more = {"dilation": (1,) * len(kernel)} if op == "max_pool" else {"divisor": math.prod(kernel)}
    return b.add(node, op, (x.name,), (x.shape[0],) + (1,) * len(kernel), kernel=kernel, stride=kernel, padding=none, **more)


def mean(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """avg_pool over the whole image, else linear; not over samples"""
    x, given = b.layer(node), b.constant(node, 1, "axes")
    listed = given.ravel() if given is not None else a.get("axes", ())
    axes = sorted(axis_of(b, node, axis, len(x.shape)) for axis in listed)
    if not axes:
        raise b.refuse(node, "it averages over the samples", "Name the axes to average over")
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
    shape = shape if a.get("keepdims", 1) else tuple(x.shape[axis] for axis in kept)
    if axes == list(range(1, len(x.shape))) and len(x.shape) in (2, 3):
        return b.add(node, "reshape", (pool_all(b, node, "avg_pool", x),), shape)
    count, order = math.prod(x.shape[axis] for axis in axes), (*kept, *axes)
    outer = tuple(x.shape[axis] for axis in kept)
    moved = b.add(node, "permute", (x.name,), tuple(x.shape[axis] for axis in order), axes=order)
    flat = b.add(node, "reshape", (moved,), (*outer, count))
    pooled = b.add(node, "linear", (flat,), (*outer, 1), {"weight": np.full((1, count), 1 / count)})
    return b.add(node, "reshape", (pooled,), shape)
