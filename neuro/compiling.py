"""Who is told that kernels are being compiled, which happens once for an installation, and whether small work goes without them.

Knows no compiler, so that it is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Hear = Callable[[int], None]  # how many functions this process has begun to compile; 0: small work is done without
_HEARERS: list[Hear] = []
_SPARING: list[None] = []


@contextmanager
def told(hear: Hear) -> Iterator[None]:
    """While the block runs, `hear` is told of every function whose compilation begins, and of work that goes without (0)."""
    _HEARERS.append(hear)
    try:
        yield
    finally:
        _HEARERS.remove(hear)


def tell(count: int) -> None:
    """Tell everyone that so many functions have been begun."""
    for hear in tuple(_HEARERS):
        hear(count)


@contextmanager
def sparing() -> Iterator[None]:
    """While the block runs, work that plain Python does sooner than its kernels are compiled is done by plain Python.

    For commands, where somebody waits for one result. Elsewhere kernels are compiled when they are first asked for, so that
    whoever measures, or runs the same again, knows what runs.
    """
    _SPARING.append(None)
    try:
        yield
    finally:
        _SPARING.pop()


def spares() -> bool:
    """Whether small work is to go without kernels that are not compiled yet."""
    return bool(_SPARING)
