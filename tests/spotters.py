"""A corpus of tones that stand for words."""

import numpy as np

from neuro.keywords.corpus import Corpus, classes_for

CLASSES = classes_for(["low", "high"])


def tones(clips: int, seed: int) -> Corpus:
    """Words that are low and high tones, noise in between."""
    rng = np.random.default_rng(seed)
    labels = np.arange(clips) % 4
    at = np.arange(16_000) / 16_000
    audio = rng.standard_normal((clips, 16_000)) * 100
    for clip, label in zip(audio, labels, strict=True):
        if label != 2:
            hz = (300, 2_000, 0, 800)[label] * rng.uniform(0.9, 1.1)
            clip[4_000:12_000] += 8_000 * np.sin(2 * np.pi * hz * at[4_000:12_000])
    spoken = tuple(("low", "high", "_silence_", "middle")[label] for label in labels)
    return Corpus(audio.astype(np.int16), labels, tuple(f"s{i}" for i in range(clips)), spoken, CLASSES)
