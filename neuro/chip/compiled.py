"""Compiling loops to machine code, once, with the result kept on disk. Knows nothing of chips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """A plain-number function as machine code that runs without the interpreter's lock."""
    return cast(Function, numba.njit(cache=True, nogil=True)(function))
