"""The benchmark that teaches words by what another body says of them: its front end."""

import numpy as np
import pytest

from benchmarks.keywords_embedding import BANDS, EVERY, FFT, WINDOW, filters, slaney, windows


def test_each_filter_has_an_area_of_one_and_peaks_between_its_neighbours() -> None:
    assert np.allclose(slaney([0, 500, 1_000, 6_400]), [0, 7.5, 15, 42])
    area = filters().sum(axis=0) * 16_000 / FFT
    assert area == pytest.approx(np.ones(BANDS), abs=0.15)  # the narrowest hold four bins
    assert (np.diff(filters().argmax(axis=0)) > 0).all()


def test_windows_follow_each_other_and_louder_sounds_lie_higher() -> None:
    rng, tone = np.random.default_rng(0), 3_000 * np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000)
    heard = windows(tone.astype(np.int16), rng)
    assert heard.shape == (7, WINDOW, BANDS, 1)
    assert np.array_equal(heard[0, EVERY:], heard[1, :-EVERY])
    louder = windows((8 * tone).astype(np.int16), rng)
    band = int(heard[3, :, :, 0].mean(axis=0).argmax())
    assert louder[3, 20:60, band].mean() - heard[3, 20:60, band].mean() == pytest.approx(2 * np.log10(8), abs=0.02)
