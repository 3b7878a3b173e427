"""The output: a potential that the host reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import NetworkError
from neuro.neurons.base import BITS, POSITIVE, START, Neuron, State, Step
from neuro.neurons.integers import Array, saturate
from neuro.numbers import settle, settle_truths
from neuro.specification import frozen_array


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Readout(Neuron):
    """Accumulates and never fires; the host reads v as logit = offset + scale * v (a mean over steps when `average`).

    `doubling`: v = 2 v + charge, for sources that send binary digits; `gather` then is their number.
    """

    messages = (0, 0)
    program = "if"
    is_readout = True
    scale: float | NDArray[np.float64] = 1.0
    offset: float | NDArray[np.float64] = 0.0
    average: bool = False
    doubling: bool = False
    gather: int | None = None
    start_step: int = 0
    potential_bits: int = 24

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            object.__setattr__(self, name, _real_or_array(name, getattr(self, name)))
        settle(self, NetworkError, potential_bits=BITS, start_step=START)
        settle_truths(self, NetworkError, "average", "doubling")
        if self.gather is not None:
            settle(self, NetworkError, gather=POSITIVE)

    @property
    def phased(self) -> bool:
        return self.gather is not None

    def active_steps(self, timesteps: int) -> int:
        return timesteps if self.gather is None else self.gather

    def divisor(self, steps: int) -> int:
        """What the host divides the potential by after so many steps: their number where it reads a mean."""
        return steps if self.average else 1

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        v = (2 * state["v"] if self.doubling else state["v"]) + charge
        return {"v": saturate(v, self.potential_bits, xp)}, xp.zeros_like(v), charge


def _real_or_array(name: str, value: Any) -> float | NDArray[np.float64]:
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise NetworkError("Readout", f"{name} is {array.dtype}, not numbers", "Pass a number, or one for each neuron")
    if not np.isfinite(array).all():
        raise NetworkError("Readout", f"{name} is not finite", "Compute it from finite weights")
    return float(array) if array.ndim == 0 else frozen_array(array, np.float64)
