"""The errors a caller can cause; each says where it is, what the fact is, and what to change.

Imports nothing of the package.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 2_000  # characters of a part of an error's text


class NeuroError(Exception):
    """A mistake in what was asked for: `where` it is, the `fact`, and the `remedy`."""

    def __init__(self, where: str, fact: str, remedy: str) -> None:
        self.where = where
        self.fact = fact
        self.remedy = remedy
        super().__init__(where, fact, remedy)

    def __str__(self) -> str:
        return f"{_printable(self.where)}: {_sentence(self.fact)} {_sentence(self.remedy)}"


class NetworkError(NeuroError):
    """A spiking network that contradicts itself: shapes, names, delays, integer ranges."""


class InputError(NeuroError):
    """Input data of the wrong shape, type or range."""


class EngineError(NeuroError):
    """A run that an engine cannot do exactly."""


class GraphError(NeuroError):
    """A float network description that contradicts itself."""


class ConversionError(NeuroError):
    """A trained network, or calibration data, that cannot be converted."""


class ChipError(NeuroError):
    """A chip description that is unknown, incomplete or inconsistent."""


class FitError(NeuroError):
    """A network that breaks a limit of the chip it is placed on."""


class MachineError(NeuroError):
    """A machine description that is unknown, or a workload it cannot run."""


class FormatError(NeuroError):
    """A file that is missing, broken, or of another kind."""


class UsageError(NeuroError):
    """A command or call with arguments that do not go together."""


class MemoryLimitError(NeuroError):
    """Work that needs more memory than there is."""


class TimeLimitError(NeuroError):
    """Work that needs more time than it was given."""


class AccuracyWarning(UserWarning):
    """A result that is right as a computation but further from the float network than its code promises."""


class RangeWarning(UserWarning):
    """Inputs that lie far beyond the range a network was calibrated for, and were clipped."""


def expect(where: str, value: object, kind: type | tuple[type, ...], remedy: str, error: type[NeuroError] = UsageError) -> None:
    """Refuse a value that is of another type than one of `kind`; the remedy says what to pass."""
    if not isinstance(value, kind):
        shown = repr(value)
        short = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise error(where, f"{short} is a {type(value).__name__}", remedy)


def one_of(given: str, known: Iterable[str], more: str = "") -> str:
    """A remedy for an unknown name: the known one that looks like it, and all of them; `more` follows the last."""
    names = list(known)
    listed = f"Use one of {', '.join(names)}{more}"
    alike = {name.lower(): name for name in reversed(names)}
    near = difflib.get_close_matches(given.lower(), alike, n=1)
    return f"Did you mean {alike[near[0]]!r}? {listed}" if near else listed


def _printable(text: str) -> str:
    """What may come from a file, fit for a terminal: of bounded length, on one line, without control characters."""
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in short)


def _sentence(text: str) -> str:
    """The same with one full stop at its end, or the dots of a list that goes on."""
    text = _printable(text)
    return text if text.endswith("...") else f"{text.rstrip('.')}."
