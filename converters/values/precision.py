"""How many bits each population's values need: what rounding there does to the outputs, by gradients of the float graph.

Rounding noise of a population is taken as independent of all other noise; each further bit leaves a quarter of its power. The
populations that bring most are widened until all together stay below a share of the outputs' spread. Knows cells and ranges;
knows no integers.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from converters import linear
from converters.evaluation import Tensors, evaluate
from converters.linear import Matrix, Operator, Window
from converters.opmath import apply, arrays_of
from converters.samples import Given, by_input, spread
from converters.stages import Path
from converters.values.cells import Cell, Sum
from converters.values.encoding import result_extent
from converters.values.functions import argument_bits, is_tabulated, sum_headroom
from converters.values.headroom import table_limit
from converters.values.moments import add_moments, add_squares
from converters.values.ranges import Extent
from converters.values.scaling import FEW, exponents_of, largest_into, reach_of, together
from converters.values.widths import Widths
from neuro.graph import Graph, Layer
from neuro.neurons.tables import value_bounds

Floats = NDArray[np.float64]
TARGET = 0.05  # error of the outputs that rounding, or clipping, of values may cause, relative to their spread;
_TARGET = 0.035  # of networks without frames, that rounding may
MOST_BITS, MOST_ARGUMENT_BITS = 14, 13
PAIRED_BITS, _SYNAPSE_BITS = 15, 8  # of weights in two synapses, each of so many bits
_DOUBLED = 0.1  # share of all synapses that may be second ones without being asked for
_FEWEST, _MOST_SAMPLES, _PROBES = 8, 48, 2
_MOST_FRAMES = 32  # of a sample
_WORK = 2**25  # values of all samples together that are worth computing, beyond the fewest samples
_HELD = 2**25  # values of all layers, whose gradients may be held at once
_TOGETHER = 2**22  # such values of several samples
_SMALL = 0.25  # of the noise of weights: less noise of values is not worth more bits
_ROUNDING = 1 / 12  # variance of a rounding error, in squared steps


@dataclass(frozen=True, slots=True)
class Effects:
    """By layer, how much the outputs' summed squared error grows with the variance of the noise of each of its values, (*shape):
    of values as they are, and of those that are not 0 (0 is exact).
    variance: of the values over samples, (*shape). spread: the outputs' summed variance over samples."""

    anywhere: Mapping[str, Floats]
    active: Mapping[str, Floats]
    variance: Mapping[str, Floats]
    spread: float


