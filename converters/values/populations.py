"""Primitive graph -> cells: the layers that become populations, and how each reads those before it.

Knows layers and linear operators; knows no units, integers or steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from converters import linear
from converters.evaluation import Evaluation
from converters.linear import Matrix, Operator
from converters.opmath import apply
from converters.stages import Path, split_concat
from converters.values.decompose import OPERAND_BITS, STREAM_BITS
from converters.values.fusing import Fused, fused
from converters.values.means import MOVES, WEIGHTED, means_apart
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer
from neuro.ops import OPS

Places = NDArray[np.int64]
_ALWAYS = frozenset({"input", "relu", "function", "multiply", "matmul", "max_pool", "quantise", "previous"})
_LINEAR = frozenset({*linear.FOLLOWED, "mask", "constant"}) | {op for op, row in OPS.items() if row.listed is not None}
LINEAR_BITS = 10  # of linear layers that other weighted layers read
_MEAN = 16  # values, the mean of which is a population of its own where it is added to others
_LISTED = 1 << 20  # synapses beyond which a population in the right order is worth its neurons
GATE_BITS = 12  # of what multiplies a state from frame to frame
FED_BACK_BITS = 10  # of values that are functions or products and come back one frame later
STATE_BITS = 16  # of sums that grow from frame to frame, and of the products that they are sums of;
WEIGHTED_STATE_BITS = 12  # of those that weighted layers read


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
    without rounding; weight_bits: of the weights into it, two synapses each, 0 for those of one synapse."""

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

    @property
    def sources(self) -> tuple[str, ...]:
        """Populations that it reads."""
        named = [path.source for port in self.ports if isinstance(port, Sum) for path in port.paths]
        return tuple(dict.fromkeys([*named, *(port.source for port in self.ports if isinstance(port, Pick))]))


@dataclass
class Plan:
    """Which layers of a graph become populations, with how many bits, and which of them need one unit."""

    graph: Graph
    bits: dict[str, int]
    names: set[str] = field(default_factory=set)
    fused: dict[str, Fused] = field(default_factory=dict)
    uniform: set[str] = field(default_factory=set)
    shares: dict[str, str] = field(default_factory=dict)


def cells(graph: Graph, bits: dict[str, int], value_bits: int = 8) -> tuple[Cell, ...]:
    """The cells of a graph in primitive ops, in order, readouts last. bits: of the layers that need more than `value_bits`."""
    return tuple(cells_in(planned(graph, bits), value_bits))


def cells_in(plan: Plan, value_bits: int = 8) -> Iterator[Cell]:
    """The cells of a plan, each made when it is asked for: lists of what dot products read take much memory."""
    layers = plan.graph.layers
    first = any(layer.op in ("conv", "conv_transpose") and len(layer.shape) == 2 for layer in layers)
    found = (_cell(plan, layer, value_bits) for layer in layers if layer.name in plan.names)
    for cell in chain(found, _readouts(plan)):
        yield replace(cell, channels=_channel_axis(cell.layer.shape, first), shares=plan.shares.get(cell.name, ""))


def measured(plan: Plan) -> list[tuple[str, str]]:
    """Of each cell, in order, the layer with the value of its sum, and its own."""
    kept = [layer for layer in plan.graph.layers if layer.name in plan.names]
    return [(_before(plan, layer), layer.name) for layer in kept] + [(name, name) for name in plan.graph.outputs]


def planned(graph: Graph, bits: dict[str, int]) -> Plan:
    """Which layers of a graph in primitive ops become populations, with how many bits."""
    for layer in graph.layers:
        if layer.op not in _ALWAYS | _LINEAR:
            raise ConversionError(layer.place, f"the op {layer.op} has no form of values", "Leave it out, or compute it before")
    plan = Plan(graph, dict(bits))
    for layer in graph.layers:
        if layer.op == "previous":
            _keep_state(plan, layer.inputs[0])
    plan.fused = fused(graph, plan.names | set(plan.bits))
    inner = {layer.name for part in plan.fused.values() for layer in part.layers}
    always = {layer.name for layer in graph.layers if layer.op in _ALWAYS or layer.name in bits}
    plan.names = (plan.names | always) - inner | set(plan.fused)
    for layer in graph.layers:
        if layer.name not in inner:
            _keep_inputs(plan, layer)
    return plan


def _channel_axis(shape: tuple[int, ...], first: bool) -> int | None:
    """The axis along which units may differ: channels of images; of two axes the first where convolutions read such values, else
    the shorter, features or channels; else none."""
    if len(shape) > 3:
        return None
    return int(np.argmin(shape)) if len(shape) == 2 and not first else 0


