"""NIR's linear nodes as layers of a float graph. Knows one node and the shape of one sample; knows no neurons."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from neuro.errors import ConversionError
from neuro.graph import Layer
from neuro.windows import window_output

Shape = tuple[int, ...]
NEURONS = ("I", "IF", "LI", "LIF", "CubaLIF", "CubaLI")
MOST_VALUES = 2**24  # of one sample


def linear_layer(name: str, node: Any, shape: Shape, dt: float) -> tuple[Layer, int]:
    """A linear node as a layer on one sample's shape, and the steps by which it delays."""
    kind, where = type(node).__name__, f"node {name!r} ({type(node).__name__})"
    if node is None or kind == "Output":
        return Layer(name, "identity", ("x",), shape), 0
    if kind == "Delay":
        steps = np.unique(np.asarray(node.delay, np.float64) / dt)
        if steps.size != 1 or abs(steps[0] - round(steps[0])) > 1e-6 or steps[0] < 0:
            raise ConversionError(where, f"it delays by {steps[:3]} steps", "Delay all neurons by the same whole steps")
        return Layer(name, "identity", ("x",), shape), int(round(steps[0]))
    if kind not in LINEAR:
        raise ConversionError(where, "it has no form here", f"Use {', '.join((*LINEAR, 'Delay', *NEURONS))}")
    op, arrays, options, out = LINEAR[kind](node, shape)
    if min(out, default=1) < 1 or math.prod(out) > MOST_VALUES:
        raise ConversionError(where, f"it yields the shape {out}", f"Use sizes of 1 or more, at most {MOST_VALUES:,} values")
    wanted = {"conv": (shape[0], options.get("groups", 1)), "linear": (shape[-1], 1)}.get(op)
    if wanted is not None and arrays["weight"].shape[1] * wanted[1] != wanted[0]:
        fact = f"weights {arrays['weight'].shape} do not fit inputs {shape}"
        raise ConversionError(
            where, fact, f"Give the weights {wanted[0]} inputs in {wanted[1]} groups, or change what leads to it"
        )
    return Layer(name, op, ("x",), out, arrays, options, where), 0


def _weights(node: Any, shape: Shape) -> Any:
    weight = np.asarray(node.weight)
    if weight.ndim != 2:
        raise ValueError(f"weights of shape {weight.shape}, not (out, in)")
    arrays = {"weight": weight}
    if type(node).__name__ == "Affine":
        arrays["bias"] = np.broadcast_to(np.asarray(node.bias), weight.shape[:1])
    return "linear", arrays, {}, (*shape[:-1], weight.shape[0])


def _convolution(node: Any, shape: Shape) -> Any:
    weight = np.asarray(node.weight)
    dims = weight.ndim - 2
    if dims != int(type(node).__name__[4]) or len(shape) != dims + 1:
        raise ValueError(f"weights of shape {weight.shape} on inputs of shape {shape}")
    if node.groups < 1 or len(weight) % node.groups:
        raise ValueError(f"{len(weight)} outputs in {node.groups} groups")
    stride, dilation = (_per_axis(v, dims) for v in (node.stride, node.dilation))
    if isinstance(node.padding, str):
        total = [d * (k - 1) if node.padding == "same" else 0 for d, k in zip(dilation, weight.shape[2:], strict=True)]
        sides = tuple((n // 2, n - n // 2) for n in total)
    else:
        sides = tuple((p, p) for p in _per_axis(node.padding, dims))
    options = {"stride": stride, "padding": sides, "dilation": dilation, "groups": int(node.groups)}
    out = (weight.shape[0], *window_output(shape[1:], weight.shape[2:], stride, sides, dilation))
    return "conv", {"weight": weight, "bias": np.broadcast_to(np.asarray(node.bias), weight.shape[:1])}, options, out


def _pool(node: Any, shape: Shape) -> Any:
    if len(shape) != 3:
        raise ValueError(f"a pool over two axes on inputs of shape {shape}")
    kernel, stride, padding = (_per_axis(v, 2) for v in (node.kernel_size, node.stride, node.padding))
    sides = tuple((p, p) for p in padding)
    divisor = math.prod(kernel) if type(node).__name__ == "AvgPool2d" else 1
    out = (shape[0], *window_output(shape[1:], kernel, stride, sides, (1, 1)))
    return "avg_pool", {}, {"kernel": kernel, "stride": stride, "padding": sides, "divisor": divisor}, out


def _flat(node: Any, shape: Shape) -> Any:
    if any(not -len(shape) <= n <= len(shape) for n in (node.start_dim, node.end_dim)):
        raise ValueError(f"axes {node.start_dim} to {node.end_dim} of inputs of shape {shape}")
    first, last = (int(n) % len(shape) for n in (node.start_dim, node.end_dim))
    if last < first:
        return "identity", {}, {}, shape
    return "reshape", {}, {}, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def _scaled(node: Any, shape: Shape) -> Any:
    return "scale", {"factor": np.broadcast_to(np.asarray(node.scale), shape)}, {}, shape


def _per_axis(value: Any, dims: int) -> tuple[int, ...]:
    flat = [int(n) for n in np.ravel(value)]
    if not np.array_equal(flat, np.ravel(value)):
        raise ValueError(f"{value} is no whole number")
    if len(flat) not in (1, dims):
        raise ValueError(f"{value} for {dims} axes")
    return tuple(flat * dims if len(flat) == 1 else flat)


LINEAR: dict[str, Callable[[Any, Shape], Any]] = {
    "Affine": _weights,
    "AvgPool2d": _pool,
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "Flatten": _flat,
    "Linear": _weights,
    "Scale": _scaled,
    "SumPool2d": _pool,
}
