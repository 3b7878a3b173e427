"""What each op of a Graph computes, in torch: single layers, on batches. Knows neither graphs nor their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from converters.valuemath import VALUES
from neuro.graph import Layer
from neuro.ops import OPS

Tensor = torch.Tensor
Arrays = Mapping[str, Tensor]


def apply(layer: Layer, values: list[Tensor], arrays: Arrays | None = None) -> Tensor:
    """The layer's output for its inputs' values (samples, *shape), with its own arrays or with those given."""
    return _APPLY.get(layer.op, _listed)(layer, arrays_of(layer) if arrays is None else arrays, *values)


def arrays_of(layer: Layer) -> dict[str, Tensor]:
    """The layer's arrays as tensors."""
    return {name: torch.tensor(values) for name, values in layer.arrays.items()}


def _spatial(layer: Layer, x: Tensor, value: float = 0.0) -> Tensor:
    """The image with the layer's padding around it."""
    flat = [n for side in reversed(layer.options["padding"]) for n in side]
    return F.pad(x, flat, value=value) if any(flat) else x


def _conv(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    function: Any = (F.conv1d, F.conv2d)[x.ndim - 3]
    o = layer.options
    weight, bias = arrays["weight"], arrays.get("bias")
    symmetric = all(before == after for before, after in o["padding"])
    if symmetric:
        result: Tensor = function(x, weight, bias, o["stride"], [a for a, _ in o["padding"]], o["dilation"], o["groups"])
    else:
        result = function(_spatial(layer, x), weight, bias, o["stride"], 0, o["dilation"], o["groups"])
    return result


def _batch_norm(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    mean, variance, weight, bias = (arrays.get(name) for name in ("mean", "variance", "weight", "bias"))
    return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, layer.options["epsilon"])


def _avg_pool(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    o = layer.options
    total: Tensor = _window_sum(_spatial(layer, x), o)
    return total / (o["divisor"] or _window_sum(_spatial(layer, torch.ones_like(x[:1, :1])), o))


def _window_sum(x: Tensor, options: Mapping[str, Any]) -> Tensor:
    function: Any = (F.avg_pool1d, F.avg_pool2d)[x.ndim - 3]
    mean: Tensor = function(x, options["kernel"], options["stride"])
    return mean * int(np.prod(options["kernel"]))


def _max_pool(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    function: Any = (F.max_pool1d, F.max_pool2d)[x.ndim - 3]
    o = layer.options
    result: Tensor = function(_spatial(layer, x, -float("inf")), o["kernel"], o["stride"], 0, o["dilation"])
    return result


def _add(layer: Layer, arrays: Arrays, *values: Tensor) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _scale(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    x = x * arrays["factor"] if "factor" in arrays else x
    return x + arrays["shift"] if "shift" in arrays else x


def _listed(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    """By the entries that define the layer's op."""
    listed = OPS[layer.op].listed
    assert listed is not None, f"no rule evaluates {layer.op}"
    pre, post, weight = (torch.as_tensor(part) for part in listed(layer, tuple(x.shape[1:])))
    total = x.new_zeros((len(x), prod(layer.shape))).index_add(1, post, x.reshape(len(x), -1)[:, pre] * weight.to(x.dtype))
    return total.reshape(len(x), *layer.shape)


_APPLY: dict[str, Callable[..., Tensor]] = {
    "conv": _conv,
    "linear": lambda layer, arrays, x: F.linear(x, arrays["weight"], arrays.get("bias")),
    "batch_norm": _batch_norm,
    "relu": lambda layer, arrays, x: torch.clamp(x, 0.0, layer.options["ceiling"]),
    "avg_pool": _avg_pool,
    "max_pool": _max_pool,
    "add": _add,
    "concat": lambda layer, arrays, *values: torch.cat(values, 1 + layer.options["axis"]),
    "reshape": lambda layer, arrays, x: x.reshape(len(x), *layer.shape),
    "permute": lambda layer, arrays, x: x.permute(0, *(1 + axis for axis in layer.options["axes"])),
    "pad": lambda layer, arrays, x: _spatial(layer, x, layer.options["value"]),
    "scale": _scale,
    "identity": lambda layer, arrays, x: x,
    **VALUES,
}
