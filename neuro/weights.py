"""Trained weights by name, from the files that people have: safetensors, and what torch.save wrote. Nothing is unpickled.

Knows nothing of the network that they belong to.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError, NeuroError
from neuro.files import Tensors, read_tensors
from neuro.memory import check_fits
from neuro.pickles import PickledObject, Stored, Strided, parse_pickle
from neuro.reading import PICKLES, ZIP, check_members, check_safetensors, opened, reason

PICKLE_BYTES = 4 << 20  # of the description of tensors in a zip archive
REMEDY = "Save them with safetensors.torch.save_file(model.state_dict(), path), or with torch.save(model.state_dict(), path)"
_NESTED = ("state_dict", "model_state_dict", "model", "net", "weights", "params")  # where training scripts keep weights
_MAGIC = 0x1950A86A20F9469CFC6C  # how files of torch.save before version 1.6 begin
_AMPLIFIED = 4  # times the size of its file that tensors may need, which share values where layers share weights
_TYPES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "u2", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
_BROKEN = (ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, OverflowError, MemoryError,
           zipfile.BadZipFile, NotImplementedError)  # fmt: skip
_WIDENED = "BFloat16Storage"  # which NumPy has no type for
Rows = Callable[[Stored], bytes]


def read_weights(path: Any) -> Tensors:
    """All arrays of a safetensors file, or of a table of weights that torch.save wrote, by name.

    The table may lie under "state_dict", "model" and the like, as training scripts keep it beside other things. Numbers of
    the type bfloat16 become float32, which holds them all. Raises FormatError for pickled modules, TorchScript archives,
    other kinds of tensors, and descriptions that do not fit the values.
    """
    with opened(path) as file:
        head = file.read(4)
    if head == ZIP:
        return _guarded(path, _zipped)
    if head.startswith(PICKLES):
        return _guarded(path, _legacy)
    return read_tensors(path)


def is_safetensors(path: Any) -> bool:
    """Whether a file begins as no other kind of weights does, so that it is to be read as safetensors."""
    with opened(path) as file:
        return not file.read(4).startswith((ZIP, *PICKLES))


def check_weights(path: Path) -> None:
    """Refuse weights that are not there, or are plainly of another kind, without reading their values."""
    files = weight_files(path)
    if files != (path,):
        for part in files:
            check_weights(part)
        return
    if is_safetensors(path):
        check_safetensors(path)
        return
    with opened(path) as file:
        if file.read(4) == ZIP:
            _check_names(str(path), _members(path, file))


def weight_files(path: Path) -> tuple[Path, ...]:
    """The files of weights that a path means: itself, or those of a folder: safetensors in parts, or one file of any kind.

    Raises FormatError for a folder without weights, or with several files that are no parts of one network.
    """
    if not os.path.isdir(path):
        return (path,)
    parts = sorted(path.glob("*.safetensors"))
    if len(parts) > 1 and not (path / "model.safetensors").is_file() and not list(path.glob("*.safetensors.index.json")):
        fact = f"it holds {', '.join(part.name for part in parts[:4])}, and no index that says that they belong together"
        raise FormatError(str(path), fact, "Name one of them")
    if (path / "model.safetensors").is_file():
        return (path / "model.safetensors",)
    files = parts or sorted(file for end in ("bin", "pt", "pth") for file in path.glob(f"*.{end}"))
    if not files or (not parts and len(files) > 1):
        fact = f"it holds {', '.join(file.name for file in files[:4]) or 'no file of weights'}"
        raise FormatError(str(path), fact, "Name a file of weights" if not files else "Name one of them")
    return tuple(files)


def _guarded(path: Any, read: Callable[[str, BinaryIO], Tensors]) -> Tensors:
    where = str(path)
    with opened(path) as file:
        try:
            return read(where, file)
        except NeuroError:
            raise
        except _BROKEN as error:
            raise FormatError(where, f"it is not a readable file of torch.save ({reason(error)})", REMEDY) from None


def _members(path: Any, file: BinaryIO) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.infolist()
    except _BROKEN as error:
        raise FormatError(str(path), f"it is not a readable archive ({reason(error)})", REMEDY) from None


def _check_names(where: str, members: Iterable[zipfile.ZipInfo]) -> None:
    """Refuse archives that hold something else than tensors."""
    names = [info.filename for info in members]
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        fact = "it is a TorchScript archive, which is a program with its weights"
        raise FormatError(where, fact, "Load it with torch.jit.load and save the weights alone. " + REMEDY)
    if "data.pkl" not in inner:
        kind = "an .npz file" if names and all(name.endswith(".npy") for name in names) else "a zip archive without tensors"
        raise FormatError(where, f"it is {kind}, not trained weights", REMEDY)


def _zipped(where: str, file: BinaryIO) -> Tensors:
    """From the archive that torch.save writes: the description in data.pkl, each row of values in a member of its own."""
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_names(where, members)
        check_members(where, members, REMEDY)
        if any(info.compress_type != zipfile.ZIP_STORED for info in members) or sum(m.file_size for m in members) > size:
            raise FormatError(where, "its members are packed, or overlap, as torch.save leaves none", REMEDY)
        by_name = {info.filename: info for info in members}
        root = next(name for name in by_name if name.endswith("/data.pkl")).removesuffix("data.pkl")
        if by_name[f"{root}data.pkl"].file_size > PICKLE_BYTES:
            raise FormatError(where, f"its description has more than {PICKLE_BYTES:,} bytes", REMEDY)
        if f"{root}byteorder" in by_name and archive.read(f"{root}byteorder") != b"little":
            raise FormatError(where, "its numbers are in the order of another kind of processor", REMEDY)
        with archive.open(f"{root}data.pkl") as description:
            table = _table(where, parse_pickle(description))  # type: ignore[arg-type]  # it reads like a file
        return _arrays(where, table, size, lambda row: archive.read(f"{root}data/{row.key}"))


def _legacy(where: str, file: BinaryIO) -> Tensors:
    """From the form before torch 1.6: four pickles, the keys of the rows, then each row's length and its values."""
    size = os.fstat(file.fileno()).st_size
    if parse_pickle(file) != _MAGIC:
        raise FormatError(where, "it is a pickle that torch.save did not write", REMEDY)
    for _ in range(2):  # a version, and facts of the machine
        parse_pickle(file)
    stored: dict[str, Stored] = {}
    table = _table(where, parse_pickle(file, stored))
    keys = parse_pickle(file)
    starts: dict[str, tuple[int, int]] = {}
    for key in keys:
        row = stored.get(str(key))
        count = int.from_bytes(file.read(8), "little")
        if row is None or row.count != count:
            raise ValueError(f"row {key!r} of values is not as long as it is described")
        starts[row.key] = (file.tell(), count * _type(row).itemsize)
        file.seek(starts[row.key][1], os.SEEK_CUR)

    def values(row: Stored) -> bytes:
        at, length = starts[row.key]
        file.seek(at)
        return file.read(min(length, size))

    return _arrays(where, table, size, values)


