"""Which torch modules, functions and methods become which layers: three tables, and a remedy for what is in none.

Every handler takes the builder and the traced node and adds layers; shapes leave out the batch axis.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

if TYPE_CHECKING:
    from converters.frontend import Builder

Handler = Callable[["Builder", fx.Node], None]

_REMEDIES = {
    ("leaky", "prelu", "rrelu"): "Use ReLU in its place (a negative slope has no spikes) and train again",
    ("gelu", "silu", "swish", "mish", "elu", "selu", "celu", "softplus", "hardswish", "hardsigmoid", "logsigmoid"): (
        "Use ReLU or ReLU6 in its place and train again"
    ),
    ("sigmoid", "tanh"): "Use Hardtanh(0, 1) or ReLU in its place; leave a final sigmoid to the host",
    ("softmax", "softmin", "logsumexp"): "Return the logits: a final softmax changes no decision and belongs on the host",
    ("norm",): "Use BatchNorm, whose statistics are constants, and train again",
    (
        "attention",
        "transformer",
        "matmul",
        "bmm",
        "einsum",
    ): "Use convolutions: a product of two activations has no spiking form here",
    ("gru", "lstm", "rnn"): "Use convolutions over time: recurrent gates have no spiking form here",
    ("transpose",): "Use a convolution that keeps the size, or pad and convolve",
    ("upsample", "interpolate", "pixel"): "Keep the size by stride and padding, or enlarge on the host",
    ("embedding",): "Feed the embedded vectors as input",
}


def remedy(name: str) -> str:
    """What to do about an operation that has no spiking form."""
    low = name.lower()
    return next(
        (text for words, text in _REMEDIES.items() if any(word in low for word in words)),
        "Write it with ReLU, convolutions, linear layers, pooling, additions and concatenations",
    )


def _bound(node: fx.Node, names: str, **defaults: Any) -> dict[str, Any]:
    """Arguments of a call by name."""
    given = dict(zip(names.split(), node.args, strict=False))
    return {**defaults, **given, **node.kwargs}


def _module(b: Builder, node: fx.Node) -> Any:
    return b.model.get_submodule(str(node.target))


def _pair(value: Any, dims: int) -> tuple[int, ...]:
    return tuple(int(v) for v in value) if np.ndim(value) else (int(value),) * dims


def _same(b: Builder, node: fx.Node) -> None:
    b.names[node] = b.layer(node.args[0] if node.args else node.kwargs["input"])


# Activations


def _relu(b: Builder, node: fx.Node, ceiling: float | None = None) -> None:
    b.names[node] = b.add(node, "relu", (b.layer(_bound(node, "input")["input"]),), ceiling=ceiling)


def _relu6(b: Builder, node: fx.Node) -> None:
    _relu(b, node, 6.0)


def _clipped(b: Builder, node: fx.Node, low: Any, high: Any) -> None:
    low = None if low is None else float(b.constant(node, low, "lower bound"))
    high = None if high is None else float(b.constant(node, high, "upper bound"))
    if low != 0 or (high is not None and high <= 0):
        raise b.refuse(node, f"it clips to [{low}, {high}]", "Clip to [0, c] with c > 0: spikes count from zero")
    _relu(b, node, high)


def _hardtanh(b: Builder, node: fx.Node) -> None:
    if node.op == "call_module":
        _clipped(b, node, _module(b, node).min_val, _module(b, node).max_val)
    else:
        a = _bound(node, "input min_val max_val inplace", min_val=-1.0, max_val=1.0)
        _clipped(b, node, a["min_val"], a["max_val"])


def _clamp(b: Builder, node: fx.Node) -> None:
    a = _bound(node, "input min max", min=None, max=None)
    _clipped(b, node, a["min"], a["max"])


# Weighted sums


def _add_conv(b: Builder, node: fx.Node, x: Any, weight: Any, bias: Any, window: tuple[Any, Any, Any, int], before: Any) -> None:
    """A convolution with (stride, padding, dilation, groups); `before` is the padding mode."""
    weight = b.constant(node, weight, "weight")
    kernel, dims = weight.shape[2:], weight.ndim - 2
    if x.meta["value"].ndim != dims + 2:
        raise b.refuse(node, "its input has no sample axis", "Pass (samples, channels, ...)")
    stride, padding, dilation, groups = window
    dilation = _pair(dilation, dims)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        sides = tuple((n // 2, n - n // 2) for n in total)
    else:
        sides = tuple((p, p) for p in _pair(0 if padding == "valid" else padding, dims))
    if before != "zeros" and any(map(sum, sides)):
        raise b.refuse(node, f"its padding mode is {before!r}", "Use padding_mode='zeros'")
    arrays = {"weight": weight, "bias": b.constant(node, bias, "bias")}
    b.names[node] = b.add(
        node, "conv", (b.layer(x),), None, arrays,
        stride=_pair(stride, dims), padding=sides, dilation=dilation, groups=int(groups),
    )  # fmt: skip


def _conv_module(b: Builder, node: fx.Node) -> None:
    m = _module(b, node)
    _add_conv(b, node, node.args[0], m.weight, m.bias, (m.stride, m.padding, m.dilation, m.groups), m.padding_mode)


def _conv_function(b: Builder, node: fx.Node) -> None:
    a = _bound(node, "input weight bias stride padding dilation groups", bias=None, stride=1, padding=0, dilation=1, groups=1)
    _add_conv(b, node, a["input"], a["weight"], a["bias"], (a["stride"], a["padding"], a["dilation"], a["groups"]), "zeros")


def _linear(b: Builder, node: fx.Node) -> None:
    if node.op == "call_module":
        weight, bias, x = _module(b, node).weight, _module(b, node).bias, node.args[0]
    else:
        a = _bound(node, "input weight bias", bias=None)
        weight, bias, x = a["weight"], a["bias"], a["input"]
    if node.meta["value"].ndim < 2:
        raise b.refuse(node, "it works on the sample axis", "Keep samples on the first axis")
    arrays = {"weight": b.constant(node, weight, "weight"), "bias": b.constant(node, bias, "bias")}
    b.names[node] = b.add(node, "linear", (b.layer(x),), None, arrays)


def _add_norm(b: Builder, node: fx.Node, x: Any, arrays: dict[str, Any], epsilon: float) -> None:
    channels = x.meta["value"].shape[1]
    ones, zeros = np.ones(channels), np.zeros(channels)
    values = {name: b.constant(node, value, name) for name, value in arrays.items()}
    fallback = {"weight": ones, "bias": zeros}
    filled = {name: fallback[name] if value is None else value for name, value in values.items()}
    b.names[node] = b.add(node, "batch_norm", (b.layer(x),), None, filled, epsilon=float(epsilon))


def _norm_module(b: Builder, node: fx.Node) -> None:
    m = _module(b, node)
    if m.running_mean is None:
        raise b.refuse(node, "it keeps no running statistics", "Train it with track_running_stats=True")
    arrays = {"mean": m.running_mean, "variance": m.running_var, "weight": m.weight, "bias": m.bias}
    _add_norm(b, node, node.args[0], arrays, m.eps)


def _norm_function(b: Builder, node: fx.Node) -> None:
    names = "input running_mean running_var weight bias training momentum eps"
    a = _bound(node, names, weight=None, bias=None, training=False, eps=1e-5)
    if a["training"] or a["running_mean"] is None:
        raise b.refuse(node, "it normalises by the statistics of the batch", "Pass running statistics and training=False")
    arrays = {"mean": a["running_mean"], "variance": a["running_var"], "weight": a["weight"], "bias": a["bias"]}
    _add_norm(b, node, a["input"], arrays, a["eps"])


# Pooling


def _add_pool(b: Builder, node: fx.Node, op: str, x: Any, a: dict[str, Any]) -> None:
    size = x.meta["value"].shape[2:]
    dims = len(size)
    kernel, padding = _pair(a["kernel_size"], dims), _pair(a["padding"], dims)
    stride = _pair(a["stride"] if a["stride"] not in (None, ()) else kernel, dims)
    dilation = _pair(a.get("dilation", 1), dims)
    out = node.meta["value"].shape[2:]
    need = [
        (o - 1) * s + d * (k - 1) + 1 - n - p
        for o, s, d, k, n, p in zip(out, stride, dilation, kernel, size, padding, strict=True)
    ]
    sides = tuple((p, max(p, after)) for p, after in zip(padding, need, strict=True))
    overhang = any(after > before for before, after in sides)
    if op == "max_pool":
        b.names[node] = b.add(node, op, (b.layer(x),), kernel=kernel, stride=stride, padding=sides, dilation=dilation)
        return
    inside = not a["count_include_pad"] or (overhang and not any(padding))
    if overhang and not inside and a["divisor_override"] is None:
        raise b.refuse(
            node, "ceil_mode with padding that counts divides unevenly", "Use count_include_pad=False or ceil_mode=False"
        )
    divisor = None if inside and any(map(sum, sides)) else math.prod(kernel)
    divisor = a["divisor_override"] or divisor
    b.names[node] = b.add(node, op, (b.layer(x),), kernel=kernel, stride=stride, padding=sides, divisor=divisor)


_AVG = "input kernel_size stride padding ceil_mode count_include_pad divisor_override"
_MAX = "input kernel_size stride padding dilation ceil_mode return_indices"


def _pool(op: str) -> Handler:
    names = _AVG if op == "avg_pool" else _MAX
    defaults: dict[str, Any] = dict(stride=None, padding=0, count_include_pad=True, divisor_override=None, dilation=1)

    def handle(b: Builder, node: fx.Node) -> None:
        if node.op == "call_module":
            m = _module(b, node)
            a = {"input": node.args[0], **{n: getattr(m, n, defaults.get(n)) for n in names.split()[1:]}}
        else:
            a = _bound(node, names, **defaults)
        if a.get("return_indices"):
            raise b.refuse(node, "it returns indices", "Pool without return_indices")
        _add_pool(b, node, op, a["input"], a)

    return handle


def _adaptive(op: str) -> Handler:
    def handle(b: Builder, node: fx.Node) -> None:
        x = node.args[0]
        assert isinstance(x, fx.Node)
        size, out = x.meta["value"].shape[2:], node.meta["value"].shape[2:]
        if any(n % o for n, o in zip(size, out, strict=True)):
            raise b.refuse(node, f"{tuple(size)} is not a multiple of {tuple(out)}, so windows differ", "Choose a divisor")
        kernel = tuple(n // o for n, o in zip(size, out, strict=True))
        a = dict(kernel_size=kernel, stride=kernel, padding=0, count_include_pad=True, divisor_override=None)
        _add_pool(b, node, op, x, a)

    return handle


def _mean(b: Builder, node: fx.Node) -> None:
    a = _bound(node, "input dim keepdim", dim=None, keepdim=False)
    x = a["input"]
    shape = tuple(x.meta["value"].shape[1:])
    dims = range(len(shape)) if a["dim"] is None else _pair(a["dim"], 1)
    axes = sorted(_axis(b, node, d, len(shape)) for d in dims)
    if a["dim"] is None:
        raise b.refuse(node, "it averages over the samples", "Name the axes to average over")
    if axes == list(range(1, len(shape))) and len(shape) in (2, 3):
        pooled = b.add(
            node, "avg_pool", (b.layer(x),), (shape[0],) + (1,) * (len(shape) - 1),
            kernel=shape[1:], stride=shape[1:], padding=((0, 0),) * (len(shape) - 1), divisor=math.prod(shape[1:]),
        )  # fmt: skip
    else:
        kept = [axis for axis in range(len(shape)) if axis not in axes]
        count = math.prod(shape[axis] for axis in axes)
        order, outer = (*kept, *axes), tuple(shape[axis] for axis in kept)
        moved = b.add(node, "permute", (b.layer(x),), tuple(shape[axis] for axis in order), axes=order)
        flat = b.add(node, "reshape", (moved,), (*outer, count))
        pooled = b.add(node, "linear", (flat,), (*outer, 1), {"weight": np.full((1, count), 1 / count)})
    b.names[node] = b.add(node, "reshape", (pooled,))


# Shapes


def _axis(b: Builder, node: fx.Node, axis: Any, dims: int) -> int:
    """An axis of the tensor as an axis without samples."""
    place = int(axis) + dims + 1 if axis < 0 else int(axis)
    if place == 0:
        raise b.refuse(node, "it works on the sample axis", "Treat every sample by itself")
    return place - 1


def _reshape(b: Builder, node: fx.Node) -> None:
    x = node.args[0] if node.args else node.kwargs["input"]
    assert isinstance(x, fx.Node)
    value = node.meta["value"]
    if value.ndim < 2 or value.shape[0] != x.meta["value"].shape[0]:
        raise b.refuse(node, "it mixes samples", "Keep the first axis: x.flatten(1), say")
    b.names[node] = b.add(node, "reshape", (b.layer(x),))


def _permute(b: Builder, node: fx.Node) -> None:
    x: Any = node.args[0]
    dims: int = x.meta["value"].ndim
    given: Any = node.args[1:] or (node.kwargs.get("dims"),)
    order = [int(d) % dims for d in (given[0] if np.ndim(given[0]) else given)]
    _add_permute(b, node, x, order)


def _transpose(b: Builder, node: fx.Node) -> None:
    a = _bound(node, "input dim0 dim1")
    order = list(range(a["input"].meta["value"].ndim))
    one, two = int(a["dim0"]) % len(order), int(a["dim1"]) % len(order)
    order[one], order[two] = order[two], order[one]
    _add_permute(b, node, a["input"], order)


def _add_permute(b: Builder, node: fx.Node, x: Any, order: list[int]) -> None:
    if order[0] != 0:
        raise b.refuse(node, "it moves the sample axis", "Keep samples on the first axis")
    b.names[node] = b.add(node, "permute", (b.layer(x),), axes=tuple(axis - 1 for axis in order[1:]))


def _cat(b: Builder, node: fx.Node) -> None:
    a = _bound(node, "tensors dim", dim=0)
    if any(not isinstance(t, fx.Node) or t.meta["constant"] for t in a["tensors"]):
        raise b.refuse(node, "it joins a constant", "Pad instead, or add the constant")
    axis = _axis(b, node, a["dim"], node.meta["value"].ndim - 1)
    b.names[node] = b.add(node, "concat", tuple(b.layer(t) for t in a["tensors"]), axis=axis)


def _pad(b: Builder, node: fx.Node) -> None:
    if node.op == "call_module":
        m = _module(b, node)
        a = {"input": node.args[0], "pad": m.padding, "mode": "constant", "value": getattr(m, "value", 0.0)}
    else:
        a = _bound(node, "input pad mode value", mode="constant", value=0.0)
    if a["mode"] != "constant":
        raise b.refuse(node, f"its mode is {a['mode']!r}", "Pad with a constant")
    dims = a["input"].meta["value"].ndim
    flat = [int(n) for n in a["pad"]] + [0] * (2 * dims - len(a["pad"]))
    sides = [(flat[2 * i], flat[2 * i + 1]) for i in range(dims)][::-1]
    if sides[0] != (0, 0):
        raise b.refuse(node, "it pads the sample axis", "Pad the other axes")
    b.names[node] = b.add(node, "pad", (b.layer(a["input"]),), padding=tuple(sides[1:]), value=float(a["value"] or 0.0))


def _getitem(b: Builder, node: fx.Node) -> None:
    x, index = node.args
    assert isinstance(x, fx.Node)
    parts: list[Any] = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (x.meta["value"].ndim + 1 - len(parts))
    shape = tuple(x.meta["value"].shape[1:])
    if any(not isinstance(p, slice) for p in parts) or parts[0] != slice(None):
        raise b.refuse(node, "it picks by other than plain slices", "Slice with numbers, and keep all samples")
    cuts = [p.indices(n) for p, n in zip(parts[1:], shape, strict=False)] + [(0, n, 1) for n in shape[len(parts) - 1 :]]
    cropped = tuple((-start, min(stop, n) - n) for (start, stop, _), n in zip(cuts, shape, strict=True))
    inner = tuple(n + sum(c) for n, c in zip(shape, cropped, strict=True))
    strides = tuple(step for *_, step in cuts)
    name = b.layer(x)
    if any(map(any, cropped)):
        name = b.add(node, "pad", (name,), inner, padding=cropped, value=0.0)
    if any(step != 1 for step in strides):
        if strides[0] != 1 or len(strides) not in (2, 3):
            raise b.refuse(node, "it strides over channels", "Stride over the image only")
        ones = (1,) * (len(strides) - 1)
        name = b.add(node, "avg_pool", (name,), kernel=ones, stride=strides[1:], padding=((0, 0),) * len(ones), divisor=1)
    b.names[node] = name


# Arithmetic with constants, and sums


def _split(b: Builder, node: fx.Node) -> tuple[list[str], list[Any]]:
    """Layers and constants among the two operands."""
    operands = [*node.args, *(node.kwargs[k] for k in ("input", "other") if k in node.kwargs)][:2]
    alpha = node.kwargs.get("alpha", 1)
    if alpha != 1:
        raise b.refuse(node, f"alpha is {alpha}", "Multiply first, then add")
    layers = [b.layer(o) for o in operands if isinstance(o, fx.Node) and not o.meta["constant"]]
    constants = [b.constant(node, o, "operand") for o in operands if not (isinstance(o, fx.Node) and not o.meta["constant"])]
    return layers, constants


def _scaled(b: Builder, node: fx.Node, x: str, factor: Any = None, shift: Any = None) -> str:
    shape = next(layer.shape for layer in b.layers if layer.name == x)
    arrays = {}
    for name, value in (("factor", factor), ("shift", shift)):
        if value is not None:
            value = np.asarray(value, np.float32)
            arrays[name] = value[0] if value.ndim == len(shape) + 1 and len(value) == 1 else value
            try:
                fits = np.broadcast_shapes(arrays[name].shape, shape) == shape
            except ValueError:
                fits = False
            if not fits:
                raise b.refuse(node, f"a constant of shape {value.shape} does not fit {shape}", "Reshape the constant")
    return b.add(node, "scale", (x,), shape, arrays)


def _sum(b: Builder, node: fx.Node) -> None:
    layers, constants = _split(b, node)
    if constants:
        b.names[node] = _scaled(b, node, layers[0], shift=constants[0])
    else:
        b.names[node] = b.add(node, "add", tuple(layers))


def _difference(b: Builder, node: fx.Node) -> None:
    layers, constants = _split(b, node)
    if not constants:
        b.names[node] = b.add(node, "add", (layers[0], _scaled(b, node, layers[1], factor=-1.0)))
    elif isinstance(node.args[0], fx.Node) and not node.args[0].meta["constant"]:
        b.names[node] = _scaled(b, node, layers[0], shift=-np.asarray(constants[0]))
    else:
        b.names[node] = _scaled(b, node, layers[0], factor=-1.0, shift=constants[0])


def _product(b: Builder, node: fx.Node) -> None:
    layers, constants = _split(b, node)
    if not constants:
        raise b.refuse(node, "it multiplies two activations", "Multiply by constants only: gates have no spiking form here")
    b.names[node] = _scaled(b, node, layers[0], factor=constants[0])


def _quotient(b: Builder, node: fx.Node) -> None:
    layers, constants = _split(b, node)
    if not constants or not isinstance(node.args[0], fx.Node) or node.args[0].meta["constant"]:
        raise b.refuse(node, "it divides by an activation", "Divide by constants only")
    b.names[node] = _scaled(b, node, layers[0], factor=1 / np.asarray(constants[0], np.float64))


def _negative(b: Builder, node: fx.Node) -> None:
    b.names[node] = _scaled(b, node, b.layer(node.args[0]), factor=-1.0)


def _dropout(b: Builder, node: fx.Node) -> None:
    a = _bound(node, "input p training inplace", p=0.5, training=True)
    if node.op != "call_module" and a["training"] and a["p"]:
        raise b.refuse(node, "it drops values at random even in evaluation", "Pass training=self.training")
    _same(b, node)


MODULES: dict[type[nn.Module], Handler] = {
    nn.ReLU: _relu,
    nn.ReLU6: _relu6,
    nn.Hardtanh: _hardtanh,
    nn.Linear: _linear,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d), _conv_module),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d), _norm_module),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d), _pool("avg_pool")),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d), _pool("max_pool")),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d), _adaptive("avg_pool")),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d), _adaptive("max_pool")),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Identity), _same),
    **dict.fromkeys((nn.Flatten, nn.Unflatten), _reshape),
    **dict.fromkeys((nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d), _pad),
}

FUNCTIONS: dict[Any, Handler] = {
    **dict.fromkeys((F.relu, torch.relu, torch.relu_, F.relu_), _relu),
    F.relu6: _relu6,
    **dict.fromkeys((F.hardtanh, F.hardtanh_), _hardtanh),
    **dict.fromkeys((torch.clamp, torch.clip), _clamp),
    **dict.fromkeys((F.conv1d, F.conv2d, torch.conv1d, torch.conv2d), _conv_function),
    F.linear: _linear,
    F.batch_norm: _norm_function,
    **dict.fromkeys((F.avg_pool1d, F.avg_pool2d), _pool("avg_pool")),
    **dict.fromkeys((F.max_pool1d, F.max_pool2d, torch.max_pool1d, torch.max_pool2d), _pool("max_pool")),
    **dict.fromkeys((F.adaptive_avg_pool1d, F.adaptive_avg_pool2d), _adaptive("avg_pool")),
    **dict.fromkeys((F.adaptive_max_pool1d, F.adaptive_max_pool2d), _adaptive("max_pool")),
    torch.mean: _mean,
    **dict.fromkeys((torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze), _reshape),
    torch.permute: _permute,
    **dict.fromkeys((torch.transpose, torch.swapaxes), _transpose),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), _cat),
    F.pad: _pad,
    operator.getitem: _getitem,
    **dict.fromkeys((operator.add, operator.iadd, torch.add), _sum),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub), _difference),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul), _product),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div), _quotient),
    **dict.fromkeys((operator.neg, torch.neg), _negative),
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout), _dropout),
}

METHODS: dict[str, Handler] = {
    **dict.fromkeys(("relu", "relu_"), _relu),
    **dict.fromkeys(("clamp", "clamp_", "clip", "clip_"), _clamp),
    "mean": _mean,
    **dict.fromkeys(("view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten"), _reshape),
    "permute": _permute,
    **dict.fromkeys(("transpose", "swapaxes"), _transpose),
    **dict.fromkeys(("contiguous", "detach", "clone", "float", "to", "type_as"), _same),
    **dict.fromkeys(("add", "add_"), _sum),
    **dict.fromkeys(("sub", "sub_"), _difference),
    **dict.fromkeys(("mul", "mul_"), _product),
    **dict.fromkeys(("div", "div_"), _quotient),
    "neg": _negative,
}
