"""Ops of a Graph, one row each: the arrays and options it takes, how many layers feed it, and the shape that it yields.

Knows shapes and ranges of one layer; knows neither the order of layers nor what an op computes (`converters.evaluation`).
Shapes leave out the batch axis.

| op | arrays | options |
|---|---|---|
| input | | |
| conv | weight (out, in / groups, *kernel), bias? (out,) | stride, padding ((before, after), ...), dilation, groups |
| linear | weight (out, in), bias? (out,) | |
| batch_norm | mean, variance, weight, bias: (channels,) | epsilon |
| relu | | ceiling: float or None; of a tuned one threshold? (1 or channels,) and levels? |
| avg_pool | | kernel, stride, padding, divisor: int or None (None: the pixels inside the image) |
| max_pool | | kernel, stride, padding, dilation |
| add, concat | | concat: axis |
| reshape | | |
| permute | | axes |
| pad | | padding for every axis, ((before, after), ...), negative to crop; value |
| scale | factor?, shift?: broadcast to the shape | |
| identity | | |
| constant | value: of every sample | |
| function | | name: one of `neuro.functions`; values of its parameters |
| prelu | slope: broadcasts to the shape | |
| multiply, maximum, minimum | | |
| where | | |
| matmul | | |
| softmax, log_softmax | | axis |
| layer_norm, rms_norm | weight?, bias?: broadcast to the shape | axes that are normalised together, epsilon |
| group_norm | weight?, bias?: (channels,) | groups, epsilon |
| local_response_norm | | size (channels), alpha, beta, bias |
| conv_transpose | weight (in, out / groups, *kernel), bias? (out,) | stride, padding (cropped), dilation, groups |
| reduce | | kind: sum or mean; axes, which stay with size 1 |
| gather | | axis, indices (out,) |
| resample | weight (out, taps) | axis, places (out, taps): each place is a weighted sum of some |
| mask | keep: 1 or 0, broadcasts to the shape | value where it is 0 |
| embedding | weight (entries, width) | |
| argmax | | axis, which stays with size 1 |
| previous | start?: broadcasts to the shape | |
| quantise | scale, zero: broadcast to the shape | lowest, highest: of the integers; rounding |

Where an op has several sources, they have as many axes, and sizes that are equal or 1. `where`: a condition (0 or not), the value
where it holds, the value where it does not. `matmul`: (..., m, k) by (..., k, n). `previous`: the value of its source one frame
ago, `start` or 0 at first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from neuro import valueops
from neuro.errors import GraphError
from neuro.oprows import Described, Listed, OpRow, ceiling, divisor, integer, integers, number, pairs, thresholds, told
from neuro.windows import Shape, reads_padding_alone, window_output

IMAGE_AXES = (1, 2)  # axes behind the channels over which a window can slide


def settled_options(place: str, op: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an op, complete, known and each in its one form; a GraphError otherwise."""
    row = OPS[op]
    _check_names(place, op, "option", options, tuple(row.options), tuple(row.more_options))
    return {name: (row.options.get(name) or row.more_options[name])(place, name, value) for name, value in options.items()}


def check_arrays(place: str, op: str, arrays: Mapping[str, Any]) -> None:
    """Refuse arrays that are missing or unknown to an op."""
    _check_names(place, op, "array", arrays, OPS[op].arrays, OPS[op].more_arrays)


def check_sources(place: str, op: str, inputs: Sequence[str]) -> None:
    """Refuse too few or too many layers that feed an op."""
    least, most = OPS[op].sources
    if len(inputs) < least:
        raise GraphError(place, f"{op} has no input", "Name the layer that feeds it")
    if most is not None and len(inputs) > most:
        remedy = "Leave out its inputs" if most == 0 else "Name one layer, or add or join several first"
        raise GraphError(place, f"{op} takes {most or 'no'} input{'s' * (most != 1)}, it has {len(inputs)}", remedy)


def output_shape(layer: Any, sources: Sequence[Shape]) -> Shape:
    """The shape that a layer yields from sources of these shapes; a GraphError where its arrays or options do not fit them."""
    found = OPS[layer.op].yields(layer, sources)
    if min(found, default=1) < 1:
        raise GraphError(layer.place, f"{layer.op} of {told(sources)} yields {found}, which holds nothing", "Use larger inputs")
    return found


def _check_names(place: str, op: str, what: str, given: Any, needed: Sequence[str], more: Sequence[str]) -> None:
    known = (*needed, *more)
    for name in given:
        if name not in known:
            raise GraphError(place, f"{op} has an unknown {what} {name!r}", f"Use {', '.join(known) or 'none'}")
    for name in needed:
        if name not in given:
            raise GraphError(place, f"{op} has a missing {what} {name!r}", f"Give {', '.join(needed)}")


# Shapes


def _same(layer: Described, sources: Sequence[Shape]) -> Shape:
    return sources[0]


