"""ONNX operators that apply a scalar function, compare, or choose: one `function` layer each, or a few layers around it."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.formats.onnx_broadcasting import aligned, from_end, function, joined, scaled
from converters.formats.onnx_building import LARGEST, WIDE, Array, Builder
from converters.formats.onnx_windows import Handler
from neuro.graph import Layer


def scalar(name: str, *attributes: tuple[str, float]) -> Handler:
    """A function whose values are attributes of the node."""

    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        values = tuple(float(a.get(key, default)) for key, default in attributes)
        if name in ("leaky_relu", "elu", "celu", "selu", "thresholded_relu", "shrink") and not np.isfinite(values).all():
            raise b.refuse(node, f"its attributes are {values}", "Export with finite numbers")
        return function(b, node, b.layer(node), name, *values)

    handle.__doc__ = f"function {name}" if name not in _SHARED else "function of that name"
    return handle


_SHARED = (
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "celu", "cos", "cosh", "elu", "erf", "exp", "floor"),
    *("hardswish", "leaky_relu", "log", "mish", "reciprocal", "round", "selu", "shrink", "sigmoid", "sign", "sin", "sinh"),
    *("softplus", "softsign", "sqrt", "tan", "tanh", "thresholded_relu"),
)


def gelu(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """function gelu or gelu_tanh"""
    kind = a.get("approximate", b"none").decode()
    if kind not in ("none", "tanh"):
        raise b.refuse(node, f"its approximation is {kind!r}", "Use none or tanh")
    return function(b, node, b.layer(node), "gelu" if kind == "none" else "gelu_tanh")


def prelu(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """prelu; the slopes must be constants"""
    x = b.layer(node)
    slope = b.per_sample(node, b.needed(node, 1, "slope"), len(x.shape))
    return b.add(node, "prelu", (x.name,), x.shape, {"slope": slope})


def power(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """function square, sqrt, reciprocal or power, of one constant exponent; of a constant base above 0, exp of a scale"""
    if b.is_constant(node, 0):
        base = np.asarray(b.needed(node, 0, "base"), np.float64)
        if not (base > 0).all():
            raise b.refuse(node, "it raises a base that is not above 0 to the power of activations", "Use a base above 0")
        inner = scaled(b, node, b.layer(node, 1), factor=np.log(base))
        return function(b, node, b.layers[inner], "exp")
    x, given = b.layer(node), b.needed(node, 1, "exponent")
    exponents = np.unique(given.astype(np.float64))
    if exponents.size != 1:
        raise b.refuse(node, f"it has {exponents.size} exponents", "Use one exponent for all values")
    named = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}
    exponent = float(exponents[0])
    shape = np.broadcast_shapes(x.shape, b.per_sample(node, given, len(x.shape)).shape)
    if shape != x.shape:
        x = b.layers[scaled(b, node, x, factor=np.ones_like(given, np.float32))]
    if exponent == 1.0:
        return x.name
    return function(b, node, x, named[exponent]) if exponent in named else function(b, node, x, "power", exponent)


# Comparisons and truth values, which are 1 and 0


def compared(name: str, flipped: bool = False) -> Handler:
    """x > y and its like: a function of x where y is one number, else of the difference."""

    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        b.codes[node.output[0]] = WIDE
        return _compare(b, node, name, flipped)

    handle.__doc__ = "function of a difference, 1 where it holds"
    return handle


def _compare(b: Builder, node: Any, name: str, flipped: bool) -> str:
    """`flipped`: y > x for x < y."""
    order = (1, 0) if flipped else (0, 1)
    constant = [b.is_constant(node, i) for i in order]
    if not any(constant):
        first, second = (b.layer(node, i) for i in order)
        minus = scaled(b, node, second, factor=-1.0)
        return function(b, node, b.layers[joined(b, node, "add", [first, b.layers[minus]])], name, 0.0)
    x = b.layer(node, order[constant.index(False)])
    value = np.asarray(b.needed(node, order[constant.index(True)], "operand"), np.float64)
    if constant[0] and name != "equal":  # c > x as -x > -c
        x, value = b.layers[scaled(b, node, x, factor=-1.0)], -value
    if value.size == 1 and value.ndim <= len(x.shape) + b.lead:
        return function(b, node, x, name, float(value.reshape(())))
    return function(b, node, b.layers[scaled(b, node, x, shift=-value)], name, 0.0)


def logic(kind: str) -> Handler:
    """Of truth values: and is their product, or the larger, xor the size of the difference."""

    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        b.codes[node.output[0]] = WIDE
        parts = b.values_of(node)
        if kind != "xor":
            return joined(b, node, "multiply" if kind == "and" else "maximum", parts)
        minus = scaled(b, node, parts[1], factor=-1.0)
        return function(b, node, b.layers[joined(b, node, "add", [parts[0], b.layers[minus]])], "abs")

    handle.__doc__ = {"and": "multiply", "or": "maximum", "xor": "function abs of a difference"}[kind]
    return handle


def negation(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """scale: 1 less the value"""
    b.codes[node.output[0]] = WIDE
    return scaled(b, node, b.layer(node), factor=-1.0, shift=1.0)


def where(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """mask where the condition and one value are constants, else where"""
    codes = [b.codes.get(node.input[i]) for i in (1, 2) if not b.is_constant(node, i)]
    if any(code is not None for code in codes):
        b.codes[node.output[0]] = WIDE
    if b.is_constant(node, 0):
        kept = b.needed(node, 0, "condition")
        for place, keep in ((1, kept), (2, ~kept.astype(bool))):
            other = 3 - place
            if not b.is_constant(node, place) and b.is_constant(node, other):
                value = np.unique(b.needed(node, other, "value"))
                if value.size == 1:
                    return masked(b, node, b.layer(node, place), keep, float(value[0]), b.needed(node, other, "value"))
    names, shape = aligned(b, node, b.values_of(node))
    return b.add(node, "where", tuple(names), shape)


def masked(b: Builder, node: Any, x: Layer, keep: Array, value: float, like: Array | None = None) -> str:
    """x where `keep` is not 0, else a number; infinite ones become the largest there are."""
    held = b.per_sample(node, np.asarray(keep, np.float32), len(x.shape))
    sizes = [held.shape] if like is None else [held.shape, b.per_sample(node, like, len(x.shape)).shape]
    shape = np.broadcast_shapes(x.shape, *sizes)
    if shape != x.shape:
        x = b.layers[scaled(b, node, x, factor=np.ones(shape, np.float32))]
    return b.add(node, "mask", (x.name,), x.shape, {"keep": held}, value=float(np.clip(value, -LARGEST, LARGEST)))


def additive_mask(values: Array) -> Array | None:
    """Where a constant to be added is 0, if it is 0 or so low elsewhere that nothing is left of the sum; None for others."""
    low = values <= -1e9
    return (values == 0) if low.any() and bool(((values == 0) | low).all()) and (values == 0).any() else None


def one_hot(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """function equal of the difference to each place"""
    x, depth, values = b.layer(node), b.needed(node, 1, "depth"), b.needed(node, 2, "values")
    if depth.size != 1 or not 0 < int(depth.ravel()[0]) <= 2**20:
        raise b.refuse(node, f"its depth is {depth.ravel()[:3]}", "Use one depth of 1 or more")
    n, rank = int(depth.ravel()[0]), len(x.shape) + 1
    place = int(a.get("axis", -1)) % (rank + b.lead) - b.lead
    if place < 0:
        raise b.refuse(node, "it spreads over the samples", "Use another axis")
    shape = (*x.shape[:place], 1, *x.shape[place:])
    opened = b.layers[b.add(node, "reshape", (x.name,), shape)]
    places = np.arange(n, dtype=np.float32).reshape([-1 if i == place else 1 for i in range(rank)])
    counted = from_end(b, node, opened, n)
    hot = function(b, node, b.layers[scaled(b, node, counted, shift=-places)], "equal", 0.0)
    off, on = (float(v) for v in values.ravel())
    return hot if (off, on) == (0.0, 1.0) else scaled(b, node, b.layers[hot], factor=on - off, shift=off)


def swish(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """function silu"""
    return function(b, node, b.layer(node), "silu", float(a.get("alpha", 1.0)))
