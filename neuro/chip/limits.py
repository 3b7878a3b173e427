"""What the slices of a population need of a core: compartments, axons, synaptic memory, neuron state.

Sources of the formulas: nengo-loihi block.py (bits of an axon's list of synapses), NxTF (shared kernels). Differs from the
hardware in: one incoming axon per source position serves all channels of a shared kernel whatever their number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from neuro.chip.cuts import Cut, Ints, as_window, channel_reach, fan, reach, with_rows
from neuro.chip.spec import Chip, Encoding
from neuro.errors import FitError
from neuro.network import Network, Population
from neuro.neurons import (
    CubaLif,
    IntegrateAndFire,
    MaxPool,
    Neuron,
    RadixIntegrateAndFire,
    SignedIntegrateAndFire,
    Source,
    UserNeuron,
    WaitIntegrateAndFire,
)
from neuro.projections import Conv2d, Dense, OneToOne, Projection, SumPool2d


@dataclass(frozen=True, slots=True)
class Needs:
    """What each slice of a population needs, (slices,) each."""

    neurons: Ints
    in_axons: Ints
    out_axons: Ints
    synapse_bits: Ints
    memory_bits: Ints

    def worst(self, chip: Chip) -> dict[str, float]:
        """Largest need of any slice as a fraction of what a core has, by limit."""
        room = limits(chip)
        return {name: float(getattr(self, name).max()) / room[name] for name in room}


def limits(chip: Chip) -> dict[str, int]:
    """The known limits of a core."""
    return {f.name: value for f in fields(Needs) if (value := getattr(chip.core, f.name)) is not None}


def needs(network: Network, chip: Chip, population: Population, cut: Cut, cuts: Mapping[str, Cut]) -> Needs:
    """Needs of the slices of a population, given the cuts of the populations it projects to (missing: one slice)."""
    in_axons, bits = np.zeros(cut.slices, np.int64), np.zeros(cut.slices, np.int64)
    for projection in network.into(population.name):
        more_axons, more_bits = _lists(projection, network, chip, cut)
        in_axons, bits = in_axons + more_axons, bits + more_bits
    neurons = cut.sizes() * compartments(population, chip)
    out_axons = np.zeros(cut.slices, np.int64)
    for projection in network.out_of(population.name):
        target = cuts.get(projection.target)
        out_axons += cut.sizes() if target is None else _sum_over(cut, _reached(projection, network, target))
    core = chip.core
    state = neurons * state_words(population, network) * (core.state_word_bits or 0)
    memory = bits + in_axons * (core.in_axon_bits or 0) + out_axons * (core.out_axon_bits or 0) + state
    return Needs(neurons, in_axons, out_axons, bits, memory)


def compartments(population: Population, chip: Chip) -> int:
    """Neuron compartments that one neuron takes: two where the chip subtracts the threshold with a second one."""
    return 2 if chip.neuron.subtract == "two_compartment" and subtracts(population.neuron) else 1


def subtracts(neuron: Neuron) -> bool:
    """Whether a neuron subtracts its threshold when it fires."""
    if isinstance(neuron, IntegrateAndFire):
        return neuron.reset == "subtract"
    return isinstance(neuron, Source | SignedIntegrateAndFire | WaitIntegrateAndFire | RadixIntegrateAndFire)


def state_words(population: Population, network: Network) -> int:
    """Integers that one neuron keeps: state, bias, and an accumulator for each step of delay."""
    neuron = population.neuron
    ring = max((p.delay for p in network.into(population.name)), default=0)
    if isinstance(neuron, Source):
        return 3 if neuron.code == "signed" else 2
    if isinstance(neuron, UserNeuron):
        return ring + len(neuron.state)
    if isinstance(neuron, MaxPool):
        return ring + (2 if neuron.code == "turns" else neuron.taps)
    words = 2 if isinstance(neuron, CubaLif | SignedIntegrateAndFire) else 1
    biased = bool(np.any(getattr(neuron, "bias", 0)))
    return ring + words + biased + bool(getattr(neuron, "hold_input", False))


def encoding(projection: Projection, chip: Chip) -> Encoding:
    """The form in which a projection's synapses are stored: sparse where the chip has none that fits better."""
    best: Encoding = "dense" if isinstance(projection, Dense) else "sparse"
    if isinstance(projection, OneToOne | SumPool2d | Conv2d) or hasattr(projection, "as_2d"):
        best = "conv"
    if best in chip.core.encodings:
        return best
    if "sparse" in chip.core.encodings:
        return "sparse"
    raise FitError(
        f"projection {projection.name}", f"{chip.name} stores only {', '.join(chip.core.encodings)} synapses", "Use another chip"
    )


