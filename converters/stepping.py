"""One population at a time, over all its steps and many samples at once: the exact integers of an emulation, in torch.

A network without loops can be evaluated population by population, each seeing the whole trains of those before it. Used to
calibrate, to diagnose and to evaluate lossless codes; `neuro.run` is the definition, and tests hold the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from converters.delivery import carrier, exact_in, largest
from converters.integrating import divide, integrate
from neuro.compiled import goes_without
from neuro.encoding import encode, source_of
from neuro.errors import ConversionError
from neuro.network import Network, Population
from neuro.neurons import IntegrateAndFire, Neuron, SignedIntegrateAndFire
from neuro.projections import Projection

Tensor = torch.Tensor
_TOGETHER = (
    2**21
)  # values of several samples and steps that go through a projection at once: calls have a price, and so has memory
_DIVIDED_S = 3e-9  # of a value in torch
_OFF = bool(numba.config.DISABLE_JIT)  # a loop over values would be plain Python
_NUMPY: dict[torch.dtype, Any] = {
    torch.float32: np.float32, torch.float64: np.float64, torch.int8: np.int8, torch.int16: np.int16
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Signal:
    """What a population sends: `frames` (steps, samples, *shape), and their `total` (samples, *shape).

    Codes that depend on timing (rate, signed) have a frame per step; a single frame is then a payload repeated at every step.
    Lossless codes have one frame: the count of spikes, the number that the digits spell, or the payload. Messages are in short
    integers where they fit.
    """

    frames: Tensor
    total: Tensor


@dataclass(frozen=True, slots=True)
class Part:
    """A population, the projections into it, and the neurons and signals of all populations before it; the largest |charge| that
    reaches it, where that is known."""

    population: Population
    projections: tuple[Projection, ...]
    neurons: Mapping[str, Neuron]
    signals: Mapping[str, Signal]
    timesteps: int
    lossless: bool
    reached: int | None = None


def source_signal(population: Population, inputs: NDArray[Any], timesteps: int, lossless: bool) -> Signal:
    """What a source sends for inputs (samples, *shape)."""
    neuron = source_of(population)
    if neuron.code in ("held", "once"):
        frame = torch.as_tensor(encode(population, inputs, 1).reshape(len(inputs), *population.shape)).to(torch.int64)
        total = frame * (timesteps if neuron.code == "held" else 1)
        return Signal((total if lossless else frame)[None], total)
    messages = encode(population, inputs, timesteps).swapaxes(0, 1)
    kind = np.int8 if np.abs(messages).max(initial=0) < 2**7 else np.int64  # spikes and digits, unless a stream brings others
    frames = torch.as_tensor(messages.astype(kind, order="C").reshape(-1, len(inputs), *population.shape))
    total = torch.zeros(frames.shape[1:], dtype=torch.int64)
    for frame in frames:
        total = total * (2 if neuron.code == "radix" else 1) + frame
    return Signal(total[None], total) if lossless else Signal(frames, total)


def charges(part: Part, memory: NDArray[np.float32] | None = None) -> Tensor:
    """Charge (steps, samples, *shape) that reaches a population, whole numbers in the shortest float type that is exact; one
    frame alone is the whole charge of a lossless code, or a charge repeated at every step. It lies in `memory`, where there is
    enough of it and that is its type: fresh memory costs more time than the sums."""
    target = part.population.shape
    incoming = []
    for p in part.projections:
        frames = part.signals[p.source].frames
        bound = part.neurons[p.source].largest_value(part.timesteps if part.lossless else 1)
        incoming.append((carrier(p, tuple(frames.shape[2:]), target, frames, bound), frames))
    steps, kind = max(len(frames) for _, frames in incoming), exact_in(sum(c.largest for c, _ in incoming))
    shape = (steps, incoming[0][1].shape[1], *target)
    (one, frames), count = incoming[0], shape[0] * shape[1]
    if memory is None and len(incoming) == 1 and count * max(frames[0, 0].numel(), prod(target)) <= _TOGETHER:
        return one.bring(frames.flatten(0, 1).to(kind), kind).reshape(shape)
    if memory is not None and kind == torch.float32 and prod(shape) <= memory.size:
        result = torch.as_tensor(memory[: prod(shape)].reshape(shape))
    else:
        result = _room(shape, kind)
    for i, (one, frames) in enumerate(incoming):
        images = frames.flatten(0, 1)
        totals = result.flatten(0, 1)[None] if len(frames) == steps else result  # one frame: the same at every step
        together = max(1, _TOGETHER // max(images[0].numel(), result[0, 0].numel()))
        for start in range(0, len(images), together):
            some = slice(start, start + together)
            brought, total = one.bring(images[some].to(kind), kind), totals[:, some]
            total.add_(brought) if i else total.copy_(brought)
    return result


def _room(shape: Sequence[int], kind: torch.dtype) -> Tensor:
    """A tensor without values: numpy's, whose large arrays lie in large pages of memory, which take a quarter of the time."""
    return torch.as_tensor(np.empty(shape, _NUMPY[kind]))


def respond(part: Part, charge: Tensor, *, trains: bool = True) -> Signal:
    """What a population sends for the charges of `charges`; without `trains` only in all, where it is counted."""
    neuron: Any = part.population.neuron
    whole = part.timesteps
    if neuron.takes_maxima:
        return _pooled(part)
    if neuron.is_readout:
        repeated = len(charge) == 1 and neuron.average and not part.lossless
        return Signal(charge, _summed(charge) * (whole if repeated else 1))
    if neuron.values(whole) is None:
        # Restated for whole windows: the only models that depend on timing which a code converts to.
        assert isinstance(neuron, IntegrateAndFire | SignedIntegrateAndFire)
        return _integrated(neuron, charge, whole, reach(charge) if part.reached is None else part.reached, trains)
    value = fire(part.population, charge[0], 1 if neuron.hold_input else whole)
    if not neuron.hold_input:
        return Signal(value[None], value)
    total = value.to(torch.int64) * whole
    return Signal((total if part.lossless else value)[None], total)


