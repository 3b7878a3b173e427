"""Lava's sigma-delta rectified neuron, in fixed point: it adds up changes and sends the changes of its activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.errors import NetworkError
from neuro.neurons.base import START, Integers, Neuron, State, Step
from neuro.neurons.integers import Array, wrap32
from neuro.numbers import settle, settle_truths
from neuro.specification import INT32, integer_or_array


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SigmaDelta(Neuron):
    """Adds what arrives to sigma, and sends the change of max(sigma, 0) where it is at least the threshold.

    act' = max(sigma, 0); delta = act' - act + residue. Where |delta| >= threshold << (spike_exponent + state_exponent), the
    message is delta >> state_exponent, rounded down, and residue = 0; elsewhere nothing is sent and residue = delta. Then act =
    act'. That is what Lava computes: the bits that the shift drops are lost, and the errors add up. `corrected`: act grows by
    what was sent, so nothing is lost (Lava's `PySigmaDeltaModelFixedCorrected`). `rectified` False leaves the maximum out. A
    bias is the first value of sigma: `initial_potential` = bias << (spike_exponent + state_exponent). A message beyond
    `message_bits`, sign included, ends the run with an error; Lava sends it all the same. Source: lava.proc.sdn.models, 0.10.
    """

    sends = "payload"
    threshold: int
    initial_potential: Integers = 0
    spike_exponent: int = 6
    state_exponent: int = 6
    corrected: bool = False
    rectified: bool = True
    message_bits: int = 16
    start_step: int = 0

    def __post_init__(self) -> None:
        settle_changes(self)
        settle_truths(self, NetworkError, "rectified")
        object.__setattr__(self, "initial_potential", integer_or_array("SigmaDelta", "initial_potential", self.initial_potential))

    @property
    def variables(self) -> dict[str, Integers]:
        return {"sigma": self.initial_potential, "act": 0, "residue": 0}

    @property
    def messages(self) -> tuple[int, int]:
        return message_range(self.message_bits)

    @property
    def state_words(self) -> int:
        return 2 if self.corrected else 3

    @property
    def parameters(self) -> tuple[int, ...]:
        least = self.threshold << (self.spike_exponent + self.state_exponent)
        return (least, self.state_exponent, int(self.corrected), int(self.rectified))

    @staticmethod
    def step(charge: Any, parameters: Any, sigma: Any, act: Any, residue: Any) -> Any:
        least, exponent, corrected, rectified = parameters
        sigma += charge
        now = sigma if sigma > 0 or rectified == 0 else 0
        delta = now - act + residue
        reached = abs(delta) >= least
        sent = delta >> exponent if reached else 0
        if corrected != 0:
            return sent, sigma, act + (sent << exponent), 0
        return sent, sigma, now, 0 if reached else delta

    def advance(self, state: State, charge: Array, elapsed: int, xp: Any = np) -> Step:
        sigma = state["sigma"] + charge
        now = xp.where(sigma > 0, sigma, 0) if self.rectified else sigma
        message, act, residue = sent_changes(self, now, state["act"], state["residue"], xp)
        return {"sigma": wrap32(sigma), "act": wrap32(act), "residue": wrap32(residue)}, message, charge


def sent_changes(neuron: Any, now: Array, act: Array, residue: Array, xp: Any) -> tuple[Array, Array, Array]:
    """The messages of neurons whose activation is `now`, and what `act` and `residue` become; NetworkError beyond the bits of a
    message. All in state units, integers in 64 bits."""
    delta = now - act + residue
    reached = xp.abs(delta) >= neuron.parameters[0]
    message = xp.where(reached, delta >> neuron.state_exponent, 0)
    lowest, highest = neuron.messages
    if ((message < lowest) | (message > highest)).any():
        beyond = int(message[(message < lowest) | (message > highest)].reshape(-1)[0])
        raise NetworkError(
            type(neuron).__name__,
            f"its step sent the message {beyond}",
            f"Stay within {lowest}..{highest}, or widen message_bits",
        )
    if neuron.corrected:
        return message, act + (message << neuron.state_exponent), 0 * residue
    return message, now, xp.where(reached, 0, delta)


def message_range(bits: int) -> tuple[int, int]:
    """The payloads of so many bits, with sign; as far below zero as above."""
    return (1 - (1 << (bits - 1)), (1 << (bits - 1)) - 1)


def settle_changes(neuron: Any) -> None:
    """Settle the fields that models which send changes share."""
    settle(neuron, NetworkError, threshold=(0, 1 << 24), start_step=START, message_bits=(2, 31))
    settle(neuron, NetworkError, spike_exponent=(0, 12), state_exponent=(0, 12))
    settle_truths(neuron, NetworkError, "corrected")
    if neuron.threshold << (neuron.spike_exponent + neuron.state_exponent) > INT32.max:
        raise NetworkError(type(neuron).__name__, "its threshold in state units exceeds 32 bits", "Lower it, or the exponents")
