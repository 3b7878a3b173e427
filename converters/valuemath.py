"""The float arithmetic, in torch, of the ops that compute with values (`neuro.valueops`). Knows single layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from neuro.functions import FUNCTIONS, compute
from neuro.graph import Layer

Tensor = torch.Tensor
Arrays = Mapping[str, Tensor]

_ALIKE = (  # functions that torch calls by the same name
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp", "expm1", "floor", "log"),
    *("log1p", "reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc"),
)
_TORCH: dict[str, Callable[..., Tensor]] = {
    **{name: getattr(torch, name) for name in _ALIKE},
    "celu": F.celu,
    "elu": F.elu,
    "equal": lambda x, c: (x == c).to(x.dtype),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "greater": lambda x, c: (x > c).to(x.dtype),
    "greater_or_equal": lambda x, c: (x >= c).to(x.dtype),
    "hardswish": F.hardswish,
    "leaky_relu": F.leaky_relu,
    "log_sigmoid": F.logsigmoid,
    "mish": F.mish,
    "power": torch.pow,
    "silu": lambda x, beta: x * torch.sigmoid(beta * x),
    "softplus": F.softplus,
    "softsign": F.softsign,
    "thresholded_relu": lambda x, a: torch.where(x > a, x, 0.0),
}


def function(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    """A scalar function, in the precision of x; in float64 where torch has none of that name."""
    name, given = layer.options["name"], layer.options["values"]
    known = FUNCTIONS[name].parameters
    values = (*given, *(default for _, default in known[len(given) :]))
    if name in _TORCH:
        return _TORCH[name](x, *values)
    return torch.from_numpy(compute(name, x.double().numpy(), values)).to(x.dtype)


def _multiply(layer: Layer, arrays: Arrays, *values: Tensor) -> Tensor:
    return _folded(torch.mul, values)


def _folded(of: Callable[[Tensor, Tensor], Tensor], values: tuple[Tensor, ...]) -> Tensor:
    result = values[0]
    for value in values[1:]:
        result = of(result, value)
    return result


def _axes(layer: Layer) -> list[int]:
    return [1 + axis for axis in layer.options["axes"]]


def _affine(arrays: Arrays, x: Tensor) -> Tensor:
    x = x * arrays["weight"] if "weight" in arrays else x
    return x + arrays["bias"] if "bias" in arrays else x


def _layer_norm(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    axes = _axes(layer)
    centred = x - x.mean(axes, keepdim=True)
    spread = centred.square().mean(axes, keepdim=True) + layer.options["epsilon"]
    return _affine(arrays, centred / spread.sqrt())


def _rms_norm(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    spread = x.square().mean(_axes(layer), keepdim=True) + layer.options["epsilon"]
    return _affine(arrays, x / spread.sqrt())


def _group_norm(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    grouped = x.reshape(len(x), layer.options["groups"], -1)
    centred = grouped - grouped.mean(-1, keepdim=True)
    spread = centred.square().mean(-1, keepdim=True) + layer.options["epsilon"]
    column = {name: value.reshape(-1, *[1] * (x.ndim - 2)) for name, value in arrays.items()}
    return _affine(column, (centred / spread.sqrt()).reshape(x.shape))


def _local_response_norm(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    """x / (bias + alpha / size * sum of squares of the channels around) ** beta, size // 2 behind and the rest before."""
    o, size = layer.options, layer.options["size"]
    flat = x.square().reshape(len(x), x.shape[1], -1)
    around = F.pad(flat.transpose(1, 2), ((size - 1) // 2, size // 2))
    total = around.unfold(2, size, 1).sum(-1).transpose(1, 2).reshape(x.shape)
    divisor: Tensor = (o["bias"] + o["alpha"] / size * total) ** o["beta"]
    return x / divisor


def _conv_transpose(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    function: Any = (F.conv_transpose1d, F.conv_transpose2d)[x.ndim - 3]
    o = layer.options
    whole: Tensor = function(x, arrays["weight"], None, o["stride"], 0, 0, o["groups"], o["dilation"])
    whole = F.pad(whole, [-n for side in reversed(o["padding"]) for n in side])
    return whole + arrays["bias"].reshape(-1, *[1] * (x.ndim - 2)) if "bias" in arrays else whole


def _reduce(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    return (x.sum if layer.options["kind"] == "sum" else x.mean)(_axes(layer), keepdim=True)


def _gather(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    return x.index_select(1 + layer.options["axis"], torch.tensor(layer.options["indices"]))


def _resample(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    axis, read = 1 + layer.options["axis"], torch.tensor(layer.options["places"])
    weight = arrays["weight"].reshape(*read.shape, *[1] * (x.ndim - 1 - axis))
    total = torch.zeros((), dtype=x.dtype)
    for tap in range(read.shape[1]):
        total = total + x.index_select(axis, read[:, tap]) * weight[:, tap]
    return total


def _mask(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    return torch.where(arrays["keep"] != 0, x, torch.tensor(layer.options["value"], dtype=x.dtype))


def _embedding(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    """Rows of the table; numbers beyond it count as the nearest, negative ones from its end, as ONNX has it."""
    entries = len(arrays["weight"])
    rows = torch.where(x < 0, x + entries, x).round().clamp(0, entries - 1).nan_to_num(0).long()
    return arrays["weight"][rows]


_ROUND: dict[str, Callable[[Tensor], Tensor]] = {
    "nearest": torch.round,
    "down": torch.floor,
    "up": torch.ceil,
    "to zero": torch.trunc,
}


def _quantise(layer: Layer, arrays: Arrays, x: Tensor) -> Tensor:
    """(clip(round(x / scale + zero), lowest, highest) - zero) * scale; halves are rounded to even."""
    o, scale, zero = layer.options, arrays["scale"], arrays["zero"]
    number = (x / scale + zero).clamp(o["lowest"], o["highest"])
    return (_ROUND[o["rounding"]](number) - zero) * scale


VALUES: dict[str, Callable[..., Tensor]] = {
    "function": function,
    "prelu": lambda layer, arrays, x: torch.where(x >= 0, x, x * arrays["slope"]),
    "multiply": _multiply,
    "maximum": lambda layer, arrays, *values: _folded(torch.maximum, values),
    "minimum": lambda layer, arrays, *values: _folded(torch.minimum, values),
    "where": lambda layer, arrays, condition, yes, no: torch.where(condition != 0, yes, no),
    "matmul": lambda layer, arrays, x, y: torch.matmul(x, y),
    "softmax": lambda layer, arrays, x: x.softmax(1 + layer.options["axis"]),
    "log_softmax": lambda layer, arrays, x: x.log_softmax(1 + layer.options["axis"]),
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "local_response_norm": _local_response_norm,
    "conv_transpose": _conv_transpose,
    "reduce": _reduce,
    "gather": _gather,
    "resample": _resample,
    "mask": _mask,
    "embedding": _embedding,
    "argmax": lambda layer, arrays, x: x.argmax(1 + layer.options["axis"], keepdim=True).to(x.dtype),
    "quantise": _quantise,
}
