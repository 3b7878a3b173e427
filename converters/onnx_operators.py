"""Which ONNX operators become which layers: one table. What is not in it is refused by name and node.

Every handler takes the builder and the node and returns what the node's first output is: a layer's name. The first line of
its docstring is the operator's row in docs/formats.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.onnx_building import Builder, per_sample
from converters.onnx_constants import FOLDED
from converters.operations import remedy
from neuro.graph import Layer

Handler = Callable[[Builder, Any, dict[str, Any]], str]
Sides = tuple[tuple[int, int], ...]


def visit(b: Builder, node: Any) -> None:
    """Turn one node into layers or a constant."""
    from onnx import helper

    a = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.domain not in ("", "ai.onnx"):
        raise b.refuse(node, f"it is of the domain {node.domain!r}", "Export with the standard operators of ONNX")
    if node.op_type == "Constant":
        b.values[node.output[0]] = _constant(b, node, a)
    elif node.op_type == "Shape" and not b.is_constant(node, 0):
        sizes = np.array([b.batch or 0, *b.layer(node).shape], np.int64)  # 0: "as it is" to a Reshape
        b.values[node.output[0]] = sizes[a.get("start", 0) : a.get("end")]
    elif all(b.is_constant(node, i) for i, name in enumerate(node.input) if name) and node.op_type in FOLDED:
        present = [b.constant(node, i, "input") for i in range(len(node.input))]
        b.values[node.output[0]] = FOLDED[node.op_type](a, *present)
    elif node.op_type in OPERATORS:
        b.values[node.output[0]] = OPERATORS[node.op_type](b, node, a)
    else:
        raise b.refuse(node, "it has no spiking form", _REMEDIES.get(node.op_type) or remedy(node.op_type))


_REMEDIES = {
    **dict.fromkeys(
        ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QLinearAdd", "DynamicQuantizeLinear"),
        "Quantise statically, in the QDQ format",
    ),
    **dict.fromkeys(("If", "Loop", "Scan"), "Write the forward without branches and loops that depend on values"),
}


def _constant(b: Builder, node: Any, a: dict[str, Any]) -> NDArray[Any]:
    for name, dtype in (
        ("value_float", np.float32),
        ("value_int", np.int64),
        ("value_floats", np.float32),
        ("value_ints", np.int64),
    ):
        if name in a:
            return np.asarray(a[name], dtype)
    raise b.refuse(node, f"its value is {', '.join(a) or 'missing'}", "Export with dense constants of numbers")


def _same(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """left out"""
    return b.layer(node).name


def _dropout(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """left out; refused in training mode"""
    training = b.constant(node, 2, "training mode")
    if training is not None and bool(training):
        raise b.refuse(node, "it drops values at random even in evaluation", "Export in evaluation mode")
    return b.layer(node).name


def _cast(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """left out between float types; others are refused"""
    if a["to"] not in (1, 10, 11, 16):
        raise b.refuse(node, f"it casts activations to type {a['to']}", "Keep activations in float")
    return b.layer(node).name


# Activations


def _relu(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """relu"""
    x = b.layer(node)
    return b.add(node, "relu", (x.name,), x.shape, ceiling=None)


def _clip(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """relu with a ceiling; the lower bound must be 0"""
    low, high = b.constant(node, 1, "lower bound"), b.constant(node, 2, "upper bound")
    lowest = float(a.get("min", -np.inf) if low is None else low)
    highest = float(a.get("max", np.inf) if high is None else high)
    if lowest != 0 or highest <= 0:
        raise b.refuse(node, f"it clips to [{lowest}, {highest}]", "Clip to [0, c] with c > 0: spikes count from zero")
    x = b.layer(node)
    return b.add(node, "relu", (x.name,), x.shape, ceiling=None if highest > 3e38 else highest)


# Weighted sums


def _conv(b: Builder, node: Any, a: dict[str, Any]) -> str:
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


def _gemm(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """linear; the second factor must be a constant"""
    x, weight = b.layer(node), b.needed(node, 1, "weight")
    if a.get("transA", 0):
        raise b.refuse(node, "it transposes the samples", "Keep samples on the first axis")
    weight = weight if a.get("transB", 0) else weight.T
    bias = b.constant(node, 2, "bias")
    weight = weight * np.float32(a["alpha"]) if a.get("alpha", 1.0) != 1.0 else weight
    if bias is not None:
        bias = np.broadcast_to(per_sample(bias, 1), weight.shape[:1])
        bias = bias * np.float32(a["beta"]) if a.get("beta", 1.0) != 1.0 else bias
    return _linear(b, node, x, weight, bias)


def _matmul(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """linear; one factor must be a constant matrix, on the right. A bias that is added behind it joins it"""
    if b.is_constant(node, 0) or not b.is_constant(node, 1):
        raise b.refuse(node, "it multiplies other than activations by a constant", remedy("matmul"))
    weight = b.needed(node, 1, "weight")
    if weight.ndim != 2:
        raise b.refuse(node, f"its constant has the shape {weight.shape}", "Multiply by a matrix")
    return _linear(b, node, b.layer(node), weight.T, None)


def _linear(b: Builder, node: Any, x: Layer, weight: NDArray[Any], bias: NDArray[Any] | None) -> str:
    if weight.ndim != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
        raise b.refuse(node, f"a matrix for {weight.shape[-1]} values gets samples of shape {x.shape}", "Flatten first")
    return b.add(node, "linear", (x.name,), (*x.shape[:-1], weight.shape[0]), {"weight": weight, "bias": bias})


def _batch_norm(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """batch_norm, with its running statistics; refused in training mode"""
    if a.get("training_mode", 0):
        raise b.refuse(node, "it normalises by the statistics of the batch", "Export in evaluation mode")
    x = b.layer(node)
    names = ("weight", "bias", "mean", "variance")
    arrays = {name: b.needed(node, 1 + i, name) for i, name in enumerate(names)}
    if any(array.shape != x.shape[:1] for array in arrays.values()):
        raise b.refuse(node, f"its statistics do not fit {x.shape[0]} channels", "Export the model again")
    return b.add(node, "batch_norm", (x.name,), x.shape, arrays, epsilon=float(a.get("epsilon", 1e-5)))


# Pooling


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


def _pool(op: str) -> Handler:
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


def _global_pool(op: str) -> Handler:
    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        return _pool_all(b, node, op, b.layer(node))

    handle.__doc__ = f"{op} over the whole image"
    return handle


def _pool_all(b: Builder, node: Any, op: str, x: Layer) -> str:
    kernel, none = x.shape[1:], ((0, 0),) * (len(x.shape) - 1)
    if len(x.shape) not in (2, 3):
        raise b.refuse(node, f"it pools samples of shape {x.shape}", "Pool over one or two axes")
    more = {"dilation": (1,) * len(kernel)} if op == "max_pool" else {"divisor": math.prod(kernel)}
    return b.add(node, op, (x.name,), (x.shape[0],) + (1,) * len(kernel), kernel=kernel, stride=kernel, padding=none, **more)


def _mean(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """avg_pool over the whole image, else linear; not over samples"""
    x, given = b.layer(node), b.constant(node, 1, "axes")
    listed = given.ravel() if given is not None else a.get("axes", ())
    axes = sorted(_axis(b, node, axis, len(x.shape)) for axis in listed)
    if not axes:
        raise b.refuse(node, "it averages over the samples", "Name the axes to average over")
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
    shape = shape if a.get("keepdims", 1) else tuple(x.shape[axis] for axis in kept)
    if axes == list(range(1, len(x.shape))) and len(x.shape) in (2, 3):
        return b.add(node, "reshape", (_pool_all(b, node, "avg_pool", x),), shape)
    count, order = math.prod(x.shape[axis] for axis in axes), (*kept, *axes)
    outer = tuple(x.shape[axis] for axis in kept)
    moved = b.add(node, "permute", (x.name,), tuple(x.shape[axis] for axis in order), axes=order)
    flat = b.add(node, "reshape", (moved,), (*outer, count))
    pooled = b.add(node, "linear", (flat,), (*outer, 1), {"weight": np.full((1, count), 1 / count)})
    return b.add(node, "reshape", (pooled,), shape)


# Shapes


def _axis(b: Builder, node: Any, axis: Any, dims: int) -> int:
    """An axis of the tensor as an axis without samples."""
    place = int(axis) + dims + 1 if axis < 0 else int(axis)
    if not 1 <= place <= dims:
        raise b.refuse(node, f"it works on axis {int(axis)}", "Treat every sample by itself: axis 0 holds the samples")
    return place - 1


def _reshape(b: Builder, node: Any, a: dict[str, Any]) -> str:
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


def _flatten(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape to one axis; axis must be 1"""
    x = b.layer(node)
    if _axis(b, node, a.get("axis", 1), len(x.shape)) != 0:
        raise b.refuse(node, f"its axis is {a['axis']}, which mixes samples", "Flatten from axis 1")
    return b.add(node, "reshape", (x.name,), (math.prod(x.shape),))


