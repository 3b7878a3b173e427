"""AEDAT 4.0, as iniVation's DV and dv-processing write it: packets of flatbuffers, plain or packed by LZ4.

Sources: iniVation's public page "AEDAT 4.0", the schemas of dv-processing, the description of flatbuffers' binary form. Only what
events need is read: a table's fields by number, and a vector of structures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError
from neuro.events.lz4 import unpacked
from neuro.events.recording import Found, cut_short

_PLAIN, _LZ4 = 0, (1, 2)
_EVENT = np.dtype(
    {"names": ["t", "x", "y", "on"], "formats": ["<i8", "<i2", "<i2", "u1"], "offsets": [0, 8, 10, 12], "itemsize": 16}
)
_REMEDY = "Copy the file again, or write it again with DV or dv-processing"
_ZSTD = "Write it again with the compression LZ4 or none (dv-processing: MonoCameraWriter's Config)"


def read_aedat4(where: str, raw: bytes) -> Found:
    """The events of the first stream that has some."""
    at = raw.find(b"\n") + 1
    length = _number(where, raw, at, 4)
    if at + 4 + length > len(raw):
        raise cut_short(where, at, 4 + length, len(raw) - at)
    header = _Table.root(raw[at + 4 : at + 4 + length], f"{where}, byte {at:,}")
    packing, table_at = header.integer(0, 4), header.integer(1, 8, -1)
    if packing not in (_PLAIN, *_LZ4):
        raise FormatError(where, f"its packets are packed by method {packing} (Zstandard), which is not read", _ZSTD)
    streams: dict[int, list[tuple[int, NDArray[Any]]]] = {}
    at, others, end = at + 4 + length, 0, table_at if 0 <= table_at <= len(raw) else len(raw)
    while at < end:
        stream, size = _number(where, raw, at, 4), _number(where, raw, at + 4, 4)
        if at + 8 + size > end:
            raise cut_short(where, at, 8 + size, end - at)
        events = _events(raw[at + 8 : at + 8 + size], packing != _PLAIN, f"{where}, byte {at:,}")
        if events is None:
            others += 1
        else:
            streams.setdefault(stream, []).append((at, events))
        at += 8 + size
    return _found(where, header.text(2), streams, others)


def _found(where: str, described: str, streams: dict[int, list[tuple[int, NDArray[Any]]]], others: int) -> Found:
    if not streams:
        raise FormatError(where, "it has no stream of events", "Record a camera's events too")
    first = min(streams)
    places, parts = zip(*streams[first], strict=True)
    events = np.concatenate(parts)
    ends = np.cumsum([len(part) for part in parts])
    notes = [f"{others:,} packets of other streams (frames, motion, triggers) were left out"] * (others > 0)
    if len(streams) > 1:
        notes.append(f"{len(streams)} cameras are in the file: the events are those of stream {first}")
    size = _size(described, first)
    times, on = events["t"].astype(np.int64), events["on"] != 0
    x, y = events["x"].astype(np.int32), events["y"].astype(np.int32)
    return Found(x, y, times, on, size, lambda event: places[int(np.searchsorted(ends, event, "right"))], tuple(notes))


def _events(content: bytes, packed: bool, where: str) -> NDArray[Any] | None:
    """The events of a packet's content; None where it holds something else."""
    try:
        plain = unpacked(content) if packed else content
    except ValueError as error:
        raise FormatError(where, f"a packet cannot be unpacked ({error})", _REMEDY) from None
    if plain[8:12] != b"EVTS":
        return None
    return _Table.root(plain[4:], where).structures(0, _EVENT)


def _size(described: str, stream: int) -> tuple[int, int] | None:
    """The sensor's size in the XML that describes a stream."""
    node = re.search(rf'path="[^"]{{0,200}}/{stream}/info/"[^>]{{0,200}}>(.{{0,4000}}?)</node>', described, re.DOTALL)
    sizes = [re.search(rf'key="{key}"[^>]{{0,100}}>(\d{{1,5}})<', node[1]) for key in ("sizeX", "sizeY")] if node else []
    found = [int(size[1]) for size in sizes if size]
    return (found[0], found[1]) if len(found) == 2 and min(found) > 0 else None


def _number(where: str, raw: bytes, at: int, size: int) -> int:
    if at + size > len(raw):
        raise cut_short(where, at, size, len(raw) - at)
    return int.from_bytes(raw[at : at + size], "little")


@dataclass(frozen=True, slots=True)
class _Table:
    """A flatbuffer's table: `at` in `data`. What it points at beyond its bytes is refused."""

    data: bytes
    at: int
    where: str

    @classmethod
    def root(cls, data: bytes, where: str) -> _Table:
        return cls(data, cls(data, 0, where)._read(0, 4), where)

    def _read(self, at: int, size: int, signed: bool = False) -> int:
        if not 0 <= at <= len(self.data) - size:
            raise FormatError(self.where, f"a part points at byte {at:,} of {len(self.data):,}", _REMEDY)
        return int.from_bytes(self.data[at : at + size], "little", signed=signed)

    def _field(self, number: int) -> int:
        """Where a field lies; 0 where it is left at its default."""
        fields = self.at - self._read(self.at, 4, signed=True)
        inside = 4 + 2 * number < self._read(fields, 2)
        offset = self._read(fields + 4 + 2 * number, 2) if inside else 0
        return self.at + offset if offset else 0

    def integer(self, number: int, size: int, default: int = 0) -> int:
        at = self._field(number)
        return self._read(at, size, signed=True) if at else default

    def _vector(self, number: int) -> tuple[int, int]:
        """Where a vector's values begin, and how many there are."""
        at = self._field(number)
        if not at:
            return 0, 0
        start = at + self._read(at, 4)
        return start + 4, self._read(start, 4)

    def text(self, number: int) -> str:
        start, length = self._vector(number)
        return self.data[start : start + length].decode("utf-8", "replace")

    def structures(self, number: int, kind: np.dtype[Any]) -> NDArray[Any]:
        start, length = self._vector(number)
        if start + length * kind.itemsize > len(self.data):
            fact = f"it states {length:,} events and holds {len(self.data):,} bytes"
            raise FormatError(self.where, fact, _REMEDY)
        return np.frombuffer(self.data, kind, length, start)
