"""Prophesee's files: decoded events (.dat) and the camera's own words (.raw, EVT 2.0 and EVT 3.0). Sources: Prophesee's public
pages "DAT file format", "EVT 2.0 format" and "EVT 3.0 format".

The state that EVT 3.0 words change (time, row, base of a vector) is found for all words at once: the last word of its kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError
from neuro.events.recording import Found, continued, cut_short, wrapped_note

_REMEDY = "Write it again with Metavision's tools (metavision_file_to_dat writes .dat)"
_EVENT_BYTES = 8  # of a .dat event
_CD_TYPES = (0, 12)  # Event2d, EventCD
_X, _Y, _ON = 0x3FFF, 14, 28  # .dat: x and y have 14 bits, the sign four
_PIXEL = 0x7FF  # EVT 2.0 and 3.0: coordinates have 11 bits
_OFF2, _ON2, _HIGH2, _KNOWN2 = 0, 1, 8, (0, 1, 8, 10, 14, 15)
_ROW, _SINGLE, _BASE, _VECTOR_12, _VECTOR_8, _LOW, _HIGH = 0, 2, 3, 4, 5, 6, 8
_KNOWN3 = (_ROW, _SINGLE, _BASE, _VECTOR_12, _VECTOR_8, _LOW, 7, _HIGH, 10, 14, 15)


def read_dat(where: str, raw: bytes) -> Found:
    """The events of a .dat file."""
    lines, start = _header(raw)
    if start + 2 > len(raw):
        raise cut_short(where, start, 2, len(raw) - start)
    kind, size = raw[start], raw[start + 1]
    if kind not in _CD_TYPES or size != _EVENT_BYTES:
        fact = f"its events are of type {kind} with {size} bytes, not changes of contrast (type 0 or 12, 8 bytes)"
        raise FormatError(f"{where}, byte {start:,}", fact, _REMEDY)
    first = start + 2
    records = _words(where, raw, first, np.dtype([("t", "<u4"), ("place", "<u4")]))
    place = records["place"]
    t_us, wraps = continued(records["t"], 32)
    x, y = (place & _X).astype(np.int32), (place >> _Y & _X).astype(np.int32)
    size_of = _size(where, lines, r"Width\s+(\d+)", r"Height\s+(\d+)")
    on = (place >> _ON & 15) > 0
    return Found(x, y, t_us, on, size_of, lambda event: first + _EVENT_BYTES * event, wrapped_note(wraps, 32))


def read_raw(where: str, raw: bytes) -> Found:
    """The events of a .raw file, in the encoding that its header names."""
    lines, start = _header(raw)
    named = re.search(r"(?:evt|format\s+EVT)\s*(\d)(?:\.?(\d))?", lines, re.IGNORECASE)
    version = None if named is None else f"{named[1]}.{named[2] or 0}"
    decode = {"2.0": _evt2, "3.0": _evt3}.get(version or "")
    if decode is None:
        fact = f"its events are in EVT {version}" if version else "its header does not name an encoding (% evt 2.0 or % evt 3.0)"
        raise FormatError(where, fact, _REMEDY)
    if re.search(r"endianness\s*=?\s*big", lines, re.IGNORECASE):
        raise FormatError(where, "its words are big-endian", _REMEDY)
    size = _size(where, lines, r"geometry\s+(\d+)x", r"geometry\s+\d+x(\d+)")
    return decode(where, raw, start, size or _size(where, lines, r"width=(\d+)", r"height=(\d+)"))


def _evt2(where: str, raw: bytes, start: int, size: tuple[int, int] | None) -> Found:
    words = _words(where, raw, start, np.dtype("<u4"))
    kind = (words >> 28).astype(np.uint8)
    high, wraps = _times(words & 0xFFFFFFF, kind == _HIGH2, 28)
    (at,) = np.nonzero(((kind == _OFF2) | (kind == _ON2)) & (high >= 0))
    early = int(np.count_nonzero((kind <= _ON2) & (high < 0)))
    held = words[at]
    t_us = (high[at] << 6) | (held >> 22 & 0x3F).astype(np.int64)
    x, y = (held >> 11 & _PIXEL).astype(np.int32), (held & _PIXEL).astype(np.int32)
    notes = _notes(early, kind, _KNOWN2, wraps, 34)
    return Found(x, y, t_us, kind[at] == _ON2, size, lambda event: start + 4 * int(at[event]), notes)


def _evt3(where: str, raw: bytes, start: int, size: tuple[int, int] | None) -> Found:
    words = _words(where, raw, start, np.dtype("<u2"))
    kind, held = (words >> 12).astype(np.uint8), (words & 0xFFF).astype(np.int32)
    high, wraps = _times(held, kind == _HIGH, 12)
    low, row, base = (_last(held, kind == which) for which in (_LOW, _ROW, _BASE))
    length = np.select([kind == _VECTOR_12, kind == _VECTOR_8], [12, 8], 0)
    ended = np.cumsum(length)
    begun = (ended - length) - _last(ended, kind == _BASE)  # pixels of vectors since the base
    known = (high >= 0) & (low >= 0) & (row >= 0) & ((length == 0) | (base >= 0))
    singles, vectors = (kind == _SINGLE) & known, (length > 0) & known
    early = int(np.count_nonzero(((kind == _SINGLE) | (length > 0)) & ~known))
    (single,), (vector,) = np.nonzero(singles), np.nonzero(vectors)
    bits = (held[vector, None] >> np.arange(12)) & 1
    bits[:, 8:] &= (length[vector] == 12)[:, None]
    which, offset = np.nonzero(bits)
    at = np.concatenate([single, vector[which]])
    x = np.concatenate([held[single] & _PIXEL, (base[vector[which]] & _PIXEL) + begun[vector[which]] + offset])
    on = np.concatenate([held[single] >> 11, base[vector[which]] >> 11]) == 1
    order = np.argsort(at, kind="stable")  # bits of a vector stay in their order
    at, x, on = at[order], x[order].astype(np.int32), on[order]
    t_us = (high[at] << 12) | low[at].astype(np.int64)
    y = (row[at] & _PIXEL).astype(np.int32)
    return Found(x, y, t_us, on, size, lambda event: start + 2 * int(at[event]), _notes(early, kind, _KNOWN3, wraps, 24))


def _times(held: NDArray[Any], here: NDArray[np.bool_], bits: int) -> tuple[NDArray[np.int64], int]:
    """The high part of the time at every word, counted on where it wraps, -1 before the first; and how often it wraps."""
    going, wraps = continued(held[here], bits)
    spread = np.zeros(len(held), np.int64)
    spread[here] = going
    return _last(spread, here), wraps


def _last(values: NDArray[Any], here: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For every place the value at the last place marked so far, -1 before the first."""
    last = np.maximum.accumulate(np.where(here, np.arange(len(values)), -1)) if len(values) else np.zeros(0, np.int64)
    return np.where(last < 0, -1, values[last].astype(np.int64)) if len(values) else last


