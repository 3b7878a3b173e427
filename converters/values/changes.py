"""Sigma-delta: the same network of values, of which populations send what has changed since receivers last heard.

With a dead zone of 1 every frame is what values would give, bit for bit. A larger one lets receivers know a value to within the
dead zone less one. Sums that grow from frame to frame would stand still where they change by less, so their loops keep 1, and a
copy with a dead zone is what all others read. Where values are taken one a step (dot products, maxima), a relay in front adds the
changes up and sends values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from converters.samples import Given, Samples, spread
from converters.values.cells import Cell, Pick
from converters.values.copies import synapses_of, with_copies, worth_copies
from converters.values.evaluating import values
from neuro.errors import ConversionError
from neuro.network import Network, Population

_SHARES = tuple(0.005 * 2.0 ** (i / 2) for i in range(14))  # of a population's values that dead zones are tried at
_FEWEST_STREAMS = 8  # that judge dead zones
_FRAMES = 1600  # in all that streams are taken for: where 99 % are alike, one can be 95 % sure of 98.5 %
_SYNAPSES = 200_000_000  # times frames, beyond which fewer streams are taken
_CLOSE = 0.1  # of the spread of a single output
_WIDENED = (
    8  # populations with the most synaptic operations whose dead zone is doubled once more, where that is within the budget
)


def with_relays(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells with a relay before each that takes values in turn."""
    relays: dict[str, Cell] = {}
    made: list[Cell] = []
    by_name = {cell.name: cell for cell in cells}
    for cell in cells:
        if cell.kind in ("dot", "largest"):
            for source in cell.sources:
                if source not in relays:
                    relays[source] = _relay(by_name[source])
                    made.append(relays[source])
            ports = tuple(replace(port, source=f"{port.source}.values") for port in cell.ports if isinstance(port, Pick))
            cell = replace(cell, ports=ports)
        made.append(cell)
    return tuple(made)


def _relay(cell: Cell) -> Cell:
    places = np.arange(int(np.prod(cell.layer.shape))).reshape(-1, 1)
    return Cell(f"{cell.name}.values", "relay", cell.layer, (Pick(cell.name, places),), cell.bits, cell.uniform)


def states_of(cells: Sequence[Cell]) -> set[str]:
    """Populations whose loops know them exactly: sums that come back a frame later, and the products that they are sums of."""
    return {cell.name for cell in cells if cell.shares}


def to_changes(network: Network, dead_zones: Mapping[str, int] | None = None, states: Iterable[str] = ()) -> Network:
    """A network of values with frames as one of changes. dead_zones: of populations, 1 unless named.

    states: populations whose dead zone is for those outside their loops, which read a copy then; the loops know them exactly.

    Raises ConversionError for a network without frames, or one in which values that are taken in turn are not relayed.
    """
    zones, kept = dict(dead_zones or {}), set(states)
    network, copies = with_copies(network, sorted(name for name in kept if zones.get(name, 1) > 1), kept)
    zones = {copies.get(name, name): zone for name, zone in zones.items() if name in copies or name not in kept}
    relays = {p.name for p in network.populations if _feeds_turns(network, p)}
    return replace(network, populations=tuple(_changing(p, p.name in relays, zones) for p in network.populations))


def _feeds_turns(network: Network, p: Population) -> bool:
    """Whether a population must send values, as it does where all that it feeds takes them one a step."""
    targets = [network[q.target] for q in network.out_of(p.name)]
    turns = [bool(getattr(t.neuron, "sums", False)) for t in targets]
    if any(turns) and (not all(turns) or p.neuron.is_source):
        raise ConversionError(f"population {p.name!r}", "some of what it feeds takes values in turn", "Put a relay between them")
    return any(turns)


def _changing(p: Population, relay: bool, zones: Mapping[str, int]) -> Population:
    neuron: Any = p.neuron
    zone = int(zones.get(p.name, 1))
    if neuron.is_source:
        if neuron.period is None:
            raise ConversionError(f"population {p.name!r}", "it has no frames", "Convert with frames=True")
        return Population(p.name, p.shape, neuron.changed(emit="change", dead_zone=zone))
    if neuron.is_readout:
        return Population(p.name, p.shape, neuron.changed(changes=True))
    ports = neuron.ports if neuron.sums else tuple("changes" for _ in neuron.ports)
    sent = {} if relay else {"emit": "change", "dead_zone": zone}
    return Population(p.name, p.shape, neuron.changed(ports=ports, **sent))


