"""How kernels are compiled: by numba, kept on disk, without the interpreter's lock. Knows nothing of what is compiled."""

from __future__ import annotations

import glob
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar, cast

from numba import __version__ as numba_version
from numba import njit
from numba.core import event
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.dispatcher import Dispatcher
from numba.core.runtime import rtsys

from neuro.compiling import spares, tell

F = TypeVar("F", bound=Callable[..., Any])

_OLD_S = 3600.0  # of machine code that no index names: another process may be about to name it
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


class _Listener(event.Listener):  # type: ignore[misc]  # numba has no types
    """Counts the functions that numba compiles, not those it reads from disk."""

    count = 0

    def on_start(self, event: Any) -> None:
        self.count += 1
        tell(self.count)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Listener())


class _CacheFile(IndexDataCacheFile):  # type: ignore[misc]  # numba has no types
    """What numba keeps of one function on disk, in files that are named by what is in them.

    Numba numbers them: of two processes that compile for different types at once, one read what the other compiled. An index
    that is written at the same time loses an entry here, no more.
    """

    def __init__(self, cache: Any, digest: str) -> None:
        locator = cache._impl.locator
        super().__init__(cache.cache_path, cache._impl.filename_base, locator.get_source_stamp())
        self._base = cache._impl.filename_base
        self._version: str = f"{numba_version} {digest}"

    def save(self, key: Any, data: Any) -> None:
        """Keep machine code for a signature; what older sources left goes."""
        known = self._load_index()
        if not known:
            self._remove_old()
        text = f"{key!r} {self._version} {self._source_stamp!r}"
        name = f"{self._base}.{hashlib.sha256(text.encode()).hexdigest()[:24]}.nbc"
        self._save_data(name, data)
        self._save_index({**known, key: name})

    def _remove_old(self) -> None:
        now = time.time()
        for path in Path(self._cache_path).glob(f"{glob.escape(self._base)}.*.nbc"):
            with suppress(OSError):
                if now - path.stat().st_mtime > _OLD_S:
                    path.unlink()


class _Cache(FunctionCache):  # type: ignore[misc]  # numba has no types
    """What numba keeps of one function on disk, read without all that it takes to compile: numba would import and register
    every function that it knows first, half a second in each process. Whatever is not there is compiled as always."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _CacheFile(self, _digest(sources(Path(function.__code__.co_filename))))

    def load_overload(self, signature: Any, target: Any) -> Any:
        rtsys.initialize(target)  # what machine code allocates arrays with
        with self._guard_against_spurious_io_errors():
            return self._load_overload(signature, target)


def compiled(function: F, **options: bool) -> F:
    """The function as machine code; compiled at its first call, then read from disk where some folder can be written.

    What is on disk counts only while none of its `sources` has changed: numba looks at the function's own file alone, and
    kernels call kernels of other files. They are part of the version that numba compares before it reads anything else: what
    older sources left there may name classes that are gone.
    """
    dispatcher = njit(**_OPTIONS, **options)(function)
    if isinstance(dispatcher, Dispatcher):  # not when the compiler is switched off
        with suppress(RuntimeError):  # no folder for the cache, as in a read-only installation without a home
            cast(Any, dispatcher)._cache = _Cache(function)
    return cast(F, dispatcher)


def inner(function: F) -> F:
    """A part of compiled functions, compiled with those that call it and never called from Python.

    Not merged into them by numba (`inline="always"`): copying its representation takes longer than all of LLVM.
    """
    return cast(F, njit(**_OPTIONS, no_cpython_wrapper=True)(function))


def inlined(function: F) -> F:
    """A short part of compiled functions that LLVM merges into them: for parts that take a long tuple, each of whose values a
    call would pass for itself."""
    return cast(F, njit(**_OPTIONS, no_cpython_wrapper=True, forceinline=True)(function))


def addressed(function: F) -> F:
    """The same as `compiled` for a function that is called only by its address."""
    return compiled(function, no_cpython_wrapper=True)


def recompiled(function: F) -> F:
    """A function that is compiled in every process, for instance because it takes other compiled functions."""
    return cast(F, njit(**_OPTIONS)(function))


def ready(function: Callable[..., Any]) -> bool:
    """Whether machine code of a compiled function is in memory or on disk."""
    if not isinstance(function, Dispatcher) or function.overloads:
        return True  # the compiler is switched off, or has been at work
    file = getattr(getattr(function, "_cache", None), "_cache_file", None)
    return file is not None and bool(file._load_index())


@lru_cache
def plain(function: F) -> F:
    """A compiled function, and the compiled functions that it calls, as plain Python."""
    written = getattr(function, "py_func", function)
    called = {name: written.__globals__.get(name) for name in written.__code__.co_names}
    names = {name: plain(value) for name, value in called.items() if isinstance(value, Dispatcher)}
    return cast(F, FunctionType(written.__code__, {**written.__globals__, **names}, written.__name__, written.__defaults__))


def goes_without(function: Callable[..., Any], plain_s: float, compiling_s: float) -> bool:
    """Whether work is done without a kernel: it takes plain Python about `plain_s`, less than the seconds that compiling takes,
    and whoever waits for one result asks for that (`neuro.compiling.sparing`)."""
    chosen = plain_s < compiling_s and spares() and not ready(function)
    if chosen:
        tell(0)
    return chosen


def sooner(function: F, plain_s: float, compiling_s: float) -> F:
    """The function as it is, or as plain Python where it `goes_without`."""
    return plain(function) if goes_without(function, plain_s, compiling_s) else function


def sources(file: Path) -> tuple[Path, ...]:
    """The files whose kernels those of a file may call: its room of the package (`chip`, with all rooms inside it), or its
    folder where it is not of this package; `engine`; and this file."""
    package = Path(__file__).parent
    inner = file.relative_to(package).parts[:-1] if file.is_relative_to(package) else ()
    return _with_engine(package / inner[0], "**/*.py") if inner else _with_engine(file.parent, "*.py")


@lru_cache
def _with_engine(room: Path, which: str) -> tuple[Path, ...]:
    package = Path(__file__).parent
    return tuple(sorted({*room.glob(which), *(package / "engine").glob("*.py"), Path(__file__)}))


@lru_cache
def _digest(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
