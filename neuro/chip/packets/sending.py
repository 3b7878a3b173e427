"""The compiled loop that turns messages into packets with the time at which each core sends them. Knows numbers only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuro.chip.packets.grid import Ints
from neuro.chip.tally import ClassTable
from neuro.compiled import compiled, inner

Floats = NDArray[np.float64]


class CoreTimes(NamedTuple):
    """Times (ns) that a core's work takes: a spike, a packet sent, a packet received, a synaptic operation by encoding."""

    spike: float
    axon_out: float
    axon_in: float
    synops: Floats
    host: float  # between two packets of the host


class Queues(NamedTuple):
    """Packets of all steps as they are filled in: `at` (steps,) is where each step's next packet goes."""

    at: Ints
    sender: Ints  # rows of cores
    receiver: Ints
    ready: Floats  # ns after the step began
    work: Floats


def count_packets(offsets: Ints, neurons: NDArray[np.int32], table: ClassTable, counts: Ints) -> None:
    """Add the packets of one population's messages to counts (steps of all samples,)."""
    each = np.diff(table.packet_starts)[table.classes[neurons]]
    before = np.concatenate([[0], np.cumsum(each)])
    counts += np.diff(before[offsets])


@inner
def _work(j: int, t: int, table: ClassTable, pace: CoreTimes) -> float:
    """Time for which packet j of a class keeps the receiving core busy."""
    time = pace.axon_in
    for v in range(table.visit_starts[j], table.visit_starts[j + 1]):
        p, form, synops = table.visits[v, 0], table.visits[v, 1], table.visits[v, 2]
        if table.windows[p, 1] <= t + table.windows[p, 0] < table.windows[p, 2]:
            time += synops * pace.synops[form]
    return time


@compiled
def send(
    offsets: Ints,
    neurons: NDArray[np.int32],
    positions: NDArray[np.int32],  # (neurons,) place of each among those of its core
    neuron_ns: float,
    slices: Ints,  # (rows,) neurons of this population on each core, 0 for the host
    window: tuple[int, int],  # steps in which the population is switched on
    steps: int,
    table: ClassTable,
    pace: CoreTimes,
    clock: Floats,  # (steps of all samples, rows) when each core is done with the populations before
    queues: Queues,
) -> None:
    """Add one population's packets: each core updates its neurons one after the other and sends as they fire."""
    host = clock.shape[1] - 1
    for cell in range(len(offsets) - 1):
        t = cell % steps
        updated = window[0] <= t < window[1]
        for m in range(offsets[cell], offsets[cell + 1]):
            i = neurons[m]
            k = table.classes[i]
            row = table.rows[k]
            clock[cell, row] += 0.0 if row == host else pace.spike
            reached = (positions[i] + 1) * neuron_ns if row != host else 0.0
            for j in range(table.packet_starts[k], table.packet_starts[k + 1]):
                clock[cell, row] += pace.host if row == host else pace.axon_out
                place = queues.at[cell]
                queues.at[cell] += 1
                queues.sender[place], queues.receiver[place] = row, table.packet_rows[j]
                queues.ready[place] = clock[cell, row] + reached
                queues.work[place] = _work(j, t, table, pace)
        if updated:
            for row in range(host):
                clock[cell, row] += slices[row] * neuron_ns
