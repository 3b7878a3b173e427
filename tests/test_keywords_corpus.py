"""Corpora: folders, packed arrays, synthesised speech, splits by speaker, augmentation; every bad one refused with a remedy."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuro.errors import FormatError, InputError, NeuroError, UsageError
from neuro.keywords.audio import write_wav
from neuro.keywords.augment import Augmentation, augment, background, change_speed, fit, mix, reverberate, room_response, shift
from neuro.keywords.corpus import SILENCE, UNKNOWN, Corpus, classes_for, read_arrays, read_folder, silence, split, thinned

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="shared/data is not there")


def tone(samples: int = 16_000, hz: float = 300.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(samples) / 16_000)).astype(np.float32)


def small(speakers: list[str]) -> Corpus:
    clips = len(speakers)
    return Corpus(np.zeros((clips, 8), np.int16), np.zeros(clips), tuple(speakers), ("yes",) * clips, classes_for(["yes"]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for word in ("yes", "cat", "_background_noise_"):
        (tmp_path / word).mkdir()
    for speaker in ("ann", "bob", "cho"):
        write_wav(tmp_path / "yes" / f"{speaker}_nohash_0.wav", tone(12_000))
        write_wav(tmp_path / "cat" / f"{speaker}_nohash_0.wav", tone(20_000, 500))
    write_wav(tmp_path / "_background_noise_" / "hum.wav", tone(40_000, 50))
    return tmp_path


def test_a_folder_is_read(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    corpus = read_folder(folder, ["yes"], progress=lambda done, of: told.append((done, of)))
    assert told == [(done, 6) for done in range(1, 7)]
    assert corpus.classes == ("yes", SILENCE, UNKNOWN)
    assert np.bincount(corpus.labels).tolist() == [3, 2, 3]
    assert corpus.audio.shape == (8, 16_000)
    assert set(corpus.speakers) == {"ann", "bob", "cho", "_background_noise_/hum"}
    assert np.abs(corpus.audio[corpus.of_class("yes")]).max() > 9_000


def test_other_words_do_not_drown_the_keywords(folder: Path) -> None:
    for take in range(1, 9):
        write_wav(folder / "cat" / f"ann_nohash_{take}.wav", tone(1_000))
    first, again = (read_folder(folder, ["yes"]) for _ in range(2))
    assert first.of_class(UNKNOWN).sum() == 6
    assert np.array_equal(first.audio, again.audio)


def test_a_folder_with_one_speaker_is_not_split(folder: Path) -> None:
    for file in [p for p in folder.glob("*/*.wav") if not p.name.startswith("ann")]:
        file.unlink()
    with pytest.raises(UsageError, match="Record more people"):
        split(read_folder(folder, ["yes"]))


def test_bad_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such folder"):
        read_folder(folder / "none", ["yes"])
    with pytest.raises(FormatError, match="no folder 'aloha'"):
        read_folder(folder, ["aloha"])
    with pytest.raises(UsageError, match="each once"):
        read_folder(folder, ["yes", "yes"])
    for part in ("empty/yes", "empty/cat"):
        (folder / part).mkdir(parents=True)
    with pytest.raises(FormatError, match=r"empty: it holds no WAV files. Lay recordings out as word/speaker_nohash_0.wav"):
        read_folder(folder / "empty", ["yes"])
    (folder / "yes" / "ann_nohash_1.wav").write_bytes(b"")
    with pytest.raises(FormatError, match="empty"):
        read_folder(folder, ["yes"])
    (folder / "yes" / "ann_nohash_1.wav").unlink()
    write_wav(folder / "yes" / "recording.wav", tone())
    with pytest.raises(FormatError, match="who speaks"):
        read_folder(folder, ["yes"])


@given(st.lists(st.sampled_from("abcdefghij"), min_size=3, max_size=60).filter(lambda s: len(set(s)) >= 3))
@settings(max_examples=50, deadline=None)
def test_no_speaker_is_in_two_parts(speakers: list[str]) -> None:
    parts = split(small(speakers))
    sets = [set(part.speakers) for part in parts.values()]
    assert sum(len(part) for part in parts.values()) == len(speakers)
    assert all(sets)
    assert not sets[0] & sets[1]
    assert not (sets[0] | sets[1]) & sets[2]


def test_a_split_of_two_speakers_into_three_is_refused() -> None:
    with pytest.raises(UsageError, match="2 speaker"):
        split(small(["a", "b", "b"]))


@needs_data
def test_packed_arrays_are_read() -> None:
    corpus = read_arrays(DATA / "speech_commands" / "scv2_test.npz")
    assert len(corpus) == 929
    assert corpus.classes[:2] == ("down", "go")
    assert corpus.classes[-2:] == (SILENCE, UNKNOWN)
    assert set(corpus.take(corpus.of_class(UNKNOWN)).words) >= {"eight", "zero"}
    few = read_arrays(DATA / "speech_commands" / "scv2_test.npz", ["yes", "no"])
    assert few.classes == ("yes", "no", SILENCE, UNKNOWN)
    assert few.of_class("yes").sum() == 78
    digits = read_arrays(DATA / "fsdd" / "fsdd.npz") if (DATA / "fsdd" / "fsdd.npz").exists() else None
    assert digits is None or (len(digits) == 3_000 and digits.audio.shape[1] == 16_000)


def test_bad_arrays_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 nonsense")
    np.savez(tmp_path / "b.npz", audio=np.zeros((2, 3), np.int16))
    np.savez(tmp_path / "c.npz", audio=np.array([None]), rate=16_000)
    for name in ("a", "b", "c", "none"):
        with pytest.raises(FormatError):
            read_arrays(tmp_path / f"{name}.npz")


def test_other_words_are_thinned_for_training() -> None:
    labels = np.array([0] * 4 + [1] * 3 + [2] * 30)
    names = tuple(f"s{i}" for i in range(37))
    corpus = Corpus(np.arange(37 * 2, dtype=np.int16).reshape(37, 2), labels, names, names, classes_for(["yes"]))
    thin = thinned(corpus)
    assert np.bincount(thin.labels).tolist() == [4, 3, 12]
    assert set(thin.words) <= set(names)
    assert np.array_equal(thin.audio, thinned(corpus).audio)
    assert thinned(thin) is thin


def test_a_corpus_is_valid_at_birth() -> None:
    with pytest.raises(InputError, match="int16"):
        Corpus(np.zeros((1, 8)), np.zeros(1), ("a",), ("yes",), classes_for(["yes"]))
    with pytest.raises(InputError, match="differ"):
        Corpus(np.zeros((2, 8), np.int16), np.zeros(2), ("a",), ("yes",), classes_for(["yes"]))
    with pytest.raises(InputError, match="label"):
        Corpus(np.zeros((1, 8), np.int16), np.array([3]), ("a",), ("yes",), classes_for(["yes"]))
    with pytest.raises(InputError, match="no clips"):
        small([])
    with pytest.raises(InputError, match="other classes"):
        small(["a"]) + silence(2, classes_for(["no"]), samples=8)


# Augmentation


def test_augmentation_is_seeded_and_keeps_length_and_range() -> None:
    clip, hum = tone(), tone(hz=50)[None]
    first = [augment(clip, Augmentation(), hum, np.random.default_rng(5)) for _ in range(2)]
    other = augment(clip, Augmentation(), hum, np.random.default_rng(6))
    assert np.array_equal(*first)
    assert not np.array_equal(first[0], other)
    assert other.shape == clip.shape
    assert other.dtype == np.float32
    assert np.abs(other).max() <= 1


def test_mixing_gives_the_ratio_asked_for() -> None:
    rng = np.random.default_rng(0)
    clip, noise = tone(), rng.standard_normal(16_000).astype(np.float32)
    added = mix(clip, noise, 10.0) - clip
    ratio = 10 * np.log10(np.mean(clip[:1_600] ** 2) / np.mean(added**2))
    assert abs(ratio - 10) < 0.1
    assert np.array_equal(mix(np.zeros_like(clip), noise, 10.0), noise)
    assert np.array_equal(mix(clip, np.zeros_like(clip), 10.0), clip)


def test_shift_fit_and_speed() -> None:
    clip = np.arange(1, 9, dtype=np.float32)
    assert shift(clip, 3).tolist() == [0, 0, 0, 1, 2, 3, 4, 5]
    assert shift(clip, -3).tolist() == [4, 5, 6, 7, 8, 0, 0, 0]
    assert fit(clip, 10).tolist() == [0, *clip, 0]
    assert fit(clip, 3).tolist() == [6, 7, 8]
    assert abs(change_speed(tone(), 1.25).size - 12_800) <= 1
    dry = reverberate(tone(), np.array([1, 0], np.float32))
    np.testing.assert_allclose(dry, tone(), atol=1e-6)
    response = room_response(0.3, 16_000, np.random.default_rng(0))
    assert response[0] == 1
    assert np.abs(response[-400:]).max() < 0.01 * np.abs(response[1:400]).max()


@pytest.mark.parametrize(
    "recordings", [np.zeros((0, 10), np.float32), np.ones((2, 10), np.float32), np.ones((2, 30_000), np.float32)]
)
def test_background_has_the_length_asked_for(recordings: np.ndarray) -> None:
    for seed in range(6):
        assert background(16_000, recordings, np.random.default_rng(seed)).shape == (16_000,)


@pytest.mark.parametrize("bad", [{"speed": (0.0, 1.0)}, {"snr_db": (3.0, 1.0)}, {"noise": 1.5}, {"shift_s": -1.0}])
def test_nonsense_augmentation_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(NeuroError):
        Augmentation(**bad)


# Synthesised speech


@pytest.fixture(scope="module")
def voices() -> tuple[str, ...]:
    pytest.importorskip("espeakng_loader", reason="the speech extra is not installed")
    from neuro.keywords.speech import variants

    return variants()


def test_about_a_hundred_voices_split_by_family(voices: tuple[str, ...]) -> None:
    from neuro.keywords.synthesis import scripts

    parts = scripts(8)
    chosen = [set(part.voices) for part in parts.values()]
    assert len(voices) >= 100
    assert sum(map(len, chosen)) == len(voices) == len(set().union(*chosen))
    families = [{v.lower().rstrip("0123456789") for v in part} for part in chosen]
    assert not families[0] & families[1]
    assert not (families[0] | families[1]) & families[2]
    assert not set(parts["train"].phrases) & set(parts["test"].phrases)


def test_synthesised_speech_is_seeded(voices: tuple[str, ...]) -> None:
    from neuro.keywords.synthesis import NEAR, Script, synthesise

    script = Script(6, voices, ("hello there", "aloha my friend", "coffee"))
    first, again, other = (synthesise(["aloha"], script, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.audio, again.audio)
    assert not np.array_equal(first.audio, other.audio)
    assert first.classes == ("aloha", SILENCE, UNKNOWN)
    assert np.bincount(first.labels).tolist() == [6, 2, 15]
    assert "aloha my friend" not in first.words  # it holds the keyword
    assert sum(word.startswith(NEAR) for word in first.words) == 3
    assert set(first.take(first.of_class("aloha")).speakers) <= set(voices)
    assert (np.abs(first.audio[first.of_class("aloha")]).max(axis=1) > 1_000).all()


@pytest.mark.parametrize("word", ["", "...", "你好", "привет", "a?b", "x" * 41, "supercalifragilisticexpialidocious again"])
def test_words_that_cannot_be_said_are_refused(voices: tuple[str, ...], word: str) -> None:
    from neuro.keywords.synthesis import Script, synthesise

    with pytest.raises(UsageError) as refused:
        synthesise([word], Script(2, voices, ("hello",)))
    assert word[:10] in str(refused.value)
    assert refused.value.remedy


def test_voices_that_cannot_speak_are_told(voices: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from neuro.keywords import speech
    from neuro.keywords.synthesis import Script, synthesise

    with speech.Synthesiser() as synthesiser:
        with pytest.raises(UsageError, match="accent 'nowhere': espeak-ng has no such language. Use one of en-us, "):
            synthesiser.check("hello", "nowhere")
        monkeypatch.setattr(speech.Synthesiser, "pronunciation", lambda self, text, accent="en-us": "")
        with pytest.raises(UsageError, match="word 'hello': the synthesiser says nothing. Spell it as it sounds"):
            synthesiser.check("hello")
        monkeypatch.undo()
    with pytest.raises(UsageError, match="every distracting phrase holds one of them. Choose longer words"):
        synthesise(["hello"], Script(2, voices, ("hello there", "oh hello")))
    with pytest.raises(UsageError, match="no clips, voices, phrases or accents. Ask for at least one of each"):
        Script(2, voices, ())
    dumb = SimpleNamespace(espeak_Initialize=lambda *how: -1, espeak_TextToPhonemes=SimpleNamespace())
    dumb.espeak_ng_SetRandSeed = SimpleNamespace()
    monkeypatch.setattr(speech.ctypes, "CDLL", lambda path: dumb)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(UsageError, match="espeak-ng does not start. Install the extra again"), speech.Synthesiser():
        pass
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from neuro.keywords import audio, speech

    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UsageError, match=r"neuro-emulator\[speech\]"):
        speech.variants()
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UsageError, match=r"neuro-emulator\[mic\]"):
        next(audio.microphone(16_000, 320))
