"""place(network, chip) -> Placement: which core holds which neurons, with every limit kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting.candidates import on_cores
from neuro.chip.cutting.capabilities import check_capabilities
from neuro.chip.cutting.crossbar import cut_into_crossbars
from neuro.chip.cutting.demand import CoreDemand
from neuro.chip.cutting.hypergraph import by_hypergraph
from neuro.chip.cutting.limits import formats, limits
from neuro.chip.cutting.partition import partition, partition_in_order
from neuro.chip.cutting.routing import HOST, RoutingTable, routing_tables
from neuro.chip.cutting.tilings import Ints, Tiling
from neuro.chip.faultspec import Faults
from neuro.chip.mesh.detours import out_of_reach
from neuro.chip.mesh.routes import routes
from neuro.chip.placing.boards import with_cores
from neuro.chip.placing.checking import fill, overfull, split_axons
from neuro.chip.placing.given import Row, by_hand, rows_of
from neuro.chip.placing.mapping import METHODS, Method, arrange, traffic, usable
from neuro.chip.spec import Chip
from neuro.engine.estimate import check_placeable
from neuro.engine.records import Run
from neuro.errors import FitError, expect
from neuro.network import Network
from neuro.notebook import Table, TableRepr
from neuro.numbers import whole

Board = Literal["given", "auto"]


@dataclass(frozen=True, slots=True, repr=False)
class Placement(TableRepr):
    """A network on a chip: `cuts` divides each population into slices, `cores` says which core holds each slice, `wires` where
    the messages of each population go.

    Cores are numbered tile by tile, row by row over the whole board: core = tile * cores_per_tile + place in the tile.
    `fill` says what each core in use holds, by limit, in the order of `used`.
    """

    network: Network
    chip: Chip
    cuts: Mapping[str, Tiling]
    cores: Mapping[str, Ints]
    wires: Mapping[str, RoutingTable]
    fill: Mapping[str, Ints]
    method: str
    seed: int

    @property
    def mapping(self) -> tuple[Row, ...]:
        """Rows (population, box, core) from which `place(method="given")` makes the same placement.

        A box is a range (first, end) of each axis. Raises FitError where slices are no boxes (of method "partitioned").
        """
        lives = [p for p in self.network.populations if on_cores(p)]
        return tuple(row for p in lives for row in rows_of(p, self.cuts[p.name], self.cores[p.name]))

    @property
    def used(self) -> Ints:
        """The cores in use, ascending."""
        held = [self.cores[p.name] for p in self.network.populations if on_cores(p)]
        return np.unique(np.concatenate(held)) if held else np.zeros(0, np.int64)

    @property
    def cores_used(self) -> int:
        """Number of cores in use."""
        return len(self.used)

    @property
    def chips_used(self) -> int:
        """Number of chips with a core in use."""
        mesh = self.chip.mesh
        y, x = np.divmod(self.used // mesh.cores_per_tile, mesh.columns)
        return len(np.unique(y // mesh.height * mesh.chips_x + x // mesh.width))

    @property
    def tightest(self) -> tuple[str, float]:
        """The limit that the cores in use come closest to on average, and the share of it that they fill."""
        if not self.cores_used:
            return "neurons", 0.0
        shares = {name: float(self.fill[name].mean()) / most for name, most in limits(self.chip).items()}
        limit = max(shares, key=shares.__getitem__)
        return limit, shares[limit]

    @property
    def utilisation(self) -> float:
        """Share of the neuron compartments of the cores in use that are taken."""
        return float(self.fill["neurons"].sum() / max(self.cores_used * self.chip.core.neurons, 1))

    @property
    def core_map(self) -> dict[str, Ints]:
        """The core of each neuron, (neurons,) in C order, of every population that lives on cores."""
        lives = [p.name for p in self.network.populations if on_cores(p)]
        return {name: self.cores[name][self.cuts[name].labels()] for name in lives}

    def _shown(self) -> Table:
        core, held = self.chip.core, self.fill
        room = {
            "neurons": core.neurons,
            "in_axons": core.in_axons,
            "out_axons": core.out_axons,
            "synapse_bits": core.synapse_bits,
        }
        rows = [
            (name.replace("_", " "), f"{held[name].max():,}", f"{most:,}" if most else "unlimited") for name, most in room.items()
        ]
        return f"{self.cores_used} of {self.chip.usable_cores} cores of {self.chip.name}", ("limit", "fullest core", "of"), rows

    def traffic(self, activity: Run | Mapping[str, Any] | None = None) -> tuple[float, float]:
        """Packets, and packets times hops, of a step in which neurons send at these rates (None: each one message)."""
        rates, packets, hops = _rates(self.network, activity), 0.0, 0.0
        for name, table in self.wires.items():
            fired = np.bincount(table.classes, rates.get(name), len(table.cores))
            packets += float(fired @ np.diff(table.packet_starts))
            hops += float(fired @ routes(table, self.chip).hops[:, :2].sum(axis=1))
        return packets, hops

    def link_loads(self, activity: Run | Mapping[str, Any] | None = None) -> NDArray[np.float64]:
        """Packets over each link, numbered tile * 4 + direction (east, west, south, north), in such a step."""
        mesh, rates = self.chip.mesh, _rates(self.network, activity)
        loads = np.zeros(mesh.link_numbers)
        for name, table in self.wires.items():
            fired, way = np.bincount(table.classes, rates.get(name), len(table.cores)), routes(table, self.chip)
            np.add.at(loads, way.links, np.repeat(fired, np.diff(way.starts)) * way.loads)
        return loads

    def check(self) -> list[str]:
        """Every limit that is broken, recomputed from the placed tables; an empty list when all is well."""
        held = fill(self.network, self.chip, self.cuts, self.cores, self.wires)
        return overfull(self.network, self.chip, self.cores, held)


def place(
    network: Network,
    chip: Chip,
    *,
    activity: Run | Mapping[str, Any] | None = None,
    seed: int = 0,
    method: Method = "refined",
    board: Board = "given",
    faults: Faults | None = None,
    mapping: Iterable[Row] | None = None,
) -> Placement:
    """Cut a network into slices that fit cores, and give each slice a core near those that it exchanges packets with.

    activity: a Run, or messages of each neuron in a step by population, that weigh the traffic (None: all fire alike).
    method: "refined", or "partitioned" where populations are joined by lists of synapses (it needs the extra `mapping`); for
    comparison "sequential" (channels first, cores in order) and "random" (cores at random); "given" by hand: `mapping` holds rows
    (population, box, core), a box being a range (first, end) for each axis of the population (`neuro.read_mapping` reads a file).
    board: "auto" takes the smallest board of `chip`s that is large enough. seed: of every random choice.
    faults: dead cores, and cores that dead links cut off, are not used (on the given board only).
    Raises FitError, naming the population, the limit and what would help, when the network does not fit; MemoryLimitError
    when this machine has too little memory to place it.
    """
    expect("network", network, Network, "Pass a neuro.Network, such as conversion.network", FitError)
    expect("chip", chip, Chip, 'Pass a chip, such as neuro.load_chip("loihi2")', FitError)
    expect("faults", faults or Faults(), Faults, "Pass neuro.Faults(...)", FitError)
    seed = whole("place", "seed", seed, 0, error=FitError)
    if method not in (*METHODS, "given") or board not in ("given", "auto"):
        raise FitError("place", f"method {method!r}, board {board!r}", f"Use one of {', '.join(METHODS)}, given; given or auto")
    check_placeable(network, {p.name for p in network.projections if p.storage not in chip.core.encodings})
    check_capabilities(network, chip)
    dead = _dead(chip, faults or Faults(), board)
    if method == "given":
        return _given(network, chip, mapping, seed, dead, board)
    if mapping is not None:
        raise FitError("place", f"a mapping with method {method!r}", 'Add method="given", or leave the mapping out')
    free = len(np.setdiff1d(usable(chip), dead))
    rates = _rates(network, activity)
    means = {name: float(values.mean()) for name, values in rates.items()}
    if chip.core.axon_types:
        tilings = cut_into_crossbars(network, chip)
    else:
        tilings = (
            partition_in_order(network, chip) if method == "sequential" else partition(network, chip, rates=means, cores=free)
        )
    if method == "partitioned" and not chip.core.axon_types:
        tilings = by_hypergraph(network, chip, tilings, rates, seed)
    groups, count = _grouped(network, chip, tilings, free, auto=board == "auto")
    if board == "auto":
        chip = with_cores(chip, count)
    where = {name: np.where(group < 0, HOST, group) for name, group in groups.items()}
    flows = traffic(network, routing_tables(network, chip, tilings, where), count, rates)
    at = arrange(chip, flows, seed, method, dead)
    cores = {name: group if group[0] < 0 else at[group] for name, group in groups.items()}
    return _checked(network, chip, tilings, cores, method, seed)


def _checked(
    network: Network, chip: Chip, tilings: Mapping[str, Tiling], cores: Mapping[str, Ints], method: str, seed: int
) -> Placement:
    """The placement of slices on cores; FitError where one breaks a limit."""
    tables = routing_tables(network, chip, tilings, cores)
    held = fill(network, chip, tilings, cores, tables)
    broken = overfull(network, chip, cores, held) + split_axons(chip, tables)
    if broken:
        remedy = "Move or cut slices" if method == "given" else "Use a larger board, or narrower layers"
        raise FitError(f"network on chip {chip.name!r}", broken[0], remedy)
    return Placement(network, chip, tilings, cores, tables, held, method, seed)


def _given(network: Network, chip: Chip, mapping: Any, seed: int, dead: Ints, board: Board) -> Placement:
    """A placement by hand."""
    if board != "given":
        raise FitError("place", "a mapping numbers the cores of a given board", 'Use board="given"')
    tilings, cores = by_hand(network, mapping)
    for name, at in cores.items():
        lost = np.intersect1d(at, dead)
        if len(lost):
            raise FitError(f"mapping of population {name!r}", f"core {lost[0]} is dead or cut off", "Use another core")
        beyond = np.setdiff1d(at[at >= 0], usable(chip))
        if len(beyond):
            free = f"{chip.name} has {chip.usable_cores} cores for networks"
            raise FitError(
                f"mapping of population {name!r}", f"core {beyond[0]} is reserved or does not exist", f"{free}; use those"
            )
    return _checked(network, chip, tilings, cores, "given", seed)


def _dead(chip: Chip, faults: Faults, board: Board) -> Ints:
    """Cores that faults make useless."""
    if faults and board == "auto":
        raise FitError("place", "faults are numbered on a given board", 'Use board="given"')
    faults.check(chip)
    return out_of_reach(chip, faults.dead_cores, faults.dead_links)


def _rates(network: Network, activity: Run | Mapping[str, Any] | None) -> dict[str, Any]:
    """Messages of each neuron in a step, (neurons,) per population."""
    if activity is None:
        return {}
    if isinstance(activity, Run):
        return {name: spikes.mean(axis=0) / activity.timesteps for name, spikes in activity.spikes.items()}
    rates = {name: np.asarray(values, np.float64).ravel() for name, values in activity.items()}
    for name, values in rates.items():
        if values.shape != (network[name].size,) or not np.isfinite(values).all() or (values < 0).any():
            raise FitError(f"activity of {name!r}", "it is not a number for each neuron", f"Pass {network[name].size} rates")
    return rates


def _grouped(
    network: Network, chip: Chip, tilings: Mapping[str, Tiling], free: int, *, auto: bool
) -> tuple[dict[str, Ints], int]:
    """The group of each slice (-1 off the chip) and the number of groups: a free core each while there are enough, else
    shared."""
    lives = [p for p in network.populations if on_cores(p)]
    groups = {p.name: np.array([-1]) for p in network.populations}
    count = sum(tilings[p.name].slices for p in lives)
    if auto or count <= free:
        ends = np.cumsum([tilings[p.name].slices for p in lives])
        groups.update((p.name, np.arange(end - tilings[p.name].slices, end)) for p, end in zip(lives, ends, strict=True))
        return groups, count
    shared = _shared(network, chip, tilings)
    most = max(int(at.max()) for at in shared.values()) + 1
    if most > free:
        largest = max(lives, key=lambda p: tilings[p.name].slices)
        alone = tilings[largest.name].slices
        raise FitError(
            f"network on chip {chip.name!r}",
            f"it needs {most:,} cores, {free:,} are there; population {largest.name!r} alone takes {alone:,}",
            'Use board="auto" or a board of more chips, stride the largest layer, or convert with fewer weight_bits',
        )
    return {**groups, **shared}, most


def _shared(network: Network, chip: Chip, tilings: Mapping[str, Tiling]) -> dict[str, Ints]:
    """First fit of slices to shared cores, in order; two slices of one population never share."""
    room = np.zeros((0, len(limits(chip)) + 2), np.int64)
    full = np.array([*limits(chip).values(), chip.core.neuron_configs or 1 << 30, chip.core.synapse_configs or 1 << 30])
    places, demand = dict[str, Ints](), CoreDemand(network, chip)
    for population in (p for p in network.populations if on_cores(p)):
        need = demand.needs(population, tilings[population.name], tilings)
        ones = np.ones_like(need.neurons)
        columns = [*(getattr(need, name) for name in limits(chip)), ones, ones * len(formats(population, network, chip))]
        taken = np.zeros(len(room), np.bool_)
        places[population.name] = np.zeros(len(ones), np.int64)
        for i, row in enumerate(np.stack(columns, axis=1)):
            fits = (room >= row).all(axis=1) & ~taken
            k = int(fits.argmax()) if fits.any() else len(room)
            if k == len(room):
                room, taken = np.vstack([room, full]), np.append(taken, False)
            room[k] -= row
            taken[k] = True
            places[population.name][i] = k
    return places
