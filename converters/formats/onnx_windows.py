"""ONNX operators that slide windows over images: convolutions and pools. Knows shapes of one sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.formats.onnx_broadcasting import function, scaled
from converters.formats.onnx_building import Builder
from neuro.graph import Layer

Handler = Callable[[Builder, Any, dict[str, Any]], str]
Sides = tuple[tuple[int, int], ...]


def conv(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """conv, over one or two axes"""
    return add_conv(b, node, a, b.layer(node), b.needed(node, 1, "weight"), b.constant(node, 2, "bias"))


def add_conv(b: Builder, node: Any, a: dict[str, Any], x: Layer, weight: NDArray[Any], bias: NDArray[Any] | None) -> str:
    """A convolution with the node's window."""
    dims = weight.ndim - 2
    if dims not in (1, 2) or len(x.shape) != dims + 1:
        raise b.refuse(node, f"it slides over {dims} axes of samples {x.shape}", "Use convolutions over one or two axes")
    kernel, groups = weight.shape[2:], int(a.get("group", 1))
    if tuple(a.get("kernel_shape", kernel)) != kernel or (bias is not None and bias.shape != weight.shape[:1]):
        raise b.refuse(node, f"its kernel or bias does not fit weights {weight.shape}", "Export the model again")
    stride, dilation, sides = _window(b, node, a, x.shape[1:], kernel)
    if groups < 1 or weight.shape[1] * groups != x.shape[0] or weight.shape[0] % groups:
        raise b.refuse(node, f"weights {weight.shape} in {groups} groups do not fit {x.shape}", "Export the model again")
    shape = (weight.shape[0], *_out(x.shape[1:], kernel, stride, dilation, sides))
    arrays = {"weight": weight, "bias": bias}
    return b.add(node, "conv", (x.name,), shape, arrays, stride=stride, padding=sides, dilation=dilation, groups=groups)


def _window(b: Builder, node: Any, a: dict[str, Any], size: tuple[int, ...], kernel: tuple[int, ...]) -> Any:
    """Stride, dilation and padding ((before, after), ...) of a sliding window."""
    ones = (1,) * len(size)
    stride, dilation = tuple(a.get("strides", ones)), tuple(a.get("dilations", ones))
    flat, auto = tuple(a.get("pads", (0,) * 2 * len(size))), a.get("auto_pad", b"NOTSET").decode()
    fits = len(kernel) == len(size) == len(stride) == len(dilation) and len(flat) == 2 * len(size)
    if not fits or min((*stride, *dilation, *kernel)) < 1 or min(flat) < 0:
        raise b.refuse(node, f"window {kernel}, strides {stride}, dilations {dilation}, pads {flat}", "Export the model again")
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER") or (auto != "NOTSET" and any(flat)):
        raise b.refuse(node, f"its auto_pad is {auto!r}, its pads {flat}", "Export with pads and without auto_pad")
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
        size = x.shape[1:]
        stride, dilation, given = _window(b, node, a, size, kernel)
        if set(dilation) != {1} and a.get("auto_pad", b"NOTSET").startswith(b"SAME"):  # ONNX and onnxruntime read it differently
            raise b.refuse(node, f"auto_pad of a pool with dilation {dilation} is not well defined", "Export with pads")
        out = _out(size, kernel, stride, dilation, given, bool(a.get("ceil_mode", 0)))
        parts = zip(out, stride, dilation, kernel, size, given, strict=True)
        sides = tuple(
            (before, max(after, (o - 1) * s + d * (k - 1) + 1 - n - before)) for o, s, d, k, n, (before, after) in parts
        )
        inside = _taps(out, kernel, stride, dilation, size, [before for before, _ in given])
        if min(out) < 1 or inside.min() < 1:
            raise b.refuse(node, f"its window {kernel} lies in the padding {given} in places", "Pad by less than the window")
        window = {"kernel": kernel, "stride": stride, "padding": sides}
        if op == "max_pool":
            return b.add(node, op, (x.name,), (x.shape[0], *out), dilation=dilation, **window)
        counted = bool(a.get("count_include_pad", 0)) and any(map(any, given))
        if set(dilation) == {1} and (not counted or sides == given):
            divisor = None if not counted and any(map(any, sides)) else math.prod(kernel)
            return b.add(node, op, (x.name,), (x.shape[0], *out), divisor=divisor, **window)
        padded = [n + before + after for n, (before, after) in zip(size, given, strict=True)] if counted else size
        taps = _taps(out, kernel, stride, dilation, padded, [0 if counted else before for before, _ in given])
        return _averaged(b, node, x, (x.shape[0], *out), window | {"dilation": dilation}, taps)

    handle.__doc__ = op if op == "max_pool" else "avg_pool; conv and scale where its divisor is uneven or it has a dilation"
    return handle


def _taps(out: Any, kernel: Any, stride: Any, dilation: Any, size: Any, before: Any) -> NDArray[np.float64]:
    """How many places of the window lie in the image, for each of its positions."""
    counts = np.ones(())
    for o, k, s, d, n, start in zip(out, kernel, stride, dilation, size, before, strict=True):
        at = np.arange(max(o, 0))[:, None] * s - start + np.arange(k) * d
        counts = counts[..., None] * ((at >= 0) & (at < n)).sum(1)
    return np.asarray(counts, np.float64)


def _averaged(b: Builder, node: Any, x: Layer, shape: tuple[int, ...], window: Any, taps: NDArray[np.float64]) -> str:
    """Sums of a window, each divided by its own number of places."""
    weight = np.ones((x.shape[0], 1, *window["kernel"]), np.float32)
    options = {name: value for name, value in window.items() if name != "kernel"}
    total = b.add(node, "conv", (x.name,), shape, {"weight": weight}, groups=x.shape[0], **options)
    return scaled(b, node, b.layers[total], factor=1 / taps[None])


def global_pool(op: str) -> Handler:
    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        return pool_all(b, node, op, b.layer(node))

    handle.__doc__ = f"{op} over the whole image"
    return handle


def pool_all(b: Builder, node: Any, op: str, x: Layer, divisor: int | None = None) -> str:
    """One window over the whole image; `divisor`: of its sum, the number of pixels unless given."""
    kernel, none = x.shape[1:], ((0, 0),) * (len(x.shape) - 1)
    if len(x.shape) not in (2, 3):
        raise b.refuse(node, f"it pools samples of shape {x.shape}", "Pool over one or two axes")
    more = {"dilation": (1,) * len(kernel)} if op == "max_pool" else {"divisor": divisor or math.prod(kernel)}
    return b.add(node, op, (x.name,), (x.shape[0],) + (1,) * len(kernel), kernel=kernel, stride=kernel, padding=none, **more)


def pool_lengths(whole: bool) -> Handler:
    """The p-norm over windows: the p-th root of sums of p-th powers."""

    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        x, p = b.layer(node), int(a.get("p", 2))
        inner = b.layers[function(b, node, x, "abs" if p % 2 or p < 2 else "power", *([] if p % 2 or p < 2 else [p]))]
        inner = b.layers[function(b, node, inner, "power", p)] if p % 2 and p > 1 else inner
        if whole:
            total = pool_all(b, node, "avg_pool", inner, 1)
        else:
            kernel = tuple(a["kernel_shape"])
            counted = pool("avg_pool")(b.reading(node, inner), node, {**a, "count_include_pad": 1})
            total = scaled(b, node, b.layers[counted], factor=float(math.prod(kernel)))
        return total if p == 1 else function(b, node, b.layers[total], "power", 1 / p)

    handle.__doc__ = "function power, avg_pool times the size of the window, function power"
    return handle
