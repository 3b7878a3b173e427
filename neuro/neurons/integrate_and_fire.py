"""Integrate and fire. Source: Rueckauer et al. 2017, eq. 4 (reset by subtraction); Loihi's potentials saturate as these do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.errors import NetworkError
from neuro.neurons.base import Integers, Neuron, State, Step, check_fields
from neuro.neurons.integers import Array, saturate

_RESETS = {"subtract": "subtract", "soft": "subtract", "zero": "zero", "hard": "zero"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class IntegrateAndFire(Neuron):
    """Integrate and fire: v += charge + bias; a spike where v >= threshold; then v -= threshold, or v = 0 for reset "zero".

    `hold_input`: a non-decaying current keeps every charge that arrives and adds it again at each step.
    `bias` and `initial_potential` are integers or arrays that broadcast to the population's shape.
    """

    program = "if"
    threshold: int
    reset: str = "subtract"
    bias: Integers = 0
    initial_potential: Integers = 0
    start_step: int = 0
    hold_input: bool = False
    potential_bits: int = 24

    def __post_init__(self) -> None:
        if not isinstance(self.reset, str) or self.reset not in _RESETS:
            raise NetworkError("IntegrateAndFire", f"reset {self.reset!r} is not known", "Use 'subtract' or 'zero'")
        object.__setattr__(self, "reset", _RESETS[self.reset])
        check_fields(self)

    @property
    def subtracts(self) -> bool:
        return self.reset == "subtract"

    @property
    def takes_maxima(self) -> bool:
        """One that fires whenever anything arrives sends the longest of trains of spikes that end together."""
        return self.threshold == 1 and self.reset == "zero"

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        current, drive = self.driven(state, charge)
        v = saturate(state["v"] + drive, self.potential_bits, xp)
        fired = v >= self.threshold
        v = xp.where(fired, v - self.threshold if self.subtracts else 0, v)
        return {"v": v, **current}, 1 * fired, drive
