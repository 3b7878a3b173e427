"""The samples and labels of a study, checked. Knows arrays; knows nothing of files or networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import InputError

MAX_CLASS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Data:
    """Samples x (samples, *shape), of several inputs by their names, and, where known, their classes y (samples,), of the
    network's `output` where it has several; `name`: what an error calls them.

    `facts`: what was done to make arrays of them, in sentences. more: arrays beside x that may be other inputs (`named`).
    """

    x: Any
    y: NDArray[np.int64] | None = None
    name: str = "data"
    facts: tuple[str, ...] = ()
    more: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    output: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.x.values())) if isinstance(self.x, Mapping) else self.x)

    @property
    def several(self) -> bool:
        """Whether there are arrays by names, from which those of a network's inputs are taken."""
        return bool(self.more) or isinstance(self.x, Mapping)

    def named(self, names: Sequence[str]) -> Data:
        """The samples for inputs of these names: of one input x as it is, of several an array of each name. InputError for
        arrays that are missing, that hold no numbers, or different numbers of samples."""
        held = {**self.more, **(self.x if isinstance(self.x, Mapping) else {"x": self.x})}
        if len(names) == 1 and not isinstance(self.x, Mapping):
            return replace(self, more={})
        missing = [name for name in names if name not in held]
        if missing:
            fact = f"the network takes {', '.join(names)}; the data hold {', '.join(held)}"
            raise InputError(f"{self.name}, {missing[0]}", fact, f"Write {_saved(names)}")
        arrays = {name: checked_samples(self.name, held[name], name) for name in names}
        counts = {name: len(array) for name, array in arrays.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{count:,} of {name}" for name, count in counts.items())
            raise InputError(self.name, f"they hold different numbers of samples: {told}", "Pass as many for each input")
        if self.y is not None and len(self.y) != len(arrays[names[0]]):
            fact = f"its shape is {self.y.shape} for {len(arrays[names[0]]):,} samples"
            raise InputError(f"{self.name}, y", fact, "Pass one class number for each sample")
        return replace(self, x=arrays if len(names) > 1 else arrays[names[0]], more={})


def _saved(names: Sequence[str]) -> str:
    return f'numpy.savez("data.npz", {", ".join(f"{name}={name}" for name in names)})'


def some_of(x: Any, index: Any) -> Any:
    """Some samples, of each input where there are several."""
    return {name: array[index] for name, array in x.items()} if isinstance(x, Mapping) else x[index]


def typical_of(data: Data, count: int) -> Any:
    """Up to `count` typical inputs: the first of them, or evenly spread ones where classes are missing among the first."""
    if data.y is None or len(data) <= count or len(np.unique(data.y[:count])) == len(np.unique(data.y)):
        return some_of(data.x, slice(count))
    return some_of(data.x, np.linspace(0, len(data) - 1, count).astype(np.int64))


def check_output(data: Data, outputs: Sequence[str]) -> None:
    """Refuse classes of which it is not said to which of several outputs they belong, and an output that is not there."""
    told = f"the network has {len(outputs)} outputs ({', '.join(outputs)})"
    if data.output and data.output not in outputs:
        raise InputError(f"output {data.output!r}", told, f"Use {' or '.join(outputs)}")
    if data.y is not None and len(outputs) > 1 and not data.output:
        remedy = f"Say whose classes y are: --output {outputs[0]} (in Python output={outputs[0]!r}), or leave y out"
        raise InputError(f"{data.name}, y", told, remedy)


def check_classes(where: str, y: NDArray[np.int64] | None, classes: int) -> None:
    """Refuse labels (samples,) that a network of so many classes cannot answer with."""
    if y is None or y.max() < classes:
        return
    remedy = f"Use 0 to {classes - 1}"
    if y.min() == 1 and y.max() == classes:
        remedy += ", that is y - 1"
    raise InputError(f"{where}, y", f"class {y.max()} for a network of {classes} classes", remedy)


def checked_samples(name: str, x: NDArray[Any], array: str = "x") -> NDArray[Any]:
    """Samples (samples, *shape) as they are used: whole numbers as they are, fractions as float32. InputError for others."""
    where = f"{name}, {array}"
    if x.dtype.kind not in "buif":
        kind = "complex numbers" if x.dtype.kind == "c" else "text"
        raise InputError(where, f"it holds {kind} ({x.dtype})", "Pass real numbers, (samples, *shape of one sample)")
    if x.ndim < 2:
        each = f"{array}[:, None] if each number is a sample, {array}[None] if all are one"
        remedy = f"Pass (samples, *shape of one sample): {each}"
        raise InputError(where, f"its shape is {x.shape}", remedy)
    if 0 in x.shape:
        raise InputError(where, f"its shape is {x.shape}: there are no numbers", "Pass at least one sample")
    if x.dtype.kind != "f":
        return x
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).any(axis=tuple(range(1, x.ndim))).sum())
        raise InputError(where, f"{bad:,} of {len(x):,} samples hold NaN or infinity", "Leave them out, or correct them")
    if x.dtype.itemsize > 4 and np.abs(x).max() > np.finfo(np.float32).max:
        raise InputError(where, f"values of up to {np.abs(x).max():.3g} exceed the range of float32", "Scale them")
    return x.astype(np.float32)


