"""Which torch modules, functions and methods become which layers: three tables, and the handlers of layers with neurons.

Every handler takes the builder and the traced node and adds layers; shapes leave out the batch axis.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from converters.tracing.arguments import Handler, bound, module_of, operand, pair, same, sample_free_axis
from converters.tracing.arithmetic import add, divide, multiply, negate, subtract
from converters.tracing.builder import Builder
from converters.tracing.rearranging import concatenate, pad, permute, reshape, slice_of, transpose

# Activations


def _relu(b: Builder, node: fx.Node, ceiling: float | None = None) -> None:
    b.names[node] = b.add(node, "relu", (b.layer(operand(node)),), ceiling=ceiling)


def _relu6(b: Builder, node: fx.Node) -> None:
    _relu(b, node, 6.0)


def _clipped(b: Builder, node: fx.Node, low: Any, high: Any) -> None:
    low, high = _limit(b, node, low, "lower bound"), _limit(b, node, high, "upper bound")
    if low != 0 or (high is not None and high <= 0):
        raise b.refuse(node, f"it clips to [{low}, {high}]", "Clip to [0, c] with c > 0: spikes count from zero")
    _relu(b, node, high)


def _limit(b: Builder, node: fx.Node, value: Any, what: str) -> float | None:
    """A bound of a clip, one number for all neurons."""
    found = b.constant(node, value, what)
    if np.size(found) != 1:
        raise b.refuse(node, f"its {what} differs between neurons", "Clip all of them to one [0, c]")
    return None if found is None else float(found)


def _hardtanh(b: Builder, node: fx.Node) -> None:
    if node.op == "call_module":
        _clipped(b, node, module_of(b, node).min_val, module_of(b, node).max_val)
    else:
        a = bound(node, "input min_val max_val inplace", min_val=-1.0, max_val=1.0)
        _clipped(b, node, a["min_val"], a["max_val"])


def _clamp(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input min max", min=None, max=None)
    _clipped(b, node, a["min"], a["max"])


# Weighted sums


def _add_conv(b: Builder, node: fx.Node, x: Any, weight: Any, bias: Any, window: tuple[Any, Any, Any, int], before: Any) -> None:
    """A convolution with (stride, padding, dilation, groups); `before` is the padding mode."""
    weight = b.constant(node, weight, "weight")
    kernel, dims = weight.shape[2:], weight.ndim - 2
    if x.meta["value"].ndim != dims + 2:
        raise b.refuse(node, "its input has no sample axis", "Pass (samples, channels, ...)")
    stride, padding, dilation, groups = window
    dilation = pair(dilation, dims)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        sides = tuple((n // 2, n - n // 2) for n in total)
    else:
        sides = tuple((p, p) for p in pair(0 if padding == "valid" else padding, dims))
    if before != "zeros" and any(map(sum, sides)):
        raise b.refuse(node, f"its padding mode is {before!r}", "Use padding_mode='zeros'")
    arrays = {"weight": weight, "bias": b.constant(node, bias, "bias")}
    b.names[node] = b.add(
        node, "conv", (b.layer(x),), None, arrays,
        stride=pair(stride, dims), padding=sides, dilation=dilation, groups=int(groups),
    )  # fmt: skip


def _conv_module(b: Builder, node: fx.Node) -> None:
    m = module_of(b, node)
    _add_conv(b, node, operand(node), m.weight, m.bias, (m.stride, m.padding, m.dilation, m.groups), m.padding_mode)


def _conv_function(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input weight bias stride padding dilation groups", bias=None, stride=1, padding=0, dilation=1, groups=1)
    _add_conv(b, node, a["input"], a["weight"], a["bias"], (a["stride"], a["padding"], a["dilation"], a["groups"]), "zeros")


def _linear(b: Builder, node: fx.Node) -> None:
    if node.op == "call_module":
        weight, bias, x = module_of(b, node).weight, module_of(b, node).bias, operand(node)
    else:
        a = bound(node, "input weight bias", bias=None)
        weight, bias, x = a["weight"], a["bias"], a["input"]
    if x.meta["value"].ndim < 2 or node.meta["value"].ndim != x.meta["value"].ndim:
        raise b.refuse(node, "its weight or its input has one axis only", "Pass weights (out, in) and (samples, in)")
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
    m = module_of(b, node)
    if m.running_mean is None:
        raise b.refuse(node, "it keeps no running statistics", "Train it with track_running_stats=True")
    arrays = {"mean": m.running_mean, "variance": m.running_var, "weight": m.weight, "bias": m.bias}
    _add_norm(b, node, operand(node), arrays, m.eps)


def _norm_function(b: Builder, node: fx.Node) -> None:
    names = "input running_mean running_var weight bias training momentum eps"
    a = bound(node, names, weight=None, bias=None, training=False, eps=1e-5)
    if a["training"] or a["running_mean"] is None:
        raise b.refuse(node, "it normalises by the statistics of the batch", "Pass running statistics and training=False")
    arrays = {"mean": a["running_mean"], "variance": a["running_var"], "weight": a["weight"], "bias": a["bias"]}
    _add_norm(b, node, a["input"], arrays, a["eps"])


# Pooling


def _add_pool(b: Builder, node: fx.Node, op: str, x: Any, a: dict[str, Any]) -> None:
    if node.meta["value"].shape[:2] != x.meta["value"].shape[:2]:
        raise b.refuse(node, "its input has no sample axis", "Pass (samples, channels, ...)")
    size = x.meta["value"].shape[2:]
    dims = len(size)
    kernel, padding = pair(a["kernel_size"], dims), pair(a["padding"], dims)
    stride = pair(a["stride"] if a["stride"] not in (None, ()) else kernel, dims)
    dilation = pair(a.get("dilation", 1), dims)
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
            m = module_of(b, node)
            a = {"input": operand(node), **{n: getattr(m, n, defaults.get(n)) for n in names.split()[1:]}}
        else:
            a = bound(node, names, **defaults)
        if a.get("return_indices"):
            raise b.refuse(node, "it returns indices", "Pool without return_indices")
        _add_pool(b, node, op, a["input"], a)

    return handle


def _adaptive(op: str) -> Handler:
    def handle(b: Builder, node: fx.Node) -> None:
        x = operand(node)
        size, out = x.meta["value"].shape[2:], node.meta["value"].shape[2:]
        if any(n % o for n, o in zip(size, out, strict=True)):
            raise b.refuse(node, f"{tuple(size)} is not a multiple of {tuple(out)}, so windows differ", "Choose a divisor")
        kernel = tuple(n // o for n, o in zip(size, out, strict=True))
        a = dict(kernel_size=kernel, stride=kernel, padding=0, count_include_pad=True, divisor_override=None)
        _add_pool(b, node, op, x, a)

    return handle


def _mean(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input dim keepdim", dim=None, keepdim=False)
    if a["dim"] is None:
        raise b.refuse(node, "it averages over the samples", "Name the axes to average over")
    x = a["input"]
    shape = tuple(x.meta["value"].shape[1:])
    axes = sorted(sample_free_axis(b, node, d, len(shape)) for d in pair(a["dim"], 1))
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


def _dropout(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input p training inplace", p=0.5, training=True)
    if node.op != "call_module" and a["training"] and a["p"]:
        raise b.refuse(node, "it drops values at random even in evaluation", "Pass training=self.training")
    same(b, node)


def _cast(b: Builder, node: fx.Node) -> None:
    if not node.meta["value"].is_floating_point():
        raise b.refuse(node, f"it casts activations to {node.meta['value'].dtype}", "Keep activations in float")
    same(b, node)


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
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Identity), same),
    **dict.fromkeys((nn.Flatten, nn.Unflatten), reshape),
    **dict.fromkeys((nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d), pad),
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
    **dict.fromkeys((torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze), reshape),
    torch.permute: permute,
    **dict.fromkeys((torch.transpose, torch.swapaxes), transpose),
    **dict.fromkeys((torch.cat, torch.concat, torch.concatenate), concatenate),
    F.pad: pad,
    operator.getitem: slice_of,
    **dict.fromkeys((operator.add, operator.iadd, torch.add), add),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub), subtract),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul), multiply),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div), divide),
    **dict.fromkeys((operator.neg, torch.neg), negate),
    **dict.fromkeys((F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout), _dropout),
}

METHODS: dict[str, Handler] = {
    **dict.fromkeys(("relu", "relu_"), _relu),
    **dict.fromkeys(("clamp", "clamp_", "clip", "clip_"), _clamp),
    "mean": _mean,
    **dict.fromkeys(("view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten"), reshape),
    "permute": permute,
    **dict.fromkeys(("transpose", "swapaxes"), transpose),
    **dict.fromkeys(("contiguous", "detach", "clone", "float"), same),
    **dict.fromkeys(("to", "type_as"), _cast),
    **dict.fromkeys(("add", "add_"), add),
    **dict.fromkeys(("sub", "sub_"), subtract),
    **dict.fromkeys(("mul", "mul_"), multiply),
    **dict.fromkeys(("div", "div_"), divide),
    "neg": negate,
}
