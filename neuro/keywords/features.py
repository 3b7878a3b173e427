"""Log-mel and MFCC features of speech in float32, one-shot and streaming with the same bits.

Knows sample arrays; knows nothing of files, networks or labels. A frame's numbers depend on its own samples alone and are
computed by one code path, so it does not matter in what pieces the audio arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from neuro.compiled import compiled
from neuro.errors import InputError, NeuroError, UsageError

Floats = NDArray[np.float32]
_ROWS = 16  # transforms go in blocks of this many rows, so that every row takes the same vector path


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """Frames of `window` samples every `hop`, periodic Hann, |FFT|^`power`, mel bands, natural logarithm, optionally DCT-II.

    `coefficients`: None for log-mel (bands values a frame), else the number of cepstra, scaled by 1 / sqrt(2 bands).
    `triangles`: straight in "mel" (HTK, TensorFlow) or in "hz" (librosa). `peak`: divide the clip by its maximum first,
    which only whole clips allow.
    """

    rate: int = 16_000
    window: int = 480
    hop: int = 320
    fft: int = 512
    bands: int = 40
    low_hz: float = 20.0
    high_hz: float = 7_600.0
    power: int = 1
    floor: float = 1e-6
    coefficients: int | None = None
    triangles: Literal["mel", "hz"] = "mel"
    peak: bool = False

    def __post_init__(self) -> None:
        where = "FeatureSettings"
        for name in ("rate", "window", "hop", "fft", "bands"):
            if not 1 <= getattr(self, name) <= 1_000_000:
                raise NeuroError(where, f"{name} = {getattr(self, name)}", "Use 1 to 1,000,000")
        if not self.hop <= self.window <= self.fft:
            raise NeuroError(
                where, f"hop {self.hop}, window {self.window}, fft {self.fft}", "Use hop <= window <= fft: no sample is skipped"
            )
        if not 0 <= self.low_hz < self.high_hz <= self.rate / 2:
            raise NeuroError(where, f"bands from {self.low_hz} to {self.high_hz} Hz", f"Stay within 0 and {self.rate / 2:g} Hz")
        if self.power not in (1, 2) or self.triangles not in ("mel", "hz") or not self.floor > 0:
            raise NeuroError(
                where, f"power {self.power}, triangles {self.triangles!r}, floor {self.floor}", "Use 1 or 2, mel or hz, above 0"
            )
        if self.coefficients is not None and not 1 <= self.coefficients <= self.bands:
            raise NeuroError(where, f"{self.coefficients} coefficients of {self.bands} bands", "Use 1 to the number of bands")

    @property
    def size(self) -> int:
        """Values in a frame."""
        return self.bands if self.coefficients is None else self.coefficients

    @property
    def frames_per_s(self) -> float:
        return self.rate / self.hop

    def frames(self, samples: int) -> int:
        """Whole frames in so many samples."""
        return max(0, (samples - self.window) // self.hop + 1)

    def samples(self, frames: int) -> int:
        """Samples that so many frames need."""
        return (frames - 1) * self.hop + self.window


# The input of MLPerf Tiny's keyword spotting benchmark: 49 x 10 for a clip of one second.
MLPERF_KWS = FeatureSettings(high_hz=4_000.0, coefficients=10, peak=True)


def extract(settings: FeatureSettings, audio: NDArray[Any]) -> Floats:
    """Features (frames, size) of a whole clip of samples (n,) in -1..1; a shorter clip than one frame has none."""
    samples = _checked(audio)
    if settings.peak and samples.size and samples.max() > 0:
        samples = samples / samples.max()
    return _frames(settings, samples)


def advance(settings: FeatureSettings, tail: Floats, audio: NDArray[Any]) -> tuple[Floats, Floats]:
    """Features of the frames that `audio` completes after `tail`, and the new tail. Begin with an empty tail.

    All pieces' features, end to end, are `extract` of the whole, bit for bit.
    """
    if settings.peak:
        raise UsageError("features", "a stream has no maximum to divide by", "Use settings with peak=False")
    samples = np.concatenate([tail, _checked(audio)])
    return _frames(settings, samples), samples[settings.frames(samples.size) * settings.hop :]


def extract_all(settings: FeatureSettings, clips: NDArray[Any]) -> Floats:
    """Features (clips, frames, size) of clips of equal length (clips, n)."""
    return np.stack([extract(settings, clip) for clip in clips])


def to_float(audio: NDArray[Any]) -> Floats:
    """Samples as float32 in -1..1: integers by their full scale, floats as they are."""
    if audio.dtype.kind == "i":
        return np.asarray(audio / np.float32(-float(np.iinfo(audio.dtype).min)), np.float32)
    return np.asarray(audio, np.float32)


@lru_cache(maxsize=16)
def mel_matrix(settings: FeatureSettings) -> Floats:
    """Triangular filters (bands, fft / 2 + 1), mel = 1127 ln(1 + f / 700), each with its peak at 1."""
    hz = np.linspace(0, settings.rate / 2, settings.fft // 2 + 1)
    edges = np.linspace(_mel(settings.low_hz), _mel(settings.high_hz), settings.bands + 2)
    if settings.triangles == "hz":
        edges = 700 * np.expm1(edges / 1127)
    at = hz if settings.triangles == "hz" else _mel(hz)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    matrix = np.maximum(0, np.minimum((at - left) / (centre - left), (right - at) / (right - centre)))
    matrix[:, 0] = 0  # the mean of the frame says nothing
    filters: Floats = matrix.astype(np.float32)
    filters.setflags(write=False)
    return filters


def _mel(hz: Any) -> Any:
    return 1127 * np.log1p(np.asarray(hz, np.float64) / 700)


@lru_cache(maxsize=16)
def _filters(settings: FeatureSettings) -> tuple[NDArray[np.int64], Floats]:
    """Each band's first bin (bands,) and its weights from there (bands, widest)."""
    matrix = mel_matrix(settings)
    first = np.argmax(matrix > 0, axis=1)
    width = int((matrix > 0).sum(axis=1).max(initial=1))
    padded = np.pad(matrix, ((0, 0), (0, width)))
    return first, np.stack([row[f : f + width] for row, f in zip(padded, first, strict=True)])


