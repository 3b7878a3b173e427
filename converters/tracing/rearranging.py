"""Handlers of what moves values without computing: reshape, permute, join, split, pad, slice, repeat and enlarge."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx

from converters.tracing.arguments import bound, module_of, operand, pair, sample_free_axis
from converters.tracing.axes import cropped, resampled, resized, spread, taken
from converters.tracing.builder import Builder


def reshape(b: Builder, node: fx.Node) -> None:
    x, value = operand(node), node.meta["value"]
    if value.ndim < 2 or value.shape[0] != x.meta["value"].shape[0]:
        raise b.refuse(node, "it mixes samples", "Keep the first axis: x.flatten(1), say")
    b.names[node] = b.add(node, "reshape", (b.layer(x),))


def permute(b: Builder, node: fx.Node) -> None:
    x = operand(node)
    dims: int = x.meta["value"].ndim
    given: Any = node.args[1:] or (node.kwargs["dims"],)
    order = [int(d) % dims for d in (given[0] if np.ndim(given[0]) else given)]
    _add_permute(b, node, x, order)


def transpose(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input dim0 dim1")
    add_transpose(b, node, a["input"], int(a["dim0"]), int(a["dim1"]))


def add_transpose(b: Builder, node: fx.Node, x: Any, one: int, two: int) -> None:
    """Exchange two axes of the tensor, samples among them."""
    order = list(range(x.meta["value"].ndim))
    order[one], order[two] = order[two], order[one]
    _add_permute(b, node, x, order)


def moveaxis(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input source destination")
    numbered = np.empty(range(1, a["input"].meta["value"].ndim + 1))  # the size of an axis is its number, from 1
    _add_permute(b, node, a["input"], [n - 1 for n in np.moveaxis(numbered, a["source"], a["destination"]).shape])


def _add_permute(b: Builder, node: fx.Node, x: Any, order: list[int]) -> None:
    """Axes in another order; where the axis of samples goes is remembered: layers have none."""
    before, after = b.moved.get(x, 0), order.index(b.moved.get(x, 0))
    b.moved[node] = after
    axes = tuple(axis - (axis > before) for axis in order if axis != before)
    name = b.layer(x)
    b.names[node] = name if axes == tuple(range(len(axes))) else b.add(node, "permute", (name,), axes=axes)


# Joining and splitting


def _activations(b: Builder, node: fx.Node, tensors: Any, rank: int) -> list[str]:
    """The layers that are joined, constants among them."""
    if isinstance(tensors, fx.Node):
        return b.parts[tensors]
    return [b.value(node, t, rank) for t in tensors]


def concatenate(b: Builder, node: fx.Node) -> None:
    a = bound(node, "tensors dim", dim=0)
    rank = node.meta["value"].ndim - 1
    axis = sample_free_axis(b, node, a["dim"], rank)
    b.names[node] = b.add(node, "concat", tuple(_activations(b, node, a["tensors"], rank)), axis=axis)


def stack(b: Builder, node: fx.Node) -> None:
    a = bound(node, "tensors dim", dim=0)
    shape = tuple(node.meta["value"].shape[1:])
    axis = sample_free_axis(b, node, a["dim"], len(shape))
    parts = [
        b.add(node, "reshape", (name,), resized(shape, axis, 1)) for name in _activations(b, node, a["tensors"], len(shape) - 1)
    ]
    b.names[node] = b.add(node, "concat", tuple(parts), axis=axis)


def split(b: Builder, node: fx.Node) -> None:
    """chunk, split, tensor_split and unbind: as many layers as there are parts."""
    a = bound(node, "input size dim", dim=0)
    dim = a.get("size", a["dim"]) if node.target in ("unbind", torch.unbind) else a["dim"]
    name = b.layer(a["input"])
    axis = sample_free_axis(b, node, dim, len(b.shape(name)))
    parts, start, at = [], 0, b.moved.get(a["input"], 0)
    if at:  # where samples are in the parts, whose axis is left out or not
        gone = node.meta["value"][0].ndim < a["input"].meta["value"].ndim and axis < at
        b.moved[node] = at = at - gone
    for value in node.meta["value"]:
        shape = (*value.shape[:at], *value.shape[at + 1 :])
        kept = len(shape) == len(b.shape(name))
        size = shape[axis] if kept else 1
        part = taken(b, node, name, axis, range(start, start + size))
        parts.append(part if kept else b.add(node, "reshape", (part,), shape))
        start += size
    b.parts[node] = parts


# Padding


def pad(b: Builder, node: fx.Node) -> None:
    if node.op == "call_module":
        m = module_of(b, node)
        mode = next((mode for mode in ("reflect", "replicat", "circular") if mode in type(m).__name__.lower()), "constant")
        a = {"input": operand(node), "pad": m.padding, "mode": mode, "value": getattr(m, "value", 0.0)}
        a["mode"] = "replicate" if mode == "replicat" else mode
    else:
        a = bound(node, "input pad mode value", mode="constant", value=0.0)
    dims = a["input"].meta["value"].ndim
    flat = [int(n) for n in a["pad"]] + [0] * (2 * dims - len(a["pad"]))
    sides = [(flat[2 * i], flat[2 * i + 1]) for i in range(dims)][::-1]
    if sides[0] != (0, 0):
        raise b.refuse(node, "it pads the sample axis", "Pad the other axes")
    name = b.layer(a["input"])
    if a["mode"] == "constant":
        value = float(a["value"] or 0.0)
        if b.frames and value == 0:
            name, sides = _earlier(b, node, name, sides)
        b.names[node] = b.add(node, "pad", (name,), padding=tuple(sides[1:]), value=value)
    else:
        b.names[node] = padded(b, node, name, tuple(sides[1:]), a["mode"])


def _earlier(b: Builder, node: fx.Node, name: str, sides: list[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """Of a stream, padding in front of the one frame that is there stands for the frames before it."""
    for axis, (before, after) in enumerate(sides[1:]):
        if b.shape(name)[axis] == 1 and before > 0 and after == 0:
            parts, shape = [name], b.shape(name)
            for _ in range(before):
                parts.insert(0, b.add(node, "previous", (parts[0],), shape))
            joined = (*shape[:axis], before + 1, *shape[axis + 1 :])
            name = b.add(node, "concat", tuple(parts), joined, axis=axis)
            sides = [(0, 0) if i == axis + 1 else side for i, side in enumerate(sides)]
    return name, sides


def padded(b: Builder, node: fx.Node, name: str, sides: tuple[tuple[int, int], ...], mode: str) -> str:
    """Layer `name` padded on every axis by values of its own, as torch does in a mode other than constant."""
    for axis, (before, after) in enumerate(sides):
        if before or after:
            numbers = torch.arange(b.shape(name)[axis], dtype=torch.float64)[None, None]
            name = taken(b, node, name, axis, F.pad(numbers, (before, after), mode=mode)[0, 0].long().numpy())
    return name


# Slices


def pick(b: Builder, node: fx.Node) -> None:
    """x[...]: one of several results, or slices, numbers, new axes and lists of numbers."""
    x, index = node.args
    assert isinstance(x, fx.Node)
    if x in b.states and index in (1, -1):
        b.moved[node] = 1
        if len(b.states[x]) > 1:
            b.parts[node] = list(b.states[x])
        else:
            (b.names[node],) = b.states[x]
        return
    if x in b.parts:
        b.moved[node] = b.moved.get(x, 0)
        _result(b, node, b.parts[x], index)
        return
    if b.moved.get(x, 0) and isinstance(index, int):  # of the first axis, which is not that of samples
        b.moved[node] = b.moved[x] - 1
        name = b.layer(x)
        part = taken(b, node, name, 0, [index % b.shape(name)[0]])
        b.names[node] = b.add(node, "reshape", (part,))
        return
    if b.moved.get(x, 0):
        raise b.refuse(
            node, "it picks from a tensor whose samples are not on the first axis", "Pick one number, or permute back first"
        )
    shape = tuple(x.meta["value"].shape)
    parts = _indices(b, node, index, len(shape))
    if parts[[p is not None for p in parts].index(True)] != slice(None):
        raise b.refuse(node, "it picks samples", "Keep all samples: x[:, ...]")
    strides, runs, others = [1] * len(shape), {}, {}
    for axis, part in enumerate([p for p in parts if p is not None][1:]):
        size = shape[1 + axis]
        chosen = np.arange(size)[part] if isinstance(part, slice) else np.atleast_1d(part) % size
        if isinstance(part, slice) and (part.step or 1) > 1 and axis > 0 and len(shape) in (3, 4) and chosen.size:
            strides[axis], chosen = int(part.step), np.arange(chosen[0], chosen[-1] + 1)
        if chosen.size and (np.diff(chosen) == 1).all():
            runs[axis] = (int(chosen[0]), int(chosen[-1]) + 1)
        else:
            others[axis] = chosen
    name = cropped(b, node, b.layer(x), runs)
    for axis, chosen in others.items():
        name = taken(b, node, name, axis, chosen)
    name = _strided(b, node, name, strides[1:-1])
    wanted = tuple(node.meta["value"].shape[1:])
    b.names[node] = name if b.shape(name) == wanted else b.add(node, "reshape", (name,))


def _result(b: Builder, node: fx.Node, parts: list[str], index: Any) -> None:
    """One of several results, or some of them."""
    if isinstance(index, slice):
        b.parts[node] = parts[index]
    elif -len(parts) <= index < len(parts):
        b.names[node] = parts[index]
    else:
        raise b.refuse(node, "it picks where the maximum lies, which no layer computes", "Use the maximum itself")


def _indices(b: Builder, node: fx.Node, index: Any, dims: int) -> list[Any]:
    """What is picked along each axis, new axes (None) among them. Lists of numbers are taken along one axis only."""
    given: list[Any] = list(index) if isinstance(index, tuple) else [index]
    parts = [b.constant(node, p, "index") if isinstance(p, fx.Node | torch.Tensor) else p for p in given]
    parts = [np.asarray(p) if isinstance(p, list | tuple) else p for p in parts]
    plain = [p is None or p is Ellipsis or isinstance(p, int | slice) or getattr(p, "dtype", None) == np.int64 for p in parts]
    lists = [p for p in parts if np.ndim(p) > 0 and isinstance(p, np.ndarray)]
    mixed = lists and (len(lists) > 1 or lists[0].ndim > 1 or any(isinstance(p, int) for p in parts))
    if not all(plain) or mixed or any(isinstance(p, bool) for p in parts):
        raise b.refuse(node, "it picks by other than slices and numbers", "Slice with numbers, and keep all samples")
    places = [i for i, p in enumerate(parts) if p is Ellipsis]
    missing = dims - sum(p is not None and p is not Ellipsis for p in parts)
    at = places[0] if places else len(parts)
    return [*parts[:at], *[slice(None)] * missing, *parts[at + 1 :]]


def _strided(b: Builder, node: fx.Node, name: str, strides: list[int]) -> str:
    """Every so many pixels of an image, as a pool of windows of one pixel."""
    if all(step == 1 for step in strides):
        return name
    ones, shape = (1,) * len(strides), b.shape(name)
    out = (shape[0], *(-(-n // step) for n, step in zip(shape[1:], strides, strict=True)))
    return b.add(node, "avg_pool", (name,), out, kernel=ones, stride=tuple(strides), padding=((0, 0),) * len(ones), divisor=1)


def select(b: Builder, node: fx.Node) -> None:
    """select, narrow and index_select: some slices along one axis."""
    a = bound(node, "input dim index length")
    name = b.layer(a["input"])
    axis = sample_free_axis(b, node, a["dim"], len(b.shape(name)))
    first = b.constant(node, a.get("start", a.get("index")), "index")
    chosen = np.atleast_1d(first) % b.shape(name)[axis]
    if node.target in ("narrow", torch.narrow):
        chosen = chosen[0] + np.arange(int(a["length"]))
    name = taken(b, node, name, axis, chosen)
    wanted = tuple(node.meta["value"].shape[1:])
    b.names[node] = name if b.shape(name) == wanted else b.add(node, "reshape", (name,))


def flip(b: Builder, node: fx.Node) -> None:
    x = operand(node)
    given: Any = node.args[1:] or (node.kwargs["dims"],)
    name = b.layer(x)
    for dim in given[0] if np.ndim(given[0]) else given:
        axis = sample_free_axis(b, node, dim, len(b.shape(name)))
        name = taken(b, node, name, axis, np.arange(b.shape(name)[axis])[::-1])
    b.names[node] = name


def roll(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input shifts dims", dims=())
    dims = pair(a["dims"], 1)
    if not dims:
        raise b.refuse(node, "it rolls over all axes at once", "Name the axes to roll")
    name = b.layer(a["input"])
    for dim, shift in zip(dims, pair(a["shifts"], len(dims)), strict=True):
        axis = sample_free_axis(b, node, dim, len(b.shape(name)))
        name = taken(b, node, name, axis, np.roll(np.arange(b.shape(name)[axis]), shift))
    b.names[node] = name


# Repeating and enlarging


def expand(b: Builder, node: fx.Node) -> None:
    x, value = operand(node), node.meta["value"]
    if value.ndim != x.meta["value"].ndim or len(value) != len(x.meta["value"]):
        raise b.refuse(node, "it adds an axis before that of samples", "Keep samples on the first axis")
    b.names[node] = spread(b, node, b.layer(x), tuple(value.shape[1:]))


def repeat(b: Builder, node: fx.Node) -> None:
    x = operand(node)
    given: Any = node.args[1:] or (next(iter(node.kwargs.values())),)
    times = [int(n) for n in (given[0] if np.ndim(given[0]) else given)]
    dims = x.meta["value"].ndim
    times = [1] * (dims - len(times)) + times if node.target in ("tile", torch.tile) else times
    if len(times) != dims or times[0] != 1:
        raise b.refuse(node, "it repeats samples", "Keep the first axis as it is: x.repeat(1, ...)")
    name = b.layer(x)
    for axis, n in enumerate(times[1:]):
        name = taken(b, node, name, axis, np.tile(np.arange(b.shape(name)[axis]), n))
    b.names[node] = name


def repeat_interleave(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input repeats dim", dim=None)
    if a["dim"] is None or np.ndim(b.constant(node, a["repeats"], "number")):
        raise b.refuse(node, "it repeats values unevenly or across samples", "Name an axis, and one number for all")
    name = b.layer(a["input"])
    axis = sample_free_axis(b, node, a["dim"], len(b.shape(name)))
    count = int(b.constant(node, a["repeats"], "number"))
    b.names[node] = taken(b, node, name, axis, np.repeat(np.arange(b.shape(name)[axis]), count))


_SEPARABLE = ("nearest", "nearest-exact", "linear", "bilinear")


def enlarge(b: Builder, node: fx.Node) -> None:
    """Upsampling, axis by axis: torch says for one line of unit vectors what each output takes from each input."""
    if node.op == "call_module":
        m = module_of(b, node)
        a = {"input": operand(node), **{key: getattr(m, key) for key in ("size", "scale_factor", "mode", "align_corners")}}
        a["recompute_scale_factor"] = getattr(m, "recompute_scale_factor", None)
    else:
        names = "input size scale_factor mode align_corners recompute_scale_factor antialias"
        a = bound(node, names, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None)
    if a["mode"] not in _SEPARABLE or a.get("antialias"):
        raise b.refuse(node, f"its mode is {a['mode']!r}", f"Use one of {', '.join(_SEPARABLE)}, without antialias")
    name, dims = b.layer(a["input"]), len(node.meta["value"].shape) - 2
    out = tuple(node.meta["value"].shape[2:])
    scales = None if a["scale_factor"] is None or a["recompute_scale_factor"] else _numbers(a["scale_factor"], dims)
    mode = a["mode"].replace("bilinear", "linear")
    for axis in range(dims):
        unit = torch.eye(b.shape(name)[1 + axis])[:, None]
        how: dict[str, Any] = {"size": out[axis]} if scales is None else {"scale_factor": scales[axis]}
        if mode == "linear":
            how["align_corners"] = a["align_corners"]
        name = resampled(b, node, name, 1 + axis, F.interpolate(unit, mode=mode, **how)[:, 0].T.numpy())
    b.names[node] = name


def _numbers(value: Any, dims: int) -> tuple[float, ...]:
    return tuple(float(v) for v in value) if np.ndim(value) else (float(value),) * dims


def shuffle_pixels(b: Builder, node: fx.Node) -> None:
    """pixel_shuffle, pixel_unshuffle and channel_shuffle: two reshapes and a permutation."""
    if node.op == "call_module":
        m = module_of(b, node)
        kind = type(m).__name__.lower()
        n = next(int(getattr(m, key)) for key in ("upscale_factor", "downscale_factor", "groups") if hasattr(m, key))
    else:
        kind, n = str(getattr(node.target, "__name__", node.target)).replace("_", ""), cast(int, node.args[1])
    x = operand(node)
    if x.meta["value"].ndim != 4 and not kind.startswith("channel"):
        raise b.refuse(node, "its input is not (samples, channels, height, width)", "Pass (samples, channels, height, width)")
    name = b.layer(x)
    channels, *image = b.shape(name)
    inner: tuple[int, ...]
    axes: tuple[int, ...]
    if kind.startswith("channel"):
        inner, axes = (n, channels // n, math.prod(image)), (1, 0, 2)
    elif kind.startswith("pixelshuffle"):
        inner, axes = (channels // n**2, n, n, *image), (0, 3, 1, 4, 2)
    else:
        inner, axes = (channels, image[0] // n, n, image[1] // n, n), (0, 2, 4, 1, 3)
    name = b.add(node, "reshape", (name,), inner)
    name = b.add(node, "permute", (name,), tuple(inner[i] for i in axes), axes=axes)
    b.names[node] = b.add(node, "reshape", (name,))
