"""Untrusted files: opened only if they are regular, read up to a size, and checked before memory is taken for them.

Knows TOML, npz and the outside of safetensors; knows nothing of what they describe. Nothing is unpickled or executed.
"""

from __future__ import annotations

import ast
import codecs
import io
import json
import lzma
import math
import os
import re
import stat
import struct
import tomllib
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError, NeuroError
from neuro.memory import check_fits

TEXT_BYTES = 1 << 20  # of a chip or machine file; the longest shipped one has 8 KB
TABLE_BYTES = 64 << 20  # of a CSV file
HEADER_BYTES = 8 << 20  # of a safetensors file
DEPTH = 16  # tables within tables
RATIO, FREE_BYTES = 200, 64 << 20  # an array beyond so many bytes may be packed at most so tightly
ZIP = b"PK\x03\x04"
PICKLES = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))  # how pickles begin, as torch.save wrote before version 1.6
_PIECE = 1 << 20
_ARRAY_HEADER_BYTES = 10_000
_MEMBERS = 10_000
_DOTS = 200  # in a line of TOML
_REMEDY_SAFETENSORS = "Save it again as safetensors (weights: safetensors.torch.save_file(model.state_dict(), path))"
_PLAIN = re.compile(r"[<>|=]?[biufcUS][1-9]\d{0,8}")  # types that can be read: numbers, truth values, text


