"""A corpus for any word out of synthesised speech: the word, other words and phrases, near misses, silence.

Knows the synthesiser and corpora. Voices are split by family (klatt, klatt2, ... are one), so a test voice is a new one.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from neuro.errors import UsageError
from neuro.keywords.augment import Generator, fit
from neuro.keywords.corpus import UNKNOWN, Corpus, Progress, classes_for, silence, to_int16
from neuro.keywords.features import Floats
from neuro.keywords.speech import ENGLISH, Synthesiser, Voice, variants

_VOWELS = "aeiou"
NEAR = "near:"  # marks the word of a near miss


@dataclass(frozen=True, slots=True)
class Script:
    """The clips to synthesise: clips per word, other clips as multiples of that, the voices and the other phrases."""

    clips: int
    voices: tuple[str, ...]
    phrases: tuple[str, ...]
    unknown: float = 2.0
    near_misses: float = 0.5
    silence: float = 0.3
    accents: tuple[str, ...] = ENGLISH
    speed_wpm: tuple[int, int] = (115, 215)
    pitch: tuple[int, int] = (20, 80)

    def __post_init__(self) -> None:
        if self.clips < 1 or not self.voices or not self.phrases or not self.accents:
            raise UsageError("script", "no clips, voices, phrases or accents", "Ask for at least one of each")


def scripts(clips: int) -> dict[str, Script]:
    """Scripts train, val and test that share no voice and no distracting phrase; val and test have a quarter of the clips."""
    voices, phrases = _parts(variants(), _family), _parts(distractors(), str)
    sizes = {"train": clips, "val": max(1, clips // 4), "test": max(1, clips // 4)}
    return {part: Script(size, voices[part], phrases[part]) for part, size in sizes.items()}


def synthesise(words: Sequence[str], script: Script, *, seed: int = 0, progress: Progress | None = None) -> Corpus:
    """Clips of one second: each word `clips` times in voices, accents, speeds and pitches drawn at random, then the others.

    Raises UsageError for a word that the synthesiser cannot say, or not within a second.
    """
    classes, rng = classes_for(words), np.random.default_rng(seed)
    others = max(1, round(script.clips * script.unknown))
    near = round(script.clips * script.near_misses)
    spoken: list[str] = []
    people: list[str] = []
    audio: list[Floats] = []
    with Synthesiser(seed=seed) as synthesiser:
        said = {word: synthesiser.check(word) for word in words}
        phrases = _without(synthesiser, script.phrases, said)
        misses = [miss for word in words for miss in near_misses(word) if synthesiser.pronunciation(miss) not in said.values()]
        texts = [(word, word) for word in words for _ in range(script.clips)]
        texts += [(phrase, phrase) for phrase in rng.choice(phrases, others)]
        texts += [(miss, NEAR + miss) for miss in rng.choice(misses, near)] if misses else []
        for done, (text, name) in enumerate(texts):
            manner = _manner(script, rng)
            samples = synthesiser.say(text, manner)
            audio.append(_window(samples, synthesiser.rate, rng))
            spoken.append(name)
            people.append(manner.variant)
            if done < len(words) * script.clips:
                _check_length(text, samples.size / synthesiser.rate)
            if progress:
                progress(done + 1, len(texts))
    labels = np.array([classes.index(name) if name in said else classes.index(UNKNOWN) for name in spoken])
    clips = np.stack([to_int16(clip) for clip in audio])
    said_corpus = Corpus(clips, labels, tuple(people), tuple(spoken), classes)
    quiet = round(script.clips * script.silence)
    return said_corpus + silence(quiet, classes, seed=seed) if quiet else said_corpus


def near_misses(word: str) -> tuple[str, ...]:
    """Texts that sound nearly as the word: its halves, ends cut off, one vowel changed."""
    middle = (len(word) + 1) // 2
    candidates = [word[:middle], word[middle:], word[1:], word[: max(2, len(word) - 2)]]
    for at, letter in enumerate(word):
        if letter in _VOWELS:
            candidates.append(word[:at] + _VOWELS[(_VOWELS.index(letter) + 2) % 5] + word[at + 1 :])
    usable = (c.strip() for c in candidates)
    return tuple(dict.fromkeys(c for c in usable if len(c) > 1 and c != word and any(v in c for v in _VOWELS)))


def distractors() -> tuple[str, ...]:
    """Common words and phrases that are not keywords."""
    text = resources.files("neuro.keywords").joinpath("distractors.csv").read_text("utf-8")
    return tuple(row["phrase"] for row in csv.DictReader(text.splitlines()))


def _without(synthesiser: Synthesiser, phrases: Sequence[str], said: dict[str, str]) -> list[str]:
    """The phrases in which none of the keywords is heard."""
    sounds = [_sounds(text) for text in said.values()]
    kept = [p for p in phrases if not any(sound in _sounds(synthesiser.pronunciation(p)) for sound in sounds)]
    if not kept:
        raise UsageError("words", "every distracting phrase holds one of them", "Choose longer words")
    return kept


def _sounds(pronunciation: str) -> str:
    return "".join(c for c in pronunciation if c not in "ˈˌː ")


def _manner(script: Script, rng: Generator) -> Voice:
    return Voice(
        accent=str(rng.choice(script.accents)),
        variant=str(rng.choice(script.voices)),
        speed_wpm=int(rng.integers(*script.speed_wpm)),
        pitch=int(rng.integers(*script.pitch)),
        pitch_range=int(rng.integers(20, 90)),
    )


def _window(samples: Floats, length: int, rng: Generator) -> Floats:
    """A second of it: the whole with silence around it, or any stretch of something longer."""
    if samples.size <= length:
        return np.asarray(fit(samples, length), np.float32)
    start = int(rng.integers(samples.size - length + 1))
    return samples[start : start + length]


def _check_length(word: str, seconds: float) -> None:
    if not 0.05 < seconds < 1.3:
        raise UsageError(f"word {word!r}", f"it takes {seconds:.2f} s to say", "Choose a word that takes up to about a second")


def _family(voice: str) -> str:
    return voice.lower().rstrip("0123456789")


def _parts(names: Sequence[str], group: type[str] | object) -> dict[str, tuple[str, ...]]:
    """60 % train, 20 % val, 20 % test, groups kept together, by hash."""
    chosen: dict[str, tuple[str, ...]] = {"train": (), "val": (), "test": ()}
    for name in names:
        key = group(name) if callable(group) else name
        at = int(hashlib.sha1(str(key).encode()).hexdigest(), 16) % 100
        part = "train" if at < 60 else "val" if at < 80 else "test"
        chosen[part] += (name,)
    return chosen
