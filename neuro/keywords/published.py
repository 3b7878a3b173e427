"""The published keyword comparison (Blouw et al. 2019) re-made: the measurements, and what our models say of the same network.

Machines are predicted by models fitted without their own family; Loihi by emulating a network of the same shape. Its weights
are random, as in the paper's scaling runs: the originals carry no licence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.bill import Bill
from neuro.chip.emulator import emulate
from neuro.chip.files import load_chip
from neuro.chip.placing.placement import place
from neuro.errors import UsageError
from neuro.machines.calibration import held_out
from neuro.machines.points import PublishedPoint, setting_of, shipped_points
from neuro.machines.prediction import Observation, observations

WORKLOAD = "KWS 390-256-256-29"
CHIP = "loihi1-nahuku"
STEPS = 10  # an inference, in the paper's scaling runs
_MJ = 1e9  # in pJ


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One device at one batch: inferences a second and dynamic energy (pJ), measured and predicted (None: no model)."""

    device: str
    batch: int
    measured_per_s: float
    predicted_per_s: float | None
    measured_dynamic_pj: float
    predicted_dynamic_pj: float | None
    measured_total_pj: float

    @property
    def speed_error(self) -> float | None:
        return None if self.predicted_per_s is None else self.predicted_per_s / self.measured_per_s - 1

    @property
    def energy_error(self) -> float | None:
        return None if self.predicted_dynamic_pj is None else self.predicted_dynamic_pj / self.measured_dynamic_pj - 1


@dataclass(frozen=True, slots=True)
class LoihiEnergy:
    """Loihi's energy per inference (pJ), the mesh and the management processors apart.

    `mesh` by part and `least`, `most`: no neuron and every neuron firing at every step. `management`: its power over the
    measured time of an inference, which the host's input and output set. Measured: over the idle after a run (an upper bound
    on the mesh), over the idle from boot (the published figure), and all of it.
    """

    mesh: tuple[tuple[str, float], ...]
    least_pj: float
    most_pj: float
    management_pj: float
    step_time_ns: float
    spikes: float
    synops: float
    measured_after_run_pj: float
    measured_from_boot_pj: float
    measured_total_pj: float

    @property
    def mesh_pj(self) -> float:
        return sum(energy for _, energy in self.mesh)

    @property
    def predicted_from_boot_pj(self) -> float:
        return self.mesh_pj + self.management_pj


@dataclass(frozen=True, slots=True)
class Published:
    """The table, Loihi's energy in parts, and when "100 times" holds."""

    rows: tuple[PublishedRow, ...]
    loihi: LoihiEnergy
    verdict: tuple[str, ...]


def published(points: Sequence[PublishedPoint] | None = None) -> Published:
    """The whole comparison, from the measurements shipped with the package."""
    known = points or shipped_points()
    ours = [p for p in known if p.workload == WORKLOAD and p.energy_kind == "dynamic"]
    chips = [p for p in known if p.workload == WORKLOAD and p.device.startswith("Loihi")]
    if not ours or len(chips) < 2:
        raise UsageError("published table", "the points do not hold its rows", "Pass measured.csv as shipped")
    loihi = _loihi_energy(chips)
    rows = [_loihi_row(ours, loihi), *_machine_rows(ours, observations(known)[0])]
    return Published(tuple(rows), loihi, _verdict(rows))


def _machine_rows(points: Sequence[PublishedPoint], everything: Sequence[Observation]) -> list[PublishedRow]:
    mine = [o for o in everything if o.point.workload == WORKLOAD]
    said: dict[str, dict[str, float]] = {}
    for observation, value in zip(mine, held_out(mine, everything, {}), strict=True):
        said.setdefault(observation.point.id, {})[observation.quantity] = value
    rows = []
    for point in (p for p in points if not p.device.startswith("Loihi")):
        numbers, batch = said.get(point.id, {}), setting_of(point).batch
        speed = numbers.get("throughput", 1e3 * batch / numbers["latency"] if "latency" in numbers else None)
        energy = numbers["dynamic energy"] * _MJ if "dynamic energy" in numbers else None
        rows.append(PublishedRow(point.device, batch, _speed(point), speed, _energy(point), energy, _total(point)))
    return sorted(rows, key=lambda row: (row.device, row.batch))


def _loihi_row(points: Sequence[PublishedPoint], loihi: LoihiEnergy) -> PublishedRow:
    point = next(p for p in points if p.device.startswith("Loihi"))
    return PublishedRow(point.device, 1, _speed(point), None, _energy(point), loihi.predicted_from_boot_pj, _total(point))


