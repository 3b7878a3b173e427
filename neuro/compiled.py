"""How kernels are compiled: by numba, kept on disk, without the interpreter's lock. Knows nothing of what is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


def compiled(function: F) -> F:
    """The function as machine code; compiled at its first call, then read from disk."""
    return cast(F, njit(**_OPTIONS)(function))


def inlined(function: F) -> F:
    """A part of one compiled function, merged into it: each level of calls would be optimised once more."""
    return cast(F, njit(**_OPTIONS, inline="always")(function))


def recompiled(function: F) -> F:
    """A function that takes other compiled functions, and so cannot be kept on disk."""
    return cast(F, njit(**_OPTIONS | {"cache": False})(function))
