"""Handlers of pools: averages and maxima over windows, over whole axes, and to a given size; and sums over axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx

from converters.tracing.arguments import Handler, bound, module_of, operand, pair, sample_free_axis
from converters.tracing.arithmetic import scaled
from converters.tracing.axes import resampled, taken
from converters.tracing.builder import Builder
from converters.tracing.values import joined


def _check_image(b: Builder, node: fx.Node, x: Any) -> None:
    """Refuse an input without samples, whose channels torch takes for samples: it has two axes more than the name says."""
    called: Any = type(module_of(b, node)) if node.op == "call_module" else node.target
    dims = int(called.__name__[-2])  # of MaxPool2d or max_pool2d
    if x.meta["value"].ndim != dims + 2:
        raise b.refuse(node, "its input has no sample axis", "Pass (samples, channels, ...)")


def _add_pool(b: Builder, node: fx.Node, op: str, x: Any, a: dict[str, Any]) -> None:
    _check_image(b, node, x)
    size = x.meta["value"].shape[2:]
    dims = len(size)
    kernel, padding = pair(a["kernel_size"], dims), pair(a["padding"], dims)
    stride = kernel if a["stride"] is None or np.size(a["stride"]) == 0 else pair(a["stride"], dims)
    dilation = pair(a.get("dilation", 1), dims)
    out = node.meta["value"].shape[2:]
    need = [
        (o - 1) * s + d * (k - 1) + 1 - n - p
        for o, s, d, k, n, p in zip(out, stride, dilation, kernel, size, padding, strict=True)
    ]
    sides = tuple((p, max(p, after)) for p, after in zip(padding, need, strict=True))
    overhang = any(after > before for before, after in sides)
    if op == "max_pool":
        if not torch.isfinite(node.meta["value"]).all():
            raise b.refuse(node, "one of its windows lies wholly in the padding", "Pad less, or use ceil_mode=False")
        b.names[node] = b.add(node, op, (b.layer(x),), kernel=kernel, stride=stride, padding=sides, dilation=dilation)
        return
    inside = not a["count_include_pad"] or (overhang and not any(padding))
    if overhang and not inside and a["divisor_override"] is None:
        _uneven(b, node, x, a, (kernel, stride, sides))
        return
    divisor = None if inside and any(map(sum, sides)) else math.prod(kernel)
    divisor = a["divisor_override"] or divisor
    b.names[node] = b.add(node, op, (b.layer(x),), kernel=kernel, stride=stride, padding=sides, divisor=divisor)


_AVG = "input kernel_size stride padding ceil_mode count_include_pad divisor_override"
_MAX = "input kernel_size stride padding dilation ceil_mode return_indices"


def pool(op: str) -> Handler:
    names = _AVG if op == "avg_pool" else _MAX
    defaults: dict[str, Any] = dict(stride=None, padding=0, count_include_pad=True, divisor_override=None, dilation=1)

    def handle(b: Builder, node: fx.Node) -> None:
        if node.op == "call_module":
            m = module_of(b, node)
            a = {"input": operand(node), **{n: getattr(m, n, defaults.get(n)) for n in names.split()[1:]}}
        else:
            a = bound(node, names, **defaults)
        if a.get("return_indices"):
            raise b.refuse(node, "it returns indices", "Pool without return_indices")
        _add_pool(b, node, op, a["input"], a)

    return handle


def _uneven(b: Builder, node: fx.Node, x: Any, a: dict[str, Any], window: tuple[Any, Any, Any]) -> None:
    """An average whose last windows reach beyond padding that counts, as ceil_mode has it: sums, divided one by one."""
    kernel, stride, sides = window
    total = b.add(node, "avg_pool", (b.layer(x),), kernel=kernel, stride=stride, padding=sides, divisor=1)
    function: Any = (F.avg_pool1d, F.avg_pool2d)[len(kernel) - 1]
    ones = torch.ones_like(x.meta["value"][:1, :1])
    mean = function(ones, kernel, stride, pair(a["padding"], len(kernel)), True, True)
    inside = function(F.pad(ones, [n for side in reversed(sides) for n in side]), kernel, stride) * math.prod(kernel)
    b.names[node] = b.add(node, "scale", (total,), None, {"factor": (mean / inside)[0]})


def adaptive(op: str) -> Handler:
    """A pool to a given size; windows of different sizes are averaged axis by axis, or filled up by values they hold already."""

    def handle(b: Builder, node: fx.Node) -> None:
        x = operand(node)
        if isinstance(node.meta["value"], tuple):
            raise b.refuse(node, "it returns indices", "Pool without return_indices")
        _check_image(b, node, x)
        size, out = x.meta["value"].shape[2:], node.meta["value"].shape[2:]
        if any(n % o for n, o in zip(size, out, strict=True)):
            (_uneven_mean if op == "avg_pool" else _uneven_max)(b, node, x)
            return
        kernel = tuple(n // o for n, o in zip(size, out, strict=True))
        a = dict(kernel_size=kernel, stride=kernel, padding=0, count_include_pad=True, divisor_override=None)
        _add_pool(b, node, op, x, a)

    return handle


def _windows(size: int, out: int) -> list[range]:
    """Where the windows of an adaptive pool lie along an axis."""
    return [range(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _uneven_mean(b: Builder, node: fx.Node, x: Any) -> None:
    name = b.layer(x)
    for axis, out in enumerate(node.meta["value"].shape[2:], 1):
        matrix = np.zeros((out, b.shape(name)[axis]))
        for row, window in zip(matrix, _windows(matrix.shape[1], out), strict=True):
            row[window] = 1 / len(window)
        name = resampled(b, node, name, axis, matrix)
    b.names[node] = name


def _uneven_max(b: Builder, node: fx.Node, x: Any) -> None:
    name, kernel = b.layer(x), []
    for axis, out in enumerate(node.meta["value"].shape[2:], 1):
        windows = _windows(b.shape(name)[axis], out)
        longest = max(map(len, windows))
        kernel.append(longest)
        name = taken(b, node, name, axis, [w[min(i, len(w) - 1)] for w in windows for i in range(longest)])
    none = ((0, 0),) * len(kernel)
    b.names[node] = b.add(
        node, "max_pool", (name,), kernel=tuple(kernel), stride=tuple(kernel), padding=none, dilation=(1,) * len(kernel)
    )  # fmt: skip


# Over whole axes


def _axes(b: Builder, node: fx.Node, a: dict[str, Any]) -> list[int]:
    if a["dim"] is None or a["dim"] == ():
        raise b.refuse(node, "it works on all samples together", "Name the axes to work on, all but the first")
    dims = a["input"].meta["value"].ndim - 1
    return sorted(sample_free_axis(b, node, d, dims) for d in pair(a["dim"], 1))


def mean(b: Builder, node: fx.Node) -> None:
    _add_sum(b, node, average=True)


def total(b: Builder, node: fx.Node) -> None:
    _add_sum(b, node, average=False)


def _add_sum(b: Builder, node: fx.Node, average: bool) -> None:
    a = bound(node, "input dim keepdim", dim=None, keepdim=False)
    axes, name = _axes(b, node, a), b.layer(a["input"])
    shape = b.shape(name)
    if axes == list(range(1, len(shape))) and len(shape) in (2, 3):
        pooled = b.add(
            node, "avg_pool", (name,), (shape[0],) + (1,) * (len(shape) - 1),
            kernel=shape[1:], stride=shape[1:], padding=((0, 0),) * (len(shape) - 1),
            divisor=math.prod(shape[1:]) if average else 1,
        )  # fmt: skip
    else:
        ones = tuple(1 if axis in axes else n for axis, n in enumerate(shape))
        pooled = b.add(node, "reduce", (name,), ones, kind="mean" if average else "sum", axes=tuple(axes))
    b.names[node] = b.add(node, "reshape", (pooled,))


def _last(b: Builder, node: fx.Node, name: str, axes: list[int]) -> tuple[str, int]:
    """The layer with some axes made one, the last; and how long that is."""
    shape = b.shape(name)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    count = math.prod(shape[axis] for axis in axes)
    order, outer = (*kept, *axes), tuple(shape[axis] for axis in kept)
    moved = b.add(node, "permute", (name,), tuple(shape[axis] for axis in order), axes=order)
    return b.add(node, "reshape", (moved,), (*outer, count)), count


def maximum(b: Builder, node: fx.Node) -> None:
    """amax, and max over one axis, whose second result (where the maximum is) no layer computes."""
    _extreme(b, node, "maximum", 1.0)


def minimum(b: Builder, node: fx.Node) -> None:
    """amin, min over one axis, and the smaller of two: maxima of the negated values."""
    _extreme(b, node, "minimum", -1.0)


def _extreme(b: Builder, node: fx.Node, op: str, sign: float) -> None:
    a = bound(node, "input dim keepdim", dim=None, keepdim=False)
    if isinstance(a["dim"], fx.Node):
        joined(op)(b, node)
        return
    axes, name = _axes(b, node, a), b.layer(a["input"])
    name = name if sign > 0 else scaled(b, node, name, factor=sign)
    name = largest_over(b, node, name, axes)
    name = name if sign > 0 else scaled(b, node, name, factor=sign)
    value = node.meta["value"]
    result = value[0] if isinstance(value, tuple) else value
    name = b.add(node, "reshape", (name,), tuple(result.shape[1:]))
    if isinstance(value, tuple):
        b.parts[node] = [name]
    else:
        b.names[node] = name


def largest_over(b: Builder, node: fx.Node, name: str, axes: list[int]) -> str:
    """A layer with the maximum over some axes, in the order of the others."""
    shape = b.shape(name)
    kernel = shape[1:]
    if axes != list(range(1, len(shape))) or len(shape) not in (2, 3):
        name, count = _last(b, node, name, axes)
        outer = math.prod(b.shape(name)[:-1])
        name, kernel = b.add(node, "reshape", (name,), (outer, count)), (count,)
    none, ones = ((0, 0),) * len(kernel), (1,) * len(kernel)
    return b.add(
        node, "max_pool", (name,), (b.shape(name)[0], *ones), kernel=kernel, stride=kernel, padding=none, dilation=ones
    )  # fmt: skip
