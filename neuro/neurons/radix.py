"""Binary digits: lossless values in few spikes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.errors import NetworkError
from neuro.neurons.base import Integers, Neuron, State, Step, check_fields
from neuro.neurons.integers import Array, saturate
from neuro.specification import INT32


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RadixIntegrateAndFire(Neuron):
    """Binary digits, most significant first: v = 2 v + charge for `gather` steps, then + bias once, then `digits` steps in
    which a spike is worth threshold * 2^(digits - 1), ..., threshold."""

    sends = "digits"
    program = "radix"
    subtracts = True
    phased = True
    threshold: int
    digits: int
    gather: int
    bias: Integers = 0
    start_step: int = 0
    potential_bits: int = 24

    def __post_init__(self) -> None:
        check_fields(self)
        if not 1 <= self.digits <= 16 or self.threshold << (self.digits - 1) > INT32.max:
            raise NetworkError(
                "RadixIntegrateAndFire",
                f"{self.digits} digits of threshold {self.threshold} do not fit 32 bits",
                "Use fewer digits or a smaller threshold",
            )

    def active_steps(self, timesteps: int) -> int:
        return self.gather + self.digits - 1

    def counted_bias(self, timesteps: int) -> int:
        return 1

    def values(self, timesteps: int) -> tuple[int, int]:
        return (0, 2**self.digits - 1)

    def largest_value(self, timesteps: int) -> int:
        return int(2**self.digits - 1)

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        v, drive = state["v"], xp.zeros_like(charge)
        if elapsed < self.gather:
            drive = charge + (self.bias if elapsed == self.gather - 1 else 0)
            v = saturate(2 * v + drive, self.potential_bits, xp)
        if elapsed < self.gather - 1:
            return {"v": v}, xp.zeros_like(v), drive
        worth = self.threshold << (self.digits - 1 - (elapsed - self.gather + 1))
        fired = v >= worth
        return {"v": v - worth * fired}, 1 * fired, drive