def _declared(layer: Described, sources: Sequence[Shape]) -> Shape:
    return layer.shape


def _conv(layer: Described, sources: Sequence[Shape]) -> Shape:
    first, o, weight = sources[0], layer.options, layer.arrays["weight"]
    _check_image(layer, first)
    if weight.ndim != len(first) + 1:
        axes = ("length", "height, width")[len(first) - 2]
        raise GraphError(
            layer.place, f"its weight has shape {weight.shape}, its input {first}", f"Use (out, in / groups, {axes})"
        )
    out, per_group, *kernel = weight.shape
    groups = o["groups"]
    if per_group * groups != first[0]:
        taken = f"in {groups} group{'s' * (groups > 1)} takes {per_group * groups} channels"
        fact = f"its weight {weight.shape} {taken}, its input {first} has {first[0]}"
        raise GraphError(layer.place, fact, _channels_remedy(first[0], groups))
    if out % groups:
        raise GraphError(layer.place, f"its {out} output channels do not divide into {groups} groups", "Use a divisor of them")
    _check_bias(layer, out)
    return (out, *_window(layer, first, tuple(kernel), o["dilation"]))


def _channels_remedy(channels: int, groups: int) -> str:
    if channels % groups:
        return f"Use a number of groups that divides {channels}"
    return f"Use a weight (out, {channels // groups}, ...), or feed it from another layer"


def _pool(layer: Described, sources: Sequence[Shape]) -> Shape:
    first, o = sources[0], layer.options
    _check_image(layer, first)
    kernel, dilation = o["kernel"], o.get("dilation", (1,) * (len(first) - 1))
    out = _window(layer, first, kernel, dilation)
    summed = o.get("divisor") is not None  # a maximum or a mean of nothing is not a number
    if not summed and reads_padding_alone(first[1:], out, kernel, o["stride"], o["padding"], dilation):
        fact = f"a window of {kernel}, dilation {dilation}, reads padding alone: {o['padding']} around {first}"
        raise GraphError(layer.place, fact, "Pad or dilate by less, or leave the pool out")
    return (first[0], *out)


def _check_image(layer: Described, first: Shape) -> None:
    if len(first) - 1 not in IMAGE_AXES:
        fact = f"its input has shape {first}"
        raise GraphError(layer.place, fact, "Feed it (channels, length) or (channels, height, width)")


def _window(layer: Described, first: Shape, kernel: Shape, dilation: Shape) -> Shape:
    o, axes = layer.options, len(first) - 1
    for name, value in (("kernel", kernel), ("stride", o["stride"]), ("padding", o["padding"]), ("dilation", dilation)):
        if len(value) != axes:
            raise GraphError(layer.place, f"{name} = {value} for an input of shape {first}", f"Give {axes} entries")
    if min(kernel) < 1:
        raise GraphError(layer.place, f"its kernel is {kernel}", "Use sizes of 1 or more")
    out = window_output(first[1:], kernel, o["stride"], o["padding"], dilation)
    if min(out) < 1:
        fact = f"a window of {kernel} with dilation {dilation} is larger than its input {first} with padding {o['padding']}"
        raise GraphError(layer.place, fact, "Use a smaller kernel, or more padding")
    return out


def _check_bias(layer: Described, out: int) -> None:
    if "bias" in layer.arrays and layer.arrays["bias"].shape != (out,):
        raise GraphError(
            layer.place, f"its bias has shape {layer.arrays['bias'].shape}, its weight yields {out}", f"Use ({out},)"
        )


def _linear(layer: Described, sources: Sequence[Shape]) -> Shape:
    first, weight = sources[0], layer.arrays["weight"]
    if weight.ndim != 2 or not first:
        raise GraphError(layer.place, f"its weight has shape {weight.shape}, its input {first}", "Use (out, in) and (..., in)")
    if weight.shape[1] != first[-1]:
        fact = f"its weight {weight.shape} takes {weight.shape[1]} values, the last axis of its input {first} has {first[-1]}"
        raise GraphError(layer.place, fact, f"Use a weight (out, {first[-1]}), or reshape its input")
    _check_bias(layer, weight.shape[0])
    return (*first[:-1], weight.shape[0])


def _batch_norm(layer: Described, sources: Sequence[Shape]) -> Shape:
    first = sources[0]
    for name, array in layer.arrays.items():
        if array.shape != first[:1] or not first:
            raise GraphError(
                layer.place, f"its {name} has shape {array.shape}, its input {first}", "Give one value for each channel"
            )
    if (layer.arrays["variance"].astype(np.float64) + layer.options["epsilon"] <= 0).any():
        raise GraphError(layer.place, "its variance plus epsilon is not above 0", "Use a variance of 0 or more and an epsilon")
    return first


