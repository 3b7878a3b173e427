"""Collects the layers of a Graph while the nodes of an ONNX graph are visited. Knows names and places; knows no operators."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConversionError
from neuro.graph import Graph, Layer

_MOST_VALUES = 2**28  # of one layer and sample; more comes from a broken file, not from a network
_SCOPES = "pkg.torch.onnx.name_scopes"  # where torch's newer exporter says which module a node came from


class Builder:
    """What is known of an ONNX graph so far: each value is a layer's name or a constant array."""

    def __init__(self, graph: Any, opset: int) -> None:
        self.graph = graph
        self.opset = opset
        self.batch: int | None = None  # samples that the file fixes, if it does
        self.values: dict[str, str | NDArray[Any]] = {}
        self.layers: dict[str, Layer] = {}
        self.kept, self.left_out = 0, 0  # ranges of quantisers
        outputs = [value.name for value in graph.output]
        self.uses = Counter([*(name for node in graph.node for name in node.input), *outputs])

    def where(self, node: Any) -> str:
        """The node as an error names it."""
        return f"node {node.name or node.output[0]!r} ({node.op_type})" if node.output else f"node {node.name!r}"

    def refuse(self, node: Any, fact: str, remedy: str) -> ConversionError:
        return ConversionError(self.where(node), fact, remedy)

    def layer(self, node: Any, index: int = 0) -> Layer:
        """The layer that feeds an input of the node."""
        name = self._value(node, index)
        if not isinstance(name, str):
            raise self.refuse(node, "it works on a constant", "Fold constants when exporting")
        return self.layers[name]

    def constant(self, node: Any, index: int, what: str) -> NDArray[Any] | None:
        """An input that must not depend on the data; None where it is left out."""
        if index >= len(node.input) or not node.input[index]:
            return None
        value = self._value(node, index)
        if isinstance(value, str):
            raise self.refuse(node, f"its {what} depends on the data", "Make it a parameter or a constant")
        return value

    def needed(self, node: Any, index: int, what: str) -> NDArray[Any]:
        """A constant input that must be there."""
        value = self.constant(node, index, what)
        if value is None:
            raise self.refuse(node, f"its {what} is missing", "Export the model again")
        return value

    def is_constant(self, node: Any, index: int) -> bool:
        return not isinstance(self._value(node, index), str)

    def _value(self, node: Any, index: int) -> str | NDArray[Any]:
        name = node.input[index]
        if name not in self.values:
            raise self.refuse(node, f"its input {name!r} does not come before it", "Export the model again")
        return self.values[name]

    def add(
        self,
        node: Any,
        op: str,
        inputs: tuple[str, ...],
        shape: tuple[int, ...],
        arrays: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> str:
        """Append a layer for the node and return its name."""
        held = {key: value for key, value in (arrays or {}).items() if value is not None}
        return self.add_layer(op, inputs, shape, held, options, name=_layer_name(node), where=self.where(node))

    def add_layer(
        self,
        op: str,
        inputs: tuple[str, ...],
        shape: tuple[int, ...],
        arrays: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        name: str,
        where: str,
    ) -> str:
        if min(shape, default=1) < 1 or math.prod(shape) > _MOST_VALUES:
            raise ConversionError(where, f"it yields the shape {shape}", "Export the model again with sizes that can be held")
        free = next(n for n in (name, *(f"{name}_{i}" for i in range(1, 100_000))) if n not in self.layers)
        self.layers[free] = Layer(free, op, inputs, shape, arrays or {}, options or {}, where)
        return free

    def change(self, name: str, arrays: Mapping[str, Any] | None = None, **options: Any) -> str:
        """Give a layer that is there other arrays or options."""
        layer = self.layers[name]
        self.layers[name] = replace(layer, arrays={**layer.arrays, **(arrays or {})}, options={**layer.options, **options})
        return name

    def used_once(self, node: Any, index: int) -> bool:
        """Whether nothing but this node reads one of its inputs."""
        return self.uses[node.input[index]] == 1

    def finish(self, output: str, name: str) -> Graph:
        """The Graph, with layers that do not lead to the output left out."""
        needed = {output}
        for layer in reversed(self.layers.values()):
            if layer.name in needed:
                needed.update(layer.inputs)
        kept = [layer for layer in self.layers.values() if layer.name in needed]
        return Graph(tuple(kept), name, self._notes())

    def _notes(self) -> tuple[str, ...]:
        if not self.kept and not self.left_out:
            return ()
        text = (
            f"an int8 model: its weights are taken exactly, the ranges of {self.kept} quantisers as ceilings of rectifiers; "
            f"the ranges of {self.left_out} others, and rounding between layers, are left to the spiking network"
        )
        return (text,)


def _layer_name(node: Any) -> str:
    """The path of the torch module that the node came from, where the exporter wrote it down; else the node's name."""
    scopes = next((p.value for p in node.metadata_props if p.key == _SCOPES), None)
    if scopes is not None:
        path = re.findall(r"'([^']*)'", scopes)[-2:]
        return (path[0] if path and path[0] else path[-1] if path else "") or node.output[0]
    *parts, own = (node.name or node.output[0]).strip("/").split("/")
    path = []
    for part in parts:  # a Sequential's part repeats its name: features, features.0
        path[-1:] = [part] if path and part.startswith(f"{path[-1]}.") else [*path[-1:], part]
    return ".".join(path) or own.lower() or "layer"


def per_sample(array: NDArray[Any], rank: int) -> NDArray[Any]:
    """A constant without its sample axis, if it has one: rank is that of one sample."""
    return array[0] if array.ndim == rank + 1 and len(array) == 1 else np.asarray(array)
