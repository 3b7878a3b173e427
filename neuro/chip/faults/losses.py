"""Which packets never arrive, and what a chip therefore did less than its neurons sent.

Counting goes by messages; this takes away again what was lost on the way. A lost packet is sent and travels, it is not
received and visits no synapse. Knows placements, counts and faults.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuro.chip.chance import Ints, drawn, mixed
from neuro.chip.counts import Counter, Counts
from neuro.chip.faultspec import Faults
from neuro.chip.placing.placement import Placement
from neuro.chip.tally import ClassTable
from neuro.compiled import compiled
from neuro.engine.records import Messages


class Loss(NamedTuple):
    """Packets to dead cores are lost, and of the others the share `rate`; `key` decides which."""

    rate: float
    key: int
    dead: NDArray[np.bool_]  # (cores of the board,)
    any: bool


@compiled
def lost(loss: Loss, population: int, sample: int, step: int, neuron: int, core: int) -> bool:
    """Whether the packet that a neuron of a population sends to a core in a step of a sample is lost.

    What is lost at one rate is lost at every higher one.
    """
    if loss.dead[core]:
        return True
    if loss.rate <= 0:
        return False
    key = mixed(mixed(mixed(mixed(mixed(loss.key, population), sample), step), neuron), core)
    return drawn(key) <= loss.rate


def loss_of(placement: Placement, faults: Faults) -> Loss:
    """The packets that a placement loses to faults."""
    chip = placement.chip
    dead = np.zeros(chip.chips * chip.cores_per_chip, np.bool_)
    dead[list(faults.dead_cores)] = True
    hit = bool(dead[placement.used].any())
    return Loss(faults.dropped_packets, faults.loss_key, dead, hit or faults.dropped_packets > 0)


def take_away(counter: Counter, loss: Loss, first: int, messages: dict[str, Messages]) -> None:
    """Take the lost packets of one block of samples, the first of which is number `first`, away from a counter's sums."""
    if not loss.any:
        return
    steps, cores = counter.tables.steps, counter.tables.cores
    names = [p.name for p in counter.tables.placement.network.populations]
    for name, table in counter.tables.of.items():
        m = messages[name]
        number = np.arange(first, first + (len(m.offsets) - 1) // steps)
        apart = np.where(number % counter.stride == 0, number // counter.stride, -1)
        _take_away(m.offsets, m.neurons, table, cores, loss, names.index(name), first, apart, counter.totals, counter.each)


@compiled
def _take_away(
    offsets: Ints,
    neurons: NDArray[np.int32],
    table: ClassTable,
    cores: Ints,
    loss: Loss,
    population: int,
    first: int,
    apart: Ints,
    totals: Ints,
    each: NDArray[np.int32],
) -> None:
    steps = totals.shape[0]
    for cell in range(len(offsets) - 1):
        s, t = cell // steps, cell % steps
        row = apart[s]
        for m in range(offsets[cell], offsets[cell + 1]):
            k = table.classes[neurons[m]]
            for j in range(table.packet_starts[k], table.packet_starts[k + 1]):
                to = table.packet_rows[j]
                if not lost(loss, population, first + s, t, neurons[m], cores[to]):
                    continue
                totals[t, to, 2] -= 1
                if row >= 0:
                    each[row, t, to, 2] -= 1
                for v in range(table.visit_starts[j], table.visit_starts[j + 1]):
                    p, form, synops = table.visits[v]
                    arrival = t + table.windows[p, 0]
                    if table.windows[p, 1] <= arrival < table.windows[p, 2]:
                        totals[arrival, to, 3 + form] -= synops
                        if row >= 0:
                            each[row, t, to, 3 + form] -= synops


def without_dead(counts: Counts, faults: Faults) -> Counts:
    """The counts without updates on dead cores, and what neurons compute in them."""
    dead = np.isin(counts.cores, faults.dead_cores)
    names = ("updates", "passes", "products", "lookups", "synaptic_updates")
    left: dict[str, Any] = {name: np.where(dead, 0, getattr(counts, name)) for name in names}
    return replace(counts, **left) if dead.any() else counts
