"""place(network, chip) -> Placement: which core holds which neurons, with every limit kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.chip.ability import check_ability
from neuro.chip.checking import fill, overfull
from neuro.chip.cuts import Cut, Ints
from neuro.chip.limits import limits, needs
from neuro.chip.partition import on_cores, partition
from neuro.chip.spec import Chip
from neuro.chip.wiring import Wires, wire
from neuro.errors import FitError
from neuro.network import Network
from neuro.notebook import Shown, Table


@dataclass(frozen=True, slots=True, repr=False)
class Placement(Shown):
    """A network on a chip: `cuts` divides each population into slices, `cores` says which core holds each slice.

    Cores are numbered tile by tile, row by row over the whole board: core = tile * cores_per_tile + place in the tile.
    """

    network: Network
    chip: Chip
    cuts: Mapping[str, Cut]
    cores: Mapping[str, Ints]
    wires: Mapping[str, Wires]
    seed: int

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
    def fill(self) -> dict[str, Ints]:
        """What each core in use holds, by limit, in the order of `used`; recomputed from the placed tables."""
        return fill(self.network, self.chip, self.cuts, self.cores, self.wires)

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

    def check(self) -> list[str]:
        """Every limit that is broken, recomputed from the placed tables; an empty list when all is well."""
        return overfull(self.network, self.chip, self.cuts, self.cores, self.wires)


def place(network: Network, chip: Chip, *, activity: Any = None, seed: int = 0) -> Placement:
    """Cut a network into slices that fit cores, and give each slice a core.

    activity: a Run whose spikes weigh the traffic (None: all neurons fire alike). seed: of every random choice.
    Raises FitError, naming the population, the limit and what would help, when the network does not fit.
    """
    check_ability(network, chip)
    cuts = partition(network, chip)
    cores = _in_order(network, chip, cuts)
    placement = Placement(network, chip, cuts, cores, wire(network, chip, cuts, cores), seed)
    broken = placement.check()
    if broken:
        raise FitError(f"network on chip {chip.name!r}", broken[0], "Use a larger board, or narrower layers")
    return placement


def usable(chip: Chip) -> Ints:
    """Core numbers that a network may use, tile by tile, chip by chip."""
    mesh = chip.mesh
    tiles_x, tiles_y = mesh.width * mesh.chips_x, mesh.height * mesh.chips_y
    tile = np.arange(tiles_x * tiles_y).reshape(mesh.chips_y, mesh.height, mesh.chips_x, mesh.width)
    by_chip = tile.transpose(0, 2, 1, 3).reshape(chip.chips, -1)
    cores = (by_chip[:, :, None] * mesh.cores_per_tile + np.arange(mesh.cores_per_tile)).reshape(chip.chips, -1)
    return np.ascontiguousarray(cores[:, : cores.shape[1] - mesh.reserved_cores].ravel(), np.int64)


def _in_order(network: Network, chip: Chip, cuts: Mapping[str, Cut]) -> dict[str, Ints]:
    """Slices on cores in the order of the network: a core each while there are enough, else several to a core."""
    lives = [p for p in network.populations if on_cores(p)]
    count, cores = sum(cuts[p.name].slices for p in lives), usable(chip)
    placed = {p.name: np.array([-1]) for p in network.populations}
    if count <= len(cores):
        ends = np.cumsum([cuts[p.name].slices for p in lives])
        placed.update((p.name, cores[end - cuts[p.name].slices : end]) for p, end in zip(lives, ends, strict=True))
        return placed
    places = _shared(network, chip, cuts)
    most = max(int(at.max()) for at in places.values()) + 1
    if most > len(cores):
        largest = max(lives, key=lambda p: cuts[p.name].slices)
        alone = cuts[largest.name].slices
        raise FitError(
            f"network on chip {chip.name!r}",
            f"it needs {most:,} cores, {len(cores):,} are there; population {largest.name!r} alone takes {alone:,}",
            "Use a board of more chips, stride the largest layer, or convert with fewer weight_bits",
        )
    placed.update((name, cores[at]) for name, at in places.items())
    return placed


def _shared(network: Network, chip: Chip, cuts: Mapping[str, Cut]) -> dict[str, Ints]:
    """First fit of slices to shared cores, in order; two slices of one population never share."""
    room: list[NDArray[Any]] = []
    configs: list[int] = []
    places: dict[str, Ints] = {}
    for population in (p for p in network.populations if on_cores(p)):
        need = needs(network, chip, population, cuts[population.name], cuts)
        table = np.stack([getattr(need, name) for name in limits(chip)], axis=1)
        formats = len(network.into(population.name))
        taken: set[int] = set()
        at = np.zeros(len(table), np.int64)
        for i, row in enumerate(table):
            k = next(
                (k for k in range(len(room)) if k not in taken and _fits(room[k], configs[k], row, formats, chip)), len(room)
            )
            if k == len(room):
                room.append(np.array(list(limits(chip).values())))
                configs.append(0)
            room[k] = room[k] - row
            configs[k] += max(1, formats)
            taken.add(k)
            at[i] = k
        places[population.name] = at
    return places


def _fits(room: Any, configs: int, row: Any, formats: int, chip: Chip) -> bool:
    most = min(chip.core.neuron_configs or 1 << 30, chip.core.synapse_configs or 1 << 30)
    return bool((row <= room).all()) and configs + max(1, formats) <= most
