"""What a sweep varies: one Setting, a Space of them, and a Search through it. Knows no network and measures nothing."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from neuro.chip.files import describe
from neuro.chip.mapping import METHODS
from neuro.chip.spec import Chip
from neuro.errors import UsageError

CODES = ("rate", "signed", "wait", "radix", "graded")
THRESHOLDS = ("mse", "percentile", "max")
MOST_DIGITS = 8  # of the radix code
MOST_POINTS = 100_000


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to turn a float network into spikes on a chip."""

    code: str = "rate"
    timesteps: int = 16
    threshold: str = "mse"
    weight_bits: int = 8
    chip: str = "loihi2"
    placement: str = "refined"

    def in_effect(self) -> Setting:
        """The same setting as it acts: graded needs one timestep whatever is asked for, radix has at most 8 digits."""
        most = {"graded": 1, "radix": MOST_DIGITS}.get(self.code, self.timesteps)
        return replace(self, timesteps=min(self.timesteps, most))

    def key(self, chip: Chip) -> str:
        """Names what is measured, the chip's every figure included."""
        return digest({"setting": asdict(self), "chip": chip_digest(chip)})[:16]


@dataclass(frozen=True, slots=True)
class Space:
    """Every combination of these values. A single value may be written as itself."""

    code: Sequence[str] = CODES
    timesteps: Sequence[int] = (4, 8, 16)
    threshold: Sequence[str] = ("mse",)
    weight_bits: Sequence[int] = (8,)
    chip: Sequence[str] = ("loihi2",)
    placement: Sequence[str] = ("refined",)

    def __post_init__(self) -> None:
        for name in self.__slots__:
            given = getattr(self, name)
            values = (given,) if isinstance(given, str | int) else tuple(given)
            object.__setattr__(self, name, values)
            _check(name, values)
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
        if self.population < 2 or self.trials < 1:
            raise UsageError("search", f"{self.trials} trials, population {self.population}", "Use 1 and 2 or more")


_KNOWN: Mapping[str, Sequence[str]] = {"code": CODES, "threshold": THRESHOLDS, "placement": tuple(METHODS)}
_WHOLE = {"timesteps": (1, 4096), "weight_bits": (2, 8)}


def _check(name: str, values: tuple[Any, ...]) -> None:
    if not values:
        raise UsageError(name.replace("_", "-"), "there is no value", "Name at least one")
    for value in values:
        if name in _WHOLE:
            low, high = _WHOLE[name]
            if type(value) is not int or not low <= value <= high:
                raise UsageError(name.replace("_", "-"), f"{value!r} is not a whole number from {low} to {high}", "Use one")
        elif name in _KNOWN and value not in _KNOWN[name]:
            raise UsageError(name, f"{value!r} is not known", f"Use one of {', '.join(_KNOWN[name])}")


def digest(value: Any) -> str:
    """SHA-256 of a plain value, the same on every machine."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def chip_digest(chip: Chip) -> str:
    """Of every figure of a chip, wherever it was read from."""
    return digest([chip.name, [[row["field"], row["value"]] for row in describe(chip)]])
