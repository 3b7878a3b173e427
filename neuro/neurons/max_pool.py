"""The largest of several inputs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np

from neuro.errors import NetworkError
from neuro.neurons.base import POSITIVE, START, Integers, Neuron, State, Step
from neuro.neurons.integers import Array
from neuro.numbers import settle, settle_truths
from neuro.specification import INT32


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MaxPool(Neuron):
    """The largest of `taps` inputs, exactly. Weights 1, base, base^2, ... on the taps (base 2, or 3 for signed messages) let
    one sum say who sent what; each tap's lag behind the leader is its state.

    "counts": sends max(C[t]) - max(C[t-1]), where C is the sum of a tap's messages so far: -1, 0 or 1;
    "digits": of binary digits, most significant first: sends the digits of the largest number;
    "turns": payloads arrive one tap a step, with weight 1: sends the largest once, in the step of the last tap.
    """

    takes_maxima = True
    purpose = "the largest of several inputs"
    instead = "Use average pooling, or another chip"
    taps: int
    code: Literal["counts", "digits", "turns"] = "counts"
    signed: bool = False
    levels: int = 255
    start_step: int = 0

    def __post_init__(self) -> None:
        if self.code not in ("counts", "digits", "turns"):
            raise NetworkError("MaxPool", f"code {self.code!r} is not known", "Use counts, digits or turns")
        settle(self, NetworkError, taps=POSITIVE, levels=POSITIVE, start_step=START)
        settle_truths(self, NetworkError, "signed")
        if self.code != "turns" and (self.taps > 31 or self.base**self.taps > INT32.max):
            raise NetworkError("MaxPool", f"{self.taps} taps do not fit 32 bits", "Pool rows first, then columns")
        if self.signed and self.code != "counts":
            raise NetworkError("MaxPool", f"{self.code} cannot be signed", "Use code='counts'")

    @property
    def base(self) -> int:
        """Ratio between the weights of neighbouring taps."""
        return 3 if self.signed else 2

    @property
    def centre(self) -> int:
        """What is added to a charge so that digits -1, 0, 1 count as 0, 1, 2."""
        return self.base**self.taps // 2 if self.signed else 0

    @property
    def variables(self) -> dict[str, Integers]:
        return {"v": 0, "turn": 0} if self.code == "turns" else {f"behind{i}": 0 for i in range(self.taps)}

    @property
    def messages(self) -> tuple[int, int]:
        return (0, self.levels) if self.code == "turns" else (-1 if self.signed else 0, 1)

    @property
    def sends(self) -> Literal["counts", "digits", "payload"]:
        return "payload" if self.code == "turns" else self.code

    def active_steps(self, timesteps: int) -> int:
        return self.taps + timesteps - 1 if self.code == "turns" else timesteps

    def largest_value(self, timesteps: int) -> int:
        return max(self.levels, 2**timesteps - 1 if self.code == "digits" else timesteps, 255)

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        if self.code == "turns":
            largest, turn = xp.maximum(state["v"], charge), state["turn"] + 1
            return {"v": largest, "turn": turn}, xp.clip(largest, None, self.levels) * (turn == self.taps), charge
        shifted, doubling = charge + self.centre, 2 if self.code == "digits" else 1
        digits = [shifted // self.base**i % self.base - int(self.signed) for i in range(self.taps)]
        behind = [doubling * lag - digit for lag, digit in zip(state.values(), digits, strict=True)]
        message = -reduce(xp.minimum, behind)
        lags = [lag + message for lag in behind]
        if self.code == "digits":
            lags = [xp.clip(lag, None, 1) for lag in lags]
        return dict(zip(state, lags, strict=True)), message, charge
