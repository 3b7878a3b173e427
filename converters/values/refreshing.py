"""Refresh in a network of changes: in which frames each population sends in full, and each port begins anew, so that both meet.

A value that is sent in frame f arrives in the same frame, or in a later one by `previous` and what follows it. Knows networks of
changes; knows nothing of dead zones.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from neuro.errors import ConversionError
from neuro.network import Network, Population
from neuro.neurons.refreshing import lag

Side = tuple[str, int]  # a population and its port, or -1 for what it sends


def with_refresh(network: Network, every: int) -> Network:
    """The network of changes, in which every so many frames all values are sent in full, one population behind the other.

    Raises ConversionError where a port gets values of different frames whose refresh cannot meet in one.
    """
    frames = _frames(network, every)
    return replace(network, populations=tuple(_refreshed(p, every, frames) for p in network.populations))


def _refreshed(p: Population, every: int, frames: dict[Side, int]) -> Population:
    neuron: Any = p.neuron
    ports = tuple(frames.get((p.name, port), 0) for port in range(neuron.port_count))
    changes = any(neuron.takes_changes(port) for port in range(neuron.port_count))
    if not (neuron.sends_changes or changes):
        return p
    at = {} if neuron.is_source else {"refresh_at": ports}
    sent = {} if neuron.is_readout else {"refresh_sent": frames.get((p.name, -1), 0)}
    return Population(p.name, p.shape, neuron.changed(refresh=every, **at, **sent))


def _frames(network: Network, every: int) -> dict[Side, int]:
    """In which frame of `every` each side has its refresh: along a projection it moves on by as many as the projection lags."""
    apart: dict[Side, list[tuple[Side, int]]] = defaultdict(list)
    for q in network.projections:
        source, target = network[q.source].neuron, network[q.target].neuron
        if source.sends_changes and target.takes_changes(q.port):
            by = lag(source, target, q.delay)
            apart[q.source, -1].append(((q.target, q.port), by))
            apart[q.target, q.port].append(((q.source, -1), -by))
    found: dict[Side, int] = {}
    for begin in apart:
        found.setdefault(begin, 0)
        left = [begin]
        while left:
            side = left.pop()
            for other, by in apart[side]:
                frame = (found[side] + by) % every
                if other not in found:
                    found[other] = frame
                    left.append(other)
                elif found[other] != frame:
                    raise _refusal(side, other, every)
    return found


def _refusal(one: Side, other: Side, every: int) -> ConversionError:
    name = next(name for name, port in (one, other) if port >= 0)
    fact = f"it gets values of frames that no refresh every {every} frames can bring in full at once"
    return ConversionError(f"population {name!r}", fact, 'Leave refresh out, or use code="graded"')
