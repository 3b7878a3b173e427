"""Graph -> stages: the layers that become populations, and the linear paths that lead from one to the next.

Knows layers and operators; knows no thresholds, codes or integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters import linear
from converters.evaluation import evaluate
from converters.linear import Operator
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer

SPIKING = ("input", "relu", "max_pool")


@dataclass(frozen=True, slots=True)
class Path:
    """The linear map from one stage's values to another's pre-activation."""

    source: str
    operator: Operator


@dataclass(frozen=True, slots=True)
class Stage:
    """A layer that becomes a population: its name, kind ("input", "relu", "max_pool" or "readout"), shape and paths.

    `bias` is the pre-activation where every source is zero: per channel, (channels, 1, ...), or of the whole shape.
    `pre_activation` names the graph's layer with the same value in the float network.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    layer: Layer
    paths: tuple[Path, ...] = ()
    bias: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    pre_activation: str = ""


def stages(graph: Graph) -> tuple[Stage, ...]:
    """The stages of a folded graph in order; the last one is the readout."""
    names = {layer.name for layer in graph.layers if layer.op in SPIKING}
    found = [_stage(graph, layer, names) for layer in graph.layers if layer.name in names]
    output = graph.output
    if output.name in names:
        name = "output" if all(layer.name != "output" for layer in graph.layers) else f"{output.name}.output"
        path = Path(output.name, linear.identity(output.shape))
        readout = Stage(name, "readout", output.shape, output, (path,), np.zeros((1,) * len(output.shape)), output.name)
    else:
        paths = _merged(_paths(graph, output.name, names))
        readout = Stage(output.name, "readout", output.shape, output, paths, _bias(graph, output.name, names), output.name)
    return (*found, readout)


def _stage(graph: Graph, layer: Layer, names: set[str]) -> Stage:
    if layer.op == "input":
        return Stage(layer.name, "input", layer.shape, layer)
    before = layer.inputs[0]
    if layer.op == "max_pool" and graph[before].op not in ("relu", "max_pool"):
        raise _signed_pool(layer, graph[before])
    paths = _merged(_paths(graph, before, names))
    return Stage(layer.name, layer.op, layer.shape, layer, paths, _bias(graph, before, names), before)


def _signed_pool(pool: Layer, before: Layer) -> ConversionError:
    """Why a maximum of values that may be negative is refused, and what to do about it."""
    fact = f"it pools the maximum of {before.op} values, which may be negative"
    remedy = "Put a ReLU before it or directly behind it, or use average pooling or a stride"
    if before.op == "scale" and (before.arrays.get("factor", np.ones(1)) < 0).any():
        fact = "it pools the maximum of values multiplied by negative factors, which is a minimum"
        remedy = "Multiply by positive factors (for a batch norm, train with positive weights), or put a ReLU before the pool"
    return ConversionError(pool.where or f"layer {pool.name!r}", fact, remedy)


def _paths(graph: Graph, name: str, names: set[str]) -> list[Path]:
    """Every linear way from a stage to the value of layer `name`."""
    layer = graph[name]
    if name in names:
        return [Path(name, linear.identity(layer.shape))]
    if layer.op == "conv" and graph[layer.inputs[0]].op == "concat" and layer.inputs[0] not in names:
        split = split_concat(graph, layer)
        if split:
            return [
                replace(path, operator=linear.follow(path.operator, part))
                for source, part in split
                for path in _paths(graph, source, names)
            ]
    shapes = tuple(graph[source].shape for source in layer.inputs)
    found: list[Path] = []
    for part, source in enumerate(layer.inputs):
        for path in _paths(graph, source, names):
            operator = linear.after_shared(path.operator, layer) or linear.follow(path.operator, layer, part, shapes)
            if layer.op == "add" and shapes[part] != layer.shape:
                raise ConversionError(layer.where, f"it adds shapes {shapes}", "Add equal shapes")
            found.append(replace(path, operator=operator))
    return found


def split_concat(graph: Graph, layer: Layer) -> list[tuple[str, Layer]]:
    """A convolution of joined channels as one convolution per part; none where that is not possible."""
    join = graph[layer.inputs[0]]
    if join.options["axis"] != 0 or layer.options["groups"] != 1:
        return []
    parts, start = [], 0
    for source in join.inputs:
        channels = graph[source].shape[0]
        weight = layer.arrays["weight"][:, start : start + channels]
        parts.append((source, replace(layer, inputs=(source,), arrays={"weight": weight})))
        start += channels
    return parts


def _merged(paths: list[Path]) -> tuple[Path, ...]:
    """Paths with the same source added up, where they are written alike."""
    merged: dict[Any, Path] = {}
    for path in paths:
        op = path.operator
        key: Any = (path.source, "matrix")
        if isinstance(op, linear.Window):
            key = (path.source, op.stride, op.padding, op.dilation, op.groups, op.weight.shape)
        if key in merged:
            path = Path(path.source, linear.added(merged[key].operator, op))
        merged[key] = path
    return tuple(merged.values())


def _bias(graph: Graph, name: str, names: set[str]) -> NDArray[np.float64]:
    zeros = {n: torch.zeros((1, *graph[n].shape)) for n in names}
    value = evaluate(graph, zeros, (name,))[name][0].numpy().astype(np.float64)
    flat = value.reshape(len(value), -1)
    if value.ndim > 1 and np.allclose(flat, flat[:, :1], rtol=1e-6, atol=1e-9 * float(np.abs(flat).max())):
        return flat[:, 0].reshape(-1, *[1] * (value.ndim - 1))
    return value
