"""Fronts: what a network that was trained elsewhere hears of a sound, computed on the host. Knows samples; nothing of networks.

A window's numbers depend on its own samples alone, so a recording and a stream give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import InputError, UsageError, one_of
from neuro.keywords.features import FeatureSettings, Floats, extract, to_float
from neuro.keywords.spotter import Normalisation

RATE = 16_000
EVERY = 1_280  # samples from window to window, unless said: 80 ms
LOG_MEL = FeatureSettings()
SHORT, HOP, FFT, BANDS, LOW_HZ, HIGH_HZ = 400, 160, 512, 32, 60, 3_800  # of Google's speech embedding


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of front: values in a frame (0: the samples themselves), samples from frame to frame and in one frame."""

    bands: int
    hop: int
    frame: int
    compute: Callable[[Floats], Floats]  # samples of a window -> (frames, bands)


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """A window of `frames` frames (of samples, for "waveform") every `every` samples, laid out in `shape`, as a network takes it.

    kind: one of `KINDS`. turned: the network takes (bands, frames). normalisation: of each band, before the network.
    """

    kind: str
    frames: int
    every: int
    shape: tuple[int, ...]
    turned: bool = False
    normalisation: Normalisation | None = field(default=None)

    def __post_init__(self) -> None:
        if self.every < 1 or self.frames < 1 or int(np.prod(self.shape)) != self.frames * max(1, KINDS[self.kind].bands):
            fact = f"{self.frames} frames every {self.every} samples in shape {self.shape}"
            raise InputError(f"front {self.kind!r}", fact, "Use Front.of(kind, shape)")

    @staticmethod
    def of(kind: str, shape: tuple[int, ...], every: int = EVERY) -> Front:
        """The front of this kind for a network that takes inputs of `shape`, sizes of 1 aside (frames, bands), (bands, frames)
        or (samples,); UsageError where it takes neither."""
        if kind not in KINDS:
            raise UsageError(f"front {kind!r}", "there is none of that name", one_of(kind, tuple(KINDS)))
        sizes, bands = tuple(size for size in shape if size > 1), KINDS[kind].bands
        if not bands and len(sizes) == 1:
            return Front(kind, sizes[0], every, shape)
        if bands and len(sizes) == 2 and bands in sizes:
            turned = sizes[1] != bands
            return Front(kind, sizes[turned], every, shape, turned)
        gives = f"(frames, {bands})" if bands else "(samples,)"
        raise UsageError(f"front {kind!r}", f"it gives {gives}, the network takes {shape}", _others(sizes))

    @property
    def bands(self) -> int:
        return KINDS[self.kind].bands

    @property
    def window(self) -> int:
        """Samples in a window."""
        kind = KINDS[self.kind]
        return (self.frames - 1) * kind.hop + kind.frame

    def windows(self, samples: NDArray[Any]) -> Floats:
        """Inputs (windows, *shape) of all whole windows of samples (n,) in -1..1."""
        count = max(0, (samples.size - self.window) // self.every + 1)
        sound = to_float(samples)
        made = [self._input(sound[at * self.every : at * self.every + self.window]) for at in range(count)]
        return np.stack(made) if made else np.zeros((0, *self.shape), np.float32)

    def _input(self, samples: Floats) -> Floats:
        rows = KINDS[self.kind].compute(samples)
        rows = self.normalisation(rows) if self.normalisation else rows
        return np.ascontiguousarray(rows.T if self.turned else rows).reshape(self.shape)


def _others(sizes: tuple[int, ...]) -> str:
    fits = [name for name, k in KINDS.items() if (len(sizes) == 2 and k.bands in sizes) or (len(sizes) == 1 and not k.bands)]
    return f"Use --front {' or '.join(fits)}" if fits else "Use a network that takes one window of sound"


def _log_mel(samples: Floats) -> Floats:
    return extract(LOG_MEL, samples)


def _slaney(hz: Any) -> Any:
    """Mel by Slaney: straight below 1,000 Hz, logarithmic above."""
    hz = np.asarray(hz, np.float64)
    return np.where(hz < 1_000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1_000) / np.log(6.4))


@cache
def speech_filters() -> Any:
    """Triangles in Hz (bins, BANDS), each of area 1, as Google's speech embedding has them."""
    mel = np.linspace(_slaney(LOW_HZ), _slaney(HIGH_HZ), BANDS + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1_000 * np.exp((mel - 15) * np.log(6.4) / 27))
    hz = np.linspace(0, RATE / 2, FFT // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    return np.maximum(0, np.minimum((hz - left) / (centre - left), (right - hz) / (right - centre))) * 2 / (right - left)


@cache
def _hann() -> Any:
    return np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SHORT) / SHORT), (FFT - SHORT) // 2)


def speech_mels(samples: Floats) -> Floats:
    """Decibels / 10 + 2 of 32 bands every 10 ms (frames, 32), no more than 80 dB below the loudest, of samples (n,) in -1..1."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64) * 32_768, FFT)[::HOP]
    power = np.abs(np.fft.rfft(frames * _hann())) ** 2 @ speech_filters()
    loud = 10 * np.log10(np.maximum(power, 1e-10))
    return np.asarray(np.maximum(loud, loud.max() - 80) / 10 + 2, np.float32)


KINDS: Mapping[str, Kind] = {
    "waveform": Kind(0, 1, 1, lambda samples: samples[:, None]),
    "log-mel": Kind(LOG_MEL.bands, LOG_MEL.hop, LOG_MEL.window, _log_mel),
    "speech-embedding": Kind(BANDS, HOP, FFT, speech_mels),
}
