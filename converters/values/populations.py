"""Primitive graph -> cells: the layers that become populations, and how each reads those before it.

Knows layers and linear operators; knows no units, integers or steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from math import prod

import numpy as np

from converters import linear
from converters.stages import split_concat
from converters.values.cells import Cell, Pick
from converters.values.decompose import OPERAND_BITS, STREAM_BITS
from converters.values.fusing import Fused, fused
from converters.values.means import MEANS, MOVES, WEIGHTED, means_apart
from converters.values.ports import dotted, pick, taps_of, weighted_sum
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer
from neuro.ops import OPS

_ALWAYS = frozenset({"input", "relu", "function", "multiply", "matmul", "max_pool", "quantise", "previous"})
_LINEAR = frozenset({*linear.FOLLOWED, "mask", "constant"}) | {op for op, row in OPS.items() if row.listed is not None}
LINEAR_BITS = 10  # of linear layers that other weighted layers read
_MEAN = 16  # values, the mean of which is a population of its own where it is added to others
_LISTED = 1 << 20  # synapses beyond which a population in the right order is worth its neurons
GATE_BITS = 12  # of what multiplies a state from frame to frame
FED_BACK_BITS = 10  # of values that are functions or products and come back one frame later
STATE_BITS = 16  # of sums that grow from frame to frame, and of the products that they are sums of;
WEIGHTED_STATE_BITS = 12  # of those that weighted layers read


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
    elif _listed(plan, layer) > _LISTED:
        _keep(plan, layer.inputs[0], STREAM_BITS)
    elif layer.op == "concat":
        _keep_joined(plan, layer)
    elif layer.op == "add":
        _keep_added(plan, layer)
    apart = dict.fromkeys(means_apart(plan.graph, plan.names, layer), STREAM_BITS)
    for name, bits in (apart | dict.fromkeys(_moved_before(plan, layer), LINEAR_BITS)).items():
        _keep(plan, name, bits)


def _keep_joined(plan: Plan, layer: Layer) -> None:
    """Make populations of weighted layers that are a small part of joined values: else their weights are listed."""
    for name in layer.inputs:
        source = _moved_from(plan, name)
        if 2 * prod(plan.graph[source].shape) < prod(layer.shape) and _dense(plan, source) > _LISTED:
            _keep(plan, source, OPERAND_BITS)


def _keep_added(plan: Plan, layer: Layer) -> None:
    """Make populations of means that are added at many places, and of a sum that several layers read."""
    for name in layer.inputs:
        if _repeated(plan, name, layer) >= _MEAN:
            _keep(plan, name, STREAM_BITS)
    if len(plan.graph.consumers(layer.name)) > 1 and layer.name not in plan.names:
        _keep(plan, layer.name, STREAM_BITS)


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


def _listed(plan: Plan, layer: Layer) -> int:
    """The synapses that a weighted layer takes when it is listed because of what rearranges its values, or is a mean of them."""
    if layer.op in MEANS:
        return _dense_before(plan, layer.inputs[0])
    source = plan.graph[layer.inputs[0]] if layer.op in MOVES else layer
    return _synapses(source) if layer.op in MOVES and source.name not in plan.names else 0


def _dense(plan: Plan, name: str) -> int:
    """The synapses of a weighted layer that is no population; 0 of any other layer."""
    layer = plan.graph[name]
    positions = {"conv": layer.shape[1:], "linear": layer.shape[:-1]}.get(layer.op)
    return 0 if name in plan.names or positions is None else int(layer.arrays["weight"].size * prod(positions))


def _dense_before(plan: Plan, name: str) -> int:
    """The most synapses of a weighted layer between the last populations and a layer's value."""
    if name in plan.names:
        return 0
    before = (_dense_before(plan, source) for source in plan.graph[name].inputs)
    return max(_dense(plan, name), max(before, default=0))


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
        port = weighted_sum(graph, part.source, plan.names)
        return Cell(name, "sum", layer, (port,), bits, uniform, part.source, fused=part)
    if layer.op == "previous":
        places = np.arange(prod(layer.shape)).reshape(-1, 1)
        return Cell(name, "previous", layer, (Pick(layer.inputs[0], places),), bits, uniform)
    if layer.op == "multiply":
        return Cell(name, "product", layer, tuple(pick(graph, plan.names, n, layer.shape) for n in layer.inputs), bits, uniform)
    if layer.op == "matmul":
        return Cell(name, "dot", layer, dotted(graph, plan.names, layer), bits, uniform)
    if layer.op == "max_pool":
        return Cell(name, "largest", layer, (taps_of(graph, plan.names, layer),), bits, uniform)
    before = _before(plan, layer)
    return Cell(
        name,
        "sum",
        layer,
        (weighted_sum(graph, before, plan.names - ({name} if before == name else set())),),
        bits,
        uniform,
        before,
    )


def _before(plan: Plan, layer: Layer) -> str:
    """The layer with the value of the sum that a population is a function of: itself where it is none."""
    if layer.name in plan.fused:
        return plan.fused[layer.name].source
    return layer.inputs[0] if layer.op in ("relu", "function", "quantise") else layer.name


def _readouts(plan: Plan) -> Iterator[Cell]:
    """What the host reads. Several outputs are named as in the graph; `decompose` leaves them an identity each."""
    taken = {layer.name for layer in plan.graph.layers}
    for name in plan.graph.outputs:
        last, named = plan.graph[name], name
        if len(plan.graph.outputs) == 1 and name in plan.names:
            named = "output" if "output" not in taken else f"{name}.output"
        yield Cell(named, "readout", last, (weighted_sum(plan.graph, name, plan.names),))
