"""How wide potentials of value neurons must be so that nothing saturates, whatever the inputs: a proof from weights and payloads.

Knows networks and the sums of their weights; runs nothing. A converter chooses `potential_bits` and `product_shift` with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.engine.bounds import magnitude
from neuro.engine.plan import sums_of
from neuro.network import Network, Population
from neuro.numbers import whole


def needed_bits(network: Network, timesteps: int | None = None) -> dict[str, int]:
    """Of every population of `Value` neurons, the bits (sign included) that keep its ports, what it combines of them, and that
    with its bias from saturating, in a window of `timesteps` (by default that which the network was made for, or 1).

    An upper bound for all inputs that sources can send: a network that needs no more than its `potential_bits` never saturates.
    """
    window = whole("needed_bits", "timesteps", timesteps or network.timesteps or 1, 1)
    found = {}
    for population in network.populations:
        neuron: Any = population.neuron
        if neuron.ports:
            ports = [_port(network, population, i, window) for i in range(neuron.port_count)]
            largest = max(*ports, neuron.most_combined(ports) + magnitude(np.asarray(neuron.bias, np.int64)))
            found[population.name] = largest.bit_length() + 1
    return found


def _port(network: Network, target: Population, port: int, window: int) -> int:
    """The largest magnitude that a port can hold."""
    neuron: Any = target.neuron
    total = 0
    mode = neuron.ports[port]
    for projection, sums in zip(network.projections, sums_of(network), strict=True):
        if projection.target != target.name or projection.port != port:
            continue
        source = network[projection.source].neuron
        step = sums.bound(source.messages).step
        if mode == "changes" and source.adds_up_to is not None:
            total += sums.bound(source.adds_up_to).step
        elif mode == "digits":
            total += step * ((1 << neuron.gather) - 1)
        else:
            seen = 1 if mode == "fresh" else neuron.gather if mode == "held" else source.most_messages(window)
            total += step * min(seen, source.most_messages(window))
    return total
