"""What `convert` may be asked for: the arguments that need no network to be judged, checked and settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from converters.advice import MOST_WEIGHT_BITS
from converters.choosing import Goal
from converters.codes import row_of
from converters.coding import CodeSettings
from converters.convertible import CARRYING, OF_VALUES
from converters.finetuning import Weights, check_weights
from converters.inputs import input_source
from converters.values.precision import MOST_BITS
from neuro.codes import CODES, LONGEST, Code
from neuro.errors import ConversionError
from neuro.graph import Graph
from neuro.numbers import settle, whole

MOST_WEIGHT_BITS_OF_VALUES = 16
METHODS = ("mse", "percentile", "max")
INPUTS = ("auto", "spikes", "graded", "ideal")
BOTTLENECKS = ("auto", "folded")
DEFAULT_BITS = 8  # of weights
LEAST_DIGITS = 4  # of values, sign apart


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `convert` by their names. Raises ConversionError for what is not known or does not go together.

    code="delta" becomes "graded" with `changes`, which takes frames; bits of named populations become `layer_bits`, the others
    have 8; weight_bits="auto" becomes 8 and `paired`; value_bits="auto" becomes None.
    """

    code: str = "rate"
    timesteps: int = 16
    threshold: str = "mse"
    weight_bits: Any = DEFAULT_BITS
    potential_bits: int = 24
    weights: Weights = "integer"
    correct_bias: bool = True
    input: str = "auto"
    reset: str = "subtract"
    refine: int = 0
    goal: Goal | None = None
    value_bits: Any = "auto"
    frames: bool = False
    refresh: int | None = None
    headroom: float | None = None
    bottlenecks: str = "auto"
    changes: bool = False
    paired: bool = False
    layer_bits: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("code", self.code, (*CODES, "auto", "delta"))
        changes = self.code == "delta"
        if changes:
            self._set(code=OF_VALUES, changes=True, frames=True)
        if self.refresh is not None:
            settle(self, ConversionError, "convert", refresh=(1, LONGEST))
            if not changes:
                fact = f"it is for code='delta', the code is {self.code!r}"
                raise ConversionError("refresh", fact, "Leave it out, or use code='delta'")
        resets = ("subtract",) if self.code == "auto" else row_of(self.code).resets
        choices = (("threshold", METHODS), ("input", INPUTS), ("reset", resets), ("bottlenecks", BOTTLENECKS))
        for name, allowed in choices:
            check_choice(name, getattr(self, name), allowed)
        check_weights(self.weights)
        if self.weights == "trinary":
            check_choice("code of trinary weights", self.code, ("rate",))
            self._set(input="spikes" if self.input == "auto" else self.input)
        if self.weight_bits == "auto":
            self._set(weight_bits=DEFAULT_BITS, paired=True)
        elif isinstance(self.weight_bits, Mapping):
            self._set(weight_bits=DEFAULT_BITS, layer_bits=self._bits_of_populations(self.weight_bits))
        settle(self, ConversionError, "convert", weight_bits=(2, MOST_WEIGHT_BITS_OF_VALUES), potential_bits=(16, 31))
        settle(self, ConversionError, "convert", timesteps=(1, LONGEST), refine=(0, 1_000_000))
        if self.value_bits == "auto":
            self._set(value_bits=None)
        else:
            settle(self, ConversionError, "convert", value_bits=(4, MOST_BITS))

    def _set(self, **fields: object) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _bits_of_populations(self, given: Mapping[str, int]) -> dict[str, int]:
        if self.code == "auto":
            raise ConversionError("weight_bits", "code='auto' tries codes with the same bits everywhere", "Name the code")
        return {
            str(name): whole("convert", f"weight_bits of population {name!r}", bits, 2, MOST_WEIGHT_BITS, error=ConversionError)
            for name, bits in given.items()
        }

    def check_for(self, of_values: bool, framed: bool) -> None:
        """Refuse what goes only with networks that compute with values, or take frames, or only with the others."""
        if self.value_bits and not of_values:
            fact = "the network does not compute with values, the code sets its levels"
            raise ConversionError("value_bits", fact, "Leave it out")
        self._check_headroom(framed)
        if not (of_values or framed):
            if self.paired:
                fact = "'auto' is for networks of values, this is one of rectified sums"
                raise ConversionError("weight_bits", fact, "Pass a number")
            if self.weight_bits > MOST_WEIGHT_BITS:
                fact = f"{self.weight_bits} bits, and the network is one of rectified sums"
                raise ConversionError("weight_bits", fact, f"Use at most {MOST_WEIGHT_BITS}; networks of values take more")
            return
        if self.layer_bits:
            fact = "the network computes with values, whose weights all have the same bits"
            raise ConversionError("weight_bits", fact, "Pass one number")
        if self.refine:
            raise ConversionError("refine", "it tunes rectifiers, the network computes with values", "Leave refine out")
        if not of_values:
            check_choice("code of frames", self.code, (OF_VALUES, "auto"))

    def splits(self, graph: Graph) -> bool:
        """Whether linear layers may be populations of their own: in codes that carry values, where nothing is asked for that only
        rectifiers have."""
        tuned = self.refine or self.layer_bits or self.threshold != "mse" or self.weights == "trinary" or self.reset != "subtract"
        tuned = tuned or self.input not in ("auto", "graded") or any("threshold" in layer.options for layer in graph.layers)
        short = self.code == "radix" and self.timesteps < LEAST_DIGITS
        return self.code in CARRYING and self.bottlenecks == "auto" and not (tuned or short)

    def _check_headroom(self, framed: bool) -> None:
        if self.headroom is None:
            return
        if self.changes or not framed:
            lost = "changes that a full potential leaves out are lost for good"
            raise ConversionError("headroom", lost if self.changes else "the network takes no frames", "Leave it out")
        if not 1.25 <= self.headroom <= 64:
            raise ConversionError("headroom", f"{self.headroom} is not from 1.25 to 64", "Use 1.25, or leave it out for 4")

    def settings(self, samples: NDArray[np.float32], code: str, timesteps: int) -> tuple[CodeSettings, tuple[str, ...]]:
        """How stages are written in a code for inputs like the samples, and what is to be noted about it."""
        return settings_of(samples, code, timesteps, (self.weight_bits, self.potential_bits), self.input)


def settings_of(
    samples: NDArray[np.float32], code: str, timesteps: int, bits: tuple[int, int], how: str
) -> tuple[CodeSettings, tuple[str, ...]]:
    """As `Options.settings`, with the bits of a weight and of a potential, and how samples enter."""
    notes: tuple[str, ...] = ()
    row, most = row_of(code), CODES[code].most_timesteps
    if timesteps > most and row.shortened:
        notes = (row.shortened.format(asked=timesteps, most=most),)
    timesteps = min(timesteps, most)
    source = input_source(samples, code, timesteps, how)
    made = CodeSettings(cast(Code, code), timesteps, bits[0], source, row.look_ahead(timesteps), potential_bits=bits[1])
    return made, notes


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is none of those allowed."""
    if value not in allowed:
        raise ConversionError(name, f"{value!r} is not known here", f"Use {' or '.join(allowed)}")
