"""What the engine and the packet network take beside a large run: sessions, small runs, recurrent networks, cycles, packing,
packets, placing, codes.

Cases of `benchmarks/whole_job.py`, each in a process of its own; every function returns processor seconds of one thread.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import recurrent

import neuro

Found = dict[str, float]
CODES = {"graded": 1, "radix": 8, "rate": 16, "signed": 16}


def cpu_s(work: Callable[[], Any], rounds: int = 5) -> float:
    """Processor seconds of the best of some rounds, after one that is not counted."""
    work()
    found = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def layers() -> neuro.Network:
    """20 sources, 50 neurons that fire, 50 that are read."""
    rng = np.random.default_rng(0)
    return neuro.Network(
        (
            neuro.Population("in", (20,), neuro.Source(levels=1)),
            neuro.Population("a", (50,), neuro.IntegrateAndFire(100)),
            neuro.Population("out", (50,), neuro.Readout()),
        ),
        (
            neuro.Dense("in", "a", rng.integers(-50, 60, (20, 50))),
            neuro.Dense("a", "out", rng.integers(-50, 60, (50, 50))),
        ),
    )


def session_step() -> Found:
    """One step of a session with 100 neurons."""
    session, frames = neuro.open_session(layers()), np.random.default_rng(1).integers(0, 2, (64, 20))
    return {"cpu_s": cpu_s(lambda: [session.step(frame) for frame in frames], 20) / len(frames)}


def fixed_cost() -> Found:
    """A run of one sample through 100 neurons, 16 steps."""
    network, inputs = layers(), np.random.default_rng(1).integers(0, 2, (1, 16, 20))
    return {"cpu_s": cpu_s(lambda: [neuro.run(network, inputs, threads=1) for _ in range(20)], 10) / 20}


def leaky(decay: int = 400) -> neuro.CubaLif:
    return neuro.CubaLif(current_decay=decay, voltage_decay=200, threshold=300)


def in_turns(name: str) -> Found:
    """A recurrent network of `benchmarks/recurrent.py`, with how many times as fast it is as others."""
    row = recurrent.measured(name, recurrent.CASES[name](), rounds=5)
    return {"cpu_s": row["seconds"], **row["times"]}


def cycle(threads: int) -> Found:
    """One step of two populations of 20 neurons that drive each other."""
    ones = np.ones((20, 20), int)
    network = neuro.Network(
        (
            neuro.Population("in", (20,), neuro.Source(levels=1)),
            neuro.Population("a", (20,), leaky()),
            neuro.Population("b", (20,), leaky()),
        ),
        (neuro.Dense("a", "b", ones), neuro.Dense("b", "a", ones), neuro.OneToOne("in", "a", 200)),
    )
    inputs = np.zeros((1, 2000, 20), np.int8)
    return {"cpu_s": cpu_s(lambda: neuro.run(network, inputs, threads=threads)) / 2000}


def packing() -> Found:
    """80,000 neurons with 13 million listed synapses in no order: the network made, and packed at its first step."""
    rng, n, k = np.random.default_rng(0), 80_000, 13_000_000
    parts = rng.integers(0, n, k).astype(np.int32), rng.integers(0, n, k).astype(np.int32), rng.integers(-9, 10, k)

    def made(synapses: Any) -> None:
        network = neuro.Network(
            (neuro.Population("in", (n,), neuro.Source(levels=1)), neuro.Population("a", (n,), leaky())),
            (neuro.Sparse("a", "a", synapses), neuro.OneToOne("in", "a", 100)),
        )
        neuro.run(network, np.zeros((1, 1, n), np.int8), threads=1)

    made(tuple(part[:1000] for part in parts))
    began = time.process_time()
    made(parts)
    return {"cpu_s": time.process_time() - began}


def packet() -> Found:
    """One packet on a mesh of 8 x 16 tiles with 4 cores each and two fabrics, about 8 links far."""
    from neuro.chip.packets.grid import Grid, Packets
    from neuro.chip.packets.noc import drain

    rng, ports, steps, each = np.random.default_rng(0), 8 * 16 * 4, 40, 2000
    grid = Grid(8, 16, 4, 2, 16, 8, 16, 100, 120, 100, 0, 100, 30)
    shape = (steps, each)
    ready = np.sort(rng.integers(0, 200_000, shape), axis=1).ravel()
    packets = Packets(
        np.arange(steps + 1) * each, np.sort(rng.integers(0, ports, shape), axis=1).ravel(),
        rng.integers(0, ports, steps * each), ready, rng.integers(10, 300, steps * each),
    )  # fmt: skip
    return {"cpu_s": cpu_s(lambda: drain(grid, packets)) / (steps * each)}


def placing() -> Found:
    """MobileNet of 462,056 neurons on chips as many as it needs, the second time in a process."""
    from chip_networks import mobilenet

    chip = neuro.load_chip("loihi2")
    neuro.place(mobilenet(), chip, board="auto")
    network = mobilenet()
    began = time.process_time()
    neuro.place(network, chip, board="auto")
    return {"cpu_s": time.process_time() - began}


def vgg6(maxima: bool) -> Any:
    """Six convolutions of 32, 32, 64, 64, 128 and 128 channels, pooled after each two, and a dense layer; random weights."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    parts: list[Any] = []
    before = 3
    for channels in (32, 64, 128):
        for _ in range(2):
            parts += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        parts.append(nn.MaxPool2d(2) if maxima else nn.AvgPool2d(2))
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(128 * 16, 10)).eval()