def _keep_inputs(plan: Plan, layer: Layer) -> None:
    """Make populations of what a layer must read as values, or had better."""
    if layer.op in ("multiply", "matmul", "max_pool"):
        for name in layer.inputs:
            source = _moved_from(plan, name)
            if source not in plan.names:
                _keep(plan, source, OPERAND_BITS)
            if layer.op == "matmul" or (layer.op == "max_pool" and source != name):
                _make_uniform(plan, source)
    elif layer.op in WEIGHTED and _weighted_before(plan, layer.inputs[0]):
        _keep(plan, layer.inputs[0], LINEAR_BITS)
    elif layer.op in MOVES and _explicit(plan, layer) > _LISTED:
        _keep(plan, layer.inputs[0], STREAM_BITS)
    elif layer.op == "add":
        for name in layer.inputs:
            if _repeated(plan, name, layer) >= _MEAN:
                _keep(plan, name, STREAM_BITS)
        if len(plan.graph.consumers(layer.name)) > 1 and layer.name not in plan.names:
            _keep(plan, layer.name, STREAM_BITS)
    apart = dict.fromkeys(means_apart(plan.graph, plan.names, layer), STREAM_BITS)
    for name, bits in (apart | dict.fromkeys(_moved_before(plan, layer), LINEAR_BITS)).items():
        _keep(plan, name, bits)


def _keep(plan: Plan, name: str, bits: int) -> None:
    """Make a population of a layer, with so many bits unless it has others."""
    plan.names.add(name)
    plan.bits.setdefault(name, bits)


def _keep_state(plan: Plan, name: str) -> None:
    """Make a population of what is read one frame later, with as many bits as a state needs."""
    op = plan.graph[name].op
    plan.names.add(name)
    if op == "identity" and name in plan.bits:  # a copy
        return
    if op in _ALWAYS:
        if op in ("multiply", "function"):
            plan.bits[name] = max(plan.bits.get(name, 0), FED_BACK_BITS)
        return
    bits = WEIGHTED_STATE_BITS if _weighted_behind(plan.graph, name, set()) else STATE_BITS
    for part in _summed(plan.graph, name):
        plan.names.add(part)
        plan.shares[part] = name
        plan.bits[part] = max(plan.bits.get(part, 0), bits)
        for gate in plan.graph[part].inputs if plan.graph[part].op == "multiply" else ():
            _keep_gate(plan, gate)


def _keep_gate(plan: Plan, name: str) -> None:
    """Give what a state is multiplied by in each frame the bits of a gate: errors of it add up over frames."""
    while plan.graph[name].op in MOVES:
        name = plan.graph[name].inputs[0]
    if plan.graph[name].op in ("function", "scale", "add"):
        plan.bits[name] = max(plan.bits.get(name, 0), GATE_BITS)
        if plan.graph[name].op == "scale":
            plan.names.add(name)
            _keep_gate(plan, plan.graph[name].inputs[0])


def _weighted_behind(graph: Graph, name: str, seen: set[str]) -> bool:
    """Whether a weighted layer reads a layer's values, as they are or summed with others."""
    seen.add(name)
    behind = [layer for layer in graph.consumers(name) if layer.name not in seen]
    passed = MOVES | {"previous", "concat", "scale"}
    return any(one.op in WEIGHTED or (one.op in passed and _weighted_behind(graph, one.name, seen)) for one in behind)


def _summed(graph: Graph, name: str) -> list[str]:
    """A sum, and the products and scaled states that it is a sum of."""
    found = [name]
    for source in graph[name].inputs if graph[name].op in ("add", "identity") else ():
        op, only = graph[source].op, len(graph.consumers(source)) == 1
        if only and (op == "multiply" or (op == "scale" and "shift" not in graph[source].arrays)):
            found.append(source)
        elif op in ("add", "identity") and only:
            found += _summed(graph, source)[1:]
    return found


def _make_uniform(plan: Plan, name: str) -> None:
    """A maximum has the units of what it reads."""
    plan.uniform.add(name)
    if plan.graph[name].op == "previous" and plan.graph[name].inputs[0] not in plan.uniform:
        _make_uniform(plan, plan.graph[name].inputs[0])
    if plan.graph[name].op == "max_pool":
        _make_uniform(plan, _moved_from(plan, plan.graph[name].inputs[0]))


def _moved_from(plan: Plan, name: str) -> str:
    """The layer whose values another one only rearranges."""
    while name not in plan.names and plan.graph[name].op in MOVES:
        name = plan.graph[name].inputs[0]
    return name


