"""What a row of the table of ops holds, and the rules that bring options to their one form. Knows no op."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neuro.errors import GraphError
from neuro.numbers import real, whole
from neuro.specification import frozen_array
from neuro.windows import Shape

Listed = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]  # entries: from which place, to which, times what
Rule = Callable[[str, str, Any], Any]  # (where, option, value) -> the value in its one form; refuses others


class Described(Protocol):
    """What a row must know of a layer."""

    @property
    def op(self) -> str: ...
    @property
    def place(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def arrays(self) -> Mapping[str, NDArray[np.float32]]: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class OpRow:
    """What a layer of one op must have. `yields` works out its shape from those of its sources and refuses what does not fit.

    `arrays` and `options` are needed, `more_arrays` and `more_options` may be left out; `sources` is the fewest and the most
    (None: any number) layers that feed it. `keeps_sign`: its values are not negative where those of its sources are not.

    `listed`(layer, shape of its source): of an op of one source that is a linear map, the entries of the map. It defines the op:
    evaluation, paths between populations and workloads need no more.
    """

    yields: Callable[[Any, Sequence[Shape]], Shape]
    arrays: tuple[str, ...] = ()
    more_arrays: tuple[str, ...] = ()
    options: Mapping[str, Rule] = field(default_factory=dict)
    more_options: Mapping[str, Rule] = field(default_factory=dict)
    sources: tuple[int, int | None] = (1, 1)
    keeps_sign: bool = False
    listed: Callable[[Any, Shape], Listed] | None = None


# Options in their one form


def integer(least: int | None, most: int | None = None) -> Rule:
    return lambda place, name, value: whole(place, name, value, least, most, error=GraphError)


def number(least: float | None = None) -> Rule:
    return lambda place, name, value: real(place, name, value, least, error=GraphError)


def divisor(place: str, name: str, value: Any) -> int | None:
    return None if value is None else whole(place, name, value, 1, error=GraphError)


def ceiling(place: str, name: str, value: Any) -> float | None:
    if value is None or (isinstance(value, float | np.floating) and value == np.inf):
        return None
    return real(place, name, value, above=0, error=GraphError, remedy="Use a number above 0, or None for no ceiling")


def listed_values(place: str, name: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list) and not (isinstance(value, np.ndarray) and value.ndim):
        raise GraphError(place, f"{name} = {value!r} is not a tuple", "Give one entry for each axis")
    return tuple(value)


def integers(least: int | None) -> Rule:
    one = integer(least)
    return lambda place, name, value: tuple(one(place, name, entry) for entry in listed_values(place, name, value))


def pairs(least: int | None) -> Rule:
    one = integer(least)

    def settle(place: str, name: str, value: Any) -> tuple[tuple[int, int], ...]:
        pairs = [listed_values(place, name, entry) for entry in listed_values(place, name, value)]
        if any(len(entry) != 2 for entry in pairs):
            raise GraphError(place, f"{name} = {value!r} has an entry that is no pair", "Give (before, after) for each axis")
        return tuple((one(place, name, before), one(place, name, after)) for before, after in pairs)

    return settle


def thresholds(place: str, name: str, value: Any) -> NDArray[np.float64]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.ndim > 1 or not array.size or not (np.isfinite(array) & (array > 0)).all():
        raise GraphError(place, f"{name} holds what is no positive number", "Give one threshold, or one for each channel")
    return frozen_array(value if isinstance(value, np.ndarray) else array, np.float64)


def word(*known: str) -> Rule:
    """One of some words."""

    def settle(place: str, name: str, value: Any) -> str:
        if value not in known:
            raise GraphError(place, f"{name} = {value!r} is not known", f"Use one of {', '.join(known)}")
        return str(value)

    return settle


def numbers(place: str, name: str, value: Any) -> tuple[float, ...]:
    """Finite numbers, any number of them."""
    return tuple(real(place, name, entry, error=GraphError) for entry in listed_values(place, name, value))


def places(axes: int) -> Rule:
    """An array of whole numbers from 0, with this many axes and at least one entry."""

    def settle(place: str, name: str, value: Any) -> NDArray[np.int64]:
        array = np.asarray(value)
        if array.dtype.kind not in "iu" or array.ndim != axes or not array.size or array.min() < 0:
            raise GraphError(place, f"{name} is no array of places", f"Give whole numbers from 0, an array of {axes} axes")
        return frozen_array(value if isinstance(value, np.ndarray) else array, np.int64)

    return settle


def told(sources: Sequence[Shape]) -> str:
    """Shapes as an error names them."""
    return " and ".join(str(tuple(shape)) for shape in sources)
