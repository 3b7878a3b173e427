"""The one public run of a Loihi 2 whose network, counts, power and time are all known: PilotNet LIF, emulated on its 74 cores.

Measured (lava-nc/lava-dl @d825ac5, tutorials/lava/lib/dl/netx/pilotnet_snn/benchmark.ipynb: one chip, Oheo Gulch): 10,000 steps,
16 a frame, all state reset every 16 steps, each layer one step after the one before it. Its input cores sent (nearly) no spike:
the run is driven by biases alone and needs no data. Counts per core were read off its plots, as ranges.

Nothing is fitted to this run: static power is a measured figure of it, counts follow from the network, times come from Intel's
script and from Loihi 1, energies from Loihi 1. So every line but the static power is a prediction held against silicon.
The published mapping breaks the memory formula of `loihi2` (conv5 by 5 %); for comparison that limit is lifted.

    python benchmarks/silicon.py [NETWORK.net] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import converters
import neuro
from neuro.chip.placing.given import Row
from neuro.chip.spec import Chip

NETWORK = Path(__file__).parents[2] / "shared" / "data" / "lava_dl" / "pilotnet_lif.net"
FRAME, FRAMES = 16, 11  # steps of a frame; the first frame fills the pipeline and is left out
RUN_STEPS = 10_000
BANDS = {"input0": 16, "conv1": 4, "conv2": 4, "conv3": 8, "conv4": 8, "conv5": 16}  # columns of an image on one core
DENSE_CORES = {"dense7": 12, "dense8": 1, "dense9": 1, "dense10": 1}
SYNOPS_M = {
    "conv2": (1310, 1316),
    "conv3": (1502, 1512),
    "conv4": (525, 529),
    "conv5": (484, 510),
}  # of a full core, over the run
LAST_SYNOPS_M = {"conv2": (419, 435), "conv4": (460, 499), "conv5": (160, 181)}  # of the narrower last core
INPUT_SPIKES_M = (23.8, 25.9)  # of a full conv2 core
DYNAMIC_UJ, STEP_US, STEPS_US = 68.35, 152.85, (201, 107, 181, 125)
STATIC_W, TOTAL_W, FRAME_MJ = 0.232078, 0.679234, 1.661
PRICES = ("loihi2", "loihi1-davies2018", "loihi1-nahuku")  # of the same counts


def published(network: neuro.Network) -> tuple[Row, ...]:
    """The mapping of the run: 13, 25, 13, 3, 3 and 2 cores for input and convolutions, 12, 1, 1 and 1 for the dense layers."""
    rows: list[tuple[str, Any]] = []
    for name, wide in BANDS.items():
        channels, height, width = network[name].shape
        cuts = [*range(0, width, wide), width]
        rows += [(name, ((0, channels), (0, height), band)) for band in pairwise(cuts)]
    for name, parts in DENSE_CORES.items():
        cuts = [round(network[name].size * k / parts) for k in range(parts + 1)]
        rows += [(name, (band,)) for band in pairwise(cuts)]
    return tuple((name, box, core) for core, (name, box) in enumerate(rows))


def chip_of(name: str) -> Chip:
    """A preset; the limits of memory lifted where the published mapping breaks them."""
    chip = neuro.load_chip(name)
    return (
        chip
        if name == "loihi2-oheo"
        else replace(chip, core=replace(chip.core, neurons=8192, synapse_bits=1 << 24, memory_bits=None))
    )


class Emulated:
    """PilotNet on a chip: counts of its cores and what a step takes, once the pipeline is full."""

    def __init__(self, network: neuro.Network, name: str) -> None:
        mapping = published(network)
        self.placement = neuro.place(network, chip_of(name), method="given", mapping=mapping)
        still = np.zeros((1, *network.populations[0].shape), np.int64)
        self.chip_run = neuro.emulate(self.placement, still, timesteps=FRAME * FRAMES)
        self.name, self.counts, self.steps = name, self.chip_run.counts, FRAME * (FRAMES - 1)

    def a_step(self, table: NDArray[np.int64]) -> NDArray[np.float64]:
        """The mean over the counted steps, per core."""
        mean: NDArray[np.float64] = table[FRAME:].mean(axis=0)
        return mean

    def of_core(self, table: NDArray[np.int64], population: str, slice_: int) -> float:
        """Millions over a run as long as the measured one."""
        row = np.searchsorted(self.counts.cores[:-1], self.placement.cores[population][slice_])
        return float(self.a_step(table)[row]) * RUN_STEPS / 1e6

    @property
    def synops(self) -> NDArray[np.int64]:
        total: NDArray[np.int64] = np.sum(list(self.counts.synops.values()), axis=0)
        return total

    @property
    def step_us(self) -> NDArray[np.float64]:
        return np.asarray(self.chip_run.step_times.total[0, FRAME:] / 1e3)


def _row(case: str, metric: str, value: float, unit: str, measured: tuple[float, float] | float) -> dict[str, Any]:
    low, high = measured if isinstance(measured, tuple) else (measured, measured)
    middle = (low + high) / 2
    told = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return {
        "case": case,
        "metric": metric,
        "value": value,
        "unit": unit,
        "against": f"{told}; {100 * (value / middle - 1):+.1f} %",
    }


def rows(path: Path = NETWORK) -> Iterator[dict[str, Any]]:
    """Lines of the table: what was emulated, and against it what was measured, with the error from the middle of its range."""
    network = converters.read_lava_dl(path, reset_interval=FRAME)
    for name in ("loihi2", "loihi2-oheo"):
        found = Emulated(network, name)
        case = "loihi2, as it stood" if name == "loihi2" else name
        dynamic_uj, step_us, chip = _dynamic_uj(found, found.placement.chip), float(found.step_us.mean()), found.placement.chip
        static = (chip.power.static or 0.0) + (chip.power.management or 0.0)
        yield _row(case, "dynamic energy of a step", dynamic_uj, "uJ", DYNAMIC_UJ)
        for prices in PRICES if name == "loihi2-oheo" else ():
            yield _row(
                f"its counts at prices of {prices}", "the same", _dynamic_uj(found, neuro.load_chip(prices)), "uJ", DYNAMIC_UJ
            )
        yield _row(case, "mean step", step_us, "us", STEP_US)
        yield _row(case, "static power", static, "W", STATIC_W)
        yield _row(case, "total power", dynamic_uj / step_us + static, "W", TOTAL_W)
        yield _row(case, "energy of a frame", (dynamic_uj + static * step_us) * FRAME / 1e3, "mJ", FRAME_MJ)
        for population, measured in SYNOPS_M.items():
            yield _row(
                case, f"synops of a {population} core, whole run", found.of_core(found.synops, population, 0), "M", measured
            )
        for population, measured in LAST_SYNOPS_M.items():
            yield _row(case, f"synops of the last {population} core", found.of_core(found.synops, population, -1), "M", measured)
        yield _row(case, "input spikes of a conv2 core", found.of_core(found.counts.packets_in, "conv2", 1), "M", INPUT_SPIKES_M)
        for k, measured_us in enumerate(STEPS_US):
            yield _row(case, f"step {k + 1} of four", float(np.roll(found.step_us, -1)[k::4].mean()), "us", measured_us)


def _dynamic_uj(found: Emulated, chip: Chip) -> float:
    """Of a step; those of the first frame are counted too, whose synops differ by under 1 %."""
    return found.chip_run.price(chip).dynamic_pj / 1e6 / found.chip_run.run.steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", type=Path, default=NETWORK)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = list(rows(arguments.network))
    for row in found:
        sys.stdout.write(f"{row['case']:40} {row['metric']:36} {row['value']:9.4g} {row['unit']:3} measured {row['against']}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
