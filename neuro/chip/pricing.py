"""price(counts, chip) -> Bill: counts times prices. Pure; the same counts can be priced by any chip file.

A step takes barrier + management + the longest of: the busiest core's sending, the busiest core's receiving, the network.
Energy parts stay apart, so that the dynamic and the whole-board figure are both there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.bill import Bill, Part, added
from neuro.chip.counts import IN, OUT, SPIKES, SYNOPS, Counts
from neuro.chip.cutting.tilings import Ints
from neuro.chip.spec import ENCODINGS, WATT_NS_IN_PJ, Chip, always_on_w, barrier_ns, neuron_ns
from neuro.sourced import weakest

Floats = NDArray[np.float64]
_UNQUEUED = ('Network: the busiest link and the longest way; queues are not seen (noc="packet" simulates them).',)


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Times (ns) of each timed sample and step, (samples, steps) each; a step takes barrier + management + the longest."""

    barrier: Floats
    management: Floats
    send: Floats
    receive: Floats
    network: Floats
    least: float = 0.0  # of a whole step

    @property
    def work(self) -> Floats:
        """The longest of sending, receiving and the network."""
        longest: Floats = np.maximum(np.maximum(self.send, self.receive), self.network)
        return longest

    @property
    def idle(self) -> Floats:
        """What a step lacks to the shortest one."""
        waited: Floats = np.maximum(self.least - (self.barrier + self.management + self.work), 0.0)
        return waited

    @property
    def total(self) -> Floats:
        """Time of each step."""
        return self.barrier + self.management + self.work + self.idle

    def by_cause(self) -> tuple[tuple[str, float], ...]:
        """Time of an average inference by what the steps waited for; adds up to the latency.

        Of the work, what the busiest core takes counts as sending or receiving, and only what goes beyond it as network.
        """
        cores = np.maximum(self.send, self.receive)
        waits = {
            "send": np.where(self.send >= self.receive, cores, 0),
            "receive": np.where(self.send < self.receive, cores, 0),
            "network": np.maximum(self.network - cores, 0),
        }
        parts = [(name, float(wait.sum(axis=1).mean())) for name, wait in waits.items()]
        fixed = [("barrier", float(self.barrier.sum(axis=1).mean())), ("management", float(self.management.sum(axis=1).mean()))]
        waited = [("shortest step", float(self.idle.sum(axis=1).mean()))] if self.least else []
        return tuple(fixed + parts + waited)


def price(counts: Counts, chip: Chip, *, drained_ns: Floats | None = None) -> Bill:
    """The bill of an average inference. drained_ns (samples, steps): the network's time, where packets were simulated.

    Where a chip's times are all unknown the latency is not a number and no static energy is stated; where its synapses have no
    price, no energy is.
    """
    times = step_times(counts, chip, drained_ns=drained_ns)
    latency = float(times.total.sum(axis=1).mean()) + (chip.time.management_inference or 0.0)
    known = any(getattr(chip.energy, f"synop_{form}") is not None for form in ENCODINGS)
    return Bill(
        target=chip.name,
        parts=tuple(_parts(counts, chip, latency)) if known else (),
        latency_ns=latency or float("nan"),
        throughput_per_s=1e9 / latency if latency else float("nan"),
        precision="spikes",
        basis=_basis(chip, _used_keys(counts, chip)),
        times_ns=(*times.by_cause(), *_host_time(chip)),
        assumptions=(*assumptions(counts, chip), *(_UNQUEUED if drained_ns is None else ())),
        energy_known=known,
    )


def core_times(counts: Counts, chip: Chip) -> tuple[Floats, Floats]:
    """Times (ns) in which each core sends, its neurons included, and receives: (timed samples, steps, rows of counts) each."""
    t, each = chip.time, counts.each
    send: Floats = each[..., SPIKES] * (t.spike or 0.0) + each[..., OUT] * (t.axon_out or 0.0)
    send += counts.updates / counts.samples * neuron_ns(chip)
    for name, counted in _PROGRAM.items():
        send += getattr(counts, counted) / counts.samples * (getattr(t, name) or 0.0)
    send += counts.synaptic_updates / counts.samples * (t.synaptic_update or 0.0)
    send[..., -1] = each[..., -1, OUT] * (t.link_service or 0.0)
    receive = each[..., IN] * (t.axon_in or 0.0)
    for i, form in enumerate(ENCODINGS):
        receive += each[..., SYNOPS + i] * (getattr(t, f"synop_{form}") or 0.0)
    return send, np.asarray(receive, np.float64)


def step_times(counts: Counts, chip: Chip, *, drained_ns: Floats | None = None) -> StepTimes:
    """Times of every timed sample and step."""
    t, shape = chip.time, counts.far.shape[:2]
    send, receive = core_times(counts, chip)
    network = drained_ns if drained_ns is not None else _analytic(counts, chip)
    return StepTimes(
        barrier=np.full(shape, barrier_ns(chip, counts.tiles)),
        management=np.full(shape, t.management_step or 0.0),
        send=send.max(axis=2),
        receive=receive.max(axis=2),
        network=network,
        least=t.step_least or 0.0,
    )


