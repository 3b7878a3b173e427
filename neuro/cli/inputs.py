"""What a user names on the command line, read: data files, and networks of every kind. Does nothing with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError, InputError
from neuro.reading import read_npz

MAX_CLASS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Data:
    """Samples x (samples, *shape) and, where known, their classes y (samples,)."""

    x: NDArray[Any]
    y: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.x)


def read_data(path: Path) -> Data:
    """The arrays `x` and, if there, `y` of an .npz file. Refuses pickled objects, other files, and arrays that disagree."""
    arrays = read_npz(path)
    if "x" not in arrays:
        held = ", ".join(arrays) or "nothing"
        raise FormatError(str(path), f"it has no array 'x' (it holds {held})", "Write it with numpy.savez(path, x=x, y=y)")
    x, y = arrays["x"], arrays.get("y")
    if x.ndim < 2 or x.dtype.kind not in "buif":
        raise InputError(f"{path}, x", f"shape {x.shape}, dtype {x.dtype}", "Pass numbers, (samples, *shape of one sample)")
    if len(x) == 0:
        raise InputError(f"{path}, x", "there are no samples", "Pass at least one")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise InputError(f"{path}, x", "it holds NaN or infinity", "Clean the data")
    return Data(x.astype(np.float32) if x.dtype.kind == "f" else x, None if y is None else _labels(path, x, y))


def _labels(path: Path, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.int64]:
    if y.shape != (len(x),):
        raise InputError(f"{path}, y", f"shape {y.shape} for {len(x)} samples", "Pass one class number for each sample")
    if y.dtype.kind not in "ui" or y.min() < 0 or y.max() > MAX_CLASS:
        raise InputError(f"{path}, y", f"{y.dtype} from {y.min()} to {y.max()}", "Pass class numbers 0, 1, 2, ...")
    return y.astype(np.int64)
