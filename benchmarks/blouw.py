"""The keyword networks that Blouw et al. measured on Loihi 1, emulated and priced with the fitted profile.

Measured (arXiv 1812.01739 and its logs, github abr/power_benchmarks @fce95c8, summarised in shared/data/kws_blouw): the
spotter 390-256-256-29 needs 46.9 uJ an inference over the idle power after a run and 272 uJ over the idle power after boot, at
296.46 inferences a second; C copies of 10 layers of 256 with random weights add 16.74 uJ a copy (fit over C = 1..10).

Assumed, because nothing was published:
- rates: every neuron fires as Nengo's ensembles do without input (maximum rates 200 to 400 Hz and intercepts -1 to 1, both
  uniform and Nengo's defaults; membrane 20 ms, refractory 1 ms as in the published spotter): 64 Hz on average, one step a ms;
- the random weights, zero on average, do not change the rates; the 390 inputs spike at the same rates, sent by the host;
- the neurons reset to zero (one compartment each), and each layer takes as few cores as it fits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

import neuro
from neuro.chip.spec import Chip, Origin

STEPS = 10
MEASURED_SLOPE_UJ = 16.74
MEASURED_MESH_UJ = 46.9
MEASURED_OVER_BOOT_UJ = 272.0
INFERENCES_PER_S = 296.46
_THRESHOLD = 1 << 20


def idle_rates_hz(neurons: int, rng: np.random.Generator, *, refractory_ms: float = 1.0) -> NDArray[np.float64]:
    """Rates of leaky neurons without input whose maximum rates and intercepts are drawn as Nengo draws them."""
    refractory, membrane = refractory_ms / 1000, 0.02
    highest, intercept = rng.uniform(200, 400, neurons), rng.uniform(-1, 1, neurons)
    gain = (1 - 1 / (1 - np.exp((refractory - 1 / highest) / membrane))) / (intercept - 1)
    above = np.maximum(-gain * intercept, 1e-12)  # bias current above the threshold
    return np.where(intercept < 0, 1 / (refractory + membrane * np.log1p(1 / above)), 0.0)


def layer(name: str, neurons: int, start: int, rng: np.random.Generator, refractory_ms: float) -> neuro.Population:
    """Neurons that fire at such rates, driven by their bias."""
    rates = idle_rates_hz(neurons, rng, refractory_ms=refractory_ms)
    period = np.where(rates > 0, np.rint(1000 / np.maximum(rates, 1e-9)), 0)
    bias = np.where(rates > 0, np.ceil(_THRESHOLD / np.maximum(period, 1)), 0).astype(int)
    phase = (rng.random(neurons) * _THRESHOLD).astype(int)
    neuron = neuro.IntegrateAndFire(_THRESHOLD, "zero", bias=bias, initial_potential=phase, start_step=start)
    return neuro.Population(name, (neurons,), neuron)


def network(copies: int, *, layers: int = 10, seed: int = 0, refractory_ms: float = 1.0) -> neuro.Network:
    """The spotter (no copies), or `copies` of `layers` layers of 256 between its two."""
    rng = np.random.default_rng(seed)
    populations = [neuro.Population("input", (390,), neuro.Source(levels=1))]
    projections: list[neuro.Dense] = []

    def add(name: str, neurons: int, *sources: neuro.Population) -> neuro.Population:
        population = layer(name, neurons, 0, rng, refractory_ms)
        populations.append(population)
        for source in sources:
            weights = rng.integers(-127, 128, (source.size, neurons))  # uniform, as (-0.05, 0.05) in 8 bits
            projections.append(neuro.Dense(source.name, name, weights))
        return population

    first = add("first", 256, populations[0])
    ends = [first] if copies == 0 else []
    for copy in range(copies):
        last = first
        for depth in range(layers):
            last = add(f"copy{copy}.{depth}", 256, last)
        ends.append(last)
    add("second", 256, *ends)
    readout = neuro.Population("characters", (29,), neuro.Readout())
    projections.append(neuro.Dense("second", "characters", rng.integers(-127, 128, (256, 29))))
    return neuro.Network((*populations, readout), tuple(projections), timesteps=STEPS)


def emulated(copies: int, *, samples: int = 20, seed: int = 0, refractory_ms: float = 1.0) -> neuro.ChipRun:
    """Inferences of 10 steps with input spikes at the neurons' rates, on Loihi 1 with fitted prices."""
    net = network(copies, seed=seed, refractory_ms=refractory_ms)
    placement = neuro.place(net, neuro.load_chip("loihi1-nahuku"), method="sequential")
    rng = np.random.default_rng(seed + 1)
    rates = idle_rates_hz(390, rng, refractory_ms=refractory_ms) / 1000
    spikes = (rng.random((samples, STEPS, 390)) < rates).astype(int)
    return neuro.emulate(net, placement, spikes)


def with_host(chip_run: neuro.ChipRun, inferences_per_s: float = INFERENCES_PER_S) -> Chip:
    """The chip with the host's time at the measured speed: what an inference took beyond its steps was input and output."""
    chip = chip_run.placement.chip
    waiting = 1e9 / inferences_per_s - chip_run.bill.latency_ns
    origin = Origin("ns", "measured", "Blouw et al. 2019, logs: inferences a second, less the emulated steps")
    time = replace(chip.time, management_inference=waiting)
    return replace(chip, time=time, origin={**chip.origin, "time.management_inference": origin})


def slope_uj(refractory_ms: float = 1.0, copies: tuple[int, ...] = (1, 2, 4, 6, 8, 10)) -> tuple[float, float, float]:
    """Dynamic energy of a copy, dynamic energy without copies (both uJ an inference), mean rate in spikes a step."""
    runs = [emulated(c, refractory_ms=refractory_ms) for c in copies]
    slope, intercept = np.polyfit(copies, [r.bill.dynamic_pj / 1e6 for r in runs], 1)
    run = runs[-1].run
    fired = [run.spikes[name].mean() / STEPS for name in run.spikes if name.startswith("copy")]
    return float(slope), float(intercept), float(np.mean(fired))
