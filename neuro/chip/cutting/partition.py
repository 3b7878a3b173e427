"""Populations -> slices that each fit a core: first as few as possible, then more of them where cores are free and both time
and packets are saved. Knows limits; knows nothing of positions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting.candidates import RATE, Candidates, Floats, candidates, in_order, mean_reach, on_cores
from neuro.chip.cutting.demand import CoreDemand
from neuro.chip.cutting.limits import REMEDIES, limits, update_ns
from neuro.chip.cutting.tilings import Tiling, even
from neuro.chip.spec import WATT_NS_IN_PJ, Chip, always_on_w, barrier_ns
from neuro.errors import FitError
from neuro.network import Network, Population

_QUICKER = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)  # times as fast as the tiling with fewest slices
HOPS = 2.0  # that an average packet is taken to travel


@dataclass(frozen=True, slots=True)
class Partition:
    """Tilings of all populations and, by estimate, the busiest core's time (ns) and the energy (pJ) of a step."""

    tilings: dict[str, Tiling]
    slices: int
    work_ns: float
    energy_pj: float


def partition(
    network: Network, chip: Chip, *, rates: Mapping[str, float] | None = None, cores: int | None = None
) -> dict[str, Tiling]:
    """A tiling of every population, such that each slice fits a core. Raises FitError for a neuron that needs more than one.

    rates: messages of a neuron in a step, by population. cores: how many may be used (None: all of the chip's).
    Considered are the tiling with the fewest slices and tilings whose busiest core is faster each time, as long as there are
    cores for them; of those within a tenth of the least energy of a step, the one with the fewest slices is taken. Energies are
    estimates, static power and management included.
    """
    partitioner = Partitioner(network, chip, rates or {})
    plans, most = [partitioner.fewest()], chip.usable_cores if cores is None else cores
    for times in _QUICKER if plans[0].slices <= most else ():
        plan = partitioner.within(plans[0].work_ns / times)
        if plan is None or plan.slices > most:
            break
        plans.append(plan)
    enough = 1.1 * min(plan.energy_pj for plan in plans)
    return min((plan for plan in plans if plan.energy_pj <= enough), key=lambda plan: plan.slices).tilings


def partition_in_order(network: Network, chip: Chip) -> dict[str, Tiling]:
    """For comparison: every population cut as the list of its neurons would be, channels first, into the fewest slices."""
    partitioner = Partitioner(network, chip, {})
    return partitioner.cut_all(lambda population, _: in_order(population.shape))


