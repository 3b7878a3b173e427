"""What a code declares: a row of functions and facts. Others read them; nobody asks which code it is.

Knows neurons and sources; knows no layers, weights or chips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from neuro.neurons import Neuron, Source

ROUNDING = 1 / 12  # variance of rounding to the nearest whole number
SPIKE_LEVELS = 255  # of an input whose spikes are counted
POWERS_OF_TWO = (2, 4, 8, 16, 32, 64)


class Chosen(Protocol):
    """What a row must know of the settings of a conversion; `gather`: steps that a population looks ahead, its own included."""

    @property
    def timesteps(self) -> int: ...
    @property
    def gather(self) -> int: ...
    @property
    def reset(self) -> str: ...
    @property
    def potential_bits(self) -> int: ...
    @property
    def levels(self) -> int: ...


@dataclass(frozen=True, slots=True)
class CodeTiming:
    """When a population whose first message arrives at some step takes its messages and sends its own.

    gather: steps whose messages it adds up before it answers. lag: steps from its first step to its first message. hold: a charge
    that arrives once acts at every step of the window. repeats: how often a message counts that arrives once. last: steps from
    the first message of a value to the one with which a single message joins.
    """

    gather: int
    lag: int = 0
    hold: bool = False
    repeats: int = 1
    last: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRow:
    """One code. T is the window of the settings: timesteps, or digits.

    levels(T): values besides zero that an activation can take.
    timing(settings, all_once): when a population takes its messages; `all_once`: each of its sources sends one message only.
    neuron(threshold, start_step, timing, settings): the neuron without bias, which rounds to the nearest count.
    pool(taps, start_step, settings): the neuron that takes the largest of its inputs; the weight of tap i is pool_base ** i, with
    None each tap arrives in a step of its own, in turn.
    source(largest, negative, T): input neurons that spike, for values up to `largest`, some below zero; None: there are none.
    to_try: windows that `code="auto"` tries, ascending. look_ahead(T): steps that a population looks ahead.
    counts: a value is a number of spikes over the window; digits: it is spelled in binary, most significant digit first; neither:
    it is a payload. gathers: the potential holds the charge of a whole window.
    lossless: the network equals a quantised one, whatever the timing; else `lossless_form` is a lossless code of the same levels.
    resets: of the neurons. variance: of a neuron's value, in messages squared. finer: codes that lose less so.
    shortened: the note where {asked} timesteps became {most}.
    """

    levels: Callable[[int], int]
    timing: Callable[[Chosen, bool], CodeTiming]
    neuron: Callable[[int, int, CodeTiming, Chosen], Neuron]
    pool: Callable[[int, int, Chosen], Neuron]
    pool_base: int | None = 2
    source: Callable[[float, bool, int], Source] | None = None
    to_try: tuple[int, ...]
    counts: bool = False
    digits: bool = False
    gathers: bool = False
    lossless: bool = True
    lossless_form: str = ""
    look_ahead: Callable[[int], int] = lambda timesteps: 1
    resets: tuple[str, ...] = ("subtract",)
    variance: float = ROUNDING
    finer: tuple[str, ...] = ()
    shortened: str = ""


def rate_source(largest: float, negative: bool, timesteps: int) -> Source:
    """Input neurons whose spikes are counted; two for each value where values may be negative."""
    return Source("rate", largest / SPIKE_LEVELS, SPIKE_LEVELS, twin=negative)