def _table(where: str, value: Any) -> dict[str, Strided]:
    """The one table of tensors in what was saved."""
    if isinstance(value, PickledObject):
        fact = f"it holds a pickled {value.name}, which only its own code can read, not weights alone"
        raise FormatError(where, fact, REMEDY)
    inner = {key: value[key] for key in _NESTED if isinstance(value.get(key), dict)} if isinstance(value, dict) else {}
    if len(inner) > 1:
        raise FormatError(where, f"it holds weights under {' and '.join(map(repr, inner))}", f"Choose one. {REMEDY}")
    if inner:
        [(_, value)] = inner.items()
    if not isinstance(value, dict) or not value:
        under = [key for key in _NESTED if isinstance(value, dict) and isinstance(value.get(key), PickledObject)]
        fact = f"it holds a pickled {value[under[0]].name} under {under[0]!r}" if under else "it holds no table of weights"
        raise FormatError(where, fact, REMEDY)
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Strided):
            kind = tensor.name if isinstance(tensor, PickledObject) else type(tensor).__name__
            raise FormatError(where, f"{name!r} is no tensor but {kind}", REMEDY)
    return value


def _type(row: Stored) -> np.dtype[Any]:
    if row.kind not in _TYPES:
        raise ValueError(f"values of the type {row.kind} are not read")
    return np.dtype(_TYPES[row.kind]).newbyteorder("<")


def _arrays(where: str, table: dict[str, Strided], size: int, values: Rows) -> Tensors:
    """The arrays, once what is described has been held against what is there."""
    need = sum(math.prod(t.size) * _type(t.row).itemsize for t in table.values())
    if need > _AMPLIFIED * size:
        raise FormatError(where, f"{size:,} bytes promise tensors of {need:,}", REMEDY)
    check_fits(where, need, "its tensors")
    rows: dict[str, NDArray[Any]] = {}
    found: Tensors = {}
    for name, tensor in table.items():
        row = tensor.row
        if row.key not in rows:
            rows[row.key] = np.frombuffer(values(row), _type(row))
        found[name] = _array(name, tensor, rows[row.key])
    return found


def _array(name: str, tensor: Strided, row: NDArray[Any]) -> NDArray[Any]:
    """The values of one tensor as an array of its own shape."""
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.size, tensor.stride, strict=True))
    count = math.prod(tensor.size)
    if row.size != tensor.row.count or row.dtype != _type(tensor.row) or (count and (last >= row.size or count > row.size)):
        raise ValueError(f"tensor {name!r} is larger than the values that are there")
    if not count:
        return np.zeros(tensor.size, np.float32 if tensor.row.kind == _WIDENED else row.dtype)
    strides = [step * row.itemsize for step in tensor.stride]
    array: NDArray[Any] = np.lib.stride_tricks.as_strided(row[tensor.offset :], tensor.size, strides, writeable=False)
    if tensor.row.kind == _WIDENED:
        return np.asarray((array.astype(np.uint32) << np.uint32(16)).view(np.float32))
    return np.array(array)
