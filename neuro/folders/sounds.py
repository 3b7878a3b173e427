"""WAV files of one rate and length as an array. Knows nothing of classes or networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError
from neuro.keywords.audio import read_sound
from neuro.memory import check_fits


def read_sounds(files: Sequence[Path]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Sounds (samples, channels, values) with values from -1 to 1, and in a sentence what they are.

    Raises FormatError for files that cannot be read, and where rates, lengths or numbers of channels differ.
    """
    first, rate = read_sound(files[0])
    check_fits("--data", 4 * len(files) * first.size, "its sounds", "Take fewer of them, or shorter ones")
    x = np.empty((len(files), *first.shape), np.float32)
    for number, file in enumerate(files):
        sound, its_rate = read_sound(file)
        if (its_rate, sound.shape) != (rate, first.shape):
            said = [f"{s.shape[0]} channels of {s.shape[1]:,} values at {r:,} Hz" for s, r in ((first, rate), (sound, its_rate))]
            fact = f"{files[0]} has {said[0]}, {file} {said[1]}"
            raise FormatError("--data", fact, "Cut or pad all to one length, at the rate that the network was trained on")
        x[number] = sound
    channels = "mono" if len(first) == 1 else f"{len(first)} channels"
    return x, (f"{len(files):,} sounds of {first.shape[1]:,} values at {rate:,} Hz, {channels}; values from -1 to 1",)