def checked_labels(name: str, x: NDArray[Any], y: NDArray[Any], classes: NDArray[Any] | None = None) -> NDArray[np.int64]:
    """Class numbers (samples,) as int64; names become their places in `classes`. InputError for others; `name`: of the data."""
    where = f"{name}, y"
    if y.shape != (len(x),):
        remedy = "Pass one class number for each sample"
        if y.ndim == 2 and len(y) == len(x):
            remedy += ", that is y[:, 0]" if y.shape[1] == 1 else ", that is y.argmax(axis=1) if each row marks one class"
        raise InputError(where, f"its shape is {y.shape} for {len(x):,} samples", remedy)
    if y.dtype.kind in "US":
        return _numbered(name, y, classes)
    if y.dtype.kind not in "ui":
        raise InputError(where, f"its numbers are {y.dtype}", _whole(y))
    if y.min() < 0 or y.max() > MAX_CLASS:
        remedy = "Pass class numbers 0, 1, 2, ..., and leave out samples without a class"
        raise InputError(where, f"it goes from {y.min()} to {y.max()}", remedy)
    if classes is not None and y.max() >= classes.size:
        raise InputError(where, f"class {y.max()}, and 'classes' has {classes.size}", "Pass every class in 'classes'")
    return y.astype(np.int64)


def _whole(y: NDArray[Any]) -> str:
    """What to do about labels that are not whole numbers by their type."""
    if y.dtype.kind == "b" or (y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.rint(y)).all()):
        return "Pass y.astype(int) if they are class numbers"
    return "Pass class numbers 0, 1, 2, ... as whole numbers, and leave out samples without a class"


def _numbered(data: str, y: NDArray[Any], classes: NDArray[Any] | None) -> NDArray[np.int64]:
    """Names of classes as numbers: their places in `classes`. Their order is never guessed."""
    names = _texts(y)
    if classes is None:
        remedy = "Add an array 'classes' with all names in the order of the network's outputs, or pass class numbers"
        raise InputError(f"{data}, y", f"it holds names ({names[0]!r}, ...), not class numbers", remedy)
    order = _texts(classes) if classes.dtype.kind in "US" and classes.ndim == 1 else []
    place = {name: number for number, name in enumerate(order)}
    if not order or len(place) < len(order):
        fact = f"its shape is {classes.shape}, its type {classes.dtype}" if not order else "a name is in it twice"
        raise InputError(f"{data}, classes", fact, "Pass each class's name once, in the order of the network's outputs")
    unknown = next((name for name in names if name not in place), None)
    if unknown is not None:
        raise InputError(f"{data}, y", f"{unknown!r} is not in 'classes'", f"Use {', '.join(order)}")
    return np.array([place[name] for name in names], np.int64)


def _texts(array: NDArray[Any]) -> list[str]:
    return [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in array.tolist()]
