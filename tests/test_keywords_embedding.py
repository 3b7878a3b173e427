"""The front of Google's speech embedding, and how the benchmark reads numbers in float."""

import numpy as np
import pytest

from benchmarks.keywords_embedding import float_payloads
from neuro.keywords.corpus import Corpus
from neuro.keywords.embedding import read
from neuro.keywords.fronts import BANDS, FFT, _slaney, speech_filters, speech_mels


def test_each_filter_has_an_area_of_one_and_peaks_between_its_neighbours() -> None:
    assert np.allclose(_slaney([0, 500, 1_000, 6_400]), [0, 7.5, 15, 42])
    area = speech_filters().sum(axis=0) * 16_000 / FFT
    assert area == pytest.approx(np.ones(BANDS), abs=0.15)  # the narrowest hold four bins
    assert (np.diff(speech_filters().argmax(axis=0)) > 0).all()


def test_louder_sounds_lie_higher() -> None:
    tone = (0.1 * np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000)).astype(np.float32)
    heard = speech_mels(tone)
    assert heard.shape == ((16_000 - FFT) // 160 + 1, BANDS)
    band = int(heard.mean(axis=0).argmax())
    assert speech_mels(8 * tone)[:, band].mean() - heard[:, band].mean() == pytest.approx(2 * np.log10(8), abs=1e-4)


def test_payloads_in_float_are_those_of_the_chip_but_for_rounding() -> None:
    rng = np.random.default_rng(0)
    words = tuple(rng.choice(["one", "two", "three"], 90))
    usual = {word: rng.normal(0, 300, 12) for word in ("one", "two", "three")}
    sums = np.rint([rng.normal(usual[word], 200) * 9 for word in words]).astype(np.int64)
    corpus = Corpus(np.zeros((90, 4), np.int16), np.zeros(90, np.int64), ("a",) * 90, words, ("one", "_silence_", "_unknown_"))
    chip = read("numbers", sums, words, 9).payloads(sums)
    real = float_payloads({"train": sums}, corpus, (), 9)["train"]
    assert np.corrcoef(chip.ravel(), np.clip(real, 0, 255).ravel())[0, 1] > 0.99
