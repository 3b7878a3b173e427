"""One network measured on the chip: converted, placed, emulated over labelled samples, and its bill taken apart by layer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting.candidates import on_cores
from neuro.chip.cutting.capabilities import conversion_for
from neuro.chip.cutting.crossbars import for_chip
from neuro.chip.emulator import ChipRun, emulate
from neuro.chip.placing.placement import place
from neuro.chip.spec import Chip
from neuro.errors import AccuracyWarning, ChipError
from neuro.graph import Graph
from neuro.network import Network
from neuro.optimising.prices import MessagePrices, message_prices

SETTLINGS = 8  # conversions at most until thresholds are kept
_KEPT = 0.01  # share by which a threshold may rise and count as kept

if TYPE_CHECKING:
    from converters.pipeline import Conversion


@dataclass(frozen=True, slots=True)
class LayerMeasure:
    """One population on the chip, averages of one inference: messages that it sends, energy (pJ) of synapses into it, of its
    neurons' updates, and of sending; `weights` into it that are stored, those of them that are not zero, and the bits of the
    widest."""

    name: str
    channels: int
    neurons: int
    messages: float
    synapse_pj: float
    update_pj: float
    send_pj: float
    weights: int
    nonzero: int
    weight_bits: int


@dataclass(frozen=True, slots=True)
class Measures:
    """What an inference takes: means over `samples`, energies in pJ, times in ns; `accuracy` is a share of the samples."""

    samples: int
    accuracy: float
    dynamic_pj: float
    energy_pj: float
    latency_ns: float
    messages: float
    synops: float
    updates: float
    steps: int
    cores_used: int
    chips_used: int
    synapse_bits: int
    layers: tuple[LayerMeasure, ...] = ()


def converted(graph: Graph, calibration: NDArray[Any], chip: Chip, how: Mapping[str, Any]) -> Network:
    """The spiking network of a float network, as this chip takes it. how: options of `converters.convert`."""
    return for_chip(_conversion(graph, calibration, chip, how).network, chip)


def settled(graph: Graph, calibration: NDArray[Any], chip: Chip, how: Mapping[str, Any]) -> Graph:
    """The float network with the thresholds that its conversion has: some are raised, so that weights fit their bits. Where
    raising one leaves the weights behind it too few bits, that one is raised next, until a conversion keeps them all."""
    for _ in range(SETTLINGS):
        made = _conversion(graph, calibration, chip, how)
        levels, layers, rose = made.settings.levels, [], False
        for layer in graph.layers:
            unit, before = made.built.units.get(layer.name), layer.options.get("threshold")
            if layer.op == "relu" and unit is not None:
                theta = np.broadcast_to(np.asarray(unit, np.float64).ravel() * levels, layer.shape[:1])
                rose |= before is None or bool((theta > (1 + _KEPT) * before).any())
                layer = replace(layer, options={**layer.options, "threshold": theta.copy(), "levels": levels})
            layers.append(layer)
        graph = graph.relayered(layers)
        if not rose:
            break
    return graph


def _conversion(graph: Graph, calibration: NDArray[Any], chip: Chip, how: Mapping[str, Any]) -> Conversion:
    from converters.pipeline import convert
    from neuro.threads import one_thread

    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)  # every point's accuracy is measured
        return convert(
            graph, calibration, **cast(Any, {"bottlenecks": "folded", **conversion_for(chip, str(how["code"])), **how})
        )


def run_on(network: Network, chip: Chip, x: NDArray[Any]) -> ChipRun:
    """The network placed on as many chips as it needs, and run. Raises ChipError where the chip has no prices."""
    ran = emulate(place(network, chip, board="auto"), x, threads=1)
    for what, known in (("energy", ran.bill.energy_known), ("time", not math.isnan(ran.bill.latency_ns))):
        if not known:
            raise ChipError(f"chip {chip.name!r}", f"no {what} is public for it, so nothing can be saved", "Use another chip")
    return ran


def measures(ran: ChipRun, wanted: NDArray[np.int64], prices: MessagePrices | None = None) -> Measures:
    """The measures of a run; wanted (samples,): the right decisions."""
    run, bill, placement = ran.run, ran.bill, ran.placement
    return Measures(
        samples=run.samples,
        accuracy=float((run.predictions == wanted).mean()),
        dynamic_pj=float(bill.dynamic_pj),
        energy_pj=float(bill.energy_pj),
        latency_ns=float(bill.latency_ns),
        messages=run.messages / run.samples,
        synops=ran.synops / run.samples,
        updates=run.updates / run.samples,
        steps=run.steps,
        cores_used=placement.cores_used,
        chips_used=placement.chips_used,
        synapse_bits=int(placement.fill["synapse_bits"].sum()),
        layers=layers_of(ran, prices or message_prices(ran)),
    )


def messages_of(ran: ChipRun) -> dict[str, NDArray[np.float64]]:
    """Messages (neurons,) that an average inference sends, by population."""
    return {name: np.asarray(sent, np.float64).mean(axis=0).ravel() for name, sent in ran.run.spikes.items()}


def layers_of(ran: ChipRun, prices: MessagePrices) -> tuple[LayerMeasure, ...]:
    """The bill by population, in the order of the network. Sources that the host drives send, and hold no neurons."""
    network, sent = ran.placement.network, messages_of(ran)
    arriving = dict.fromkeys((p.name for p in network.populations), 0.0)
    leaving = {name: float(each @ sent[name]) for name, each in prices.by_neuron.items()}
    for (source, target), each in prices.into.items():
        energy = float(each @ sent[source])
        arriving[target] += energy
        leaving[source] -= energy
    found = []
    for p in network.populations:
        stored = [projection.stored_weights for projection in network.into(p.name)]
        found.append(
            LayerMeasure(
                name=p.name,
                channels=p.shape[0],
                neurons=p.size if on_cores(p) else 0,
                messages=float(sent[p.name].sum()) if p.name in prices.by_neuron else 0.0,
                synapse_pj=arriving[p.name],
                update_pj=prices.update.get(p.name, 0.0) * p.size,
                send_pj=leaving.get(p.name, 0.0),
                weights=sum(w.size for w in stored),
                nonzero=sum(int(np.count_nonzero(w)) for w in stored),
                weight_bits=max((int(np.abs(w).max(initial=0)).bit_length() + 1 for w in stored), default=0),
            )
        )
    return tuple(found)
