"""How much smaller the error is on the samples that a network was calibrated on than on others.

The trained networks of `benchmarks/conversion_networks.py`, in code graded, on 32, 64 and 256 calibration samples; and one built
like MobileNetV2 with random weights, where small changes grow from layer to layer. Prints a table: the agreement's error, what it
estimates for new inputs (where it does), and the error on 128 inputs that were not calibrated on.

    python -m benchmarks.fitted_samples
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

import converters
from benchmarks.conversion_networks import CASES
from benchmarks.large_networks import images
from benchmarks.value_shapes import V2, inverted_residuals, settled

COUNTS, NEW, SIDE = (32, 64, 256), 128, 64


def cases() -> Iterator[tuple[str, nn.Module, Any, Any]]:
    """Name, network, inputs to calibrate on, others."""
    for name, make in CASES.items():
        case = make()
        yield name, case.model, case.calibration, case.x[:NEW]
    x = images(max(COUNTS) + NEW, SIDE)
    yield "MobileNetV2, 64 x 64, random weights", settled(inverted_residuals(V2, nn.ReLU6, False), x), x[:-NEW], x[-NEW:]


def main() -> None:
    warnings.simplefilter("ignore")
    print("| network | calibration samples | error on them | estimated for new | new |\n" + "|---" * 5 + "|")
    for name, model, calibration, new in cases():
        with torch.no_grad():
            truth = model(torch.tensor(new)).numpy()
        for count in COUNTS:
            made = converters.convert(model, calibration[:count], code="graded", bottlenecks="folded")
            apart = made.quantised(new).reshape(truth.shape) - truth
            error = np.sqrt(np.square(apart).mean() / truth.var(axis=0).mean())
            found = made.agreement
            estimate = "" if found.estimate_on_new is None else f"{found.estimate_on_new:.3f}"
            print(f"| {name} | {count} | {found.error:.3f} | {estimate} | {error:.3f} |", flush=True)


if __name__ == "__main__":
    main()
