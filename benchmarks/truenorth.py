"""Networks trained here in the crossbars of an emulated TrueNorth, beside published runs of the chip.

    python benchmarks/truenorth.py [--mnist FILE] [--cifar] [--json FILE]

The digits of scikit-learn; with the path of an mnist.npz (x_train, y_train, x_test, y_test) a network of MNIST; with --cifar one
of the images of conversion_networks.py. Each is trained in floats, tuned through trinary weights and 16 levels, converted, mapped
and emulated; some minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conversion_networks import cifar_data
from truenorth_networks import cifar_cnn, mnist_cnn, train

import converters
import neuro
from neuro.digits.data import load_digits
from neuro.digits.model import train as train_digits

TIMESTEPS = 16
EMULATED = 100  # samples whose events are counted
COMPARED = 4  # samples that the reference engine runs too
PUBLISHED = (  # data set, accuracy (%), frames a second, power (mW); one chip, as quoted
    ("CIFAR-10", 83.41, 1249, 204),
    ("CIFAR-100", 55.64, 1526, 208),
    ("SVHN", 96.66, 2526, 257),
    ("GTSRB", 96.50, 1615, 201),
    ("VAD", 95.42, 1539, 26),
    ("TIMIT classes", 79.16, 2610, 143),
)
PUBLISHED_ENERGY = (("MNIST, 64 networks", 99.42, 108.0), ("MNIST, smallest", 92.70, 0.268))  # accuracy (%), uJ a frame


@dataclass(frozen=True)
class Row:
    """One network: shares of right answers in floats and in crossbars, neurons of its own and splitters, cores, ticks of a frame,
    synaptic events and energy of a frame."""

    name: str
    float_accuracy: float
    accuracy: float
    neurons: int
    splitters: int
    cores: int
    ticks: int
    events: float
    energy_uj: float


def measured(name: str, model: Any, x: np.ndarray, y: np.ndarray, held: tuple[np.ndarray, np.ndarray], steps: int) -> Row:
    """Tune, convert, map, place and emulate a network; `held`: images and classes that it was not trained on."""
    with torch.no_grad():
        floats = np.concatenate([model(torch.from_numpy(part)).argmax(1).numpy() for part in np.array_split(held[0], 20)])
    tuned = converters.finetune(model, x, levels=TIMESTEPS, steps=steps, weights="trinary", labels=y)
    how: dict[str, Any] = {"timesteps": TIMESTEPS, "weights": "trinary", "potential_bits": 20}
    network = converters.convert(tuned, x[:512], **how).network
    chip = neuro.load_chip("truenorth")
    mapped = neuro.to_crossbars(network, chip)
    placement = neuro.place(mapped, chip)
    run = neuro.run(network, held[0])
    emulated = neuro.emulate(placement, held[0][:EMULATED])
    reference = neuro.run(mapped, held[0][:COMPARED], engine="reference")
    if not (
        np.array_equal(emulated.run.logits, run.logits[:EMULATED]) and np.array_equal(reference.logits, run.logits[:COMPARED])
    ):
        raise SystemExit(f"{name}: the emulated network does not equal the reference")
    own = sum(p.size for p in network.populations)
    return Row(
        name,
        float((floats == held[1]).mean()),
        float((run.predictions == held[1]).mean()),
        own,
        sum(p.size for p in mapped.populations) - own,
        placement.cores_used,
        emulated.run.steps,
        emulated.synops / EMULATED,
        emulated.bill.energy_pj / 1e6,
    )


def digits_row() -> Row:
    """The network of `neuro demo`, as it is."""
    d = load_digits()
    return measured("digits", train_digits(d), d.x_train, d.y_train, (d.x_held_out, d.y_held_out), 1000)


def mnist_row(path: Path, tell: Callable[[str], object]) -> Row:
    """A network of three convolutions."""
    with np.load(path) as data:
        x, held = (data[k].astype(np.float32)[:, None] / 255 for k in ("x_train", "x_test"))
        y, held_y = (data[k].astype(np.int64) for k in ("y_train", "y_test"))
    torch.manual_seed(0)
    model = train(mnist_cnn(), torch.from_numpy(x), torch.from_numpy(y), epochs=4, tell=tell)
    return measured("MNIST", model, x[:20_000], y[:20_000], (held, held_y), 2000)


def cifar_row(tell: Callable[[str], object]) -> Row:
    """A small network of CIFAR-10, from JPEG copies of its images."""
    x, y = cifar_data("train")
    held, held_y = cifar_data("test")
    torch.manual_seed(0)
    model = train(cifar_cnn(), torch.from_numpy(x), torch.from_numpy(y), epochs=3, tell=tell)
    return measured("CIFAR-10, 3 epochs", model, x[:20_000], y[:20_000], (held[:2000], held_y[:2000]), 800)


def printed(rows: list[Row]) -> str:
    """The rows as Markdown, the published ones behind them."""
    columns = ("network", "in floats", "accuracy", "neurons", "splitters", "cores", "ticks", "events a frame", "energy a frame")
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for r in rows:
        lines.append(
            f"| {r.name} | {r.float_accuracy:.2%} | {r.accuracy:.2%} | {r.neurons:,} | {r.splitters:,} | {r.cores:,} | {r.ticks} "
            f"| {r.events:,.0f} | {r.energy_uj:.1f} uJ |"
        )
    for name, accuracy, rate, power in PUBLISHED:
        lines.append(f"| {name}, published | | {accuracy:.2f}% | | | one chip | 1 | | {power * 1e3 / rate:.0f} uJ |")
    for name, accuracy, energy in PUBLISHED_ENERGY:
        lines.append(f"| {name}, published | | {accuracy:.2f}% | | | | | | {energy:g} uJ |")
    return "\n".join(lines)


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", type=Path)
    parser.add_argument("--cifar", action="store_true")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows = [
        digits_row(),
        *([mnist_row(chosen.mnist, _tell)] if chosen.mnist else []),
        *([cifar_row(_tell)] if chosen.cifar else []),
    ]
    sys.stdout.write(printed(rows) + "\n")
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
