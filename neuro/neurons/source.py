"""Input neurons. How inputs become their messages: `neuro.encoding`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neuro.errors import NetworkError
from neuro.neurons.base import POSITIVE, START, Neuron
from neuro.numbers import real, settle, settle_truths
from neuro.specification import INT32


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Source(Neuron):
    """Input neurons. Inputs of shape (samples, steps, *shape) are sent as they are; inputs (samples, *shape) by `code`.

    - "held": the integer is sent at every step (the free "analog" input of simulators when it has more than one value);
    - "once": one message at the first step, for a first population with `hold_input`;
    - "rate": chip neurons with the value as bias current that fire up to once a step: `levels` fires at every step;
    - "signed": the same, negative values send negative spikes;
    - "radix": the value's binary digits, most significant first, one a step, `digits` of them.

    `scale` turns real inputs into integers, clip(round(x / scale), -levels or 0, levels); without it inputs must be integers.
    `twin` splits real values into a positive and a negative half along the first axis: shape (2C, ...) from inputs (C, ...).
    """

    subtracts = True
    is_source = True
    code: Literal["held", "once", "rate", "signed", "radix"] = "held"
    scale: float | None = None
    levels: int = INT32.max
    twin: bool = False
    digits: int = 0
    start_step: int = 0

    def __post_init__(self) -> None:
        if self.code not in ("held", "once", "rate", "signed", "radix"):
            raise NetworkError("Source", f"code {self.code!r} is not known", "Use held, once, rate, signed or radix")
        digits = (1, 16) if self.code == "radix" else (0, INT32.max)
        settle(self, NetworkError, levels=POSITIVE, digits=digits, start_step=START)
        settle_truths(self, NetworkError, "twin")
        if self.scale is not None:
            object.__setattr__(self, "scale", real("Source", "scale", self.scale, above=0, error=NetworkError))

    @property
    def on_chip(self) -> bool:
        return self.code in ("rate", "signed", "radix")

    @property
    def messages(self) -> tuple[int, int]:
        if self.code in ("rate", "radix"):
            return (0, 1)
        return (-1, 1) if self.code == "signed" else (0 if self.twin else -self.levels, self.levels)

    @property
    def program(self) -> str:
        return "if" if self.code == "rate" else self.code

    @property
    def state_words(self) -> int:
        """A potential and a bias, and the count of a signed source."""
        return 3 if self.code == "signed" else 2

    def active_steps(self, timesteps: int) -> int:
        return self.digits if self.code == "radix" else timesteps

    def largest_value(self, timesteps: int) -> int:
        return max(self.levels, timesteps) * (timesteps if self.code == "held" else 1)
