"""What one population of values sends, of what those before it did: its own arithmetic, in the steps in which it gathers.

The neuron itself computes what it sends, from the charges of its own steps; the sums of weights are independent of the engines.
"""

from __future__ import annotations

from math import prod
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from converters.delivery import carrier, exact_in
from neuro.errors import ConversionError
from neuro.network import Population
from neuro.projections import Projection, Sparse

Integers = NDArray[np.int64]
Sent = dict[tuple[str, int], Integers]  # (samples, *shape) by population and how many frames ago
State = dict[str, Integers]


class Populations(Protocol):
    """Populations by name, such as a Network has."""

    def __getitem__(self, name: str, /) -> Population: ...


def sends_at(population: Population) -> int:
    """The step at which a population sends its value, with frames that of the first."""
    neuron: Any = population.neuron
    return int(neuron.start_step) + (int(neuron.gather) - 1 if neuron.computes else 0)


def lag_of(populations: Populations, projection: Projection) -> int:
    """How many frames ago what arrives within a frame was sent."""
    neuron: Any = populations[projection.target].neuron
    step = sends_at(populations[projection.source]) + projection.delay - neuron.start_step
    return int(step // neuron.period) if neuron.period else 0


def initial(p: Population, samples: int) -> State:
    """The state of a population before the first frame."""
    return {name: np.broadcast_to(value, (samples, *p.shape)) for name, value in p.neuron.initial_state(p.shape).items()}


def respond(
    populations: Populations, p: Population, projections: tuple[Projection, ...], sent: Sent,
    state: State | None = None, first: int = 0,
) -> Integers:  # fmt: skip
    """What a population sends, from what those before it did; of a readout its potential.

    sent: of at least one population; state: what it keeps from frame to frame, which is renewed; first: steps of its window
    before this frame.
    """
    neuron: Any = p.neuron
    samples = len(next(iter(sent.values())))
    arrivals: dict[int, list[tuple[Projection, Integers]]] = {}
    for projection in projections:
        step = sends_at(populations[projection.source]) + projection.delay - neuron.start_step
        if step < 0:
            raise ConversionError(projection.name, f"it arrives {-step} steps early", "Use a longer delay")
        lag = lag_of(populations, projection)
        key = (projection.source, lag)
        if key not in sent:
            raise ConversionError(projection.name, "its source comes later", "List populations in the order in which they send")
        source: Any = populations[projection.source].neuron
        turns = _digits(sent[key], source.digits) if source.computes and source.emit == "digits" else [sent[key]]
        for i, turn in enumerate(turns):
            arrivals.setdefault(step - lag * (neuron.period or 0) + i, []).append((projection, turn))
    if neuron.is_readout and neuron.period is None and not neuron.doubling:
        brought = (charge(part, populations, one, p.shape) for parts in arrivals.values() for part, one in parts)
        return sum(brought, nothing(samples, p))
    state = initial(p, samples) if state is None else state
    message = nothing(samples, p)
    for step in range(neuron.gather):
        charges = [nothing(samples, p) for _ in range(neuron.port_count)]
        for part, before in arrivals.get(step, []):
            charges[part.port] = charges[part.port] + charge(part, populations, before, p.shape)
        new, message, _ = neuron.advance(state, tuple(charges) if len(charges) == 2 else charges[0], first + step)
        state.update(new)
    if neuron.computes and neuron.emit == "digits":  # the message is the first of them
        message = (message << neuron.digits - 1) + state["left"]
    return state["v"] if neuron.is_readout else message


def _digits(value: Integers, count: int) -> list[Integers]:
    """The signed binary digits of values, most significant first."""
    return [np.sign(value) * ((np.abs(value) >> place) & 1) for place in range(count - 1, -1, -1)]


def nothing(samples: int, p: Population) -> Integers:
    """Zeros (samples, *shape)."""
    return np.zeros((samples, *p.shape), np.int64)


def charge(projection: Projection, populations: Populations, before: Integers, target: tuple[int, ...]) -> Integers:
    """What a projection brings of what its source sent, (samples, *target)."""
    if isinstance(projection, Sparse) and projection.weights[1].size == prod(target):
        pre, post, weight = projection.weights
        if (np.bincount(post, minlength=post.size) == 1).all():
            brought = np.empty((len(before), post.size), np.int64)
            brought[:, post] = before.reshape(len(before), -1)[:, pre] * (weight.astype(np.int64) << projection.exponent)
            return brought.reshape(len(before), *target)
    frames = torch.as_tensor(before)[None]
    low, high = populations[projection.source].neuron.messages
    made = carrier(projection, tuple(before.shape[1:]), target, frames, max(high, -low))
    kind = exact_in(made.largest)
    return made.bring(frames[0].to(kind), kind).to(torch.int64).numpy()
