"""What one message of each neuron costs on a chip: the bill of a placed network, taken apart by who sends. Knows no run.

price of a message = spike + packets x (out axon + in axon) + hops + synops, each at the chip's price; with it the bill of any
run is a sum over messages, plus what neurons cost by being updated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.chip.counts import own_work
from neuro.chip.cutting.candidates import on_cores
from neuro.chip.cutting.limits import updates
from neuro.chip.cutting.routing import HOST, RoutingTable
from neuro.chip.emulator import ChipRun
from neuro.chip.mesh.routes import routes
from neuro.chip.placing.placement import Placement
from neuro.chip.spec import ENCODINGS, Chip

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MessagePrices:
    """`by_neuron` {population: (neurons,)}: energy (pJ) of one message of each neuron. `into` {(source, target): (neurons of
    the source,)}: the part of it that synapses of the target take. `update` {population: pJ}: of its neurons' updates, by
    neuron."""

    by_neuron: Mapping[str, Floats]
    into: Mapping[tuple[str, str], Floats]
    update: Mapping[str, float]


def message_prices(run: ChipRun) -> MessagePrices:
    """The prices of a placed network's messages; updates are those of the run, by neuron and sample."""
    placement = run.placement
    by_neuron: dict[str, Floats] = {}
    into: dict[tuple[str, str], Floats] = {}
    for name, table in placement.wires.items():
        whole, parts = _classes(placement, table)
        by_neuron[name] = whole[table.classes]
        into |= {(name, target): part[table.classes] for target, part in parts.items()}
    return MessagePrices(by_neuron, into, _updates(run))


def _classes(placement: Placement, table: RoutingTable) -> tuple[Floats, dict[str, Floats]]:
    """Energy of a message of each class, and of its synops by target."""
    chip, e = placement.chip, placement.chip.energy
    count = len(table.cores)
    reached = np.diff(table.packet_starts)
    sent = np.minimum(reached, 1) if chip.mesh.multicast == "tree" else reached
    here = table.cores != HOST
    total = here * ((e.spike or 0.0) + sent * (e.axon_out or 0.0)) + reached * (e.axon_in or 0.0)
    total = total + routes(table, chip).hops @ np.array([e.hop_x or 0.0, e.hop_y or 0.0, e.local or 0.0, e.chip_link or 0.0])
    packet = np.repeat(np.arange(len(table.packets)), np.diff(table.visit_starts))
    sender = np.repeat(np.arange(count), reached)[packet]
    energy = table.visits[:, 2] * _synop_prices(chip)[table.visits[:, 1]]
    total = total + np.bincount(sender, energy, count)
    parts: dict[str, Floats] = {}
    for number in np.unique(table.visits[:, 0]).tolist():
        target = placement.network.projections[number].target
        mine = table.visits[:, 0] == number
        parts[target] = parts.get(target, np.zeros(count)) + np.bincount(sender[mine], energy[mine], count)
    return np.asarray(total, np.float64), parts


def _synop_prices(chip: Chip) -> Floats:
    return np.array([getattr(chip.energy, f"synop_{form}") or 0.0 for form in ENCODINGS], np.float64)


def _updates(run: ChipRun) -> dict[str, float]:
    """Energy of the updates of one neuron of each population, its further passes included, a mean over neurons and samples."""
    network, chip = run.placement.network, run.placement.chip
    e, found = chip.energy, {}
    for p in (p for p in network.populations if on_cores(p)):
        counted, steps = run.run.counts[p.name], p.neuron.active_steps(run.run.timesteps)
        changed = counted.restless if e.update_when == "restless" else counted.driven
        each = float(np.sum(changed)) / (p.size * run.run.samples)
        passes = float(own_work(p, range(steps), chip)[0].sum())
        one = steps * (e.neuron_access or 0.0) + each * (e.neuron_update or 0.0)
        found[p.name] = updates(p, chip) * one + passes * (e.neuron_pass or 0.0)
    return found


def expected_pj(prices: MessagePrices, messages: Mapping[str, Floats]) -> float:
    """What messages {population: (neurons,), mean of a sample} cost, without updates of neurons."""
    return float(sum(prices.by_neuron[name] @ np.asarray(sent, np.float64).ravel() for name, sent in messages.items()))
