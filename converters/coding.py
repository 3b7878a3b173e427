"""Stages + thresholds + a code -> populations in chip integers: weights, biases, start steps and delays.

Every population has one integer threshold; per-channel thresholds live in the weights. A *unit* is the real value of one
message: the threshold theta for spikes counted over T steps, theta / levels for digits and payloads, the scale for inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from converters import integers, linear
from converters.balance import Room, balance, even
from converters.codes import row_of
from converters.codes.row import CodeRow, CodeTiming
from converters.linear import Operator
from converters.reconstruction import Sent, reconstruct, round_with
from converters.stages import Stage
from neuro.codes import Code
from neuro.encoding import source_of
from neuro.errors import ConversionError
from neuro.network import Population
from neuro.neurons import (
    Graded,
    Neuron,
    Readout,
    Source,
)
from neuro.projections import OneToOne, Projection

Floats = NDArray[np.float64]
Tensor = torch.Tensor
_MARGIN = 2.0  # how far beyond the calibrated range a potential may go before it saturates
_LARGEST_THRESHOLD = 2.0**18  # biases of several thresholds still fit Loihi's 13 bits << 7
_LARGEST_EXPONENT = 8  # of weights of 8 bits: beyond, a weight would need more than the engine's 16
_RELAYED = 255  # payloads of inputs that meet spikes: finer ones would take the resolution of the weights
_FARTHEST = 2.0**18  # times its threshold that values of a layer may reach: beyond, charges would need more than 32 bits
_NEGLIGIBLE = 2.0**-12  # of a population's charge: paths that bring less need no resolution of their own


@dataclass(frozen=True, slots=True)
class CodeSettings:
    """How to write stages as a network. `timesteps` is T: steps of the window, or digits, or 1.

    `gather`: steps that a population looks ahead, its own step included. value_bits: of value neurons, None for as many as each
    needs. layer_bits: of the weights into some populations. paired, headroom, spare_bits: as of `converters.values.widths`.
    sources: how samples enter, by input, of networks of values.
    """

    code: Code
    timesteps: int
    weight_bits: int
    source: Source
    gather: int = 1
    reset: str = "subtract"
    potential_bits: int = 24
    weights: str = "integer"
    value_bits: int | None = None
    paired: bool = False
    headroom: float | None = None
    spare_bits: bool = True
    layer_bits: Mapping[str, int] = field(default_factory=dict, hash=False)
    sources: Mapping[str, Source] = field(default_factory=dict, hash=False)

    def of(self, population: str) -> CodeSettings:
        """The settings for one population, whose weights may have bits of their own."""
        return replace(self, weight_bits=self.layer_bits.get(population, self.weight_bits), layer_bits={})

    @property
    def trinary(self) -> bool:
        """Whether the weights into a neuron are all of one size, which scales of channels may not change."""
        return self.weights == "trinary"

    @property
    def row(self) -> CodeRow:
        """What the code declares."""
        return row_of(self.code)

    @property
    def levels(self) -> int:
        """How many values besides zero a population's activation can take."""
        return self.row.levels(self.timesteps)

    @property
    def counts(self) -> bool:
        """Whether values are spike counts over the window rather than digits or payloads."""
        return self.row.counts

    @property
    def counted_steps(self) -> int:
        """Steps over which a value is counted: the window, or 1 where values are digits or payloads."""
        return self.timesteps if self.counts else 1

    @property
    def lossless(self) -> bool:
        """Whether the network equals a quantised one, whatever the timing."""
        return self.row.lossless

    @property
    def limit(self) -> int:
        """Largest absolute weight."""
        return int(2 ** (self.weight_bits - 1) - 1)

    @property
    def largest_potential(self) -> int:
        """Where potentials saturate."""
        return int(2 ** (self.potential_bits - 1) - 1)


@dataclass(frozen=True, slots=True)
class Sender:
    """A population as its targets see it: real value of a message (one, or broadcast to its shape), variance of its total
    messages per channel, first step, lag from that to its first message; whether it sends one message only; whether its first
    half sends what is positive and its second what is negative."""

    name: str
    unit: Floats
    spread: Floats
    start: int
    lag: int = 0
    once: bool = False
    split_sign: bool = False

    @property
    def ready(self) -> int:
        """The step of its first message."""
        return self.start + self.lag