def _notes(early: int, kind: NDArray[np.uint8], known: tuple[int, ...], wraps: int, bits: int) -> tuple[str, ...]:
    reserved = int(np.count_nonzero(~np.isin(kind, known)))
    said = [f"{early:,} words of events come before the first time or row: they were left out"] * (early > 0)
    said += [f"{reserved:,} words are of reserved types: they were left out"] * (reserved > 0)
    return (*said, *wrapped_note(wraps, bits))


def _header(raw: bytes) -> tuple[str, int]:
    """The lines that begin with a per cent sign, and where the data begin."""
    at, lines = 0, []
    while raw[at : at + 1] == b"%":
        end = raw.find(b"\n", at, at + 4096)
        line = raw[at:end].decode("ascii", "replace") if end >= 0 else ""
        if end < 0 or not line.rstrip("\r").isprintable():
            break
        lines.append(line)
        at = end + 1
        if line.strip() == "% end":
            break
    return "\n".join(lines), at


def _size(where: str, lines: str, width: str, height: str) -> tuple[int, int] | None:
    found = re.search(width, lines, re.IGNORECASE), re.search(height, lines, re.IGNORECASE)
    if found[0] is None or found[1] is None:
        return None
    sizes = int(found[0][1][:9]), int(found[1][1][:9])
    if not all(1 <= n <= 2**14 for n in sizes):
        raise FormatError(where, f"its header says {sizes[0]} x {sizes[1]} pixels", "Pass size=(width, height) of the camera")
    return sizes


def _words(where: str, raw: bytes, start: int, kind: np.dtype[Any]) -> NDArray[Any]:
    """All of the file from a byte on as words; refuses a last one that is not whole."""
    left = (len(raw) - start) % kind.itemsize
    if left:
        raise cut_short(where, len(raw) - left, kind.itemsize, left)
    return np.frombuffer(raw, kind, offset=start)


FORMATS: dict[str, Callable[[str, bytes], Found]] = {".dat": read_dat, ".raw": read_raw}
