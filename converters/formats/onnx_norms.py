"""ONNX operators that need more than one value of a sample at once: softmax, norms, places of extremes, lengths over axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converters.formats.onnx_broadcasting import function, joined, picked, scaled
from converters.formats.onnx_building import WIDE, Array, Builder
from converters.formats.onnx_reductions import reduce
from converters.formats.onnx_shapes import axis_of, listed, permuted, reshaped
from converters.formats.onnx_windows import Handler
from neuro.graph import Layer


def softmax(op: str) -> Handler:
    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        x = b.layer(node)
        axis = axis_of(b, node, a.get("axis", -1 if b.opset >= 13 else 1), len(x.shape))
        if b.opset >= 13 or axis == len(x.shape) - 1:
            return _along(b, node, x, op, axis)
        flat = reshaped(b, node, x, (*x.shape[:axis], math.prod(x.shape[axis:])))  # older sets take all axes from there together
        return reshaped(b, node, b.layers[_along(b, node, flat, op, axis)], x.shape).name

    handle.__doc__ = "argmax, and function equal" if op == "hardmax" else op
    return handle


def _along(b: Builder, node: Any, x: Layer, op: str, axis: int) -> str:
    if op != "hardmax":
        return b.add(node, op, (x.name,), x.shape, axis=axis)
    first = b.layers[_first(b, node, x, axis)]
    places = np.arange(x.shape[axis], dtype=np.float32).reshape([-1 if i == axis else 1 for i in range(len(x.shape))])
    return function(b, node, b.layers[scaled(b, node, first, shift=-places)], "equal", 0.0)


def _first(b: Builder, node: Any, x: Layer, axis: int) -> str:
    shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
    return b.add(node, "argmax", (x.name,), shape, axis=axis)


def extreme_place(largest: bool) -> Handler:
    """Where the largest or smallest value along an axis is."""

    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        x = b.layer(node)
        axis = axis_of(b, node, a.get("axis", 0), len(x.shape))
        last, count = bool(a.get("select_last_index", 0)), x.shape[axis]
        x = x if largest else b.layers[scaled(b, node, x, factor=-1.0)]
        x = b.layers[picked(b, node, x, axis, np.arange(count)[::-1])] if last else x
        found = b.layers[_first(b, node, x, axis)]
        found = b.layers[scaled(b, node, found, factor=-1.0, shift=count - 1.0)] if last else found
        b.codes[node.output[0]] = WIDE
        if a.get("keepdims", 1):
            return found.name
        return reshaped(b, node, found, tuple(n for i, n in enumerate(x.shape) if i != axis)).name

    handle.__doc__ = "argmax" if largest else "argmax of the negated values"
    return handle


def _affine(b: Builder, node: Any, x: Layer, name: str, places: tuple[int, int]) -> str:
    """A normalised layer times a weight and plus a bias, into the layer where they are constants."""
    for index, what in zip(places, ("weight", "bias"), strict=True):
        if index >= len(node.input) or not node.input[index]:
            continue
        if b.is_constant(node, index):
            held: Array = b.needed(node, index, what)
            value = b.per_sample(node, held, len(x.shape))
            name = scaled(b, node, b.layers[name], **{"factor" if what == "weight" else "shift": value})
        else:
            name = joined(b, node, "multiply" if what == "weight" else "add", [b.layers[name], b.layer(node, index)])
    return name


def layer_norm(op: str) -> Handler:
    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        x = b.layer(node)
        first = axis_of(b, node, a.get("axis", -1), len(x.shape))
        axes, epsilon = tuple(range(first, len(x.shape))), float(a.get("epsilon", 1e-5))
        arrays = _constants(b, node, len(x.shape), 2 if op == "layer_norm" else 1)
        name = b.add(node, op, (x.name,), x.shape, arrays or {}, axes=axes, epsilon=epsilon)
        return name if arrays is not None else _affine(b, node, x, name, (1, 2))

    handle.__doc__ = op
    return handle


def _constants(b: Builder, node: Any, rank: int, most: int) -> dict[str, Array] | None:
    """Weight and bias of a norm; None where one is data."""
    found = {}
    for index, name in enumerate(("weight", "bias")[:most], 1):
        if index < len(node.input) and node.input[index]:
            if not b.is_constant(node, index):
                return None
            found[name] = b.per_sample(node, b.needed(node, index, name), rank)
    return found


def group_norm(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """group_norm"""
    x, weight, bias = b.layer(node), b.needed(node, 1, "weight"), b.needed(node, 2, "bias")
    groups = int(a["num_groups"]) if node.op_type == "GroupNormalization" else x.shape[0]
    if len(weight) == groups != x.shape[0]:  # older sets have one for each group
        weight, bias = (np.repeat(v, x.shape[0] // groups) for v in (weight, bias))
    arrays = {"weight": weight, "bias": bias}
    return b.add(node, "group_norm", (x.name,), x.shape, arrays, groups=groups, epsilon=float(a.get("epsilon", 1e-5)))


def local_response(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """local_response_norm"""
    x, o = b.layer(node), {"alpha": 1e-4, "beta": 0.75, "bias": 1.0, **a}
    return b.add(
        node, "local_response_norm", (x.name,), x.shape,
        size=int(o["size"]), alpha=float(o["alpha"]), beta=float(o["beta"]), bias=float(o["bias"]),
    )  # fmt: skip


def standardised(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """layer_norm without weights; not over samples"""
    x = b.layer(node)
    axes = tuple(sorted(axis_of(b, node, axis, len(x.shape)) for axis in a.get("axes", (0, 2, 3))))
    return b.add(node, "layer_norm", (x.name,), x.shape, axes=axes, epsilon=1e-9)


def lengths(inner: str, outer: str) -> Handler:
    """A sum over axes of a function, and a function of the sum."""

    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        x = b.layer(node)
        given = listed(b, node, 1, "axes", a) or []
        if not given and a.get("noop_with_empty_axes", 0):
            raise b.refuse(node, "it names no axes", "Name the axes")
        if inner:
            x = b.layers[function(b, node, x, inner)]
        total = b.layers[reduce("sum")(b.reading(node, x), node, a)]
        return function(b, node, total, outer) if outer else total.name

    handle.__doc__ = f"{f'function {inner}, ' if inner else ''}reduce{f', function {outer}' if outer else ''}"
    return handle


def log_sum_exp(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """max_pool, function exp of the differences to it, reduce, function log"""
    x = b.layer(node)
    if not (listed(b, node, 1, "axes", a) or []) and a.get("noop_with_empty_axes", 0):
        raise b.refuse(node, "it names no axes", "Name the axes")
    largest = b.layers[reduce("largest")(b, node, {**a, "keepdims": 1})]
    minus = b.layers[scaled(b, node, largest, factor=-1.0)]
    exp = b.layers[function(b, node, b.layers[joined(b, node, "add", [x, minus])], "exp")]
    total = b.layers[reduce("sum")(b.reading(node, exp), node, a)]
    flat = reshaped(b, node, largest, total.shape)
    return joined(b, node, "add", [b.layers[function(b, node, total, "log")], flat])


def product(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """multiply of all slices along the axes"""
    x, given = b.layer(node), listed(b, node, 1, "axes", a) or []
    if not given and (b.lead or a.get("noop_with_empty_axes", 0)):
        raise b.refuse(node, "it names no axes", "Name the axes of a sample")
    axes = sorted({axis_of(b, node, axis, len(x.shape)) for axis in given}) or list(range(len(x.shape)))
    kept = [axis for axis in range(len(x.shape)) if axis not in axes]
    count = math.prod(x.shape[axis] for axis in axes)
    if count > 256:
        raise b.refuse(node, f"it multiplies {count} values", "Add up logarithms instead")
    flat = reshaped(b, node, permuted(b, node, x, (*kept, *axes)), (*(x.shape[axis] for axis in kept), count))
    parts = [b.layers[picked(b, node, flat, len(kept), [i])] for i in range(count)]
    name = joined(b, node, "multiply", parts)
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if a.get("keepdims", 1) or i not in axes)
    return reshaped(b, node, b.layers[name], shape).name


def lp_normalised(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """the values times function reciprocal of their length along an axis"""
    x, p = b.layer(node), int(a.get("p", 2))
    axis = axis_of(b, node, a.get("axis", -1), len(x.shape))
    if p not in (1, 2):
        raise b.refuse(node, f"its p is {p}", "Use 1 or 2")
    inner = b.layers[function(b, node, x, "abs" if p == 1 else "square")]
    shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
    total = b.layers[b.add(node, "reduce", (inner.name,), shape, kind="sum", axes=(axis,))]
    root = total if p == 1 else b.layers[function(b, node, total, "sqrt")]
    least = b.layers[b.add(node, "constant", (), (1,) * len(shape), {"value": np.full((1,) * len(shape), 1e-30, np.float32)})]
    safe = b.layers[joined(b, node, "maximum", [root, least])]  # a row of zeros stays one
    return joined(b, node, "multiply", [x, b.layers[function(b, node, safe, "reciprocal")]])