def _summed(charge: Tensor) -> Tensor:
    """Charges of all steps together, as int64."""
    return (charge[0] if len(charge) == 1 else charge.sum(0, dtype=torch.float64)).to(torch.int64)


def fire(p: Population, total: Tensor, timesteps: int) -> Tensor:
    """Value of each neuron of a lossless code from its total charge (samples, *shape), whole numbers in a float type."""
    n, values = p.neuron, p.neuron.values(timesteps)
    assert values is not None
    more = offset(p, timesteps)
    bound = reach(total) + _magnitude(more)
    kind = exact_in(bound)
    limit = bound if n.potential_bits is None else 2 ** (n.potential_bits - 1) - 1
    if bound > limit and (largest := reach(total.to(kind) + more.to(kind))) > limit:
        raise ConversionError(
            f"a {type(n).__name__} population",
            f"a potential of {largest} saturates at {n.potential_bits} bits",
            "Calibrate on inputs as large as these; where these were calibrated on, use more potential_bits",
        )
    if not _OFF and max(map(abs, values)) < 2**15 and not goes_without(divide, total.numel() * _DIVIDED_S, 2.0):
        return _divided(total.to(kind), more.to(kind).expand(total.shape[1:]), (threshold_of(p), *values))
    # A quotient of whole numbers that a float type holds is never rounded up to a whole number.
    potential = total.to(kind) + more.to(kind)
    return (
        potential.div_(threshold_of(p)).floor_().clamp_(*values).to(torch.int16 if max(map(abs, values)) < 2**15 else torch.int64)
    )


def _divided(total: Tensor, more: Tensor, levels: tuple[int, int, int]) -> Tensor:
    """The same in one go: levels are threshold, lowest and highest value."""
    found, kind = np.empty(tuple(total.shape), np.int16), _NUMPY[total.dtype]
    threshold, lowest, highest = map(kind, levels)
    flat = total.reshape(len(total), -1).numpy()
    divide(flat, np.ascontiguousarray(more.numpy()).ravel(), threshold, lowest, highest, found.reshape(len(total), -1))
    return torch.as_tensor(found)


def _pooled(part: Part) -> Signal:
    frames, shape = part.signals[part.projections[0].source].frames, part.population.shape
    if len(frames) == 1:
        best = largest(part.projections, frames[0], shape)
        return Signal(best[None], best)
    count = torch.zeros(frames.shape[1:], dtype=torch.int16)
    before = torch.zeros((frames.shape[1], *shape), dtype=torch.int16)
    changes = _room((len(frames), *before.shape), torch.int8)
    for t, frame in enumerate(frames):
        count += frame
        best = largest(part.projections, count, shape)
        changes[t] = best - before
        before = best
    return Signal(changes, before)


def _integrated(
    n: IntegrateAndFire | SignedIntegrateAndFire, charge: Tensor, timesteps: int, reached: int, trains: bool
) -> Signal:
    shape, limit = charge.shape[1:], 2 ** (n.potential_bits - 1) - 1
    early = n.active_steps(timesteps) - timesteps
    kind = exact_in(reached + _magnitude(n.bias) + max(limit, _magnitude(n.initial_potential)))
    bias, start = (
        np.ascontiguousarray(np.broadcast_to(np.asarray(value), shape[1:])).reshape(-1).astype(_NUMPY[kind])
        for value in (n.bias, n.initial_potential)
    )
    frames, count = _room((timesteps if trains else 0, *shape), torch.int8), _room(shape, torch.int16)
    lowest, highest = timesteps, timesteps  # never below 0, always above
    if isinstance(n, SignedIntegrateAndFire):
        lowest = -timesteps - 1 if n.minimum is None else n.minimum
        highest = timesteps if n.maximum is None else n.maximum
    levels = tuple(_NUMPY[kind](value) for value in (0, 1, n.threshold, limit, lowest, highest))
    integrate(
        charge.to(kind).reshape(len(charge), shape[0], -1).numpy(), bias, start, levels,
        n.subtracts, early, timesteps, frames.flatten(2).numpy(), count.flatten(1).numpy(),
    )  # fmt: skip
    return Signal(frames, count)


def reach(charge: Tensor) -> int:
    """The largest |charge|."""
    low, high = (int(end) for end in charge.aminmax())
    return max(-low, high)


def _magnitude(values: Any) -> int:
    return int(np.abs(np.asarray(values, np.int64)).max(initial=0))


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
            received[p.name] = _summed(charge) * repeated + offset(p, timesteps)
    return signals, received


def sent(neuron: Neuron, values: NDArray[Any], timesteps: int) -> NDArray[Any]:
    """How many messages carry the values that neurons send in a window of a lossless code."""
    if neuron.sends == "digits":
        return np.asarray(np.bitwise_count(values))
    if neuron.sends == "payload":
        return np.asarray(values != 0) if not neuron.hold_input else np.asarray((values != 0) * timesteps)
    return values


def offset(p: Population, timesteps: int) -> Tensor:
    """A population's bias over its window and its initial potential."""
    bias = np.asarray(p.neuron.bias, np.int64) * p.neuron.counted_bias(timesteps)
    return torch.tensor(bias + np.asarray(p.neuron.initial_potential, np.int64))