def _loihi_energy(points: Sequence[PublishedPoint]) -> LoihiEnergy:
    dynamic = next(p for p in points if p.energy_kind == "dynamic")
    after = next(p for p in points if p.energy_kind != "dynamic")
    chip = load_chip(CHIP)
    bill, spikes, synops, least, most = _emulated()
    return LoihiEnergy(
        mesh=tuple((part.name, part.energy_pj) for part in bill.parts if part.kind == "dynamic" and part.energy_pj is not None),
        least_pj=least,
        most_pj=most,
        management_pj=(chip.power.management or 0.0) / _speed(dynamic) * 1e12,
        step_time_ns=bill.latency_ns / STEPS,
        spikes=spikes,
        synops=synops,
        measured_after_run_pj=_energy(after),
        measured_from_boot_pj=_energy(dynamic),
        measured_total_pj=_total(dynamic),
    )


def _emulated() -> tuple[Bill, float, float, float, float]:
    """Bill, spikes and synops an inference of the same shape with random weights; the bounds of its mesh energy (pJ)."""
    import converters
    from neuro.keywords.model import build

    samples = np.random.default_rng(0).standard_normal((64, 26, 15)).astype(np.float32)
    made = converters.convert(build("multilayer", 26, 15, 29, 0), samples, code="rate", timesteps=STEPS, input="spikes")
    chip = load_chip(CHIP)
    ran = emulate(place(made.network, chip), samples)
    updates = float(ran.counts.updates.sum()) / len(samples)
    access, update = chip.energy.neuron_access or 0.0, chip.energy.neuron_update or 0.0
    synapse = (
        next(part.energy_pj or 0.0 for part in ran.bill.parts if part.name == "synapse") * len(samples) / max(1, ran.run.synops)
    )
    every = updates * (access + update + (chip.energy.spike or 0.0)) + made.network.synapses * STEPS * synapse
    return ran.bill, ran.run.messages / len(samples), ran.run.synops / len(samples), updates * access, every


def _verdict(rows: Sequence[PublishedRow]) -> tuple[str, ...]:
    """When the chip takes a hundredth of the energy, and when it does not; every number from the measured columns."""
    chip = rows[0]
    ratio = {(r.device, r.batch): r.measured_dynamic_pj / chip.measured_dynamic_pj for r in rows}
    gpu = max((r for r in rows if "K4000" in r.device and r.batch == 1), key=lambda r: r.measured_dynamic_pj)
    big = max((r for r in rows if r.device == gpu.device), key=lambda r: r.batch)
    best = min(ratio, key=lambda key: ratio[key])
    return (
        f'"100 times less energy" holds for one inference at a time against {gpu.device}, a card of 2013: '
        f"{ratio[gpu.device, 1]:.0f} times, dynamic energy over the idle from boot.",
        f"At batch {big.batch} the same card takes {ratio[big.device, big.batch]:.1f} times the chip's energy; "
        f"{best[0]} at batch {best[1]} takes {ratio[best]:.2f} times, so "
        + ("it wins." if ratio[best] < 1 else "the chip still wins."),
        f"With idle power counted the chip takes {chip.measured_total_pj / 1e6:.0f} µJ, the card at batch 1 "
        f"{gpu.measured_total_pj / chip.measured_total_pj:.0f} times that.",
    )


def _speed(point: PublishedPoint) -> float:
    return _known(point.throughput_per_s, point)


def _energy(point: PublishedPoint) -> float:
    return _known(point.energy_mj, point) * _MJ


def _total(point: PublishedPoint) -> float:
    """Everything the device drew while it ran, idle included, per inference (pJ)."""
    return _known(point.power_w, point) / _speed(point) * 1e12


def _known(value: float | None, point: PublishedPoint) -> float:
    if value is None:
        raise UsageError(f"point {point.id!r}", "a number is blank", "Pass measured.csv as shipped")
    return value


def to_rows(found: Published) -> list[dict[str, Any]]:
    """The rows as dictionaries, ready for JSON."""
    names = ("device", "batch", "measured_per_s", "predicted_per_s", "measured_dynamic_pj", "predicted_dynamic_pj")
    errors = ("measured_total_pj", "speed_error", "energy_error")
    return [{name: getattr(row, name) for name in (*names, *errors)} for row in found.rows]
