"""Messages of some samples -> packets -> the time that the network takes in each step, packet by packet.

Knows placements, times and the packet network; knows nothing of energy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.chip.counts import Tables
from neuro.chip.cutting.candidates import on_cores
from neuro.chip.cutting.limits import update_ns
from neuro.chip.cutting.routing import HOST
from neuro.chip.cutting.tilings import Ints, Tiling
from neuro.chip.mesh.routes import tile_of
from neuro.chip.packets.grid import Grid, Packets
from neuro.chip.packets.noc import drain
from neuro.chip.packets.sending import CoreTimes, Queues, count_packets, send
from neuro.chip.spec import ENCODINGS, Chip
from neuro.engine.records import Messages
from neuro.errors import ChipError

Floats = NDArray[np.float64]
MOST_PACKETS = 3_000_000  # simulated in one call, unless a single sample has more
_TICKS = 100  # in the shortest time of the network


@dataclass(frozen=True, slots=True)
class SampledMessages:
    """Messages of the samples whose packets are simulated: `samples` (numbers of the run), messages of each population."""

    samples: Ints
    messages: dict[str, Messages]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the packet network did: drained_ns (samples, steps) from the step's beginning until the last packet was consumed;
    latency_ns (packets,) from reaching its router to being consumed; loads and peaks (fabrics, tiles, 4) as in
    `neuro.chip.packets.noc.Drained`; `packets` and `hops` simulated."""

    samples: Ints
    drained_ns: Floats
    latency_ns: Floats
    loads: Ints
    peaks: Ints

    @property
    def packets(self) -> int:
        return len(self.latency_ns)

    @property
    def hops(self) -> int:
        return int(self.loads.sum())


class PacketSampler:
    """Keeps the messages of evenly spread samples, as many as do not exceed a number of packets."""

    def __init__(self, tables: Tables, stride: int, most: int = MOST_PACKETS) -> None:
        self.tables, self.most, self.stride = tables, most, stride
        self.kept: dict[int, tuple[int, dict[str, Messages]]] = {}

    def observe(self, first: int, messages: dict[str, Messages]) -> None:
        """Keep samples of a block, the first of which is number `first`."""
        steps = self.tables.steps
        samples = (len(next(iter(messages.values())).offsets) - 1) // steps
        for s in range(-first % self.stride, samples, self.stride):
            if (first + s) % self.stride:
                continue  # the stride has grown
            mine = {name: _part(m, s * steps, (s + 1) * steps) for name, m in messages.items() if name in self.tables.of}
            self.kept[first + s] = (self._packets(mine), mine)
            while sum(packets for packets, _ in self.kept.values()) > self.most and len(self.kept) > 1:
                self.stride *= 2
                self.kept = {sample: kept for sample, kept in self.kept.items() if sample % self.stride == 0}

    def _packets(self, messages: dict[str, Messages]) -> int:
        counts = np.zeros(self.tables.steps, np.int64)
        for name, m in messages.items():
            count_packets(m.offsets, m.neurons, self.tables.of[name], counts)
        return int(counts.sum())

    def finish(self) -> SampledMessages:
        """The messages kept."""
        samples = sorted(self.kept)
        joined = {name: _joined([self.kept[s][1][name] for s in samples]) for name in self.tables.of}
        return SampledMessages(np.array(samples, np.int64), joined)


def _part(messages: Messages, low: int, high: int) -> Messages:
    offsets = messages.offsets[low : high + 1]
    return Messages(offsets - offsets[0], messages.neurons[offsets[0] : offsets[-1]].copy(), None)


def _joined(parts: list[Messages]) -> Messages:
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Messages(offsets, np.concatenate([part.neurons for part in parts]), None)


def simulate(tables: Tables, sampled: SampledMessages, chip: Chip) -> Traffic:
    """Send the packets of the sampled messages through the mesh of the placement, at the pace that `chip` sets."""
    tick = _tick_ns(chip)
    queues, starts = _queues(tables, sampled, chip)
    grid = _grid(tables, chip, tick)
    local_ports = _local_ports(tables, grid)
    packets = Packets(
        starts, local_ports[queues.sender], local_ports[queues.receiver], _ticks(queues.ready, tick), _ticks(queues.work, tick)
    )
    drained = drain(grid, packets)
    shape = (len(sampled.samples), tables.steps)
    by_link = (grid.fabrics, grid.width * grid.height, 4)
    return Traffic(
        samples=sampled.samples,
        drained_ns=np.asarray(drained.makespan.reshape(shape) * tick, np.float64),
        latency_ns=np.asarray((drained.delivered - packets.ready) * tick, np.float64),
        loads=drained.loads.reshape(by_link),
        peaks=drained.peaks.reshape(by_link),
    )


