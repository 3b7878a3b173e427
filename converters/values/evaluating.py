"""A network of value neurons without stepping through all of it: each population in the steps in which it gathers.

What a population sends is computed by `responding`, or where all stays exact by `rows`, many samples side by side; the order of
populations is independent of the engines. Every population sends once, with frames once a frame; a message that arrives later
than its frame is one of an earlier frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.samples import plain
from converters.stepping import source_signal
from converters.values.responding import Integers, Sent, initial, lag_of, nothing, respond
from converters.values.rows import Links, Responder
from neuro.encoding import by_source, is_stream, source_of, stream_messages
from neuro.errors import ConversionError
from neuro.network import Network, Population

EMITTED = ("value", "change", "digits")


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


def values(network: Network, inputs: Any) -> dict[str, Integers]:
    """What every population sends for inputs; of a readout its potential.

    inputs (samples, *shape), a mapping of names where there are several sources, results (samples, *shape); with frames
    (samples, frames, *shape) both.
    """
    period, arrays = period_of(network), by_source(network, plain(inputs))
    if period is None:
        heard = responder(network, arrays).heard
        return {p.name: heard.whole(p.name) for p in network.populations}
    given = {p.name: _frames_sent(p, arrays[p.name], period) for p in network.sources}
    return _framed(network, given, period)


def responder(network: Network, arrays: Mapping[str, NDArray[Any]], links: Links | None = None) -> Responder:
    """What has computed what every population sends, of a network without frames. links: where what projections bring is kept
    for the next time."""
    samples = len(next(iter(arrays.values())))
    found = Responder(network, samples, sum(p.size for p in network.populations), links)
    for p in network.populations:
        if p.neuron.is_source:
            found.put(p, source_signal(p, arrays[p.name], 1, True).total.numpy())
        else:
            found.respond(p, network.into(p.name))
    return found


def _frames_sent(source: Population, inputs: NDArray[Any], period: int) -> Integers:
    """What a source sends in each frame, (samples, frames, *shape)."""
    frames = inputs if is_stream(source, inputs) else inputs[:, None]
    return stream_messages(source, frames)[:, ::period].astype(np.int64).reshape(*frames.shape[:2], *source.shape)


def _framed(network: Network, given: dict[str, Integers], period: int) -> dict[str, Integers]:
    """Frame by frame: what each population sent in earlier frames is kept as long as a delay reaches back."""
    deepest = max(lag_of(network, q) for q in network.projections)
    samples, frames = next(iter(given.values())).shape[:2]
    states = {p.name: initial(p, samples) for p in network.populations if not p.neuron.is_source}
    sent: Sent = {(p.name, lag): nothing(samples, p) for p in network.populations for lag in range(1, deepest + 1)}
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
