"""Who is told that kernels are being compiled, which happens once for an installation. Knows no compiler, so that it is cheap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Hear = Callable[[int], None]  # how many functions this process has begun to compile
_HEARERS: list[Hear] = []


@contextmanager
def told(hear: Hear) -> Iterator[None]:
    """While the block runs, `hear` is told of every function whose compilation begins."""
    _HEARERS.append(hear)
    try:
        yield
    finally:
        _HEARERS.remove(hear)


def tell(count: int) -> None:
    """Tell everyone that so many functions have been begun."""
    for hear in tuple(_HEARERS):
        hear(count)
