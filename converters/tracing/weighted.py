"""Handlers of weighted sums: convolutions, plain and transposed, linear layers and batch norms."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from converters.tracing.arguments import bound, module_of, operand, pair
from converters.tracing.builder import Builder
from converters.tracing.rearranging import padded
from neuro.valueops import transposed_size


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
    name = b.layer(x)
    if before != "zeros" and any(map(any, sides)):
        name = padded(b, node, name, ((0, 0), *sides), before)
        sides = ((0, 0),) * dims
    arrays = {"weight": weight, "bias": b.constant(node, bias, "bias")}
    b.names[node] = b.add(
        node, "conv", (name,), None, arrays,
        stride=pair(stride, dims), padding=sides, dilation=dilation, groups=int(groups),
    )  # fmt: skip


def conv_module(b: Builder, node: fx.Node) -> None:
    m = module_of(b, node)
    _add_conv(b, node, operand(node), m.weight, m.bias, (m.stride, m.padding, m.dilation, m.groups), m.padding_mode)


def conv_function(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input weight bias stride padding dilation groups", bias=None, stride=1, padding=0, dilation=1, groups=1)
    _add_conv(b, node, a["input"], a["weight"], a["bias"], (a["stride"], a["padding"], a["dilation"], a["groups"]), "zeros")


def transposed_module(b: Builder, node: fx.Node) -> None:
    m = module_of(b, node)
    _add_transposed(b, node, operand(node), m.weight, m.bias, (m.stride, m.padding, m.dilation, m.groups))


def transposed_function(b: Builder, node: fx.Node) -> None:
    names = "input weight bias stride padding output_padding groups dilation"
    a = bound(node, names, bias=None, stride=1, padding=0, groups=1, dilation=1)
    _add_transposed(b, node, a["input"], a["weight"], a["bias"], (a["stride"], a["padding"], a["dilation"], a["groups"]))


def _add_transposed(b: Builder, node: fx.Node, x: Any, weight: Any, bias: Any, window: tuple[Any, Any, Any, int]) -> None:
    weight = np.asarray(b.constant(node, weight, "weight"))
    dims, kernel, (stride, padding, dilation, groups) = weight.ndim - 2, weight.shape[2:], window
    if x.meta["value"].ndim != dims + 2:
        raise b.refuse(node, "its input has no sample axis", "Pass (samples, channels, ...)")
    stride, padding, dilation = (pair(value, dims) for value in (stride, padding, dilation))
    name, out = b.layer(x), node.meta["value"].shape[2:]
    whole = transposed_size(b.shape(name)[1:], kernel, stride, ((0, 0),) * dims, dilation)
    sides = tuple((p, n - p - o) for n, p, o in zip(whole, padding, out, strict=True))
    arrays = {"weight": weight, "bias": b.constant(node, bias, "bias")}
    b.names[node] = b.add(
        node, "conv_transpose", (name,), None, arrays, stride=stride, padding=sides, dilation=dilation, groups=int(groups)
    )


def linear(b: Builder, node: fx.Node) -> None:
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


def norm_module(b: Builder, node: fx.Node) -> None:
    m = module_of(b, node)
    if m.running_mean is None:
        raise b.refuse(node, "it keeps no running statistics", "Train it with track_running_stats=True")
    arrays = {"mean": m.running_mean, "variance": m.running_var, "weight": m.weight, "bias": m.bias}
    _add_norm(b, node, operand(node), arrays, m.eps)


def norm_function(b: Builder, node: fx.Node) -> None:
    names = "input running_mean running_var weight bias training momentum eps"
    a = bound(node, names, weight=None, bias=None, training=False, eps=1e-5)
    if a["training"] or a["running_mean"] is None:
        raise b.refuse(node, "it normalises by the statistics of the batch", "Pass running statistics and training=False")
    arrays = {"mean": a["running_mean"], "variance": a["running_var"], "weight": a["weight"], "bias": a["bias"]}
    _add_norm(b, node, a["input"], arrays, a["eps"])
