"""Handlers of what computes with values: scalar functions, products, comparisons, softmax, norms, look-ups, masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import fx

from converters.tracing.arguments import Handler, bound, module_of, operand, same, sample_free_axis
from converters.tracing.arithmetic import scaled, summed
from converters.tracing.axes import spread
from converters.tracing.builder import Builder

_LARGEST = float(np.finfo(np.float32).max)


def apply(b: Builder, node: fx.Node, name: str, function: str, *values: float) -> str:
    """A scalar function of a layer."""
    return b.add(node, "function", (name,), b.shape(name), name=function, values=tuple(map(float, values)))


def function(name: str, *parameters: tuple[str, float]) -> Handler:
    """A scalar function whose values are attributes of the module or arguments of the call, with their defaults."""

    def handle(b: Builder, node: fx.Node) -> None:
        if node.op == "call_module":
            module = module_of(b, node)
            values = [getattr(module, key, default) for key, default in parameters]
        else:
            a = bound(node, " ".join(["input", *(key for key, _ in parameters)]), **dict(parameters))
            values = [b.constant(node, a[key], key) for key, _ in parameters]
        b.names[node] = apply(b, node, b.layer(operand(node)), name, *values)

    return handle


def gelu(b: Builder, node: fx.Node) -> None:
    how = module_of(b, node).approximate if node.op == "call_module" else bound(node, "input", approximate="none")["approximate"]
    b.names[node] = apply(b, node, b.layer(operand(node)), "gelu" if how == "none" else "gelu_tanh")


def glu(b: Builder, node: fx.Node) -> None:
    """One half times the sigmoid of the other."""
    from converters.tracing.axes import taken

    dim = module_of(b, node).dim if node.op == "call_module" else bound(node, "input dim", dim=-1)["dim"]
    name = b.layer(operand(node))
    axis = sample_free_axis(b, node, dim, len(b.shape(name)))
    half = b.shape(name)[axis] // 2
    first, second = (taken(b, node, name, axis, range(i * half, (i + 1) * half)) for i in (0, 1))
    b.names[node] = b.add(node, "multiply", (first, apply(b, node, second, "sigmoid")))


def prelu(b: Builder, node: fx.Node) -> None:
    if node.op == "call_module":
        slope, x = module_of(b, node).weight, operand(node)
    else:
        a = bound(node, "input weight")
        slope, x = a["weight"], a["input"]
    name = b.layer(x)
    column = np.asarray(b.constant(node, slope, "slope")).reshape(-1, *[1] * (len(b.shape(name)) - 1))
    column = column if b.shape(name) else column.reshape(())
    b.names[node] = b.add(node, "prelu", (name,), None, {"slope": column})


def power(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input exponent")
    if not b.computed(a["input"]):
        base = np.asarray(b.constant(node, a["input"], "base"), np.float64)
        if not (base > 0).all():
            raise b.refuse(node, "it raises a base that is not above 0 to the power of activations", "Use a base above 0")
        inner = scaled(b, node, b.layer(a["exponent"]), factor=np.log(base))
        b.names[node] = apply(b, node, inner, "exp")
        return
    exponent = np.asarray(b.constant(node, a["exponent"], "exponent"))
    if exponent.size != 1:
        raise b.refuse(node, f"it has {exponent.size} exponents", "Use one exponent for all values")
    value, name = float(exponent.ravel()[0]), b.layer(a["input"])
    named = {2.0: "square", 0.5: "sqrt", -1.0: "reciprocal", -0.5: "rsqrt"}
    if value == 1:
        b.names[node] = name
    else:
        b.names[node] = apply(b, node, name, named[value]) if value in named else apply(b, node, name, "power", value)


def joined(op: str) -> Handler:
    """maximum and minimum, of activations or with constants."""

    def handle(b: Builder, node: fx.Node) -> None:
        a = bound(node, "input other")
        b.names[node] = b.add(node, op, tuple(_operands(b, node, a["input"], a["other"])))

    return handle


def _operands(b: Builder, node: fx.Node, *values: Any) -> list[str]:
    """Layers of operands that broadcast to the node's shape, constants among them."""
    rank = len(b.shape_of(node))
    names = []
    for value in values:
        name = b.value(node, value, rank)
        own = b.shape(name)
        if len(own) < rank:
            if b.computed(value):
                raise b.refuse(node, "its operands have different numbers of axes", "Give both the same axes, samples first")
            name = b.add(node, "reshape", (name,), (*[1] * (rank - len(own)), *own))
        names.append(name)
    return names


