"""The journal of a sweep: one JSON line for each finished point, each with its own hash, each on disk before the next begins.

A process may be killed at any moment. What it leaves behind is whole lines and at most one torn one, the last.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from neuro.errors import FormatError, UsageError
from neuro.sweeping.measure import Measured
from neuro.sweeping.settings import digest

FORMAT = 1
_MOST_BYTES = 1 << 30
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Journal:
    """An open journal, locked for this process. `records` are those it held when it was opened, by key, the last of each."""

    records: Mapping[str, Record]
    _file: FileIO

    def append(self, record: Record) -> None:
        """Write one record and wait until it is on disk."""
        try:
            line = _line(record)
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            remedy = "Make room, then resume: what is done is kept"
            raise FormatError(str(self._file.name), f"it could not be written ({error.strerror})", remedy) from None


@contextmanager
def open_journal(path: Path, about: Mapping[str, Any]) -> Iterator[Journal]:
    """Open or begin the journal of a sweep `about` this; a torn last line is dropped.

    Raises UsageError while another process has it open, FormatError where it is about something else or a line is damaged.
    """
    with _opened(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(str(path), "another sweep is writing it", "Wait for that one, or use another folder") from None
        head = {"format": FORMAT, **about}
        file.seek(0)
        lines, torn = _whole_lines(file.read())
        if torn:
            file.truncate(sum(map(len, lines)))
        records = [_record(path, number, line) for number, line in enumerate(lines, start=1)]
        journal = Journal({record["key"]: record for record in records[1:]}, file)
        if not records:
            journal.append(head)
            _sync_folder(path.parent)
        elif records[0] != head:
            changed = ", ".join(name for name in head if records[0].get(name) != head[name]) or "more is said there"
            remedy = "Resume with what it began with, or use another folder"
            raise FormatError(f"{path}, line 1", f"it is about another sweep ({changed} differs)", remedy)
        yield journal


def _opened(path: Path) -> FileIO:
    if path.exists() and not path.is_file():
        raise FormatError(str(path), "it cannot be written: it is a folder, a pipe or a device", "Name another folder")
    try:
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise FormatError(str(path), f"it cannot be written ({error.strerror})", "Name another folder") from None
    size = os.fstat(file.fileno()).st_size
    if size > _MOST_BYTES:
        file.close()
        raise FormatError(str(path), f"it has {size:,} bytes, at most {_MOST_BYTES:,} are read", "Name another folder")
    return file


def _line(record: Record) -> bytes:
    return (json.dumps({**record, "sha256": digest(record)}, allow_nan=False) + "\n").encode()


def _whole_lines(content: bytes) -> tuple[list[bytes], bool]:
    """Lines that end as lines do, and whether there is something behind the last of them."""
    *lines, rest = content.split(b"\n")
    return [line + b"\n" for line in lines], bool(rest)


def _record(path: Path, number: int, line: bytes) -> Record:
    """The record of a line; refused where the line does not carry its own hash, or is no point's."""
    try:
        record = json.loads(line)
        stated = record.pop("sha256")
        whole = digest(record) == stated and (number == 1 or _is_point(record))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        remedy = "Take that line out, its point is then measured again, or begin again in another folder"
        raise FormatError(f"{path}, line {number}", "it is damaged: its content does not match its hash", remedy)
    kept: Record = record
    return kept


def _is_point(record: Record) -> bool:
    outcome = record["error"] if "error" in record else record["measured"]
    return isinstance(record["key"], str) and (isinstance(outcome, str) or set(outcome) == set(Measured.__dataclass_fields__))


def _sync_folder(folder: Path) -> None:
    """The file's name is on disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
