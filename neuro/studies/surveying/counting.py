"""What one inference of a network costs on a board of chips, added up population by population while `converters` walks it.

Counted exactly, as an engine counts them: messages, synaptic operations, updates, products, look-ups, passes. Estimated: cores
(each population is cut into as few slices as fit, by itself; more cores would be quicker), packets (a message goes to as many
cores as those of its population do on average), hops (two a packet), time (the cores of a population share its work evenly, and
nothing queues).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neuro.chip.counts import own_work
from neuro.chip.cutting.candidates import mean_reach
from neuro.chip.cutting.limits import encoding, limits, update_ns, weight_bits
from neuro.chip.cutting.limits import updates as updates_of
from neuro.chip.cutting.partition import HOPS, Partitioner, partition
from neuro.chip.cutting.tilings import Tiling, even
from neuro.chip.spec import WATT_NS_IN_PJ, Chip, always_on_w, barrier_ns
from neuro.network import Network, Population
from neuro.neurons import Source
from neuro.projections import Sparse

LISTED = 1 << 18  # synapses in lists beyond which one part of a population is cut for all
COUNTED = ("neurons", "synapses", "messages", "synops", "updates", "products", "lookups", "passes")  # whole numbers, exact


@dataclass(frozen=True, slots=True)
class Work:
    """Of one population in one inference: exact counts by name, synaptic operations by the form of their storage, cores, packets
    into it, outgoing axons of those that it reads, steps (first, number), time (ns) of a core in a step, its longest delay."""

    name: str
    counts: Mapping[str, int]
    forms: Mapping[str, int]
    cores: int
    packets: float
    out_axons: Mapping[str, float]
    steps: tuple[int, int]
    core_ns: float
    delay: int


class Sizing:
    """Cores of populations on a chip; populations of the same form are cut once."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self._known: dict[Any, tuple[int, tuple[float, ...]]] = {}

    def of(self, network: Network) -> tuple[int, tuple[float, ...]]:
        """Slices of the last population of a network, and how many of them a neuron reaches through each projection."""
        target = network.populations[-1]
        forms = tuple(
            (type(p), p.count(network[p.source].shape, target.shape), weight_bits(p, self.chip), p.delay, p.port)
            for p in network.projections
        )
        shapes = tuple(p.shape for p in network.populations)
        key = shapes, target.neuron.state_words, target.neuron.table_bits, forms
        if key not in self._known:
            part, times = _one_part(network)
            tiling = _fewest(part, self.chip)
            reach = tuple(mean_reach(p, part, tiling) for p in part.projections)
            if times > 1:  # of what the whole population is read by, not only its first part
                whole = [p.count(network[p.source].shape, target.shape) / network[p.source].size for p in network.projections]
                reach = tuple(min(tiling.slices * times, fan_out) for fan_out in whole)
            self._known[key] = tiling.slices * times, reach
        return self._known[key]


def _fewest(network: Network, chip: Chip) -> Tiling:
    """The tiling of the last population with the fewest slices that fit. Of lists of synapses, which take long to weigh, one
    that bisection finds: nearly the fewest."""
    partitioner, target = Partitioner(network, chip, {}), network.populations[-1]
    table = partitioner.found[target.name]
    order = np.lexsort((table.neurons, table.slices))
    grids = [even(target.shape, [int(k) for k in table.grids[i]]) for i in order if table.may[i]]
    first = _bisected if all(isinstance(p, Sparse) for p in network.projections) else _scanned
    at = first(len(grids), lambda i: partitioner.demand.fits(target, grids[i], {}))
    if at is not None:
        return grids[at]
    return partition(network, chip)[target.name]  # which says what does not fit


def _scanned(count: int, fits: Callable[[int], bool]) -> int | None:
    return next((i for i in range(count) if fits(i)), None)


def _bisected(count: int, fits: Callable[[int], bool]) -> int | None:
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return low if low < count and fits(low) else None


def _one_part(network: Network) -> tuple[Network, int]:
    """The network with sources that the host drives; of long lists only those into the first of several parts of the target, and
    of its sources only what these read."""
    target = network.populations[-1]
    sources = [_driven(p.name, p.shape) for p in network.populations[:-1]]
    listed = sum(p.count(network[p.source].shape, target.shape) for p in network.projections)
    parts = target.shape[0] if len(target.shape) == 3 else 1
    lists = [p for p in network.projections if isinstance(p, Sparse)]
    if parts == 1 or len(lists) < len(network.projections) or listed < LISTED:
        return Network((*sources, target), network.projections, timesteps=1), 1
    size = target.size // parts
    neuron: Any = target.neuron
    arrays = {
        name: value[:1] for name in neuron.per_neuron if np.ndim(value := getattr(neuron, name)) == 3 and len(value) == parts
    }
    one = Population(target.name, (1, *target.shape[1:]), neuron.changed(**arrays) if arrays else neuron)
    first = [_into_first(p, size) for p in lists]
    sources = [_driven(p.name, (p.size,)) for p in sources]
    for source in sources:
        reading = [p.weights[0] for p in first if p.source == source.name]
        used = np.zeros(source.size, np.bool_)
        for pre in reading:
            used[pre] = True
        if used.any():
            place = np.cumsum(used) - 1
            first = [replace(p, weights=(place[p.weights[0]], *p.weights[1:])) if p.source == source.name else p for p in first]
            sources = [_driven(p.name, (int(used.sum()),)) if p.name == source.name else p for p in sources]
    return Network((*sources, one), tuple(first), timesteps=1), parts


