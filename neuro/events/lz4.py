"""The LZ4 frame format, unpacked: what AEDAT 4 packs its packets with. Source: LZ4 frame and block format descriptions, 1.6.

Checksums are not compared. What is unpacked never takes more than 255 times the packed bytes, the most that LZ4 can mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import compiled, inner

_MAGIC = 0x184D2204
_MOST = 255  # bytes that a packed byte can stand for
_ALONE, _BLOCK_SUM, _SIZED, _NAMED = 1 << 5, 1 << 4, 1 << 3, 1 << 0  # bits of a frame's flags; a dictionary is not read


def unpacked(frame: bytes) -> bytes:
    """The bytes of one frame; a ValueError where it is no frame, is cut short, or means bytes that it does not have."""
    if len(frame) < 7 or int.from_bytes(frame[:4], "little") != _MAGIC:
        raise ValueError("it is no LZ4 frame")
    flags = frame[4]
    if flags >> 6 != 1 or flags & _NAMED:
        raise ValueError("it is an LZ4 frame of another version, or with a dictionary")
    blocks = _blocks(frame, 7 + 8 * bool(flags & _SIZED), 4 * bool(flags & _BLOCK_SUM))
    packed, largest = np.frombuffer(frame, np.uint8), 1 << (8 + 2 * (frame[5] >> 4 & 7))
    out, end = np.empty(min(_MOST * len(frame), largest * len(blocks)), np.uint8), 0
    for at, size, plain in blocks:
        if plain and end + size <= len(out):
            out[end : end + size] = packed[at : at + size]
            end += size
        else:
            end = -1 if plain else int(_block(packed[at : at + size], out, end, end if flags & _ALONE else 0))
        if end < 0:
            raise ValueError("an LZ4 block is damaged")
    return out[:end].tobytes()


def _blocks(frame: bytes, at: int, behind: int) -> list[tuple[int, int, bool]]:
    """Where each block lies, its bytes, and whether it is not packed; `behind`: bytes of a checksum after each."""
    found: list[tuple[int, int, bool]] = []
    while at + 4 <= len(frame):
        stated = int.from_bytes(frame[at : at + 4], "little")
        if not stated:
            return found
        found.append((at + 4, stated & 0x7FFFFFFF, stated >> 31 == 1))
        at += 4 + found[-1][1] + behind
    raise ValueError("an LZ4 frame is cut short")


@inner
def _length(packed: NDArray[np.uint8], at: int, four_bits: Any) -> tuple[Any, int]:
    """A length that four bits begin and bytes from `at` on go on with, and where they end; a length below 0 where they do not."""
    length = np.int64(four_bits)
    if four_bits < 15:
        return length, at
    while at < len(packed):
        more = np.int64(packed[at])
        length += more
        at += 1
        if more < 255:
            return length, at
    return np.int64(-1), at


@compiled
def _block(packed: NDArray[np.uint8], out: NDArray[np.uint8], end: int, first: int) -> int:
    """Unpack a block behind the `end` bytes in `out`; matches reach back to `first`. The new end, or -1 where it is damaged."""
    at, size, room = 0, len(packed), len(out)
    while at < size:
        token = np.int64(packed[at])
        length, at = _length(packed, at + 1, token >> 4)
        if length < 0 or at + length > size or end + length > room:
            return -1
        for step in range(length):
            out[end + step] = packed[at + step]
        at += length
        end += length
        if at == size:
            return end
        if at + 2 > size:
            return -1
        back = np.int64(packed[at]) | (np.int64(packed[at + 1]) << 8)
        length, at = _length(packed, at + 2, token & 15)
        if length < 0 or back == 0 or end - back < first or end + length + 4 > room:
            return -1
        for step in range(length + 4):  # one by one: a match may reach into itself
            out[end + step] = out[end + step - back]
        end += length + 4
    return end
