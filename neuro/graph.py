"""Graph: a trained float network as named layers in order, with shapes and weights. Knows nothing of torch or spikes.

Shapes leave out the batch axis. Every layer's `where` names the module (and line, when known) it came from.

| op | arrays | options |
|---|---|---|
| input | | |
| conv | weight (out, in / groups, *kernel), bias? (out,) | stride, padding ((before, after), ...), dilation, groups |
| linear | weight (out, in), bias? (out,) | |
| batch_norm | mean, variance, weight, bias: (channels,) | epsilon |
| relu | | ceiling: float or None |
| avg_pool | | kernel, stride, padding, divisor: int or None (None: the pixels inside the image) |
| max_pool | | kernel, stride, padding, dilation |
| add, concat | | concat: axis |
| reshape | | |
| permute | | axes |
| pad | | padding for every axis, ((before, after), ...); value |
| scale | factor?, shift?: broadcast to the shape | |
| identity | | |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import GraphError
from neuro.specification import Specification
from neuro.windows import reads_padding_alone, window_output

Floats = NDArray[np.float32]

OPS: dict[str, tuple[set[str], set[str]]] = {  # op -> arrays it may have, options it must have
    "input": (set(), set()),
    "conv": ({"weight", "bias"}, {"stride", "padding", "dilation", "groups"}),
    "linear": ({"weight", "bias"}, set()),
    "batch_norm": ({"mean", "variance", "weight", "bias"}, {"epsilon"}),
    "relu": (set(), {"ceiling"}),
    "avg_pool": (set(), {"kernel", "stride", "padding", "divisor"}),
    "max_pool": (set(), {"kernel", "stride", "padding", "dilation"}),
    "add": (set(), set()),
    "concat": (set(), {"axis"}),
    "reshape": (set(), set()),
    "permute": (set(), {"axes"}),
    "pad": (set(), {"padding", "value"}),
    "scale": ({"factor", "shift"}, set()),
    "identity": (set(), set()),
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Layer(Specification):
    """One layer: what it does (`op`), which layers feed it, the shape it yields, its weights and options."""

    name: str
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    arrays: Mapping[str, Floats] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""

    def __post_init__(self) -> None:
        where = self.where or f"layer {self.name!r}"
        if self.op not in OPS:
            raise GraphError(where, f"op {self.op!r} is not known", f"Use one of {', '.join(OPS)}")
        arrays, options = OPS[self.op]
        if set(self.arrays) - arrays or options - set(self.options):
            wrong = sorted((set(self.arrays) - arrays) | (options - set(self.options)))
            raise GraphError(where, f"{self.op} with unknown array or missing option {wrong[0]!r}", f"See {__name__}")
        frozen = {name: _frozen(value, where, name) for name, value in self.arrays.items()}
        object.__setattr__(self, "arrays", frozen)
        object.__setattr__(self, "options", dict(self.options))
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if any(n < 0 for n in self.shape):
            raise GraphError(where, f"its shape is {self.shape}", "Use sizes of 0 or more")

    def __hash__(self) -> int:
        return hash((self.name, self.op, self.inputs, self.shape))


def _frozen(value: Any, where: str, name: str) -> Floats:
    array = np.array(value, np.float32)
    if not np.isfinite(array).all():
        raise GraphError(where, f"{name} holds NaN or infinity", "Train the network again, or load other weights")
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Graph(Specification):
    """Layers in an order in which each comes after its inputs; the last one is the output. `notes`: what its reader left out."""

    layers: tuple[Layer, ...]
    name: str = "network"
    notes: tuple[str, ...] = ()
    _by_name: dict[str, Layer] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "notes", tuple(self.notes))
        seen: dict[str, Layer] = {}
        for layer in self.layers:
            if layer.name in seen:
                raise GraphError(f"layer {layer.name!r}", "the name is used twice", "Give every layer its own name")
            for name in layer.inputs:
                if name not in seen:
                    raise GraphError(f"layer {layer.name!r}", f"its input {name!r} does not come before it", "Order the layers")
            _check_shape(layer, [seen[name].shape for name in layer.inputs])
            seen[layer.name] = layer
        if not self.layers or self.layers[0].op != "input":
            raise GraphError(self.name, "the first layer is not an input", "Begin with an input layer")
        object.__setattr__(self, "_by_name", seen)

    def _values(self) -> list[tuple[str, Any]]:
        return [("layers", self.layers), ("name", self.name), ("notes", self.notes)]

    def __getitem__(self, name: str) -> Layer:
        if name not in self._by_name:
            raise GraphError(f"layer {name!r}", "there is none of that name", f"Use one of {', '.join(self._by_name)}")
        return self._by_name[name]

    @property
    def inputs(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.op == "input")

    @property
    def output(self) -> Layer:
        return self.layers[-1]

    def consumers(self, name: str) -> tuple[Layer, ...]:
        """Layers that take `name` as an input."""
        return tuple(layer for layer in self.layers if name in layer.inputs)

    @property
    def parameters(self) -> int:
        """Number of trained values (weights and biases, batch-norm statistics left out)."""
        return sum(a.size for layer in self.layers for key, a in layer.arrays.items() if key not in ("mean", "variance"))

    def save(self, path: Any) -> None:
        """Write the graph to `path` as safetensors with a JSON header."""
        from neuro.files import save_graph

        save_graph(self, path)

    @staticmethod
    def load(path: Any) -> Graph:
        """Read a graph that `save` wrote. Nothing is executed; a broken file is a FormatError."""
        from neuro.files import load_graph

        return load_graph(path)


def _check_shape(layer: Layer, inputs: list[tuple[int, ...]]) -> None:
    expected = _expected(layer, inputs)
    if expected is not None and expected != layer.shape:
        raise GraphError(
            layer.where or f"layer {layer.name!r}", f"{layer.op} of {inputs} yields {expected}, not {layer.shape}", "Mend it"
        )
    _check_pool(layer, inputs)


def _check_pool(layer: Layer, inputs: list[tuple[int, ...]]) -> None:
    """Refuse a pool with a window that reads no pixel: it has neither a maximum nor a mean."""
    if layer.op != "max_pool" and not (layer.op == "avg_pool" and layer.options["divisor"] is None):
        return
    o, size, places = layer.options, inputs[0][1:], layer.shape[1:]
    window = (o["kernel"], o["stride"], o["padding"], o.get("dilation", (1,) * len(size)))
    if reads_padding_alone(size, places, *window):
        fact = f"a window of {layer.op} reads padding alone: kernel, stride, padding and dilation {window}, inputs {inputs[0]}"
        raise GraphError(layer.where or f"layer {layer.name!r}", fact, "Pad or dilate by less, or leave the pool out")


def _expected(layer: Layer, inputs: list[tuple[int, ...]]) -> tuple[int, ...] | None:
    """The shape the layer must yield, or None where any shape of the right size will do."""
    o = layer.options
    if layer.op == "input":
        return None
    if not inputs:
        raise GraphError(f"layer {layer.name!r}", f"{layer.op} has no input", "Name the layer that feeds it")
    first = inputs[0]
    if layer.op == "conv":
        out, _, *kernel = layer.arrays["weight"].shape
        return (out, *window_output(first[1:], kernel, o["stride"], o["padding"], o["dilation"]))
    if layer.op == "linear":
        return (*first[:-1], layer.arrays["weight"].shape[0])
    if layer.op in ("avg_pool", "max_pool"):
        dilation = o.get("dilation", (1,) * (len(first) - 1))
        return (first[0], *window_output(first[1:], o["kernel"], o["stride"], o["padding"], dilation))
    if layer.op == "concat":
        axis = o["axis"]
        return (*first[:axis], sum(shape[axis] for shape in inputs), *first[axis + 1 :])
    if layer.op == "permute":
        return tuple(first[axis] for axis in o["axes"])
    if layer.op == "pad":
        return tuple(n + sum(p) for n, p in zip(first, o["padding"], strict=True))
    if layer.op == "reshape":
        return layer.shape if np.prod(first) == np.prod(layer.shape) else first
    if layer.op == "add":
        return tuple(np.broadcast_shapes(*inputs))
    return first