def formats(population: Population, network: Network, chip: Chip) -> set[tuple[Encoding, int, int]]:
    """The synapse formats of a population's inputs: encoding, weight bits, delay."""
    return {(encoding(p, chip), weight_bits(p, chip), p.delay) for p in network.into(population.name)}


def weight_bits(projection: Projection, chip: Chip) -> int:
    """Stored bits of a weight: the smallest size that holds the mantissas after a common power of two is taken out."""
    weights = projection.stored_weights.astype(np.int64)
    low, high = (int(weights.min()), int(weights.max())) if weights.size else (0, 0)
    shift = _common_shift(weights)
    low, high = low >> shift, high >> shift
    mixed = low < 0 < high
    need = max((-low - 1).bit_length(), high.bit_length()) + 1 if mixed else max(-low, high).bit_length()
    fitting = [bits for bits in sorted(chip.core.weight_bits) if bits >= need]
    if not fitting:
        raise FitError(
            f"projection {projection.name}",
            f"its weights {low << shift}..{high << shift} need {need} bits, {chip.name} stores {max(chip.core.weight_bits)}",
            "Convert with fewer weight_bits",
        )
    return fitting[0]


def _common_shift(weights: Ints) -> int:
    together = int(np.bitwise_or.reduce(weights.ravel())) if weights.size else 0
    return (together & -together).bit_length() - 1 if together else 0


def synapse_bits(projection: Projection, chip: Chip, neurons: int) -> int:
    """Bits of one synapse in a core that holds `neurons` of the target."""
    bits = weight_bits(projection, chip) + (projection.delay - 1).bit_length()
    if encoding(projection, chip) != "sparse":
        return bits
    need = max(neurons - 1, 0).bit_length()
    fitting = [size for size in sorted(chip.core.index_bits) if size >= need]
    return bits + (fitting[0] if fitting else need)


