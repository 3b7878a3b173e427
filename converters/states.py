"""Inputs of a network that are outputs of the frame before: found by name and shape, closed by `previous`. Knows graphs only."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from neuro.errors import ConversionError
from neuro.graph import Graph, Layer

_ENDS = re.compile(r"(?<=.)([._]?(out|in|next|new|prev|previous|n|N|o|i|0|1))+$")


def close_loops(graph: Graph, state: Mapping[str, str] | None = None) -> Graph:
    """The graph with frames in which inputs are what outputs were one frame ago, at first 0; those outputs are none any more.

    state: {input: output}; None finds them: of each input but the first the one output of its shape, or that of a like name.
    Raises ConversionError for names that do not exist, shapes that differ, and states that are not found or doubtful.
    """
    pairs = found_states(graph) if state is None else dict(state)
    inputs = {layer.name for layer in graph.inputs}
    for before, after in pairs.items():
        if before not in inputs or after not in graph.outputs:
            fact = f"the inputs are {', '.join(sorted(inputs))}, the outputs {', '.join(graph.outputs)}"
            raise ConversionError(f"state {before!r}: {after!r}", fact, "Name an input and the output that it is")
        if graph[before].shape != graph[after].shape:
            fact = f"the input has shape {graph[before].shape}, the output {graph[after].shape}"
            raise ConversionError(f"state {before!r}: {after!r}", fact, "Name the output of the same shape")
    outputs = tuple(name for name in graph.outputs if name not in pairs.values())
    if not outputs or inputs <= set(pairs):
        raise ConversionError("state", "all inputs or all outputs are states", "Leave one input and one output")
    made = [
        Layer(one.name, "previous", (pairs[one.name],), one.shape, where=one.where) if one.name in pairs else one
        for one in graph.layers
    ]
    rank = {name: 2 for name in outputs} | {one.name: 0 for one in made if one.op == "input"}
    made.sort(key=lambda layer: rank.get(layer.name, 1))
    return Graph(tuple(made), graph.name, graph.notes, outputs if len(outputs) > 1 else ())


def one_sample(graph: Graph, axes: int, states: Collection[str]) -> Graph:
    """The graph with up to so many axes of size 1 left out in front of its inputs and outputs, as many as its first input has;
    not of states, which are left as they are."""
    axes = _leading_ones(graph.inputs[0].shape, axes)
    layers: list[Layer] = []
    renamed: dict[str, str] = {}
    for layer in graph.layers:
        cut = _leading_ones(layer.shape, axes)
        if layer.op == "input" and cut and layer.name not in states:
            whole = f"{layer.name}.whole"
            layers.append(replace(layer, shape=layer.shape[cut:]))
            layers.append(Layer(whole, "reshape", (layer.name,), layer.shape, where=layer.where))
            renamed[layer.name] = whole
            continue
        layers.append(replace(layer, inputs=tuple(renamed.get(name, name) for name in layer.inputs)))
    for name in graph.outputs:
        layer = graph[name]
        cut = _leading_ones(layer.shape, axes)
        if cut and name not in states and len(layer.shape) > cut:
            at = next(i for i, one in enumerate(layers) if one.name == name)
            inner = f"{name}.whole"
            made = replace(layers[at], name=inner)
            layers[at] = made
            layers.append(Layer(name, "reshape", (inner,), layer.shape[cut:], where=layer.where))
    rank = {layer.name: i for i, layer in enumerate(layers)} | {name: len(layers) for name in graph.outputs}
    layers.sort(key=lambda layer: rank[layer.name])
    return graph.relayered(layers)


def _leading_ones(shape: tuple[int, ...], most: int) -> int:
    count = 0
    while count < min(most, len(shape)) and shape[count] == 1:
        count += 1
    return count


def found_states(graph: Graph) -> dict[str, str]:
    """Which inputs but the first are which outputs, by shape and name."""
    found: dict[str, str] = {}
    for layer in graph.inputs[1:]:
        free = [name for name in graph.outputs if name not in found.values() and graph[name].shape == layer.shape]
        alike = [name for name in free if _stem(name) == _stem(layer.name)]
        if len(alike or free) != 1:
            fact = f"{len(free)} outputs have its shape {layer.shape}" + (f": {', '.join(free)}" if free else "")
            raise ConversionError(f"input {layer.name!r}", fact, 'Say which one it is: state={"input": "output"}')
        found[layer.name] = (alike or free)[0]
    return found


def _stem(name: str) -> str:
    return _ENDS.sub("", name)
