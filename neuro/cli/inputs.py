"""What a user names on the command line, read: data files. Does nothing with them, and needs nothing but numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neuro.errors import FormatError
from neuro.reading import opened, read_npz
from neuro.studies.data import Data, checked_labels, checked_samples

_REMEDY = "Write it with numpy.savez(path, x=x, y=y)"
_NPY = b"\x93NUMPY"
FORMATS: dict[str, Callable[[Path], Mapping[str, NDArray[Any]]]] = {  # by how a file's name ends; any other end: .npz
    ".npz": lambda path: read_npz(path, _REMEDY),
}


def read_data(path: Path) -> Data:
    """The arrays `x` and, if there, `y` of an .npz file. Refuses pickled objects, other files, and arrays that disagree.

    Labels `y` (samples,) are class numbers, or names that an array `classes` (classes,) of the file puts in their order.
    """
    arrays = _arrays(path)
    x = checked_samples(str(path), arrays["x"])
    y = checked_labels(str(path), x, arrays["y"], arrays.get("classes")) if "y" in arrays else None
    return Data(x, y, "--data")


def read_inputs(path: Path) -> NDArray[Any]:
    """The array `x` of such a file alone, whatever else it holds."""
    return checked_samples(str(path), _arrays(path)["x"])


def _arrays(path: Path) -> Mapping[str, NDArray[Any]]:
    with opened(path) as file:
        head = file.read(len(_NPY))
    if head == _NPY:
        line = f'numpy.savez("data.npz", x=numpy.load({path.name!r}), y=y)'
        raise FormatError(str(path), "it is one array (.npy), not an .npz file", f"Write {line} and pass data.npz")
    if not head:
        raise FormatError(str(path), "it is empty", _REMEDY)
    arrays = FORMATS.get(path.suffix, FORMATS[".npz"])(path)
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
