"""Stages + thresholds + a code -> Network in chip integers: weights, biases, start steps and delays.

Every population has one integer threshold; per-channel thresholds live in the weights. A *unit* is the real value of one
message: the threshold theta for spike counts over T steps, theta / levels for digits and payloads, the input's scale for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from converters import integers, linear
from converters.linear import Operator
from converters.stages import Stage
from neuro.network import Population
from neuro.neurons import (
    Graded,
    IntegrateAndFire,
    Neuron,
    RadixIntegrateAndFire,
    Readout,
    SignedIntegrateAndFire,
    Source,
    WaitIntegrateAndFire,
)
from neuro.projections import OneToOne, Projection

Floats = NDArray[np.float64]
Code = Literal["rate", "signed", "wait", "radix", "graded"]
POTENTIAL = 2**23 - 1
_MARGIN = 2.0  # how far beyond the calibrated range a potential may go before it saturates
_HALVES = {"rate": True, "wait": True, "radix": True, "signed": False}  # binary codes send negative inputs from twin neurons


@dataclass(frozen=True, slots=True)
class Settings:
    """How to write stages as a network. `timesteps` is T, or the number of digits K for radix, 1 for graded."""

    code: Code
    timesteps: int
    weight_bits: int
    source: Source
    reset: str = "subtract"

    @property
    def levels(self) -> int:
        """How many values besides zero a population's activation can take."""
        if self.code == "radix":
            return int(2**self.timesteps - 1)
        return 255 if self.code == "graded" else self.timesteps

    @property
    def counts(self) -> bool:
        """Whether values are spike counts over the window (rate, signed, wait) rather than digits or payloads."""
        return self.code in ("rate", "signed", "wait")

    @property
    def limit(self) -> int:
        """Largest absolute weight."""
        return int(2 ** (self.weight_bits - 1) - 1)


@dataclass(frozen=True, slots=True)
class Sender:
    """A population as its targets see it: real value of a message per channel, first step, and lag from start to output."""

    name: str
    unit: Floats
    start: int
    lag: int = 0
    once: bool = False

    @property
    def ready(self) -> int:
        """The step of its first message."""
        return self.start + self.lag


@dataclass(frozen=True, slots=True)
class Made:
    """One population with the projections into it."""

    population: Population
    projections: tuple[Projection, ...]
    sender: Sender


def source_population(stage: Stage, settings: Settings) -> Made:
    """The input as a population."""
    source = settings.source
    shape = (2 * stage.shape[0], *stage.shape[1:]) if source.twin else stage.shape
    unit = (source.scale or 1.0) * (source.levels if source.code in ("rate", "signed") else 1)
    sender = Sender(stage.name, np.array(unit), 0, once=source.code == "once")
    return Made(Population(stage.name, shape, source), (), sender)


def relay(sender: Sender, population: Population) -> Made:
    """A population that repeats a graded input at every step, exactly, for targets which also receive spikes."""
    name = f"{sender.name}.relay"
    levels = population.neuron.levels  # type: ignore[attr-defined]  # a Source
    neuron = Graded(1, levels, -levels, start_step=sender.ready + 1, hold_input=True)
    made = Population(name, population.shape, neuron)
    return Made(made, (OneToOne(sender.name, name),), replace(sender, name=name, start=sender.ready + 1, once=False))


def encode(stage: Stage, senders: list[Sender], theta: Floats, reach: float, settings: Settings) -> Made:
    """One rectified stage as a population. theta (channels,); reach: largest |pre-activation| / theta seen in calibration."""
    arrives = _Arrival(senders, settings)
    unit = theta / (1 if settings.counts else settings.levels)
    operators = _in_units(stage, senders, 1 / _column(unit, stage.shape), arrives.repeats, settings)
    threshold = _threshold(integers.largest_weight(operators), reach, settings)
    bias = stage.bias * threshold * arrives.total_steps / _column(unit, stage.shape) if stage.bias is not None else np.zeros(1)
    neuron = _neuron(threshold, np.rint(bias).astype(np.int64), arrives, settings)
    operators = [integers.rounded(linear.times(op, 1.0, float(threshold)), settings.limit) for op in operators]
    lag = arrives.gather - 1 if settings.code in ("wait", "radix") else 0
    sender = Sender(stage.name, _column(unit, stage.shape), arrives.start, lag)
    return Made(Population(stage.name, stage.shape, neuron), _projections(stage, senders, operators, arrives), sender)


