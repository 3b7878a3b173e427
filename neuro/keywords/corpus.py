"""Labelled clips of speech with their speakers: from folders, packed arrays or the synthesiser; split by speaker, never by clip.

Knows audio and labels; knows nothing of features or networks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import FormatError, InputError, UsageError
from neuro.keywords.audio import RATES, read_wav, resample
from neuro.keywords.augment import fit
from neuro.keywords.features import Floats, to_float
from neuro.reading import read_npz

SILENCE, UNKNOWN = "_silence_", "_unknown_"
BACKGROUND = "_background_noise_"
_PACKED = "Pack audio, label, classes, word, speaker and rate, or audio, start, digit, speaker and rate"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Clips of equal length: audio (clips, samples) int16, labels (clips,) into `classes`, the word and the speaker of each."""

    audio: NDArray[np.int16]
    labels: NDArray[np.int64]
    speakers: tuple[str, ...]
    words: tuple[str, ...]
    classes: tuple[str, ...]
    rate: int = 16_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "audio", np.ascontiguousarray(self.audio))
        object.__setattr__(self, "labels", np.asarray(self.labels, np.int64))
        for name in ("speakers", "words", "classes"):
            object.__setattr__(self, name, tuple(map(str, getattr(self, name))))
        clips = len(self.audio)
        if self.audio.ndim != 2 or self.audio.dtype != np.int16:
            raise InputError("corpus", f"audio is {self.audio.dtype} {self.audio.shape}", "Pass int16 (clips, samples)")
        if clips == 0:
            raise InputError("corpus", "it holds no clips", "Add recordings")
        if not clips == len(self.labels) == len(self.speakers) == len(self.words):
            raise InputError("corpus", "audio, labels, speakers and words differ in number", "Pass one of each per clip")
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            raise InputError("corpus", f"a label leaves 0..{len(self.classes) - 1}", "Number the labels from 0")

    def __len__(self) -> int:
        return len(self.audio)

    def __add__(self, other: Corpus) -> Corpus:
        if (self.classes, self.rate, self.audio.shape[1]) != (other.classes, other.rate, other.audio.shape[1]):
            raise InputError("corpus", "the two have other classes, rates or clip lengths", "Read both with the same words")
        return Corpus(
            np.concatenate([self.audio, other.audio]),
            np.concatenate([self.labels, other.labels]),
            self.speakers + other.speakers,
            self.words + other.words,
            self.classes,
            self.rate,
        )

    def take(self, chosen: NDArray[Any]) -> Corpus:
        """The clips chosen by indices or by a mask."""
        rows = np.arange(len(self))[chosen]
        return Corpus(
            self.audio[rows],
            self.labels[rows],
            tuple(self.speakers[i] for i in rows),
            tuple(self.words[i] for i in rows),
            self.classes,
            self.rate,
        )

    def of_class(self, name: str) -> NDArray[np.bool_]:
        """Mask (clips,) of one class; nothing where there is no such class."""
        return np.asarray(self.labels == (self.classes.index(name) if name in self.classes else -1))


def classes_for(words: Sequence[str]) -> tuple[str, ...]:
    """The words, then silence and unknown. Refuses a word named twice, or none."""
    chosen = tuple(words)
    if not chosen or len(set(chosen)) != len(chosen) or {SILENCE, UNKNOWN} & set(chosen):
        raise UsageError("words", f"{', '.join(chosen) or 'none'}", "Name at least one word, each once")
    return (*chosen, SILENCE, UNKNOWN)


