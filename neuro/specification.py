"""What every frozen specification shares: arrays and tables that cannot be changed, equality, and its source text.

Knows nothing of what is specified.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import NeuroError
from neuro.frozen import Sourceable, spelt

IntArray = NDArray[np.integer[Any]]
INT32 = np.iinfo(np.int32)
_SHORT = 64  # values that a repr still spells out


def frozen_array(values: Any, dtype: Any = None) -> NDArray[Any]:
    """A C-ordered array that nobody can write to: a copy, unless `values` is such an array already."""
    if isinstance(values, np.ndarray) and values.dtype == (values.dtype if dtype is None else dtype) and _settled(values):
        return values
    array: NDArray[Any] = np.array(values, dtype=dtype, order="C")
    array.setflags(write=False)
    return array


def _settled(array: NDArray[Any]) -> bool:
    """Whether neither the array nor what it is a view of can be written to."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return False
        owner = owner.base
    return array.flags.c_contiguous and (owner is None or isinstance(owner, bytes))


def renamed(old: str, new: str) -> Any:
    """A property that reads the attribute by its earlier name, with a DeprecationWarning."""

    def read(self: Any) -> Any:
        warnings.warn(f"{type(self).__name__}.{old} is called {new} now", DeprecationWarning, stacklevel=2)
        return getattr(self, new)

    return property(read, doc=f"Deprecated: use `{new}`.")


def integer_or_array(where: str, name: str, value: Any) -> int | IntArray:
    """`value` as an int, or as a frozen int32 array; refuses fractions, NaN and values beyond 32 bits."""
    if type(value) is int and INT32.min <= value <= INT32.max:
        return value
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):
        raise NeuroError(
            where, f"{name} is no array of numbers", "Pass an array in which every row has the same length"
        ) from None
    if array.dtype.kind not in "iu":
        raise NeuroError(where, f"{name} must be integers, got {array.dtype}", "Round to chip integers first")
    narrow = array.dtype.itemsize < 4 or array.dtype == np.int32
    if array.size and not narrow and (array.min() < INT32.min or array.max() > INT32.max):
        raise NeuroError(where, f"{name} exceeds 32 bits", "Scale it down")
    return int(array) if array.ndim == 0 else frozen_array(array, np.int32)


class Specification(Sourceable):
    """Equality, hash and repr by value for frozen dataclasses whose fields may be arrays; the repr leaves long arrays out."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        pairs = zip(self._values(), other._values(), strict=True)
        return all(_same(mine, theirs) for (_, mine), (_, theirs) in pairs)

    def __hash__(self) -> int:
        return hash((type(self).__name__, *(_hashable(value) for _, value in self._values())))

    def __repr__(self) -> str:
        return spelt(self, _SHORT)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.shape(a) == np.shape(b) and bool(np.array_equal(a, b))
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)


def _hashable(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_hashable, value))
    if isinstance(value, np.ndarray):
        return (value.shape, hashlib.sha1(value.astype(np.float64 if value.dtype.kind == "f" else np.int64).tobytes()).digest())
    return value
