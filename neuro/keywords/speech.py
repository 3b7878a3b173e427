"""Synthesised speech of any word, by the espeak-ng library of the `speech` extra. Knows voices and texts; nothing of corpora.

The library keeps hidden state between words, so every Synthesiser loads a copy of its own: the same calls after `open` give
the same samples.
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import UsageError
from neuro.keywords.audio import resample
from neuro.keywords.features import Floats

_SYNCHRONOUS, _QUIET = 2, 0x8000  # audio output by callback; do not exit on errors
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_UTF8, _IPA = 1, 2
_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

ENGLISH = (
    "en-us",
    "en",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
    "en-us-nyc",
)


@dataclass(frozen=True, slots=True)
class Voice:
    """How a text is said: accent (an espeak-ng language), voice variant, speed (words a minute), pitch and its range (0-99)."""

    accent: str = "en-us"
    variant: str = "m3"
    speed_wpm: int = 160
    pitch: int = 50
    pitch_range: int = 50


@dataclass(slots=True)
class Synthesiser:
    """espeak-ng in a `with` block. Raises UsageError where the extra is missing."""

    seed: int = 0
    rate: int = 16_000
    _library: Any = None
    _native_rate: int = 0
    _pieces: list[NDArray[np.int16]] = field(default_factory=list)
    _callback: Any = None
    _folder: str = ""

    def __enter__(self) -> Synthesiser:
        library, data = _installed()
        self._folder = tempfile.mkdtemp(prefix="neuro-speech-")
        copy = shutil.copy(library, Path(self._folder) / "espeak-ng.so")
        self._library = ctypes.CDLL(str(copy))
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        self._native_rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), _QUIET)
        if self._native_rate <= 0:
            shutil.rmtree(self._folder)
            raise UsageError(
                "speech", "espeak-ng does not start", "Install the extra again: pip install 'neuro-emulator[speech]'"
            )
        self._callback = _Callback(self._take)
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_ng_SetRandSeed(self.seed + 1)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._library.espeak_Terminate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def say(self, text: str, manner: Voice) -> Floats:
        """Samples (n,) in -1..1 of `text`, silence at both ends cut off."""
        self._choose(manner.accent, manner.variant)
        for parameter, value in ((_RATE, manner.speed_wpm), (_PITCH, manner.pitch), (_RANGE, manner.pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._pieces.clear()
        encoded = text.encode() + b"\0"
        self._library.espeak_Synth(encoded, len(encoded), 0, 1, 0, _UTF8, None, None)
        samples = np.concatenate([np.zeros(0, np.int16), *self._pieces])
        return resample(_trimmed(samples), self._native_rate, self.rate)

    def pronunciation(self, text: str, accent: str = "en-us") -> str:
        """How the synthesiser reads a text, in the phonetic alphabet; empty where it says nothing."""
        self._choose(accent, "")
        remaining = ctypes.c_char_p(text.encode())
        parts = []
        while remaining.value is not None:
            said = self._library.espeak_TextToPhonemes(ctypes.byref(remaining), _UTF8, _IPA)
            parts.append((said or b"").decode("utf-8", "replace").strip())
        return " ".join(part for part in parts if part)

    def check(self, word: str, accent: str = "en-us") -> str:
        """The word's pronunciation; refuses one that an English voice cannot say."""
        letters = [c for c in word if c.isalpha()]
        strange = [c for c in word if not (c.isalnum() or c in " '-.") or (c.isalpha() and not _latin(c))]
        if not letters or strange:
            what = f"{strange[0]!r} has no sound in it" if strange else "there is no letter in it"
            raise UsageError(f"word {word!r}", what, "Spell it as it sounds in Latin letters, say 'aloha'")
        if len(word) > 40:
            raise UsageError(
                f"word {word[:40]!r}...", f"it has {len(word)} letters", "Choose a word that takes less than a second"
            )
        said = self.pronunciation(word, accent)
        if not said:
            raise UsageError(f"word {word!r}", "the synthesiser says nothing", "Spell it as it sounds, say 'aloha'")
        return said

    def _choose(self, accent: str, variant: str) -> None:
        name = f"{accent}+{variant}" if variant else accent
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise UsageError(f"accent {accent!r}", "espeak-ng has no such language", f"Use one of {', '.join(ENGLISH)}")

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


def variants() -> tuple[str, ...]:
    """Names of the installed voice variants, about a hundred, in order."""
    folder = _installed()[1] / "voices" / "!v"
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_file()))


def _installed() -> tuple[Path, Path]:
    """The espeak-ng library and its data folder."""
    try:
        import espeakng_loader
    except ImportError:
        raise UsageError("speech", "espeakng-loader is not installed", "pip install 'neuro-emulator[speech]'") from None
    return Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())


def _latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("LATIN")


def _trimmed(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """Without the silence before and after; all of it where it is silent throughout."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 200)
    return samples[loud[0] : loud[-1] + 1] if loud.size else samples[:0]
