"""Biases that give every weighted sum the mean that it has in the float network, population by population.

Rounding moves means by fractions of a step that add up from layer to layer. Each sum is corrected for what the populations before
it really send on calibration samples. Knows encoded cells; changes biases and offsets only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.evaluation import Tensors, evaluation_of
from converters.samples import Given, by_input, each, spread
from converters.stepping import source_signal
from converters.values.cells import Cell
from converters.values.encoding import narrow
from converters.values.functions import INVERSES
from converters.values.ranges import flat_frames, frame_count
from converters.values.responding import Integers, Sent, charge, lag_of, respond
from converters.values.rows import Links, Responder
from converters.values.scaling import Encoded
from neuro.graph import Graph
from neuro.network import Population
from neuro.projections import Projection

Floats = NDArray[np.float64]
Means = dict[Any, tuple[dict[str, Floats], dict[str, Floats]]]
SAMPLES = 64
_HELD = 2**25  # values of all populations that may be held at once
_LINKED = 2**20  # weights of projections of which what they bring is kept
_LARGEST_BIAS = 2**30


class Corrector:
    """Visits cells in order and corrects each; drops what no later cell reads. framed: samples have an axis of frames; what
    comes back from the frame before is taken from the float network, as it is corrected on the way. means: where the float means
    are kept for the next network of the same graph and samples. links: what projections bring, of as many as memory has room for.
    """

    def __init__(
        self, graph: Graph, cells: Sequence[Cell], samples: Given, framed: bool = False, means: Means | None = None
    ) -> None:
        given, size = flat_frames(graph, samples, framed), sum(int(np.prod(cell.layer.shape)) for cell in cells)
        frames = frame_count(graph, given)
        count = int(np.clip(_HELD // (size * frames), 8 if frames == 1 else 1, SAMPLES))
        some, self._graph = spread(given, count), graph
        flat = each(some, lambda x: x.reshape(-1, *x.shape[2:])) if graph.has_frames else some
        self._given, self._count = by_input(graph, flat), len(flat)
        self._means, self._before = self._float_means(cells, some, {} if means is None else means)
        self._last = {source: cell.name for cell in cells for source in cell.sources}
        self._divisors = _divisors(cells)
        self._populations: dict[str, Population] = {}
        self.links: Links = {}
        self._heard: _Framed | Responder = (
            _Framed(self._populations) if framed else Responder(self._populations, self._count, size, self.links, _LINKED)
        )

    def _float_means(self, cells: Sequence[Cell], some: Given, known: Means) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """The mean of every sum, and the values of what comes back."""
        names = list(dict.fromkeys(cell.before or cell.layer.name for cell in cells if cell.kind in ("sum", "readout")))
        back = [cell.name for cell in cells if cell.kind == "previous"]
        key = (len(some), *names, *back)
        if key not in known:
            known[key] = self._measured(names, back, some)
        means, before = known[key]
        return means, dict(before)

    def _measured(self, names: Sequence[str], back: Sequence[str], some: Given) -> tuple[dict[str, Floats], dict[str, Floats]]:
        found: dict[str, Floats] = {}
        parts: dict[str, list[Floats]] = {name: [] for name in back}
        tensors: Tensors = {}
        for part in np.array_split(np.arange(len(some)), max(1, len(some) // 8)):
            values = evaluation_of(self._graph, some[part], (*names, *back), tensors)
            for name in names:
                found[name] = found.get(name, 0.0) + values.value(name).double().sum(0).numpy() / self._count
            for name in back:
                parts[name].append(values.value(name).double().numpy())
        return found, {name: np.concatenate(listed) for name, listed in parts.items()}

    def visit(self, cell: Cell, one: Encoded, made: Mapping[str, Encoded]) -> Encoded:
        """The population with its bias corrected; what it sends is kept for those behind it."""
        heard, p = self._heard, one.population
        if cell.kind != "previous" or p.name not in self._populations:
            self._populations[p.name] = p
        if cell.kind == "input":
            heard.put(p, source_signal(_unframed(p), self._given[cell.name], 1, True).total.numpy())
            return one
        if cell.kind == "previous":
            assert isinstance(heard, _Framed)
            low, high = one.range
            sent = np.clip(np.rint(self._before.pop(cell.name) / one.unit), low, high).astype(np.int64)
            heard.put_before(cell.name, p.name, cell.sources[0], sent)
            return one
        if one.step is not None and cell.sources and cell.name not in self._divisors:
            one = _shifted(one, self._missing(cell, one))
            self._populations[p.name] = one.population
        if cell.kind != "readout":
            heard.respond(one.population, one.projections)
        for source in cell.sources:
            if self._last[source] == cell.name:
                heard.drop(made[source].population.name, source)
        return one

    def _missing(self, cell: Cell, one: Encoded) -> Floats:
        """By how much the mean of a sum falls short of the float one, for each channel."""
        brought = [self._heard.mean(one.population, q) for q in one.projections]
        neuron: Any = one.population.neuron
        step: Any = one.step
        own = np.asarray(neuron.offset) if neuron.is_readout else np.asarray(neuron.bias) * step
        missing = self._means[cell.before or cell.layer.name] - sum(brought) * step - own
        return np.asarray(missing.mean(axis=tuple(a for a in range(missing.ndim) if a != cell.channels), keepdims=True))


class _Framed:
    """What populations send in one frame, some of it in the frame before."""

    def __init__(self, populations: Mapping[str, Population]) -> None:
        self._populations = populations
        self._sent: Sent = {}
        self._lag: dict[str, int] = {}

    def put(self, p: Population, sent: Integers) -> None:
        self._sent[p.name, 0] = sent

    def put_before(self, cell: str, name: str, source: str, sent: Integers) -> None:
        """Keep what a population sent a frame before another cell that stands for it."""
        self._lag[cell] = self._lag.get(source, 0) + 1
        self._sent[name, self._lag[cell]] = sent

    def respond(self, p: Population, projections: Sequence[Projection]) -> None:
        self._sent[p.name, 0] = respond(self._populations, p, tuple(projections), self._sent)

    def mean(self, p: Population, q: Projection) -> Floats:
        """What a projection brings on average over the samples, (*shape)."""
        sent = self._sent[q.source, lag_of(self._populations, q)]
        return np.asarray(charge(q, self._populations, sent, p.shape).mean(axis=0))

    def drop(self, name: str, cell: str) -> None:
        self._sent.pop((name, self._lag.get(cell, 0)), None)


def _unframed(p: Population) -> Population:
    """A source as it sends one frame."""
    return Population(p.name, p.shape, p.neuron.changed(period=None))


def _shifted(one: Encoded, more: Floats) -> Encoded:
    neuron: Any = one.population.neuron
    shape = one.population.shape
    if neuron.is_readout:
        return replace(one, population=Population(one.population.name, shape, neuron.changed(offset=neuron.offset + more)))
    extra = np.rint(more / (np.ones(1) if one.step is None else one.step))
    bias = np.clip(np.asarray(neuron.bias) + extra, -_LARGEST_BIAS, _LARGEST_BIAS).astype(np.int64)
    return replace(one, population=Population(one.population.name, shape, neuron.changed(bias=narrow(bias))))


def _divisors(cells: Sequence[Cell]) -> set[str]:
    """Sums by which, or by whose root, others are divided: a constant would be most of a small one, and all of its inverse."""
    found: set[str] = set()
    reading: dict[str, set[str]] = {}
    for cell in cells:
        for source in cell.sources:
            reading.setdefault(source, set()).add(cell.name)
    for cell in reversed(cells):
        readers = reading.get(cell.name, set())
        inverse = cell.layer.op == "function" and cell.fused is None and cell.layer.options["name"] in INVERSES
        passed = cell.layer.op not in ("function", "relu", "quantise") and bool(readers) and found.issuperset(readers)
        if cell.kind == "sum" and (inverse or passed):
            found.add(cell.name)
    return found
