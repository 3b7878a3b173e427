"""Payloads: a value in one message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.errors import NetworkError
from neuro.neurons.base import Integers, Neuron, State, Step, check_fields
from neuro.neurons.integers import Array
from neuro.specification import INT32


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Graded(Neuron):
    """One payload message a step: clip(floor((charge + bias) / threshold), minimum, levels), sent where it is not zero.

    It keeps no potential between steps. On a chip the division is a multiplication and a shift in the neuron program.
    """

    sends = "payload"
    program = "graded"
    threshold: int
    levels: int = 255
    minimum: int = 0
    bias: Integers = 0
    start_step: int = 0
    hold_input: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        if not -INT32.max <= self.minimum <= 0 < self.levels <= INT32.max:
            raise NetworkError("Graded", f"payloads {self.minimum}..{self.levels}", "Use minimum <= 0 < levels, within 32 bits")

    @property
    def messages(self) -> tuple[int, int]:
        return (self.minimum, self.levels)

    @property
    def memoryless(self) -> bool:
        return not self.hold_input

    def counted_bias(self, timesteps: int) -> int:
        return 1

    def values(self, timesteps: int) -> tuple[int, int]:
        return self.messages

    def largest_value(self, timesteps: int) -> int:
        return max(self.levels, -self.minimum) * (timesteps if self.hold_input else 1)

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        current, drive = self.driven(state, charge)
        return {**state, **current}, xp.clip(drive // self.threshold, self.minimum, self.levels), drive
