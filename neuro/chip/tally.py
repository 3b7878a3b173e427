"""The compiled counting loop: messages in, counts per step and core out. Knows tables of numbers, nothing else."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import compiled, inner

Ints = NDArray[np.int64]


class ClassTable(NamedTuple):
    """What one message of each class of neurons does; rows stand for cores."""

    classes: NDArray[np.int32]  # (neurons,) class of each neuron
    rows: Ints  # (classes,) row of the sending core
    sent: Ints  # (classes,) packets that the core sends
    packet_starts: Ints
    packet_rows: Ints  # rows of the cores that receive one
    visit_starts: Ints  # (packets + 1,)
    visits: Ints  # (visits, 3) projection, encoding, synops
    windows: Ints  # (projections, 3) delay, first and last-plus-one step of the target's window
    hops: Ints
    far: Ints
    link_starts: Ints
    links: Ints
    loads: Ints


class TallySums(NamedTuple):
    """Tables that the loop adds to: over all samples, and apart for some."""

    totals: Ints  # (steps, rows, 6) spikes, packets out, packets in, synops by encoding
    hops: Ints  # (steps, 4)
    links: Ints  # (links,)
    each: NDArray[np.signedinteger[Any]]  # (samples apart, steps, rows, 6)
    far: NDArray[np.int32]  # (samples apart, steps, 3)
    loads: NDArray[np.signedinteger[Any]]  # (samples apart, steps, links)


@inner
def _add_all(k: int, n: int, t: int, table: ClassTable, sums: TallySums) -> None:
    first, last = table.packet_starts[k], table.packet_starts[k + 1]
    sums.totals[t, table.rows[k], 0] += n
    sums.totals[t, table.rows[k], 1] += n * table.sent[k]
    for j in range(first, last):
        sums.totals[t, table.packet_rows[j], 2] += n
    for h in range(4):
        sums.hops[t, h] += n * table.hops[k, h]
    for j in range(table.link_starts[k], table.link_starts[k + 1]):
        sums.links[table.links[j]] += n * table.loads[j]


@inner
def _add_each(k: int, n: int, s: int, t: int, table: ClassTable, sums: TallySums) -> None:
    first, last = table.packet_starts[k], table.packet_starts[k + 1]
    sums.each[s, t, table.rows[k], 0] += n
    sums.each[s, t, table.rows[k], 1] += n * table.sent[k]
    for j in range(first, last):
        sums.each[s, t, table.packet_rows[j], 2] += n
    for j in range(table.link_starts[k], table.link_starts[k + 1]):
        sums.loads[s, t, table.links[j]] += n * table.loads[j]
    if table.far[k, 0] + table.far[k, 1] > sums.far[s, t, 0] + sums.far[s, t, 1]:
        for h in range(3):
            sums.far[s, t, h] = table.far[k, h]


@inner
def _add_visits(k: int, n: int, s: int, t: int, table: ClassTable, sums: TallySums) -> None:
    """Synops count in `totals` at the step of their arrival, in `each` at the step of sending, when the core does the work."""
    for j in range(table.packet_starts[k], table.packet_starts[k + 1]):
        row = table.packet_rows[j]
        for v in range(table.visit_starts[j], table.visit_starts[j + 1]):
            p, form, synops = table.visits[v, 0], table.visits[v, 1], table.visits[v, 2]
            arrival = t + table.windows[p, 0]
            if table.windows[p, 1] <= arrival < table.windows[p, 2]:
                sums.totals[arrival, row, 3 + form] += n * synops
                if s >= 0:
                    sums.each[s, t, row, 3 + form] += n * synops


@compiled
def tally(offsets: Ints, neurons: NDArray[np.int32], table: ClassTable, apart: Ints, sums: TallySums) -> None:
    """Add one population's messages to the sums.

    offsets (samples * steps + 1,) and neurons: its `Messages`; apart (samples,): row in the tables of single samples, or -1.
    """
    steps = sums.totals.shape[0]
    count = np.zeros(len(table.rows), np.int64)
    touched = np.zeros(len(table.rows), np.int64)
    for cell in range(len(offsets) - 1):
        s, t = apart[cell // steps], cell % steps
        seen = 0
        for m in range(offsets[cell], offsets[cell + 1]):
            k = table.classes[neurons[m]]
            if count[k] == 0:
                touched[seen] = k
                seen += 1
            count[k] += 1
        for i in range(seen):
            k = touched[i]
            n = count[k]
            count[k] = 0
            _add_all(k, n, t, table, sums)
            _add_visits(k, n, s, t, table, sums)
            if s >= 0:
                _add_each(k, n, s, t, table, sums)
