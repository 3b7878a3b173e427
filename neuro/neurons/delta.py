"""Lava's delta encoder: the changes of a value, as messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.neurons.base import Integers, Neuron, State, Step
from neuro.neurons.integers import Array, wrap32
from neuro.neurons.sigma_delta import message_range, sent_changes, settle_changes


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Delta(Neuron):
    """Sends the change of its charge where it is at least the threshold: a `SigmaDelta` that adds nothing up.

    The activation is charge << (spike_exponent + state_exponent); the rest is as in `SigmaDelta`. It encodes inputs: the neuron
    of a source of code "driven", whose values are the charge. Source: lava.proc.sdn.models, 0.10.
    """

    sends = "payload"
    threshold: int
    spike_exponent: int = 6
    state_exponent: int = 6
    corrected: bool = False
    message_bits: int = 16
    start_step: int = 0

    def __post_init__(self) -> None:
        settle_changes(self)

    @property
    def variables(self) -> dict[str, Integers]:
        return {"act": 0, "residue": 0}

    @property
    def messages(self) -> tuple[int, int]:
        return message_range(self.message_bits)

    @property
    def parameters(self) -> tuple[int, ...]:
        return (self.threshold << self.shift, self.state_exponent, int(self.corrected), self.shift)

    @property
    def shift(self) -> int:
        """The exponent of state units."""
        return self.spike_exponent + self.state_exponent

    @staticmethod
    def step(charge: Any, parameters: Any, act: Any, residue: Any) -> Any:
        least, exponent, corrected, shift = parameters
        now = charge << shift
        delta = now - act + residue
        reached = abs(delta) >= least
        sent = delta >> exponent if reached else 0
        if corrected != 0:
            return sent, act + (sent << exponent), 0
        return sent, now, 0 if reached else delta

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        message, act, residue = sent_changes(self, charge << self.shift, state["act"], state["residue"], xp)
        return {"act": wrap32(act), "residue": wrap32(residue)}, message, charge
