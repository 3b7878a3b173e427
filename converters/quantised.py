"""A wait, radix or graded Network evaluated without stepping: exact integers, in about one forward pass.

The value of a population is its spike count (wait), the number its digits spell (radix) or its payload (graded):
q = clip(floor((sum of weights x values + bias) / threshold), 0, levels). Knows populations and projections, not where they
came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from neuro.encoding import by_source, encode
from neuro.errors import ConversionError
from neuro.network import Network, Population
from neuro.neurons import Graded, Neuron, RadixIntegrateAndFire, Readout, Source, WaitIntegrateAndFire
from neuro.projections import Conv1d, Conv2d, Dense, OneToOne, Projection, Sparse, SumPool2d

Tensor = torch.Tensor
_EXACT = 2**24  # float32 holds every integer up to here, and sums of integers below it are exact
_LIMIT = 2**23 - 1


@dataclass(frozen=True, slots=True)
class Quantised:
    """Logits (samples, classes) float32, and messages {population: (samples, neurons)} that the emulated network sends."""

    logits: NDArray[np.float32]
    spikes: dict[str, NDArray[np.uint16]]


def evaluate(network: Network, inputs: Any, batch: int = 128) -> Quantised:
    """Evaluate a lossless network on inputs (samples, *shape); equal to its emulation in logits and in spike counts."""
    for p in network.populations:
        if not isinstance(p.neuron, Source | WaitIntegrateAndFire | RadixIntegrateAndFire | Graded | Readout):
            raise ConversionError(
                f"population {p.name!r}",
                f"the counts of {type(p.neuron).__name__} depend on timing, so no quantised network equals it",
                "Run the network, or convert with code='wait', 'radix' or 'graded'",
            )
    ((name, array),) = by_source(network, inputs).items()
    parts = [_evaluate(network, array[i : i + batch]) for i in range(0, len(array), batch)]
    logits = np.concatenate([part.logits for part in parts])
    return Quantised(logits, {p.name: np.concatenate([part.spikes[p.name] for part in parts]) for p in network.populations})


def _evaluate(network: Network, array: NDArray[Any]) -> Quantised:
    values: dict[str, Tensor] = {}
    spikes: dict[str, NDArray[np.uint16]] = {}
    logits = []
    for p in network.populations:
        if isinstance(p.neuron, Source):
            values[p.name], spikes[p.name] = _source(p, array, network.timesteps or 1)
            continue
        total = _charge(network, p, values)
        if isinstance(p.neuron, Readout):
            logits.append(_read(p, total, network.timesteps or 1))
            spikes[p.name] = np.zeros((len(array), p.size), np.uint16)
            continue
        values[p.name], sent = fire(p.neuron, total, p.shape, network.timesteps or 1)
        spikes[p.name] = sent.reshape(len(array), -1).numpy().astype(np.uint16)
    return Quantised(np.concatenate(logits, axis=1), spikes)


def _source(p: Population, array: NDArray[Any], timesteps: int) -> tuple[Tensor, NDArray[np.uint16]]:
    messages = encode(p, array, timesteps).astype(np.int64)
    neuron = p.neuron
    assert isinstance(neuron, Source)
    worth = 2 ** np.arange(messages.shape[1] - 1, -1, -1) if neuron.code == "radix" else np.ones(messages.shape[1], np.int64)
    value = np.einsum("nts,t->ns", messages, worth)
    return torch.as_tensor(value.reshape(len(array), *p.shape)), (messages != 0).sum(axis=1).astype(np.uint16)


def _charge(network: Network, p: Population, values: dict[str, Tensor]) -> Tensor:
    total: Any = 0
    for projection in network.into(p.name):
        source = network[projection.source]
        bound = _largest_value(source.neuron, network.timesteps or 1)
        total = total + deliver(projection, values[projection.source], p.shape, bound)
    assert isinstance(total, Tensor)
    return total


def fire(neuron: Neuron, total: Tensor, shape: tuple[int, ...], timesteps: int) -> tuple[Tensor, Tensor]:
    """Values and message counts of a population from its total charge (samples, *shape)."""
    n: Any = neuron
    bias = torch.as_tensor(np.asarray(n.bias, np.int64))
    if isinstance(neuron, Graded):
        value = torch.clamp(torch.div(total + bias, n.threshold, rounding_mode="floor"), n.minimum, n.levels)
        steps = timesteps if n.hold_input else 1
        return value * steps, (value != 0).to(torch.int64) * steps
    if isinstance(neuron, RadixIntegrateAndFire):
        potential, levels = total + bias, 2**n.digits - 1
    else:
        potential, levels = total + bias * n.gather + torch.as_tensor(np.asarray(n.initial_potential, np.int64)), timesteps
    if int(potential.abs().max()) > 2 ** (n.potential_bits - 1) - 1:
        raise ConversionError(
            "quantised",
            f"a potential of {int(potential.abs().max())} saturates at {n.potential_bits} bits",
            "Calibrate on inputs as large as these",
        )
    value = torch.clamp(torch.div(potential, n.threshold, rounding_mode="floor"), 0, levels)
    return value, _ones(value) if isinstance(neuron, RadixIntegrateAndFire) else value


def _ones(value: Tensor) -> Tensor:
    """Number of binary ones."""
    total = torch.zeros_like(value)
    for bit in range(16):
        total = total + ((value >> bit) & 1)
    return total


def _read(p: Population, total: Tensor, timesteps: int) -> NDArray[np.float32]:
    neuron = p.neuron
    assert isinstance(neuron, Readout)
    scale = np.broadcast_to(np.asarray(neuron.scale), p.shape).ravel() / (timesteps if neuron.average else 1)
    offset = np.broadcast_to(np.asarray(neuron.offset), p.shape).ravel()
    return np.asarray(total.reshape(len(total), -1).numpy() * scale + offset, np.float32)


def _largest_value(neuron: Neuron, timesteps: int) -> int:
    if isinstance(neuron, RadixIntegrateAndFire):
        return int(2**neuron.digits - 1)
    if isinstance(neuron, Graded):
        return max(neuron.levels, -neuron.minimum) * (timesteps if neuron.hold_input else 1)
    if isinstance(neuron, Source):
        return {"held": neuron.levels * timesteps, "once": neuron.levels, "radix": neuron.levels}.get(neuron.code, timesteps)
    return timesteps


def deliver(projection: Projection, values: Tensor, target: tuple[int, ...], bound: int) -> Tensor:
    """Charge (samples, *target) int64 that values (samples, *source) bring; |values| <= bound."""
    if isinstance(projection, Sparse):
        size = (int(np.prod(values.shape[1:])), int(np.prod(target)))
        matrix = projection.to_sparse((size[0],), (size[1],))
        return torch.as_tensor((values.reshape(len(values), -1).numpy() @ matrix).reshape(len(values), *target))
    weights = torch.as_tensor(np.asarray(projection.stored_weights, np.int64))
    fan_in = (
        weights.abs().reshape(len(weights), -1).sum(1).max() if not isinstance(projection, Dense) else weights.abs().sum(0).max()
    )
    if isinstance(projection, SumPool2d):
        fan_in = weights.abs().max() * int(np.prod(projection.kernel))
    dtype = torch.float32 if int(fan_in) * bound < _EXACT else torch.float64
    charge: Tensor = _APPLY[type(projection)](projection, values.to(dtype), weights.to(dtype))
    return charge.reshape(len(values), *target).to(torch.int64)


def _one_to_one(p: Any, values: Tensor, weights: Tensor) -> Tensor:
    return values * (weights if weights.numel() == 1 else weights.reshape(-1, *[1] * (values.ndim - 2)))


def _conv2d(p: Any, values: Tensor, weights: Tensor) -> Tensor:
    (top, bottom), (left, right) = p.padding
    if top == bottom and left == right:
        return F.conv2d(values, weights, None, p.stride, (top, left), p.dilation, p.groups)
    return F.conv2d(F.pad(values, (left, right, top, bottom)), weights, None, p.stride, 0, p.dilation, p.groups)


def _conv1d(p: Any, values: Tensor, weights: Tensor) -> Tensor:
    return _conv2d(p.as_2d(), values[:, :, None], weights[:, :, None])


def _sum_pool(p: Any, values: Tensor, weights: Tensor) -> Tensor:
    return _conv2d(p.as_conv(values.shape[1]), values, weights.expand(values.shape[1], 1, *p.kernel).contiguous())


_APPLY: dict[type[Projection], Any] = {
    Dense: lambda p, values, weights: values.reshape(len(values), -1) @ weights,
    OneToOne: _one_to_one,
    Conv2d: _conv2d,
    Conv1d: _conv1d,
    SumPool2d: _sum_pool,
}
