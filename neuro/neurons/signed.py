"""Integrate and fire with correcting spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.neurons.base import Integers, Neuron, State, Step, check_fields
from neuro.neurons.integers import Array, saturate


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SignedIntegrateAndFire(Neuron):
    """Integrate and fire with correcting spikes: +1 where v >= threshold, -1 where v < 0 and the count is above `minimum`.

    `count` is the sum of the spikes sent so far; it stays within [minimum, maximum] (None: unbounded).
    It is silent in the first `gather` - 1 steps and stays on as much longer: looking ahead, it has less to correct.
    Source: "IF with negative spikes", ST-BIF. Differs from it in: `gather`.
    """

    messages = (-1, 1)
    program = "signed"
    subtracts = True
    threshold: int
    bias: Integers = 0
    initial_potential: Integers = 0
    minimum: int | None = 0
    maximum: int | None = None
    start_step: int = 0
    hold_input: bool = False
    potential_bits: int = 24
    gather: int = 1

    def __post_init__(self) -> None:
        check_fields(self, "minimum", "maximum")

    @property
    def variables(self) -> dict[str, Integers]:
        current: dict[str, Integers] = {"current": 0} if self.hold_input else {}
        return {"v": self.initial_potential, "count": 0, **current}

    def active_steps(self, timesteps: int) -> int:
        return self.gather + timesteps - 1

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        current, drive = self.driven(state, charge)
        v, count = saturate(state["v"] + drive, self.potential_bits, xp), state["count"]
        up = (v >= self.threshold) & (True if self.maximum is None else count < self.maximum)
        down = (v < 0) & (True if self.minimum is None else count > self.minimum)
        message = (1 * up - 1 * down) * (elapsed >= self.gather - 1)
        return {"v": v - self.threshold * message, "count": count + message, **current}, message, drive
