"""Handlers of what moves values without computing: reshape, permute, concatenate, pad and slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from converters.tracing.arguments import bound, module_of, operand, sample_free_axis
from converters.tracing.builder import Builder


def reshape(b: Builder, node: fx.Node) -> None:
    x, value = operand(node), node.meta["value"]
    if value.ndim < 2 or value.shape[0] != x.meta["value"].shape[0]:
        raise b.refuse(node, "it mixes samples", "Keep the first axis: x.flatten(1), say")
    b.names[node] = b.add(node, "reshape", (b.layer(x),))


def permute(b: Builder, node: fx.Node) -> None:
    x = operand(node)
    dims: int = x.meta["value"].ndim
    given: Any = node.args[1:] or (node.kwargs["dims"],)
    order = [int(d) % dims for d in (given[0] if np.ndim(given[0]) else given)]
    _add_permute(b, node, x, order)


def transpose(b: Builder, node: fx.Node) -> None:
    a = bound(node, "input dim0 dim1")
    order = list(range(a["input"].meta["value"].ndim))
    one, two = int(a["dim0"]) % len(order), int(a["dim1"]) % len(order)
    order[one], order[two] = order[two], order[one]
    _add_permute(b, node, a["input"], order)


def _add_permute(b: Builder, node: fx.Node, x: Any, order: list[int]) -> None:
    if order[0] != 0:
        raise b.refuse(node, "it moves the sample axis", "Keep samples on the first axis")
    b.names[node] = b.add(node, "permute", (b.layer(x),), axes=tuple(axis - 1 for axis in order[1:]))


def concatenate(b: Builder, node: fx.Node) -> None:
    a = bound(node, "tensors dim", dim=0)
    if any(not isinstance(t, fx.Node) or t.meta["constant"] for t in a["tensors"]):
        raise b.refuse(node, "it joins a constant", "Pad instead, or add the constant")
    axis = sample_free_axis(b, node, a["dim"], node.meta["value"].ndim - 1)
    b.names[node] = b.add(node, "concat", tuple(b.layer(t) for t in a["tensors"]), axis=axis)


def pad(b: Builder, node: fx.Node) -> None:
    if node.op == "call_module":
        m = module_of(b, node)
        a = {"input": operand(node), "pad": m.padding, "mode": "constant", "value": getattr(m, "value", 0.0)}
    else:
        a = bound(node, "input pad mode value", mode="constant", value=0.0)
    if a["mode"] != "constant":
        raise b.refuse(node, f"its mode is {a['mode']!r}", "Pad with a constant")
    dims = a["input"].meta["value"].ndim
    flat = [int(n) for n in a["pad"]] + [0] * (2 * dims - len(a["pad"]))
    sides = [(flat[2 * i], flat[2 * i + 1]) for i in range(dims)][::-1]
    if sides[0] != (0, 0):
        raise b.refuse(node, "it pads the sample axis", "Pad the other axes")
    b.names[node] = b.add(node, "pad", (b.layer(a["input"]),), padding=tuple(sides[1:]), value=float(a["value"] or 0.0))


def slice_of(b: Builder, node: fx.Node) -> None:
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
