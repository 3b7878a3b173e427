"""One way in for recordings of event cameras: a file by how it ends or begins, a folder of them, a file of several."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError, InputError
from neuro.events.aedat import read_aedat2, read_aedat3, version
from neuro.events.aedat4 import read_aedat4
from neuro.events.arrays import Several, read_arrays, read_bin
from neuro.events.prophesee import read_dat, read_raw
from neuro.events.recording import Found, Recording, settled
from neuro.memory import check_fits
from neuro.numbers import whole
from neuro.reading import opened, read_bytes

_MOST_BYTES = 1 << 34
_ROOM = 40  # bytes of memory that a byte of a file may need while it is decoded: EVT 3.0 has two a word
_ARRAYS = (".npz", ".h5", ".hdf5")
_BYTES: dict[str, Callable[[str, bytes], Found]] = {".dat": read_dat, ".raw": read_raw, ".bin": read_bin, ".bs2": read_bin}
_AEDAT: dict[str, Callable[[str, bytes], Found]] = {"3.1": read_aedat3, "4.0": read_aedat4}
SUFFIXES = (*_BYTES, ".aedat", ".aedat4", *_ARRAYS)


@dataclass(frozen=True, slots=True)
class LabelledRecordings:
    """Recordings and, where known, their classes (recordings,)."""

    recordings: tuple[Recording, ...]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.recordings)


def read_events(path: Any, *, size: tuple[int, int] | None = None, camera: str | None = None) -> Recording:
    """The one recording in a file: .aedat (2.0, 3.1, 4.0), .aedat4, .dat, .raw (EVT 2.0, 3.0), .bin (N-MNIST), .npz, .h5.

    `size` (width, height) and `camera` (of AEDAT 2.0) where the file does not say them. Raises FormatError for a broken or
    unknown file with the byte where that shows; the recording's `notes` say what was left out, sorted or continued.
    """
    found = read_recordings(path, size=size, camera=camera)
    if len(found) != 1:
        raise FormatError(str(path), f"it holds {len(found):,} recordings", "Use read_recordings")
    return found.recordings[0]


def read_recordings(path: Any, *, size: tuple[int, int] | None = None, camera: str | None = None) -> LabelledRecordings:
    """All recordings of a file or folder. A folder of folders named 0, 1, 2, ... gives those as classes.

    Raises as `read_events` does.
    """
    checked = None if size is None else _checked_size(size)
    place = Path(path)
    if os.path.isdir(place):
        return _folder(place, checked, camera)
    found = _several(place, camera)
    many = found.start is not None
    parts = found.parts()
    named = [f"{place} recording {i}" if many else str(place) for i in range(len(parts))]
    if checked is None and many and found.events.size is None:  # one sensor recorded all of them
        whole_file = settled(str(place), found.events, None)
        checked = whole_file.width, whole_file.height
    recordings = tuple(settled(name, part, checked) for name, part in zip(named, parts, strict=True))
    return LabelledRecordings(recordings, None if found.label is None else _classes(str(place), found.label))


def _several(path: Path, camera: str | None) -> Several:
    suffix = path.suffix.lower()
    if suffix in _ARRAYS:
        return read_arrays(path)
    with opened(path) as file:
        check_fits(str(path), _ROOM * os.fstat(file.fileno()).st_size, "its events")
    raw = read_bytes(path, _MOST_BYTES)
    return Several(_decoder(path, raw, camera)(str(path), raw))


def _decoder(path: Path, raw: bytes, camera: str | None) -> Callable[[str, bytes], Found]:
    if not raw:
        raise FormatError(str(path), "it is empty", "Pass the right file")
    suffix, stated = path.suffix.lower(), version(raw)
    if stated.startswith("2."):
        return lambda where, data: read_aedat2(where, data, camera)
    if stated in _AEDAT:
        return _AEDAT[stated]
    if stated or suffix in (".aedat", ".aedat4"):
        fact = f"it is AEDAT {stated}" if stated else "it does not begin as AEDAT files do (#!AER-DAT)"
        raise FormatError(f"{path}, byte 0", fact, "Convert it to AEDAT 2.0, 3.1 or 4.0 with jAER or DV")
    if suffix not in _BYTES:
        raise FormatError(str(path), f"no format of event cameras ends in {suffix!r}", f"Use {', '.join(SUFFIXES)}")
    return _BYTES[suffix]


def _folder(folder: Path, size: tuple[int, int] | None, camera: str | None) -> LabelledRecordings:
    inner = sorted(p for p in folder.iterdir() if p.is_dir())
    if not inner:
        return LabelledRecordings(_files(folder, size, camera))
    odd = next((p.name for p in inner if not (p.name.isdecimal() and len(p.name) < 6)), None)
    if odd is not None:
        raise FormatError(f"{folder}", f"a folder in it is named {odd!r}, not by a class number", "Name the folders 0, 1, 2, ...")
    parts = [(int(p.name), _files(p, size, camera)) for p in inner]
    labels = np.concatenate([np.full(len(found), label) for label, found in parts]).astype(np.int64)
    return LabelledRecordings(tuple(one for _, found in parts for one in found), labels)


def _files(folder: Path, size: tuple[int, int] | None, camera: str | None) -> tuple[Recording, ...]:
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise FormatError(str(folder), "it holds no recordings", f"Use files that end in {', '.join(SUFFIXES)}")
    return tuple(read_events(path, size=size, camera=camera) for path in paths)


def _classes(where: str, label: NDArray[Any]) -> NDArray[np.int64]:
    if label.dtype.kind not in "ui" or (label.size and int(label.min()) < 0):
        raise FormatError(f"{where}, label", f"it holds {label.dtype}, or numbers below 0", "Pass class numbers 0, 1, 2, ...")
    return label.astype(np.int64)


def _checked_size(size: Any) -> tuple[int, int]:
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise InputError("size", f"it is {size!r}", "Pass (width, height)")
    width, height = (
        whole("size", name, n, 1, 2**15, error=InputError) for name, n in zip(("width", "height"), size, strict=True)
    )
    return width, height
