"""Collects the layers of a Graph while the nodes of an ONNX graph are visited. Knows names and places; knows no operators.

Beside each layer stand the bounds that its values are proven to keep, and beside each tensor of integers the code
(scale and zero point) by which its numbers stand for the layer's values.
"""

from __future__ import annotations

import math
import re
from collections import ChainMap, Counter
from collections.abc import Callable, Mapping, MutableMapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.formats.onnx_bounds import OPEN, Bounds, bounds_of
from converters.naming import Names, given_up
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer, leading_to

Array = NDArray[Any]
UNKNOWN_BATCH = (999_983, 999_979)  # sizes of the sample axis where the file leaves it open: what differs depends on it
LARGEST = float(np.finfo(np.float32).max)
_MOST_VALUES = 2**28  # of one layer and sample; more comes from a broken file, not from a network
_SCOPES = "pkg.torch.onnx.name_scopes"  # where torch's newer exporter says which module a node came from


@dataclass(frozen=True, slots=True, eq=False)
class Code:
    """How a tensor of integers q stands for the layer's values: (q - zero) * scale. Arrays of one number, or of the sample's
    rank with one number per place along an axis."""

    scale: NDArray[np.float64]
    zero: NDArray[np.float64]

    @property
    def single(self) -> bool:
        """One scale and zero point for all values."""
        return self.scale.size == 1 and self.zero.size == 1

    def same(self, other: Code) -> bool:
        return bool(np.array_equal(self.scale, other.scale) and np.array_equal(self.zero, other.zero))


INTEGERS = Code(np.ones(()), np.zeros(()))  # of an input that is integers: they stand for themselves
WIDE = Code(np.ones(()), np.zeros(()))  # the same of 32 or 64 bits, or of truth values: sums of them do not wrap


