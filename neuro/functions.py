"""Scalar functions of the op "function": what each computes on float64 arrays, its parameters, and between which values it stays.

Knows numbers only. A function is one row: engines and converters that need a table of it ask `compute`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_INF = math.inf


@dataclass(frozen=True, slots=True)
class Function:
    """A scalar function: `of`(x, *values) on float64 arrays; `parameters`: names and defaults of the values, in order.

    `lowest` and `highest` bound its values whatever the argument. `keeps_sign`: not negative where its argument is not.
    """

    of: Callable[..., Any]
    parameters: tuple[tuple[str, float], ...] = ()
    lowest: float = -_INF
    highest: float = _INF
    keeps_sign: bool = False


def compute(name: str, x: Any, values: tuple[float, ...] = ()) -> Floats:
    """The function of an array, in float64; values that are left out take their defaults. NaN where it is not defined."""
    function = FUNCTIONS[name]
    given = (*values, *(default for _, default in function.parameters[len(values) :]))
    with np.errstate(all="ignore"):
        return np.asarray(function.of(np.asarray(x, np.float64), *given), np.float64)


def _special(name: str) -> Callable[[Any], Any]:
    """A function of scipy.special, whose import takes longer than all else that a simple network needs."""
    function: Callable[[Any], Any] = getattr(import_module("scipy.special"), name)
    return function


def _sigmoid(x: Any) -> Any:
    return _special("expit")(x)


def _softplus(x: Any, beta: float = 1.0) -> Any:
    return np.logaddexp(0.0, beta * x) / beta


def _elu(x: Any, alpha: float, gamma: float = 1.0) -> Any:
    return gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _shrunk(x: Any, limit: float, bias: float) -> Any:
    return np.where(x > limit, x - bias, np.where(x < -limit, x + bias, 0.0))


_TANH_GELU = math.sqrt(2 / math.pi)
_ALPHA = (("alpha", 1.0),)

FUNCTIONS: dict[str, Function] = {
    "abs": Function(np.abs, lowest=0.0, keeps_sign=True),
    "acos": Function(np.arccos, lowest=0.0, highest=math.pi, keeps_sign=True),
    "acosh": Function(np.arccosh, lowest=0.0, keeps_sign=True),
    "asin": Function(np.arcsin, lowest=-math.pi / 2, highest=math.pi / 2, keeps_sign=True),
    "asinh": Function(np.arcsinh, keeps_sign=True),
    "atan": Function(np.arctan, lowest=-math.pi / 2, highest=math.pi / 2, keeps_sign=True),
    "atanh": Function(np.arctanh, keeps_sign=True),
    "ceil": Function(np.ceil, keeps_sign=True),
    "celu": Function(lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0.0) / a)), _ALPHA, keeps_sign=True),
    "cos": Function(np.cos, lowest=-1.0, highest=1.0),
    "cosh": Function(np.cosh, lowest=1.0, keeps_sign=True),
    "elu": Function(_elu, _ALPHA, keeps_sign=True),
    "equal": Function(lambda x, c: x == c, (("value", 0.0),), 0.0, 1.0, keeps_sign=True),
    "erf": Function(lambda x: _special("erf")(x), lowest=-1.0, highest=1.0, keeps_sign=True),
    "exp": Function(np.exp, lowest=0.0, keeps_sign=True),
    "expm1": Function(np.expm1, lowest=-1.0, keeps_sign=True),
    "floor": Function(np.floor, keeps_sign=True),
    "gelu": Function(lambda x: x * _special("ndtr")(x), lowest=-0.17, keeps_sign=True),
    "gelu_tanh": Function(lambda x: 0.5 * x * (1 + np.tanh(_TANH_GELU * (x + 0.044715 * x**3))), lowest=-0.1701, keeps_sign=True),
    "greater": Function(lambda x, c: x > c, (("than", 0.0),), 0.0, 1.0, keeps_sign=True),
    "greater_or_equal": Function(lambda x, c: x >= c, (("than", 0.0),), 0.0, 1.0, keeps_sign=True),
    "hardswish": Function(lambda x: x * np.clip(x + 3, 0, 6) / 6, lowest=-0.375, keeps_sign=True),
    "leaky_relu": Function(lambda x, a: np.where(x >= 0, x, a * x), (("slope", 0.01),), keeps_sign=True),
    "log": Function(np.log),
    "log1p": Function(np.log1p, keeps_sign=True),
    "log_sigmoid": Function(lambda x: -np.logaddexp(0.0, -x), highest=0.0),
    "mish": Function(lambda x: x * np.tanh(_softplus(x)), lowest=-0.309, keeps_sign=True),
    "power": Function(lambda x, e: np.power(x, e), (("exponent", 2.0),), keeps_sign=True),
    "reciprocal": Function(lambda x: 1 / x, keeps_sign=True),
    "round": Function(np.rint, keeps_sign=True),
    "rsqrt": Function(lambda x: 1 / np.sqrt(x), lowest=0.0, keeps_sign=True),
    "selu": Function(_elu, (("alpha", 1.6732632423543772), ("gamma", 1.0507009873554805)), keeps_sign=True),
    "shrink": Function(_shrunk, (("limit", 0.5), ("bias", 0.0))),
    "sigmoid": Function(_sigmoid, lowest=0.0, highest=1.0, keeps_sign=True),
    "sign": Function(np.sign, lowest=-1.0, highest=1.0, keeps_sign=True),
    "silu": Function(lambda x, beta: x * _sigmoid(beta * x), (("beta", 1.0),), keeps_sign=True),
    "sin": Function(np.sin, lowest=-1.0, highest=1.0),
    "sinh": Function(np.sinh, keeps_sign=True),
    "softplus": Function(_softplus, (("beta", 1.0),), lowest=0.0, keeps_sign=True),
    "softsign": Function(lambda x: x / (1 + np.abs(x)), lowest=-1.0, highest=1.0, keeps_sign=True),
    "sqrt": Function(np.sqrt, lowest=0.0, keeps_sign=True),
    "square": Function(np.square, lowest=0.0, keeps_sign=True),
    "tan": Function(np.tan),
    "tanh": Function(np.tanh, lowest=-1.0, highest=1.0, keeps_sign=True),
    "thresholded_relu": Function(lambda x, a: np.where(x > a, x, 0.0), _ALPHA, keeps_sign=True),
    "trunc": Function(np.trunc, keeps_sign=True),
}