def effects(graph: Graph, cells: Sequence[Cell], samples: Given) -> Effects | None:
    """The effects of noise in every cell's value and in the argument of its function; None for graphs too large to try.

    samples (samples, *shape), or one array for each input; of a graph with frames (samples, frames, *shape): noise of every
    frame then has its effect on the outputs of that frame and of later ones, through what comes back.
    """
    reach = next(iter(by_input(graph, samples).values())).shape
    frames = min(reach[1], _MOST_FRAMES) if graph.has_frames else 1
    size = sum(int(np.prod(layer.shape)) for layer in graph.layers) * frames
    if size > _HELD:
        return None
    wanted = {name for cell in cells for name in (cell.layer.name, cell.before) if name}
    anywhere: dict[str, Floats] = {name: np.zeros(graph[name].shape) for name in wanted}
    active: dict[str, Floats] = {name: np.zeros(graph[name].shape) for name in wanted}
    sums: dict[str, Floats] = {name: np.zeros((2, *graph[name].shape)) for name in wanted}
    generator = torch.Generator().manual_seed(0)
    some = spread(samples, int(np.clip(_WORK // size, _FEWEST, _MOST_SAMPLES)))
    given = {name: torch.as_tensor(array) for name, array in by_input(graph, some).items()}
    sizes = _sizes(graph, given)
    tensors: Tensors = {}
    outputs, together, share = [], max(1, _TOGETHER // size), 1 / (len(some) * frames)
    for start in range(0, len(some), together):
        part = slice(start, start + together)
        given_now = {name: array[part, :frames] if graph.has_frames else array[part, None] for name, array in given.items()}
        values, places_of = _followed(graph, given_now, wanted, tensors)
        output = torch.stack([_joined(now, sizes) for now in values], dim=1)
        outputs.append(output.detach().double().flatten(0, 1).numpy())
        plain = [{name: now[name].detach().numpy() for name in wanted} for now in values]
        for name in wanted:
            add_moments([now[name] for now in plain], share, sums[name])
        places = [(name, frame) for frame, followed in enumerate(places_of) for name in followed]
        at = [places_of[frame][name] for name, frame in places]
        drawn = torch.randint(0, 2, (len(output), _PROBES, *output.shape[1:]), generator=generator) * 2.0 - 1.0
        for probe in range(_PROBES):
            kept = probe + 1 < _PROBES
            slopes = torch.autograd.grad((output * drawn[:, probe]).sum(), at, retain_graph=kept, allow_unused=True)
            for (name, frame), slope in zip(places, slopes, strict=True):
                if slope is not None:
                    add_squares(slope.numpy(), plain[frame][name], share / _PROBES, anywhere[name], active[name])
    spread_ = float(np.concatenate(outputs).var(axis=0).sum())
    variance = {name: np.maximum(squares - np.square(mean), 0) for name, (mean, squares) in sums.items()}
    return Effects(anywhere, active, variance, spread_ or float(np.square(np.concatenate(outputs)).mean(axis=0).sum()) or 1.0)


def _sizes(graph: Graph, given: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """By output, what its values are divided by so that all outputs matter alike: their spread, where there are several."""
    if len(graph.outputs) == 1:
        return {graph.outputs[0]: 1.0}
    found = evaluate(graph, given, graph.outputs)
    found = {name: value.flatten(0, 1) if graph.has_frames else value for name, value in found.items()}
    spreads = {name: float(value.double().var(0, unbiased=False).sum().sqrt()) for name, value in found.items()}
    return {name: size or float(found[name].double().square().mean(0).sum().sqrt()) or 1.0 for name, size in spreads.items()}


def _joined(values: Mapping[str, torch.Tensor], sizes: Mapping[str, float]) -> torch.Tensor:
    """The output, or all outputs in a row, divided by their sizes."""
    if len(sizes) == 1:
        return values[next(iter(sizes))]
    return torch.cat([values[name].flatten(1) / size for name, size in sizes.items()], dim=1)


_Tensors = dict[str, torch.Tensor]


def _followed(
    graph: Graph, given: Mapping[str, torch.Tensor], wanted: set[str], tensors: Tensors
) -> tuple[list[_Tensors], list[_Tensors]]:
    """In each of some frames (samples, frames, *shape) every layer's value, and those of the wanted layers as they know their
    gradients. tensors: where the arrays of layers are kept."""
    values: list[_Tensors] = []
    asked: list[_Tensors] = []
    samples, frames = next(iter(given.values())).shape[:2]
    for frame in range(frames):
        sample = {name: array[:, frame] for name, array in given.items()}
        before = values[-1] if values else {}
        now: _Tensors = {}
        for layer in graph.layers:
            value = sample[layer.name] if layer.op == "input" else _valued(layer, now, before, samples, tensors)
            if layer.name in wanted:
                followed = value.requires_grad and value.is_contiguous()
                value = value.view_as(value) if followed else value + torch.zeros_like(value, requires_grad=True)
            now[layer.name] = value
        values.append(now)
        asked.append({name: now[name] for name in now if name in wanted})
    return values, asked


def _valued(layer: Layer, now: _Tensors, before: _Tensors, samples: int, tensors: Tensors) -> torch.Tensor:
    """A layer's value in a frame of some samples; rounding passes gradients straight through."""
    if layer.op == "constant":
        return torch.tensor(layer.arrays["value"]).expand(samples, *layer.shape)
    if layer.op == "previous":
        start = torch.tensor(layer.arrays.get("start", np.zeros(1, np.float32))).expand(samples, *layer.shape)
        return before.get(layer.inputs[0], start)
    given = [now[name] for name in layer.inputs]
    if layer.name not in tensors:
        tensors[layer.name] = arrays_of(layer)
    value = apply(layer, given, tensors[layer.name])
    return given[0] + (value - given[0]).detach() if layer.op == "quantise" else value


@dataclass(frozen=True, slots=True)
class Rounded:
    """Cells with as many bits as rounding needs, the noise that rounding of values then brings, and that of weights."""

    cells: tuple[Cell, ...]
    noise: float
    readers: Readers


def rounded_less(
    cells: Sequence[Cell], found: Mapping[str, Extent], of: Effects, widths: Widths, scales: Mapping[str, float]
) -> Rounded:  # fmt: skip
    """The cells with as many bits as rounding needs. scales: the real value of one step of each input.

    Wider values leave weights fewer bits where a potential is full, so a population is widened only where that helps.
    """
    made = {cell.name: cell for cell in cells}
    readers = Readers(cells, found, of, widths, scales)
    goal, doubled = (TARGET if widths.framed else _TARGET) ** 2 * of.spread, _doubled(widths)
    values = _widen(made, readers, found, of, goal) if widths.widen else _noise_of(cells, found, of)
    if doubled and sum(readers.noise.values()) > goal - values:
        for name in readers.paired(goal - values, doubled):
            made[name] = replace(made[name], weight_bits=PAIRED_BITS)
        values = _widen(made, readers, found, of, goal) if widths.widen else values  # beside weights that now bring less
    return Rounded(tuple(made.values()), values, readers)


def _doubled(widths: Widths) -> float:
    """What share of all synapses may be second ones of a weight: all where that is asked for."""
    spared = widths.widen and not widths.framed and widths.weight_bits == _SYNAPSE_BITS
    return np.inf if widths.paired else _DOUBLED * spared


def _noise_of(cells: Sequence[Cell], found: Mapping[str, Extent], of: Effects) -> float:
    return sum(noise for cell in cells for _, _, noise in rounding_of(cell, found, of))


def _widen(made: dict[str, Cell], readers: Readers, found: Mapping[str, Extent], of: Effects, goal: float) -> float:
    """Give cells bits until rounding of values brings no more noise than the goal leaves, and return what it then brings."""
    waiting = [(-noise, name, part) for cell in made.values() for name, part, noise in rounding_of(cell, found, of)]
    heapq.heapify(waiting)
    values, weights = -sum(noise for noise, _, _ in waiting), sum(readers.noise.values())
    while waiting and values > max(goal - weights, weights * _SMALL):
        noise, name, part = heapq.heappop(waiting)
        cell = made[name]
        argument = part == "argument"
        bits = (cell.argument_bits or argument_bits(cell.layer, cell.fused, cell.bits)) if argument else cell.bits
        if bits >= (MOST_ARGUMENT_BITS if argument else min(MOST_BITS, table_limit(cell, found))) or (
            cell.shares and not argument
        ):
            continue  # what shares the unit of a state has its bits
        more = 0.0 if argument else readers.more(name)
        if more + noise * 0.75 >= 0:
            continue
        if argument:
            made[name] = replace(cell, argument_bits=bits + 1)
        else:
            made[name] = replace(cell, bits=bits + 1)
            readers.widen(name)
        values, weights = values + noise * 0.75, weights + more
        heapq.heappush(waiting, (noise / 4, name, part))
    return values


def rounding_of(cell: Cell, found: Mapping[str, Extent], of: Effects) -> list[tuple[str, str, float]]:
    """The noise that rounding of a cell's result, and of the argument of its table, brings to the outputs."""
    if cell.kind in ("input", "readout", "largest", "previous") or cell.layer.op == "quantise":
        return []
    unit = np.broadcast_to(_unit(cell, found), cell.layer.shape)
    parts = [(cell.name, "result", _ROUNDING * float((np.square(unit) * of.active[cell.layer.name]).sum()))]
    if cell.kind == "sum" and is_tabulated(cell.layer, cell.fused, found[cell.before]):
        argument = found[cell.before]
        step = (
            float(argument.highest.max() - argument.lowest.min())
            * 1.2
            / (1 << argument_bits(cell.layer, cell.fused, cell.bits - cell.headroom))
        )
        parts.append((cell.name, "argument", _ROUNDING * step**2 * float(of.anywhere[cell.before].sum())))
    return parts


def _unit(cell: Cell, found: Mapping[str, Extent]) -> Floats:
    """The real value of a step, before any widening."""
    extent = found[cell.layer.name]
    levels = value_bounds(cell.bits - cell.headroom, bool(extent.lowest.min() < 0))[1]
    one = cell.kind == "sum" and is_tabulated(cell.layer, cell.fused, found[cell.before])
    size = extent.size.max() if one else result_extent(cell, found)
    return np.asarray(np.where(size > 0, size, 1.0) / levels)


@dataclass
class _Path:
    """A path into a sum, before any widening: its largest weights for one step of the source, inputs of a neuron, weights that
    are stored, variance of the source's integers and the largest of them."""

    source: str
    largest: Floats
    fan_in: float
    stored: int
    variance: float
    levels: int


class Readers:
    """What rounding of weights brings to the outputs, by weighted sum, for the bits that its sources have been given."""

    def __init__(
        self, cells: Sequence[Cell], found: Mapping[str, Extent], of: Effects, widths: Widths, scales: Mapping[str, float]
    ) -> None:
        self._widths, self._of, self._found, self._scales = widths, of, found, scales
        self._cells = {cell.name: cell for cell in cells}
        self._roots = {cell.name: _root(self._cells, cell.name) for cell in cells}
        self._extra = dict.fromkeys(self._cells, 0)
        self._paired: set[str] = set()
        self._into: dict[str, list[str]] = {}
        self._sums: dict[str, tuple[Cell, Sum, list[_Path], bool]] = {}
        for cell in cells:
            if cell.kind in ("sum", "readout"):
                (port,) = cell.ports
                assert isinstance(port, Sum)
                paths = [self._path(path) for path in port.paths]
                self._sums[cell.name] = cell, port, paths, any(isinstance(path.operator, Window) for path in port.paths)
                for source in dict.fromkeys(self._roots[path.source] for path in paths):
                    self._into.setdefault(source, []).append(cell.name)
        self.noise = {name: self._noise(name, self._extra) for name in self._sums}

    def more(self, source: str) -> float:
        """By how much a further bit of a source's values raises the noise of weights."""
        tried = {**self._extra, source: self._extra[source] + 1}
        return sum(self._noise(name, tried) - self.noise[name] for name in self._into.get(source, ()))

    def widen(self, source: str) -> None:
        self._extra[source] += 1
        for name in self._into.get(source, ()):
            self.noise[name] = self._noise(name, self._extra)

    def paired(self, goal: float, most: float) -> set[str]:
        """The sums to give two synapses a weight, first those that save most noise for their share of what all synapses do, or of
        the weights that are stored where that is more; until no more than a goal is left, or their shares come to `most`."""
        costs = self._shares()
        saved: dict[str, float] = {}
        for name, before in self.noise.items():
            cell, _, paths, _ = self._sums[name]
            if cell.shares or (most <= 1 and sum(path.fan_in for path in paths) <= FEW):
                continue  # its weights are near whole numbers as they are
            self._paired = {name}
            saved[name] = (before - self._noise(name, self._extra)) / costs[name]
        self._paired = set()
        for name in sorted(saved, key=lambda name: -saved[name]):
            if sum(self.noise.values()) <= goal or saved[name] <= 0:
                break
            if costs[name] > most:
                continue
            most -= costs[name]
            self._paired.add(name)
            self.noise[name] = self._noise(name, self._extra)
        return self._paired

    def _shares(self) -> dict[str, float]:
        """Of each sum the share of what all synapses do, or of the weights that are stored where that is more."""
        done = {name: sum(p.fan_in for p in paths) * prod(cell.layer.shape) for name, (cell, _, paths, _) in self._sums.items()}
        stored = {name: sum(p.stored for p in paths) for name, (_, _, paths, _) in self._sums.items()}
        all_done, all_stored = (max(sum(each.values()), 1) for each in (done, stored))
        return {name: max(done[name] / all_done, stored[name] / all_stored) or 1.0 for name in self._sums}

    def lifted(self, name: str, more: int) -> float:
        """By how much so many bits of headroom raise the noise of the weights into a cell."""
        return self._noise(name, self._extra, more) - self.noise[name] if name in self._sums else 0.0

    def _noise(self, name: str, extra: Mapping[str, int], beyond: int = 0) -> float:
        cell, port, paths, shared = self._sums[name]
        if not paths:
            return 0.0
        shape, value = cell.layer.shape, cell.before or cell.layer.name
        bits = [extra[self._roots[path.source]] for path in paths]
        largest = [path.largest / 2.0**more for path, more in zip(paths, bits, strict=True)]
        levels = [path.levels << more for path, more in zip(paths, bits, strict=True)]
        exponents = exponents_of([float(each.max()) for each in largest], levels)
        scale = together([each / 2.0**e for each, e in zip(largest, exponents, strict=True)], shape, shared)
        room = self._widths.room(cell.kind == "sum", sum_headroom(cell.layer, cell.fused, self._found[value], beyond))
        limit = self._widths.limit_of(PAIRED_BITS if name in self._paired else 0)
        step = np.maximum(scale / limit, reach_of(port, self._found[value], scale.shape) / room)
        matters = float((self._of.anywhere[value] * np.square(step)).sum())
        brought = sum(p.fan_in * p.variance * 4.0 ** (e + more) for p, e, more in zip(paths, exponents, bits, strict=True))
        return _ROUNDING * matters * brought

    def _path(self, path: Path) -> _Path:
        unit, levels, seen = self._sender(path.source)
        real = linear.times(path.operator, unit, 1.0)
        stored = real.weight.size if isinstance(real, Window) else int(np.count_nonzero(_stored(real)))
        entries = prod(real.weight.shape[1:]) if isinstance(real, Window) else stored / prod(real.target)
        variance = float((seen / np.square(unit)).mean())
        return _Path(path.source, largest_into(real, real.target), float(entries), stored, variance, levels)

    def _sender(self, name: str) -> tuple[Floats, int, Floats]:
        """Unit, largest integer and variance of what a cell sends, before any widening; biases make up for the mean."""
        cell = self._cells[name]
        seen = self._of.variance[cell.layer.name]
        if cell.kind == "input":
            size = float(np.sqrt(seen.max())) or 1.0
            step = self._scales[name]
            return np.full((1,) * seen.ndim, step), max(1, int(np.ceil(size / step))), seen
        cell = self._cells[self._roots[name]]
        levels = value_bounds(cell.bits, bool(self._found[cell.layer.name].lowest.min() < 0))[1]
        unit = _unit(cell, self._found)
        return (unit if unit.ndim == seen.ndim else np.full((1,) * seen.ndim, unit.max())), levels, seen


def _stored(operator: Operator) -> Any:
    assert isinstance(operator, Matrix)
    return operator.weight.data if sparse.issparse(operator.weight) else operator.weight


def _root(cells: Mapping[str, Cell], name: str) -> str:
    """The cell whose integers another one sends: maxima send those that they read, and so do frames before."""
    while cells[name].kind in ("largest", "previous"):
        name = cells[name].sources[0]
    return name
