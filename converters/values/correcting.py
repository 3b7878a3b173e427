"""Biases that give every weighted sum the mean that it has in the float network, population by population.

Rounding moves means by fractions of a step that add up from layer to layer. Each sum is corrected for what the populations before
it really send on calibration samples. Knows encoded cells; changes biases and offsets only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.evaluation import Evaluation
from converters.stepping import source_signal
from converters.values.encoding import Encoded, narrow
from converters.values.evaluating import Sent, charge, respond
from converters.values.populations import Cell
from converters.values.ranges import spread
from neuro.graph import Graph
from neuro.network import Network, Population

Floats = NDArray[np.float64]
SAMPLES = 64
_HELD = 2**25  # values of all populations that may be held at once
_LARGEST_BIAS = 2**30


class Corrector:
    """Visits cells in order and corrects each; drops what no later cell reads."""

    def __init__(self, graph: Graph, cells: Sequence[Cell], samples: NDArray[np.float32]) -> None:
        count = int(np.clip(_HELD // sum(int(np.prod(cell.layer.shape)) for cell in cells), 8, SAMPLES))
        self._samples, self._graph = spread(samples, count), graph
        self._means = self._float_means(cells)
        self._last = {source: cell.name for cell in cells for source in cell.sources}
        self._sent: Sent = {}

    def _float_means(self, cells: Sequence[Cell]) -> dict[str, Floats]:
        names = list(dict.fromkeys(cell.before or cell.layer.name for cell in cells if cell.kind in ("sum", "readout")))
        found: dict[str, Floats] = {}
        for part in np.array_split(self._samples, max(1, len(self._samples) // 8)):
            values = Evaluation(self._graph, {self._graph.inputs[0].name: torch.as_tensor(part)}, names)
            for name in names:
                found[name] = found.get(name, 0.0) + values.value(name).double().sum(0).numpy() / len(self._samples)
        return found

    def visit(self, cell: Cell, one: Encoded, made: Mapping[str, Encoded]) -> Encoded:
        """The population with its bias corrected; what it sends is kept for those behind it."""
        if cell.kind == "input":
            self._sent[cell.name] = source_signal(one.population, self._samples, 1, True).total.numpy()
            return one
        network = _around(cell, one, made)
        if one.step is not None and cell.sources:
            one = _shifted(one, self._missing(cell, one, network))
            network = _around(cell, one, made)
        if cell.kind != "readout":
            self._sent[cell.name] = respond(network, one.population, one.projections, self._sent)
        for source in cell.sources:
            if self._last[source] == cell.name:
                del self._sent[source]
        return one

    def _missing(self, cell: Cell, one: Encoded, network: Network) -> Floats:
        """By how much the mean of a sum falls short of the float one, for each channel."""
        brought = [charge(p, network, self._sent, cell.layer.shape).mean(axis=0) for p in one.projections]
        neuron: Any = one.population.neuron
        own = np.asarray(neuron.offset) if neuron.is_readout else np.asarray(neuron.bias) * one.step
        missing = self._means[cell.before or cell.layer.name] - sum(brought) * one.step - own
        return np.asarray(missing.mean(axis=tuple(a for a in range(missing.ndim) if a != cell.channels), keepdims=True))


def _around(cell: Cell, one: Encoded, made: Mapping[str, Encoded]) -> Network:
    """A network of the population and those that it reads."""
    return Network((*(made[name].population for name in cell.sources), one.population), one.projections)


def _shifted(one: Encoded, more: Floats) -> Encoded:
    neuron: Any = one.population.neuron
    shape = one.population.shape
    if neuron.is_readout:
        return replace(one, population=Population(one.population.name, shape, neuron.changed(offset=neuron.offset + more)))
    extra = np.rint(more / (np.ones(1) if one.step is None else one.step))
    bias = np.clip(np.asarray(neuron.bias) + extra, -_LARGEST_BIAS, _LARGEST_BIAS).astype(np.int64)
    return replace(one, population=Population(one.population.name, shape, neuron.changed(bias=narrow(bias))))
