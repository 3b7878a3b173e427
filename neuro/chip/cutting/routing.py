"""Routing tables: for each source neuron of a placed network, the cores that its messages go to and the synapses they visit.

Source neurons that share all destinations form a class, so that counting works on classes. Knows tilings and cores; knows
nothing of limits, prices or time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neuro.chip.cutting.candidates import on_cores
from neuro.chip.cutting.limits import encoding, skips_zeros, sparse_slices
from neuro.chip.cutting.tilings import Fan, Ints, Labels, Tiling, fan
from neuro.chip.spec import ENCODINGS, Chip
from neuro.network import Network

HOST = -1  # stands for the host's port among cores


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Where the messages of one population go.

    classes (neurons,) class of each neuron. Class k is sent by the core `cores[k]` (HOST for a source that the host drives),
    as one packet to each of the cores packets[packet_starts[k]:packet_starts[k + 1]]. Packet j visits the synapses listed in
    visits[visit_starts[j]:visit_starts[j + 1]] as rows (projection, encoding, synops).
    """

    classes: Labels
    cores: Ints
    packet_starts: Ints
    packets: Ints
    visit_starts: Ints
    visits: Ints


def routing_tables(
    network: Network, chip: Chip, tilings: Mapping[str, Tiling], cores: Mapping[str, Ints]
) -> dict[str, RoutingTable]:
    """The routing table of every population that fires, in the order of the network's populations."""
    fire = [p for p in network.populations if not p.neuron.is_readout]
    return {p.name: _routing_table(network, chip, p.name, tilings, cores) for p in fire}


def _routing_table(
    network: Network, chip: Chip, name: str, tilings: Mapping[str, Tiling], cores: Mapping[str, Ints]
) -> RoutingTable:
    out = [
        (i, p, fan(p, network, tilings[p.target], zeros=not skips_zeros(p, chip)))
        for i, p in enumerate(network.projections)
        if p.source == name
    ]
    here = cores[name] if on_cores(network[name]) else np.array([HOST])
    slices = tilings[name].labels().astype(np.int64)
    key, parts = slices, [(np.arange(tilings[name].slices))]
    for _, _, leads in out:
        key, parts = _combined(key, parts, leads)
    sender = parts[0]
    visits = [np.zeros((0, 5), np.int64)]
    for (i, projection, leads), of in zip(out, parts[1:], strict=True):
        at, entries = _gather(leads, of)
        listed = sparse_slices(projection, chip, tilings[projection.target])
        form = np.where(listed, ENCODINGS.index("sparse"), ENCODINGS.index(encoding(projection, chip)))
        target, into = cores[projection.target][leads.slices[entries]], form[leads.slices[entries]]
        visits.append(np.stack([at, target, np.full_like(at, i), into, leads.synops[entries]], axis=1))
    table = np.concatenate(visits)
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    packets, of = np.unique(table[:, :2], axis=0, return_inverse=True)
    return RoutingTable(
        classes=key.astype(np.int32),
        cores=here[sender],
        packet_starts=_starts(packets[:, 0], len(sender)),
        packets=np.ascontiguousarray(packets[:, 1]),
        visit_starts=_starts(of.reshape(-1), len(packets)),
        visits=np.ascontiguousarray(table[:, 2:]),
    )


def _combined(key: Ints, parts: list[Ints], leads: Fan) -> tuple[Ints, list[Ints]]:
    """Classes so far refined by those of one more projection; `parts` holds each new class's old classes."""
    width = len(leads.starts) - 1
    values, key = np.unique(key * width + leads.classes, return_inverse=True)
    old, new = np.divmod(values, width)
    return key.reshape(-1).astype(np.int64), [*(part[old] for part in parts), new]


def _gather(leads: Fan, of: Ints) -> tuple[Ints, Ints]:
    """(class, entry of `leads`) for every class whose class in `leads` is `of`."""
    counts = np.diff(leads.starts)[of]
    at = np.repeat(np.arange(len(of)), counts)
    offset = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
    return at, np.repeat(leads.starts[:-1][of], counts) + offset


def _starts(sorted_keys: Ints, count: int) -> Ints:
    return np.concatenate([[0], np.cumsum(np.bincount(sorted_keys, minlength=count))]).astype(np.int64)