def encode_readout(stage: Stage, senders: list[Sender], reach: Floats, settings: Settings) -> Made:
    """The last stage as a readout. reach (channels,): largest absolute output seen in calibration."""
    arrives = _Arrival(senders, settings)
    operators = _in_units(stage, senders, 1.0, 1, settings)
    steps = settings.timesteps if settings.counts and not arrives.all_once else 1
    largest = np.maximum(integers.largest_by_channel(operators), 1e-30)
    factor = np.minimum(settings.limit / largest, POTENTIAL / (_MARGIN * steps * np.maximum(reach, 1e-30)))
    factor = _column(factor, stage.shape)
    operators = [integers.rounded(linear.times(op, 1.0, factor), settings.limit) for op in operators]
    neuron = Readout(
        scale=1 / factor,
        offset=np.zeros(1) if stage.bias is None else stage.bias,
        average=settings.counts and not arrives.all_once,
        doubling=settings.code == "radix" and not arrives.all_once,
        gather=None if settings.counts and not arrives.all_once else arrives.gather,
        start_step=arrives.start,
    )
    sender = Sender(stage.name, np.ones(1), arrives.start)
    return Made(Population(stage.name, stage.shape, neuron), _projections(stage, senders, operators, arrives), sender)


class _Arrival:
    """When messages reach a stage: its first step, the steps it gathers, and the delay that brings each sender in line."""

    def __init__(self, senders: list[Sender], settings: Settings) -> None:
        self.all_once = all(s.once for s in senders)
        self.start = 1 + max(s.ready for s in senders if self.all_once or not s.once)
        window = settings.timesteps
        self.gather = 1 if self.all_once and settings.code != "rate" and settings.code != "signed" else window
        # Values are counts over T steps: an input that arrives once, to a population that gathers once, counts T times.
        self.repeats = window if settings.code == "wait" and self.all_once else 1
        self.total_steps = window if settings.counts else 1
        self.hold = self.all_once and settings.code in ("rate", "signed")

    def delay(self, sender: Sender) -> int:
        """Digits arrive most significant first, so a single graded message joins the last of them."""
        late = self.gather - 1 if sender.once and not self.all_once else 0
        return self.start + late - sender.ready


def _in_units(stage: Stage, senders: list[Sender], after: Any, repeats: int, settings: Settings) -> list[Operator]:
    """The stage's operators from the senders' messages to the target's units."""
    operators = []
    for path, sender in zip(stage.paths, senders, strict=True):
        operator = path.operator
        if settings.source.twin and sender.unit.ndim == 0:
            operator = integers.twin(operator)
        operators.append(linear.times(operator, sender.unit * repeats, after))
    return operators


def _projections(stage: Stage, senders: list[Sender], operators: list[Operator], arrives: _Arrival) -> tuple[Projection, ...]:
    pairs = zip(senders, operators, strict=True)
    return tuple(integers.projection(s.name, stage.name, op, arrives.delay(s)) for s, op in pairs)


def _threshold(largest: float, reach: float, settings: Settings) -> int:
    """The largest integer threshold that keeps weights within their bits and potentials within theirs."""
    room = POTENTIAL / (max(1.0, _MARGIN * reach) * settings.levels)
    return max(1, int(min(settings.limit / max(largest, 1e-30), room, 2**16)))


def _neuron(threshold: int, bias: NDArray[np.int64], arrives: _Arrival, settings: Settings) -> Neuron:
    half, start = threshold // 2, arrives.start
    if settings.code == "graded":
        return Graded(threshold, settings.levels, bias=bias + half, start_step=start)
    if settings.code == "radix":
        return RadixIntegrateAndFire(threshold, settings.timesteps, arrives.gather, bias=bias + half, start_step=start)
    steps = arrives.gather if settings.code == "wait" else settings.timesteps
    parts: dict[str, Any] = {"bias": bias // steps, "initial_potential": half + bias % steps, "start_step": start}
    if settings.code == "wait":
        return WaitIntegrateAndFire(threshold, arrives.gather, **parts)
    if settings.code == "signed":
        return SignedIntegrateAndFire(threshold, maximum=settings.timesteps, hold_input=arrives.hold, **parts)
    return IntegrateAndFire(threshold, settings.reset, hold_input=arrives.hold, **parts)


def _column(values: Floats, shape: tuple[int, ...]) -> Floats:
    """Per-channel values so that they broadcast to the shape."""
    return np.asarray(values).reshape(-1, *[1] * (len(shape) - 1))
