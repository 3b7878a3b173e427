"""ONNX operators between real numbers and integers. A quantiser clips to its range: that is kept where values can lie beyond.

A layer always holds real numbers; a tensor of integers is a layer together with the code (scale, zero point) of its integers.
Rounding is left out: the values are within half a step of those that the file computes in integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.formats.onnx_broadcasting import function, scaled
from converters.formats.onnx_building import INTEGERS, WIDE, Array, Builder, Code
from converters.formats.onnx_clipping import clipped
from converters.formats.onnx_shapes import axis_of
from converters.formats.onnx_windows import add_conv
from neuro.graph import Layer

FLOATS = (1, 10, 11, 16)  # float, float16, double, bfloat16
_BOOL, _LARGE = 9, (6, 7, 12, 13)  # truth values; integers of 32 and 64 bits
_WHOLE = {2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16}


def quantize(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """clip to the range of the integers, as a rectifier; left out where no value can lie beyond it. Rounding is left out"""
    zero = b.constant(node, 2, "zero point")
    if zero is None:
        dtype = _WHOLE.get(a.get("output_dtype", 0) or 2)
        if dtype is None:
            raise b.refuse(node, f"it quantises to type {a['output_dtype']}", "Quantise to 8-bit integers")
        zero = np.zeros((), dtype)
    elif a.get("output_dtype", 0) and _WHOLE.get(a["output_dtype"]) != zero.dtype:
        raise b.refuse(node, f"its zero point is {zero.dtype}, its type {a['output_dtype']}", "Export the model again")
    return _to_integers(b, node, b.layer(node), b.needed(node, 1, "scale"), zero, a.get("axis", 1))


def _to_integers(b: Builder, node: Any, x: Layer, scale: Array, zero: Array, axis: int) -> str:
    """x clipped to what the integers can say, with its code bound to the node's output."""
    code = _code(b, node, x, scale, zero, axis)
    if zero.dtype.kind not in "iu" or zero.dtype.itemsize > 2:
        raise b.refuse(node, f"it quantises to {zero.dtype}", "Quantise to 8-bit integers")
    limits = np.iinfo(zero.dtype)
    if code.single:
        lowest, highest = (
            float(np.float32(code.scale.ravel()[0] * (n - code.zero.ravel()[0]))) for n in (limits.min, limits.max)
        )
        name, how = clipped(b, node, x, lowest, highest)
    else:  # in units of each channel's own scale
        inner = b.layers[scaled(b, node, x, 1 / code.scale, code.zero - limits.min)]
        name, how = clipped(b, node, inner, 0.0, float(int(limits.max) - int(limits.min)))
        name = scaled(b, node, b.layers[name], code.scale, (limits.min - code.zero) * code.scale)
    b.kept[how] += 1
    b.codes[node.output[0]] = code
    return name


def _code(b: Builder, node: Any, x: Layer, scale: Array, zero: Array | None, axis: int) -> Code:
    """Scale and zero point as they broadcast to a sample."""
    zero = np.zeros((), np.uint8) if zero is None else zero
    if zero.dtype.kind not in "iu":
        raise b.refuse(node, f"its zero point is {zero.dtype}", "Quantise to 8-bit integers")
    if scale.dtype.kind == "V" or not (np.isfinite(scale) & (scale > 0)).all():
        raise b.refuse(node, "its scale is not a number above 0", "Export the model again")
    columns = [np.asarray(v, np.float64) for v in (scale, zero)]
    for i, values in enumerate(columns):
        if values.size == 1:
            columns[i] = values.reshape(())
            continue
        place = axis_of(b, node, axis, len(x.shape))
        if values.shape != (x.shape[place],):
            raise b.refuse(node, f"{values.shape} scales or zero points for {x.shape[place]} channels", "Export the model again")
        columns[i] = values.reshape([-1 if i == place else 1 for i in range(len(x.shape))])
    return Code(*columns)


