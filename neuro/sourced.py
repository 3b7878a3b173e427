"""A constant with its value, unit, basis and source. Knows nothing of what it is used for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard, get_args

from neuro.errors import NeuroError

Basis = Literal["measured", "fitted", "simulated", "derived", "vendor", "assumed"]
BASES: tuple[str, ...] = get_args(Basis)
_STRONGEST_FIRST = ("measured", "vendor", "fitted", "simulated", "derived", "assumed")


_ENTRY = {"value", "unit", "basis", "source"}


def is_text(value: Any) -> TypeGuard[str]:
    """Whether it is a text with something in it."""
    return isinstance(value, str) and bool(value.strip())


def entry_mistakes(entry: Any, unit: str | None = None) -> list[tuple[str, str]]:
    """What is wrong with a figure of a TOML file, {value, unit, basis, source}, but for its value: fact and remedy of each.

    unit: the unit in which it must be given, "" for none; None: any.
    """
    if not isinstance(entry, dict) or not _ENTRY - {"unit"} <= set(entry) <= _ENTRY:
        shape = f'{{ value = ..., unit = "{"..." if unit is None else unit}", basis = "...", source = "..." }}'
        return [("it is not a value with its source", f"Write it as {shape}")]
    found = []
    if entry["basis"] not in BASES:
        found.append((f"basis {entry['basis']!r} is not known", f"Use one of {', '.join(BASES)}"))
    if not is_text(entry["source"]):
        found.append(("it has no source", "Say where the value comes from"))
    stated = entry.get("unit", "")
    if stated != unit if unit is not None else not is_text(stated):
        found.append((f"its unit is {stated!r}", f"Give it in {unit or 'no unit'!r}" if unit is not None else "State its unit"))
    return found


def weakest(bases: Iterable[str]) -> str:
    """The basis that can be relied on least; "unknown" where there is none."""
    return max(bases, key=_STRONGEST_FIRST.index, default="unknown")


@dataclass(frozen=True, slots=True)
class Sourced:
    """A number and where it comes from, e.g. `Sourced(23.6, "pJ", "simulated", "Davies 2018, table 2")`."""

    value: float
    unit: str
    basis: Basis
    source: str

    def __post_init__(self) -> None:
        if self.basis not in BASES:
            raise NeuroError(
                f"constant {self.value} {self.unit}", f"basis {self.basis!r} is not known", f"Use one of {', '.join(BASES)}"
            )
        if not is_text(self.source):
            raise NeuroError(f"constant {self.value} {self.unit}", "it has no source", "Say where the number comes from")
        if self.value != self.value:
            raise NeuroError(f"constant in {self.unit}", "its value is not a number", "Leave an unknown value out instead")

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit} ({self.basis}: {self.source})"