@contextmanager
def opened(path: Any, most: int | None = None) -> Iterator[BinaryIO]:
    """A regular file of at most `most` bytes, open for reading; a FormatError for folders, pipes, devices and larger files."""
    where = str(path)
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise FormatError(where, "there is no such file", "Check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise FormatError(where, f"it cannot be opened ({reason(error)})", "Check the path and who may read it") from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or (most is not None and found.st_size > most):
        os.close(handle)
        if stat.S_ISREG(found.st_mode):
            raise FormatError(where, f"it has {found.st_size:,} bytes, at most {most:,} are read", "Pass the right file")
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or device"
        raise FormatError(where, f"there is no such file, it is {kind}", "Name a regular file")
    with open(handle, "rb") as file:
        try:
            yield file
        except OSError as error:
            raise FormatError(where, f"it cannot be read ({reason(error)})", "Check the file") from None


def read_bytes(path: Any, most: int) -> bytes:
    """All of a regular file that has at most `most` bytes."""
    with opened(path, most) as file:
        return file.read(min(most, os.fstat(file.fileno()).st_size))


def read_text(path: Any, most: int = TEXT_BYTES) -> str:
    """A text file in UTF-8 of at most `most` bytes, with a byte order mark or without; line ends become newlines."""
    raw = read_bytes(path, most)
    try:
        text = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig").read()
    except UnicodeDecodeError as error:
        fact = f"it is text in {_encoding(raw)}, not in UTF-8" if _encoding(raw) else f"it is not text in UTF-8 ({reason(error)})"
        raise FormatError(str(path), fact, "Save it again as UTF-8") from None
    if "\0" in text:  # UTF-16 without its mark is valid UTF-8 of every other character
        raise FormatError(str(path), "it holds zero bytes: it is no text, or text in UTF-16", "Save it again as UTF-8")
    return text


def _encoding(raw: bytes) -> str:
    """The encoding that a file's byte order mark names, "" where there is none."""
    marks = {
        codecs.BOM_UTF32_LE: "UTF-32",
        codecs.BOM_UTF32_BE: "UTF-32",
        codecs.BOM_UTF16_LE: "UTF-16",
        codecs.BOM_UTF16_BE: "UTF-16",
    }
    return next((name for mark, name in marks.items() if raw.startswith(mark)), "")


def read_toml(path: Any) -> dict[str, Any]:
    """The tables of a TOML file."""
    text = read_text(path)
    if any(line.count(".") > _DOTS for line in text.splitlines()):  # the parser's memory grows with the square of a key's parts
        raise FormatError(str(path), f"a line has more than {_DOTS} dots", "Break it")
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError also for numbers of thousands of digits
        raise FormatError(str(path), f"it is not valid TOML ({reason(error)})", "Correct that line") from None
    _check_toml(str(path), tables)
    return tables


def read_npz(path: Any, remedy: str = "Write it with numpy.savez(path, x=x, y=y)") -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name: numbers, truth values and text, never objects.

    What the members declare is checked before it is unpacked: sizes against shapes, packing, and all of it against memory.
    """
    where = str(path)
    with opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                check_members(where, members, remedy)
                return {info.filename.removesuffix(".npy"): _array(archive, info) for info in members}
        except NeuroError:
            raise
        except (ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
                SyntaxError, TypeError, MemoryError) as error:  # fmt: skip
            raise FormatError(where, f"it cannot be read as .npz ({reason(error)})", remedy) from None


def check_members(where: str, members: Iterable[zipfile.ZipInfo], remedy: str) -> None:
    """Refuse an archive whose members are many, named twice, packed too tightly, or larger together than memory."""
    infos = list(members)
    names = [info.filename.removesuffix(".npy") for info in infos]
    if len(infos) > _MEMBERS or len(set(names)) < len(names):
        raise FormatError(where, f"it has {len(infos):,} members, {len(set(names)):,} names", remedy)
    total, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if total > max(FREE_BYTES, RATIO * packed):
        raise FormatError(where, f"{packed:,} packed bytes promise {total:,}", "Take another file: no data are that even")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in infos):
        raise FormatError(where, "a member is packed by an unusual method", remedy)
    check_fits(where, total, "its arrays")


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    """One member, which must hold exactly the array that its header declares."""
    with archive.open(info) as member:
        shape, kind, order = _described(info.filename, member)
        need, left = math.prod(shape) * kind.itemsize, info.file_size - member.tell()
        if need != left:
            raise ValueError(f"{info.filename!r}: {shape} of {kind} needs {need:,} bytes, {left:,} follow")
        flat = np.empty(left, np.uint8)
        for at in range(0, left, _PIECE):
            piece = member.read(min(_PIECE, left - at))
            if len(piece) < min(_PIECE, left - at):
                raise ValueError(f"{info.filename!r} is cut short")
            flat[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
        array: NDArray[Any] = flat.view(kind).reshape(shape, order=order)
        return array


def _described(name: str, member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], Literal["C", "F"]]:
    """Shape, type and order of an array, from the header in front of its values; a ValueError where it is not plain."""
    head = member.read(8)
    width = {1: 2, 2: 4, 3: 4}.get(head[6] if len(head) == 8 else 0)
    if head[:6] != b"\x93NUMPY" or width is None:
        raise ValueError(f"member {name!r} is no array")
    length = int.from_bytes(member.read(width), "little")
    if length > _ARRAY_HEADER_BYTES:
        raise ValueError(f"{name!r} has a header of {length:,} bytes")
    described = ast.literal_eval(member.read(length).decode("utf-8" if head[6] == 3 else "latin-1").strip())
    shape, kind = described["shape"], str(described["descr"])
    if not _PLAIN.fullmatch(kind) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"{name!r} holds {kind!r} of shape {shape}: objects and records are not read")
    return tuple(shape), np.dtype(kind), "F" if described["fortran_order"] else "C"


def check_safetensors(path: Any) -> None:
    """Refuse what is no regular file, a header longer than the file or than any network needs, and names that come twice.

    The library checks the rest: types, shapes against offsets, and that tensors follow each other without gaps.
    """
    where, remedy = str(path), "Save it again"
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(8)
        length = int.from_bytes(head, "little")
        if size < 8 or length > min(size - 8, HEADER_BYTES):
            raise FormatError(where, f"it is not a readable safetensors file: {_begins(head, length, size)}", _REMEDY_SAFETENSORS)
        try:
            if not isinstance(json_object(file.read(length).decode("utf-8")), dict):
                raise FormatError(where, "it is not a readable safetensors file: its header is no table", remedy)
        except (ValueError, RecursionError) as error:
            raise FormatError(where, f"it is not a readable safetensors file: {reason(error)}", remedy) from None
    check_fits(where, size, "its tensors")


def _begins(head: bytes, length: int, size: int) -> str:
    """What a file is that does not begin as safetensors files do."""
    if head.startswith(ZIP):
        return "it is a zip archive, as torch.save and numpy.savez write"
    if head.startswith(PICKLES):
        return "it is a pickle"
    claimed = f"it claims a header of {length:,} bytes" if HEADER_BYTES < length <= size else "its header is not whole"
    return claimed if size else "it is empty"


def json_object(text: str) -> Any:
    """The value of JSON text; a ValueError where it is broken, names a key twice, or holds NaN or infinity."""
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)


def reason(error: BaseException) -> str:
    """The first line of an error's text, at most 200 characters of it."""
    said = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return said.splitlines()[0][:200]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is named twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _check_toml(where: str, tables: Any) -> None:
    """Refuse tables within tables without end, and numbers that no float can hold."""
    level = [tables]
    for _ in range(DEPTH):
        for value in level:
            if isinstance(value, int) and value.bit_length() > 64:
                raise FormatError(where, f"it holds a whole number of {value.bit_length():,} bits", "Use at most 64")
        nested = (value.values() if isinstance(value, dict) else value for value in level if isinstance(value, dict | list))
        level = [inner for values in nested for inner in values]
        if not level:
            return
    raise FormatError(where, f"its tables are nested more than {DEPTH} deep", "Write it as the shipped files are written")
