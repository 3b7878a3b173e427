"""Counts: what a run did on the cores and links of a placed network, in whole numbers; prices come later.

Knows placements and messages; knows nothing of energy or time.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting.candidates import on_cores
from neuro.chip.cutting.limits import further_passes
from neuro.chip.cutting.limits import updates as updates_of
from neuro.chip.cutting.routing import HOST
from neuro.chip.cutting.tilings import Ints
from neuro.chip.mesh.routes import crosses, routes, tile_of
from neuro.chip.placing.placement import Placement
from neuro.chip.spec import ENCODINGS, Chip
from neuro.chip.tally import ClassTable, TallySums, tally
from neuro.compiled import sooner
from neuro.engine.records import Messages, Run
from neuro.errors import ChipError
from neuro.memory import check_fits
from neuro.network import Population
from neuro.neurons import Neuron
from neuro.notebook import Table, TableRepr

_ENDLESS = 1 << 30  # steps
_MOST_BYTES = 256 << 20  # for tables that keep every sample apart
_MESSAGE_S, _COMPILING_S = 6e-6, 2.0  # of a message counted in plain Python; of the counting loop, to be compiled
SPIKES, OUT, IN, SYNOPS = 0, 1, 2, 3
_APART = ("steps", "fabrics", "cores", "tiles", "chips", "synops", "timed", "each", "heaviest", "far")  # not just added up


@dataclass(frozen=True, slots=True, repr=False)
class Counts(TableRepr):
    """Exact counts. Rows are `cores` (core numbers, the last one is the host's port, -1); totals add up all samples.

    spikes, packets_out, packets_in, updates (steps, rows): messages fired, packets sent and received (a packet that branches is
    sent once), compartments touched.
    synaptic_updates (steps, rows): synapses for which a learning rule was computed, in the core of their targets.
    passes, products, lookups (steps, rows): of neuron programs, passes after the first of an update, products of two inputs, and
    entries of tables read.
    synops {encoding: (steps, rows)} at the step in which they act. driven, restless (steps,): updates that add something to
    the potential, and those or with a potential that is not zero. hops (steps, 4): along x, along y, packets that stay in
    their tile, crossings from chip to chip. links (links,): packets over each link, numbered tile * 4 + direction.
    `timed` holds the samples that are also kept apart: each (samples, steps, rows, 6) spikes, packets out, packets in,
    synops by encoding at the step of sending; heaviest (samples, steps, 2): packets on the busiest link within a chip and
    from chip to chip; far (samples, steps, 3): hops along x, y and crossings of the packet that went farthest.
    """

    samples: int
    steps: int
    fabrics: int
    cores: Ints
    tiles: int
    chips: int
    spikes: Ints
    packets_out: Ints
    packets_in: Ints
    synops: dict[str, Ints]
    updates: Ints
    passes: Ints
    products: Ints
    lookups: Ints
    synaptic_updates: Ints
    driven: Ints
    restless: Ints
    hops: Ints
    links: Ints
    host_reads: int
    timed: Ints
    each: NDArray[np.signedinteger[Any]]
    heaviest: NDArray[np.signedinteger[Any]]
    far: NDArray[np.int32]

    def _shown(self) -> Table:
        counted = {"messages": self.spikes, "packets": self.packets_in}
        counted |= {f"synops, {encoding}": synops for encoding, synops in self.synops.items()}
        counted |= {"updates": self.updates, "driven": self.driven}
        own = {"further passes": self.passes, "products": self.products, "look-ups": self.lookups}
        own["synaptic updates"] = self.synaptic_updates
        counted |= {name: values for name, values in own.items() if values.any()}
        hops = zip(("hops along x", "hops along y", "packets within a tile", "chip crossings"), self.hops.T, strict=True)
        rows = [(name, f"{int(values.sum()):,}") for name, values in (*counted.items(), *hops)]
        title = (
            f"Counts of {self.samples:,} samples on {len(self.cores) - 1:,} cores in {self.steps} steps; totals of all samples"
        )
        return title, ("", "total"), rows

    def of_samples(self, samples: Ints) -> Counts:
        """The same counts with only some of the samples kept apart."""
        rows = np.searchsorted(self.timed, samples)
        return replace(self, timed=samples, each=self.each[rows], heaviest=self.heaviest[rows], far=self.far[rows])

    def __add__(self, other: Counts) -> Counts:
        """The counts of the samples of both, those of `other` numbered after these, in the same steps on the same cores."""
        same = (self.steps, self.tiles, self.chips) == (other.steps, other.tiles, other.chips)
        if not (same and np.array_equal(self.cores, other.cores)):
            raise ChipError("counts", "they are of other steps or cores", "Add counts of one placement and number of timesteps")
        sums = {name: getattr(self, name) + getattr(other, name) for name in _totals()}
        synops = {form: table + other.synops[form] for form, table in self.synops.items()}
        apart = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in ("each", "heaviest", "far")}
        timed = np.concatenate([self.timed, other.timed + self.samples])
        return replace(self, **sums, **apart, synops=synops, timed=timed)

    def zero(self) -> Counts:
        """The counts of no samples on the same cores: adding them changes nothing."""
        nothing = {name: 0 * getattr(self, name) for name in _totals()}
        synops = {form: 0 * table for form, table in self.synops.items()}
        return replace(self.of_samples(self.timed[:0]), **nothing, synops=synops)

    @property
    def packets(self) -> int:
        """Packets of all samples: one for each message and core that it goes to; the host's included."""
        return int(self.packets_in.sum())


def _totals() -> list[str]:
    """The fields of counts that add up over samples."""
    return [field.name for field in fields(Counts) if field.name not in _APART]


class Tables:
    """A placement in the numbers that counting works on: rows of cores, class tables of populations, windows of projections."""

    def __init__(self, placement: Placement, timesteps: int, dead_links: tuple[int, ...] = ()) -> None:
        self.placement, self.timesteps, self.dead_links = placement, timesteps, dead_links
        self.steps = placement.network.steps(timesteps)
        self.first, self.inputs = 0, int(timesteps)
        self.cores = np.append(placement.used, HOST)
        self.windows = self._windows()
        self.of = {name: self._table(name) for name in placement.wires}

    def in_stream(self, first: int, inputs: int | None) -> Tables:
        """The same for a part of a stream that begins with step `first` of it. inputs: the steps for which the stream had inputs,
        None where it goes on."""
        made = copy(self)
        made.first, made.inputs = first, _ENDLESS if inputs is None else inputs
        made.windows = made._windows()
        made.of = {name: table._replace(windows=made.windows) for name, table in self.of.items()}
        return made

    def window(self, neuron: Neuron) -> tuple[int, int]:
        """First and last-plus-one of these steps in which a neuron is switched on."""
        start, end = neuron.start_step - self.first, neuron.start_step + neuron.active_steps(self.inputs) - self.first
        return min(max(start, 0), self.steps), min(max(end, 0), self.steps)

    def _windows(self) -> Ints:
        network = self.placement.network
        rows = [(p.delay, *self.window(network[p.target].neuron)) for p in network.projections]
        return np.array(rows, np.int64).reshape(-1, 3)

    def row_of(self, cores: Ints) -> Ints:
        """Row of each core."""
        return np.where(cores == HOST, len(self.cores) - 1, np.searchsorted(self.cores[:-1], cores))

    def _table(self, name: str) -> ClassTable:
        table = self.placement.wires[name]
        way = routes(table, self.placement.chip, self.dead_links)
        reached = np.diff(table.packet_starts)
        return ClassTable(
            classes=table.classes,
            rows=self.row_of(table.cores),
            sent=np.minimum(reached, 1) if self.placement.chip.mesh.multicast == "tree" else reached,
            packet_starts=table.packet_starts,
            packet_rows=self.row_of(table.packets),
            visit_starts=table.visit_starts,
            visits=table.visits,
            windows=self.windows,
            hops=way.hops,
            far=way.far,
            link_starts=way.starts,
            links=way.links,
            loads=way.loads,
        )


class Counter:
    """Takes the messages of a run block by block; `finish` makes them Counts."""

    def __init__(self, tables: Tables, samples: int) -> None:
        self.tables, self.samples = tables, samples
        mesh, steps, rows = tables.placement.chip.mesh, tables.steps, len(tables.cores)
        self.link_count = mesh.link_numbers
        self.across = crosses(np.arange(self.link_count), mesh)
        check_fits(
            f"counting {steps:,} steps on {rows - 1:,} cores",
            _counted_bytes(samples, steps, rows, self.link_count),
            "its tables",
            "Use fewer timesteps, or a smaller board",
        )
        self.kind = np.dtype(np.int32 if most_in_a_step(tables, self.link_count) <= np.iinfo(np.int32).max else np.int64)
        self.stride = _stride(samples, _MOST_BYTES // (steps * rows * 6 * self.kind.itemsize))
        self.timed = np.arange(0, samples, self.stride)
        self.totals = np.zeros((steps, rows, 6), np.int64)
        self.hops = np.zeros((steps, 4), np.int64)
        self.links = np.zeros(self.link_count, np.int64)
        self.each = np.zeros((len(self.timed), steps, rows, 6), self.kind)
        self.far = np.zeros((len(self.timed), steps, 3), np.int32)
        self.heaviest = np.zeros((len(self.timed), steps, 2), self.kind)

    def observe(self, first: int, messages: dict[str, Messages]) -> None:
        """Count the messages of one block of samples, the first of which is number `first`."""
        steps = self.tables.steps
        block = (len(next(iter(messages.values())).offsets) - 1) // steps
        number = np.arange(first, first + block)
        count = sooner(tally, _MESSAGE_S * sum(len(m.neurons) for m in messages.values()), _COMPILING_S)
        row = np.where(number % self.stride == 0, number // self.stride, -1)
        for some in _pieces(block, steps * self.link_count * self.kind.itemsize):
            apart = row[some]
            kept = apart[apart >= 0]
            start = int(kept[0]) if len(kept) else 0
            loads = np.zeros((max(len(kept), 1), steps, self.link_count), self.kind)
            each, far = self.each[start : start + len(loads)], self.far[start : start + len(loads)]
            sums = TallySums(self.totals, self.hops, self.links, each, far, loads)
            for name, table in self.tables.of.items():
                offsets = messages[name].offsets[some.start * steps : some.stop * steps + 1]
                count(offsets, messages[name].neurons, table, np.where(apart >= 0, apart - start, -1), sums)
            if len(kept):
                self.heaviest[kept, :, 0] = np.where(self.across, 0, loads).max(axis=2)
                self.heaviest[kept, :, 1] = np.where(self.across, loads, 0).max(axis=2)

    def finish(self, run: Run) -> Counts:
        """The counts, with the updates that the run counted itself."""
        tables, placement = self.tables, self.tables.placement
        network = placement.network
        updates = np.zeros(self.totals.shape[:2], np.int64)
        own = np.zeros((3, *updates.shape), np.int64)  # further passes, products, look-ups
        driven, restless = np.zeros((2, tables.steps), np.int64)
        for p in (p for p in network.populations if on_cores(p)):
            share = updates_of(p, placement.chip)
            start, end = tables.window(p.neuron)
            elapsed = range(tables.first + start - p.neuron.start_step, tables.first + end - p.neuron.start_step)
            cores = tables.row_of(placement.cores[p.name])
            each = placement.cuts[p.name].sizes() * share * self.samples
            updates[start:end, cores] += each
            for kind, times in enumerate(own_work(p, elapsed, placement.chip)):
                own[kind, start:end, cores] += each[:, None] * times
            driven += run.counts[p.name].driven * share
            restless += run.counts[p.name].restless * share
        tiles = np.unique(tile_of(placement.used, placement.chip.mesh))
        return Counts(
            samples=self.samples,
            steps=tables.steps,
            fabrics=placement.chip.mesh.fabrics,
            cores=tables.cores,
            tiles=len(tiles),
            chips=len(np.unique(_chip_of(tiles, placement))),
            spikes=self.totals[..., SPIKES],
            packets_out=self.totals[..., OUT],
            packets_in=self.totals[..., IN],
            synops={form: self.totals[..., SYNOPS + i] for i, form in enumerate(ENCODINGS)},
            updates=updates,
            passes=own[0],
            products=own[1],
            lookups=own[2],
            synaptic_updates=self._learned(run),
            driven=driven,
            restless=restless,
            hops=self.hops,
            links=self.links,
            host_reads=self.samples * sum(p.size for p in network.readouts),
            timed=self.timed,
            each=self.each,
            heaviest=self.heaviest,
            far=self.far,
        )

    def _learned(self, run: Run) -> Ints:
        """Synaptic updates (steps, rows), in the core of each target neuron."""
        tables, placement = self.tables, self.tables.placement
        found = np.zeros(self.totals.shape[:2], np.int64)
        for p in {p.name: p for p in placement.network.projections if p.name in run.learning_by_neuron}.values():
            rows = tables.row_of(placement.cores[p.target])[placement.cuts[p.target].labels()]
            for step, updates in enumerate(run.learning_by_neuron[p.name]):
                found[step] += np.bincount(rows, updates, found.shape[1]).astype(np.int64)
        return found


def own_work(p: Population, elapsed: range, chip: Chip) -> Ints:
    """Further passes, products and look-ups of a neuron in some steps of its window, (3, steps)."""
    neuron, work = p.neuron, np.zeros((3, len(elapsed)), np.int64)
    work[0] = further_passes(p, chip)
    if neuron.computes:
        work[1], work[2] = ([count(e) for e in elapsed] for count in (neuron.products, neuron.lookups))
    return work


def most_in_a_step(tables: Tables, links: int) -> int:
    """The most that one sample can add to a core's or a link's count in one step: as much as when every neuron sends."""
    rows = np.zeros((3, len(tables.cores)), np.int64)  # packets out, packets in, synops
    loads = np.zeros(links, np.int64)
    for table in tables.of.values():
        neurons = np.bincount(table.classes, minlength=len(table.rows))
        packets = np.repeat(neurons, np.diff(table.packet_starts))
        visits = np.repeat(packets, np.diff(table.visit_starts)) * table.visits[:, 2]
        np.add.at(rows[0], table.rows, neurons * np.maximum(table.sent, 1))
        np.add.at(rows[1], table.packet_rows, packets)
        np.add.at(rows[2], np.repeat(table.packet_rows, np.diff(table.visit_starts)), visits)
        np.add.at(loads, table.links, np.repeat(neurons, np.diff(table.link_starts)) * table.loads)
    return int(max(rows.max(initial=0), loads.max(initial=0)))


def _chip_of(tiles: Ints, placement: Placement) -> Ints:
    mesh = placement.chip.mesh
    y, x = np.divmod(tiles, mesh.columns)
    return np.asarray(y // mesh.height * mesh.chips_x + x // mesh.width)


def _pieces(samples: int, bytes_each: int) -> list[slice]:
    """Runs of samples whose link loads stay within a quarter of the memory for per-sample tables."""
    size = int(np.clip(_MOST_BYTES // 4 // bytes_each, 1, samples))
    return [slice(i, min(i + size, samples)) for i in range(0, samples, size)]


def _counted_bytes(samples: int, steps: int, rows: int, links: int) -> int:
    """Of the tables of a Counter: totals, samples kept apart, and one sample's loads of links at least."""
    each = steps * rows * 6 * 4
    return 2 * each + max(each, min(samples * each, _MOST_BYTES)) + 8 * links + max(4 * steps * links, _MOST_BYTES)


def _stride(samples: int, room: int) -> int:
    """Smallest power of two such that every so many-th sample fits the room."""
    stride = 1
    while -(-samples // stride) > max(room, 1):
        stride *= 2
    return stride
