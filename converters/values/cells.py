"""Cells: the layers of a primitive graph that become populations, and how each reads those before it. Knows layers and linear
operators; knows no units, integers or steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from converters.stages import Path
from converters.values.fusing import Fused
from neuro.graph import Layer

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sum:
    """A port that adds up weighted values: the linear paths to it, and its value where every source is zero, (*shape)."""

    paths: tuple[Path, ...]
    bias: NDArray[np.float64]

    def reading(self, source: str, other: str) -> Sum:
        """The port with another population, of the same values, in place of one."""
        return replace(self, paths=tuple(replace(p, source=other) if p.source == source else p for p in self.paths))


@dataclass(frozen=True, slots=True)
class Pick:
    """A port that reads values of one population as they are: of each neuron the `places` there, (neurons, taps)."""

    source: str
    places: Places

    def reading(self, source: str, other: str) -> Pick:
        """The port with another population, of the same values, in place of one."""
        return replace(self, source=other) if self.source == source else self


@dataclass(frozen=True, slots=True)
class Cell:
    """A layer that becomes a population. kind: input, sum (a function, or none, of a weighted sum), product, dot, largest,
    previous (the last frame's values of another population), relay or hold (the values of another one, later) or readout.
    `before` names the layer with the value of a sum; uniform: all its neurons must share one unit; channels: axis along which
    units may differ else, None for none; argument_bits: of the argument of its table, 0 for as many as usual; fused: the part of
    the graph that the table computes, where it is more than the layer; shares: the state whose unit it has, so that it joins it
    without rounding; weight_bits: of the weights into it, two synapses each, 0 for those of one synapse; headroom: so many
    of its bits are for values beyond those that calibration saw."""

    name: str
    kind: str
    layer: Layer
    ports: tuple[Sum | Pick, ...] = ()
    bits: int = 8
    uniform: bool = False
    before: str = ""
    argument_bits: int = 0
    fused: Fused | None = None
    shares: str = ""
    channels: int | None = None
    weight_bits: int = 0
    headroom: int = 0

    @property
    def sources(self) -> tuple[str, ...]:
        """Populations that it reads."""
        named = [path.source for port in self.ports if isinstance(port, Sum) for path in port.paths]
        return tuple(dict.fromkeys([*named, *(port.source for port in self.ports if isinstance(port, Pick))]))
