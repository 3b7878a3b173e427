"""Convert, place, emulate, price, save and load again and again, and watch the memory: python benchmarks/soak.py [--minutes 60].

Prints, as JSON, rounds done, resident memory after the first tenth and at the end, its slope, and open files. Flat means that the
last half of the rounds takes no more than 2 % beyond the first half's most.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np

import converters
import neuro


def model(seed: int) -> neuro.Graph:
    """A small float network with weights of its own, so that no round repeats another."""
    rng = np.random.default_rng(seed)
    conv = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    first, last = rng.standard_normal((8, 1, 3, 3)).astype(np.float32), rng.standard_normal((10, 512)).astype(np.float32) / 16
    return neuro.Graph(
        (
            neuro.Layer("in", "input", (), (1, 8, 8)),
            neuro.Layer("conv", "conv", ("in",), (8, 8, 8), {"weight": first}, conv),
            neuro.Layer("relu", "relu", ("conv",), (8, 8, 8), {}, {"ceiling": None}),
            neuro.Layer("flat", "reshape", ("relu",), (512,)),
            neuro.Layer("out", "linear", ("flat",), (10,), {"weight": last}),
        )
    )


def one_round(number: int, chip: neuro.Chip, folder: Path) -> int:
    """Everything once; the messages that were sent, so that the work cannot be left out."""
    rng = np.random.default_rng(number)
    x = rng.random((64, 1, 8, 8), np.float32)
    code = ("rate", "signed", "wait", "radix", "graded")[number % 5]
    conversion = converters.convert(model(number), x, code=code, timesteps=8)
    conversion.network.save(folder / "net.safetensors")
    network = neuro.Network.load(folder / "net.safetensors")
    placement = neuro.place(network, chip)
    return neuro.emulate(network, placement, x).run.messages


def resident_bytes() -> int:
    """Memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    chip, seen, messages, began = neuro.load_chip("loihi2"), [], 0, time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        while time.monotonic() < began + 60 * options.minutes:
            messages += one_round(len(seen), chip, Path(place))
            gc.collect()
            seen.append(resident_bytes())
    warm = seen[len(seen) // 10 :]
    half = len(warm) // 2
    found = {
        "minutes": round((time.monotonic() - began) / 60, 1),
        "rounds": len(seen),
        "messages": messages,
        "warm_mb": round(warm[0] / 1e6, 1),
        "most_of_first_half_mb": round(max(warm[:half]) / 1e6, 1),
        "most_of_last_half_mb": round(max(warm[half:]) / 1e6, 1),
        "end_mb": round(warm[-1] / 1e6, 1),
        "slope_kb_per_round": round(float(np.polyfit(range(len(warm)), np.array(warm) / 1e3, 1)[0]), 3),
        "open_files": len(list(Path("/proc/self/fd").iterdir())),
        "flat": max(warm[half:]) <= 1.02 * max(warm[:half]),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
