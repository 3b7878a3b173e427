"""How far the models were off on machines they were not fitted on: the shipped results of `neuro.machines.validation`.

Knows the classes of machines; fits nothing. held_out.csv is written by docs/refresh_machines.py and checked by the tests.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from neuro.machines.machine import Machine
from neuro.machines.prediction import class_of

COLUMNS = ("machine_class", "quantity", "points", "families", "mean_error", "max_error")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Errors of one class and quantity, as shares of the measured value, on `points` measurements of `families` families."""

    points: int
    families: int
    mean_error: float
    max_error: float


@cache
def held_out_errors() -> dict[tuple[str, str], HeldOut]:
    """All of them, by (class, quantity)."""
    text = (resources.files("neuro.machines") / "held_out.csv").read_text(encoding="utf-8")
    return {
        (row["machine_class"], row["quantity"]): HeldOut(
            int(row["points"]), int(row["families"]), float(row["mean_error"]), float(row["max_error"])
        )
        for row in csv.DictReader(text.splitlines())
    }


def held_out_error(machine: Machine, quantity: str) -> HeldOut | None:
    """The error of machines of this class in "throughput", "latency" or "energy"; None where nothing was measured."""
    return held_out_errors().get((class_of(machine), quantity))
