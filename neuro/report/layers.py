"""The dynamic energy of one inference, population by population. Adds up to the bill's parts; computes no new prices.

Where several populations share a core, what was counted for the core is split by the populations' own totals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuro.chip.counts import own_work
from neuro.chip.cutting.candidates import on_cores
from neuro.chip.cutting.limits import updates
from neuro.chip.emulator import ChipRun

Energies = dict[str, dict[str, float]]


def energy_by_population(chip_run: ChipRun) -> Energies:
    """For each population on the chip: pJ of the synapses that lead into it, of its neurons, of the messages it sends, and of
    what the synapses that lead into it learn, where a network learns."""
    placement, run, counts = chip_run.placement, chip_run.run, chip_run.counts
    chip = placement.chip
    prices = {key: float(chip.value(f"energy.{key}") or 0.0) for key in ("neuron_access", "neuron_update", "spike", "axon_out")}
    synapses = sum(table.sum(axis=0) * float(chip.value(f"energy.synop_{form}") or 0.0) for form, table in counts.synops.items())
    packets = counts.packets_out.sum(axis=0) * prices["axon_out"] + counts.spikes.sum(axis=0) * prices["spike"]
    received, sent = _split(chip_run, np.asarray(synapses), "synops"), _split(chip_run, packets, "messages")
    programmed = np.array([chip.value(f"energy.{name}") or 0.0 for name in ("neuron_pass", "product", "lookup")])
    energies: Energies = {}
    for p in (p for p in placement.network.populations if on_cores(p)):
        mine = run.counts[p.name]
        changed = mine.restless if chip.energy.update_when == "restless" else mine.driven
        neuron = mine.updates.sum() * prices["neuron_access"] + changed.sum() * prices["neuron_update"]
        window = slice(p.neuron.start_step, p.neuron.start_step + p.neuron.active_steps(run.timesteps))
        work = own_work(p, range(len(mine.updates[window])), chip)
        programs = mine.updates[window] @ (programmed @ work)
        energies[p.name] = {
            "synapses": received[p.name] / run.samples,
            "neurons": float(neuron + programs) * updates(p, chip) / run.samples,
            "messages": sent[p.name] / run.samples,
        }
        if placement.network.learns:
            updated = sum(int(run.learning[q.name].sum()) for q in placement.network.into(p.name) if q.rule is not None)
            energies[p.name]["learning"] = updated * float(chip.value("energy.synaptic_update") or 0.0) / run.samples
    return energies


def _split(chip_run: ChipRun, per_core: NDArray[np.float64], counted: str) -> dict[str, float]:
    """What each population's cores hold, shared cores split by the populations' totals of `counted`."""
    placement, counts = chip_run.placement, chip_run.counts
    lives = [p.name for p in placement.network.populations if on_cores(p)]
    weight = np.zeros((len(lives), len(per_core)))
    for i, name in enumerate(lives):
        total = float(getattr(chip_run.run.counts[name], counted).sum())
        weight[i, np.searchsorted(counts.cores[:-1], placement.cores[name])] = total
    whole = weight.sum(axis=0)
    share = np.divide(weight, whole, out=np.zeros_like(weight), where=whole > 0)
    return dict(zip(lives, (share @ per_core).tolist(), strict=True))
