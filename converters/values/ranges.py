"""Between which values the cells of a graph stay on calibration samples. Knows cells and floats; knows no units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.evaluation import evaluation_of
from converters.values.populations import Cell
from neuro.graph import Graph

Floats = NDArray[np.float64]
MOST_SAMPLES = 128
_BATCH_VALUES = 2**24  # values of the largest layer in one batch


@dataclass(frozen=True, slots=True)
class Extent:
    """The smallest and largest value of every neuron of a layer, (*shape) each."""

    lowest: Floats
    highest: Floats

    @property
    def size(self) -> Floats:
        """The largest absolute value."""
        return np.asarray(np.maximum(np.abs(self.lowest), np.abs(self.highest)))


def spread(samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Some samples, evenly over all."""
    chosen: NDArray[np.float32] = samples[np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int)]
    return chosen


def flat_frames(graph: Graph, samples: NDArray[np.float32], framed: bool) -> NDArray[np.float32]:
    """Samples as the float graph takes them: frames of a network that remembers none are samples like others."""
    return samples.reshape(-1, *samples.shape[2:]) if framed and not graph.has_frames else samples


def extents(graph: Graph, cells: Sequence[Cell], samples: NDArray[np.float32], framed: bool = False) -> dict[str, Extent]:
    """Of every layer that a cell computes or sums up, by name. framed: samples have an axis of frames."""
    wanted = list(dict.fromkeys(name for cell in cells for name in (cell.before or cell.layer.name, cell.layer.name)))
    largest = max(int(np.prod(layer.shape)) for layer in graph.layers)
    some = spread(flat_frames(graph, samples, framed), MOST_SAMPLES)
    size = int(np.clip(_BATCH_VALUES // (largest * (some.shape[1] if graph.has_frames else 1)), 1, 32))
    found: dict[str, Any] = {}
    for start in range(0, len(some), size):
        values = evaluation_of(graph, some[start : start + size], wanted)
        for name in wanted:
            value = values.value(name).double()
            ends = value.amin(0).numpy(), value.amax(0).numpy()
            before = found.get(name, ends)
            found[name] = np.minimum(before[0], ends[0]), np.maximum(before[1], ends[1])
    for cell in cells:
        if cell.shares:
            parts = [found[cell.layer.name], found[cell.shares]]
            found[cell.shares] = np.minimum(*(p[0] for p in parts)), np.maximum(*(p[1] for p in parts))
    found |= {cell.layer.name: found[cell.shares] for cell in cells if cell.shares}
    return {name: Extent(*ends) for name, ends in found.items()}
