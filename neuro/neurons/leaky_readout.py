"""The output of a leaky integrator: the potential of a leaky neuron of Loihi that never fires, which the host reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import NetworkError
from neuro.neurons.base import START, Integers, State, Step
from neuro.neurons.integers import Array, decay, saturate, wrap24
from neuro.neurons.readout import Read, real_or_array
from neuro.numbers import settle

LARGEST = 131071 << 6  # of a potential, beyond which the chip's neuron would fire whatever its threshold
_LIMIT = (1 << 23) - 1
_HALF = 1 << 23


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LeakyReadout(Read):
    """Leaks, adds up and never fires; the host reads v as logit = offset + scale * v.

    v = dec(v, voltage_decay) + (charge << 6), the charge wrapped to 24 bits and v clipped to +-(2^23 - 1): Loihi's leaky neuron
    (`CubaLif` with current_decay=4095) with the largest threshold, 131071. The chip's would fire above 131071 << 6; whoever
    makes the network chooses weights with which v stays below.
    """

    program = "cuba_lif"
    potential_bits = 24
    voltage_decay: int
    scale: float | NDArray[np.float64] = 1.0
    offset: float | NDArray[np.float64] = 0.0
    start_step: int = 0

    def __post_init__(self) -> None:
        settle(self, NetworkError, voltage_decay=(1, 4095), start_step=START)
        for name in ("scale", "offset"):
            object.__setattr__(self, name, real_or_array(name, getattr(self, name)))

    @property
    def variables(self) -> dict[str, Integers]:
        return {"v": 0}

    @property
    def state_words(self) -> int:
        """Potential and current, as every leaky neuron of the chip has."""
        return 2

    @property
    def parameters(self) -> tuple[int, ...]:
        return (4096 - self.voltage_decay,)

    @staticmethod
    def step(charge: Any, parameters: Any, v: Any) -> Any:
        drive = (((charge << 6) + _HALF) & 0xFFFFFF) - _HALF
        kept = (abs(v) * parameters[0]) >> 12
        v = (kept if v >= 0 else -kept) + drive
        return 0, min(max(v, -_LIMIT), _LIMIT)

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        drive = wrap24(charge << 6)
        v = decay(state["v"], self.voltage_decay, xp) + drive
        return {"v": saturate(v, self.potential_bits, xp)}, xp.zeros_like(v), drive
