"""Loihi's leaky neuron. Source: its rule as published in the nengo-loihi emulator, Lava `fixed_pt` and brian2-loihi (all three
equal element by element)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.errors import NetworkError
from neuro.neurons.base import START, Integers, Neuron, State, Step
from neuro.neurons.integers import Array, decay, saturate, wrap24
from neuro.numbers import settle
from neuro.specification import integer_or_array


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CubaLif(Neuron):
    """Loihi's current-based leaky neuron, bit-exact: 12-bit decays that round toward zero, strict threshold, reset to zero.

    u = dec(u, current_decay + 1) + (charge << 6), wrapped to 24 bits; v = dec(v, voltage_decay) + u + (bias << bias_exponent),
    clipped to +-(2^23 - 1); a spike where v > (threshold << 6), then v = 0; dec(x, d) = sign(x) * ((|x| * (4096 - d)) >> 12).
    Differs from Lava in: u wraps in two's complement, so +2^23 becomes -2^23 where Lava keeps it.
    """

    program = "cuba_lif"
    mantissas = True
    potential_bits = 24
    current_decay: int
    voltage_decay: int
    threshold: int
    bias: Integers = 0
    bias_exponent: int = 0
    start_step: int = 0

    def __post_init__(self) -> None:
        decay, mantissa = (0, 4095), (0, 131071)  # 12 and 17 bits
        settle(self, NetworkError, current_decay=decay, voltage_decay=decay, threshold=mantissa, bias_exponent=(0, 7))
        settle(self, NetworkError, start_step=START)
        object.__setattr__(self, "bias", integer_or_array("CubaLif", "bias", self.bias))
        if np.size(self.bias) and np.max(np.abs(np.asarray(self.bias, np.int64))) > 4096:
            raise NetworkError("CubaLif", "bias exceeds its 13-bit signed mantissa", "Use bias_exponent, or a smaller bias")

    @property
    def variables(self) -> dict[str, Integers]:
        return {"v": 0, "u": 0}

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        u = wrap24(decay(state["u"], self.current_decay + 1, xp) + (charge << 6))
        drive = u + (self.bias << self.bias_exponent)
        v = saturate(decay(state["v"], self.voltage_decay, xp) + drive, self.potential_bits, xp)
        fired = v > (self.threshold << 6)
        return {"v": xp.where(fired, 0, v), "u": u}, 1 * fired, drive
