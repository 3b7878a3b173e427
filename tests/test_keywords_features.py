"""Features: the published numbers, librosa's mel filters, streaming equal to one-shot bit for bit, hostile input."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuro.errors import InputError, NeuroError, UsageError
from neuro.keywords.features import MLPERF_KWS, FeatureSettings, advance, extract, mel_matrix

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
MFCC = FeatureSettings(window=400, hop=160, bands=26, coefficients=26)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.integers(0, 2_500), max_size=12),
    chosen=st.sampled_from([FeatureSettings(), MFCC, FeatureSettings(window=480, hop=480)]),
    seed=st.integers(0, 99),
)
def test_streaming_equals_one_shot_bit_for_bit(pieces: list[int], chosen: FeatureSettings, seed: int) -> None:
    audio = noise(sum(pieces), seed)
    tail, parts = np.zeros(0, np.float32), []
    for start, size in zip(np.cumsum([0, *pieces]), pieces, strict=False):
        features, tail = advance(chosen, tail, audio[start : start + size])
        parts.append(features)
    streamed = np.concatenate([np.zeros((0, chosen.size), np.float32), *parts])
    whole = extract(chosen, audio)
    assert whole.shape == (chosen.frames(audio.size), chosen.size)
    assert streamed.tobytes() == whole.tobytes()


@pytest.mark.peer("librosa")
@pytest.mark.parametrize(("low", "high", "bands"), [(20.0, 7_600.0, 40), (0.0, 8_000.0, 26), (300.0, 4_000.0, 20)])
def test_mel_filters_equal_librosa(low: float, high: float, bands: int) -> None:
    librosa = pytest.importorskip("librosa")
    ours = mel_matrix(FeatureSettings(low_hz=low, high_hz=high, bands=bands, triangles="hz"))
    theirs = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=bands, fmin=low, fmax=high, htk=True, norm=None)
    np.testing.assert_allclose(ours[:, 1:], theirs[:, 1:], atol=2e-6)
    assert not ours[:, 0].any()


@pytest.mark.peer("librosa")
def test_cepstra_equal_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    audio = noise(16_000)
    chosen = FeatureSettings(window=512, power=2, triangles="hz", low_hz=50.0, coefficients=13)
    ours = extract(chosen, audio)
    mel = librosa.feature.melspectrogram(
        y=audio, sr=16_000, n_fft=512, hop_length=320, center=False, n_mels=40, fmin=50.0, fmax=7_600.0, htk=True, norm=None
    )
    theirs = librosa.feature.mfcc(S=np.log(mel + 1e-6), n_mfcc=13).T
    theirs[:, 0] *= np.sqrt(2)  # the orthonormal first coefficient is smaller
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_a_tone_lights_its_band() -> None:
    chosen = FeatureSettings()
    tone = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000).astype(np.float32)
    band = int(extract(chosen, tone).mean(axis=0).argmax())
    bin_of_tone = round(1_000 / 16_000 * chosen.fft)
    assert mel_matrix(chosen)[band, bin_of_tone] == mel_matrix(chosen)[:, bin_of_tone].max()


def test_integers_and_floats_agree_and_silence_is_finite() -> None:
    pcm = (noise(8_000) * 32_768).astype(np.int16)
    assert np.array_equal(extract(MLPERF_KWS, pcm), extract(MLPERF_KWS, pcm / np.float32(32_768)))
    assert np.isfinite(extract(MLPERF_KWS, np.zeros(16_000, np.int16))).all()
    assert extract(MLPERF_KWS, np.zeros(16_000, np.int16)).shape == (49, 10)
    assert extract(MLPERF_KWS, np.zeros(10, np.float32)).shape == (0, 10)


@pytest.mark.parametrize("bad", [np.array([0.0, np.nan]), np.zeros((2, 3)), np.array(["a"]), np.array([np.inf], np.float32)])
def test_bad_audio_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="audio"):
        extract(FeatureSettings(), bad)


def test_a_stream_has_no_peak() -> None:
    with pytest.raises(UsageError, match="peak=False"):
        advance(MLPERF_KWS, np.zeros(0, np.float32), noise(100))


@pytest.mark.parametrize(
    "bad",
    [
        {"hop": 0},
        {"fft": 256},
        {"hop": 481},
        {"high_hz": 9_000.0},
        {"power": 3},
        {"coefficients": 41},
        {"low_hz": 5_000.0, "high_hz": 100.0},
    ],
)
def test_nonsense_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(NeuroError):
        FeatureSettings(**bad)


@pytest.mark.golden("MLPerf Tiny")
@pytest.mark.compiled
@pytest.mark.skipif(not (DATA / "pretrained").is_dir(), reason="shared/data is not there")
def test_mlperf_features_give_the_published_accuracy() -> None:
    """Recorded 2026-11-23 from this code: 832 of the 929 test clips (89.56 %, facts/conversion.md)."""
    from neuro.keywords.features import extract_all
    from neuro.keywords.model import load_mlperf_dscnn, logits

    with np.load(DATA / "speech_commands" / "scv2_test.npz") as test:
        features = extract_all(MLPERF_KWS, test["audio"])
        right = logits(load_mlperf_dscnn(DATA / "pretrained" / "mlperf_kws_dscnn.npz"), features).argmax(1) == test["label"]
    assert right.sum() == 832
