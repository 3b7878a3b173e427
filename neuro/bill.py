"""Bill: what one inference costs in energy and time, by part, on any target.

The one type in which the emulated chip and every other machine are priced. Knows nothing of how it was computed.
Energies are per inference; `latency_ns` is from the start of a batch to its last answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from typing import Any, Literal

from neuro import units
from neuro.errors import NeuroError
from neuro.frozen import Sourceable
from neuro.notebook import Table, TableRepr


def added(values: Iterable[float]) -> float:
    """Their sum, one after the other, on every version: since Python 3.12 `sum` rounds otherwise."""
    total: float = 0
    for value in values:
        total += value
    return total


PartKind = Literal["dynamic", "static", "management"]


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a bill: energy that is spent by working (`dynamic`), by being switched on (`static`),
    or by the host that feeds the device (`management`). None: it happened and no price of it is public; totals leave it out."""

    name: str
    energy_pj: float | None
    kind: PartKind = "dynamic"
    basis: str = "assumed"

    def __post_init__(self) -> None:
        if self.energy_pj is not None and not self.energy_pj >= 0:
            raise NeuroError(f"bill part {self.name!r}", f"energy is {self.energy_pj} pJ", "Give a price of 0 or more")


@dataclass(frozen=True, slots=True, repr=False)
class Bill(TableRepr, Sourceable):
    """Energy (pJ per inference) by part, latency (ns per batch) and throughput (inferences per second) of one target.

    `energy_known` is False where no public figure allows an energy to be stated: `parts` is then empty. Where the latency is not
    a number, what it costs to be switched on is not known either: only `dynamic_pj` is.
    """

    target: str
    parts: tuple[Part, ...]
    latency_ns: float
    throughput_per_s: float
    batch: int = 1
    precision: str = "int8"
    basis: str = "assumed"
    times_ns: tuple[tuple[str, float], ...] = ()
    assumptions: tuple[str, ...] = ()
    energy_known: bool = True

    def _shown(self) -> Table:
        rows = [*self.energy_rows(), ("latency", units.time(self.latency_ns), f"of batch {self.batch}, {self.precision}")]
        return f"One inference on {self.target}", ("", "", "kind, basis"), rows

    def energy_rows(self) -> list[tuple[str, str, str]]:
        """Each part with its energy, kind and basis, then dynamic and total energy, as words."""
        rows = [(part.name, units.energy(part.energy_pj), f"{part.kind}, {part.basis}") for part in self.parts]
        return [*rows, ("dynamic", units.energy(self.dynamic_pj), ""), ("total", units.energy(self.energy_pj), "")]

    @property
    def total_known(self) -> bool:
        """Whether the total energy is known: it takes prices and a time."""
        return self.energy_known and not isnan(self.latency_ns)

    @property
    def energy_pj(self) -> float:
        """Total energy per inference: dynamic, static and management."""
        return added(part.energy_pj or 0.0 for part in self.parts) if self.total_known else float("nan")

    @property
    def dynamic_pj(self) -> float:
        """Energy per inference that is spent by working, without idling and without the host."""
        if not self.energy_known:
            return float("nan")
        return added(part.energy_pj or 0.0 for part in self.parts if part.kind == "dynamic")

    def energy_by_part(self) -> dict[str, float | None]:
        """Energy per inference by part, None where it is unknown, with `dynamic` and `total`."""
        by_part: dict[str, float | None] = {part.name: part.energy_pj for part in self.parts}
        return {**by_part, "dynamic": self.dynamic_pj, "total": self.energy_pj}

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per part, ready for a table or CSV."""
        return [
            {"target": self.target, "part": part.name, "energy_pj": part.energy_pj, "kind": part.kind, "basis": part.basis}
            for part in self.parts
        ]