def compared(name: str, flipped: bool = False) -> Handler:
    """x > y and its like: 1 where it holds, else 0."""

    def handle(b: Builder, node: fx.Node) -> None:
        a = bound(node, "input other")
        first, second = (a["other"], a["input"]) if flipped else (a["input"], a["other"])
        left, right = _operands(b, node, first, second)
        minus = scaled(b, node, right, factor=-1.0)
        b.names[node] = apply(b, node, summed(b, node, [left, minus]), name, 0.0)

    return handle


def where(b: Builder, node: fx.Node) -> None:
    a = bound(node, "condition input other")
    _choose(b, node, a["condition"], a["input"], a["other"])


def _choose(b: Builder, node: fx.Node, condition: Any, yes: Any, no: Any) -> None:
    if not b.computed(condition):
        keep = np.asarray(b.constant(node, condition, "condition"), bool)
        for kept, value, mask in ((yes, no, keep), (no, yes, ~keep)):
            if b.computed(kept) and not b.computed(value):
                number = np.unique(np.asarray(b.constant(node, value, "value"), np.float64))
                if number.size == 1:
                    b.names[node] = masked(b, node, b.layer(kept), mask, float(number[0]))
                    return
    b.names[node] = b.add(node, "where", tuple(_operands(b, node, condition, yes, no)))


def masked(b: Builder, node: fx.Node, name: str, keep: Any, value: float) -> str:
    """A layer where `keep` holds, else a number; infinite ones become the largest there are."""
    held = b.per_sample(node, np.asarray(keep, np.float32), len(b.shape(name)))
    name = spread(b, node, name, tuple(np.broadcast_shapes(b.shape(name), held.shape)))
    number = float(np.clip(value, -_LARGEST, _LARGEST))
    return b.add(node, "mask", (name,), b.shape(name), {"keep": held}, value=number)