def _analytic(counts: Counts, chip: Chip) -> Floats:
    """The busiest link one packet after the other, then the longest way on an empty mesh."""
    t = chip.time
    busiest = counts.heaviest[..., 0] * (t.link_service or 0.0) / counts.fabrics
    across = counts.heaviest[..., 1] * (t.chip_link_service or t.link_service or 0.0)
    way = counts.far @ np.array([t.hop_x or 0.0, t.hop_y or 0.0, t.chip_link or 0.0])
    any_packet = counts.each[..., OUT].sum(axis=2) > 0
    network: Floats = np.maximum(busiest, across) + way + any_packet * (t.local or 0.0)
    return network


def energy_terms(counts: Counts, chip: Chip) -> tuple[tuple[str, dict[str, Ints]], ...]:
    """Each part of the dynamic energy: its name, and how often each price is paid, by step (steps,), all samples together."""
    synops = {f"energy.synop_{form}": table.sum(axis=1) for form, table in counts.synops.items()}
    changed = counts.restless if chip.energy.update_when == "restless" else counts.driven
    barriers = np.full(counts.steps, counts.chips * counts.samples, np.int64)
    lines: list[tuple[str, dict[str, Ints]]] = [
        ("synapse", synops),
        ("neuron", {"energy.neuron_access": counts.updates.sum(axis=1), "energy.neuron_update": changed}),
        ("spike", {"energy.spike": counts.spikes[:, :-1].sum(axis=1)}),
        ("axon_out", {"energy.axon_out": counts.packets_out[:, :-1].sum(axis=1)}),
        ("axon_in", {"energy.axon_in": counts.packets_in.sum(axis=1)}),
        ("hops", dict(zip(_HOPS, counts.hops.T, strict=True))),
        ("barrier", {"energy.barrier": barriers}),
    ]
    program = {f"energy.{name}": getattr(counts, counted).sum(axis=1) for name, counted in _PROGRAM.items()}
    if any(values.any() for values in program.values()):
        lines.insert(2, ("program", program))
    if counts.synaptic_updates.any():
        lines.insert(1, ("learning", {"energy.synaptic_update": counts.synaptic_updates.sum(axis=1)}))
    return tuple(lines)


def _parts(counts: Counts, chip: Chip, latency: float) -> Iterable[Part]:
    for name, by_step in energy_terms(counts, chip):
        terms = {key: float(values.sum()) for key, values in by_step.items()}
        used = [key for key, count in terms.items() if count]
        unknown = bool(used) and all(chip.value(key) is None for key in used)
        energy = added(float(chip.value(key) or 0.0) * count for key, count in terms.items()) / counts.samples
        yield Part(name, None if unknown else energy, "dynamic", _basis(chip, used))
    if not latency:
        return  # how long the chip is switched on is not known
    for name, power_w in always_on_w(chip, counts.chips).items():
        energy_pj = None if power_w is None else power_w * latency * WATT_NS_IN_PJ
        yield Part(name, energy_pj, name, _basis(chip, [f"power.{name}"]))


_PROGRAM = {"neuron_pass": "passes", "product": "products", "lookup": "lookups"}  # what neuron programs add to an update
_HOPS = ("energy.hop_x", "energy.hop_y", "energy.local", "energy.chip_link")


def _host_time(chip: Chip) -> tuple[tuple[str, float], ...]:
    spent = chip.time.management_inference
    return (("host", spent),) if spent else ()


def _used_keys(counts: Counts, chip: Chip) -> list[str]:
    """The prices that the counts call for."""
    forms = [form for form in ENCODINGS if counts.synops[form].any()]
    operations = [f"synop_{form}" for form in forms] + ["neuron_access", "neuron_update", "spike", "axon_out", "axon_in"]
    hops = [key for key, count in zip(_HOPS, counts.hops.sum(axis=0), strict=True) if count]
    operations += [name for name, counted in _PROGRAM.items() if getattr(counts, counted).any()]
    operations += ["synaptic_update"] if counts.synaptic_updates.any() else []
    names = operations + [key.partition(".")[2] for key in hops]
    keys = [f"energy.{name}" for name in [*names, "barrier"]] + [f"time.{name}" for name in [*names, "local"]]
    keys += ["time.link_service", "time.barrier", "time.management_step", "power.static", "power.management"]
    if chip.time.step_least is not None:  # most chips have no such floor
        keys.append("time.step_least")
    if counts.chips > 1:
        keys += ["energy.chip_link", "time.chip_link", "time.chip_link_service"]
    return list(dict.fromkeys(keys))


def assumptions(counts: Counts, chip: Chip) -> tuple[str, ...]:
    """A sentence for each price that was assumed or is unknown and that the counts call for, and for each simplification."""
    said = []
    for key in _used_keys(counts, chip):
        value, origin = chip.value(key), chip.origin.get(key)
        if value is None:
            said.append(f"{chip.name}: {key} is unknown and counts as nothing.")
        elif origin is not None and origin.basis == "assumed":
            said.append(f"{chip.name}: {key} = {_spelt(value)} {origin.unit} is assumed ({origin.source}).".replace("  ", " "))
    said.append("Time of a core's neurons: each one is taken to change in each step (an upper bound).")
    if len(counts.timed) < counts.samples:
        said.append(f"Latency: mean over {len(counts.timed)} of {counts.samples} samples, evenly spread; energy: over all.")
    return tuple(said)


def _spelt(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _basis(chip: Chip, keys: Iterable[str]) -> str:
    """The weakest basis among some constants, "unknown" if none is known."""
    return weakest(chip.origin[key].basis for key in keys if key in chip.origin and chip.value(key) is not None)
