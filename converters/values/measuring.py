"""What a graph is like on calibration samples, measured once for all networks of it: cells, ranges, and what noise does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from converters.samples import Given
from converters.values.cells import Cell
from converters.values.correcting import Means
from converters.values.decompose import decompose
from converters.values.headroom import within_tables
from converters.values.populations import cells
from converters.values.precision import Effects, Rounded, effects, rounded_less
from converters.values.ranges import Extent, extents, flat_frames
from converters.values.widths import Widths
from neuro.graph import Graph


@dataclass(frozen=True, slots=True)
class Measured:
    """A graph in primitive ops, its cells with the bits that they need by construction, the ranges of layers, the outputs of the
    samples that these are of, and the effects of noise (None: the graph is too large to tell). means, rounded: filled with what
    networks of it have asked for."""

    graph: Graph
    samples: Given
    framed: bool
    cells: tuple[Cell, ...]
    ranges: Mapping[str, Extent]
    outputs: Mapping[str, NDArray[np.float32]]
    noise: Effects | None
    means: Means = field(default_factory=dict)
    rounded: dict[Widths, Rounded] = field(default_factory=dict)

    def with_bits(self, widths: Widths, scales: Mapping[str, float]) -> Rounded:
        """The cells with the bits that rounding asks for, before any for values beyond calibration. scales: the real value of
        one step of each input, the same at every call."""
        assert self.noise is not None
        key = replace(widths, spare_bits=True)
        if key not in self.rounded:
            self.rounded[key] = rounded_less(self.cells, self.ranges, self.noise, widths, scales)
        return self.rounded[key]


def measure(graph: Graph, samples: Given, value_bits: int, framed: bool) -> Measured:
    """Measure a folded graph. samples (samples, *input shape) of its input or inputs, with frames (samples, frames, *input
    shape); value_bits: of values that need no more. Raises ConversionError that names the layer for an op without a form of
    values."""
    simple, bits = decompose(graph)
    found, framed = cells(simple, bits, value_bits), framed or graph.has_frames
    ranges, outputs = extents(simple, found, samples, framed)
    found = within_tables(found, ranges)
    noise = effects(simple, found, flat_frames(simple, samples, framed))
    return Measured(simple, samples, framed, found, ranges, outputs, noise)
