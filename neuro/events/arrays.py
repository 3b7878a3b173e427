"""Events as arrays by name in .npz and .h5 files, and N-MNIST's .bin files of five bytes an event.

Names: x, y, times t (or t_us, ts, timestamps) and signs p (or on, pol, polarity), alone or in a group `events`. `start`
(recordings + 1) cuts them into several recordings, `label` (recordings,) says their classes. Whole times are microseconds,
fractions seconds. Source of .bin: Orchard et al. 2015, Front. Neurosci. 9:437, and the authors' own reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError
from neuro.events.recording import Found, cut_short
from neuro.hdf5 import read_group
from neuro.reading import read_npz

_NAMES = {
    "x": ("x", "xs"),
    "y": ("y", "ys"),
    "t": ("t", "t_us", "ts", "timestamps", "timestamp"),
    "p": ("p", "ps", "on", "pol", "polarity", "polarities"),
}
_REMEDY = "Write it with numpy.savez(path, x=x, y=y, t=microseconds, p=p)"
_BIN_BYTES, _BIN_SIZE, _OVERFLOW_ROW, _OVERFLOW_US = 5, (34, 34), 240, 1 << 13


@dataclass(frozen=True, slots=True)
class Several:
    """Recordings of one file, one after the other: events `start[i]` to `start[i + 1]` are recording i, of class `label[i]`."""

    events: Found
    start: NDArray[np.int64] | None = None
    label: NDArray[Any] | None = None

    def parts(self) -> list[Found]:
        """Each recording's events."""
        if self.start is None:
            return [self.events]
        e = self.events
        bounds = [slice(int(a), int(b)) for a, b in zip(self.start[:-1], self.start[1:], strict=True)]
        return [replace(e, x=e.x[i], y=e.y[i], t_us=e.t_us[i], on=e.on[i]) for i in bounds]


def read_bin(where: str, raw: bytes) -> Found:
    """The events of an N-MNIST or N-Caltech101 file: x, y, one bit of sign and 23 bits of time, big-endian."""
    left = len(raw) % _BIN_BYTES
    if left:
        raise cut_short(where, len(raw) - left, _BIN_BYTES, left)
    data = np.frombuffer(raw, np.uint8).reshape(-1, _BIN_BYTES).astype(np.int64)
    late = _OVERFLOW_US * np.cumsum(data[:, 1] == _OVERFLOW_ROW)  # such a row marks that the camera's own counter wrapped
    (at,) = np.nonzero(data[:, 1] != _OVERFLOW_ROW)
    times = ((data[:, 2] & 0x7F) << 16 | data[:, 3] << 8 | data[:, 4]) + late
    kept = data[at]
    fits = bool(len(kept)) and kept[:, 0].max() < _BIN_SIZE[0] and kept[:, 1].max() < _BIN_SIZE[1]
    x, y = kept[:, 0].astype(np.int32), kept[:, 1].astype(np.int32)
    size = _BIN_SIZE if fits else None  # N-MNIST's; the other data sets have files of all sizes
    return Found(x, y, times[at], kept[:, 2] >> 7 == 1, size, lambda event: _BIN_BYTES * int(at[event]))


def read_arrays(path: Path) -> Several:
    """The recording, or recordings, in an .npz or .h5 file."""
    where = str(path)
    arrays: Mapping[str, Any] = read_npz(path, _REMEDY) if path.suffix == ".npz" else read_group(path, "", "HDF5 events", _REMEDY)
    inner = arrays.get("events")
    if isinstance(inner, dict):
        arrays = {**arrays, **inner}
    found = {key: _column(where, arrays, key) for key in _NAMES}
    if len({len(array) for array in found.values()}) > 1:
        sizes = ", ".join(f"{key} {len(array):,}" for key, array in found.items())
        raise FormatError(where, f"its arrays disagree about how many events there are ({sizes})", _REMEDY)
    times, notes = _times(where, found["t"])
    x, y = (_whole(where, key, found[key]) for key in ("x", "y"))
    events = Found(x, y, times, found["p"] > 0, _size(arrays), None, notes)
    return Several(events, *_cuts(where, arrays, len(times)))


def _column(where: str, arrays: Mapping[str, Any], key: str) -> NDArray[Any]:
    name = next((name for name in _NAMES[key] if name in arrays), None)
    if name is None:
        held = ", ".join(sorted(map(str, arrays))) or "nothing"
        raise FormatError(where, f"it has no array {' or '.join(map(repr, _NAMES[key]))} (it holds {held})"[:500], _REMEDY)
    array = np.asarray(arrays[name])
    if array.ndim != 1 or array.dtype.kind not in "buif":
        raise FormatError(f"{where}, {name}", f"its shape is {array.shape}, its type {array.dtype}", _REMEDY)
    return array


def _whole(where: str, key: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and np.array_equal(array, np.rint(array))):
        raise FormatError(f"{where}, {key}", "it holds fractions", _REMEDY)
    return array.astype(np.int64)


def _times(where: str, times: NDArray[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if times.dtype.kind in "ui":
        if times.dtype == np.uint64 and times.size and times.max() > np.iinfo(np.int64).max:
            raise FormatError(f"{where}, t", f"a time is {times.max()}", _REMEDY)
        return times.astype(np.int64), ()
    if not np.isfinite(times).all() or np.abs(times).max(initial=0) > 2**52 * 1e-6:
        raise FormatError(f"{where}, t", "it holds NaN, infinity, or seconds beyond what microseconds can tell", _REMEDY)
    return np.rint(times.astype(np.float64) * 1e6).astype(np.int64), ("times are fractions: taken as seconds",)


def _size(arrays: Mapping[str, Any]) -> tuple[int, int] | None:
    sizes = [np.asarray(arrays.get(name)) for name in ("width", "height")]
    if not all(size.ndim == 0 and size.dtype.kind in "ui" for size in sizes):
        return None
    return int(sizes[0]), int(sizes[1])


def _cuts(where: str, arrays: Mapping[str, Any], events: int) -> tuple[NDArray[np.int64] | None, NDArray[Any] | None]:
    """Where recordings begin, and their classes; None where there is one recording."""
    if "start" not in arrays:
        return None, None
    start = np.asarray(arrays["start"])
    steps = start.dtype.kind in "ui" and start.ndim == 1 and len(start) > 1
    if not steps or start[0] != 0 or start[-1] != events or np.any(np.diff(start.astype(np.int64)) < 0):
        raise FormatError(
            f"{where}, start", f"it does not cut {events:,} events", "Begin with 0, end with their number, never go back"
        )
    label = next((np.asarray(arrays[name]) for name in ("label", "labels") if name in arrays), None)
    if label is not None and label.shape != (len(start) - 1,):
        raise FormatError(f"{where}, label", f"its shape is {label.shape} for {len(start) - 1:,} recordings", "Pass one for each")
    return start.astype(np.int64), label
