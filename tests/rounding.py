"""The plainest rounding of a float network to what a conversion promises, stage by stage, in double precision. Knows graphs and
the settings of a conversion; knows nothing of the integers that were made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters import opmath
from neuro.graph import Graph

Floats = NDArray[np.float64]
Tensor = torch.Tensor
RELAYED = 220  # levels at least of inputs that meet spikes
DRAWS = 64
GRIDS = 8
_FINER = 2 ** np.linspace(-0.5, 0.5, GRIDS)  # steps of weights: which of them fit equal weights is luck, and nobody promises it
MARGIN = 2.0  # how far potentials may go beyond the calibrated range


def exact(graph: Graph, given: Mapping[str, Tensor], wanted: str) -> Tensor:
    """Value of one layer in double precision, given those of some before it."""
    values = dict(given)

    def value(name: str) -> Tensor:
        if name not in values:
            layer = graph[name]
            arrays = {key: torch.tensor(a, dtype=torch.float64) for key, a in layer.arrays.items()}
            values[name] = opmath.apply(layer, [value(before) for before in layer.inputs], arrays)
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
    drawn: dict[str, Floats] = field(default_factory=dict)  # (DRAWS, samples, neurons): rounded at random, where it is asked for
    random: np.random.Generator | None = None

    def start(self, stage: Any, values: Floats, grid: float) -> None:
        """The input."""
        self.real[stage.name], self.unit[stage.name] = values, grid
        self.rounded[stage.name] = np.repeat((np.rint(values / grid) * grid)[None], GRIDS, 0)
        self.variance[stage.name] = np.full_like(values, grid**2 / 12)
        if self.random is not None:
            self.drawn[stage.name] = self._dithered(np.repeat(values[None], DRAWS, 0), np.full(values.shape[1], grid))

    def freedom(self, name: str) -> float:
        """How many independent errors the mean square error of a stage's values is a mean of: by mean and variance over
        random draws, as for a sum of squares of normal numbers. Near 1 where one weight, the same for all samples, decides."""
        squares = np.square(self.drawn[name] - self.real[name]).mean((1, 2))
        return float(max(1.0, 2 * squares.mean() ** 2 / squares.var(ddof=1))) if squares.var() > 0 else 1.0

    def _dithered(self, values: Floats, step: Floats) -> Floats:
        """Values (draws, samples, neurons) rounded to grids that lie by chance; what all samples share is rounded alike."""
        offset = step * self._uniform((len(values), 1, values.shape[2]))
        return np.asarray(_rint(values + offset, step) - offset + (step == 0) * (values + offset))

    def _uniform(self, shape: tuple[int, ...]) -> Floats:
        assert self.random is not None
        return self.random.uniform(-0.5, 0.5, shape)

    def _repeated(self, stage: Any) -> bool:
        """Whether the input's values arrive at every step of the window: "ideal" ones, and those beside spikes."""
        code = self.view.network[self.view.graph.inputs[0].name].neuron.code
        return code == "held" or (code == "once" and len(self.view.paths(stage.name).matrices) > 1)

    def pool(self, stage: Any) -> None:
        """A max pool passes on what it is given."""
        (source,) = stage.layer.inputs
        shape = self.view.graph[source].shape
        for values in (self.real, self.rounded, self.variance, self.drawn if self.random is not None else {}):
            if source in values:
                given = torch.as_tensor(values[source]).reshape(-1, *shape)
                best = opmath.apply(stage.layer, [given]).numpy()
                values[stage.name] = best.reshape(*values[source].shape[:-1], -1)
        self.unit[stage.name] = self.unit[source]

    def sum(self, stage: Any) -> None:
        """A weighted sum, and its rectifier."""
        settings, paths = self.view.settings, self.view.paths(stage.name)
        real, rounded = paths.rest[None], np.zeros((GRIDS, 1, 1)) + paths.rest
        whole = sum((self.real[source] @ matrix for source, matrix in paths.matrices.items()), start=paths.rest[None])
        extent = np.abs(whole).reshape(len(whole), stage.shape[0], -1).max((0, 2))
        variance = np.zeros((len(self.view.x), paths.rest.size))
        drawn = np.zeros((DRAWS, *variance.shape)) + paths.rest
        ceiling = stage.layer.options["ceiling"] if stage.kind == "relu" else None
        most = np.clip(whole, 0, ceiling).reshape(len(whole), stage.shape[0], -1).max((0, 2))
        for source, matrix in paths.matrices.items():
            by_channel = np.abs(matrix).reshape(len(matrix), stage.shape[0], -1)
            finest = by_channel.max((0, 2)) / settings.limit
            unit = self.unit[source]
            if source == self.view.graph.inputs[0].name and settings.counts and self._repeated(stage):
                unit = unit / settings.timesteps
            if unit > 0:  # a charge of 1 cannot be less than what the potential's bits leave
                finest = np.maximum(finest, MARGIN * extent / (settings.largest_potential * unit))
            if ceiling is not None:  # a channel with a ceiling gives up no levels for its weights, and all share a threshold
                finest = np.maximum(finest, most * by_channel.max() / (settings.limit * ceiling))
            step = np.repeat(finest, by_channel.shape[2])
            real = real + self.real[source] @ matrix
            rounded = rounded + self.rounded[source] @ np.stack([_rint(matrix, step * finer) for finer in _FINER])
            if self.random is not None:
                for draw, values in zip(drawn, self.drawn[source], strict=True):
                    draw += values @ (matrix + (matrix != 0) * step * self._uniform(matrix.shape))
            variance = variance + self.variance[source] @ matrix**2 + (self.real[source] ** 2 @ (matrix != 0)) * step**2 / 12
        if stage.kind == "relu":
            real = np.clip(real, 0, ceiling)
            level = np.repeat(most / settings.levels, real.shape[1] // len(most))
            # A channel may give up levels for the resolution of its weights; one that is never active rounds nothing.
            level = np.where(level > 0, np.maximum(level, self.view.worth(stage.name)), 0)
            self.unit[stage.name] = float(most.max() / settings.levels)
            rounded = np.clip(_rint(rounded, level), 0, settings.levels * level)
            variance = variance + level**2 / 12
            if self.random is not None:
                drawn = np.clip(self._dithered(drawn, level), 0, ceiling)
        self.drawn[stage.name] = drawn
        self.real[stage.name], self.rounded[stage.name], self.variance[stage.name] = real, rounded, variance


def _rint(values: Floats, step: Floats) -> Floats:
    """Rounded to multiples of a step; zero where that is zero."""
    return np.rint(np.divide(values, step, out=np.zeros_like(values), where=step > 0)) * step


def input_step(view: Any) -> float:
    """The spacing of input values that the way in promises."""
    source: Any = view.network[view.graph.inputs[0].name].neuron
    largest, negative = float(np.abs(view.x).max()), bool((view.x < 0).any())
    if any(p.name.endswith(".relay") for p in view.network.populations):
        return largest / RELAYED
    if source.code in ("once", "held"):
        return largest / (2047 if negative else 4095)
    return largest / (2**source.digits - 1 if source.code == "radix" else min(255, view.made.timesteps))
