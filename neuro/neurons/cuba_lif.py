"""Loihi's leaky neuron. Source: its rule as published in the nengo-loihi emulator, Lava `fixed_pt` and brian2-loihi (all three
equal element by element)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.errors import NetworkError
from neuro.neurons.base import POSITIVE, START, Integers, Neuron, State, Step
from neuro.neurons.integers import Array, decay, saturate, wrap24
from neuro.numbers import settle
from neuro.specification import integer_or_array


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CubaLif(Neuron):
    """Loihi's current-based leaky neuron, bit-exact: 12-bit decays that round toward zero, strict threshold, reset to zero.

    u = dec(u, current_decay + 1) + (charge << 6), wrapped to 24 bits; v = dec(v, voltage_decay) + u + (bias << bias_exponent),
    clipped to +-(2^23 - 1); a spike where v > (threshold << 6), then v = 0; dec(x, d) = sign(x) * ((|x| * (4096 - d)) >> 12).
    `refractory`: steps from a spike to the next that is possible; v is held at 0 in between, u goes on. `reset_interval`: before
    every step of the window whose number modulo it is `reset_offset`, all state is set to 0 (None: never), as Lava's `LIFReset`.
    Differs from Lava in: u wraps in two's complement, so +2^23 becomes -2^23 where Lava keeps it; Lava has no refractory period
    (here that of nengo-loihi's emulator).
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
    refractory: int = 1
    reset_interval: int | None = None
    reset_offset: int = 0

    def __post_init__(self) -> None:
        decay, mantissa = (0, 4095), (0, 131071)  # 12 and 17 bits
        settle(self, NetworkError, current_decay=decay, voltage_decay=(0, 4096), threshold=mantissa, bias_exponent=(0, 7))
        settle(self, NetworkError, refractory=(1, 64))
        if self.reset_interval is not None:
            settle(self, NetworkError, reset_interval=POSITIVE)
        settle(self, NetworkError, reset_offset=(0, (self.reset_interval or 1) - 1))
        settle(self, NetworkError, start_step=START)
        object.__setattr__(self, "bias", integer_or_array("CubaLif", "bias", self.bias))
        if np.size(self.bias) and np.max(np.abs(np.asarray(self.bias, np.int64))) > 4096:
            raise NetworkError("CubaLif", "bias exceeds its 13-bit signed mantissa", "Use bias_exponent, or a smaller bias")

    @property
    def variables(self) -> dict[str, Integers]:
        return {"v": 0, "u": 0, **({"rest": 0} if self.refractory > 1 else {})}

    @property
    def plain(self) -> bool:
        """Whether it neither rests after a spike nor is reset at intervals."""
        return self.refractory == 1 and self.reset_interval is None

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        if self.reset_interval is not None and elapsed % self.reset_interval == self.reset_offset:
            state = {name: xp.zeros_like(values) for name, values in state.items()}
        u = wrap24(decay(state["u"], self.current_decay + 1, xp) + (charge << 6))
        drive = u + (self.bias << self.bias_exponent)
        v = saturate(decay(state["v"], self.voltage_decay, xp) + drive, self.potential_bits, xp)
        if "rest" in state:
            v = xp.where(state["rest"] > 0, 0, v)
        fired = v > (self.threshold << 6)
        rest = {"rest": xp.where(fired, self.refractory - 1, xp.clip(state["rest"] - 1, 0, 64))} if "rest" in state else {}
        return {"v": xp.where(fired, 0, v), "u": u, **rest}, 1 * fired, drive
