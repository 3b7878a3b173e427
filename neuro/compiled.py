"""How kernels are compiled: by numba, kept on disk, without the interpreter's lock. Knows nothing of what is compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def compiled(function: F) -> F:
    """The function as machine code; compiled at its first call, then read from disk where some folder can be written.

    What is on disk counts only while none of its `sources` has changed: numba looks at the function's own file alone, and
    kernels call kernels of other files.
    """
    try:
        dispatcher = njit(**_OPTIONS, cache=True)(function)
    except RuntimeError:  # no folder for the cache, as in a read-only installation without a home
        return recompiled(function)
    if hasattr(dispatcher, "_cache"):  # not when the compiler is switched off
        file = dispatcher._cache._cache_file
        file._source_stamp = (file._source_stamp, _digest(Path(function.__code__.co_filename)))
        file._load_index = partial(_index, file._load_index)
    return cast(F, dispatcher)


def _index(load: Callable[[], dict[Any, Any]]) -> dict[Any, Any]:
    """What numba knows of the machine code on disk; nothing where it names types that are no longer where they were."""
    try:
        return load()
    except (AttributeError, ImportError, TypeError, ValueError, EOFError, UnpicklingError):
        return {}


def inlined(function: F) -> F:
    """A part of one compiled function, merged into it: each level of calls would be optimised once more."""
    return cast(F, njit(**_OPTIONS, inline="always")(function))


def recompiled(function: F) -> F:
    """A function that is compiled in every process, for instance because it takes other compiled functions."""
    return cast(F, njit(**_OPTIONS)(function))


def sources(file: Path) -> list[Path]:
    """The files whose kernels those of a file may call: its room of the package (`chip`, with all rooms inside it), or its
    folder where it is not of this package; `engine`; and this file."""
    package = Path(__file__).parent
    inner = file.relative_to(package).parts[:-1] if file.is_relative_to(package) else ()
    room = (package / inner[0]).rglob("*.py") if inner else file.parent.glob("*.py")
    return sorted({*room, *(package / "engine").glob("*.py"), Path(__file__)})


@lru_cache
def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    for path in sources(file):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
