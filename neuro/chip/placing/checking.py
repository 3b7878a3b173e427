"""The independent check of a placement: what each core holds, recomputed from the placed tables, against every limit.

It shares the size of one list of synapses with the partition, and nothing else: neurons are counted from labels, axons from
the routing tables, kernels from the source neurons that reach each core.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting import limits
from neuro.chip.cutting.candidates import on_cores
from neuro.chip.cutting.routing import RoutingTable
from neuro.chip.cutting.tilings import Ints, Tiling, as_window, with_rows
from neuro.chip.spec import Chip
from neuro.network import Network
from neuro.projections import Conv2d, Projection


def fill(
    network: Network, chip: Chip, tilings: Mapping[str, Tiling], cores: Mapping[str, Ints], tables: Mapping[str, RoutingTable]
) -> dict[str, Ints]:
    """Per core in use (ascending): compartments, axons, bits and configurations."""
    lives = [p for p in network.populations if on_cores(p)]
    used = np.unique(np.concatenate([cores[p.name] for p in lives])) if lives else np.zeros(0, np.int64)
    names = ("neurons", "in_axons", "out_axons", "synapse_bits", "memory_bits", "neuron_configs", "synapse_configs")
    total = {name: np.zeros(len(used), np.int64) for name in names}
    for p in lives:
        at = np.searchsorted(used, cores[p.name])
        held = np.bincount(at[tilings[p.name].labels()], minlength=len(used)) * limits.compartments(p, chip)
        total["neurons"] += held
        total["memory_bits"] += held * limits.state_words(p, network) * (chip.core.state_word_bits or 0)
        total["memory_bits"][np.unique(at)] += p.neuron.table_bits
        total["neuron_configs"][np.unique(at)] += 1
        for projection in network.into(p.name):
            axons, bits = _into_slices(projection, network, chip, tilings[p.name])
            np.add.at(total["in_axons"], at, axons)
            np.add.at(total["synapse_bits"], at, bits)
        if p.name in tables:
            w = tables[p.name]
            members = np.bincount(w.classes, minlength=len(w.cores))
            np.add.at(total["out_axons"], np.searchsorted(used, w.cores), members * np.diff(w.packet_starts))
    for k, core_number in enumerate(used):
        on = [p for p in lives if core_number in cores[p.name]]
        total["synapse_configs"][k] = len(set().union(*(limits.formats(p, network, chip) for p in on)))
    core = chip.core
    total["memory_bits"] += total["synapse_bits"] + total["in_axons"] * (core.in_axon_bits or 0)
    total["memory_bits"] += total["out_axons"] * (core.out_axon_bits or 0)
    return total


def overfull(network: Network, chip: Chip, cores: Mapping[str, Ints], held: Mapping[str, Ints]) -> list[str]:
    """A sentence for each limit that a core breaks, given what they hold, and for each core that may not be used."""
    lives = [p for p in network.populations if on_cores(p)]
    used = np.unique(np.concatenate([cores[p.name] for p in lives])) if lives else np.zeros(0, np.int64)
    room: dict[str, int | None] = dict(limits.limits(chip))
    room.update(neuron_configs=chip.core.neuron_configs, synapse_configs=chip.core.synapse_configs)
    broken = []
    for name, most in room.items():
        if most is not None and len(used) and held[name].max() > most:
            k = int(held[name].argmax())
            on = [p.name for p in lives if used[k] in cores[p.name]]
            what = name.replace("_", " ")
            broken.append(f"core {used[k]} ({', '.join(on)}) holds {held[name][k]:,} {what}, its limit is {most:,}")
    broken.extend(f"core {core} is reserved or does not exist" for core in used if not _may_use(int(core), chip))
    for p in lives:
        if len(np.unique(cores[p.name])) < len(cores[p.name]):
            broken.append(f"two slices of population {p.name!r} share a core")
    return broken


def split_axons(chip: Chip, tables: Mapping[str, RoutingTable]) -> list[str]:
    """A sentence for each population with a neuron that sends to several cores, on a chip where it has one target axon."""
    sent = (
        {name: int(np.diff(table.packet_starts).max(initial=0)) for name, table in tables.items()} if chip.core.axon_types else {}
    )
    return [f"a neuron of {name!r} sends to {cores} cores, it has one target axon" for name, cores in sent.items() if cores > 1]


def _may_use(core: int, chip: Chip) -> bool:
    mesh = chip.mesh
    tile, place = divmod(core, mesh.cores_per_tile)
    y, x = divmod(tile, mesh.columns)
    within = ((y % mesh.height) * mesh.width + x % mesh.width) * mesh.cores_per_tile + place
    return 0 <= y < mesh.rows and within < chip.cores_per_chip - mesh.reserved_cores


def _into_slices(projection: Projection, network: Network, chip: Chip, tiling: Tiling) -> tuple[Ints, Ints]:
    """Incoming axons and bits of synaptic memory of one projection in each slice, from the neurons that it holds."""
    source = network[projection.source]
    labels = tiling.labels()
    held = np.bincount(labels, minlength=tiling.slices)
    weight = limits.weight_bits(projection, chip)
    each = [limits.synapse_bits(projection, chip, int(count), weight=weight) for count in held]
    window = as_window(projection, source.shape)
    if limits.encoding(projection, chip) != "conv":
        return _listed(projection, network, chip, labels, each)
    if window is None:
        assert projection.offset is not None
        touched = np.bincount(labels[projection.offset : projection.offset + source.size], minlength=tiling.slices)
        bits = [
            min(int(t), projection.stored_weights.size) * int(limits.list_bits(1, b, chip))
            for t, b in zip(touched, each, strict=True)
        ]
        return touched, np.array(bits)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(held)[:-1])
    shape = with_rows(tiling.shape)
    found = [
        _kernel_lists(window, with_rows(source.shape), np.unravel_index(inside, shape), bits, chip, projection)
        for inside, bits in zip(members, each, strict=True)
    ]
    return np.array([axons for axons, _ in found]), np.array([bits for _, bits in found])


def _listed(projection: Projection, network: Network, chip: Chip, labels: NDArray[Any], each: list[int]) -> tuple[Ints, Ints]:
    """The same for synapses that are stored one by one: a list for each source neuron and slice."""
    source, target = network[projection.source], network[projection.target]
    if projection.matrix is not None:
        held = np.bincount(labels, minlength=len(each))
        bits = np.array([source.size * int(limits.list_bits(count, b, chip)) for count, b in zip(held, each, strict=True)])
        axons = np.full(len(each), source.size)
        for k in range(len(each)) if limits.skips_zeros(projection, chip) and "sparse" in chip.core.encodings else ():
            kept = np.count_nonzero(projection.matrix[:, labels == k], axis=1)
            one = limits.synapse_bits(projection, chip, int(held[k]), form="sparse")
            listed = sum(int(limits.list_bits(count, one, chip)) for count in kept if count)
            if listed < bits[k]:
                bits[k], axons[k] = listed, np.count_nonzero(kept)
        return axons, bits
    synapses = projection.synapses(source.shape, target.shape)
    stored = synapses.weight != 0 if limits.skips_zeros(projection, chip) else np.ones(len(synapses.pre), np.bool_)
    pairs, visited = np.unique((synapses.pre * len(each) + labels[synapses.post])[stored], return_counts=True)
    slices = pairs % len(each)
    axons = np.bincount(slices, minlength=len(each))
    return axons, np.array([int(limits.list_bits(visited[slices == k], bits, chip).sum()) for k, bits in enumerate(each)])


def _kernel_lists(
    window: Conv2d, source: tuple[int, ...], inside: tuple[Ints, ...], bits: int, chip: Chip, projection: Projection
) -> tuple[int, int]:
    """Source positions that reach a box of targets, and the bits of their different lists, tap by tap."""
    channels, rows, columns = (np.unique(axis) for axis in inside)
    taps = [_taps(window, axis, source[1 + axis], box) for axis, box in ((0, rows), (1, columns))]
    out, per_group = window.weights.shape[:2]
    outputs = np.bincount(channels // (out // window.groups))
    outputs = outputs[outputs > 0]
    if chip.core.conv_memory == "rows":
        taps_each = int(np.prod(window.weights.shape[2:])) * per_group
        total = taps_each * int(limits.row_bits(outputs[:1] if projection.one_kernel else outputs, bits, chip).sum())
        return len(taps[0]) * len(taps[1]), total
    if projection.one_kernel:
        outputs = outputs[:1]
    total = sum(
        per_group * int(limits.list_bits(len(y) * len(x) * outputs, bits, chip).sum())
        for y in set(taps[0].values())
        for x in set(taps[1].values())
    )
    return len(taps[0]) * len(taps[1]), total


def _taps(window: Conv2d, axis: int, size: int, targets: Ints) -> dict[int, tuple[int, ...]]:
    """For each source row (or column) that reaches the targets: the taps by which it does."""
    found: dict[int, list[int]] = {}
    stride: Any = window.stride
    dilation: Any = window.dilation
    for target in targets:
        for tap in range(window.weights.shape[2 + axis]):
            row = int(target) * stride[axis] - window.padding[axis][0] + tap * dilation[axis]
            if 0 <= row < size:
                found.setdefault(row, []).append(tap)
    return {row: tuple(sorted(set(taps))) for row, taps in found.items()}