class Partitioner:
    """Divides the populations of a network into slices that fit the cores of a chip; `rates`: messages of a neuron in a step."""

    def __init__(self, network: Network, chip: Chip, rates: Mapping[str, float]) -> None:
        self.network, self.chip, self.rates = network, chip, rates
        self.demand = CoreDemand(network, chip)
        self.found = {p.name: candidates(network, chip, p, rates) for p in network.populations if on_cores(p)}

    def fewest(self) -> Partition:
        """The fewest slices, counting the cores that the inputs of a population need for the axons that lead to them."""

        def cheapest(population: Population, _: dict[str, Tiling]) -> Iterable[tuple[int, ...]]:
            table = self.found[population.name]
            return _sorted(table, table.slices + table.axons, table.may)

        return self._plan(self.cut_all(cheapest))

    def within(self, work_ns: float) -> Partition | None:
        """The fewest packets, with no core estimated to work longer than `work_ns`; None where that cannot be."""

        def quickest(population: Population, tilings: dict[str, Tiling]) -> Iterable[tuple[int, ...]]:
            table = self.found[population.name]
            quick = np.maximum(table.receive_ns, table.neurons * self._neuron_ns(population, tilings)) <= work_ns * (1 + 1e-9)
            return _sorted(table, table.packets + 1e-6 * table.slices, table.may & quick)

        try:
            return self._plan(self.cut_all(quickest))
        except FitError:
            return None

    def cut_all(self, grids: Callable[[Population, dict[str, Tiling]], Iterable[tuple[int, ...]]]) -> dict[str, Tiling]:
        """The first of each population's grids that fits."""
        network, tilings = self.network, dict[str, Tiling]()
        for population in reversed(network.populations):  # targets first: outgoing axons depend on their tilings
            tilings[population.name] = self._cut(population, tilings, grids)
        for _ in network.populations:  # recurrent projections were counted as one slice; cut again where they are more
            late = [p for p in network.populations if on_cores(p) and not self.demand.fits(p, tilings[p.name], tilings)]
            if not late:
                break
            for population in late:
                tilings[population.name] = self._cut(population, tilings, grids)
        return {p.name: tilings[p.name] for p in network.populations}

    def _cut(
        self,
        population: Population,
        tilings: dict[str, Tiling],
        grids: Callable[[Population, dict[str, Tiling]], Iterable[tuple[int, ...]]],
    ) -> Tiling:
        if not on_cores(population):
            return even(population.shape, [1] * len(population.shape))
        for parts in grids(population, tilings):
            tiling = even(population.shape, parts)
            if self.demand.fits(population, tiling, tilings):
                return tiling
        raise _refusal(self.demand, population, tilings)

    def _neuron_ns(self, population: Population, tilings: Mapping[str, Tiling]) -> float:
        """Time that a core spends on one neuron in a step: its update, and its messages at the population's rate."""
        t, rate = self.chip.time, self.rates.get(population.name, RATE)
        leads = [p for p in self.network.out_of(population.name) if p.target in tilings]
        reached = sum(mean_reach(p, self.network, tilings[p.target]) for p in leads)
        return update_ns(population, self.chip) + rate * ((t.spike or 0.0) + reached * (t.axon_out or 0.0))

    def _plan(self, tilings: dict[str, Tiling]) -> Partition:
        chip, e = self.chip, self.chip.energy
        work, packets, slices = 0.0, 0.0, 0
        for name, table in self.found.items():
            row = int(np.flatnonzero((table.grids == tilings[name].grid).all(axis=1))[0])
            own = float(table.neurons[row]) * self._neuron_ns(self.network[name], tilings)
            work = max(work, own, float(table.receive_ns[row]))
            packets, slices = packets + float(table.packets[row]), slices + tilings[name].slices
        hop = max(e.hop_x or 0.0, e.hop_y or 0.0)
        moving = packets * ((e.axon_out or 0.0) + (e.axon_in or 0.0) + HOPS * hop)
        tiles = -(-slices // chip.mesh.cores_per_tile)
        chips = -(-slices // chip.cores_per_chip)
        power = sum(power_w or 0.0 for power_w in always_on_w(chip, chips).values())
        return Partition(tilings, slices, work, moving + power * (work + barrier_ns(chip, tiles)) * WATT_NS_IN_PJ)


def _sorted(table: Candidates, cost: Floats, may: NDArray[np.bool_]) -> Iterable[tuple[int, ...]]:
    """The grids that may be, cheapest first."""
    for i in np.argsort(cost, kind="stable"):
        if may[i]:
            yield tuple(int(k) for k in table.grids[i])


def _refusal(demand: CoreDemand, population: Population, tilings: Mapping[str, Tiling]) -> FitError:
    chip = demand.chip
    single = demand.needs(population, even(population.shape, population.shape), tilings)
    worst = single.worst(chip)
    limit = max(worst, key=lambda name: worst[name])
    tables, room = population.neuron.table_bits, limits(chip)[limit]
    return FitError(
        f"population {population.name!r} on chip {chip.name!r}",
        f"one neuron needs {int(getattr(single, limit).max()):,} {limit.replace('_', ' ')}, a core has {room:,}",
        "Use tables of fewer entries" if limit == "memory_bits" and tables > room / 2 else REMEDIES[limit],
    )
