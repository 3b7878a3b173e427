"""What the slices of a population need of a core (its demand). What depends on one axis alone is worked out once and kept.

Differs from the hardware in: one incoming axon per source position serves all channels of a shared kernel whatever their
number; two projections from one source into one core have lists of their own. Sources: see `neuro.chip.cutting.limits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neuro.chip.cutting import limits
from neuro.chip.cutting.tilings import Ints, Tiling, as_window, channel_reach, fan, kept_by_slice, reach, with_rows
from neuro.chip.spec import Chip
from neuro.network import Network, Population
from neuro.projections import Conv2d, Projection

Lengths = tuple[int, ...]  # of the different lists, or parts of lists, that a part holds


class CoreDemand:
    """What slices of the populations of one network need of the cores of one chip."""

    def __init__(self, network: Network, chip: Chip) -> None:
        self.network, self.chip = network, chip
        self._bits = [limits.weight_bits(p, chip) for p in network.projections]
        self._axes: dict[tuple[int, int, bytes], tuple[Ints, list[Lengths]]] = {}
        self._channels: dict[tuple[int, bytes], list[tuple[Lengths, Lengths]]] = {}
        self._reached: dict[int, tuple[Tiling, tuple[Ints, ...] | Ints]] = {}

    def fits(self, population: Population, tiling: Tiling, tilings: Mapping[str, Tiling]) -> bool:
        """Whether every slice fits a core of its own."""
        return max(self.needs(population, tiling, tilings).worst(self.chip).values()) <= 1

    def needs(self, population: Population, tiling: Tiling, tilings: Mapping[str, Tiling]) -> limits.Needs:
        """Needs of the slices, given the tilings of the populations that they project to (missing: one slice)."""
        in_axons, bits, out_axons = np.zeros((3, tiling.slices), np.int64)
        learning = np.zeros(tiling.slices, np.int64)
        before, behind = limits.trace_bits(population, self.network)
        for i, projection in enumerate(self.network.projections):
            if projection.target == population.name:
                axons, memory = self._lists(i, projection, tiling)
                in_axons, bits = in_axons + axons, bits + memory
                learning += axons * before * (projection.rule is not None)
            if projection.source == population.name:
                target = tilings.get(projection.target)
                out_axons = out_axons + (
                    tiling.sizes() if target is None else _sum_over(tiling, self._reach(i, projection, target))
                )
        core = self.chip.core
        neurons = tiling.sizes() * limits.compartments(population, self.chip)
        state = neurons * limits.state_words(population, self.network) * (core.state_word_bits or 0)
        memory = bits + in_axons * (core.in_axon_bits or 0) + out_axons * (core.out_axon_bits or 0) + state
        memory = memory + population.neuron.table_bits + learning + tiling.sizes() * behind
        return limits.Needs(neurons, in_axons, out_axons, bits, memory)

    def _lists(self, i: int, projection: Projection, tiling: Tiling) -> tuple[Ints, Ints]:
        """Incoming axons and bits of synaptic memory of each slice."""
        source, sizes = self.network[projection.source], tiling.sizes()
        if limits.encoding(projection, self.chip) == "conv":
            bits = limits.synapse_bits(projection, self.chip, int(sizes.max()), weight=self._bits[i])
            if projection.offset is not None:
                touched = np.bincount(
                    tiling.labels()[projection.offset : projection.offset + source.size], minlength=tiling.slices
                )
                lists = np.minimum(touched, projection.stored_weights.size)
                return touched.astype(np.int64), lists * int(limits.list_bits(1, bits, self.chip))
            return self._kernels(i, projection, tiling, bits)
        each = np.array([limits.synapse_bits(projection, self.chip, int(size), weight=self._bits[i]) for size in sizes])
        if projection.matrix is not None:
            axons, memory = np.full(tiling.slices, source.size), source.size * limits.list_bits(sizes, each, self.chip)
            for k in np.flatnonzero(limits.sparse_slices(projection, self.chip, tiling, weight=self._bits[i])):
                kept = kept_by_slice(projection.matrix, tiling)[:, k]
                one = limits.synapse_bits(projection, self.chip, int(sizes[k]), weight=self._bits[i], form="sparse")
                axons[k], memory[k] = np.count_nonzero(kept), limits.list_bits(kept, one, self.chip).sum()
            return axons, memory
        leads = fan(projection, self.network, tiling, zeros=not limits.skips_zeros(projection, self.chip))
        members = np.bincount(leads.classes, minlength=len(leads.starts) - 1)
        times = np.repeat(members, np.diff(leads.starts))
        stored = times * limits.list_bits(leads.synops, each[leads.slices], self.chip)
        axons, memory = (np.bincount(leads.slices, values, tiling.slices).astype(np.int64) for values in (times, stored))
        return axons, memory

    def _kernels(self, number: int, projection: Projection, tiling: Tiling, bits: int) -> tuple[Ints, Ints]:
        """Axons and bits of a shared kernel: each different list is stored once per slice; borders truncate lists."""
        source = self.network[projection.source].shape
        window = as_window(projection, source)
        assert window is not None
        if len(tiling.shape) == 2:
            tiling = Tiling(with_rows(tiling.shape), (tiling.edges[0], np.array([0, 1]), tiling.edges[1]))
        rows, columns = (self._axis(number, window, axis, with_rows(source)[1 + axis], tiling) for axis in (0, 1))
        channels = self._channel_lists(number, window, tiling)
        axons: Ints = np.multiply.outer(np.ones(tiling.grid[0], np.int64), np.multiply.outer(rows[0], columns[0])).ravel()
        if self.chip.core.conv_memory == "rows":
            places = int(np.prod(window.weights.shape[2:]))
            rowed = [
                limits.row_bits(widths, bits, self.chip) * (1 if projection.one_kernel else times) for widths, times in channels
            ]
            stored = np.array([places * int(np.sum(each)) for each in rowed], np.int64)
            return axons, np.repeat(stored, tiling.slices // tiling.grid[0])
        wide = list(dict.fromkeys(channels))
        down, along = list(dict.fromkeys(rows[1])), list(dict.fromkeys(columns[1]))
        table = np.zeros((len(wide), len(down), len(along)), np.int64)
        for i, j, k in np.ndindex(table.shape):
            widths, times = wide[i]
            taps = np.multiply.outer(down[j], along[k]).ravel()
            lists = limits.list_bits(np.multiply.outer(taps, widths), bits, self.chip).sum(axis=0)
            table[i, j, k] = int((lists * (1 if projection.one_kernel else times)).sum())
        chosen = [wide.index(x) for x in channels], [down.index(x) for x in rows[1]], [along.index(x) for x in columns[1]]
        return axons, table[np.ix_(*chosen)].ravel()

    def _axis(self, i: int, window: Conv2d, axis: int, source: int, tiling: Tiling) -> tuple[Ints, list[Lengths]]:
        """Along rows or columns, for each part: source coordinates that reach it, and lengths of their different lists."""
        key = (i, axis, tiling.edges[1 + axis].tobytes())
        if key not in self._axes:
            table = reach(window, axis, source, tiling)
            lengths = [_distinct(window, axis, table, tiling, part) for part in range(tiling.grid[1 + axis])]
            self._axes[key] = ((table > 0).sum(axis=0), lengths)
        return self._axes[key]

    def _channel_lists(self, i: int, window: Conv2d, tiling: Tiling) -> list[tuple[Lengths, Lengths]]:
        """For each part of the channels: the numbers of them that a source channel reaches, and how many source channels do."""
        key = (i, tiling.edges[0].tobytes())
        if key not in self._channels:
            found = []
            for column in channel_reach(window, tiling).T:
                widths, times = np.unique(column[column > 0], return_counts=True)
                found.append((tuple(widths.tolist()), tuple(times.tolist())))
            self._channels[key] = found
        return self._channels[key]

    def _reach(self, i: int, projection: Projection, target: Tiling) -> tuple[Ints, ...] | Ints:
        """Number of slices that each source neuron reaches: flat (neurons,), or as factors along the source's axes."""
        if i not in self._reached or self._reached[i][0] is not target:
            self._reached[i] = (target, self._counted(projection, target))
        return self._reached[i][1]

    def _counted(self, projection: Projection, target: Tiling) -> tuple[Ints, ...] | Ints:
        source = self.network[projection.source]
        window = as_window(projection, source.shape)
        if window is not None and target.order is None and len(source.shape) == 3:
            along = [reach(window, axis, source.shape[1 + axis], target) for axis in (0, 1)]
            return tuple((table > 0).sum(axis=1) for table in (channel_reach(window, target), *along))
        if projection.matrix is not None:
            return np.full(source.size, target.slices)
        leads = fan(projection, self.network, target)
        reached: Ints = np.diff(leads.starts)[leads.classes]
        return reached