def _weighted_before(plan: Plan, name: str) -> bool:
    """Whether a weighted layer lies between the last populations and a layer's value."""
    if name in plan.names:
        return False
    layer = plan.graph[name]
    return layer.op in WEIGHTED or any(_weighted_before(plan, source) for source in layer.inputs)


def _moved_before(plan: Plan, layer: Layer) -> list[str]:
    """What a convolution reads of rearranged values, through which it would be a long list of synapses; of joined channels the
    parts."""
    if _synapses(layer) <= _LISTED or layer.inputs[0] in plan.names:
        return []
    source = layer.inputs[0]
    parts = split_concat(plan.graph, layer) if plan.graph[source].op == "concat" else [(source, layer)]
    if not parts:
        return [source]
    hidden = [(name, part) for name, part in parts if name not in plan.names and plan.graph[name].op in MOVES | {"concat"}]
    return [name for name, part in hidden if _synapses(part) > _LISTED]


def _explicit(plan: Plan, layer: Layer) -> int:
    """The synapses that a convolution takes when it is listed because of what rearranges its values."""
    source = plan.graph[layer.inputs[0]]
    return _synapses(source) if source.name not in plan.names and source.op == "conv" else 0


def _repeated(plan: Plan, name: str, layer: Layer) -> int:
    """How many values a sum has that is added at several places: as synapses of each, its weights would be small there."""
    times = prod(layer.shape) // max(1, prod(plan.graph[name].shape))
    while times > 1 and name not in plan.names and len(plan.graph[name].inputs) == 1:
        before = plan.graph[name].inputs[0]
        if plan.graph[name].op == "reduce":
            return prod(plan.graph[before].shape) // prod(plan.graph[name].shape)
        name = before
    return 0


def _synapses(layer: Layer) -> int:
    return int(layer.arrays["weight"].size * prod(layer.shape[1:])) if layer.op == "conv" else 0


def _cell(plan: Plan, layer: Layer, value_bits: int) -> Cell:
    name, graph = layer.name, plan.graph
    bits, uniform = max(plan.bits.get(name, value_bits), value_bits), name in plan.uniform
    if layer.op == "input":
        return Cell(name, "input", layer, bits=bits)
    if name in plan.fused:
        part = plan.fused[name]
        port = _sum(graph, part.source, plan.names)
        return Cell(name, "sum", layer, (port,), bits, uniform, part.source, fused=part)
    if layer.op == "previous":
        places = np.arange(prod(layer.shape)).reshape(-1, 1)
        return Cell(name, "previous", layer, (Pick(layer.inputs[0], places),), bits, uniform)
    if layer.op == "multiply":
        return Cell(name, "product", layer, tuple(_pick(plan, n, layer.shape) for n in layer.inputs), bits, uniform)
    if layer.op == "matmul":
        return Cell(name, "dot", layer, _dotted(plan, layer), bits, uniform)
    if layer.op == "max_pool":
        return Cell(name, "largest", layer, (_taps(plan, layer),), bits, uniform)
    before = _before(plan, layer)
    return Cell(
        name, "sum", layer, (_sum(graph, before, plan.names - ({name} if before == name else set())),), bits, uniform, before
    )


def _before(plan: Plan, layer: Layer) -> str:
    """The layer with the value of the sum that a population is a function of: itself where it is none."""
    if layer.name in plan.fused:
        return plan.fused[layer.name].source
    return layer.inputs[0] if layer.op in ("relu", "function", "quantise") else layer.name


def _readouts(plan: Plan) -> list[Cell]:
    """What the host reads. Several outputs are named as in the graph; `decompose` leaves them an identity each."""
    if len(plan.graph.outputs) > 1:
        named = [plan.graph[name] for name in plan.graph.outputs]
        return [Cell(one.name, "readout", one, (_sum(plan.graph, one.name, plan.names),)) for one in named]
    last = plan.graph.output
    name = "output" if all(layer.name != "output" for layer in plan.graph.layers) else f"{last.name}.output"
    return [Cell(last.name if last.name not in plan.names else name, "readout", last, (_sum(plan.graph, last.name, plan.names),))]


# What a port reads


def _positions(plan: Plan, name: str) -> tuple[str, Places]:
    """The population that a layer's values are, and the place there of each of them, in the layer's shape."""
    source, chain = name, []
    while source not in plan.names:
        chain.append(plan.graph[source])
        source = plan.graph[source].inputs[0]
    at = torch.arange(prod(plan.graph[source].shape)).reshape(1, *plan.graph[source].shape)
    for layer in reversed(chain):
        at = apply(layer, [at])
    return source, at[0].numpy()


