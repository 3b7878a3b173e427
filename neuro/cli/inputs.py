"""What a user names on the command line, read: data files. Does nothing with them, and needs nothing but numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError, InputError
from neuro.reading import opened, read_npz

MAX_CLASS = 2**31 - 1
_REMEDY = "Write it with numpy.savez(path, x=x, y=y)"
_NPY = b"\x93NUMPY"


@dataclass(frozen=True, slots=True)
class Data:
    """Samples x (samples, *shape) and, where known, their classes y (samples,)."""

    x: NDArray[Any]
    y: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.x)


def read_data(path: Path) -> Data:
    """The arrays `x` and, if there, `y` of an .npz file. Refuses pickled objects, other files, and arrays that disagree.

    Labels `y` (samples,) are class numbers, or names that an array `classes` (classes,) of the file puts in their order.
    """
    arrays = _arrays(path)
    x = _samples(path, arrays["x"])
    return Data(x, _labels(path, x, arrays["y"], arrays.get("classes")) if "y" in arrays else None)


def read_inputs(path: Path) -> NDArray[Any]:
    """The array `x` of such a file alone, whatever else it holds."""
    return _samples(path, _arrays(path)["x"])


def check_classes(where: str, y: NDArray[np.int64] | None, classes: int) -> None:
    """Refuse labels (samples,) that a network of so many classes cannot answer with."""
    if y is None or y.max() < classes:
        return
    remedy = f"Use 0 to {classes - 1}"
    if y.min() == 1 and y.max() == classes:
        remedy += ", that is y - 1"
    raise InputError(f"{where}, y", f"class {y.max()} for a network of {classes} classes", remedy)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with opened(path) as file:
        head = file.read(len(_NPY))
    if head == _NPY:
        line = f'numpy.savez("data.npz", x=numpy.load({path.name!r}), y=y)'
        raise FormatError(str(path), "it is one array (.npy), not an .npz file", f"Write {line} and pass data.npz")
    if not head:
        raise FormatError(str(path), "it is empty", _REMEDY)
    arrays = read_npz(path, _REMEDY)
    if "x" not in arrays:
        held = ", ".join(arrays) or "nothing"
        raise FormatError(str(path), f"it has no array 'x' (it holds {held})", _renamed(path, arrays))
    return arrays


def _renamed(path: Path, arrays: Mapping[str, NDArray[Any]]) -> str:
    """How to write the file again with the names that are read, where it is plain which arrays are meant."""
    inputs = [name for name, array in arrays.items() if array.ndim > 1 and array.dtype.kind in "buif"]
    labels = [name for name, array in arrays.items() if array.ndim == 1]
    if len(inputs) != 1 or len(labels) > 1:
        return _REMEDY
    named = "".join(f", {key}=a[{name!r}]" for key, names in (("x", inputs), ("y", labels)) for name in names)
    return f'Write a = numpy.load({path.name!r}); numpy.savez("data.npz"{named}) and pass data.npz'


def _samples(path: Path, x: NDArray[Any]) -> NDArray[Any]:
    """Samples as they are used: whole numbers as they are, fractions as float32."""
    where = f"{path}, x"
    if x.dtype.kind not in "buif":
        kind = "complex numbers" if x.dtype.kind == "c" else "text"
        raise InputError(where, f"it holds {kind} ({x.dtype})", "Pass real numbers, (samples, *shape of one sample)")
    if x.ndim < 2:
        remedy = "Pass (samples, *shape of one sample): x[:, None] if each number is a sample, x[None] if all are one"
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


def _labels(path: Path, x: NDArray[Any], y: NDArray[Any], classes: NDArray[Any] | None) -> NDArray[np.int64]:
    where = f"{path}, y"
    if y.shape != (len(x),):
        remedy = "Pass one class number for each sample"
        if y.ndim == 2 and len(y) == len(x):
            remedy += ", that is y[:, 0]" if y.shape[1] == 1 else ", that is y.argmax(axis=1) if each row marks one class"
        raise InputError(where, f"its shape is {y.shape} for {len(x):,} samples", remedy)
    if y.dtype.kind in "US":
        return _numbered(path, y, classes)
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


def _numbered(path: Path, y: NDArray[Any], classes: NDArray[Any] | None) -> NDArray[np.int64]:
    """Names of classes as numbers: their places in `classes`. Their order is never guessed."""
    names = _texts(y)
    if classes is None:
        remedy = "Add an array 'classes' with all names in the order of the network's outputs, or pass class numbers"
        raise InputError(f"{path}, y", f"it holds names ({names[0]!r}, ...), not class numbers", remedy)
    order = _texts(classes) if classes.dtype.kind in "US" and classes.ndim == 1 else []
    place = {name: number for number, name in enumerate(order)}
    if not order or len(place) < len(order):
        fact = f"its shape is {classes.shape}, its type {classes.dtype}" if not order else "a name is in it twice"
        raise InputError(f"{path}, classes", fact, "Pass each class's name once, in the order of the network's outputs")
    unknown = next((name for name in names if name not in place), None)
    if unknown is not None:
        raise InputError(f"{path}, y", f"{unknown!r} is not in 'classes'", f"Use {', '.join(order)}")
    return np.array([place[name] for name in names], np.int64)


def _texts(array: NDArray[Any]) -> list[str]:
    return [text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in array.tolist()]
