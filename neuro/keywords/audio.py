"""WAV files of any rate, width and channel count as float32 samples; resampling; the microphone. Nothing here trusts a file.

Every size a file claims is checked against the file before anything is allocated.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import gcd
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from neuro.errors import FormatError, UsageError
from neuro.files import atomic_path
from neuro.keywords.features import Floats, to_float
from neuro.memory import check_fits
from neuro.reading import opened

MAX_SECONDS = 3_600
MAX_BYTES = 1 << 30  # of sound
_MAX_CHANNELS, _MAX_CHUNKS = 64, 1_000
RATES = (1_000, 768_000)
_UNKNOWN = 0xFFFFFFFF  # what recorders write that do not know the length yet
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_WIDTHS = {_PCM: (1, 2, 3, 4), _FLOAT: (4, 8)}


@dataclass(frozen=True, slots=True)
class _Format:
    code: int
    channels: int
    rate: int
    width: int  # bytes a sample


def read_wav(path: Any, rate: int = 16_000) -> Floats:
    """Samples (n,) in -1..1 at `rate` Hz: PCM of 8, 16, 24 or 32 bits or float, channels averaged.

    Raises FormatError for what is not such a file, is cut short, or lasts longer than an hour.
    """
    sound, own_rate = read_sound(path)
    mono = sound.mean(axis=0, dtype=np.float32) if len(sound) > 1 else sound[0]
    return resample(mono, own_rate, rate)


def read_sound(path: Any) -> tuple[Floats, int]:
    """Samples (channels, n) in -1..1 of such a file as they are, and their rate in Hz. Raises the same."""
    where = str(path)
    with opened(path) as file:
        layout, raw = _read(where, file, os.fstat(file.fileno()).st_size)
    samples = _decode(layout, raw).reshape(-1, layout.channels)
    if not np.isfinite(samples).all():
        raise FormatError(where, "it holds NaN or infinity", "Export the recording again")
    return samples.T, layout.rate


def write_wav(path: Any, samples: NDArray[Any], rate: int = 16_000) -> None:
    """Write samples (n,) as 16-bit mono; floats are clipped to -1..1."""
    pcm = samples if samples.dtype == np.int16 else np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype(np.int16)
    data = pcm.astype("<i2").tobytes()
    header = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, _PCM, 1, rate, 2 * rate, 2, 16) + b"data" + struct.pack("<I", len(data))
    with atomic_path(path) as temporary:
        temporary.write_bytes(header + data)


def resample(samples: NDArray[Any], rate: int, wanted: int) -> Floats:
    """Samples at `rate` Hz as float32 at `wanted` Hz, by a polyphase filter."""
    if rate == wanted or samples.size == 0:
        return to_float(samples)
    common = gcd(rate, wanted)
    return np.asarray(resample_poly(to_float(samples), wanted // common, rate // common), np.float32)


def clipped_share(samples: NDArray[Any]) -> float:
    """Share of samples at full scale, as a recording that was too loud has them."""
    return float(np.mean(np.abs(to_float(samples)) >= 0.999)) if samples.size else 0.0


def microphone(rate: int, block: int) -> Iterator[Floats]:
    """Blocks of samples from the default microphone until the caller stops. Needs the `mic` extra."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise UsageError(
            "microphone",
            f"sounddevice cannot be loaded ({error})",
            "Install it: pip install 'neuro-emulator[mic]', and PortAudio",
        ) from None
    try:
        with sounddevice.InputStream(samplerate=rate, channels=1, dtype="float32", blocksize=block) as stream:
            while True:
                yield np.asarray(stream.read(block)[0][:, 0], np.float32)
    except sounddevice.PortAudioError as error:
        raise UsageError("microphone", str(error), "Plug one in, or listen to a WAV file") from None


def _read(where: str, file: BinaryIO, size: int) -> tuple[_Format, bytes]:
    head = file.read(12)
    if not head:
        raise FormatError(where, "it is empty", "Record it again")
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise FormatError(where, f"it does not begin as a WAV file does, but with {head[:4]!r}", "Convert it to WAV")
    layout: _Format | None = None
    for _ in range(_MAX_CHUNKS):
        chunk = file.read(8)
        if len(chunk) < 8:
            missing = "sound data" if layout else "format"
            raise FormatError(where, f"it ends before its {missing}", "It was cut short: copy or record it again")
        name, length = chunk[:4], struct.unpack("<I", chunk[4:])[0]
        left = size - file.tell()
        if name == b"data":
            if layout is None:
                raise FormatError(where, "sound data come before their format", "Convert it to WAV again")
            return layout, _read_data(where, file, layout, length, left)
        if length > left:
            raise FormatError(where, f"chunk {name!r} claims {length} bytes, {left} are left", "Copy or record it again")
        if name == b"fmt ":
            layout = _format(where, file.read(min(length, 40)))
            length -= min(length, 40)
        with suppress(OSError):
            file.seek(length + (chunk[4] & 1), 1)
    raise FormatError(where, f"its sound does not begin within {_MAX_CHUNKS:,} chunks", "Export the recording again")


def _read_data(where: str, file: BinaryIO, layout: _Format, length: int, left: int) -> bytes:
    frame = layout.channels * layout.width
    if length == _UNKNOWN:
        length = left - left % frame
    if length > left:
        raise FormatError(where, f"it is cut short: {length} bytes of sound promised, {left} there", "Copy or record it again")
    if length % frame:
        raise FormatError(where, f"{length} bytes of sound are no whole number of {frame}-byte frames", "Convert it again")
    if length == 0:
        raise FormatError(where, "it holds no sound", "Record it again")
    if length // frame > MAX_SECONDS * layout.rate or length > MAX_BYTES:
        raise FormatError(where, f"it lasts longer than {MAX_SECONDS} s or {MAX_BYTES:,} bytes", "Cut it into shorter files")
    check_fits(where, length // layout.width * 12, "its samples")  # as floats, thrice while they are resampled
    return file.read(length)


def _format(where: str, chunk: bytes) -> _Format:
    if len(chunk) < 16:
        raise FormatError(where, f"its format chunk has {len(chunk)} bytes", "Convert it to WAV again")
    code, channels, rate, _, block, bits = struct.unpack("<HHIIHH", chunk[:16])
    if code == _EXTENSIBLE and len(chunk) >= 26:
        code = struct.unpack("<H", chunk[24:26])[0]
    if code not in _WIDTHS or bits % 8 or bits // 8 not in _WIDTHS[code]:
        raise FormatError(
            where, f"encoding {code} with {bits} bits is not supported", "Convert it to PCM of 8, 16, 24 or 32 bits, or float"
        )
    if not 1 <= channels <= _MAX_CHANNELS or block != channels * bits // 8:
        raise FormatError(where, f"{channels} channels of {bits} bits in blocks of {block} bytes", "Convert it to WAV again")
    if not RATES[0] <= rate <= RATES[1]:
        raise FormatError(where, f"its rate is {rate} Hz", f"Resample it to {RATES[0]} to {RATES[1]} Hz")
    return _Format(code, channels, rate, bits // 8)


def _decode(layout: _Format, raw: bytes) -> Floats:
    """Interleaved samples in -1..1."""
    if layout.code == _FLOAT:
        return np.frombuffer(raw, f"<f{layout.width}").astype(np.float32)
    if layout.width == 1:
        return np.asarray((np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / 128, np.float32)
    if layout.width == 3:
        padded = np.zeros((len(raw) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        return to_float(padded.view("<i4")[:, 0])
    return to_float(np.frombuffer(raw, f"<i{layout.width}"))
