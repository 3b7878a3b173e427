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


FOLDED: dict[str, Callable[..., Array]] = {
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
}
