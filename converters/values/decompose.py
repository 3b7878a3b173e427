"""Graph -> Graph of the same values in fewer ops: linear layers, functions, products of two, dot products and maxima.

Softmax, norms, maxima of two, selections and functions with a parameter for each channel are written with those. The rewritten
graph computes what the given one did, so the float network proves it. Knows ops; knows no populations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from converters.convertible import MOST_READ
from converters.values.layout import with_channels_first
from converters.values.loops import copied, settle_loops
from converters.values.masking import without_masks, write_masked
from converters.values.writing import Writer
from neuro.graph import Graph, Layer
from neuro.ops import output_shape

INVERSE_BITS = 16  # of reciprocals and inverse roots
EXP_BITS = 12  # of exponentials that are summed up
CENTRED_BITS = 12  # of values less their mean
COPY_BITS = 8  # of what weighted layers read of a sum from frame to frame
STREAM_BITS = 12  # of sums that several layers read, as along residual paths
PART_BITS = 12  # of dot products that are added up
OPERAND_BITS = 8
_MOST_PRODUCTS = 48  # of one neuron, so that delays of synapses also cover that its operands are ready at different steps
_MOST_SUMMED = 8192  # values that one neuron adds up, so that its synapses fit a core
_SUM_BITS = 21  # that a sum over many values may take of a potential
_MOST_TAPS = 8  # of a maximum that is taken one value a step
_MOST_WEIGHED = 6  # of one that weighs each value by another power of two, so that one more fits 8 bits
_TRUTHS = ("greater", "greater_or_equal", "equal")


def decompose(graph: Graph) -> tuple[Graph, dict[str, int]]:
    """The graph in primitive ops, and the bits of the layers that need more than others, by name."""
    bits: dict[str, int] = {}
    layers: list[Layer] = []
    shapes: dict[str, tuple[int, ...]] = {}
    graph, copies = copied(settle_loops(_with_outputs_apart(graph)))
    bits |= dict.fromkeys(copies, COPY_BITS)
    waiting, before, masks = list(graph.layers), {layer.name: layer for layer in graph.layers}, False
    while waiting:
        layer = waiting.pop(0)
        rule = _RULES.get(layer.op)
        writer = Writer(layer, shapes, bits)
        if write_masked(writer, layer, before, (EXP_BITS, INVERSE_BITS)):
            masks = True
            waiting[:0] = writer.finished()
            continue
        kept = (
            layer.op == "reduce"
            and prod(shapes[layer.inputs[0]]) <= _MOST_SUMMED * prod(layer.shape)
            and _looked_up(layer, waiting)
        )
        if (rule is not None and not kept and rule(writer, layer)) or _long_sum(writer, layer, before):
            waiting[:0] = writer.finished()
            continue
        layers.append(layer)
        shapes[layer.name] = layer.shape
    return with_channels_first(graph.relayered(_with_axes(without_masks(graph, layers) if masks else layers))), bits


def with_short_pools(graph: Graph, taps: int) -> Graph:
    """The graph with maxima over more than so many values as maxima of few, where windows do not overlap; all other layers as
    they are."""
    layers: list[Layer] = []
    shapes = {layer.name: layer.shape for layer in graph.layers}
    for layer in graph.layers:
        waiting = [layer]
        while waiting:
            one = waiting.pop(0)
            long = layer.op == "max_pool" and prod(layer.options["kernel"]) > taps
            writer = Writer(one, shapes, {})
            if long and _max_pool(writer, one, _MOST_WEIGHED):
                waiting[:0] = writer.finished()
            else:
                layers.append(one)
                shapes[one.name] = one.shape
    return graph.relayered(layers) if len(layers) > len(graph.layers) else graph


def _with_outputs_apart(graph: Graph) -> Graph:
    """The graph with an identity for each of several outputs, which is the one that has its name: readouts are called like it."""
    if len(graph.outputs) == 1:
        return graph
    taken, inner = {layer.name for layer in graph.layers}, {}
    for name in graph.outputs:
        inner[name] = f"{name}.value"
        while inner[name] in taken:
            inner[name] += "_"
        taken.add(inner[name])
    layers = [replace(layer, name=inner.get(layer.name, layer.name)) for layer in graph.layers]
    ends = (Layer(name, "identity", (inner[name],), graph[name].shape, where=graph[name].where) for name in graph.outputs)
    return graph.relayered([*layers, *ends])


def _with_axes(layers: list[Layer]) -> list[Layer]:
    """The layers with an axis of one for values that have none."""
    if all(layer.shape for layer in layers):
        return layers
    made: list[Layer] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        if not layer.shape:
            before = [shapes[name] for name in layer.inputs]
            if layer.op == "constant":
                layer = replace(layer, shape=(1,), arrays={"value": layer.arrays["value"].reshape(1)})
            elif layer.op == "reshape" or output_shape(layer, before) == (1,):
                layer = replace(layer, shape=(1,))
            else:  # an op that takes an axis away
                bare = replace(layer, name=f"{layer.name}.bare")
                made.append(bare)
                layer = Layer(layer.name, "reshape", (bare.name,), (1,), where=layer.where)
        made.append(layer)
        shapes[layer.name] = layer.shape
    return made


def _softmax(w: Writer, layer: Layer) -> bool:
    (x,), axis = layer.inputs, layer.options["axis"]
    power = w.function("exp", w.less(x, w.largest(x, axis)), bits=EXP_BITS)
    total = w.add("reduce", (power,), kind="sum", axes=(axis,))
    w.add("multiply", (power, w.function("reciprocal", total, bits=INVERSE_BITS)))
    return True


def _log_softmax(w: Writer, layer: Layer) -> bool:
    (x,), axis = layer.inputs, layer.options["axis"]
    lowered = w.less(x, w.largest(x, axis))
    total = w.add("reduce", (w.function("exp", lowered, bits=EXP_BITS),), kind="sum", axes=(axis,))
    w.less(lowered, w.function("log", total, bits=INVERSE_BITS))
    return True


def _inverse_root(w: Writer, x: str, axes: tuple[int, ...], epsilon: float) -> str:
    """1 / sqrt(mean of x^2 + epsilon), as many bits of the squares as their sum leaves room for."""
    count = prod(w.shape(x)[axis] for axis in axes)
    square = w.add("multiply", (x, x), bits=int(np.clip(_SUM_BITS - np.ceil(np.log2(count)), 8, 16)))
    mean = w.add("reduce", (square,), kind="mean", axes=axes)
    return w.function("rsqrt", w.scaled(mean, 1.0, epsilon), bits=INVERSE_BITS)


def _affine(w: Writer, layer: Layer, x: str) -> None:
    if layer.arrays:
        axes = len(w.shape(x))
        one = {name: value.reshape((1,) * (axes - value.ndim) + value.shape) for name, value in layer.arrays.items()}
        w.add("scale", (x,), arrays={{"weight": "factor", "bias": "shift"}[name]: value for name, value in one.items()})


def _layer_norm(w: Writer, layer: Layer) -> bool:
    (x,), axes = layer.inputs, layer.options["axes"]
    mean = w.add("reduce", (x,), kind="mean", axes=axes, bits=CENTRED_BITS)
    centred = w.less(x, mean, bits=CENTRED_BITS)
    _affine(w, layer, w.add("multiply", (centred, _inverse_root(w, centred, axes, layer.options["epsilon"]))))
    return True


def _rms_norm(w: Writer, layer: Layer) -> bool:
    (x,), axes = layer.inputs, layer.options["axes"]
    _affine(w, layer, w.add("multiply", (x, _inverse_root(w, x, axes, layer.options["epsilon"]))))
    return True


def _group_norm(w: Writer, layer: Layer) -> bool:
    (x,), groups = layer.inputs, layer.options["groups"]
    grouped = w.reshaped(x, (groups, prod(layer.shape) // groups))
    flat = w.add("layer_norm", (grouped,), axes=(1,), epsilon=layer.options["epsilon"])
    back = w.add("reshape", (flat,), shape=layer.shape)
    column = (-1, *[1] * (len(layer.shape) - 1))
    _affine(w, replace(layer, arrays={name: value.reshape(column) for name, value in layer.arrays.items()}), back)
    return True


def _local_response_norm(w: Writer, layer: Layer) -> bool:
    (x,), o, channels = layer.inputs, layer.options, layer.shape[0]
    flat = w.reshaped(x, (channels, prod(layer.shape[1:])))
    at = np.arange(channels)
    apart = at[None] - at[:, None]  # size // 2 behind and the rest before
    near = (apart >= -((o["size"] - 1) // 2)) & (apart <= o["size"] // 2)
    weight = (near * (o["alpha"] / o["size"])).astype(np.float32)[:, :, None]
    around = w.add(
        "conv", (w.add("multiply", (flat, flat), bits=12),), arrays={"weight": weight, "bias": np.full(channels, o["bias"])},
        stride=(1,), padding=((0, 0),), dilation=(1,), groups=1,
    )  # fmt: skip
    product = w.add("multiply", (flat, w.function("power", around, -o["beta"], bits=12)))
    w.add("reshape", (product,), shape=layer.shape)
    return True


def _prelu(w: Writer, layer: Layer) -> bool:
    """relu(x) - slope relu(-x)."""
    (x,) = layer.inputs
    slope = layer.arrays["slope"]
    slope = slope.reshape((1,) * (len(layer.shape) - slope.ndim) + slope.shape)
    below = w.add("relu", (w.scaled(x, -1.0),), ceiling=None)
    w.add("add", (w.add("relu", (x,), ceiling=None), w.scaled(below, -slope)))
    return True


def _extreme(sign: float) -> Callable[[Writer, Layer], bool]:
    def rule(w: Writer, layer: Layer) -> bool:
        """max(a, b) = a + relu(b - a), min(a, b) = a - relu(a - b), one input after another."""
        first, *others = layer.inputs
        if not others:
            w.add("identity", (first,))
        for other in others:
            above = w.less(other, first) if sign > 0 else w.less(first, other)
            first = w.add("add", (first, w.scaled(w.add("relu", (above,), ceiling=None), sign)))
        return True

    return rule


def _long_sum(w: Writer, layer: Layer, before: Mapping[str, Layer]) -> bool:
    """A linear layer, or a sum of weighted layers, that reads more values than synapses of one neuron fit a core, as a sum of
    shorter ones."""
    if layer.op == "linear" and layer.arrays["weight"].shape[1] > MOST_READ:
        _long_linear(w, layer)
        return True
    if layer.op != "add" or not all(name in before for name in layer.inputs):
        return False
    parts, read = list[list[str]](), 0
    for name in layer.inputs:
        source = before[name]
        fan_in = source.arrays["weight"][0].size if source.op in ("linear", "conv") else 1
        if not parts or read + fan_in > MOST_READ:
            parts.append([])
            read = 0
        parts[-1].append(name)
        read += fan_in
    if len(parts) < 2 or len(parts) == len(layer.inputs):
        return False
    w.add("add", [w.add("add", part, bits=STREAM_BITS) for part in parts])
    return True


def _long_linear(w: Writer, layer: Layer) -> None:
    (x,), weight, bias = layer.inputs, layer.arrays["weight"], layer.arrays.get("bias")
    sums = []
    for number, at in enumerate(np.array_split(np.arange(weight.shape[1]), -(-weight.shape[1] // MOST_READ))):
        own = {} if bias is None or number else {"bias": bias}
        part = w.taken(x, len(w.shape(x)) - 1, at)
        sums.append(w.add("linear", (part,), bits=STREAM_BITS, arrays={"weight": weight[:, at], **own}))
    w.add("add", sums)


def _where(w: Writer, layer: Layer) -> bool:
    """no + condition (yes - no), of a condition that is 0 or 1."""
    condition, yes, no = layer.inputs
    truth = w.scaled(w.function("equal", condition, 0.0), -1.0, 1.0)
    w.add("add", (no, w.add("multiply", (truth, w.less(yes, no)))))
    return True


def _multiply(w: Writer, layer: Layer) -> bool:
    if len(layer.inputs) == 2:
        return False
    product = layer.inputs[0]
    for other in layer.inputs[1:]:
        product = w.add("multiply", (product, other))
    if len(layer.inputs) == 1:
        w.add("identity", (product,))
    return True


def _matmul(w: Writer, layer: Layer) -> bool:
    """Dot products as sums of shorter ones: a neuron takes one product a step, and what it takes comes with longer delays."""
    a, b = layer.inputs
    count = w.shape(a)[-1]
    if count <= _MOST_PRODUCTS:
        return False
    parts = [
        w.add("matmul", (w.taken(a, len(w.shape(a)) - 1, at), w.taken(b, len(w.shape(b)) - 2, at)), bits=PART_BITS)
        for at in np.array_split(np.arange(count), -(-count // _MOST_PRODUCTS))
    ]
    w.add("add", parts, bits=OPERAND_BITS)
    return True


def _reduce(w: Writer, layer: Layer) -> bool:
    """A long sum as a population, and in parts: behind a dense layer every neuron would read all of its values."""
    (x,), o = layer.inputs, layer.options
    shape, axes = w.shape(x), tuple(o["axes"])
    if prod(shape) <= _MOST_SUMMED or layer.name in w.bits:
        return False
    if prod(shape[axis] for axis in axes) > _MOST_SUMMED:
        x = _in_parts(w, x, axes, o["kind"])
        axes = axes[:-1] or axes
    if w.shape(x) == layer.shape:
        w.add("identity", (x,))
    else:
        w.add("reduce", (x,), kind=o["kind"], axes=axes, bits=STREAM_BITS)
    return True


def _looked_up(layer: Layer, waiting: Sequence[Layer]) -> bool:
    """Whether functions alone read a sum that their population can add up: in one of its own a small sum would lose digits."""
    readers = [one for one in waiting if layer.name in one.inputs]
    return bool(readers) and all(
        one.op == "function" or (one.op == "scale" and one.shape == layer.shape and _looked_up(one, waiting)) for one in readers
    )


def _in_parts(w: Writer, x: str, axes: tuple[int, ...], kind: str) -> str:
    """The sum along the last of several axes; along a single one, sums of parts that can be summed up there."""
    shape, axis = w.shape(x), axes[-1]
    if len(axes) > 1:
        return w.add("reduce", (x,), kind=kind, axes=(axis,), bits=STREAM_BITS)
    n = shape[axis]
    parts = next((p for p in range(-(-n // _MOST_SUMMED), n) if n % p == 0), n)
    split = w.reshaped(x, (*shape[:axis], parts, n // parts, *shape[axis + 1 :]))
    some = w.add("reduce", (split,), kind=kind, axes=(axis + 1,), bits=STREAM_BITS)
    return w.reshaped(some, (*shape[:axis], parts, *shape[axis + 1 :]))


def _avg_pool(w: Writer, layer: Layer) -> bool:
    """A long mean over the whole image."""
    (x,), o = layer.inputs, layer.options
    shape = w.shape(x)
    count = prod(shape[1:])
    whole = o["kernel"] == shape[1:] and not any(map(any, o["padding"])) and o["divisor"] in (None, count)
    if prod(shape) <= _MOST_SUMMED or not whole:
        return False
    w.add("reduce", (x,), kind="mean", axes=tuple(range(1, len(shape))))
    return True


def _max_pool(w: Writer, layer: Layer, most: int = _MOST_TAPS) -> bool:
    """A maximum over many values as maxima of few: along one axis after the other, and in parts where windows do not overlap."""
    (x,), o = layer.inputs, layer.options
    kernel, axes = o["kernel"], [i for i, k in enumerate(o["kernel"]) if k > 1]
    if prod(kernel) <= most + 1:
        return False
    if len(axes) > 1:
        for axis in range(len(kernel)):
            only: dict[str, Any] = {
                name: tuple(value if i == axis else other for i, value in enumerate(o[name]))
                for name, other in (("kernel", 1), ("stride", 1), ("padding", (0, 0)), ("dilation", 1))
            }
            x = w.add("max_pool", (x,), **only)
        return True
    axis = axes[0]
    size, n = w.shape(x)[1 + axis], kernel[axis]
    whole = size == n and not any(map(any, o["padding"])) and o["dilation"][axis] == 1
    if not whole:
        return False  # one value a step, as many steps
    parts = most
    ones = [1] * len(kernel)
    first, pads = [*ones], [(0, 0)] * len(kernel)
    first[axis] = parts
    pads[axis] = (0, -size % parts)
    some = w.add("max_pool", (x,), kernel=tuple(first), stride=tuple(first), padding=tuple(pads), dilation=tuple(ones))
    left = [*ones]
    left[axis] = w.shape(some)[1 + axis]
    w.add("max_pool", (some,), kernel=tuple(left), stride=tuple(left), padding=((0, 0),) * len(kernel), dilation=tuple(ones))
    return True


_RULES: dict[str, Callable[[Writer, Layer], bool]] = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "local_response_norm": _local_response_norm,
    "prelu": _prelu,
    "maximum": _extreme(1.0),
    "minimum": _extreme(-1.0),
    "where": _where,
    "multiply": _multiply,
    "matmul": _matmul,
    "reduce": _reduce,
    "avg_pool": _avg_pool,
    "max_pool": _max_pool,
}
