"""Wait, then fire: lossless spike counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.neurons.base import Integers, Neuron, State, Step, check_fields
from neuro.neurons.integers import Array, saturate


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WaitIntegrateAndFire(Neuron):
    """Integrate `gather` steps in silence, then fire once a step while v >= threshold: exactly the quantised activation."""

    program = "wait"
    subtracts = True
    phased = True
    threshold: int
    gather: int
    bias: Integers = 0
    initial_potential: Integers = 0
    start_step: int = 0
    hold_input: bool = False
    potential_bits: int = 24

    def __post_init__(self) -> None:
        check_fields(self)

    def active_steps(self, timesteps: int) -> int:
        return self.gather + timesteps - 1

    def integrated_steps(self, timesteps: int) -> int:
        return self.gather

    def values(self, timesteps: int) -> tuple[int, int] | None:
        return None if self.hold_input else (0, timesteps)

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        current, drive = self.driven(state, charge)
        if elapsed >= self.gather:
            current, drive = {}, xp.zeros_like(charge)
        v = saturate(state["v"] + drive, self.potential_bits, xp)
        fired = (v >= self.threshold) & (elapsed >= self.gather - 1)
        return {**state, **current, "v": v - self.threshold * fired}, 1 * fired, drive