@lru_cache(maxsize=16)
def _hann(window: int) -> Floats:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)


def _frames(settings: FeatureSettings, samples: Floats) -> Floats:
    count = settings.frames(samples.size)
    if count == 0:
        return np.zeros((0, settings.size), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, settings.window)[:: settings.hop][:count]
    rows = np.zeros((-(-count // _ROWS) * _ROWS, settings.fft), np.float32)
    np.multiply(frames, _hann(settings.window), out=rows[:count, : settings.window])
    first, weights = _filters(settings)
    logarithms = np.zeros((len(rows), settings.bands), np.float32)
    _log_mel(fft.rfft(rows, axis=1), first, weights, np.float32(settings.floor), settings.power == 2, logarithms)
    if settings.coefficients is None:
        return logarithms[:count]
    cepstra = fft.dct(logarithms, axis=1)[:count, : settings.coefficients]
    return np.asarray(cepstra / np.float32(np.sqrt(2 * settings.bands)), np.float32)


@compiled
def _log_mel(spectrum: Any, first: Any, weights: Any, floor: Any, squared: bool, out: Any) -> None:
    """ln(sum of weighted magnitudes + floor) of each frame and band, every sum in the order of the bins."""
    bins = spectrum.shape[1]
    magnitude = np.empty(bins, np.float32)
    for row in range(spectrum.shape[0]):
        for b in range(bins):
            energy = spectrum[row, b].real * spectrum[row, b].real + spectrum[row, b].imag * spectrum[row, b].imag
            magnitude[b] = energy if squared else np.sqrt(energy)
        for band in range(first.size):
            total = np.float32(0)
            for tap in range(min(weights.shape[1], bins - first[band])):
                total += weights[band, tap] * magnitude[first[band] + tap]
            out[row, band] = np.log(total + floor)


def _checked(audio: NDArray[Any]) -> Floats:
    if audio.ndim != 1 or audio.dtype.kind not in "if":
        raise InputError("audio", f"{audio.dtype} of shape {audio.shape}", "Pass one channel of samples (n,), integer or float")
    samples = to_float(audio)
    if not np.isfinite(samples).all():
        raise InputError("audio", "it holds NaN or infinity", "Clean the recording")
    return samples
