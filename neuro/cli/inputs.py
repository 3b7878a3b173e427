"""What a user names on the command line, read: files and folders of samples. Does nothing with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError
from neuro.reading import opened, read_npz
from neuro.studies.data import Data, checked_labels, checked_samples

_REMEDY = "Write it with numpy.savez(path, x=x, y=y)"
RECORDED = (".aedat", ".aedat4", ".dat", ".raw", ".bin", ".bs2", ".h5", ".hdf5")  # event cameras; .npz where steps are asked for
_NPY = b"\x93NUMPY"
FORMATS: dict[str, Callable[[Path], Mapping[str, NDArray[Any]]]] = {  # by how a file's name ends; any other end: .npz
    ".npz": lambda path: read_npz(path, _REMEDY),
}


def read_data(path: Path, scale: str | None = None, step_us: int | None = None) -> Data:
    """Samples `x` and, if there, labels `y` (or `labels`) of an .npz file, or those of a folder with one folder a class.

    The inputs of a network with several are arrays of their names: without `x` all that may be samples, beside it `Data.more`.

    Refuses pickled objects, other files, and arrays that disagree. Labels (samples,) are class numbers, or names that an array
    `classes` (classes,) of the file puts in their order. scale: how images become numbers (`neuro.folders.images.scale_of`).
    Recordings of event cameras, in a file or a folder of them, become spikes (samples, steps, 2, rows, columns) in steps of
    `step_us` microseconds; folders in it named 0, 1, ... are their classes.
    """
    if step_us is not None or any(file.suffix.lower() in RECORDED for file in _looked_at(path)):
        return _recorded(path, step_us)
    if os.path.isdir(path):
        from neuro.folders.reading import read_folder

        images, numbers, facts = read_folder(path, scale)
        return Data(images, numbers, "--data", facts)
    arrays = _arrays(path)
    more, labels = _others(arrays), _labels(path, arrays)
    x: Any = checked_samples(str(path), arrays["x"]) if "x" in arrays else more
    first = x if "x" in arrays else next(iter(more.values()))
    y = None if labels is None else checked_labels(str(path), first, labels, arrays.get("classes"))
    return Data(x, y, "--data", more=more if "x" in arrays else {})


def _looked_at(path: Path) -> Iterator[Path]:
    """The files that say what kind of data a path is: itself, or the first of a folder and of the first folder in it."""
    yield path
    for _ in range(2):
        if not (os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK)):
            return
        path = min(path.iterdir(), default=path)
        yield path


def _recorded(path: Path, step_us: int | None) -> Data:
    from neuro.events import read_recordings, stacked

    if step_us is None:
        fact = "recordings of an event camera have no steps of their own"
        raise FormatError(str(path), fact, "Add --step-us N, the microseconds of a step that the network was made for")
    found = read_recordings(path)
    facts = tuple(dict.fromkeys(note for recording in found.recordings for note in recording.notes))
    x = checked_samples(str(path), stacked(found.recordings, step_us=step_us))
    y = None if found.labels is None else checked_labels(str(path), x, found.labels)
    return Data(x, y, "--data", (f"events in steps of {step_us:,} microseconds", *facts))


def read_inputs(path: Path, scale: str | None = None) -> Any:
    """The samples of such a file or folder alone, whatever else it holds."""
    return read_unlabelled(path, scale).x


def read_unlabelled(path: Path, scale: str | None = None) -> Data:
    """The same with the arrays beside `x`, which may be other inputs."""
    if os.path.isdir(path):
        return replace(read_data(path, scale), y=None)
    arrays = _arrays(path)
    more = _others(arrays)
    if "x" not in arrays:
        return Data(more, name=str(path))
    return Data(checked_samples(str(path), arrays["x"]), name=str(path), more=more)


def _others(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays that may be inputs, by their names: (samples, ...), of numbers."""
    known = ("x", "y", "labels", "classes")
    return {name: one for name, one in arrays.items() if name not in known and one.ndim > 1 and one.dtype.kind in "buif"}


def _labels(path: Path, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
    """The array of labels, under either name."""
    y, labels = arrays.get("y"), arrays.get("labels")
    if y is not None and labels is not None and not np.array_equal(y, labels):
        raise FormatError(str(path), "it holds y and labels, which differ", "Keep the class numbers of the samples, as y")
    return labels if y is None else y


def _arrays(path: Path) -> Mapping[str, NDArray[Any]]:
    with opened(path) as file:
        head = file.read(len(_NPY))
    if head == _NPY:
        line = f'numpy.savez("data.npz", x=numpy.load({path.name!r}), y=y)'
        raise FormatError(str(path), "it is one array (.npy), not an .npz file", f"Write {line} and pass data.npz")
    if not head:
        raise FormatError(str(path), "it is empty", _REMEDY)
    arrays = FORMATS.get(path.suffix, FORMATS[".npz"])(path)
    if "x" not in arrays and len(_others(arrays)) < 2:
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
