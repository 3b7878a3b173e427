"""ONNX operators that take sums, means and largest values over axes of a sample."""

from __future__ import annotations

import math
from typing import Any

from converters.formats.onnx_broadcasting import scaled
from converters.formats.onnx_building import Builder
from converters.formats.onnx_shapes import axis_of, listed, permuted, reshaped
from converters.formats.onnx_windows import Handler, pool_all
from neuro.graph import Layer


def reduce(kind: str) -> Handler:
    """Sums, means and largest values over axes of a sample."""

    def handle(b: Builder, node: Any, a: dict[str, Any]) -> str:
        x, given = b.layer(node), listed(b, node, 1, "axes", a) or []
        if not given and a.get("noop_with_empty_axes", 0):
            return x.name
        if not given and not b.lead:
            given = list(range(len(x.shape)))
        if not given and b.lead:
            raise b.refuse(node, f"it takes the {kind} over the samples too", "Name the axes of a sample")
        axes = sorted({axis_of(b, node, axis, len(x.shape)) for axis in given})
        kept = [axis for axis in range(len(x.shape)) if axis not in axes]
        kept_shape = tuple(x.shape[axis] for axis in kept)
        shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape)) if a.get("keepdims", 1) else kept_shape
        if axes == list(range(1, len(x.shape))) and len(x.shape) in (2, 3):
            return reshaped(b, node, _pooled(b, node, x, kind), shape).name
        count, order = math.prod(x.shape[axis] for axis in axes), (*kept, *axes)
        if kind in ("sum", "mean"):
            ones = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
            name = b.add(node, "reduce", (x.name,), ones, kind=kind, axes=tuple(axes))
        else:
            moved = x if order == tuple(range(len(order))) else permuted(b, node, x, order)
            name = _pooled(b, node, reshaped(b, node, moved, (math.prod(kept_shape), count)), kind).name
        return reshaped(b, node, b.layers[name], shape).name

    pool = "max_pool" if kind in ("largest", "smallest") else "avg_pool"
    other = f"else of one line; {'negated' if kind == 'smallest' else 'the same'}" if pool == "max_pool" else "else reduce"
    handle.__doc__ = f"{pool} over the whole image, {other}; not over samples".replace("; the same", "")
    return handle


def _pooled(b: Builder, node: Any, x: Layer, kind: str) -> Layer:
    """One window over all that lies behind the first axis."""
    if kind == "smallest":
        x = b.layers[scaled(b, node, x, factor=-1.0)]
    op = "avg_pool" if kind in ("sum", "mean") else "max_pool"
    pooled = b.layers[pool_all(b, node, op, x, 1 if kind == "sum" else None)]
    return b.layers[scaled(b, node, pooled, factor=-1.0)] if kind == "smallest" else pooled
