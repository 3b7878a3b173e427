"""One population at a time, over all its steps and many samples at once: the exact integers of an emulation, in torch.

A network without loops can be evaluated population by population, each seeing the whole trains of those before it. Used to
calibrate, to diagnose and to evaluate lossless codes; `neuro.run` is the definition, and tests hold the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.delivery import deliver, largest
from neuro.encoding import encode, source_of
from neuro.errors import ConversionError
from neuro.network import Network, Population
from neuro.neurons import IntegrateAndFire, Neuron, SignedIntegrateAndFire
from neuro.projections import Projection

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True)
class Signal:
    """What a population sends: `frames` (steps, samples, *shape), and their `total` (samples, *shape).

    Codes that depend on timing (rate, signed) have a frame per step; a single frame is then a payload repeated at every step.
    Lossless codes have one frame: the count of spikes, the number that the digits spell, or the payload.
    """

    frames: Tensor
    total: Tensor


@dataclass(frozen=True, slots=True)
class Part:
    """A population, the projections into it, and the neurons and signals of all populations before it."""

    population: Population
    projections: tuple[Projection, ...]
    neurons: Mapping[str, Neuron]
    signals: Mapping[str, Signal]
    timesteps: int
    lossless: bool


def source_signal(population: Population, inputs: NDArray[Any], timesteps: int, lossless: bool) -> Signal:
    """What a source sends for inputs (samples, *shape)."""
    neuron = source_of(population)
    if neuron.code in ("held", "once"):
        frame = torch.as_tensor(encode(population, inputs, 1).reshape(len(inputs), *population.shape)).to(torch.int64)
        total = frame * (timesteps if neuron.code == "held" else 1)
        return Signal((total if lossless else frame)[None], total)
    messages = encode(population, inputs, timesteps).astype(np.int64)
    frames = torch.as_tensor(messages.swapaxes(0, 1).reshape(-1, len(inputs), *population.shape))
    worth = 2 ** torch.arange(len(frames) - 1, -1, -1) if neuron.code == "radix" else torch.ones(len(frames), dtype=torch.int64)
    total = torch.einsum("tn...,t->n...", frames, worth)
    return Signal(total[None], total) if lossless else Signal(frames, total)


def charges(part: Part) -> Tensor:
    """Charge (steps, samples, *shape) that reaches a population; one frame alone is the whole charge of a lossless code, or
    a charge repeated at every step."""
    incoming = [(p, part.signals[p.source].frames, part.neurons[p.source]) for p in part.projections]
    steps = max(len(frames) for _, frames, _ in incoming)
    whole = part.timesteps if part.lossless else 1
    result = []
    for t in range(steps):
        total: Any = 0
        for p, frames, neuron in incoming:
            bound = neuron.largest_value(whole)
            total = total + deliver(p, frames[min(t, len(frames) - 1)], part.population.shape, bound)
        result.append(total)
    return torch.stack(result)


def respond(part: Part, charge: Tensor) -> Signal:
    """What a population sends for the charges of `charges`."""
    neuron: Any = part.population.neuron
    whole = part.timesteps
    if neuron.takes_maxima:
        return _pooled(part)
    if neuron.is_readout:
        repeated = len(charge) == 1 and neuron.average and not part.lossless
        return Signal(charge, charge[0] * whole if repeated else charge.sum(0))
    if neuron.values(whole) is None:
        # Restated for whole windows, in the narrowest integers: the only models that depend on timing which a code converts to.
        assert isinstance(neuron, IntegrateAndFire | SignedIntegrateAndFire)
        return _integrated(neuron, charge, whole)
    value = fire(part.population, charge[0], 1 if neuron.hold_input else whole)
    if not neuron.hold_input:
        return Signal(value[None], value)
    total = value * whole
    return Signal((total if part.lossless else value)[None], total)


def fire(p: Population, total: Tensor, timesteps: int) -> Tensor:
    """Value of each neuron of a lossless code from its total charge (samples, *shape)."""
    n, values = p.neuron, p.neuron.values(timesteps)
    assert values is not None
    potential = total + offset(p, timesteps)
    largest = int(potential.abs().max())
    if n.potential_bits is not None and largest > 2 ** (n.potential_bits - 1) - 1:
        raise ConversionError(
            f"a {type(n).__name__} population",
            f"a potential of {largest} saturates at {n.potential_bits} bits",
            "Calibrate on inputs as large as these",
        )
    return torch.clamp(torch.div(potential, threshold_of(p), rounding_mode="floor"), *values)


def _pooled(part: Part) -> Signal:
    frames = part.signals[part.projections[0].source].frames
    best = [largest(part.projections, c, part.population.shape) for c in frames.cumsum(0, dtype=torch.int64)]
    if len(best) == 1:
        return Signal(best[0][None], best[0])
    changes = [best[0], *(after - before for before, after in zip(best, best[1:], strict=False))]
    return Signal(torch.stack(changes).to(torch.int8), best[-1])


def _integrated(n: IntegrateAndFire | SignedIntegrateAndFire, charge: Tensor, timesteps: int) -> Signal:
    shape, limit = charge.shape[1:], 2 ** (n.potential_bits - 1) - 1
    early = n.active_steps(timesteps) - timesteps
    narrow = int(charge.abs().max()) + _magnitude(n.bias) + max(limit, _magnitude(n.initial_potential)) < 2**31
    kind = torch.int32 if narrow else torch.int64
    bias = torch.tensor(np.asarray(n.bias)).to(kind)
    v = torch.tensor(np.asarray(n.initial_potential)).to(kind).expand(shape).clone()
    count = torch.zeros(shape, dtype=torch.int32)
    frames = torch.zeros((timesteps, *shape), dtype=torch.int8)
    charge = charge.to(kind)
    for t in range(n.active_steps(timesteps)):
        v += bias
        if t < timesteps:
            v += charge[min(t, len(charge) - 1)]
        v.clamp_(-limit, limit)
        if t < early:
            continue
        message = _messages(n, v, count)
        frames[t - early] = message
        count += message
        v = v - n.threshold * message if n.subtracts else torch.where(message != 0, 0, v)
    return Signal(frames, count.to(torch.int64))


def _magnitude(values: Any) -> int:
    return int(np.abs(np.asarray(values, np.int64)).max(initial=0))


def _messages(n: Any, v: Tensor, count: Tensor) -> Tensor:
    up: Tensor = v >= n.threshold
    if n.messages == (0, 1):
        return up.to(torch.int32)
    if n.maximum is not None:
        up &= count < n.maximum
    down: Tensor = v < 0
    if n.minimum is not None:
        down &= count > n.minimum
    return up.to(torch.int32) - down.to(torch.int32)


def threshold_of(p: Population) -> int:
    """The threshold of a population that has one, as rectified ones have."""
    assert p.neuron.threshold is not None
    return p.neuron.threshold


def rectified(p: Population) -> bool:
    """Whether a population is a rectified layer: not the input, its relay, a pool of maxima or the output."""
    n = p.neuron
    relayed = n.sends == "payload" and n.hold_input and n.messages[0] < 0
    return not (n.is_source or n.is_readout or n.takes_maxima or relayed)


def emulated(
    network: Network, samples: NDArray[np.float32], timesteps: int, lossless: bool
) -> tuple[dict[str, Signal], dict[str, Tensor]]:
    """What every population sends, and the charge it receives over its window, bias included."""
    signals: dict[str, Signal] = {}
    received: dict[str, Tensor] = {}
    neurons = {p.name: p.neuron for p in network.populations}
    for p in network.populations:
        if p.neuron.is_source:
            signals[p.name] = source_signal(p, samples, timesteps, lossless)
            continue
        part = Part(p, network.into(p.name), neurons, signals, timesteps, lossless)
        charge = torch.zeros(1) if p.neuron.takes_maxima else charges(part)
        signals[p.name] = respond(part, charge)
        if rectified(p):
            repeated = timesteps if len(charge) == 1 and not lossless else 1
            received[p.name] = charge.sum(0) * repeated + offset(p, timesteps)
    return signals, received


def sent(neuron: Neuron, values: NDArray[Any], timesteps: int) -> NDArray[Any]:
    """How many messages carry the values that neurons send in a window of a lossless code."""
    if neuron.sends == "digits":
        return np.asarray(np.bitwise_count(values))
    if neuron.sends == "payload":
        return np.asarray((values != 0) * (timesteps if neuron.hold_input else 1))
    return values


def offset(p: Population, timesteps: int) -> Tensor:
    """A population's bias over its window and its initial potential."""
    bias = np.asarray(p.neuron.bias, np.int64) * p.neuron.counted_bias(timesteps)
    return torch.tensor(bias + np.asarray(p.neuron.initial_potential, np.int64))