def _squeeze(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape without axes of size 1"""
    x, given = b.layer(node), b.constant(node, 1, "axes")
    listed = given.ravel() if given is not None else a.get("axes")
    if listed is None:
        raise b.refuse(node, "it names no axes", "Name the axes to leave out")
    axes = {_axis(b, node, axis, len(x.shape)) for axis in listed}
    if any(x.shape[axis] != 1 for axis in axes):
        raise b.refuse(node, f"axes of {x.shape} that it leaves out are not 1", "Export the model again")
    return b.add(node, "reshape", (x.name,), tuple(n for axis, n in enumerate(x.shape) if axis not in axes))


def _unsqueeze(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """reshape with more axes of size 1, none before the samples"""
    x, given = b.layer(node), b.constant(node, 1, "axes")
    listed = given.ravel() if given is not None else a["axes"]
    dims = len(x.shape) + len(listed)
    axes = {_axis(b, node, axis, dims) for axis in listed}
    rest = iter(x.shape)
    return b.add(node, "reshape", (x.name,), tuple(1 if axis in axes else next(rest) for axis in range(dims)))


def _transpose(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """permute; samples must stay on the first axis"""
    x = b.layer(node)
    order = tuple(a.get("perm", range(len(x.shape), -1, -1)))
    if sorted(order) != list(range(len(x.shape) + 1)) or order[0] != 0:
        raise b.refuse(node, f"its order {order} moves the samples", "Keep samples on the first axis")
    axes = tuple(axis - 1 for axis in order[1:])
    return b.add(node, "permute", (x.name,), tuple(x.shape[axis] for axis in axes), axes=axes)


def _concat(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """concat of activations, not of samples"""
    if any(b.is_constant(node, i) for i in range(len(node.input))):
        raise b.refuse(node, "it joins a constant", "Pad instead, or add the constant")
    parts = [b.layer(node, i) for i in range(len(node.input))]
    axis = _axis(b, node, a["axis"], len(parts[0].shape))
    shapes = {(*part.shape[:axis], *part.shape[axis + 1 :]) for part in parts}
    if len(shapes) != 1:
        raise b.refuse(node, f"it joins {[part.shape for part in parts]} along axis {axis + 1}", "Export the model again")
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    return b.add(node, "concat", tuple(part.name for part in parts), tuple(shape), axis=axis)


def _pad(b: Builder, node: Any, a: dict[str, Any]) -> str:
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


def _slice(b: Builder, node: Any, a: dict[str, Any]) -> str:
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
        place = _axis(b, node, axis, len(x.shape))
        first, last, _ = slice(start, end).indices(x.shape[place])
        sides[place] = (-first, last - x.shape[place])
    return _padded(b, node, x, tuple(sides), 0.0)


# Arithmetic with constants, and sums


def _scaled(b: Builder, node: Any, x: Layer, factor: Any = None, shift: Any = None) -> str:
    arrays = {}
    for name, value in (("factor", factor), ("shift", shift)):
        if value is not None:
            arrays[name] = per_sample(np.asarray(value, np.float32), len(x.shape))
            if np.broadcast_shapes(arrays[name].shape, x.shape) != x.shape:
                raise b.refuse(node, f"a constant of shape {arrays[name].shape} does not fit {x.shape}", "Reshape the constant")
    return b.add(node, "scale", (x.name,), x.shape, arrays)


def _constant_place(b: Builder, node: Any) -> int | None:
    """Which of two operands is a constant, None where neither is."""
    return next((i for i in (0, 1) if b.is_constant(node, i)), None)


def _sum(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """add of activations; a constant joins the linear layer before it, or becomes a scale"""
    place = _constant_place(b, node) if len(node.input) == 2 else None
    if place is None:
        parts = [b.layer(node, i) for i in range(len(node.input))]
        return b.add(node, "add", tuple(p.name for p in parts), tuple(np.broadcast_shapes(*(p.shape for p in parts))))
    x, shift = b.layer(node, 1 - place), b.needed(node, place, "operand")
    bias = per_sample(shift, len(x.shape))
    if x.op == "linear" and "bias" not in x.arrays and bias.shape == x.shape[-1:] and b.used_once(node, 1 - place):
        return b.change(x.name, {"bias": bias})
    return _scaled(b, node, x, shift=shift)


def _difference(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale with a constant, or an add with the second operand times -1"""
    place = _constant_place(b, node)
    if place is None:
        one, two = b.layer(node), b.layer(node, 1)
        negative = _scaled(b, node, two, factor=-1.0)
        return b.add(node, "add", (one.name, negative), tuple(np.broadcast_shapes(one.shape, two.shape)))
    constant = b.needed(node, place, "operand")
    if place == 1:
        return _scaled(b, node, b.layer(node), shift=-np.asarray(constant, np.float32))
    return _scaled(b, node, b.layer(node, 1), factor=-1.0, shift=constant)


def _product(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale; one factor must be a constant"""
    place = _constant_place(b, node)
    if place is None:
        raise b.refuse(node, "it multiplies two activations", "Multiply by constants only: gates have no spiking form here")
    return _scaled(b, node, b.layer(node, 1 - place), factor=b.needed(node, place, "factor"))


def _quotient(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale; the divisor must be a constant"""
    if _constant_place(b, node) != 1:
        raise b.refuse(node, "it divides by an activation", "Divide by constants only")
    return _scaled(b, node, b.layer(node), factor=1 / np.asarray(b.needed(node, 1, "divisor"), np.float64))


def _negative(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale by -1"""
    return _scaled(b, node, b.layer(node), factor=-1.0)


# int8 models: a quantiser of activations clips to its range


def _quantize(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """relu with the range as its ceiling where the range begins at 0; else left out, and noted"""
    x, scale = b.layer(node), b.needed(node, 1, "scale")
    zero = b.constant(node, 2, "zero point")
    zero = np.zeros((), np.uint8) if zero is None else zero
    if scale.size != 1 or zero.size != 1 or zero.dtype.kind not in "iu" or not float(scale) > 0:
        raise b.refuse(node, "it quantises activations per channel, or not to integers", "Quantise activations per tensor")
    limits = np.iinfo(zero.dtype)
    top = float(scale) * (int(limits.max) - int(zero))
    if int(zero) != limits.min or x.op in ("input", "max_pool", "reshape", "permute") or _positive(b, x):
        rectified = x.op == "relu" and int(zero) == limits.min and b.used_once(node, 0)
        b.kept, b.left_out = b.kept + rectified, b.left_out + (not rectified)
        ceiling = x.options.get("ceiling")
        return b.change(x.name, ceiling=top if ceiling is None else min(top, ceiling)) if rectified else x.name
    b.kept += 1
    return b.add(node, "relu", (x.name,), x.shape, ceiling=top)


def _positive(b: Builder, x: Layer) -> bool:
    """Whether a layer's values cannot be negative."""
    return x.op == "relu" or (
        x.op in ("avg_pool", "max_pool", "add", "concat", "reshape", "permute")
        and all(_positive(b, b.layers[n]) for n in x.inputs)
    )


OPERATORS: dict[str, Handler] = {
    "Add": _sum,
    "AveragePool": _pool("avg_pool"),
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "DequantizeLinear": _same,
    "Div": _quotient,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool("avg_pool"),
    "GlobalMaxPool": _global_pool("max_pool"),
    "Identity": _same,
    "MatMul": _matmul,
    "MaxPool": _pool("max_pool"),
    "Mul": _product,
    "Neg": _negative,
    "Pad": _pad,
    "QuantizeLinear": _quantize,
    "ReduceMean": _mean,
    "Relu": _relu,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _difference,
    "Sum": _sum,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