def _distinct(window: Conv2d, axis: int, table: Ints, tiling: Tiling, part: int) -> Lengths:
    """Lengths of the different sets of taps by which source rows (or columns) reach a part."""
    stride: Any = window.stride
    dilation: Any = window.dilation
    low, high = tiling.edges[1 + axis][part], tiling.edges[1 + axis][part + 1]
    taps = np.arange(window.weights.shape[2 + axis])
    rows = np.flatnonzero(table[:, part])
    reads = rows[:, None] + window.padding[axis][0] - taps * dilation[axis]
    hits = (reads % stride[axis] == 0) & (reads // stride[axis] >= low) & (reads // stride[axis] < high)
    return tuple(int(h.sum()) for h in np.unique(hits, axis=0))


def _sum_over(tiling: Tiling, values: tuple[Ints, ...] | Ints) -> Ints:
    """Values of neurons (flat, or factors along the axes) added up within each slice."""
    if isinstance(values, tuple):
        if tiling.order is None:
            total = np.ones(1, np.int64)
            for factor, edges in zip(values, tiling.edges, strict=True):
                total = np.multiply.outer(total, np.add.reduceat(factor, edges[:-1]))
            return total.ravel()
        values = np.multiply.outer(np.multiply.outer(values[0], values[1]), values[2]).ravel()
    return np.bincount(tiling.labels(), values, tiling.slices).astype(np.int64)
