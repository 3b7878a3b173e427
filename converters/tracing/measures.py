"""Handlers of what is measured over axes: lengths, variances, log-sum-exp, likeness, bilinear forms, windows of a line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import fx

from converters.tracing.arguments import Handler, bound, module_of, pair, sample_free_axis
from converters.tracing.arithmetic import scaled
from converters.tracing.axes import spread, taken
from converters.tracing.builder import Builder
from converters.tracing.pools import largest_over
from converters.tracing.values import apply


def _axes(b: Builder, node: fx.Node, a: dict[str, Any]) -> tuple[int, ...]:
    """The axes that a call names, without samples."""
    if a["dim"] is None or isinstance(a["dim"], bool) or a["dim"] == ():
        raise b.refuse(node, "it works on all samples together", "Name the axes to work on, all but the first")
    dims = a["input"].meta["value"].ndim - 1
    return tuple(sorted(sample_free_axis(b, node, d, dims) for d in pair(a["dim"], 1)))


def _over(b: Builder, node: fx.Node, name: str, axes: tuple[int, ...], kind: str) -> str:
    """A sum, mean or maximum over some axes, which stay with a size of 1."""
    ones = tuple(1 if axis in axes else n for axis, n in enumerate(b.shape(name)))
    if kind == "max":
        return b.add(node, "reshape", (largest_over(b, node, name, list(axes)),), ones)
    return b.add(node, "reduce", (name,), ones, kind=kind, axes=axes)


def _shaped(b: Builder, node: fx.Node, name: str) -> str:
    return name if b.shape(name) == b.shape_of(node) else b.add(node, "reshape", (name,))


def _less(b: Builder, node: fx.Node, name: str, taken_off: str) -> str:
    """A layer less what is the same along some of its axes."""
    shape = b.shape(name)
    return b.add(node, "add", (name, spread(b, node, scaled(b, node, taken_off, factor=-1.0), shape)), shape)


def length(b: Builder, node: fx.Node) -> None:
    """norm and vector_norm: root of the sum of squares, sum of sizes, or largest size."""
    a = bound(node, "input p dim keepdim", dim=None)
    order = a.get("ord", a.get("p"))
    axes, name = _axes(b, node, a), b.layer(a["input"])
    if order in (None, "fro", 2):
        made = apply(b, node, _over(b, node, apply(b, node, name, "square"), axes, "sum"), "sqrt")
    elif order in (1, math.inf) and (len(axes) == 1 or node.target is not torch.linalg.norm):
        made = _over(b, node, apply(b, node, name, "abs"), axes, "sum" if order == 1 else "max")
    else:
        raise b.refuse(node, f"its order is {order!r}", "Use 1, 2 or infinity, along one axis")
    b.names[node] = _shaped(b, node, made)


def variance(root: bool) -> Handler:
    """var, or std."""

    def handle(b: Builder, node: fx.Node) -> None:
        a = bound(node, "input dim unbiased keepdim", dim=None)
        axes, name = _axes(b, node, a), b.layer(a["input"])
        count = math.prod(b.shape(name)[axis] for axis in axes)
        correction = a.get("correction", 1 if a.get("unbiased", True) else 0)
        if count <= correction:
            raise b.refuse(node, f"it divides by {count} - {correction}", "Use correction=0 (unbiased=False)")
        apart = apply(b, node, _less(b, node, name, _over(b, node, name, axes, "mean")), "square")
        made = scaled(b, node, _over(b, node, apart, axes, "mean"), factor=count / (count - correction))
        b.names[node] = _shaped(b, node, apply(b, node, made, "sqrt") if root else made)

    return handle


def log_sum(b: Builder, node: fx.Node) -> None:
    """logsumexp, from the largest down."""
    a = bound(node, "input dim keepdim", dim=None)
    axes, name = _axes(b, node, a), b.layer(a["input"])
    largest = _over(b, node, name, axes, "max")
    total = _over(b, node, apply(b, node, _less(b, node, name, largest), "exp"), axes, "sum")
    b.names[node] = _shaped(b, node, b.add(node, "add", (apply(b, node, total, "log"), largest), b.shape(largest)))


def likeness(b: Builder, node: fx.Node) -> None:
    """Cosine similarity: the product of two vectors by the larger of their lengths and eps."""
    if node.op == "call_module":
        m, (first, second) = module_of(b, node), node.args
        dim, least = m.dim, m.eps
    else:
        a = bound(node, "x1 x2 dim eps", dim=1, eps=1e-8)
        first, second, dim, least = a["x1"], a["x2"], a["dim"], a["eps"]
    rank = max(one.meta["value"].ndim for one in (first, second) if isinstance(one, fx.Node)) - 1
    names = [b.value(node, value, rank) for value in (first, second)]
    shape = tuple(np.broadcast_shapes(*map(b.shape, names)))
    names = [spread(b, node, name, shape) for name in names]
    axis = sample_free_axis(b, node, dim, rank)
    made = _over(b, node, b.add(node, "multiply", tuple(names), shape), (axis,), "sum")
    for name in names:
        size = apply(b, node, _over(b, node, apply(b, node, name, "square"), (axis,), "sum"), "sqrt")
        held = b.add(node, "constant", (), b.shape(size), {"value": np.full(b.shape(size), least, np.float32)})
        safe = b.add(node, "maximum", (size, held), b.shape(size))
        made = b.add(node, "multiply", (made, apply(b, node, safe, "reciprocal")), b.shape(size))
    b.names[node] = _shaped(b, node, made)


def softmin(b: Builder, node: fx.Node) -> None:
    a = {"input": node.args[0], "dim": module_of(b, node).dim} if node.op == "call_module" else bound(node, "input dim")
    name = b.layer(a["input"])
    axis = sample_free_axis(b, node, a["dim"], len(b.shape(name)))
    b.names[node] = b.add(node, "softmax", (scaled(b, node, name, factor=-1.0),), axis=axis)


def bilinear(b: Builder, node: fx.Node) -> None:
    """x1 W x2 + bias, with a matrix for each output."""
    if node.op == "call_module":
        m, (first, second) = module_of(b, node), node.args
        weight, bias = m.weight, m.bias
    else:
        a = bound(node, "input1 input2 weight bias", bias=None)
        first, second, weight, bias = a["input1"], a["input2"], a["weight"], a["bias"]
    weight = np.asarray(b.constant(node, weight, "weight"))
    out, one, two = weight.shape
    left, right = b.layer(first), b.layer(second)
    outer = b.shape(right)[:-1]
    made = b.add(node, "linear", (right,), (*outer, out * one), {"weight": weight.reshape(out * one, two)})
    made = b.add(node, "reshape", (made,), (*outer, out, one))
    column = b.add(node, "reshape", (left,), (*outer, one, 1))
    made = b.add(node, "reshape", (b.add(node, "matmul", (made, column), (*outer, out, 1)),), (*outer, out))
    b.names[node] = made if bias is None else scaled(b, node, made, shift=b.constant(node, bias, "bias"))


def line_windows(b: Builder, node: fx.Node) -> None:
    """x.unfold: windows along an axis, whose places come last."""
    a = bound(node, "input dimension size step")
    name = b.layer(a["input"])
    axis = sample_free_axis(b, node, a["dimension"], len(b.shape(name)))
    before, size, step = b.shape(name), int(a["size"]), int(a["step"])
    starts = np.arange(0, before[axis] - size + 1, step)
    name = taken(b, node, name, axis, (starts[:, None] + np.arange(size)).ravel())
    shape = (*before[:axis], len(starts), size, *before[axis + 1 :])
    order = (*(i for i in range(len(shape)) if i != axis + 1), axis + 1)
    name = b.add(node, "reshape", (name,), shape)
    b.names[node] = b.add(node, "permute", (name,), tuple(shape[i] for i in order), axes=order)