def in_passes(work: Callable[[], Any], model: Any, x: np.ndarray, rounds: int) -> Found:
    """Processor seconds, also in forward passes of the float network in torch, each timed right after the work."""
    import torch

    def forward() -> None:
        with torch.no_grad():
            model(torch.from_numpy(x))

    runs, passes = [], []
    for _ in range(rounds + 1):
        for one, found in ((work, runs), (forward, passes)):
            began = time.process_time()
            one()
            found.append(time.process_time() - began)
    return {"cpu_s": min(runs[1:]), "passes": statistics.median(a / b for a, b in zip(runs[1:], passes[1:], strict=True))}


def quantised(images: int = 64, rounds: int = 5) -> Found:
    """VGG-6 at 32 x 32 evaluated without an engine."""
    import torch

    import converters
    from converters.quantised import evaluate

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model, x = vgg6(True), np.random.default_rng(0).random((images, 3, 32, 32), np.float32)
    network = converters.convert(model, x[:8], code="graded", timesteps=1).network
    return in_passes(lambda: evaluate(network, x), model, x, rounds)


def code(name: str, maxima: bool, images: int = 64, rounds: int = 5) -> Found:
    """VGG-6 at 32 x 32 in a code."""
    import torch

    import converters

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model, x = vgg6(maxima), np.random.default_rng(0).random((images, 3, 32, 32), np.float32)
    network = converters.convert(model, x[:8], code=name, timesteps=CODES[name]).network
    return in_passes(lambda: neuro.run(network, x, threads=1), model, x, rounds)


CASES: dict[str, Callable[[], Found]] = {
    "a session's step, 100 neurons": session_step,
    "a run's fixed cost": fixed_cost,
    **{f"recurrent, {name}": (lambda name=name: in_turns(name)) for name in recurrent.CASES},
    "a cycle's step, one thread": lambda: cycle(1),
    "a cycle's step, two threads": lambda: cycle(2),
    "13 million listed synapses, made and packed": packing,
    "a packet": packet,
    "placing 462,056 neurons": placing,
    "VGG-6 with maxima, 64 images, evaluated without an engine": quantised,
    **{f"run VGG-6, 64 images, {name}": (lambda name=name: code(name, False)) for name in CODES},
    **{f"run VGG-6 with maxima, 64 images, {name}": (lambda name=name: code(name, True)) for name in CODES},
}
