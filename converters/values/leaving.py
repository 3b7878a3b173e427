"""What new samples may lose beyond calibrated ranges: each calibration sample in float, clipped to the ranges of the others.

One more forward pass, in which every population of one sample reaches as far as the others do. What is clipped goes through all
that follows, so nothing is taken as small or independent. Knows cells, ranges and floats; knows no units and no rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from converters.evaluation import Evaluation, Tensors
from converters.samples import by_input, spread
from converters.values.cells import Cell
from converters.values.functions import SCALED_ALIKE, TABLE_ROOM, is_tabulated, outward
from converters.values.measuring import Measured
from converters.values.ranges import MOST_SAMPLES, Extent
from neuro.graph import Graph

Floats = NDArray[np.float64]
SAMPLES = 64
_NAMED = 3  # populations
_FEWEST = 4  # samples, of which leaving one out says anything
_WORK = 2**27  # values of all samples together that are worth computing, beyond the fewest samples
_TOGETHER = 2**24  # such values of several samples


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The root mean square error of the outputs, relative to their spread, that clipping to the ranges of other samples makes; of
    several outputs the largest. shares: of each population that clipped, how much of its values' squares it cut off, weighed by
    what matters to the outputs."""

    error: float
    shares: Mapping[str, float]

    @property
    def most(self) -> tuple[str, ...]:
        """The populations that cut off most, three at most, those with a tenth of it, or else the first."""
        total, ranked = sum(self.shares.values()), sorted(self.shares, key=lambda name: -self.shares[name])
        return tuple(name for name in ranked[:_NAMED] if self.shares[name] >= total / 10) or tuple(ranked[:1])


def left_out(known: Measured, cells: Sequence[Cell]) -> LeftOut | None:
    """The loss of samples by the ranges of the others, in a network of cells; None where there are too few, or with frames."""
    graph, some = known.graph, spread(known.samples, MOST_SAMPLES)
    if graph.has_frames or len(some) < _FEWEST:
        return None
    size = sum(int(np.prod(layer.shape)) for layer in graph.layers)
    count = min(len(some), max(2 * _FEWEST, min(SAMPLES, _WORK // size)))
    clip = _Clip(_ends(graph, cells, known.ranges), {} if known.noise is None else known.noise.anywhere)
    found: dict[str, list[Floats]] = {name: [] for name in graph.outputs}
    tensors: Tensors = {}
    chosen, together = np.linspace(0, len(some) - 1, count).astype(int), max(1, _TOGETHER // size)
    for at in np.split(chosen, range(together, count, together)):
        clip.at = at
        given = {name: clip(name, torch.as_tensor(x)) for name, x in by_input(graph, some[at]).items()}
        less = Evaluation(graph, given, graph.outputs, tensors=tensors, change=clip)
        for name in graph.outputs:
            found[name].append(less.value(name).double().numpy())
    errors = [_relative(np.concatenate(found[name]), known.outputs[name][chosen].astype(np.float64)) for name in graph.outputs]
    own = {cell.name for cell in cells}
    owners = {cell.before: cell.name for cell in cells if cell.before not in own}
    shares: dict[str, float] = {}
    for name, cost in clip.shares.items():
        shares[owners.get(name, name)] = shares.get(owners.get(name, name), 0.0) + cost
    return LeftOut(max(errors), shares)


class _Clip:
    """Clips the values of the samples `at` to the ends of the others, and adds up what it cuts off."""

    def __init__(self, ends: Mapping[str, tuple[Floats, Floats]], anywhere: Mapping[str, Floats]) -> None:
        self._ends = {name: tuple(torch.as_tensor(end).float() for end in pair) for name, pair in ends.items()}
        self._anywhere = anywhere
        self.at = np.arange(0)
        self.shares: dict[str, float] = {}

    def __call__(self, name: str, value: torch.Tensor) -> torch.Tensor:
        if name not in self._ends:
            return value
        low, high = (end[self.at].to(value.dtype) for end in self._ends[name])
        kept = value.clamp(low, high)
        if torch.equal(kept, value):
            return value
        cost = (value - kept).square().double().sum(0).numpy() * self._anywhere.get(name, 1.0)
        self.shares[name] = self.shares.get(name, 0.0) + float(cost.sum())
        return kept


def _relative(found: Floats, truth: Floats) -> float:
    spread = float(truth.var(axis=0).mean()) or float(np.square(truth).mean()) or 1.0
    return float(np.sqrt(np.square(found - truth).mean() / spread))


def _ends(graph: Graph, cells: Sequence[Cell], found: Mapping[str, Extent]) -> dict[str, tuple[Floats, Floats]]:
    """By layer how low and how high it reaches in each sample, (samples, *shape or 1), by the ranges of the others."""
    made: dict[str, tuple[Floats, Floats]] = {}
    for cell in cells:
        if cell.kind not in ("input", "sum", "product", "dot") or cell.shares or cell.layer.op == "quantise":
            continue
        reach = 2.0**cell.headroom * _of_others(_sizes(cell, found[cell.layer.name]))
        shape = [len(reach), *[1] * len(cell.layer.shape)]
        if reach.shape[1] > 1 and cell.channels is not None:
            shape[1 + cell.channels] = reach.shape[1]
        made[cell.layer.name] = -reach.reshape(shape), reach.reshape(shape)
        if cell.kind == "sum" and is_tabulated(cell.layer, cell.fused, found[cell.before]) and _alone(graph, cell):
            low, high = _of_argument(found[cell.before], cell, len(graph[cell.before].shape))
            least, most = made.get(cell.before, (low, high))  # of a population that a table reads as it is
            made[cell.before] = np.maximum(low, least), np.minimum(high, most)
    return made


def _sizes(cell: Cell, extent: Extent) -> Floats:
    """Of each sample the largest absolute value of what has one unit, (samples, channels or 1)."""
    assert extent.by_sample is not None
    sizes = np.abs(extent.by_sample).max(axis=0)
    of_all = cell.layer.op == "function" and cell.layer.options["name"] not in SCALED_ALIKE
    alike = cell.kind == "input" or cell.uniform or cell.fused is not None or of_all
    return np.asarray(sizes.max(axis=1, keepdims=True) if alike else sizes)


def _alone(graph: Graph, cell: Cell) -> bool:
    """Whether nothing but a cell's table reads its argument."""
    inside = {layer.name for layer in cell.fused.layers} if cell.fused else {cell.layer.name}
    return cell.before not in graph.outputs and {layer.name for layer in graph.consumers(cell.before)} <= inside


def _of_argument(argument: Extent, cell: Cell, rank: int) -> tuple[Floats, Floats]:
    assert argument.by_sample is not None
    lowest, highest = argument.by_sample
    low, high = -_of_others(-lowest.min(axis=1, keepdims=True)), _of_others(highest.max(axis=1, keepdims=True))
    room = TABLE_ROOM * (high - low)
    pairs = [outward(float(a), float(b), cell.headroom) for a, b in zip(low.ravel(), high.ravel(), strict=True)]
    least, most = (np.array(ends).reshape(-1, *[1] * rank) for ends in zip(*pairs, strict=True))
    room = room.reshape(least.shape)
    return least - room, most + room


def _of_others(values: Floats) -> Floats:
    """The largest along the first axis of all but each."""
    at = values.argmax(axis=0)
    top, second = values.max(axis=0), np.partition(values, len(values) - 2, axis=0)[-2]
    return np.asarray(np.where(np.arange(len(values))[:, None] == at, second, top))
