"""Between which values the cells of a graph stay on calibration samples. Knows cells and floats; knows no units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.evaluation import Tensors, evaluation_of
from converters.samples import Given, Samples, each, spread
from converters.values.cells import Cell
from converters.values.ends import Ends
from neuro.graph import Graph

Floats = NDArray[np.float64]
MOST_SAMPLES = 128
_BATCH_VALUES = 2**24  # values of the largest layer in one batch


@dataclass(frozen=True, slots=True)
class Extent:
    """The smallest and largest value of every neuron of a layer, (*shape) each; and those of each of its channels, or of all its
    neurons, in every sample, (2, samples, channels or 1), where they are known."""

    lowest: Floats
    highest: Floats
    by_sample: Floats | None = None

    @property
    def size(self) -> Floats:
        """The largest absolute value."""
        return np.asarray(np.maximum(np.abs(self.lowest), np.abs(self.highest)))


def flat_frames(graph: Graph, samples: Given, framed: bool) -> Given:
    """Samples as the float graph takes them: frames of a network that remembers none are samples like others."""
    return each(samples, lambda x: x.reshape(-1, *x.shape[2:])) if framed and not graph.has_frames else samples


def frame_count(graph: Graph, samples: Given) -> int:
    """How many frames each sample of a graph has that remembers frames, else 1."""
    if not graph.has_frames:
        return 1
    return samples.frames(graph) if isinstance(samples, Samples) else int(samples.shape[1])


def extents(
    graph: Graph, cells: Sequence[Cell], samples: Given, framed: bool = False
) -> tuple[dict[str, Extent], dict[str, NDArray[np.float32]]]:
    """Of every layer that a cell computes or sums up, by name; and the outputs of the same samples, `MOST_SAMPLES` or all.
    framed: samples have an axis of frames."""
    wanted = list(dict.fromkeys(name for cell in cells for name in (cell.before or cell.layer.name, cell.layer.name)))
    largest = max(int(np.prod(layer.shape)) for layer in graph.layers)
    some = spread(flat_frames(graph, samples, framed), MOST_SAMPLES)
    frames = frame_count(graph, some)
    size = int(np.clip(_BATCH_VALUES // (largest * frames), 1, 32))
    tensors: Tensors = {}
    axes = {cell.before: None for cell in cells} | {cell.layer.name: _apart(cell) for cell in cells}
    kept = {name: Ends(graph[name].shape, axes[name], len(some) * frames) for name in wanted}
    outputs: dict[str, list[NDArray[np.float32]]] = {name: [] for name in graph.outputs}
    for start in range(0, len(some), size):
        values = evaluation_of(graph, some[start : start + size], (*wanted, *graph.outputs), tensors)
        for name in wanted:
            kept[name].add(values.value(name))
        for name in graph.outputs:
            outputs[name].append(values.value(name).numpy())
    found = {name: one.by_neuron() for name, one in kept.items()}
    samples_of = {name: one.by_sample(len(some)) for name, one in kept.items()}
    for cell in cells:
        if cell.shares:
            parts = [found[cell.layer.name], found[cell.shares]]
            found[cell.shares] = np.minimum(*(p[0] for p in parts)), np.maximum(*(p[1] for p in parts))
    found |= {cell.layer.name: found[cell.shares] for cell in cells if cell.shares}
    made = {name: Extent(low, high, samples_of[name]) for name, (low, high) in found.items()}
    return made, {name: np.concatenate(parts) for name, parts in outputs.items()}


def _apart(cell: Cell) -> int | None:
    """The axis along which the units of a cell's values may differ."""
    return None if cell.uniform else cell.channels
