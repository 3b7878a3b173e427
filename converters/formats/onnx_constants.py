"""ONNX operators on constants, folded with NumPy: the shapes and dequantised weights that exporters compute in the graph.

Sizes are checked before anything is made: a few bytes of a file must not ask for gigabytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConversionError

Array = NDArray[Any]
_MOST_VALUES = 2**28


def dequantised(x: Array, scale: Array, zero: Array | None, axis: int) -> NDArray[np.float32]:
    """(x - zero) * scale, along `axis` where there is one scale per channel."""
    _check_integers(x, scale, zero)
    column = _column(scale, x.ndim, axis)
    shift = 0 if zero is None else _column(zero, x.ndim, axis).astype(np.int64)
    return np.asarray((x.astype(np.int64) - shift) * column.astype(np.float32), np.float32)


def quantised(x: Array, scale: Array, zero: Array | None, axis: int, output_type: int = 0) -> Array:
    """clip(round(x / scale) + zero) to the type of `zero`, uint8 without one; rounds halves to even."""
    from onnx import helper

    if zero is None:
        zero = np.zeros((), helper.tensor_dtype_to_np_dtype(output_type) if output_type else np.uint8)
    _check_integers(zero, scale, None)
    limits = np.iinfo(zero.dtype)
    number = np.rint(x / _column(scale, x.ndim, axis)) + _column(zero, x.ndim, axis)
    return np.clip(number, limits.min, limits.max).astype(zero.dtype)


def _check_integers(x: Array, scale: Array, zero: Array | None) -> None:
    """Refuse what only looks like quantised integers: other number formats."""
    odd = next((v.dtype for v in (x, zero) if v is not None and v.dtype.kind not in "iu"), None)
    if odd is not None or scale.dtype.kind != "f":
        raise ConversionError("a constant", f"it is quantised as {odd or scale.dtype}", "Quantise weights to 8-bit integers")


def _column(values: Array, dims: int, axis: int) -> Array:
    return values.reshape(()) if values.size == 1 else values.reshape([-1 if i == axis % dims else 1 for i in range(dims)])


def _reshaped(a: dict[str, Any], x: Array, shape: Array) -> Array:
    copied = not a.get("allowzero", 0)
    return x.reshape([x.shape[i] if n == 0 and copied else int(n) for i, n in enumerate(shape)])


def _axes(a: dict[str, Any], rest: tuple[Array, ...]) -> tuple[int, ...]:
    return tuple(int(n) for n in (rest[0].ravel() if rest else a.get("axes", ())))


def _unsqueezed(a: dict[str, Any], x: Array, *rest: Array) -> Array:
    return np.asarray(np.expand_dims(x, _axes(a, rest)))


def _squeezed(a: dict[str, Any], x: Array, *rest: Array) -> Array:
    return np.squeeze(x, _axes(a, rest) or None)


def _gathered(a: dict[str, Any], x: Array, indices: Array) -> Array:
    axis = a.get("axis", 0)
    _check_size(x.size // max(x.shape[axis], 1) * indices.size)
    return np.asarray(np.take(x, indices, axis=axis))


def _joined(a: dict[str, Any], *parts: Array) -> Array:
    _check_size(sum(part.size for part in parts))
    return np.concatenate(parts, a["axis"])


def _filled(a: dict[str, Any], shape: Array) -> Array:
    from onnx import numpy_helper

    _check_size(math.prod(int(n) for n in shape))
    value = numpy_helper.to_array(a["value"]).ravel()[:1] if "value" in a else np.zeros(1, np.float32)
    return np.full([int(n) for n in shape], value[0], value.dtype)


def _sliced(a: dict[str, Any], x: Array, *rest: Array) -> Array:
    starts, ends = (rest[0], rest[1]) if rest else (np.array(a["starts"]), np.array(a["ends"]))
    axes = rest[2] if len(rest) > 2 else np.array(a.get("axes", range(len(starts))))
    steps = rest[3] if len(rest) > 3 else np.ones(len(starts), np.int64)
    cuts = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cuts[int(axis)] = slice(int(start), int(end), int(step))
    return x[tuple(cuts)]


def _cast(a: dict[str, Any], x: Array) -> Array:
    from onnx import helper

    return x.astype(helper.tensor_dtype_to_np_dtype(a["to"]))


def _computed(function: Callable[[Array, Array], Any]) -> Callable[..., Array]:
    def compute(a: dict[str, Any], x: Array, y: Array) -> Array:
        _check_size(math.prod(np.broadcast_shapes(x.shape, y.shape)))
        return np.asarray(function(x, y), np.result_type(x, y))

    return compute


def _quotient(x: Array, y: Array) -> Any:
    """Integers are divided towards zero, as ONNX does it."""
    if not y.all():
        raise ZeroDivisionError("a constant is divided by 0")
    return np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y)) if x.dtype.kind in "iu" else x / y


def _check_size(values: int) -> None:
    if values > _MOST_VALUES:
        raise ConversionError("a constant", f"the file asks for {values:,} values to be made", "Store constants as tensors")


def _expanded(a: dict[str, Any], x: Array, shape: Array) -> Array:
    target = np.broadcast_shapes(x.shape, tuple(int(n) for n in shape))
    _check_size(math.prod(target))
    return np.broadcast_to(x, target)


def _tiled(a: dict[str, Any], x: Array, times: Array) -> Array:
    _check_size(x.size * math.prod(max(int(n), 0) for n in times))
    return np.tile(x, [int(n) for n in times])


def _ranged(a: dict[str, Any], start: Array, limit: Array, delta: Array) -> Array:
    first, last, step = (v.reshape(()).item() for v in (start, limit, delta))
    count = max(math.ceil((last - first) / step), 0)
    _check_size(count)
    return np.asarray(first + np.arange(count) * step, start.dtype)


def _where(a: dict[str, Any], condition: Array, x: Array, y: Array) -> Array:
    _check_size(math.prod(np.broadcast_shapes(condition.shape, x.shape, y.shape)))
    return np.where(condition, x, y)


def _padded(a: dict[str, Any], x: Array, pads: Array, value: Array | None = None) -> Array:
    half, axes = len(pads) // 2, range(x.ndim)
    sides = [(int(pads[i]), int(pads[i + half])) for i in axes]
    if half != x.ndim or min(n for side in sides for n in side) < 0 or a.get("mode", b"constant") != b"constant":
        raise ValueError("a constant is padded in a form that is not folded")
    _check_size(math.prod(n + sum(side) for n, side in zip(x.shape, sides, strict=True)))
    return np.pad(x, sides, constant_values=0 if value is None else value.reshape(()).item())


def _one_hot(a: dict[str, Any], x: Array, depth: Array, values: Array) -> Array:
    n = int(depth.ravel()[0])
    _check_size(x.size * n)
    axis = a.get("axis", -1) % (x.ndim + 1)
    hot = np.moveaxis((x % n)[..., None] == np.arange(n), -1, axis)
    return np.where(hot, values[1], values[0])


def _triangle(a: dict[str, Any], x: Array, k: Array | None = None) -> Array:
    by = 0 if k is None else int(k.reshape(()))
    return np.triu(x, by) if a.get("upper", 1) else np.tril(x, by)


def _reduced(function: Callable[..., Any]) -> Callable[..., Array]:
    def compute(a: dict[str, Any], x: Array, axes: Array | None = None) -> Array:
        given = tuple(int(n) for n in (axes.ravel() if axes is not None else a.get("axes", ())))
        if not given and a.get("noop_with_empty_axes", 0):
            return x
        return np.asarray(function(x, axis=given or None, keepdims=bool(a.get("keepdims", 1)))).astype(x.dtype)

    return compute


def _scattered(a: dict[str, Any], x: Array, indices: Array, updates: Array) -> Array:
    if a.get("reduction", b"none") != b"none":
        raise ValueError("it adds up what it scatters")
    out, axis = x.copy(), a.get("axis", 0)
    np.put_along_axis(out, indices % x.shape[axis], updates, axis)
    return out


def _split(a: dict[str, Any], x: Array, sizes: Array | None = None) -> tuple[Array, ...]:
    given = [int(n) for n in (sizes if sizes is not None else a["split"])]
    return tuple(np.split(x, np.cumsum(given)[:-1], a.get("axis", 0)))


def _each(function: Callable[[Array], Any]) -> Callable[..., Array]:
    return lambda a, x: np.asarray(function(x), x.dtype)


def _asked(function: Callable[[Array, Array], Any]) -> Callable[..., Array]:
    def compute(a: dict[str, Any], x: Array, y: Array) -> Array:
        _check_size(math.prod(np.broadcast_shapes(x.shape, y.shape)))
        return np.asarray(function(x, y))

    return compute


def _many(function: Callable[[Array, Array], Any]) -> Callable[..., Array]:
    def compute(a: dict[str, Any], *parts: Array) -> Array:
        result = parts[0]
        for part in parts[1:]:
            result = _computed(function)(a, result, part)
        return result

    return compute


def _matmul(a: dict[str, Any], x: Array, y: Array) -> Array:
    _check_size(x.size * y.shape[-1])
    return np.asarray(np.matmul(x, y))


def _quant(a: dict[str, Any], x: Array, scale: Array, zero: Array, bits: Array) -> Array:
    """Quant of a constant, as QONNX defines it."""
    n, signed, narrow = float(bits.ravel()[0]), bool(a.get("signed", 1)), bool(a.get("narrow", 0))
    highest = 2 ** (n - 1) - 1 if signed else 2**n - 1 - narrow
    lowest = -(2 ** (n - 1)) + narrow if signed else 0
    rule = {b"ROUND": np.rint, b"ROUND_TO_ZERO": np.trunc, b"FLOOR": np.floor, b"CEIL": np.ceil}
    return np.asarray((rule[a.get("rounding_mode", b"ROUND").upper()](np.clip(x / scale + zero, lowest, highest)) - zero) * scale)


FOLDED: dict[str, Callable[..., Any]] = {  # to an array, or one for each output
    "Add": _computed(np.add),
    "Cast": _cast,
    "Concat": _joined,
    "ConstantOfShape": _filled,
    "DequantizeLinear": lambda a, x, scale, zero=None: dequantised(x, scale, zero, a.get("axis", 1)),
    "Div": _computed(_quotient),
    "Gather": _gathered,
    "Identity": lambda a, x: x,
    "Mul": _computed(np.multiply),
    "QuantizeLinear": lambda a, x, scale, zero=None: quantised(x, scale, zero, a.get("axis", 1), a.get("output_dtype", 0)),
    "Reshape": _reshaped,
    "Shape": lambda a, x: np.array(x.shape, np.int64)[a.get("start", 0) : a.get("end")],
    "Slice": _sliced,
    "Squeeze": _squeezed,
    "Sub": _computed(np.subtract),
    "Transpose": lambda a, x: x.transpose(a.get("perm")),
    "Unsqueeze": _unsqueezed,
    **{name: _each(getattr(np, name.lower())) for name in ("Abs", "Ceil", "Cos", "Exp", "Floor", "Log", "Sin", "Sqrt", "Tanh")},
    "Neg": _each(np.negative),
    "Not": _each(np.logical_not),
    "Reciprocal": _each(lambda x: 1 / x),
    "Round": _each(np.rint),
    "Sigmoid": _each(lambda x: 1 / (1 + np.exp(-x))),
    "Sign": _each(np.sign),
    "And": _asked(np.logical_and),
    "Equal": _asked(np.equal),
    "Expand": _expanded,
    "GatherElements": lambda a, x, i: np.take_along_axis(x, i % x.shape[a.get("axis", 0)], a.get("axis", 0)),
    "Greater": _asked(np.greater),
    "GreaterOrEqual": _asked(np.greater_equal),
    "Less": _asked(np.less),
    "LessOrEqual": _asked(np.less_equal),
    "MatMul": _matmul,
    "Max": _many(np.maximum),
    "Min": _many(np.minimum),
    "Mod": _computed(lambda x, y: np.mod(x, y)),
    "OneHot": _one_hot,
    "Or": _asked(np.logical_or),
    "Pad": _padded,
    "Pow": lambda a, x, y: np.asarray(_computed(np.power)({}, x, y), x.dtype),
    "Quant": _quant,
    "BipolarQuant": lambda a, x, scale: np.where(x >= 0, scale, -scale),
    "Range": _ranged,
    "ReduceMax": _reduced(np.max),
    "ReduceMean": _reduced(np.mean),
    "ReduceMin": _reduced(np.min),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "ScatterElements": _scattered,
    "Size": lambda a, x: np.array(x.size, np.int64),
    "Split": _split,
    "Sum": _many(np.add),
    "Tile": _tiled,
    "Trilu": _triangle,
    "Where": _where,
    "Xor": _asked(np.logical_xor),
}
