"""Rows of the ops that compute with values: functions, products, comparisons, norms, softmax, moves by index. See `neuro.ops`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from neuro.errors import GraphError
from neuro.functions import FUNCTIONS
from neuro.oprows import Described, Listed, OpRow, integer, integers, number, numbers, pairs, places, told, word
from neuro.windows import Shape

ROUNDINGS = ("nearest", "down", "up", "to zero")
REDUCTIONS = ("sum", "mean")


def _function(layer: Described, sources: Sequence[Shape]) -> Shape:
    known = FUNCTIONS[layer.options["name"]].parameters
    given = layer.options["values"]
    if len(given) > len(known):
        names = ", ".join(name for name, _ in known) or "no values"
        raise GraphError(layer.place, f"{layer.options['name']} has {len(given)} values", f"It takes {names}")
    return sources[0]


def _constant(layer: Described, sources: Sequence[Shape]) -> Shape:
    return tuple(layer.arrays["value"].shape)


def broadcast(layer: Described, sources: Sequence[Shape]) -> Shape:
    """The shape that sources with equally many axes broadcast to."""
    try:
        if len({len(shape) for shape in sources}) == 1:  # else the batch axis would meet another one
            return tuple(np.broadcast_shapes(*sources))
    except ValueError:
        pass
    fact = f"it adds shapes {told(sources)}" if layer.op == "add" else f"{layer.op} of shapes {told(sources)}"
    raise GraphError(layer.place, fact, f"{'Add' if layer.op == 'add' else 'Use'} equal shapes; reshape one of them first")


def _fitting(*names: str) -> Callable[[Described, Sequence[Shape]], Shape]:
    """The shape of the one source, to which the named arrays must broadcast."""

    def yields(layer: Described, sources: Sequence[Shape]) -> Shape:
        _check_fits(layer, sources[0], names)
        return sources[0]

    return yields


def _check_fits(layer: Described, shape: Shape, names: Sequence[str]) -> None:
    for name in names:
        if name not in layer.arrays:
            continue
        own = layer.arrays[name].shape
        pairs_of_sizes = zip(own[::-1], shape[::-1], strict=False)
        if len(own) > len(shape) or any(n not in (1, m) for n, m in pairs_of_sizes):
            fact = f"its {name} of shape {own} does not broadcast to its input {shape}"
            raise GraphError(layer.place, fact, "Use one value, or (channels, 1, ...)")


def _matmul(layer: Described, sources: Sequence[Shape]) -> Shape:
    first, second = sources
    if min(len(first), len(second)) < 2 or len(first) != len(second) or first[-1] != second[-2]:
        fact = f"it multiplies matrices of shapes {told(sources)}"
        raise GraphError(layer.place, fact, "Use (..., m, k) and (..., k, n), with as many axes; permute or reshape first")
    try:
        outer = np.broadcast_shapes(first[:-2], second[:-2])
    except ValueError:
        raise GraphError(layer.place, f"its stacks of matrices {told(sources)} differ", "Use equal sizes, or 1") from None
    return (*outer, first[-2], second[-1])


def _check_axes(layer: Described, shape: Shape, axes: Sequence[int]) -> None:
    if not axes or len(set(axes)) != len(axes) or max(axes) >= len(shape):
        raise GraphError(
            layer.place, f"axes {tuple(axes)} of an input {shape}", f"Use each of 0 to {len(shape) - 1} at most once"
        )


def _along(layer: Described, sources: Sequence[Shape]) -> Shape:
    _check_axes(layer, sources[0], (layer.options["axis"],))
    return sources[0]


def _normalised(layer: Described, sources: Sequence[Shape]) -> Shape:
    _check_axes(layer, sources[0], layer.options["axes"])
    _check_fits(layer, sources[0], ("weight", "bias"))
    return sources[0]


def _grouped(layer: Described, sources: Sequence[Shape]) -> Shape:
    first, groups = sources[0], layer.options["groups"]
    if not first or first[0] % groups:
        raise GraphError(layer.place, f"{groups} groups of an input {first}", "Use a divisor of its channels, the first axis")
    for name, array in layer.arrays.items():
        if array.shape != first[:1]:
            fact = f"its {name} has shape {array.shape}, its input {first}"
            raise GraphError(layer.place, fact, "Give one value for each channel")
    return first


def _reduced(layer: Described, sources: Sequence[Shape]) -> Shape:
    axes = layer.options["axes"]
    _check_axes(layer, sources[0], axes)
    return tuple(1 if axis in axes else n for axis, n in enumerate(sources[0]))


def _reduced_entries(layer: Described, source: Shape) -> Listed:
    post = np.broadcast_to(np.arange(prod(layer.shape)).reshape(layer.shape), source).ravel()
    share = 1.0 if layer.options["kind"] == "sum" else prod(layer.shape) / prod(source)
    return np.arange(post.size), post, np.full(post.size, share)


def _gathered(layer: Described, sources: Sequence[Shape]) -> Shape:
    first, axis, indices = sources[0], layer.options["axis"], layer.options["indices"]
    _check_axes(layer, first, (axis,))
    if indices.max() >= first[axis]:
        raise GraphError(layer.place, f"it picks place {indices.max()} of {first[axis]}", f"Use 0 to {first[axis] - 1}")
    return (*first[:axis], len(indices), *first[axis + 1 :])


def _gathered_entries(layer: Described, source: Shape) -> Listed:
    at = np.arange(prod(source)).reshape(source)
    pre = np.take(at, layer.options["indices"], layer.options["axis"]).ravel()
    return pre, np.arange(pre.size), np.ones(pre.size)


def _resampled(layer: Described, sources: Sequence[Shape]) -> Shape:
    first, axis, read = sources[0], layer.options["axis"], layer.options["places"]
    _check_axes(layer, first, (axis,))
    if layer.arrays["weight"].shape != read.shape or read.max() >= first[axis]:
        fact = f"weight {layer.arrays['weight'].shape} for places {read.shape} of {first[axis]}"
        raise GraphError(layer.place, fact, "Give (out, taps) of each, places within the axis")
    return (*first[:axis], len(read), *first[axis + 1 :])


def _resampled_entries(layer: Described, source: Shape) -> Listed:
    axis, read, weight = layer.options["axis"], layer.options["places"], layer.arrays["weight"].astype(np.float64)
    out, taps = read.shape
    at = np.moveaxis(np.take(np.arange(prod(source)).reshape(source), read.ravel(), axis), axis, -1)
    to = np.moveaxis(np.arange(prod(source) // source[axis] * out).reshape(layer.shape), axis, -1)
    post = np.repeat(to, taps, -1).ravel()
    times = np.broadcast_to(weight.ravel(), at.shape).ravel()
    kept = times != 0
    return at.ravel()[kept], post[kept], times[kept]


def transposed_size(size: Shape, kernel: Shape, stride: Any, padding: Any, dilation: Any) -> Shape:
    """What a transposed convolution makes of an image, `padding` cropped from its sides (negative: added)."""
    parts = zip(size, kernel, stride, padding, dilation, strict=True)
    return tuple((n - 1) * s + d * (k - 1) + 1 - before - after for n, k, s, (before, after), d in parts)


def _transposed(layer: Described, sources: Sequence[Shape]) -> Shape:
    first, o, weight = sources[0], layer.options, layer.arrays["weight"]
    axes, groups = weight.ndim - 2, o["groups"]
    if axes not in (1, 2) or len(first) != axes + 1 or weight.shape[0] != first[0] or first[0] % groups:
        fact = f"its weight has shape {weight.shape}, in {groups} groups, its input {first}"
        raise GraphError(layer.place, fact, "Use (in, out / groups, length) or (in, out / groups, height, width)")
    for name in ("stride", "padding", "dilation"):
        if len(o[name]) != axes:
            raise GraphError(layer.place, f"{name} = {o[name]} for an input of shape {first}", f"Give {axes} entries")
    out = weight.shape[1] * groups
    if "bias" in layer.arrays and layer.arrays["bias"].shape != (out,):
        raise GraphError(layer.place, f"its bias has shape {layer.arrays['bias'].shape}, it yields {out}", f"Use ({out},)")
    return (out, *transposed_size(first[1:], weight.shape[2:], o["stride"], o["padding"], o["dilation"]))


def _transposed_entries(layer: Described, source: Shape) -> Listed:
    """Every pixel of the source adds the kernel around its own place; what lies beyond the sides is cropped."""
    o, weight = layer.options, layer.arrays["weight"].astype(np.float64)
    channels, per_group, *kernel = weight.shape
    each = channels // o["groups"]
    spread = [
        (np.arange(n)[:, None] * s - before + np.arange(k) * d)
        for n, k, s, (before, _), d in zip(source[1:], kernel, o["stride"], o["padding"], o["dilation"], strict=True)
    ]
    target = layer.shape[1:]
    pixels = np.indices(source[1:]).reshape(len(spread), -1)
    taps = np.indices(kernel).reshape(len(spread), -1)
    at = [where[pixels[i][:, None], taps[i][None]] for i, where in enumerate(spread)]  # (pixels, taps) each
    inside = np.logical_and.reduce([(a >= 0) & (a < n) for a, n in zip(at, target, strict=True)])
    place = np.ravel_multi_index([np.where(inside, a, 0) for a in at], target)
    pixel, tap = np.nonzero(inside)
    i, j = (v.ravel() for v in np.indices((channels, per_group)))
    out = i // each * per_group + j
    pre = i[:, None] * pixels.shape[1] + pixel
    post = out[:, None] * prod(target) + place[pixel, tap]
    times = weight.reshape(channels * per_group, -1)[:, tap]
    return pre.ravel(), post.ravel(), times.ravel()


def _embedded(layer: Described, sources: Sequence[Shape]) -> Shape:
    if layer.arrays["weight"].ndim != 2:
        raise GraphError(layer.place, f"its weight has shape {layer.arrays['weight'].shape}", "Use (entries, width)")
    return (*sources[0], layer.arrays["weight"].shape[1])


def _extreme_place(layer: Described, sources: Sequence[Shape]) -> Shape:
    axis = layer.options["axis"]
    _check_axes(layer, sources[0], (axis,))
    return tuple(1 if i == axis else n for i, n in enumerate(sources[0]))


def _quantised(layer: Described, sources: Sequence[Shape]) -> Shape:
    _check_fits(layer, sources[0], ("scale", "zero"))
    if not (layer.arrays["scale"] > 0).all() or layer.options["lowest"] >= layer.options["highest"]:
        raise GraphError(layer.place, "its scale is not above 0, or its range is empty", "Give a scale above 0 and a range")
    return sources[0]


_MANY = {"sources": (1, None), "keeps_sign": True}
_AFFINE = ("weight", "bias")

ROWS: dict[str, OpRow] = {
    "constant": OpRow(_constant, ("value",), sources=(0, 0)),
    "function": OpRow(_function, options={"name": word(*FUNCTIONS), "values": numbers}),
    "prelu": OpRow(_fitting("slope"), ("slope",), keeps_sign=True),
    "multiply": OpRow(broadcast, **_MANY),  # type: ignore[arg-type]  # the table holds both kinds
    "maximum": OpRow(broadcast, **_MANY),  # type: ignore[arg-type]  # likewise
    "minimum": OpRow(broadcast, **_MANY),  # type: ignore[arg-type]  # likewise
    "where": OpRow(broadcast, sources=(3, 3), keeps_sign=True),
    "matmul": OpRow(_matmul, sources=(2, 2), keeps_sign=True),
    "softmax": OpRow(_along, options={"axis": integer(0)}, keeps_sign=True),
    "log_softmax": OpRow(_along, options={"axis": integer(0)}),
    "layer_norm": OpRow(_normalised, more_arrays=_AFFINE, options={"axes": integers(0), "epsilon": number(0)}),
    "rms_norm": OpRow(_normalised, more_arrays=_AFFINE, options={"axes": integers(0), "epsilon": number(0)}),
    "group_norm": OpRow(_grouped, more_arrays=_AFFINE, options={"groups": integer(1), "epsilon": number(0)}),
    "local_response_norm": OpRow(
        _fitting(), options={"size": integer(1), "alpha": number(), "beta": number(), "bias": number()}, keeps_sign=True
    ),
    "conv_transpose": OpRow(
        _transposed, ("weight",), ("bias",),
        {"stride": integers(1), "padding": pairs(None), "dilation": integers(1), "groups": integer(1)},
        listed=_transposed_entries,
    ),
    "reduce": OpRow(
        _reduced, options={"kind": word(*REDUCTIONS), "axes": integers(0)}, keeps_sign=True, listed=_reduced_entries
    ),
    "gather": OpRow(
        _gathered, options={"axis": integer(0), "indices": places(1)}, keeps_sign=True, listed=_gathered_entries
    ),
    "resample": OpRow(
        _resampled, ("weight",), options={"axis": integer(0), "places": places(2)}, listed=_resampled_entries
    ),
    "mask": OpRow(_fitting("keep"), ("keep",), options={"value": number()}),
    "embedding": OpRow(_embedded, ("weight",)),
    "argmax": OpRow(_extreme_place, options={"axis": integer(0)}, keeps_sign=True),
    "previous": OpRow(_fitting("start"), more_arrays=("start",)),
    "quantise": OpRow(
        _quantised, ("scale", "zero"), options={"lowest": number(), "highest": number(), "rounding": word(*ROUNDINGS)}
    ),
}  # fmt: skip
