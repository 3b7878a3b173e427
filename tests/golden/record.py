"""Golden numbers of the demo, the keyword spotter and one placed network: python tests/golden/record.py [NAME ...].

Counts are compared exactly, so nothing that they rest on may depend on the machine: the demo's trained weights and its
converted network are kept beside the numbers, the spotter is the shipped one, the placed network is drawn from a seed and
placed without floating-point search. Record anew only for a reason, and say it in the commit.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

import converters
import neuro
from neuro.digits.data import load_digits
from neuro.digits.model import digits_cnn, train
from neuro.keywords.spotter import shipped
from neuro.studies.trials import convert_for
from tests.chips import random_inputs, random_network, small

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WEIGHTS, NETWORK = HERE / "digits_weights.safetensors", HERE / "digits_network.safetensors"
CODE, TIMESTEPS, CLIPS = "rate", 16, 12
PACKAGES = ("numpy", "scipy", "numba", "torch", "scikit-learn")


def counted(chip_run: neuro.ChipRun) -> dict[str, Any]:
    """What happened, as integers."""
    run, counts = chip_run.run, chip_run.counts
    return {
        "samples": run.samples,
        "steps": run.steps,
        "spikes": {name: int(spikes.sum()) for name, spikes in run.spikes.items()},
        "synops": run.synops,
        "updates": run.updates,
        "driven": int(counts.driven.sum()),
        "restless": int(counts.restless.sum()),
    }


def placed_counts(chip_run: neuro.ChipRun) -> dict[str, Any]:
    """What placement decides, as integers."""
    counts, placement = chip_run.counts, chip_run.placement
    return {
        "cores": {name: cores.tolist() for name, cores in placement.cores.items()},
        "packets": counts.packets,
        "hops": counts.hops.sum(axis=0).tolist(),
        "heaviest": int(counts.heaviest.max()),
    }


def priced(chip_run: neuro.ChipRun) -> dict[str, float]:
    """What it costs."""
    return {**chip_run.bill.energy_by_part(), "latency_ns": chip_run.bill.latency_ns}


def converted_digits() -> converters.Conversion:
    """The stored weights of the demo, converted again."""
    model = digits_cnn()
    model.load_state_dict(load_file(WEIGHTS))
    return convert_for(neuro.load_chip("loihi2"), model.eval(), load_digits().x_train[:256], CODE, TIMESTEPS)


def demo() -> dict[str, Any]:
    """The stored network of `neuro demo` over its held-out images, channels first on cores in order."""
    network, digits, chip = neuro.Network.load(NETWORK), load_digits(), neuro.load_chip("loihi2")
    chip_run = neuro.emulate(network, neuro.place(network, chip, method="sequential"), digits.x_held_out)
    right = int((chip_run.run.predictions == digits.y_held_out).sum())
    exact = {"right": right, **counted(chip_run), "cores_used": chip_run.placement.cores_used, "packets": chip_run.counts.packets}
    return {"exact": exact, "close": priced(chip_run)}


def keywords() -> dict[str, Any]:
    """The shipped spotter: integers of every size as features, counted; falling and rising tones, heard."""
    spotter, rng = shipped(), np.random.default_rng(0)
    source = spotter.network.sources[0]
    levels = rng.integers(-min(source.neuron.levels, 127), min(source.neuron.levels, 127) + 1, (CLIPS, *spotter_shape(spotter)))
    chip = neuro.load_chip("loihi2")
    placement = neuro.place(spotter.network, chip, method="sequential")
    chip_run = neuro.emulate(spotter.network, placement, levels * (source.neuron.scale or 1))
    heard = spotter.run(tones())
    close = {f"logit {i} of tone {j}": float(heard.logits[j, i]) for j in (0, CLIPS - 1) for i in range(len(spotter.classes))}
    return {"exact": counted(chip_run), "close": {**priced(chip_run), **close}}


def spotter_shape(spotter: Any) -> tuple[int, int]:
    """Shape of one clip's features."""
    return spotter.features.size, spotter.frames


def tones() -> np.ndarray:
    """Clips of a second whose pitch falls or rises."""
    at = np.arange(16_000) / 16_000
    ends = [(200 + 150 * i, 3_000 - 200 * i) for i in range(CLIPS)]
    phases = [2 * np.pi * (low * at + (high - low) * at**2 / 2) for low, high in ends]
    return np.stack([np.rint(8_000 * np.sin(phase)) for phase in phases]).astype(np.int16)


def placed() -> dict[str, Any]:
    """A random network on two chips of small cores, every packet on its own."""
    network = random_network(26)
    chip = small(neurons=30, mesh={"width": 5, "height": 4, "chips_x": 1, "chips_y": 2}, memory_bits=None)
    placement = neuro.place(network, chip, method="sequential")
    chip_run = neuro.emulate(network, placement, random_inputs(network, 8, 26), noc="packet")
    assert chip_run.traffic is not None
    traffic = {"packets_simulated": chip_run.traffic.packets, "hops_simulated": chip_run.traffic.hops}
    return {"exact": {**counted(chip_run), **placed_counts(chip_run), **traffic}, "close": priced(chip_run)}


CASES: dict[str, Callable[[], dict[str, Any]]] = {"demo": demo, "keywords": keywords, "placed": placed}


def provenance() -> dict[str, Any]:
    """Commit, date and versions with which numbers were recorded."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}
    return {"commit": commit, "date": datetime.now(UTC).date().isoformat(), "machine": platform.machine(), "versions": versions}


def main() -> None:
    chosen = sys.argv[1:] or [*CASES]
    if "demo" in chosen:
        save_file(train(load_digits()).state_dict(), WEIGHTS)
        converted_digits().network.save(NETWORK)
    for name in chosen:
        text = json.dumps({"provenance": provenance(), **CASES[name]()}, indent=2)
        (HERE / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