def list_bits(synapses: Any, bits: int, chip: Chip) -> Any:
    """Bits of a list of synapses: groups with an overhead, each rounded up to whole words (any integer array)."""
    core = chip.core
    groups, rest = np.divmod(np.asarray(synapses, np.int64), core.group_synapses)

    def words(count: Any) -> Any:
        return -(-(count * bits + core.group_overhead_bits) // core.word_bits)

    return (groups * words(core.group_synapses) + np.where(rest > 0, words(rest), 0)) * core.word_bits


def _lists(projection: Projection, network: Network, chip: Chip, cut: Cut) -> tuple[Ints, Ints]:
    """Incoming axons and bits of synaptic memory of each slice."""
    source = network[projection.source]
    sizes = cut.sizes()
    if encoding(projection, chip) == "conv":
        bits = synapse_bits(projection, chip, int(sizes.max()))
        if isinstance(projection, OneToOne):
            touched = np.bincount(cut.labels()[projection.offset : projection.offset + source.size], minlength=cut.slices)
            lists = np.minimum(touched, np.size(projection.weights))
            return touched.astype(np.int64), lists * int(list_bits(1, bits, chip))
        window = as_window(projection, source.shape)
        assert window is not None
        return _kernels(window, with_rows(source.shape), cut, bits, chip, shared=isinstance(projection, SumPool2d))
    each = [synapse_bits(projection, chip, int(size)) for size in sizes]
    if isinstance(projection, Dense):
        return np.full(cut.slices, source.size), np.array(
            [source.size * int(list_bits(size, bits, chip)) for size, bits in zip(sizes, each, strict=True)]
        )
    leads = fan(projection, network, cut)
    members = np.bincount(leads.classes, minlength=len(leads.starts) - 1)
    times = np.repeat(members, np.diff(leads.starts))
    bits_of = list_bits(leads.synops, 1, chip) * 0
    for value in set(each):
        here = np.array(each)[leads.slices] == value
        bits_of = np.where(here, list_bits(leads.synops, value, chip), bits_of)
    return (
        np.bincount(leads.slices, times, cut.slices).astype(np.int64),
        np.bincount(leads.slices, times * bits_of, cut.slices).astype(np.int64),
    )


def _kernels(window: Conv2d, source: tuple[int, ...], cut: Cut, bits: int, chip: Chip, *, shared: bool) -> tuple[Ints, Ints]:
    """Axons and bits of a shared kernel: each distinct list is stored once per slice; borders truncate lists.

    `shared`: all channels have the same weights.
    """
    cut = cut if len(cut.shape) == 3 else Cut(with_rows(cut.shape), (cut.edges[0], np.array([0, 1]), cut.edges[1]))
    positions, patterns = [], []
    for axis in (0, 1):
        table = reach(window, axis, source[1 + axis], cut)
        positions.append((table > 0).sum(axis=0))
        patterns.append([_distinct(window, axis, table, cut, part) for part in range(cut.grid[1 + axis])])
    axons: Ints = np.multiply.outer(np.ones(cut.grid[0], np.int64), np.multiply.outer(*positions)).ravel()
    outputs = channel_reach(window, cut)
    stored: dict[Any, int] = {}
    memory = []
    for part in range(cut.grid[0]):
        widths, times = np.unique(outputs[:, part][outputs[:, part] > 0], return_counts=True)
        for rows in patterns[0]:
            for columns in patterns[1]:
                key = (tuple(widths), tuple(times), rows, columns)
                if key not in stored:
                    taps = np.multiply.outer(rows, columns).ravel()
                    lists = list_bits(np.multiply.outer(taps, widths), bits, chip)
                    stored[key] = int((lists.sum(axis=0) * (1 if shared else times)).sum())
                memory.append(stored[key])
    return axons, np.array(memory, np.int64)


def _distinct(window: Conv2d, axis: int, table: Ints, cut: Cut, part: int) -> tuple[int, ...]:
    """Lengths of the different sets of taps by which source rows (or columns) reach a part."""
    stride: Any = window.stride
    dilation: Any = window.dilation
    low, high = cut.edges[1 + axis][part], cut.edges[1 + axis][part + 1]
    taps = np.arange(window.weights.shape[2 + axis])
    rows = np.flatnonzero(table[:, part])
    reads = rows[:, None] + window.padding[axis][0] - taps * dilation[axis]
    hits = (reads % stride[axis] == 0) & (reads // stride[axis] >= low) & (reads // stride[axis] < high)
    return tuple(int(h.sum()) for h in np.unique(hits, axis=0))


def _reached(projection: Projection, network: Network, target: Cut) -> tuple[Ints, ...] | Ints:
    """Number of slices that each source neuron reaches: flat (neurons,), or as factors along the source's axes."""
    source = network[projection.source]
    window = as_window(projection, source.shape)
    if window is not None and target.order is None and len(source.shape) == 3:
        tables = (
            channel_reach(window, target),
            reach(window, 0, source.shape[1], target),
            reach(window, 1, source.shape[2], target),
        )
        return tuple((table > 0).sum(axis=1) for table in tables)
    if isinstance(projection, Dense):
        return np.full(source.size, target.slices)
    leads = fan(projection, network, target)
    reached: Ints = np.diff(leads.starts)[leads.classes]
    return reached


def _sum_over(cut: Cut, values: tuple[Ints, ...] | Ints) -> Ints:
    """Values of neurons (flat, or factors along the axes) added up within each slice."""
    if isinstance(values, tuple):
        if cut.order is None:
            total = np.ones(1, np.int64)
            for factor, edges in zip(values, cut.edges, strict=True):
                total = np.multiply.outer(total, np.add.reduceat(factor, edges[:-1]))
            return total.ravel()
        values = np.multiply.outer(np.multiply.outer(values[0], values[1]), values[2]).ravel()
    return np.bincount(cut.labels(), values, cut.slices).astype(np.int64)
