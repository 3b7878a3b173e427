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
    if kind not in _LINEAR:
        raise ConversionError(where, "it has no form here", f"Use {', '.join((*_LINEAR, 'Delay', *NEURONS))}")
    op, arrays, options, out = _LINEAR[kind](node, shape)
    if min(out, default=1) < 1 or math.prod(out) > MOST_VALUES:
        raise ConversionError(where, f"it yields the shape {out}", "Mend the file")
    if op == "conv" and arrays["weight"].shape[1] * options["groups"] != shape[0]:
        raise ConversionError(where, f"weights {arrays['weight'].shape} do not fit inputs {shape}", "Mend the file")
    if op == "linear" and arrays["weight"].shape[1] != shape[-1]:
        raise ConversionError(where, f"weights {arrays['weight'].shape} do not fit inputs {shape}", "Mend the file")
    return Layer(name, op, ("x",), out, arrays, options, where), 0


def _weights(node: Any, shape: Shape) -> Any:
    weight = np.asarray(node.weight)
    arrays = {"weight": weight} | ({"bias": np.asarray(node.bias)} if type(node).__name__ == "Affine" else {})
    return "linear", arrays, {}, (*shape[:-1], weight.shape[0])


def _convolution(node: Any, shape: Shape) -> Any:
    weight = np.asarray(node.weight)
    dims = weight.ndim - 2
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
    kernel, stride, padding = (_per_axis(v, 2) for v in (node.kernel_size, node.stride, node.padding))
    sides = tuple((p, p) for p in padding)
    divisor = math.prod(kernel) if type(node).__name__ == "AvgPool2d" else 1
    out = (shape[0], *window_output(shape[1:], kernel, stride, sides, (1, 1)))
    return "avg_pool", {}, {"kernel": kernel, "stride": stride, "padding": sides, "divisor": divisor}, out


def _flat(node: Any, shape: Shape) -> Any:
    first, last = (int(n) % len(shape) for n in (node.start_dim, node.end_dim))
    if last < first:
        return "identity", {}, {}, shape
    return "reshape", {}, {}, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def _scaled(node: Any, shape: Shape) -> Any:
    return "scale", {"factor": np.broadcast_to(np.asarray(node.scale), shape)}, {}, shape


def _per_axis(value: Any, dims: int) -> tuple[int, ...]:
    flat = [int(n) for n in np.ravel(value)]
    if len(flat) not in (1, dims):
        raise ValueError(f"{value} for {dims} axes")
    return tuple(flat * dims if len(flat) == 1 else flat)


_LINEAR: dict[str, Callable[[Any, Shape], Any]] = {
    "Affine": _weights,
    "AvgPool2d": _pool,
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "Flatten": _flat,
    "Linear": _weights,
    "Scale": _scaled,
    "SumPool2d": _pool,
}
