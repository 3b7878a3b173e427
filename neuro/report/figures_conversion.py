"""Figures of a conversion's diagnosis: where each layer's error comes from, and how often its neurons fire. Plain numbers in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from neuro.report.svg import COLOURS, draw

CAUSES = ("inherited", "clipping", "rounding", "timing")
Row = Mapping[str, Any]


def losses(layers: Sequence[Row]) -> str:
    """Each layer's relative squared error by cause, in the order of the layers."""
    names = [row["name"] for row in layers]

    def paint(axes: Axes) -> None:
        base = np.zeros(len(names))
        for cause, colour in zip(CAUSES, COLOURS, strict=False):
            values = np.array([100 * row[cause] for row in layers])
            axes.barh(names, values, left=base, color=colour, height=0.7, label=cause)
            base += values
        axes.invert_yaxis()
        axes.set(xlabel="squared error of the layer (% of its mean square)", xlim=(0, 1.05 * max(base.max(), 1e-9)))
        axes.legend(fontsize=8)

    return draw("losses", "Where each layer's error comes from", paint, height_in=_height(names))


def rates(layers: Sequence[Row]) -> str:
    """Share of each layer's neurons by tenths of the largest value that they can send."""
    names = [row["name"] for row in layers]
    shares = np.array([row["histogram"] for row in layers], np.float64)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)

    def paint(axes: Axes) -> None:
        image = axes.imshow(100 * shares, aspect="auto", cmap="viridis", vmin=0, vmax=100, interpolation="nearest")
        axes.set_yticks(range(len(names)), names)
        axes.set_xticks([-0.5, 2, 4.5, 7, 9.5], ["0", "25", "50", "75", "100"])
        axes.set(xlabel="value sent (% of the largest possible)")
        axes.figure.colorbar(image, ax=axes, label="neurons (%)")

    return draw("rates", "How often each layer's neurons fire", paint, height_in=_height(names))


def _height(names: Sequence[str]) -> float:
    return 1.2 + 0.24 * max(len(names), 4)
