"""WAV files: every kind read right, every broken one refused with a remedy; resampling."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuro.errors import FormatError
from neuro.keywords.audio import clipped_share, read_wav, resample, write_wav

TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(4_410) / 44_100)).astype(np.float32)


def wav(
    body: bytes, *, code: int = 1, channels: int = 1, rate: int = 16_000, bits: int = 16, claimed: int | None = None
) -> bytes:
    block = channels * bits // 8
    head = struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits)
    data = struct.pack("<I", len(body) if claimed is None else claimed) + body
    return b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 16) + head + b"LIST\x03\0\0\0abc\0data" + data


def encoded(samples: np.ndarray, code: int, bits: int) -> bytes:
    if code == 3:
        return samples.astype(f"<f{bits // 8}").tobytes()
    if bits == 8:
        return np.rint(samples * 127 + 128).astype(np.uint8).tobytes()
    integers = np.rint(samples.astype(np.float64) * (2 ** (bits - 1) - 1)).astype("<i4")
    return integers.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()


@pytest.mark.parametrize(("code", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_width_is_read(tmp_path: Path, code: int, bits: int, channels: int) -> None:
    samples = np.repeat(TONE[:, None], channels, axis=1).ravel()
    path = tmp_path / "a.wav"
    path.write_bytes(wav(encoded(samples, code, bits), code=code, bits=bits, channels=channels))
    np.testing.assert_allclose(read_wav(path), TONE, atol=0.01 if bits == 8 else 1e-4)


def test_extensible_and_unknown_length(tmp_path: Path) -> None:
    body = encoded(TONE, 1, 24)
    layout = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16_000, 48_000, 3, 24, 22, 24, 4) + struct.pack("<H", 1) + b"\0" * 14
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", 40) + layout + b"data\xff\xff\xff\xff" + body)
    np.testing.assert_allclose(read_wav(path), TONE, atol=1e-4)


def test_stereo_44100_becomes_mono_16000(tmp_path: Path) -> None:
    left, right = TONE, np.zeros_like(TONE)
    path = tmp_path / "a.wav"
    path.write_bytes(wav(encoded(np.stack([left, right], 1).ravel(), 1, 16), channels=2, rate=44_100))
    samples = read_wav(path)
    assert samples.dtype == np.float32
    assert samples.size == 1_600
    expected = 0.25 * np.sin(2 * np.pi * 440 * np.arange(1_600) / 16_000)
    np.testing.assert_allclose(samples[100:-100], expected[100:-100], atol=5e-3)


GOOD = wav(encoded(TONE, 1, 16))
BROKEN = {
    "empty": (b"", "empty"),
    "not a WAV": (b"fLaC" + b"\0" * 40, "does not begin as a WAV"),
    "cut in the sound": (GOOD[:-100], "cut short"),
    "cut before the sound": (GOOD[:40], "before its sound data"),
    "cut before the format": (GOOD[:14], "before its format"),
    "sound before format": (b"RIFF\0\0\0\0WAVEdata\x02\0\0\0ab", "before their format"),
    "no samples": (wav(b""), "no sound"),
    "half a sample": (wav(b"abc"), "no whole number"),
    "huge claim": (wav(b"ab", claimed=0x7FFFFFF0), "cut short"),
    "huge chunk": (b"RIFF\0\0\0\0WAVEjunk\xf0\xff\xff\x7f", "claims"),
    "no channels": (wav(b"ab", channels=0), "channels"),
    "mad rate": (wav(b"ab", rate=2_000_000_000), "rate"),
    "rate 0": (wav(b"ab", rate=0), "rate"),
    "mu-law": (wav(b"ab", code=7, bits=8), "encoding 7"),
    "12 bits": (wav(b"ab", bits=12), "12 bits"),
    "NaN": (wav(np.array([np.nan], "<f4").tobytes(), code=3, bits=32), "NaN"),
    "too long": (wav(b"\0\0" * (3_600 * 1_000 + 1), rate=1_000), "longer than"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_refused(tmp_path: Path, kind: str) -> None:
    content, said = BROKEN[kind]
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=said):
        read_wav(path)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.wav", tmp_path):
        with pytest.raises(FormatError, match="no such file"):
            read_wav(path)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 60), value=st.binary(min_size=1, max_size=6), cut=st.integers(0, 200))
def test_damaged_headers_never_crash(tmp_path_factory: pytest.TempPathFactory, at: int, value: bytes, cut: int) -> None:
    path = tmp_path_factory.mktemp("wav") / "a.wav"
    whole = wav(encoded(TONE[:64], 1, 16))
    path.write_bytes((whole[:at] + value + whole[at + len(value) :])[: len(whole) - cut])
    try:
        samples = read_wav(path)
    except FormatError:
        return
    assert np.isfinite(samples).all()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", TONE * 4)
    back = read_wav(tmp_path / "a.wav")
    np.testing.assert_allclose(back, np.clip(TONE * 4, -1, 1), atol=1e-4)
    assert clipped_share(back) > 0.3
    assert clipped_share(TONE) == 0


def test_resampling_keeps_a_tone() -> None:
    tone = np.sin(2 * np.pi * 300 * np.arange(8_000) / 8_000).astype(np.float32)
    up = resample(tone, 8_000, 16_000)
    np.testing.assert_allclose(up[200:-200], np.sin(2 * np.pi * 300 * np.arange(16_000) / 16_000)[200:-200], atol=5e-3)
    assert resample(tone, 8_000, 8_000) is tone