def dequantize(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """left out behind a quantiser with the same scale and zero point; else scale: (x - zero point) scale of an integer input"""
    x, code = b.layer(node), b.code(node)
    if a.get("output_dtype", 0) not in (0, *FLOATS):
        raise b.refuse(node, f"it dequantises to type {a['output_dtype']}", "Dequantise to floats")
    if code is None:
        raise b.refuse(node, "it dequantises real numbers", "Export the model again")
    read = _code(b, node, x, b.needed(node, 1, "scale"), b.constant(node, 2, "zero point"), a.get("axis", 1))
    return _read_as(b, node, x, code, read)


def _read_as(b: Builder, node: Any, x: Layer, code: Code, read: Code) -> str:
    """The values that integers of one code stand for in another one."""
    if code.same(read):
        return x.name
    factor, shift = read.scale / code.scale, (code.zero - read.zero) * read.scale
    return scaled(b, node, x, factor, shift)


def cast(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """left out between float types, from integers to floats, and to wider integers; else function, to 32 or 64 bits or truth"""
    x, code, to = b.layer(node), b.code(node), a["to"]
    if to in FLOATS:
        return x.name if code is None else _read_as(b, node, x, code, INTEGERS)
    if code is not None and not code.same(INTEGERS):
        raise b.refuse(node, "it casts integers that stand for other values", "Dequantise them first")
    if to == _BOOL:
        b.codes[node.output[0]] = WIDE
        if b.bounds[x.name] == (0.0, 1.0) and code is not None:
            return x.name
        zero = function(b, node, x, "equal", 0.0)
        return scaled(b, node, b.layers[zero], factor=-1.0, shift=1.0)
    if to not in _LARGE:
        raise b.refuse(node, f"it casts activations to type {to}", "Keep activations in float")
    b.codes[node.output[0]] = WIDE
    return x.name if code is not None else function(b, node, x, "trunc")


def qlinear_conv(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """conv with the dequantised weights, clipped to the range of its output's integers"""
    x = _operand(b, node)
    weight, bias = _weight(b, node, 3, 0), b.constant(node, 8, "bias")
    if bias is not None:
        bias = bias.astype(np.float64) * float(b.needed(node, 1, "scale").reshape(())) * b.needed(node, 4, "scale").ravel()
    return _integers_again(b, node, b.layers[add_conv(b, node, a, x, weight, bias)], 6)


def qlinear_matmul(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """linear with the dequantised weights, clipped to the range of its output's integers; the matrix must be a constant"""
    x, weight = _operand(b, node), _weight(b, node, 3, 1)
    if weight.ndim != 2 or not x.shape or x.shape[-1] != len(weight):
        raise b.refuse(node, f"a matrix {weight.shape} gets samples of shape {x.shape}", "Multiply by a matrix, on the right")
    name = b.add(node, "linear", (x.name,), (*x.shape[:-1], weight.shape[1]), {"weight": weight.T})
    return _integers_again(b, node, b.layers[name], 6)


def _operand(b: Builder, node: Any) -> Layer:
    """The first operand, whose integers are read with the scale and zero point that the node gives."""
    x, code, scale, zero = b.layer(node), b.code(node), b.needed(node, 1, "scale"), b.needed(node, 2, "zero point")
    if code is None or scale.size != 1 or zero.size != 1:
        raise b.refuse(node, "its first operand is not integers with one scale", "Quantise activations per tensor")
    return b.layers[_read_as(b, node, x, code, _code(b, node, x, scale, zero, 1))]


def _weight(b: Builder, node: Any, index: int, axis: int) -> Array:
    """The constant operand dequantised, with one scale or one for each output along `axis`."""
    held, scale, zero = (b.needed(node, index + i, "weight") for i in range(3))
    if held.dtype.kind not in "iu" or any(v.size not in (1, held.shape[axis]) or v.ndim > 1 for v in (scale, zero)):
        raise b.refuse(
            node, f"weights {held.shape} have scales {scale.shape} and zero points {zero.shape}", "Export the model again"
        )
    column = [-1 if i == axis else 1 for i in range(held.ndim)]
    return (held.astype(np.float64) - zero.astype(np.float64).reshape(column)) * scale.astype(np.float64).reshape(column)


def _integers_again(b: Builder, node: Any, x: Layer, index: int) -> str:
    scale, zero = b.needed(node, index, "output scale"), b.needed(node, index + 1, "output zero point")
    if scale.size != 1 or zero.size != 1:
        raise b.refuse(node, "it quantises its outputs per channel", "Quantise activations per tensor")
    return _to_integers(b, node, x, scale, zero, 1)


_ROUNDINGS = {"ROUND": "nearest", "ROUND_TO_ZERO": "to zero", "FLOOR": "down", "CEIL": "up"}


def quant(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """quantise, with its rounding; weights become what they are rounded to"""
    rounding = _ROUNDINGS.get(a.get("rounding_mode", b"ROUND").decode().upper())
    bits = b.needed(node, 3, "bit width")
    if rounding is None or bits.size != 1 or not 1 <= float(bits.ravel()[0]) <= 32:
        raise b.refuse(node, f"its rounding is {a.get('rounding_mode')!r}, its bit width {bits.ravel()[:3]}", "Use 1 to 32 bits")
    signed, narrow, n = bool(a.get("signed", 1)), bool(a.get("narrow", 0)), float(bits.ravel()[0])
    highest = 2 ** (n - 1) - 1 if signed else 2**n - 1 - narrow
    lowest = -(2 ** (n - 1)) + narrow if signed else 0.0
    x = b.value(node)
    arrays = {name: b.per_sample(node, b.needed(node, i, name), len(x.shape)) for i, name in ((1, "scale"), (2, "zero"))}
    options = {"lowest": float(lowest), "highest": float(highest), "rounding": rounding}
    return b.add(node, "quantise", (x.name,), x.shape, arrays, **options)


def bipolar_quant(b: Builder, node: Any, a: dict[str, Any]) -> str:
    """function greater_or_equal between scales: plus or minus the scale"""
    x, scale = b.layer(node), b.needed(node, 1, "scale")
    above = function(b, node, x, "greater_or_equal", 0.0)
    return scaled(b, node, b.layers[above], factor=2 * scale, shift=-scale)
