"""AEDAT 2.0 and 3.1, as jAER and cAER write them. Source: iniVation's public pages on the AEDAT file formats.

Rows of AEDAT 2.0 count from the bottom and are turned around; columns are taken as they are stored (jAER mirrors those of DAVIS
cameras when it shows them).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError
from neuro.events.recording import Found, continued, cut_short, wrapped_note

MARK = b"#!AER-DAT"
_POLARITY = 1  # the type of such events in AEDAT 3.1
_PACKET_BYTES, _EVENT_BYTES = 28, 8


@dataclass(frozen=True, slots=True)
class Camera:
    """How a camera's addresses are read: its pixels, where x, y and sign lie, and the bits that mark other data."""

    width: int
    height: int
    x: tuple[int, int]  # shift, mask
    y: tuple[int, int]
    on: int
    other: int


def _davis(width: int, height: int) -> Camera:
    return Camera(width, height, (12, 0x3FF), (22, 0x1FF), 11, 1 << 31 | 1 << 10)


CAMERAS = {
    "DVS128": Camera(128, 128, (1, 0x7F), (8, 0x7F), 0, 1 << 15),
    "DAVIS128": _davis(128, 128),
    "DAVIS208": _davis(208, 192),
    "DAVIS240": _davis(240, 180),
    "DAVIS346": _davis(346, 260),
    "DAVIS640": _davis(640, 480),
}


def version(raw: bytes) -> str:
    """What the first line says, as "2.0"; "" where it is no AEDAT file."""
    line = raw[: raw.find(b"\n", 0, 64)].strip()
    return line[len(MARK) :].decode("ascii", "replace") if line.startswith(MARK) else ""


def read_aedat2(where: str, raw: bytes, camera: str | None) -> Found:
    """Addresses with times, big-endian; `camera` where the header does not name one that is known."""
    lines, start = _header(raw)
    named = next((name for name in CAMERAS if name in (camera or _chip(lines)).upper()), None)
    if named is None:
        said = f"its header names the camera {_chip(lines)!r}" if _chip(lines) else "its header names no camera"
        raise FormatError(where, f"{said}, whose addresses are not known", f"Pass camera=, one of {', '.join(CAMERAS)}")
    left = (len(raw) - start) % _EVENT_BYTES
    if left:
        raise cut_short(where, len(raw) - left, _EVENT_BYTES, left)
    records = np.frombuffer(raw, np.dtype([("address", ">u4"), ("t", ">u4")]), offset=start)
    c, address = CAMERAS[named], records["address"].astype(np.int64)
    times, wraps = continued(records["t"], 32)
    (at,) = np.nonzero((address & c.other) == 0)
    x = (address[at] >> c.x[0] & c.x[1]).astype(np.int32)
    y = (c.height - 1 - (address[at] >> c.y[0] & c.y[1])).astype(np.int32)
    on, skipped = (address[at] >> c.on & 1) == 1, len(address) - len(at)
    notes = (*_left_out(skipped, "records are no events (frames, motion, outer signals)"), *wrapped_note(wraps, 32))
    return Found(x, y, times[at], on, (c.width, c.height), lambda event: start + _EVENT_BYTES * int(at[event]), notes)


def read_aedat3(where: str, raw: bytes) -> Found:
    """Packets of events, little-endian; those of other types are passed over by their stated size."""
    lines, at = _header(raw)
    if "#Format: RAW" not in lines:
        raise FormatError(where, "its events are not in the RAW format", "Record with Format: RAW")
    parts: list[NDArray[np.int64]] = []
    others = 0
    while at < len(raw):
        head = np.frombuffer(raw[at : at + _PACKET_BYTES].ljust(_PACKET_BYTES, b"\0"), "<i4")
        if at + _PACKET_BYTES > len(raw):
            raise cut_short(where, at, _PACKET_BYTES, len(raw) - at)
        kind, size, overflow, capacity, number = int(head[0]) & 0xFFFF, *(int(head[i]) for i in (1, 3, 4, 5))
        need = size * capacity
        if size < 1 or overflow < 0 or not 0 <= number <= capacity or (kind == _POLARITY and size != _EVENT_BYTES):
            fact = f"a packet states {number:,} of {capacity:,} events of {size:,} bytes"
            raise FormatError(f"{where}, byte {at:,}", fact, f"Record again, or cut the file to {at:,} bytes")
        first = at + _PACKET_BYTES
        if first + need > len(raw):
            raise cut_short(where, at, _PACKET_BYTES + need, len(raw) - at)
        if kind == _POLARITY:
            events = np.frombuffer(raw, "<u4", 2 * number, first).reshape(-1, 2).astype(np.int64)
            places = first + _EVENT_BYTES * np.arange(number)
            parts.append(np.stack([events[:, 0], events[:, 1] + (overflow << 31), places], axis=1))
        else:
            others += capacity
        at = first + need
    data, t_us, places = np.concatenate([np.zeros((0, 3), np.int64), *parts]).T
    (valid,) = np.nonzero(data & 1)
    data, t_us, places = data[valid], t_us[valid], places[valid]
    notes = (
        *_left_out(others, "records are of other types"),
        *_left_out(_count(parts) - len(valid), "events are marked invalid"),
    )
    x, y = (data >> 17 & 0x7FFF).astype(np.int32), (data >> 2 & 0x7FFF).astype(np.int32)
    return Found(x, y, t_us, (data >> 1 & 1) == 1, _source_size(lines), lambda event: int(places[event]), notes)


def _count(parts: list[NDArray[np.int64]]) -> int:
    return sum(len(part) for part in parts)


def _left_out(number: int, what: str) -> tuple[str, ...]:
    return (f"{number:,} {what}: they were left out",) if number else ()


def _source_size(lines: str) -> tuple[int, int] | None:
    """The size of the sensor that the line of the first source names."""
    named = next((line for line in lines.splitlines() if line.startswith("#Source ")), "").upper()
    return next(((c.width, c.height) for name, c in CAMERAS.items() if name in named), None)


def _chip(lines: str) -> str:
    line = next((line for line in lines.splitlines() if line.startswith("# AEChip:")), "")
    return line.partition(":")[2].strip().rpartition(".")[2]


def _header(raw: bytes) -> tuple[str, int]:
    """The lines that begin with # and are text, and where the data begin."""
    at, lines = 0, []
    while raw[at : at + 1] == b"#":
        end = raw.find(b"\n", at, at + (1 << 16))
        line = raw[at : max(end, at)].decode("latin-1").rstrip("\r")
        if end < 0 or not line.replace("\t", " ").isprintable():
            break
        lines.append(line)
        at = end + 1
        if line == "#!END-HEADER":
            break
    return "\n".join(lines), at
