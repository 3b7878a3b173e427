"""The output: a potential that the host reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import NetworkError
from neuro.neurons.base import BITS, POSITIVE, START, Neuron, State, Step
from neuro.neurons.integers import Array, saturate
from neuro.neurons.refreshing import renews, settle_refresh
from neuro.numbers import settle, settle_truths
from neuro.specification import INT32, frozen_array


class Read(Neuron):
    """What all have whose potential the host reads."""

    __slots__ = ()
    messages = (0, 0)
    is_readout = True
    average = False
    doubling = False
    scale: float | NDArray[np.float64]
    offset: float | NDArray[np.float64]

    def decoding(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What the host multiplies each potential of a population of this shape by where it reads no mean, and adds then."""
        scale, offset = (np.asarray(value, np.float64) for value in (self.scale, self.offset))
        return np.broadcast_to(scale, shape).ravel(), np.broadcast_to(offset, shape).ravel()

    def read(self, potentials: NDArray[Any], shape: tuple[int, ...], elapsed: int) -> NDArray[np.float64]:
        """Logits from the potentials (..., neurons) of a population of this shape after `elapsed` steps of its window."""
        scale, offset = self.decoding(shape)
        return np.asarray(potentials * (scale / self.divisor(elapsed)) + offset, np.float64)

    def divisor(self, steps: int) -> int:
        """What the host divides the potential by after so many steps: their number where it reads a mean."""
        return steps if self.average else 1


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Readout(Read):
    """Accumulates and never fires; the host reads v as logit = offset + scale * v (a mean over steps when `average`).

    `period`: frames of so many steps follow each other, v begins each of them at 0, and the host reads it in each after `gather`
    steps (`Run.frames`). `changes`: what arrives are changes of values, so v stays from frame to frame,
    but begins at 0 in those numbered f with f % refresh == refresh_at[0], where there is a `refresh`.

    `doubling`: v = 2 v + charge, for sources that send binary digits; `gather` then is their number.
    """

    program = "if"
    scale: float | NDArray[np.float64] = 1.0
    offset: float | NDArray[np.float64] = 0.0
    average: bool = False
    doubling: bool = False
    gather: int | None = None
    start_step: int = 0
    potential_bits: int = 24
    period: int | None = None
    changes: bool = False
    refresh: int | None = None
    refresh_at: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            object.__setattr__(self, name, real_or_array(name, getattr(self, name)))
        settle(self, NetworkError, potential_bits=BITS, start_step=START)
        settle_truths(self, NetworkError, "average", "doubling", "changes")
        if self.gather is not None:
            settle(self, NetworkError, gather=POSITIVE)
        if self.period is not None:
            object.__setattr__(self, "gather", self.gather or 1)
            settle(self, NetworkError, period=(self.gather, INT32.max))
        if (self.changes and self.period is None) or (self.period is not None and (self.average or self.doubling)):
            fact = f"period = {self.period} with changes = {self.changes}, average = {self.average}, doubling = {self.doubling}"
            raise NetworkError("Readout", fact, "Give frames a period, and neither average nor doubling")
        settle_refresh(self, 1)

    def takes_changes(self, port: int) -> bool:
        return self.changes

    @property
    def phased(self) -> bool:
        return self.gather is not None and self.period is None

    def active_steps(self, timesteps: int) -> int:
        return timesteps if self.gather is None or self.period is not None else self.gather

    def read_at(self, timesteps: int) -> range:
        """The steps of its window after which the host reads the frames of it."""
        return range((self.gather or 1) - 1, timesteps, self.period or INT32.max)

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        before = state["v"] * (2 if self.doubling else 1)
        if self.period is not None and elapsed % self.period == 0:
            before = before * (self.changes and not renews(self, elapsed, self.refresh_at[0]))
        v = before + charge
        return {"v": saturate(v, self.potential_bits, xp)}, xp.zeros_like(v), charge


def real_or_array(name: str, value: Any) -> float | NDArray[np.float64]:
    """A number, or a frozen array of them, as a parameter of a readout; NetworkError for others."""
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise NetworkError("Readout", f"{name} is {array.dtype}, not numbers", "Pass a number, or one for each neuron")
    if not np.isfinite(array).all():
        raise NetworkError("Readout", f"{name} is not finite", "Compute it from finite weights")
    return float(array) if array.ndim == 0 else frozen_array(array, np.float64)
