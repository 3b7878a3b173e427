"""Input neurons. How inputs become their messages: `neuro.encoding`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from neuro.errors import NetworkError
from neuro.neurons.base import POSITIVE, START, Neuron
from neuro.neurons.refreshing import settle_refresh
from neuro.numbers import real, settle, settle_truths
from neuro.specification import INT32


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Source(Neuron):
    """Input neurons. Inputs of shape (samples, steps, *shape) are sent as they are; inputs (samples, *shape) by `code`.

    - "held": the integer is sent at every step (the free "analog" input of simulators when it has more than one value);
    - "once": one message at the first step, for a first population with `hold_input`;
    - "rate": chip neurons with the value as bias current that fire up to once a step: `levels` fires at every step;
    - "signed": the same, negative values send negative spikes;
    - "radix": the value's binary digits, most significant first, one a step, `digits` of them;
    - "driven": chip neurons of the model `neuron` with the value as their input: bias mantissa of a `CubaLif`, charge of others.
      Inputs with steps are written into that register at each step, and the last one stays.

    `period` (of "once"): inputs (samples, frames, *shape) are frames, one every so many steps. emit="change" sends of each frame
    what has changed since the messages so far, where that is at least `dead_zone`: receivers add up. `refresh`: every so many
    frames, in those numbered f with f % refresh == refresh_sent, it sends the frame in full.

    `scale` turns real inputs into integers, clip(round(x / scale), -levels or 0, levels); without it inputs must be integers.
    `twin` splits real values into a positive and a negative half along the first axis: shape (2C, ...) from inputs (C, ...).
    """

    is_source = True
    code: Literal["held", "once", "rate", "signed", "radix", "driven"] = "held"
    scale: float | None = None
    levels: int = INT32.max
    twin: bool = False
    digits: int = 0
    start_step: int = 0
    neuron: Neuron | None = None
    period: int | None = None
    emit: Literal["value", "change"] = "value"
    dead_zone: int = 1
    refresh: int | None = None
    refresh_sent: int = 0

    def __post_init__(self) -> None:
        if self.code not in ("held", "once", "rate", "signed", "radix", "driven"):
            raise NetworkError("Source", f"code {self.code!r} is not known", "Use held, once, rate, signed, radix or driven")
        self._check_driven()
        digits = (1, 16) if self.code == "radix" else (0, INT32.max)
        settle(self, NetworkError, levels=POSITIVE, digits=digits, start_step=START)
        settle_truths(self, NetworkError, "twin")
        self._check_frames()
        if self.scale is not None:
            object.__setattr__(self, "scale", real("Source", "scale", self.scale, above=0, error=NetworkError))

    def _check_frames(self) -> None:
        if self.emit not in ("value", "change"):
            raise NetworkError("Source", f"emit {self.emit!r} is not known", "Use value or change")
        settle(self, NetworkError, dead_zone=(1, 1 << 16))
        settle_refresh(self, 0)
        if self.period is None:
            if self.emit == "change" or self.dead_zone > 1:
                raise NetworkError("Source", "it sends changes without a period", "Give the steps from frame to frame: period=")
            return
        settle(self, NetworkError, period=POSITIVE)
        if self.code != "once" or (self.twin and self.emit == "change") or (self.dead_zone > 1 and self.emit == "value"):
            fact = f"period = {self.period} with code {self.code!r}, twin = {self.twin}, emit {self.emit!r}"
            raise NetworkError("Source", fact, 'Use code="once", emit="change" for a dead zone, and no twin with it')

    def _check_driven(self) -> None:
        neuron = self.neuron
        if (self.code == "driven") != (neuron is not None):
            raise NetworkError("Source", f"code {self.code!r} with neuron = {neuron!r}", 'Give both code="driven" and a neuron')
        if neuron is None:
            return
        usable = isinstance(neuron, Neuron) and not (neuron.is_source or neuron.is_readout or neuron.phased)
        if not usable or neuron.start_step or np.any(neuron.bias):
            fact = f"neuron = {type(neuron).__name__} is a source or readout, works in phases, or has a bias or start of its own"
            raise NetworkError("Source", fact, "Use a CubaLif without a bias, say; inputs are the bias")

    @property
    def sends(self) -> Literal["counts", "digits", "payload"]:
        return "digits" if self.code == "radix" else "counts"

    @property
    def subtracts(self) -> bool:
        return self.neuron is None or self.neuron.subtracts

    @property
    def sends_changes(self) -> bool:
        return self.emit == "change"

    @property
    def on_chip(self) -> bool:
        return self.code in ("rate", "signed", "radix", "driven")

    @property
    def open_range(self) -> bool:
        """True where `levels` was left at its default: then inputs say what is sent, and a chip's check waits for them."""
        return not self.on_chip and self.levels == INT32.max

    @property
    def messages(self) -> tuple[int, int]:
        if self.neuron is not None:
            return self.neuron.messages
        if self.code in ("rate", "radix"):
            return (0, 1)
        if self.code == "signed":
            return (-1, 1)
        reach = min(2 * self.levels, INT32.max) if self.emit == "change" else self.levels
        return (0 if self.twin else -reach, reach)

    @property
    def program(self) -> str:
        if self.neuron is not None:
            return self.neuron.program
        return "if" if self.code == "rate" else self.code

    @property
    def state_words(self) -> int:
        """A potential and a bias, and the count of a signed source; what a driven neuron has, and a bias."""
        if self.neuron is not None:
            return self.neuron.state_words + 1
        return 3 if self.code == "signed" else 2

    def active_steps(self, timesteps: int) -> int:
        return self.digits if self.code == "radix" else timesteps

    def most_messages(self, timesteps: int) -> int:
        if self.period is not None:
            return (timesteps - 1) // self.period + 1
        return 1 if self.code == "once" else self.active_steps(timesteps)

    def largest_value(self, timesteps: int) -> int:
        if self.neuron is not None:
            return self.neuron.largest_value(timesteps)
        return max(self.levels, timesteps) * (timesteps if self.code == "held" else 1)
