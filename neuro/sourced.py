"""A constant with its value, unit, basis and source. Knows nothing of what it is used for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from neuro.errors import NeuroError

Basis = Literal["measured", "fitted", "simulated", "derived", "vendor", "assumed"]
BASES: tuple[str, ...] = get_args(Basis)
_STRONGEST_FIRST = ("measured", "vendor", "fitted", "simulated", "derived", "assumed")


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
        if not self.source.strip():
            raise NeuroError(f"constant {self.value} {self.unit}", "it has no source", "Say where the number comes from")
        if self.value != self.value:
            raise NeuroError(f"constant in {self.unit}", "its value is not a number", "Leave an unknown value out instead")

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit} ({self.basis}: {self.source})"
