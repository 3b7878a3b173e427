"""The scalar step of a neuron model, or of a user's own, compiled for the event engine.

A step that is not a plain function on integers is refused with a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba import config, njit, types
from numba.core.errors import NumbaError
from numba.cpython.unsafe.tuple import tuple_setitem

from neuro.errors import EngineError
from neuro.neurons import Neuron


def compile_step(neuron: Neuron, population: str) -> Callable[..., int]:
    """step(charge, parameters, state, at, stride) -> message; the state variables lie `stride` apart from `at` on."""
    if neuron.step is None:
        fact = f"{type(neuron).__name__} has no step for one neuron that could be compiled"
        raise EngineError(f"population {population!r}", fact, 'Use engine="reference", or give the model a step')
    step, fault = _compile(neuron.step, len(neuron.variables), len(neuron.parameters))
    if step is None:
        names = ", ".join(neuron.variables)
        remedy = f"Return integers (message, {names}) from integer arithmetic on scalars: no arrays, lists or fractions"
        raise EngineError(f"population {population!r}", f"its step {fault}", remedy)
    return step


@lru_cache(maxsize=64)
def _compile(function: Callable[..., Any], variables: int, parameters: int) -> tuple[Callable[..., int] | None, str]:
    """The compiled step, or None and why there is none. With the compiler off, the function itself."""
    if config.DISABLE_JIT:
        return _on_arrays(function, variables), ""
    arguments = (types.int64, types.UniTuple(types.int64, parameters), *(types.int64,) * variables)
    try:
        probe = njit(function, error_model="numpy")
        probe.compile(arguments)
        returned = probe.overloads[arguments].signature.return_type
    except NumbaError as error:
        return None, f"does not compile ({_first_line(error)})"
    if not _integers(returned, variables + 1):
        return None, f"returns {returned}"
    if any(name in probe.inspect_llvm(arguments) for name in ("NRT_Allocate", "NRT_MemInfo_alloc")):
        return None, "allocates memory"
    step = njit(types.UniTuple(types.int64, variables + 1)(*arguments), error_model="numpy")(function)
    return _on_arrays(step, variables), ""


def _with_item(values: tuple[Any, ...], i: int, value: Any) -> tuple[Any, ...]:
    """What `tuple_setitem` does, for runs with the compiler off."""
    return (*values[:i], value, *values[i + 1 :])


with_item: Callable[..., Any] = _with_item if config.DISABLE_JIT else tuple_setitem


def _on_arrays(step: Any, variables: int) -> Callable[..., int]:
    zeros = (np.int64(0),) * variables

    def on_arrays(charge: Any, parameters: Any, state: Any, at: int, stride: int) -> Any:
        values = zeros
        for i in range(variables):
            values = with_item(values, i, np.int64(state[at + i * stride]))
        result = step(np.int64(charge), parameters, *values)
        for i in range(variables):
            state[at + i * stride] = result[i + 1]
        return result[0]

    compiled: Callable[..., int] = njit(on_arrays, nogil=True)
    return compiled


def _integers(returned: Any, length: int) -> bool:
    if not isinstance(returned, types.BaseTuple) or len(returned) != length:
        return False
    return all(isinstance(kind, types.Integer | types.Boolean) for kind in returned)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith(("Failed in", "During:", "File", "-"))), "unknown")