# Dead zones for a budget


@dataclass(frozen=True, slots=True)
class Budget:
    """Dead zones, the share of so many frames on which the network decides as without them, and synaptic operations of a frame:
    with them, with dead zones of 1, and of values."""

    dead_zones: dict[str, int]
    agreement: float
    synops: float
    lossless_synops: float
    value_synops: float
    frames: int

    @property
    def at_least(self) -> float:
        """The share of all frames like these, with 95 % confidence (Clopper and Pearson, one side), were each drawn by itself:
        frames of one stream are alike, so that less is known than it says."""
        same = round(self.agreement * self.frames)
        return float(betaincinv(same, self.frames - same + 1, 0.05)) if same else 0.0


Count = Callable[[Network, Any], tuple[NDArray[np.floating[Any]], int]]


def choose_dead_zones(network: Network, samples: Given, agreement: float, states: Iterable[str], count: Count) -> Budget:
    """The widest dead zones with which a network of values still decides alike on that share of consecutive frames.

    A dead zone is a share of the root mean square of a population's values, the same share for all; then those with the most
    synaptic operations are doubled where the budget allows. states: populations that have one for those outside their loops only,
    where a copy costs less than it saves; count: logits and synaptic operations of a network on samples.
    """
    some = judging(network, samples)
    truth, value_synops = count(network, some)
    frames = truth.shape[0] * truth.shape[1]
    states = frozenset(states)
    exact = states.difference(worth_copies(network, states))
    sizes = {
        name: float(np.sqrt(np.square(one.astype(np.float64)).mean()))
        for name, one in values(network, some).items()
        if name not in exact and not network[name].neuron.is_readout
    }

    def tried(zones: dict[str, int]) -> tuple[float, int]:
        logits, synops = count(to_changes(network, zones, states), some)
        return alike(truth, logits), synops

    zones: dict[str, int] = {}
    share, lossless = tried(zones)
    best, least = share, lossless
    for part in _SHARES:
        wider = {name: zone for name, size in sizes.items() if (zone := round(part * size)) > 1}
        share, synops = tried(wider)
        if share < agreement:
            break
        if synops < least:
            zones, best, least = wider, share, synops
    for name in sorted(zones, key=lambda name: -_reach(network, name))[:_WIDENED]:
        wider = {**zones, name: 2 * zones[name]}
        share, synops = tried(wider)
        if share >= agreement and synops < least:
            zones, best, least = wider, share, synops
    for name in states.intersection(zones):
        fewer = {other: zone for other, zone in zones.items() if other != name}
        share, synops = tried(fewer)
        if share >= agreement and synops < least:
            zones, best, least = fewer, share, synops
    return Budget(zones, best, least / frames, lossless / frames, value_synops / frames, frames)


def judging(network: Network, samples: Given) -> Given:
    """The streams that judge dead zones, of samples (samples, frames, *shape): 1,600 frames where the network is small, at least
    eight streams."""
    frames = int((next(iter(samples.by_name.values())) if isinstance(samples, Samples) else samples).shape[1])
    affordable = _SYNAPSES // (frames * max(1, synapses_of(network, network.projections)))
    some: Given = spread(samples, max(_FEWEST_STREAMS, min(-(-_FRAMES // frames), affordable)))
    return some


def _reach(network: Network, name: str) -> int:
    return synapses_of(network, network.out_of(name))


def alike(truth: NDArray[Any], found: NDArray[Any]) -> float:
    """The share of frames that are decided alike; of a single output, that are within a tenth of its spread."""
    if truth.shape[-1] > 1:
        return float((truth.argmax(-1) == found.argmax(-1)).mean())
    return float((np.abs(truth - found) <= _CLOSE * (truth.std() or 1.0)).mean())
