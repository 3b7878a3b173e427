"""The plainest rounding of a float network to what a conversion promises, stage by stage, in double precision. Knows graphs and
the settings of a conversion; knows nothing of the integers that were made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters import evaluation
from neuro.graph import Graph

Floats = NDArray[np.float64]
Tensor = torch.Tensor
RELAYED = 220  # levels at least of inputs that meet spikes
MARGIN = 2.0  # how far potentials may go beyond the calibrated range


def exact(graph: Graph, given: Mapping[str, Tensor], wanted: str) -> Tensor:
    """Value of one layer in double precision, given those of some before it."""
    values = dict(given)

    def value(name: str) -> Tensor:
        if name not in values:
            layer = graph[name]
            arrays = {key: torch.tensor(a, dtype=torch.float64) for key, a in layer.arrays.items()}
            values[name] = evaluation.apply(layer, [value(before) for before in layer.inputs], arrays)
        return values[name]

    with torch.no_grad():
        return value(wanted)


def rms(values: Any) -> float:
    return float(np.sqrt((np.asarray(values, np.float64) ** 2).mean()))


@dataclass(frozen=True)
class Rounding:
    """Values (samples, neurons) of each stage: real ones; with inputs, weights and activations rounded to what is promised;
    and the variance of the difference if all roundings were independent."""

    real: dict[str, Floats]
    rounded: dict[str, Floats]
    variance: dict[str, Floats]
    unit: dict[str, float]  # the largest real value of a message
    view: Any  # of the conversion: its samples, settings, graph, and matrices between stages

    def _repeated(self, stage: Any) -> bool:
        """Whether the input's values arrive at every step of the window: "ideal" ones, and those beside spikes."""
        code = self.view.network[self.view.graph.inputs[0].name].neuron.code
        return code == "held" or (code == "once" and len(self.view.paths(stage.name).matrices) > 1)

    def pool(self, stage: Any) -> None:
        """A max pool passes on what it is given."""
        (source,) = stage.layer.inputs
        shape = self.view.graph[source].shape
        for values in (self.real, self.rounded, self.variance):
            given = torch.as_tensor(values[source]).reshape(-1, *shape)
            values[stage.name] = evaluation.apply(stage.layer, [given]).reshape(len(given), -1).numpy()
        self.unit[stage.name] = self.unit[source]

    def sum(self, stage: Any) -> None:
        """A weighted sum, and its rectifier."""
        settings, paths = self.view.settings, self.view.paths(stage.name)
        real, rounded = paths.rest[None], paths.rest[None]
        whole = sum((self.real[source] @ matrix for source, matrix in paths.matrices.items()), start=paths.rest[None])
        extent = np.abs(whole).reshape(len(whole), stage.shape[0], -1).max((0, 2))
        variance = np.zeros((len(self.view.x), paths.rest.size))
        for source, matrix in paths.matrices.items():
            by_channel = np.abs(matrix).reshape(len(matrix), stage.shape[0], -1)
            finest = by_channel.max((0, 2)) / settings.limit
            unit = self.unit[source]
            if source == self.view.graph.inputs[0].name and settings.counts and self._repeated(stage):
                unit = unit / settings.timesteps
            if unit > 0:  # a charge of 1 cannot be less than what the potential's bits leave
                finest = np.maximum(finest, MARGIN * extent / (settings.largest_potential * unit))
            step = np.repeat(finest, by_channel.shape[2])
            real = real + self.real[source] @ matrix
            rounded = rounded + self.rounded[source] @ (
                np.rint(np.divide(matrix, step, out=np.zeros_like(matrix), where=step > 0)) * step
            )
            variance = variance + self.variance[source] @ matrix**2 + (self.real[source] ** 2 @ (matrix != 0)) * step**2 / 12
        if stage.kind == "relu":
            real = np.clip(real, 0, stage.layer.options["ceiling"])
            most = real.reshape(len(real), stage.shape[0], -1).max((0, 2))
            level = np.repeat(most / settings.levels, real.shape[1] // len(most))
            # A channel may give up levels for the resolution of its weights; one that is never active rounds nothing.
            level = np.where(level > 0, np.maximum(level, self.view.worth(stage.name)), 0)
            self.unit[stage.name] = float(most.max() / settings.levels)
            number = np.divide(rounded, level, out=np.zeros_like(rounded), where=level > 0)
            rounded, variance = np.clip(np.rint(number), 0, settings.levels) * level, variance + level**2 / 12
        self.real[stage.name], self.rounded[stage.name], self.variance[stage.name] = real, rounded, variance


def input_step(view: Any) -> float:
    """The spacing of input values that the way in promises."""
    source: Any = view.network[view.graph.inputs[0].name].neuron
    largest, negative = float(np.abs(view.x).max()), bool((view.x < 0).any())
    if any(p.name.endswith(".relay") for p in view.network.populations):
        return largest / RELAYED
    if source.code in ("once", "held"):
        return largest / (2047 if negative else 4095)
    return largest / (2**source.digits - 1 if source.code == "radix" else min(255, view.made.timesteps))
