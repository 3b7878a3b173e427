"""Seeded augmentation of speech: speed, shift, room, gain, background noise. Pure functions; the generator is an argument.

Knows sample arrays in -1..1; knows nothing of words, files or features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from neuro.errors import NeuroError
from neuro.keywords.features import Floats

Generator = np.random.Generator
Range = tuple[float, float]
_SILENT = 1e-7


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What may happen to a clip: each with the probability given, each value uniform in its range.

    `speed`: resampling factor; `shift_s`: largest move to either side; `room_s`: reverberation time; `gain_db`;
    `snr_db`: speech over background noise.
    """

    speed: Range = (0.85, 1.18)
    shift_s: float = 0.12
    room: float = 0.3
    room_s: Range = (0.05, 0.5)
    gain_db: Range = (-15.0, 6.0)
    noise: float = 0.8
    snr_db: Range = (0.0, 30.0)
    rate: int = 16_000

    def __post_init__(self) -> None:
        for name in ("speed", "room_s", "gain_db", "snr_db"):
            low, high = getattr(self, name)
            if not low <= high or (name in ("speed", "room_s") and low <= 0):
                raise NeuroError("Augmentation", f"{name} = {(low, high)}", "Use (low, high), positive for speed and room_s")
        if not 0 <= self.room <= 1 or not 0 <= self.noise <= 1 or self.shift_s < 0:
            raise NeuroError("Augmentation", "room, noise or shift_s is out of range", "Use probabilities and a positive shift")


def augment(clip: Floats, settings: Augmentation, backgrounds: Floats, rng: Generator) -> Floats:
    """A varied copy of `clip` (n,), of the same length. `backgrounds` (clips, m): recordings to mix in, may be empty."""
    length = clip.size
    out = change_speed(clip, rng.uniform(*settings.speed))
    out = shift(fit(out, length), int(rng.uniform(-1, 1) * settings.shift_s * settings.rate))
    if rng.random() < settings.room:
        out = reverberate(out, room_response(rng.uniform(*settings.room_s), settings.rate, rng))
    if rng.random() < settings.noise:
        out = mix(out, background(length, backgrounds, rng), rng.uniform(*settings.snr_db))
    gained = out * np.float32(10 ** (rng.uniform(*settings.gain_db) / 20))
    return np.asarray(np.clip(gained, -1, 1), np.float32)


def change_speed(clip: Floats, factor: float) -> Floats:
    """Faster (factor > 1) or slower, with the pitch, by linear interpolation."""
    at = np.arange(0, clip.size - 1, factor)
    return np.asarray(np.interp(at, np.arange(clip.size), clip), np.float32)


def shift(clip: Floats, samples: int) -> Floats:
    """Later (samples > 0) or earlier; what leaves is lost, what comes is silence."""
    out = np.zeros_like(clip)
    if samples >= 0:
        out[samples:] = clip[: clip.size - samples]
    else:
        out[:samples] = clip[-samples:]
    return out


def fit(clip: NDArray[Any], length: int) -> NDArray[Any]:
    """Exactly `length` samples: silence around a shorter clip, the loudest stretch of a longer one."""
    if clip.size <= length:
        before = (length - clip.size) // 2
        return np.pad(clip, (before, length - clip.size - before))
    energy = np.concatenate([[0.0], np.cumsum(np.square(clip, dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return clip[start : start + length]


def room_response(decay_s: float, rate: int, rng: Generator) -> Floats:
    """A room's answer to a click: the click, then noise that falls by 60 dB in `decay_s`."""
    length = max(2, int(decay_s * rate))
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail *= rng.uniform(0.1, 0.7) / np.sqrt(np.square(tail).sum())
    tail[0] = 1
    return tail.astype(np.float32)


def reverberate(clip: Floats, response: Floats) -> Floats:
    """The clip in a room, of the same length."""
    size = fft.next_fast_len(clip.size + response.size - 1, real=True)
    wet = fft.irfft(fft.rfft(clip, size) * fft.rfft(response, size), size)
    return np.asarray(wet[: clip.size], np.float32)


def background(length: int, recordings: Floats, rng: Generator) -> Floats:
    """Noise (length,): a stretch of a recording where there are any, half the time; else noise of a random colour."""
    if len(recordings) and rng.random() < 0.5:
        recording = recordings[rng.integers(len(recordings))]
        start = rng.integers(max(1, recording.size - length + 1))
        return np.resize(recording[start : start + length], length).astype(np.float32)
    spectrum = fft.rfft(rng.standard_normal(length).astype(np.float32))
    slope = np.arange(1, spectrum.size + 1, dtype=np.float32) ** np.float32(-rng.uniform(0, 1))
    return np.asarray(fft.irfft(spectrum * slope, length), np.float32)


def mix(clip: Floats, noise: Floats, snr_db: float) -> Floats:
    """Clip and noise, the noise scaled to lie `snr_db` below the clip's loudest tenth of a second; silence stays noise."""
    level, floor = _loudest(clip), float(np.sqrt(np.mean(np.square(noise))))
    if floor < _SILENT:
        return clip
    if level < _SILENT:
        return noise
    return clip + noise * np.float32(level / floor * 10 ** (-snr_db / 20))


def _loudest(clip: Floats) -> float:
    window = max(1, min(1_600, clip.size))
    power = np.square(clip[: clip.size // window * window]).reshape(-1, window).mean(axis=1)
    return float(np.sqrt(power.max(initial=0)))
