"""NIR graph of any writer -> Network: linear nodes become operators, neurons populations, everything chip integers.

Knows nodes and edges; what a neuron's equations become is `nir_neurons`, what a file may hold `nir_files`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters import integers, linear
from converters.formats import nir_neurons
from converters.formats.nir_layers import MOST_VALUES, NEURONS, Shape, linear_layer
from converters.linear import Operator
from converters.operators import entries
from converters.opmath import apply
from neuro.encoding import source_of
from neuro.errors import ConversionError
from neuro.network import Network, Population
from neuro.neurons import IntegrateAndFire, LeakyReadout, Readout, Source
from neuro.projections import Dense, OneToOne, Projection

Floats = NDArray[np.float64]
_MOST_PATHS = 10_000
_BIAS = "bias"  # the population that fires at every step, for neurons without a bias of their own


@dataclass(frozen=True, slots=True)
class Connection:
    """A linear way from a population's spikes to a neuron node, and how many steps later than they come they act."""

    source: str
    operator: Operator
    late: int


def imported(graph: Any, r: nir_neurons.Reading) -> Network:
    """The network of a graph; `r` fills in what NIR leaves open."""
    nodes, edges = _flattened(graph, "")
    builder = _Importer(nodes, edges, r)
    outputs = [name for name, node in nodes.items() if type(node).__name__ == "Output"]
    if len(outputs) != 1:
        raise ConversionError("NIR graph", f"it has {len(outputs)} outputs", "Write a graph with one")
    for name in builder.order(outputs[0]):
        builder.visit(name)
    builder.output(outputs[0])
    return builder.finish()


