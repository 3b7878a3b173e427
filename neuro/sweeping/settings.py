"""What a sweep varies: one Setting, a Space of them, and a Search through it. Knows no network and measures nothing."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from neuro.chip.files import describe
from neuro.chip.placing.mapping import METHODS
from neuro.chip.spec import Chip
from neuro.codes import CODES, LONGEST
from neuro.errors import UsageError
from neuro.numbers import settle, whole

THRESHOLDS = ("mse", "percentile", "max")
MOST_POINTS = 100_000
_WHOLE = {"timesteps": (1, LONGEST), "weight_bits": (2, 8)}


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to turn a float network into spikes on a chip."""

    code: str = "rate"
    timesteps: int = 16
    threshold: str = "mse"
    weight_bits: int = 8
    chip: str = "loihi2"
    placement: str = "refined"

    def __post_init__(self) -> None:
        settle(self, UsageError, "setting", **_WHOLE)

    def in_effect(self) -> Setting:
        """The same setting as it acts: with no more timesteps than its code can use (graded 1, radix 8 digits)."""
        most = CODES[self.code].most_timesteps if self.code in CODES else self.timesteps
        return replace(self, timesteps=min(self.timesteps, most))

    def key(self, chip: Chip) -> str:
        """Names what is measured, the chip's every figure included."""
        return digest({"setting": asdict(self), "chip": chip_digest(chip)})[:16]


@dataclass(frozen=True, slots=True)
class Space:
    """Every combination of these values. A single value may be written as itself."""

    code: Sequence[str] = field(default_factory=lambda: tuple(CODES))
    timesteps: Sequence[int] = (4, 8, 16)
    threshold: Sequence[str] = ("mse",)
    weight_bits: Sequence[int] = (8,)
    chip: Sequence[str] = ("loihi2",)
    placement: Sequence[str] = ("refined",)

    def __post_init__(self) -> None:
        for name in self.__slots__:
            given = getattr(self, name)
            values = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
            object.__setattr__(self, name, _checked(name, values))
        count = len(list(itertools.islice(itertools.product(*self.axes().values()), MOST_POINTS + 1)))
        if count > MOST_POINTS:
            raise UsageError("space", f"it has more than {MOST_POINTS:,} combinations", "Name fewer values")

    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The values of each field of a Setting."""
        return {name: getattr(self, name) for name in self.__slots__}

    def settings(self) -> tuple[Setting, ...]:
        """All settings in effect, in order, each once."""
        names = tuple(self.axes())
        every = (Setting(**dict(zip(names, values, strict=True))) for values in itertools.product(*self.axes().values()))
        return tuple(dict.fromkeys(setting.in_effect() for setting in every))


@dataclass(frozen=True, slots=True)
class Search:
    """NSGA-II instead of the whole grid: `trials` settings drawn, `population` of them in each generation."""

    trials: int
    population: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        settle(self, UsageError, "search", trials=(1, None), population=(2, None), seed=(0, None))


_KNOWN: Mapping[str, Sequence[str]] = {"code": tuple(CODES), "threshold": THRESHOLDS, "placement": tuple(METHODS)}


def _checked(name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise UsageError(name.replace("_", "-"), "there is no value", "Name at least one")
    if name in _WHOLE:
        return tuple(whole(name.replace("_", "-"), name, value, *_WHOLE[name], error=UsageError) for value in values)
    for value in values:
        if not isinstance(value, str) or (name in _KNOWN and value not in _KNOWN[name]):
            raise UsageError(name, f"{value!r} is not known", f"Use one of {', '.join(_KNOWN.get(name, ('a name', 'a path')))}")
    return values


def digest(value: Any) -> str:
    """SHA-256 of a plain value, the same on every machine."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def chip_digest(chip: Chip) -> str:
    """Of every figure of a chip, wherever it was read from."""
    return digest([chip.name, [[row["field"], row["value"]] for row in describe(chip)]])
