"""Every code on one network against its float twin in torch, and small convolutions at several activities.

    python benchmarks/codes.py [--images 64] [--rounds 5] [--only TEXT]

A VGG of six convolutions at 32 x 32 with random weights, about half of whose activations are positive; one thread, processor
seconds. A round times the float network and a run in turn, so what else a machine does slows both; the ratio is the median.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import neuro

CODES = {"graded": 1, "radix": 8, "rate": 16, "signed": 16}


def vgg6(seed: int = 0) -> Any:
    """Six convolutions of 32, 32, 64, 64, 128 and 128 channels, pooled after each two, and a dense layer."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    layers: list[Any] = []
    before = 3
    for channels in (32, 64, 128):
        for _ in range(2):
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        layers.append(nn.AvgPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 10)).eval()


def cpu_s(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def ratios(work: Callable[[], Any], against: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """The median of work / against over rounds, and the least seconds of work."""
    work(), against()
    pairs = [(cpu_s(work), cpu_s(against)) for _ in range(rounds)]
    return statistics.median(a / b for a, b in pairs), min(a for a, _ in pairs)


def code_rows(images: int, rounds: int, only: str) -> Iterator[dict[str, Any]]:
    """Each code in forward passes of the float network."""
    import torch

    import converters

    torch.set_num_threads(1)
    model, x = vgg6(), np.random.default_rng(0).random((images, 3, 32, 32), np.float32)

    def forward() -> None:
        with torch.no_grad():
            model(torch.from_numpy(x))

    for code, steps in CODES.items():
        if only not in code:
            continue
        network = converters.convert(model, x[:16], code=code, timesteps=steps).network
        ratio, seconds = ratios(lambda network=network: neuro.run(network, x, threads=1), forward, rounds)
        run = neuro.run(network, x, threads=1)
        yield {"case": f"VGG-6, {code}", "forward_passes": ratio, "cpu_s": seconds, "synops": run.synops}


def small_convolution(activity: float, seed: int = 0) -> tuple[neuro.Network, np.ndarray]:
    """20 -> 32 channels by 5 x 5 at 12 x 12, fed with a stream of this activity."""
    rng = np.random.default_rng(seed)
    network = neuro.Network(
        (
            neuro.Population("in", (20, 12, 12), neuro.Source(levels=1)),
            neuro.Population("conv", (32, 8, 8), neuro.IntegrateAndFire(2000)),
        ),
        (neuro.Conv2d("in", "conv", rng.integers(-127, 128, (32, 20, 5, 5))),),
    )
    return network, (rng.random((64, 16, 20, 12, 12)) < activity).astype(np.int8)


def small_rows(rounds: int, only: str) -> Iterator[dict[str, Any]]:
    """Deliveries of a small convolution, in synaptic operations a second."""
    from delivery import delivery_seconds

    for activity in (0.02, 0.09, 0.18, 0.27):
        case = f"conv 20 -> 32, {activity:.0%} active"
        if only in case:
            synops, seconds = delivery_seconds(*small_convolution(activity), rounds)
            yield {"case": case, "cpu_s": seconds, "synops": synops, "synops_per_s": synops / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    for row in small_rows(options.rounds, options.only):
        print(f"{row['case']:28} {row['cpu_s'] * 1e3:8.1f} ms {row['synops_per_s'] / 1e9:6.2f} G synops/s", flush=True)
    for row in code_rows(options.images, options.rounds, options.only):
        print(f"{row['case']:28} {row['cpu_s'] * 1e3:8.1f} ms {row['forward_passes']:6.2f} forward passes", flush=True)


if __name__ == "__main__":
    main()