def _driven(name: str, shape: tuple[int, ...]) -> Population:
    return Population(name, shape, Source("once", levels=127))


def _into_first(p: Sparse, size: int) -> Sparse:
    pre, post, weight = p.weights
    kept = post < size
    return replace(p, weights=(pre[kept], post[kept], weight[kept]))


def work_of(network: Network, sent: Mapping[str, Any], steps: tuple[int, int], synops: Sequence[int], sizing: Sizing) -> Work:
    """What the last population of a network does for one sample. sent: what each population sends, (*shape); steps: its first and
    their number; synops: synaptic operations of each projection."""
    chip, p = sizing.chip, network.populations[-1]
    on_chip, each = p.neuron.on_chip, {name: int(np.count_nonzero(value)) for name, value in sent.items()}
    messages = 0 if p.neuron.is_readout else each[p.name]
    forms: Counter[str] = Counter()
    for projection, count in zip(network.projections, synops, strict=True):
        forms[encoding(projection, chip)] += count
    program = own_work(p, range(steps[1]), chip).sum(axis=1) if on_chip else np.zeros(3, np.int64)
    counts = {
        "neurons": p.size * on_chip,
        "synapses": sum(q.count(network[q.source].shape, p.shape) for q in network.projections),
        "messages": messages,
        "synops": sum(forms.values()),
        "updates": p.size * steps[1] * updates_of(p, chip) if on_chip else 0,
        **{name: int(p.size * value) for name, value in zip(("passes", "products", "lookups"), program, strict=True)},
    }
    cores, reach = sizing.of(network) if on_chip else (0, ())
    heard = [each[q.source] for q in network.projections] if on_chip else []
    packets = sum(n * times for n, times in zip(heard, reach, strict=True))
    axons = (
        {q.source: network[q.source].size * times for q, times in zip(network.projections, reach, strict=True)} if on_chip else {}
    )
    t = chip.time
    receiving = packets * (t.axon_in or 0.0) + sum(n * (getattr(t, f"synop_{form}") or 0.0) for form, n in forms.items())
    sending = p.size * steps[1] * update_ns(p, chip) if on_chip else 0.0
    core_ns = max(receiving, sending + messages * (t.spike or 0.0)) / max(cores, 1) / max(steps[1], 1)
    delay = max((q.delay for q in network.projections), default=0)
    return Work(p.name, counts, dict(forms), cores, packets, axons, steps, core_ns, delay)


@dataclass(frozen=True, slots=True)
class Total:
    """All populations of a network in one inference: exact counts, cores, packets, energy (pJ), dynamic and all, latency (ns);
    interval_ns: from inference to inference where they follow one another, the busiest step."""

    counts: Mapping[str, int]
    cores: int
    chips: int
    packets: float
    dynamic_pj: float
    energy_pj: float
    latency_ns: float
    interval_ns: float
    steps: int
    longest_delay: int


def total(works: Iterable[Work], chip: Chip, times: int = 1) -> Total:
    """The sum over populations; `times`: so many such networks one behind the other."""
    works = list(works)
    counts = {name: times * sum(work.counts[name] for work in works) for name in COUNTED}
    forms: Counter[str] = Counter()
    for work in works:
        forms.update(work.forms)
    axons: Counter[str] = Counter()
    for work in works:
        axons.update({name: round(n) for name, n in work.out_axons.items()})
    cores = times * sum(max(work.cores, _for_axons(axons[work.name], chip)) if work.cores else 0 for work in works)
    packets = times * sum(work.packets for work in works)
    e = chip.energy
    paid = (
        *((times * n, getattr(e, f"synop_{form}")) for form, n in forms.items()),
        (counts["updates"], e.neuron_access), (counts["updates"], e.neuron_update), (counts["passes"], e.neuron_pass),
        (counts["products"], e.product), (counts["lookups"], e.lookup), (counts["messages"], e.spike),
        (packets, e.axon_out), (packets, e.axon_in), (HOPS * packets, max(e.hop_x or 0.0, e.hop_y or 0.0)),
    )  # fmt: skip
    dynamic = sum(n * (price or 0.0) for n, price in paid)
    busiest: dict[int, float] = defaultdict(float)
    for work in works:
        for step in range(work.steps[0], sum(work.steps)):
            busiest[step] = max(busiest[step], work.core_ns)
    barrier = barrier_ns(chip, -(-cores // chip.mesh.cores_per_tile)) + (chip.time.management_step or 0.0)
    steps = max(busiest, default=0) + 1
    latency = times * (steps * barrier + sum(busiest.values())) + (chip.time.management_inference or 0.0)
    interval = barrier + max(busiest.values(), default=0.0)
    chips = -(-cores // (chip.cores_per_chip - chip.mesh.reserved_cores))
    power = sum(power_w or 0.0 for power_w in always_on_w(chip, chips).values())
    everything, longest = dynamic + power * latency * WATT_NS_IN_PJ, max((work.delay for work in works), default=0)
    return Total(counts, cores, chips, packets, dynamic, everything, latency, interval, times * steps, longest)


def _for_axons(axons: float, chip: Chip) -> int:
    """Cores that the outgoing axons of a population fill by themselves."""
    room = limits(chip).get("out_axons")
    bits = axons * (chip.core.out_axon_bits or 0) / chip.core.memory_bits if chip.core.memory_bits else 0.0
    return int(np.ceil(max(bits, axons / room if room else 0.0)))
