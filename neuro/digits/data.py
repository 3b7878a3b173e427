"""The digits as arrays, split once and for all. Knows nothing of networks.

Source: the test part of "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository (Alpaydin and
Kaynak, 1998, CC BY 4.0), in the order in which scikit-learn has them; in digits.safetensors as bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
HELD_OUT = 450


@dataclass(frozen=True, slots=True)
class Digits:
    """Images (samples, 1, 8, 8) in 0..1 and their classes 0..9, for training and held out."""

    x_train: Floats
    y_train: Labels
    x_held_out: Floats
    y_held_out: Labels


def load_digits(*, seed: int = 0) -> Digits:
    """The 1,797 digits in an order drawn with `seed`: 450 held out, 1,347 to train on."""
    packed = load((resources.files("neuro.digits") / "digits.safetensors").read_bytes())
    images, labels = packed["images"], packed["classes"]
    order = np.random.default_rng(seed).permutation(len(images))
    x: Any = (images.reshape(-1, 1, 8, 8) / 16).astype(np.float32)[order]
    y: Any = labels.astype(np.int64)[order]
    return Digits(x[HELD_OUT:], y[HELD_OUT:], x[:HELD_OUT], y[:HELD_OUT])
