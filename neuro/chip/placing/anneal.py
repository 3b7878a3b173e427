"""The compiled search for good places: exchange two groups of neurons, or move one to a free core, while traffic falls.

Simulated annealing with its own generator of random numbers, so that a seed gives the same places on every machine.
Knows flows and coordinates, nothing else.
"""

from __future__ import annotations

from math import exp
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import compiled, inner

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Flows(NamedTuple):
    """Packets between groups, both ways added up: group g exchanges weights[starts[g]:starts[g + 1]] with `others`.

    The last group stands for the host, which does not move.
    """

    starts: Ints
    others: Ints
    weights: Floats


class Spots(NamedTuple):
    """Coordinates of the tile of each spot (the cores that may be used, then the host's port), and where chips meet."""

    x: Ints
    y: Ints
    chip_x: Ints
    chip_y: Ints
    crossing: float  # what a step from chip to chip counts for, in hops


@inner
def distance(spots: Spots, a: int, b: int) -> float:
    """Hops between two spots, crossings counted for more."""
    near = abs(spots.x[a] - spots.x[b]) + abs(spots.y[a] - spots.y[b])
    across = abs(spots.chip_x[a] - spots.chip_x[b]) + abs(spots.chip_y[a] - spots.chip_y[b])
    return float(near + spots.crossing * across)


@compiled
def total_hops(flows: Flows, spots: Spots, spot: Ints) -> float:
    """Packets times hops."""
    total = 0.0
    for g in range(len(spot)):
        for j in range(flows.starts[g], flows.starts[g + 1]):
            total += flows.weights[j] * distance(spots, spot[g], spot[flows.others[j]])
    return total / 2


@inner
def _gain(flows: Flows, spots: Spots, spot: Ints, g: int, to: int, other: int) -> float:
    """Hops that group g saves by moving to a spot, from which group `other` (or -1) comes to its own."""
    saved, here = 0.0, spot[g]
    for j in range(flows.starts[g], flows.starts[g + 1]):
        h = flows.others[j]
        if h != other:
            saved += flows.weights[j] * (distance(spots, here, spot[h]) - distance(spots, to, spot[h]))
    if other >= 0:
        for j in range(flows.starts[other], flows.starts[other + 1]):
            h = flows.others[j]
            if h != g:
                saved += flows.weights[j] * (distance(spots, to, spot[h]) - distance(spots, here, spot[h]))
    return saved


@inner
def _random(state: Ints) -> int:
    """The next number of a 31-bit linear congruential generator (Park and Miller)."""
    state[0] = state[0] * 48271 % 2147483647
    return int(state[0])


@compiled
def anneal(flows: Flows, spots: Spots, spot: Ints, steps: int, hot: float, cold: float, seed: int) -> Ints:
    """The spot of each group after the search; `spot` (groups + 1,) is where it begins, its last entry the host's."""
    groups, places = len(spot) - 1, len(spots.x) - 1
    spot = spot.copy()
    holder = np.full(places, -1, np.int64)
    for g in range(groups):
        holder[spot[g]] = g
    state = np.array([seed % 2147483646 + 1], np.int64)
    cooling = (cold / hot) ** (1.0 / max(steps, 1))
    heat = hot
    for _ in range(steps):
        heat *= cooling
        g = _random(state) % groups
        to = _random(state) % places
        links = flows.starts[g + 1] - flows.starts[g]
        if links and _random(state) % 2:  # beside a group that it exchanges packets with
            near = spot[flows.others[flows.starts[g] + _random(state) % links]]
            to = min(max(near + _random(state) % 17 - 8, 0), places - 1)
        other = holder[to]
        if to == spot[g]:
            continue
        gain = _gain(flows, spots, spot, g, to, other)
        if gain >= 0 or exp(gain / heat) * 1000000 > _random(state) % 1000000:
            holder[spot[g]], holder[to] = other, g
            if other >= 0:
                spot[other] = spot[g]
            spot[g] = to
    return spot