def read_folder(path: Any, words: Sequence[str], *, seconds: float = 1.0, progress: Progress | None = None) -> Corpus:
    """Recordings laid out as Speech Commands: word/speaker_nohash_n.wav; other folders' words are unknown.

    Of those, at most twice as many as of the commonest keyword are taken, by the hash of their names. `_background_noise_` is
    cut into clips of silence. Raises FormatError for a layout or a file that does not fit.
    """
    root, classes, rate = Path(path), classes_for(words), 16_000
    if not root.is_dir():
        raise FormatError(str(path), "there is no such folder", "Check the path")
    missing = [word for word in words if not (root / word).is_dir()]
    if missing:
        raise FormatError(
            str(path), f"it has no folder {missing[0]!r}", f"Record the word into {missing[0]}/speaker_nohash_0.wav"
        )
    files = _chosen(root, words)
    clips, length = [], round(seconds * rate)
    for done, file in enumerate(files):
        clips.append(to_int16(fit(read_wav(file, rate), length)))
        if progress:
            progress(done + 1, len(files))
    spoken = [file.parent.name for file in files]
    people = [_speaker(file) for file in files]
    for file in sorted((root / BACKGROUND).glob("*.wav")):
        noise = to_int16(read_wav(file, rate))
        pieces = noise[: noise.size // length * length].reshape(-1, length)
        clips.extend(pieces)
        spoken.extend([SILENCE] * len(pieces))
        people.extend([f"{BACKGROUND}/{file.stem}"] * len(pieces))
    if not clips:
        raise FormatError(str(path), "it holds no WAV files", "Lay recordings out as word/speaker_nohash_0.wav")
    return Corpus(np.stack(clips), _labels(spoken, classes), tuple(people), tuple(spoken), classes, rate)


def read_arrays(path: Any, words: Sequence[str] | None = None) -> Corpus:
    """Recordings packed into an .npz: either audio (clips, samples), label, classes, word, speaker, or clips end to end as
    audio (samples,), start, digit, speaker; both with `rate`. `words`: which classes to keep apart (default: the file's)."""
    arrays = read_npz(path, "Pack the arrays again, without objects")
    try:
        rate = int(arrays["rate"])
        _check_audio(str(path), arrays["audio"], rate)
        people = tuple(map(str, arrays["speaker"]))
        if "start" in arrays:
            spoken = tuple(DIGITS[d] for d in arrays["digit"])
            starts = arrays["start"]
            if starts[0] < 0 or starts[-1] > arrays["audio"].size or (np.diff(starts) < 0).any():
                raise FormatError(
                    str(path), "its clips do not follow each other", "Let start ascend from 0 to the samples' number"
                )
            pieces = [arrays["audio"][a:b] for a, b in zip(starts[:-1], starts[1:], strict=True)]
            audio = np.stack([to_int16(fit(resample(piece, rate, 16_000), 16_000)) for piece in pieces])
            own: tuple[str, ...] = DIGITS
        else:
            audio, own = arrays["audio"], tuple(map(str, arrays["classes"]))
            names = [own[label] for label in arrays["label"]]
            spoken = tuple(str(w) if n == UNKNOWN else n for w, n in zip(arrays["word"], names, strict=True))
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise FormatError(str(path), f"its arrays do not fit ({error})", _PACKED) from None
    missing = next((word for word in words or () if word not in spoken), None)
    if missing is not None:
        raise FormatError(str(path), f"it has no recording of {missing!r}", f"Use some of {', '.join(sorted({*spoken}))}")
    classes = classes_for(tuple(w for w in (words or own) if w not in (SILENCE, UNKNOWN)))
    return Corpus(audio, _labels(spoken, classes), people, spoken, classes)


def _check_audio(where: str, audio: NDArray[Any], rate: int) -> None:
    if audio.dtype.kind not in "if" or audio.ndim not in (1, 2) or not RATES[0] <= rate <= RATES[1]:
        fact = f"audio of {audio.dtype} {audio.shape} at {rate} Hz"
        raise FormatError(where, fact, f"Pack samples as numbers, at {RATES[0]} to {RATES[1]} Hz")


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def split(corpus: Corpus, shares: Mapping[str, float] | None = None) -> dict[str, Corpus]:
    """Parts that share no speaker, by the order of the speakers' hashes: 60 % train, 20 % val, 20 % test by default.

    Raises UsageError where there are fewer speakers than parts: a score on a known speaker would say nothing.
    """
    parts = dict(shares or {"train": 0.6, "val": 0.2, "test": 0.2})
    speakers = sorted(set(corpus.speakers), key=lambda name: hashlib.sha1(name.encode()).hexdigest())
    if len(speakers) < len(parts):
        raise UsageError(
            "corpus",
            f"{len(speakers)} speaker(s) cannot be split into {len(parts)} parts without sharing one",
            "Record more people, or add synthesised voices",
        )
    ends = np.rint(np.cumsum(list(parts.values())) / sum(parts.values()) * len(speakers)).astype(int)
    ends = np.maximum(ends, np.arange(1, len(parts) + 1))
    ends = np.minimum(ends, len(speakers) - np.arange(len(parts))[::-1])
    member = {name: int(np.searchsorted(ends, rank, side="right")) for rank, name in enumerate(speakers)}
    of_clip = np.array([member[name] for name in corpus.speakers])
    return {name: corpus.take(of_clip == part) for part, name in enumerate(parts)}


def thinned(corpus: Corpus, most: float = 3.0, seed: int = 0) -> Corpus:
    """The corpus with no more unknown clips than `most` times those of the commonest other class, drawn by the seed."""
    counts = np.bincount(corpus.labels, minlength=len(corpus.classes))
    unknown = corpus.of_class(UNKNOWN)
    keep = (
        round(most * np.delete(counts, corpus.classes.index(UNKNOWN)).max(initial=1))
        if UNKNOWN in corpus.classes
        else len(corpus)
    )
    if unknown.sum() <= keep:
        return corpus
    chosen = np.random.default_rng(seed).permutation(np.flatnonzero(unknown))[:keep]
    return corpus.take(np.sort(np.concatenate([np.flatnonzero(~unknown), chosen])))


def silence(clips: int, classes: tuple[str, ...], *, samples: int = 16_000, seed: int = 0) -> Corpus:
    """Clips of faint noise, each a "speaker" of its own; training mixes louder noise in."""
    rng = np.random.default_rng(seed)
    audio = np.rint(rng.standard_normal((clips, samples)) * rng.uniform(0, 60, (clips, 1))).astype(np.int16)
    labels = np.full(clips, classes.index(SILENCE))
    return Corpus(audio, labels, tuple(f"silence-{seed}-{i}" for i in range(clips)), (SILENCE,) * clips, classes)


def to_int16(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples in -1..1 as 16-bit integers."""
    samples: NDArray[np.int16] = np.clip(np.rint(audio * np.float32(32768)), -32768, 32767).astype(np.int16)
    return samples


def recordings_of(corpus: Corpus, name: str) -> Floats:
    """All clips of one class as floats (clips, samples), e.g. the noises to mix in."""
    return to_float(corpus.audio[corpus.of_class(name)])


def _labels(spoken: Sequence[str], classes: tuple[str, ...]) -> NDArray[np.int64]:
    unknown = classes.index(UNKNOWN)
    return np.array([classes.index(word) if word in classes else unknown for word in spoken], np.int64)


def _chosen(root: Path, words: Sequence[str]) -> list[Path]:
    """All recordings of the words, and some of the others."""
    keywords = {word: sorted((root / word).glob("*.wav")) for word in words}
    others = [p for p in root.glob("*/*.wav") if p.parent.name not in (*words, BACKGROUND)]
    others.sort(key=lambda p: hashlib.sha1(f"{p.parent.name}/{p.name}".encode()).digest())
    most = 2 * max(len(files) for files in keywords.values())
    return [file for files in keywords.values() for file in files] + sorted(others[:most])


def _speaker(file: Path) -> str:
    speaker, mark, _ = file.stem.partition("_nohash_")
    if not mark or not speaker:
        raise FormatError(str(file), "its name does not say who speaks", "Name recordings speaker_nohash_0.wav")
    return speaker
