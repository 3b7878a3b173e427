"""Small chips and random networks for the chip tests."""

import dataclasses

import numpy as np

import neuro
from neuro.chip.spec import Chip


def small(name: str = "loihi2", *, mesh=None, energy=None, time=None, neuron=None, **core) -> Chip:
    """A preset with some fields replaced."""
    chip = neuro.load_chip(name)
    origin = dict(chip.origin)
    parts = {"core": core, "mesh": mesh or {}, "energy": energy or {}, "time": time or {}, "neuron": neuron or {}}
    for section, changes in parts.items():
        origin.update({f"{section}.{key}": chip.origin["mesh.width"] for key in changes})
    sections = {name: dataclasses.replace(getattr(chip, name), **changes) for name, changes in parts.items()}
    return dataclasses.replace(chip, **sections, origin=origin)


def random_network(seed: int) -> neuro.Network:
    """A few populations, one- or three-dimensional, joined by every kind of projection, some recurrent or delayed."""
    rng = np.random.default_rng(seed)
    channels, height, width = (int(n) for n in rng.integers((1, 3, 3), (5, 9, 9)))
    code = str(rng.choice(["held", "rate", "signed", "radix"]))
    source = neuro.Source(code, levels=7, digits=3 if code == "radix" else 0)
    kernel, stride, padding = int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(rng.integers(0, 2))
    out = int(rng.integers(1, 4)) * channels
    groups = channels if rng.random() < 0.4 else 1
    side = [(n + 2 * padding - kernel) // stride + 1 for n in (height, width)]
    fire = neuro.IntegrateAndFire(int(rng.integers(20, 200)), bias=int(rng.integers(0, 9)), start_step=1)
    populations = [
        neuro.Population("in", (channels, height, width), source),
        neuro.Population("conv", (out, *side), fire),
        neuro.Population("list", (int(rng.integers(1, 40)),), neuro.CubaLif(4095, 64, int(rng.integers(1, 60)), start_step=2)),
        neuro.Population("skip", (out, *side), neuro.IntegrateAndFire(3, start_step=int(rng.integers(0, 4)))),
        neuro.Population("end", (5,), neuro.Readout(start_step=3)),
    ]
    size, listed = populations[1].size, populations[2].size
    pairs = int(rng.integers(1, 5 * listed))
    triple = tuple(rng.integers(low, high, pairs) for low, high in ((0, size), (0, listed), (-9, 30)))
    weights = rng.integers(-127, 128, (out, channels // groups, kernel, kernel))
    projections = [
        neuro.Conv2d("in", "conv", weights, stride, padding, groups=groups, delay=int(rng.integers(1, 3))),
        neuro.Sparse("conv", "list", triple),
        neuro.Dense("list", "list", rng.integers(-20, 20, (listed, listed)), delay=2),
        neuro.OneToOne("conv", "skip", rng.integers(1, 9, out), delay=int(rng.integers(1, 4))),
        neuro.Dense("skip", "end", rng.integers(-127, 128, (size, 5))),
        neuro.Dense("list", "end", rng.integers(-127, 128, (listed, 5))),
    ]
    return neuro.Network(tuple(populations), tuple(projections), timesteps=6)


def random_inputs(network: neuro.Network, samples: int, seed: int) -> np.ndarray:
    source = network["in"]
    low = -3 if source.neuron.messages[0] < 0 else 0
    return np.random.default_rng(seed).integers(low, 8, (samples, *source.shape))