@dataclass(frozen=True, slots=True)
class PathKept:
    """The share of the energy (the sum of squares) of a path's weights, or of an input's values, that rounding keeps."""

    source: str
    target: str
    kept: float


@dataclass(frozen=True, slots=True)
class EncodedPopulation:
    """One population with the projections into it, and what rounding their weights keeps."""

    population: Population
    projections: tuple[Projection, ...]
    sender: Sender
    kept: tuple[PathKept, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a stage's sources send in all, (samples, *source) each, and the charge they should give, (samples, *stage)."""

    totals: tuple[Tensor, ...]
    wanted: Tensor


@dataclass(frozen=True, slots=True)
class Activity:
    """A stage's activations in the float network, per channel: threshold, mean square and variance when clipped to it; the
    largest |pre-activation|, how far a threshold may be raised (1 where a ceiling is exact), and how much noise matters."""

    theta: Floats
    square: Floats
    variance: Floats
    extent: Floats
    most: Floats
    importance: Floats


def source_population(stage: Stage, variance: float, settings: CodeSettings) -> EncodedPopulation:
    """The input as a population; `variance` is that of its values."""
    source = settings.source
    shape = (2 * stage.shape[0], *stage.shape[1:]) if source.twin else stage.shape
    unit = (source.scale or 1.0) * (source.levels if source.on_chip and not source.digits else 1)
    once = source.code == "once"
    whole_window = not once or settings.row.timing(settings, True).hold
    spread = variance / unit**2 * (settings.counted_steps**2 if whole_window else 1)
    sender = Sender(stage.name, np.array(unit), np.array(spread), 0, once=once, split_sign=source.twin)
    return EncodedPopulation(Population(stage.name, shape, source), (), sender)


def relay(made: EncodedPopulation) -> EncodedPopulation:
    """A population that repeats a graded input at every step, in 8 bits, for targets which also receive spikes."""
    before, source = made.sender, source_of(made.population)
    name, start = f"{before.name}.relay", before.ready + 1
    step = -(-source.levels // _RELAYED)
    levels = (source.levels + step // 2) // step
    neuron = Graded(step, levels, -levels, bias=step // 2, start_step=start, hold_input=True)
    population = Population(name, made.population.shape, neuron)
    sender = replace(before, name=name, unit=before.unit * step, spread=before.spread / step**2, start=start, once=False)
    return EncodedPopulation(population, (OneToOne(before.name, name),), sender)


def encode(
    stage: Stage, senders: list[Sender], activity: Activity, settings: CodeSettings, evidence: Evidence | None = None
) -> EncodedPopulation:
    """One rectified stage as a population; its weights are fitted to `evidence` where there is any."""
    arrives = arrival(senders, settings)
    divisor = 1 if settings.counts else settings.levels
    unit = activity.theta / divisor
    fitted, factors = _fitted(stage, senders, arrives, settings, evidence)
    operators = [linear.times(op, 1.0, 1 / _column(unit, stage.shape)) for op in fitted]
    reach = np.maximum(1.0, activity.extent / activity.theta)
    _check_reach(stage, float(reach.max()), settings)
    # A constant charge may saturate the potential: whoever it keeps firing, or silent, goes on doing so.
    held = _MARGIN * reach * (2 if arrives.timing.hold else settings.levels) / settings.largest_potential
    spreads = [s.spread for s in senders]
    exponents = _exponents(operators, spreads)
    exponents = _within_ceiling(operators, exponents, activity.most, settings.limit)
    importance, power = activity.importance * unit**2, activity.square * (settings.levels / activity.theta) ** 2
    limits = [settings.limit << e for e in exponents]
    room = Room(limits, held, _LARGEST_THRESHOLD, activity.most)
    if settings.trinary:
        chosen = even(operators, room, float((np.abs(stage.bias) / _column(unit, stage.shape)).max()))
    else:
        chosen = balance(operators, spreads, importance, power, room)
    unit = unit * chosen.raised
    factor = chosen.threshold / _column(chosen.raised, stage.shape)
    scaled = [linear.times(op, 1.0, factor) for op in operators]
    projections, kept = _projections(stage, senders, scaled, factors, exponents, arrives, settings)
    charge = np.rint(stage.bias * chosen.threshold * settings.counted_steps / _column(unit, stage.shape)).astype(np.int64)
    neuron = settings.row.neuron(chosen.threshold, arrives.start, arrives.timing, settings)
    neuron = with_charge(neuron, charge, settings.timesteps)
    varied = activity.square if evidence is None else activity.variance  # the correction of the bias takes the mean out
    spread = varied * (settings.levels / (unit * divisor)) ** 2
    sender = Sender(stage.name, _column(unit, stage.shape), spread, arrives.start, arrives.timing.lag)
    return EncodedPopulation(Population(stage.name, stage.shape, neuron), projections, sender, kept)


def encode_readout(
    stage: Stage, senders: list[Sender], extent: Floats, settings: CodeSettings, evidence: Evidence | None = None
) -> EncodedPopulation:
    """The last stage as a readout. extent (channels,): largest absolute charge seen in calibration, in units of the output."""
    arrives = arrival(senders, settings)
    arrives = replace(arrives, timing=replace(arrives.timing, repeats=1))  # a readout reads what it was sent
    operators, factors = _fitted(stage, senders, arrives, settings, evidence)
    per_step = settings.counts and not arrives.all_once
    exponents = _exponents(operators, [s.spread for s in senders])
    largest = integers.largest_by_channel(operators, [settings.limit << e for e in exponents])
    room = _MARGIN * (settings.timesteps if per_step else 1) * extent / settings.largest_potential
    needed = np.maximum(largest, room)  # of a unit's worth of charge: its reciprocal is the factor
    factor = _column(1 / np.where(needed > 0, needed, 1.0), stage.shape)
    scaled = [linear.times(op, 1.0, factor) for op in operators]
    projections, kept = _projections(stage, senders, scaled, factors, exponents, arrives, settings)
    neuron = Readout(
        scale=1 / factor,
        offset=stage.bias,
        average=per_step,
        doubling=settings.row.digits and not arrives.all_once,
        gather=None if per_step else arrives.timing.gather,
        start_step=arrives.start,
        potential_bits=settings.potential_bits,
    )
    sender = Sender(stage.name, np.ones(1), np.ones(1), arrives.start)
    return EncodedPopulation(Population(stage.name, stage.shape, neuron), projections, sender, kept)


def with_charge(neuron: Neuron, extra: NDArray[np.int64], timesteps: int) -> Neuron:
    """The neuron with `extra` charge over its whole window, spread over its steps, the remainder in the initial potential."""
    steps = neuron.counted_bias(timesteps)
    if steps == 1:
        return neuron.changed(bias=_shortest(np.asarray(neuron.bias + extra)))
    half = (neuron.threshold or 0) // 2
    total = np.asarray(neuron.bias, np.int64) * steps + neuron.initial_potential - half + extra
    return neuron.changed(bias=_shortest(total // steps), initial_potential=_shortest(half + total % steps))


@dataclass(frozen=True, slots=True)
class Arrival:
    """When messages reach a stage: its first step, and the code's timing there; `all_once`: each source sends one message."""

    start: int
    timing: CodeTiming
    all_once: bool

    def delay(self, sender: Sender) -> int:
        """The delay that brings a sender in line with the others."""
        return self.start - sender.ready + (self.timing.last if sender.once else 0)


def arrival(senders: list[Sender], settings: CodeSettings) -> Arrival:
    """When the messages of some senders reach a stage."""
    all_once = all(s.once for s in senders)
    start = 1 + max(s.ready for s in senders if all_once or not s.once)
    return Arrival(start, settings.row.timing(settings, all_once), all_once)


def _fitted(
    stage: Stage, senders: list[Sender], arrives: Arrival, settings: CodeSettings, evidence: Evidence | None
) -> tuple[list[Operator], list[Floats | None]]:
    """The stage's operators on the senders' messages, and the factors of those where they are known."""
    operators: list[Operator] = []
    for path, sender in zip(stage.paths, senders, strict=True):
        operator = integers.split_sign(path.operator) if sender.split_sign else path.operator
        operators.append(linear.times(operator, sender.unit * arrives.timing.repeats, 1.0))
    if evidence is None:
        return operators, [None] * len(operators)
    per_step = [settings.counts and (not s.once or arrives.timing.repeats > 1) for s in senders]
    sent = [Sent(v, settings.timesteps if per else 1) for v, per in zip(evidence.totals, per_step, strict=True)]
    return reconstruct(operators, sent, evidence.wanted)


def _exponents(operators: list[Operator], spreads: list[Floats]) -> list[int]:
    """The power of two that each operator's integer weights are multiples of, so that sources of very different units meet
    in one population and each keeps all its weight bits: a spike beside a payload of 8 bits, a skip path beside a
    convolution. On a chip it is the exponent of the synapse format."""
    largest = [integers.largest_weight([op]) for op in operators]
    brought = [size * float(np.sqrt(np.max(spread))) for size, spread in zip(largest, spreads, strict=True)]
    counted = [size for size, part in zip(largest, brought, strict=True) if part > _NEGLIGIBLE * max(brought)]
    if len(operators) == 1 or not counted:
        return [0] * len(operators)
    finest = min(counted)
    return [int(np.clip(np.ceil(np.log2(size / finest)), 0, _LARGEST_EXPONENT)) if size > finest else 0 for size in largest]


def _check_reach(stage: Stage, reach: float, settings: CodeSettings) -> None:
    """Refuse a layer whose values reach so far beyond its threshold that potentials of the code cannot hold them."""
    room = settings.largest_potential / settings.levels if settings.row.gathers else _FARTHEST
    if reach > room:
        raise ConversionError(
            stage.layer.where or f"layer {stage.name!r}",
            f"its values before the rectifier reach {reach:,.0f} times its threshold, code={settings.code!r} holds {room:,.0f}",
            "Scale the layer before it down, or raise its ceiling (ReLU6, clamp), or use more potential_bits",
        )


def _within_ceiling(operators: list[Operator], exponents: list[int], most: Floats, limit: int) -> list[int]:
    """The exponents, all raised where a threshold of 1 would still need weights beyond the limit of a channel whose threshold
    must not be raised beyond `most`: one message of a source is then worth many levels of the target."""
    beyond = float((integers.largest_by_channel(operators, [limit << e for e in exponents]) / most).max())
    more = int(np.ceil(np.log2(beyond))) if beyond > 1 else 0
    return [e + more for e in exponents]


def _projections(
    stage: Stage, senders: list[Sender], operators: list[Operator], factors: list[Floats | None], exponents: list[int],
    arrives: Arrival, settings: CodeSettings,
) -> tuple[tuple[Projection, ...], tuple[PathKept, ...]]:  # fmt: skip
    """Operators in the target's integers, rounded and stored; and what share of each one's energy that keeps."""
    made, kept = [], []
    for sender, op, factor, exponent in zip(senders, operators, factors, exponents, strict=True):
        needed = np.log2(max(integers.largest_weight([op]), 1.0) / settings.limit)
        shift = 2 ** min(exponent, max(0, int(np.ceil(needed - 1e-9))))
        mantissas = integers.shifted(op, 1 / shift)
        rounded = integers.rounded(mantissas, settings.limit) if factor is None else round_with(mantissas, factor, settings.limit)
        made.append(integers.projection(sender.name, stage.name, integers.shifted(rounded, shift), arrives.delay(sender)))
        kept.append(PathKept(sender.name, stage.name, integers.kept(mantissas, rounded)))
    return tuple(made), tuple(kept)


def _column(values: Floats, shape: tuple[int, ...]) -> Floats:
    """Per-channel values so that they broadcast to the shape."""
    return np.asarray(values).reshape(-1, *[1] * (len(shape) - 1))


def _shortest(values: NDArray[np.int64]) -> int | NDArray[np.int64]:
    """One number where all are equal."""
    return int(values.flat[0]) if (values == values.flat[0]).all() else values
