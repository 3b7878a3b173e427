"""A network of value neurons without stepping through all of it: each population in the steps in which it gathers.

What a population sends is computed by the neuron itself, from the charges of its own steps; the order of populations and the sums
of weights are independent of the engines. Every population sends once.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.delivery import carrier, exact_in
from converters.stepping import source_signal
from neuro.errors import ConversionError
from neuro.network import Network, Population
from neuro.projections import Projection, Sparse

Integers = NDArray[np.int64]
Sent = dict[str, Integers]  # (samples, *shape) of each population


def of_values(network: Network) -> bool:
    """Whether a network has value neurons, and each of its populations sends once."""
    found: list[Any] = [p.neuron for p in network.populations]
    once = all(n.is_source or n.is_readout or (n.computes and n.emit == "value") for n in found)
    return once and any(n.computes for n in found)


def sends_at(population: Population) -> int:
    """The step at which a population sends its value."""
    neuron: Any = population.neuron
    return int(neuron.start_step) + (int(neuron.gather) - 1 if neuron.computes else 0)


def values(network: Network, inputs: NDArray[Any]) -> Sent:
    """What every population sends for the inputs of the one source, (samples, *shape); of a readout its potential."""
    sent: Sent = {}
    for p in network.populations:
        if p.neuron.is_source:
            sent[p.name] = source_signal(p, inputs, 1, True).total.numpy()
        else:
            sent[p.name] = respond(network, p, network.into(p.name), sent)
    return sent


def respond(network: Network, p: Population, projections: tuple[Projection, ...], sent: Sent) -> Integers:
    """What a population sends, from what those before it did."""
    neuron: Any = p.neuron
    samples = len(next(iter(sent.values())))
    arrivals: dict[int, list[Projection]] = {}
    for projection in projections:
        step = sends_at(network[projection.source]) + projection.delay - neuron.start_step
        if step < 0:
            raise ConversionError(projection.name, f"it arrives {-step} steps early", "Use a longer delay")
        arrivals.setdefault(step, []).append(projection)
    if neuron.is_readout:
        return sum((charge(part, network, sent, p.shape) for parts in arrivals.values() for part in parts), _none(samples, p))
    state = {name: _none(samples, p) for name in neuron.variables}
    message = _none(samples, p)
    for step in range(neuron.gather):
        charges = [_none(samples, p) for _ in range(neuron.port_count)]
        for part in arrivals.get(step, []):
            charges[part.port] = charges[part.port] + charge(part, network, sent, p.shape)
        state, message, _ = neuron.advance(state, tuple(charges) if len(charges) == 2 else charges[0], step)
    return message


def _none(samples: int, p: Population) -> Integers:
    return np.zeros((samples, *p.shape), np.int64)


def charge(projection: Projection, network: Network, sent: Sent, target: tuple[int, ...]) -> Integers:
    """What a projection brings, (samples, *target)."""
    before = sent[projection.source]
    if isinstance(projection, Sparse) and projection.weights[1].size == prod(target):
        pre, post, weight = projection.weights
        if (np.bincount(post, minlength=post.size) == 1).all():
            brought = np.empty((len(before), post.size), np.int64)
            brought[:, post] = before.reshape(len(before), -1)[:, pre] * (weight.astype(np.int64) << projection.exponent)
            return brought.reshape(len(before), *target)
    frames = torch.as_tensor(before)[None]
    low, high = network[projection.source].neuron.messages
    made = carrier(projection, tuple(before.shape[1:]), target, frames, max(high, -low))
    kind = exact_in(made.largest)
    return made.bring(frames[0].to(kind), kind).to(torch.int64).numpy()