class Builder:
    """What is known of an ONNX graph so far: each value is a layer's name or a constant array."""

    def __init__(self, graph: Any, opset: int, file: str = "", lead: int = 1) -> None:
        self.graph = graph
        self.opset = opset
        self.file = file
        self.load: Callable[[Any, str], Array] = lambda tensor, where: np.zeros(0)  # reads a tensor of the file
        self.depth = 0  # how many nodes the one being visited stands inside
        self.frames = False  # whether the file is read as what happens to one frame of a stream
        self.lead = lead  # axes of samples in front of each value: 1, or 0 where an input is one sample as a whole
        self.batch: int | None = None  # samples that the file fixes, if it does
        self.values: MutableMapping[str, str | Array] = {}
        self.others: dict[str, Array] = {}  # constants that depend on the number of samples, for another number of them
        self.codes: dict[str, Code] = {}  # of values that are integers
        self.layers: dict[str, Layer] = {}
        self.bounds: dict[str, Bounds] = {}
        self.names = Names()
        self.reads: Counter[str] = Counter()  # how often a layer is read, by all the names of its value
        self.kept: Counter[str] = Counter()  # ranges of quantisers, by what they were replaced by
        self.uses: Counter[str] = Counter(value.name for value in graph.output)
        self.count_uses(graph.node)

    def count_uses(self, nodes: Any) -> None:
        """Count how often nodes, and the graphs inside them, name each value."""
        for node in nodes:
            self.uses.update(node.input)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    self.uses.update(value.name for value in attribute.g.output)
                    self.count_uses(attribute.g.node)

    def where(self, node: Any) -> str:
        """The node as an error names it."""
        place = f"node {node.name or node.output[0]!r} ({node.op_type})" if node.output else f"node {node.name!r}"
        return f"{self.file}, {place}" if self.file else place

    def refuse(self, node: Any, fact: str, remedy: str) -> ConversionError:
        return ConversionError(self.where(node), fact, remedy)

    def bind(self, value: str, layer: str, code: Code | None = None) -> None:
        """Say that a value of the ONNX graph is a layer's; `code` where it is integers."""
        self.reads[layer] += self.uses[value] - (layer in self.reads)  # another name of it: its own node reads it no more
        self.values[value] = layer
        if code is not None:
            self.codes[value] = code

    def layer(self, node: Any, index: int = 0) -> Layer:
        """The layer that feeds an input of the node."""
        name = self._value(node, index)
        if not isinstance(name, str):
            raise self.refuse(node, "it works on a constant", "Fold constants when exporting")
        return self.layers[name]

    def value(self, node: Any, index: int = 0) -> Layer:
        """The layer that feeds an input of the node; a constant becomes one, the same for every sample."""
        value = self._value(node, index)
        if isinstance(value, str):
            return self.layers[value]
        others = [self.values.get(name) for name in node.input]
        rank = max((len(self.layers[other].shape) for other in others if isinstance(other, str)), default=0)
        held = np.clip(self.per_sample(node, self.needed(node, index, "operand"), rank), -LARGEST, LARGEST)
        return self.layers[self.add(node, "constant", (), tuple(held.shape), {"value": np.asarray(held, np.float32)})]

    def reading(self, node: Any, x: Layer) -> Builder:
        """This builder, with x in place of the node's first input: for a handler that works on a part of the node."""
        part = copy(self)
        part.values = ChainMap({node.input[0]: x.name}, self.values)
        return part

    def values_of(self, node: Any) -> list[Layer]:
        """The layers that feed all inputs of the node."""
        return [self.value(node, i) for i, name in enumerate(node.input) if name]

    def per_sample(self, node: Any, array: Array, rank: int) -> Array:
        """A constant without its axis of samples, if it has one: rank is that of one sample."""
        if self.lead and array.ndim > rank and len(array) != 1 and array.ndim == rank + 1:
            raise self.refuse(node, f"a constant of shape {array.shape} differs from sample to sample", "Use one for all samples")
        while self.lead and array.ndim > rank and len(array) == 1:
            array = array[0]
        return np.asarray(array)

    def code(self, node: Any, index: int = 0) -> Code | None:
        """The code of an input that is integers, None for one of real numbers."""
        return self.codes.get(node.input[index])

    def constant(self, node: Any, index: int, what: str) -> Array | None:
        """An input that must not depend on the data, nor on how many samples there are; None where it is left out."""
        if index >= len(node.input) or not node.input[index]:
            return None
        value = self._value(node, index)
        if isinstance(value, str):
            raise self.refuse(node, f"its {what} depends on the data", "Make it a parameter or a constant")
        if node.input[index] in self.others:
            raise self.refuse(node, f"its {what} depends on the number of samples", "Treat every sample by itself")
        return value

    def needed(self, node: Any, index: int, what: str) -> Array:
        """A constant input that must be there."""
        value = self.constant(node, index, what)
        if value is None:
            raise self.refuse(node, f"its {what} is missing", "Export the model again")
        return value

    def is_constant(self, node: Any, index: int) -> bool:
        return not isinstance(self._value(node, index), str)

    def _value(self, node: Any, index: int) -> str | Array:
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
        free = self.names.free(name)
        return self._set(Layer(free, op, inputs, shape, arrays or {}, options or {}, where))

    def change(self, name: str, arrays: Mapping[str, Any] | None = None, **options: Any) -> str:
        """Give a layer that nothing has read yet other arrays or options."""
        layer = self.layers[name]
        return self._set(replace(layer, arrays={**layer.arrays, **(arrays or {})}, options={**layer.options, **options}))

    def _set(self, layer: Layer) -> str:
        self.layers[layer.name] = layer
        self.bounds[layer.name] = bounds_of(layer, [self.bounds.get(name, OPEN) for name in layer.inputs])
        return layer.name

    def link(self, previous: str, source: str) -> None:
        """Let a `previous` layer, which was added without a source, read one."""
        self._set(replace(self.layers[previous], inputs=(source,)))

    def read_once(self, name: str) -> bool:
        """Whether only the node that is being visited reads a layer, under whatever names its value goes."""
        return self.reads[name] == 1

    def finish(self, outputs: Mapping[str, str], name: str) -> Graph:
        """The Graph, with layers that do not lead to an output left out. `outputs`: the layer of each, by its name.

        A single output is the last layer, under its own name; several get a layer of their name each.
        """
        if len(outputs) > 1:
            layers, new = given_up(self.layers.values(), outputs, self.names.free)
            self.layers = {layer.name: layer for layer in layers}
            last = []
            for value, source in outputs.items():
                before = new.get(source, source)
                name, where = value if value not in self.layers else self.names.free(value), f"{self.file}, output {value!r}"
                self.layers[name] = Layer(name, "identity", (before,), self.layers[before].shape, where=where)
                last.append(name)
        else:
            last = list(outputs.values())
        if len(last) == 1 and any(layer.op == "previous" and last[0] in layer.inputs for layer in self.layers.values()):
            shape = self.layers[last[0]].shape
            last = [self.add_layer("identity", (last[0],), shape, name="output", where=f"{self.file}, output")]
        needed = leading_to(self.layers.values(), last)
        kept = [layer for layer in self.layers.values() if layer.name in needed]
        return Graph(tuple(kept), name, self._notes(), tuple(last) if len(last) > 1 else ())

    def _notes(self) -> tuple[str, ...]:
        if not self.kept:
            return ()
        text = (
            f"an int8 model: its weights are taken exactly; of its quantisers, {self.kept['rectifier']} clip to their range as "
            f"rectifiers, {self.kept['clip']} as rectifiers around a shift, and {self.kept['proven']} get no value beyond "
            "their range; rounding between layers is left to the spiking network"
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
