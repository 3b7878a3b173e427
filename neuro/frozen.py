"""What frozen values share that need no arrays: tables that cannot be changed, and Python source of themselves.

Imports numpy only to spell arrays, so that lists of chips and machines are there at once. Knows nothing of what is specified.
"""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed, for the tables that frozen dataclasses hold. `{**d}` makes an ordinary one."""

    __slots__ = ()

    def _refuse(self, *args: Any, **more: Any) -> Any:
        raise TypeError("this table belongs to a frozen value: make a new value with dataclasses.replace")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def __copy__(self) -> FrozenDict:
        return self


class Sourceable:
    """For frozen dataclasses whose repr is a summary."""

    __slots__ = ()

    def to_source(self) -> str:
        """Python source of an equal value, however long; it needs `np` and the names of the classes."""
        return spelt(self)

    def _values(self) -> list[tuple[str, Any]]:
        return [(f.name, getattr(self, f.name)) for f in fields(self)]  # type: ignore[arg-type]  # every subclass is a dataclass


def spelt(value: Any, most: float = math.inf) -> str:
    """A value as Python source; arrays of more than `most` values by their shape alone."""
    import numpy as np

    if isinstance(value, tuple):
        return f"({', '.join(spelt(one, most) for one in value)}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name!r}: {spelt(one, most)}' for name, one in value.items())}}}"
    if is_dataclass(value):
        named = value._values() if isinstance(value, Sourceable) else [(f.name, getattr(value, f.name)) for f in fields(value)]
        return f"{type(value).__name__}({', '.join(f'{name}={spelt(one, most)}' for name, one in named)})"
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.size > most:
        return f"<{value.dtype} array {value.shape}>"
    if not value.size:
        return f"np.zeros({value.shape}, dtype=np.{value.dtype})"
    return f"np.array({value.tolist()!r}, dtype=np.{value.dtype})"
