"""A network of value neurons without stepping through all of it: each population in the steps in which it gathers.

What a population sends is computed by the neuron itself, from the charges of its own steps; the order of populations and the sums
of weights are independent of the engines. Every population sends once, with frames once a frame; a message that arrives later
than its frame is one of an earlier frame.
"""

from __future__ import annotations

from collections import defaultdict
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.delivery import carrier, exact_in
from converters.samples import plain
from converters.stepping import source_signal
from neuro.encoding import by_source, is_stream, source_of, stream_messages
from neuro.errors import ConversionError
from neuro.network import Network, Population
from neuro.projections import Projection, Sparse

Integers = NDArray[np.int64]
EMITTED = ("value", "change", "digits")
Sent = dict[tuple[str, int], Integers]  # (samples, *shape) by population and how many frames ago
State = dict[str, Integers]


def of_values(network: Network) -> bool:
    """Whether a network has value neurons or frames, and each of its populations sends once, or once a frame."""
    found: list[Any] = [p.neuron for p in network.populations]
    once = all(n.is_source or n.is_readout or (n.computes and n.emit in EMITTED) for n in found)
    return once and any(n.computes or (n.is_source and n.period is not None) for n in found)


def period_of(network: Network) -> int | None:
    """The steps from frame to frame; None of a network without frames."""
    found = {source_of(p).period for p in network.sources}
    if found in (set(), {None}):
        return None
    if found != (others := {p.neuron.period for p in network.populations}):
        fact = f"its populations have periods of {', '.join(map(str, sorted(others, key=str)))} steps"
        raise ConversionError("network", fact, "Give all of them the same period, or run the network")
    return found.pop()


def sends_at(population: Population) -> int:
    """The step at which a population sends its value, with frames that of the first."""
    neuron: Any = population.neuron
    return int(neuron.start_step) + (int(neuron.gather) - 1 if neuron.computes else 0)


def values(network: Network, inputs: Any) -> dict[str, Integers]:
    """What every population sends for inputs; of a readout its potential.

    inputs (samples, *shape), a mapping of names where there are several sources, results (samples, *shape); with frames
    (samples, frames, *shape) both.
    """
    period, arrays = period_of(network), by_source(network, plain(inputs))
    if period is None:
        sent: Sent = {}
        for p in network.populations:
            if p.neuron.is_source:
                sent[p.name, 0] = source_signal(p, arrays[p.name], 1, True).total.numpy()
            else:
                sent[p.name, 0] = respond(network, p, network.into(p.name), sent)
        return {name: value for (name, _), value in sent.items()}
    given = {p.name: _frames_sent(p, arrays[p.name], period) for p in network.sources}
    return _framed(network, given, period)


def _frames_sent(source: Population, inputs: NDArray[Any], period: int) -> Integers:
    """What a source sends in each frame, (samples, frames, *shape)."""
    frames = inputs if is_stream(source, inputs) else inputs[:, None]
    return stream_messages(source, frames)[:, ::period].astype(np.int64).reshape(*frames.shape[:2], *source.shape)


def _framed(network: Network, given: dict[str, Integers], period: int) -> dict[str, Integers]:
    """Frame by frame: what each population sent in earlier frames is kept as long as a delay reaches back."""
    deepest = max(lag_of(network, q) for q in network.projections)
    samples, frames = next(iter(given.values())).shape[:2]
    states = {p.name: initial(p, samples) for p in network.populations if not p.neuron.is_source}
    sent: Sent = {(p.name, lag): _none(samples, p) for p in network.populations for lag in range(1, deepest + 1)}
    found: dict[str, list[Integers]] = defaultdict(list)
    for frame in range(frames):
        for p in network.populations:
            if p.neuron.is_source:
                sent[p.name, 0] = given[p.name][:, frame]
            else:
                sent[p.name, 0] = respond(network, p, network.into(p.name), sent, states[p.name], frame * period)
            found[p.name].append(sent[p.name, 0])
        for p in network.populations:
            for lag in range(deepest, 0, -1):
                sent[p.name, lag] = sent[p.name, lag - 1]
    return {name: np.stack(parts, axis=1) for name, parts in found.items()}


def lag_of(network: Network, projection: Projection) -> int:
    """How many frames ago what arrives within a frame was sent."""
    neuron: Any = network[projection.target].neuron
    step = sends_at(network[projection.source]) + projection.delay - neuron.start_step
    return int(step // neuron.period) if neuron.period else 0


def initial(p: Population, samples: int) -> State:
    """The state of a population before the first frame."""
    return {name: np.broadcast_to(value, (samples, *p.shape)) for name, value in p.neuron.initial_state(p.shape).items()}


def respond(
    network: Network, p: Population, projections: tuple[Projection, ...], sent: Sent, state: State | None = None, first: int = 0
) -> Integers:
    """What a population sends, from what those before it did; of a readout its potential.

    state: what it keeps from frame to frame, which is renewed; first: steps of its window before this frame.
    """
    neuron: Any = p.neuron
    samples = len(next(iter(sent.values())))
    arrivals: dict[int, list[tuple[Projection, Integers]]] = {}
    for projection in projections:
        step = sends_at(network[projection.source]) + projection.delay - neuron.start_step
        if step < 0:
            raise ConversionError(projection.name, f"it arrives {-step} steps early", "Use a longer delay")
        lag = lag_of(network, projection)
        key = (projection.source, lag)
        if key not in sent:
            raise ConversionError(projection.name, "its source comes later", "List populations in the order in which they send")
        source: Any = network[projection.source].neuron
        turns = _digits(sent[key], source.digits) if source.computes and source.emit == "digits" else [sent[key]]
        for i, turn in enumerate(turns):
            arrivals.setdefault(step - lag * (neuron.period or 0) + i, []).append((projection, turn))
    if neuron.is_readout and neuron.period is None and not neuron.doubling:
        return sum((charge(part, network, one, p.shape) for parts in arrivals.values() for part, one in parts), _none(samples, p))
    state = initial(p, samples) if state is None else state
    message = _none(samples, p)
    for step in range(neuron.gather):
        charges = [_none(samples, p) for _ in range(neuron.port_count)]
        for part, before in arrivals.get(step, []):
            charges[part.port] = charges[part.port] + charge(part, network, before, p.shape)
        new, message, _ = neuron.advance(state, tuple(charges) if len(charges) == 2 else charges[0], first + step)
        state.update(new)
    if neuron.computes and neuron.emit == "digits":  # the message is the first of them
        message = (message << neuron.digits - 1) + state["left"]
    return state["v"] if neuron.is_readout else message


def _digits(value: Integers, count: int) -> list[Integers]:
    """The signed binary digits of values, most significant first."""
    return [np.sign(value) * ((np.abs(value) >> place) & 1) for place in range(count - 1, -1, -1)]


def _none(samples: int, p: Population) -> Integers:
    return np.zeros((samples, *p.shape), np.int64)


def charge(projection: Projection, network: Network, before: Integers, target: tuple[int, ...]) -> Integers:
    """What a projection brings of what its source sent, (samples, *target)."""
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