def masked_fill(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input mask value")
    _choose(b, node, a["mask"], a["value"], a["input"])


def triangle(b: Builder, node: fx.Node) -> None:
    a, called = bound(node, "input diagonal", diagonal=0), str(getattr(node.target, "__name__", node.target))
    name = b.layer(a["input"])
    ones = np.ones(b.shape(name)[-2:])
    k = int(a["diagonal"])
    b.names[node] = masked(b, node, name, np.tril(ones, k) if called.startswith("tril") else np.triu(ones, k), 0.0)


# Over an axis


def softmax(op: str) -> Handler:
    def handle(b: Builder, node: fx.Node) -> None:
        dim = module_of(b, node).dim if node.op == "call_module" else bound(node, "input dim", dim=None)["dim"]
        name = b.layer(operand(node))
        if dim is None:
            raise b.refuse(node, "it names no axis", "Pass dim=-1, say")
        b.names[node] = b.add(node, op, (name,), axis=sample_free_axis(b, node, dim, len(b.shape(name))))

    return handle


def argmax(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input dim keepdim", dim=None, keepdim=False)
    if a["dim"] is None:
        raise b.refuse(node, "it works on all samples together", "Name the axis")
    name = b.layer(a["input"])
    axis = sample_free_axis(b, node, a["dim"], len(b.shape(name)))
    shape = tuple(1 if i == axis else n for i, n in enumerate(b.shape(name)))
    found = b.add(node, "argmax", (name,), shape, axis=axis)
    b.names[node] = b.add(node, "reshape", (found,))


def layer_norm(op: str) -> Handler:
    def handle(b: Builder, node: fx.Node) -> None:
        names = "input normalized_shape weight bias eps" if op == "layer_norm" else "input normalized_shape weight eps"
        if node.op == "call_module":
            m = module_of(b, node)
            a = {"input": operand(node), **{key: getattr(m, key, None) for key in names.split()[1:]}}
        else:
            a = bound(node, names, weight=None, bias=None, eps=1e-5 if op == "layer_norm" else None)
        shape = a["normalized_shape"]
        count, name = len(shape) if np.ndim(shape) else 1, b.layer(a["input"])
        rank = len(b.shape(name))
        epsilon = float(np.finfo(np.float32).eps) if a["eps"] is None else float(a["eps"])
        arrays = {key: b.constant(node, a.get(key), key) for key in ("weight", "bias")}
        b.names[node] = b.add(node, op, (name,), None, arrays, axes=tuple(range(rank - count, rank)), epsilon=epsilon)

    return handle


def group_norm(b: Builder, node: fx.Node) -> None:
    """Group and instance norms that use the statistics of the sample."""
    if node.op == "call_module":
        m = module_of(b, node)
        if getattr(m, "track_running_stats", False):
            raise b.refuse(node, "it normalises by running statistics", "Use BatchNorm, or track_running_stats=False")
        weight, bias, epsilon, groups = m.weight, m.bias, m.eps, getattr(m, "num_groups", None)
    else:
        instance = "instance" in str(getattr(node.target, "__name__", ""))
        names = "input running_mean running_var weight bias" if instance else "input num_groups weight bias eps"
        a = bound(node, names, weight=None, bias=None, eps=1e-5, running_mean=None)
        weight, bias, epsilon, groups = a["weight"], a["bias"], a["eps"], a.get("num_groups")
        if a["running_mean"] is not None:
            raise b.refuse(node, "it normalises by running statistics", "Use batch_norm")
    name = b.layer(operand(node))
    arrays = {"weight": b.constant(node, weight, "weight"), "bias": b.constant(node, bias, "bias")}
    count = b.shape(name)[0] if groups is None else int(groups)
    b.names[node] = b.add(node, "group_norm", (name,), None, arrays, groups=count, epsilon=float(epsilon))


def local_response(b: Builder, node: fx.Node) -> None:
    if node.op == "call_module":
        m = module_of(b, node)
        a = {key: getattr(m, key) for key in ("size", "alpha", "beta", "k")}
    else:
        a = bound(node, "input size alpha beta k", alpha=1e-4, beta=0.75, k=1.0)
    size = int(a["size"])
    if size % 2 == 0:
        raise b.refuse(node, f"its size is {size}", "Use an odd number of channels")
    b.names[node] = b.add(
        node,
        "local_response_norm",
        (b.layer(operand(node)),),
        size=size,
        alpha=float(a["alpha"]),
        beta=float(a["beta"]),
        bias=float(a["k"]),
    )


def normalise(b: Builder, node: fx.Node) -> None:
    """F.normalize: x / max(length, eps)."""
    a = bound(node, "input p dim eps", p=2.0, dim=1, eps=1e-12)
    if a["p"] not in (1, 2):
        raise b.refuse(node, f"its p is {a['p']}", "Use 1 or 2")
    name = b.layer(a["input"])
    axis = sample_free_axis(b, node, a["dim"], len(b.shape(name)))
    shape = tuple(1 if i == axis else n for i, n in enumerate(b.shape(name)))
    inner = apply(b, node, name, "abs" if a["p"] == 1 else "square")
    total = b.add(node, "reduce", (inner,), shape, kind="sum", axes=(axis,))
    root = total if a["p"] == 1 else apply(b, node, total, "sqrt")
    least = b.add(node, "constant", (), (1,) * len(shape), {"value": np.full((1,) * len(shape), a["eps"], np.float32)})
    safe = b.add(node, "maximum", (root, least), shape)
    b.names[node] = b.add(node, "multiply", (name, apply(b, node, safe, "reciprocal")))


def embedding(b: Builder, node: fx.Node) -> None:
    if node.op == "call_module":
        m = module_of(b, node)
        x, weight, limit = operand(node), m.weight, m.max_norm
    else:
        a = bound(node, "input weight padding_idx max_norm", max_norm=None)
        x, weight, limit = a["input"], a["weight"], a["max_norm"]
    if limit is not None:
        raise b.refuse(node, "it scales rows down as it looks them up", "Set max_norm=None")
    b.names[node] = b.add(node, "embedding", (b.layer(x),), None, {"weight": b.constant(node, weight, "weight")})


def whole_numbers(b: Builder, node: fx.Node) -> None:
    """Casts: to floats and wide integers nothing is lost of whole numbers; of others, what lies behind the point."""
    kind, name = node.meta["value"].dtype, b.layer(operand(node))
    before = operand(node).meta["value"].dtype
    if kind in (torch.float32, torch.float64) or (kind in (torch.int32, torch.int64) and not before.is_floating_point):
        same(b, node)
    elif kind in (torch.int32, torch.int64):
        b.names[node] = apply(b, node, name, "trunc")
    elif kind == torch.bool:
        zero = apply(b, node, name, "equal", 0.0)
        b.names[node] = scaled(b, node, zero, factor=-1.0, shift=1.0)
    else:
        raise b.refuse(node, f"it casts activations to {kind}", "Keep activations in float32")


def negation(b: Builder, node: fx.Node) -> None:
    b.names[node] = scaled(b, node, b.layer(operand(node)), factor=-1.0, shift=1.0)