def _tick_ns(chip: Chip) -> float:
    times = {name: getattr(chip.time, name) for name in ("hop_x", "hop_y", "link_service")}
    for name, value in times.items():
        if not value:
            raise ChipError(f"chip {chip.name!r}", f"time.{name} is unknown, packets cannot be timed", 'Use noc="analytic"')
    if chip.mesh.multicast != "unicast":
        raise ChipError(f"chip {chip.name!r}", "its packets branch, which is not simulated", 'Use noc="analytic"')
    return min(float(value) for value in times.values() if value) / _TICKS


def _ticks(ns: Floats, tick: float) -> Ints:
    return np.rint(ns / tick).astype(np.int64)


def _grid(tables: Tables, chip: Chip, tick: float) -> Grid:
    t, mesh = chip.time, tables.placement.chip.mesh

    def ticks(ns: float | None) -> int:
        return round((ns or 0.0) / tick)

    driven = any((table.rows == len(tables.cores) - 1).any() for table in tables.of.values())
    return Grid(
        width=mesh.columns,
        height=mesh.rows,
        local_ports=mesh.cores_per_tile + int(driven),
        fabrics=mesh.fabrics,
        buffer=mesh.buffer_packets,
        chip_width=mesh.width,
        chip_height=mesh.height,
        hop_x=ticks(t.hop_x),
        hop_y=ticks(t.hop_y),
        service=ticks(t.link_service),
        across_hop=ticks(t.chip_link),
        across_service=ticks(t.chip_link_service or t.link_service),
        local=ticks(t.local),
    )


def _local_ports(tables: Tables, grid: Grid) -> Ints:
    """The local port of each row of the counts."""
    mesh = tables.placement.chip.mesh
    place = np.where(tables.cores == HOST, mesh.cores_per_tile, tables.cores % mesh.cores_per_tile)
    local_ports: Ints = tile_of(tables.cores, mesh) * grid.local_ports + np.minimum(place, grid.local_ports - 1)
    return local_ports


def _queues(tables: Tables, sampled: SampledMessages, chip: Chip) -> tuple[Queues, Ints]:
    cells = len(sampled.samples) * tables.steps
    counts = np.zeros(cells, np.int64)
    for name, table in tables.of.items():
        count_packets(sampled.messages[name].offsets, sampled.messages[name].neurons, table, counts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    total = int(starts[-1])
    sender, receiver = np.zeros((2, total), np.int64)
    ready, work = np.zeros((2, total))
    queues = Queues(starts[:-1].copy(), sender, receiver, ready, work)
    clock, t = np.zeros((cells, len(tables.cores))), chip.time
    synops = np.array([getattr(t, f"synop_{form}") or 0.0 for form in ENCODINGS])
    pace = CoreTimes(t.spike or 0.0, t.axon_out or 0.0, t.axon_in or 0.0, synops, t.link_service or 0.0)
    placement = tables.placement
    for name, table in tables.of.items():
        population, tiling = placement.network[name], placement.cuts[name]
        slices = np.zeros(len(tables.cores), np.int64)
        if on_cores(population):
            slices[tables.row_of(placement.cores[name])] = tiling.sizes()
        start = population.neuron.start_step
        window = (start, start + population.neuron.active_steps(tables.timesteps))
        each = update_ns(population, placement.chip, chip)
        m = sampled.messages[name]
        send(m.offsets, m.neurons, _positions(tiling), each, slices, window, tables.steps, table, pace, clock, queues)
    return queues, starts


def _positions(tiling: Tiling) -> NDArray[np.int32]:
    """Place of each neuron among those of its slice."""
    labels = tiling.labels()
    order = np.argsort(labels, kind="stable")
    sizes = tiling.sizes()
    place = np.empty(tiling.size, np.int32)
    place[order] = np.arange(tiling.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return place