def _pick(plan: Plan, name: str, shape: tuple[int, ...]) -> Pick:
    source, at = _positions(plan, name)
    return Pick(source, np.broadcast_to(at, shape).reshape(-1, 1))


def _dotted(plan: Plan, layer: Layer) -> tuple[Pick, Pick]:
    """Rows of the first matrix and columns of the second, one for each result."""
    (first, a), (second, b) = (_positions(plan, name) for name in layer.inputs)
    whole = (*layer.shape, a.shape[-1])
    rows = np.broadcast_to(a[..., :, None, :], whole)
    columns = np.broadcast_to(np.swapaxes(b, -1, -2)[..., None, :, :], whole)
    return Pick(first, rows.reshape(-1, whole[-1])), Pick(second, columns.reshape(-1, whole[-1]))


def _taps(plan: Plan, layer: Layer) -> Pick:
    """Every window's places; those beyond the image are replaced by one inside, which changes no maximum."""
    source, at = _positions(plan, layer.inputs[0])
    o, found = layer.options, []
    for axis, n in enumerate(at.shape[1:]):
        start = np.arange(layer.shape[1 + axis]) * o["stride"][axis] - o["padding"][axis][0]
        taps = start[:, None] + np.arange(o["kernel"][axis]) * o["dilation"][axis]
        inside = (taps >= 0) & (taps < n)
        anyone = np.take_along_axis(taps, inside.argmax(1)[:, None], 1)
        found.append(np.where(inside, taps, anyone))
    picked = at
    for axis, taps in enumerate(found):  # (channels, out, taps, ...) for each axis in turn
        picked = np.take(picked, taps, axis=1 + 2 * axis)
    axes = len(found)
    order = (0, *(1 + 2 * i for i in range(axes)), *(2 + 2 * i for i in range(axes)))
    return Pick(source, picked.transpose(order).reshape(prod(layer.shape), -1))


def _sum(graph: Graph, name: str, names: set[str]) -> Sum:
    merged: dict[Any, Path] = {}
    for path in _paths(graph, name, names):
        op = path.operator
        key: Any = (path.source, "matrix")
        if isinstance(op, linear.Window):
            key = (path.source, op.stride, op.padding, op.dilation, op.groups, op.weight.shape)
        if key in merged:
            path = Path(path.source, replace(op, weight=merged[key].operator.weight + op.weight))
        merged[key] = path
    zeros = {n: torch.zeros(1).expand(1, *graph[n].shape) for n in names}
    bias = Evaluation(graph, zeros, (name,)).value(name)[0].numpy().astype(np.float64)
    return Sum(tuple(merged.values()), bias)


def _paths(graph: Graph, name: str, names: set[str]) -> list[Path]:
    """Every linear way from a population to the value of a layer."""
    layer = graph[name]
    if name in names:
        return [Path(name, linear.identity(layer.shape))]
    shapes = tuple(graph[source].shape for source in layer.inputs)
    found: list[Path] = []
    if layer.op == "conv" and graph[layer.inputs[0]].op == "concat" and layer.inputs[0] not in names:
        for source, piece in split_concat(graph, layer):
            for path in _paths(graph, source, names):
                found.append(replace(path, operator=linear.follow(path.operator, piece)))
        if found:
            return found
    for part, source in enumerate(layer.inputs):
        for path in _paths(graph, source, names):
            found.append(replace(path, operator=_followed(path.operator, layer, part, shapes)))
    return found


def _followed(operator: Operator, layer: Layer, part: int, shapes: tuple[tuple[int, ...], ...]) -> Operator:
    if layer.op == "mask":
        return linear.times(operator, 1.0, np.broadcast_to(layer.arrays["keep"] != 0, layer.shape))
    if layer.op == "add" and shapes[part] != layer.shape:
        at = np.arange(prod(shapes[part])).reshape(shapes[part])
        matrix = linear.to_matrix(operator)
        weight = matrix.weight.tocsc() if sparse.issparse(matrix.weight) else matrix.weight
        return Matrix(matrix.source, layer.shape, weight[:, np.broadcast_to(at, layer.shape).ravel()])
    if layer.op == "scale":
        factor = np.broadcast_to(layer.arrays.get("factor", np.ones(1)), layer.shape)
        return linear.times(operator, 1.0, factor)
    return linear.follow(operator, layer, part, shapes)