def _flattened(graph: Any, prefix: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nodes and edges with graphs inside graphs written out; their inputs and outputs pass on what they get."""
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    ends: dict[str, tuple[str, str]] = {}
    for name, node in graph.nodes.items():
        if type(node).__name__ != "NIRGraph":
            nodes[f"{prefix}{name}"] = node
            continue
        inner, more = _flattened(node, f"{prefix}{name}.")
        kinds = {key: type(part).__name__ for key, part in node.nodes.items()}
        if list(kinds.values()).count("Input") != 1 or list(kinds.values()).count("Output") != 1:
            raise ConversionError(f"node {prefix + name!r}", "a graph inside must have one input and one output", "Write it flat")
        first, last = (next(key for key, kind in kinds.items() if kind == wanted) for wanted in ("Input", "Output"))
        ends[f"{prefix}{name}"] = (f"{prefix}{name}.{first}", f"{prefix}{name}.{last}")
        nodes |= {key: None if key in ends[f"{prefix}{name}"] else part for key, part in inner.items()}
        edges += more
    edges += [
        (ends.get(f"{prefix}{a}", ("", f"{prefix}{a}"))[1], ends.get(f"{prefix}{b}", (f"{prefix}{b}", ""))[0])
        for a, b in graph.edges
    ]
    return nodes, edges


class _Importer:
    """Visits nodes from the output backwards and collects populations and projections."""

    def __init__(self, nodes: dict[str, Any], edges: list[tuple[str, str]], r: nir_neurons.Reading) -> None:
        self.nodes, self.r = nodes, r
        self.before: dict[str, list[str]] = {name: [] for name in nodes}
        for a, b in edges:
            if a not in nodes or b not in nodes:
                raise ConversionError(
                    "NIR graph",
                    f"an edge joins {a!r} and {b!r}, which are not both there",
                    "Write both nodes, or leave the edge out",
                )
            self.before[b].append(a)
        place = {name: i for i, name in enumerate(nodes)}
        for sources in self.before.values():
            sources.sort(key=place.__getitem__)
        self.shapes: dict[str, Shape] = {}
        self.zeros: dict[str, torch.Tensor] = {}  # values where no spike arrives
        self.paths_of: dict[str, list[Connection]] = {}
        self.visiting: set[str] = set()
        self.populations: dict[str, Population] = {}
        self.projections: list[Projection] = []
        self.notes: list[str] = list(r.notes())
        self.bias_wanted: list[tuple[str, NDArray[np.int64]]] = []
        self.worst = 0.0

    def where(self, name: str) -> str:
        return f"node {name!r} ({type(self.nodes[name]).__name__})"

    def order(self, last: str) -> list[str]:
        """Nodes that lead to `last`, each after those before it, so that deep networks need no deep recursion."""
        found: list[str] = []
        seen, waiting = {last}, [(last, iter(self.before[last]))]
        while waiting:
            name, sources = waiting[-1]
            source = next((s for s in sources if s not in seen), None)
            if source is None:
                found.append(name)
                waiting.pop()
            else:
                seen.add(source)
                waiting.append((source, iter(self.before[source])))
        return found[:-1]

    # What a node yields: its shape, its value without spikes, the paths from populations to it

    def visit(self, name: str) -> None:
        """Make sure that a node's shape, constant and paths are known."""
        if name in self.paths_of:
            return
        node, kind = self.nodes[name], type(self.nodes[name]).__name__
        try:
            if kind == "Input":
                self._source(name, node)
            elif kind in NEURONS:
                self._neuron(name)
            else:
                self._linear(name, node)
        except RecursionError:
            raise
        except (KeyError, ValueError, IndexError, TypeError, AttributeError, OverflowError, RuntimeError) as error:
            shapes = sorted({self.shapes[s] for s in self.before[name] if s in self.shapes})
            fact = f"it does not fit inputs of the shapes {shapes} ({type(error).__name__}: {error})"
            raise ConversionError(self.where(name), fact, "Write the node with sizes that fit what leads to it") from None

    def _seen(self, name: str) -> None:
        self.zeros[name] = torch.zeros((1, *self.shapes[name]))
        self.paths_of[name] = [Connection(name, linear.identity(self.shapes[name]), 0)]

    def _source(self, name: str, node: Any) -> None:
        shape = tuple(int(n) for n in np.ravel(node.input_type["input"]))
        follower = next((self.nodes[b] for b in self.nodes if name in self.before[b]), None)
        rank = {"Conv2d": 3, "Conv1d": 2, "Affine": 1, "Linear": 1}.get(type(follower).__name__, len(shape))
        if len(shape) == rank + 1 and shape[0] == 1:
            self.notes.append(f"the input's shape {shape} begins with an axis of samples, which is left out")
            shape = shape[1:]
        if not shape or min(shape) < 1 or math.prod(shape) > MOST_VALUES:
            raise ConversionError(self.where(name), f"its shape is {shape}", "Write the shape of one sample")
        self.shapes[name] = shape
        self.populations[name] = Population(name, shape, Source(scale=self.r.input_scale))
        self._seen(name)

    def _linear(self, name: str, node: Any) -> None:
        """A node without state: several edges into it add up."""
        sources = self._inputs(name)
        shape = self.shapes[sources[0]]
        layer, late = linear_layer(name, node, shape, self.r.dt)
        total = sum((self.zeros[s] for s in sources[1:]), self.zeros[sources[0]])
        self.shapes[name] = layer.shape
        self.zeros[name] = apply(layer, [total])
        paths = [p for s in sources for p in self.paths_of[s]]
        if len(paths) > _MOST_PATHS:
            raise ConversionError(self.where(name), f"{len(paths):,} ways lead to it", "Write a simpler graph")
        self.paths_of[name] = [Connection(p.source, linear.follow(p.operator, layer), p.late + late) for p in paths]

    def _inputs(self, name: str) -> list[str]:
        """The nodes before a node, all of them visited and of one shape."""
        sources = self.before[name]
        if not sources:
            raise ConversionError(self.where(name), "nothing leads to it", "Connect it, or leave it out")
        if name in self.visiting:
            raise ConversionError(self.where(name), "it is part of a loop", "Feed back within one layer of neurons only")
        self.visiting.add(name)
        for source in sources:
            self.visit(source)
        self.visiting.discard(name)
        shapes = {self.shapes[s] for s in sources}
        if len(shapes) != 1:
            raise ConversionError(self.where(name), f"inputs of the shapes {sorted(shapes)} meet", "Add values of one shape only")
        return sources

    # Neurons

    def _neuron(self, name: str) -> None:
        e = nir_neurons.equations(self.nodes[name], self.where(name), self.r)
        shape = tuple(np.broadcast_shapes(e.gain.shape, np.shape(e.threshold if e.threshold is not None else 0)))
        back = [s for s in self.before[name] if self._leads_back(s, name)]
        every, self.before[name] = self.before[name], [s for s in self.before[name] if s not in back]
        forward = self._inputs(name)
        own = self.shapes[forward[0]]
        if len(shape) > len(own) or any(n not in (1, m) for n, m in zip(shape[::-1], own[::-1], strict=False)):
            raise ConversionError(
                self.where(name), f"parameters of shape {shape} for inputs of shape {own}", f"Write parameters of shape {own}"
            )
        self.shapes[name] = own
        self._seen(name)
        outer, self.visiting = self.visiting, set()  # what leads back depends on this node alone
        for source in back:
            self.visit(source)
        self.visiting, self.before[name] = outer, every
        if {self.shapes[s] for s in back} - {own}:
            fact = f"its feedback has another shape: {sorted({self.shapes[s] for s in back})}, its inputs {own}"
            raise ConversionError(self.where(name), fact, f"Let the feedback have the shape {own}")
        self._place(name, e, forward + back)

    def _leads_back(self, source: str, target: str) -> bool:
        """Whether a node's value comes from the spikes of `target` alone, by way of linear nodes."""
        waiting, seen, reached = [source], set(), set()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                stateful = type(self.nodes[name]).__name__ in (*NEURONS, "Input")
                reached |= {name} if stateful else set()
                waiting += [] if stateful else self.before[name]
        return reached == {target}

    def _place(self, name: str, e: nir_neurons.Equations, sources: list[str]) -> None:
        """The population of a neuron node with the projections into it."""
        shape = self.shapes[name]
        paths = [p for s in sources for p in self.paths_of[s]]
        start = 1 + max(self.populations[p.source].neuron.start_step for p in paths if p.source != name)
        constant = sum((self.zeros[s] for s in sources[1:]), self.zeros[sources[0]])[0].numpy().astype(np.float64)
        arriving = constant * e.gain  # a constant input; it passes through the current, the pull of the leak does not
        per = np.ones(shape) if e.threshold is None else np.broadcast_to(e.threshold, shape)
        operators = [linear.times(p.operator, self._unit(p.source), np.broadcast_to(e.gain, shape) / per) for p in paths]
        direct = e.keep_current is None
        own, carried = (e.pull + arriving * direct) / per, arriving * (not direct) / per
        scale = self._scale(operators, own + carried, e, name)
        if e.threshold is None or not nir_neurons.takes_bias(e, self.r):
            if not direct and np.any(e.pull):
                raise ConversionError(self.where(name), "a leak voltage has no place in its model here", "Set v_leak to v_reset")
            own, carried = np.zeros(1), own + carried
        if e.threshold is None:
            self._integrator(name, e, scale, start, operators, own + carried)
        else:
            bias = np.rint(own * scale * nir_neurons.bias_unit(e)).astype(np.int64)
            self.populations[name] = Population(name, shape, nir_neurons.model(e, round(scale), bias, start, self.r))
        self._project(name, paths, operators, scale)
        whole = np.rint(carried * scale).astype(np.int64)
        if whole.any():
            self.bias_wanted.append((name, whole))

    def _integrator(
        self, name: str, e: nir_neurons.Equations, scale: float, start: int, operators: list[Operator], constant: Floats
    ) -> None:
        """A neuron that never fires: a readout, which leaks as the chip's neuron does, or, where a decay of 12 bits is much
        coarser, by way of a population with a program of its own that sends its changes."""
        after = [type(self.nodes[b]).__name__ for b in self.nodes if name in self.before[b]]
        if e.keep_current is not None or set(after) != {"Output"}:
            raise ConversionError(self.where(name), "its potential is read by other nodes", "Let I and LI end in the output")
        shape = self.shapes[name]
        if e.keep == 1:
            self.populations[name] = Population(name, shape, Readout(1 / scale, start_step=start))
            return
        rounded = sum(_fan_in(op) * _off(_flat(op) * scale) for op in operators) + _off(constant * scale)
        most = scale * (sum(_reach(op) for op in operators) + float(np.abs(constant).max(initial=0))) + rounded
        bits = nir_neurons.integrator_bits(e, most)
        off, chip = nir_neurons.integrator_error(e, bits, most, rounded), nir_neurons.chip_readout(e, most, rounded)
        if chip is not None and chip[1] <= nir_neurons.AS_GOOD * off:
            lost, off = chip
            self.populations[name] = Population(name, shape, LeakyReadout(lost, 1 / (64 * scale), start_step=start))
            how = f"leaks by {lost} of 4096 a step, as the chip's own neuron does"
        else:
            self.populations[name] = Population(name, shape, nir_neurons.integrator(e, start, bits))
            self._readout(name, Readout(1 / (2**bits * scale), start_step=start + 1))
            how = "leaks by a program, which some chips do not have"
        within = f"with inputs of 0 and 1 is within {off / scale:.3g} of its equation's"
        self.notes.append(f"node {name!r}: its potential has 24 bits, {how}, and {within}")

    def _unit(self, source: str) -> float:
        population = self.populations.get(source)
        return (source_of(population).scale or 1.0) if population and population.neuron.is_source else 1.0

    def _scale(self, operators: list[Operator], bias: Floats, e: nir_neurons.Equations | None, name: str) -> float:
        """Integer units in a threshold: so many that nothing needs rounding, if that can be, else as many as weights allow."""
        largest = max(integers.largest_weight(operators), 1e-30)
        room = 1.0 if e is None or e.keep_current is None else 1 / (1 - min(e.keep_current, 1 - 2**-12))
        total = room * sum(_reach(op) for op in operators) + float(np.abs(bias).max(initial=0))
        most = min(self.r.limit / largest, e.limit if e else 2.0**20, (e.limit if e else 2.0**22) / max(total, 1e-30))
        if (
            e is not None and e.threshold is None and e.keep < 1
        ):  # a potential of 24 bits holds all that it can add up to, with half a unit of rounding for each weight
            spare = nir_neurons.POTENTIAL / nir_neurons.leak_gain(e) - 1 - sum(_fan_in(op) for op in operators)
            most = min(self.r.limit / largest, e.limit, spare / max(total, 1e-30))
        flat = [*map(_flat, operators), np.ravel(bias)]
        levels = {1.0} if e is None or e.threshold is None else {1.0, *np.unique(e.threshold)[:4].tolist()}
        tried = sorted(level * 2.0**power for level in levels for power in range(-24, 25))
        for scale in tried:
            if 1 <= scale <= most and _whole(np.array([scale])) and all(_whole(values * scale) for values in flat):
                return float(round(scale))
        if most < 1:
            raise ConversionError(self.where(name), f"weights reach {largest:.3g} thresholds", "Pass more weight_bits")
        scale = float(math.floor(most))
        errors = [_off(v * scale) for v in flat[:-1]]
        self.worst = max(self.worst, *(error / (largest * scale) for error in errors))
        return scale

    def _project(self, name: str, paths: list[Connection], operators: list[Operator], scale: float) -> None:
        start = self.populations[name].neuron.start_step
        for path, operator in zip(paths, operators, strict=True):
            whole = integers.rounded(linear.times(operator, 1.0, scale), 2**24)
            delay = 1 if path.source == name else start - self.populations[path.source].neuron.start_step
            self.projections.append(integers.projection(path.source, name, whole, delay + path.late))

    # The output

    def output(self, name: str) -> None:
        """The readout: spikes are counted; the mean over the steps of what is linear in them; the potential of I and LI."""
        sources = self._inputs(name)
        if len(sources) == 1 and type(self.nodes[sources[0]]).__name__ in ("I", "LI"):
            return
        if len(sources) == 1 and sources[0] in self.populations:
            start = self.populations[sources[0]].neuron.start_step + 1
            self._readout(sources[0], Readout(start_step=start))
            return
        paths = [p for s in sources for p in self.paths_of[s]]
        operators = [linear.times(p.operator, self._unit(p.source), 1.0) for p in paths]
        scale = self._scale(operators, np.zeros(1), None, name)
        offset = sum((self.zeros[s] for s in sources[1:]), self.zeros[sources[0]])[0].numpy().astype(np.float64)
        start = 1 + max(self.populations[p.source].neuron.start_step for p in paths)
        free = _free("output", self.populations)
        neuron = Readout(1 / scale, offset, average=True, start_step=start)
        self.populations[free] = Population(free, self.shapes[sources[0]], neuron)
        self._project(free, paths, operators, scale)

    def _readout(self, source: str, neuron: Readout) -> None:
        name = _free("output", self.populations)
        self.populations[name] = Population(name, self.populations[source].shape, neuron)
        self.projections.append(OneToOne(source, name))

    def finish(self) -> Network:
        """The network; neurons without a bias of their own get it from one that fires at every step."""
        if self.bias_wanted:
            name = _free(_BIAS, self.populations)
            self.populations[name] = Population(name, (1,), IntegrateAndFire(1, bias=1))
            for target, whole in self.bias_wanted:
                full = np.broadcast_to(whole, self.populations[target].shape).reshape(1, -1)
                self.projections.append(Dense(name, target, full, self.populations[target].neuron.start_step))
            self.notes.append(f"population {name!r} fires at every step and carries the biases")
        if self.worst > 0:
            self.notes.append(
                f"weights were rounded to {self.r.weight_bits} bits: by up to {100 * self.worst:.2g} % of the largest"
            )
        return Network(tuple(self.populations.values()), tuple(self.projections), self.r.timesteps, tuple(self.notes))


def _reach(operator: Operator) -> float:
    """At least the largest sum of absolute weights into one target."""
    if isinstance(operator, linear.Matrix):
        return float(abs(operator.weight).sum(axis=0).max())
    return float(np.abs(operator.weight).reshape(len(operator.weight), -1).sum(axis=1).max())


def _flat(operator: Operator) -> Floats:
    """Every weight of an operator."""
    return np.ravel(entries(operator) if isinstance(operator, linear.Matrix) else operator.weight)


def _fan_in(operator: Operator) -> int:
    """At least the largest number of weights into one target."""
    if isinstance(operator, linear.Matrix):
        return int(np.max((operator.weight != 0).sum(axis=0)))
    return int(operator.weight[0].size)


def _off(values: Floats) -> float:
    """How far the one that is farthest is from a whole number."""
    return float(np.abs(values - np.rint(values)).max(initial=0))


def _whole(values: Floats) -> bool:
    return _off(values) <= 1e-6


def _free(name: str, taken: Any) -> str:
    return next(n for n in (name, *(f"{name}_{i}" for i in range(1, 10_000))) if n not in taken)