def _relu(layer: Described, sources: Sequence[Shape]) -> Shape:
    tuned = layer.options.get("threshold")
    if (tuned is None) != ("levels" not in layer.options):
        raise GraphError(layer.place, "it has one of threshold and levels", "Give both, or neither")
    if tuned is not None and tuned.size not in (1, *sources[0][:1]):
        fact = f"it has {tuned.size} thresholds, its input {sources[0]} has {(sources[0] or (1,))[0]} channels"
        raise GraphError(layer.place, fact, "Give one threshold, or one for each channel")
    return sources[0]


def _concat(layer: Described, sources: Sequence[Shape]) -> Shape:
    first, axis = sources[0], layer.options["axis"]
    if axis >= len(first):
        raise GraphError(layer.place, f"axis = {axis} of inputs {told(sources)}", f"Use 0 to {len(first) - 1}")
    for shape in sources[1:]:
        if len(shape) != len(first) or (*shape[:axis], *shape[axis + 1 :]) != (*first[:axis], *first[axis + 1 :]):
            fact = f"it joins {first} and {shape} along axis {axis}"
            raise GraphError(layer.place, fact, "Join inputs that differ along that axis only")
    return (*first[:axis], sum(shape[axis] for shape in sources), *first[axis + 1 :])


def _reshape(layer: Described, sources: Sequence[Shape]) -> Shape:
    if prod(sources[0]) != prod(layer.shape):
        fact = f"reshape yields {layer.shape} of {prod(layer.shape):,} values from {sources[0]} of {prod(sources[0]):,}"
        raise GraphError(layer.place, fact, "Declare a shape of as many values")
    return layer.shape


def _permute(layer: Described, sources: Sequence[Shape]) -> Shape:
    first, axes = sources[0], layer.options["axes"]
    if sorted(axes) != list(range(len(first))):
        raise GraphError(layer.place, f"axes = {axes} of an input of shape {first}", f"Use each of 0 to {len(first) - 1} once")
    return tuple(first[axis] for axis in axes)


def _permuted(layer: Described, source: Shape) -> Listed:
    order = np.arange(prod(source)).reshape(source).transpose(layer.options["axes"]).ravel()
    return order, np.arange(order.size), np.ones(order.size)


def _pad(layer: Described, sources: Sequence[Shape]) -> Shape:
    first, sides = sources[0], layer.options["padding"]
    if len(sides) != len(first):
        raise GraphError(layer.place, f"padding = {sides} for an input of shape {first}", "Give (before, after) for each axis")
    if any(n + min(before, 0) + min(after, 0) < 1 for n, (before, after) in zip(first, sides, strict=True)):
        raise GraphError(layer.place, f"padding = {sides} leaves nothing of {first}", "Crop less")
    return tuple(n + before + after for n, (before, after) in zip(first, sides, strict=True))


def _scale(layer: Described, sources: Sequence[Shape]) -> Shape:
    first = sources[0]
    for name, array in layer.arrays.items():
        try:
            fits = np.broadcast_shapes(array.shape, first) == first
        except ValueError:
            fits = False
        if not fits:
            fact = f"its {name} of shape {array.shape} does not broadcast to its input {first}"
            raise GraphError(layer.place, fact, "Use one value, or (channels, 1, ...)")
    return first


_SLIDING = {"stride": integers(1), "padding": pairs(0)}

OPS: dict[str, OpRow] = {
    "input": OpRow(_declared, sources=(0, 0)),
    "conv": OpRow(_conv, ("weight",), ("bias",), {**_SLIDING, "dilation": integers(1), "groups": integer(1)}),
    "linear": OpRow(_linear, ("weight",), ("bias",)),
    "batch_norm": OpRow(_batch_norm, ("mean", "variance", "weight", "bias"), options={"epsilon": number(0)}),
    "relu": OpRow(
        _relu, options={"ceiling": ceiling}, more_options={"threshold": thresholds, "levels": integer(1)}, keeps_sign=True
    ),
    "avg_pool": OpRow(_pool, options={"kernel": integers(1), **_SLIDING, "divisor": divisor}, keeps_sign=True),
    "max_pool": OpRow(_pool, options={"kernel": integers(1), **_SLIDING, "dilation": integers(1)}, keeps_sign=True),
    "add": OpRow(valueops.broadcast, sources=(1, None), keeps_sign=True),
    "concat": OpRow(_concat, options={"axis": integer(0)}, sources=(1, None), keeps_sign=True),
    "reshape": OpRow(_reshape, keeps_sign=True),
    "permute": OpRow(_permute, options={"axes": integers(0)}, keeps_sign=True, listed=_permuted),
    "pad": OpRow(_pad, options={"padding": pairs(None), "value": number()}),
    "scale": OpRow(_scale, more_arrays=("factor", "shift")),
    "identity": OpRow(_same, keeps_sign=True),
    **valueops.ROWS,
}
