"""Mistakes in the settings of a study under the names of the command line's options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from neuro.errors import UsageError

_OPTIONS = {"code": "--code", "board": "--board", "within_s": "--within"}


@contextmanager
def as_options() -> Iterator[None]:
    """Name the option where a setting is refused."""
    try:
        yield
    except UsageError as error:
        raise UsageError(_OPTIONS.get(error.where, error.where), error.fact, error.remedy) from None
