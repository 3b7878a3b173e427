"""Graph: a trained float network as named layers in order, with shapes and weights. Knows nothing of torch or spikes.

Shapes leave out the batch axis. What each op takes and yields: `neuro.ops`. Every layer's `where` names the module (and line,
when known) it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import GraphError
from neuro.frozen import FrozenDict
from neuro.notebook import Table, TableRepr, abridged
from neuro.numbers import whole
from neuro.ops import OPS, check_arrays, check_sources, output_shape, settled_options
from neuro.specification import Specification, frozen_array

Floats = NDArray[np.float32]


class _Arrays(FrozenDict):
    """The arrays of a layer: frozen, float32 and finite."""

    __slots__ = ()


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
        if not isinstance(self.name, str) or not self.name:
            raise GraphError(f"layer {self.name!r}", "it has no name", "Give every layer a name")
        if not isinstance(self.where, str):
            raise GraphError(
                f"layer {self.name!r}", f"where = {self.where!r} is not text", "Say where it came from, or leave it out"
            )
        where = self.place
        if not isinstance(self.op, str) or self.op not in OPS:
            raise GraphError(where, f"op {self.op!r} is not known", f"Use one of {', '.join(OPS)}")
        object.__setattr__(self, "inputs", _names(where, self.inputs))
        object.__setattr__(self, "shape", _sizes(where, self.shape))
        check_sources(where, self.op, self.inputs)
        check_arrays(where, self.op, _table(where, "arrays", self.arrays))
        if type(self.arrays) is not _Arrays:  # those of another layer have been checked, which takes as long as reading them all
            frozen = _Arrays({name: _frozen(value, where, name) for name, value in self.arrays.items()})
            object.__setattr__(self, "arrays", frozen)
        options = settled_options(where, self.op, _table(where, "options", self.options))
        object.__setattr__(self, "options", FrozenDict(options))

    @property
    def place(self) -> str:
        """The layer as an error names it."""
        return self.where or f"layer {self.name!r}"

    def __hash__(self) -> int:
        return hash((self.name, self.op, self.inputs, self.shape))


def _names(where: str, inputs: Any) -> tuple[str, ...]:
    if not isinstance(inputs, tuple | list) or not all(isinstance(name, str) for name in inputs):
        raise GraphError(where, f"inputs = {inputs!r} is not a tuple of names", 'Write inputs=("name",)')
    return tuple(inputs)


def _sizes(where: str, shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple | list):
        raise GraphError(where, f"its shape is {shape!r}, not a tuple", "Write shape=(channels, height, width), say")
    if all(type(n) is int and n >= 1 for n in shape):
        return tuple(shape)
    return tuple(whole(where, f"its shape is {tuple(shape)}: a size", n, 1, error=GraphError) for n in shape)


def _table(where: str, name: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise GraphError(where, f"{name} is a {type(given).__name__}", "Pass a dict of names and values")
    return given


def _frozen(value: Any, where: str, name: str) -> Floats:
    if not isinstance(value, np.ndarray):
        try:
            value = np.array(value)
        except ValueError:
            raise GraphError(where, f"{name} is no array", "Pass an array in which all rows have the same length") from None
    if value.dtype.kind not in "fiu":
        raise GraphError(where, f"{name} is an array of {value.dtype}", "Pass real numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        array: Floats = frozen_array(value, np.float32)
        sound = bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())  # the sum alone may overflow
    if not sound:
        raise GraphError(
            where, f"{name} holds NaN, infinity or more than float32 can", "Train the network again, or load other weights"
        )
    return array


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Graph(TableRepr, Specification):
    """Layers in an order in which each comes after its inputs. `notes`: what its reader left out.

    A `previous` layer yields the value that its input had one frame ago, at first `start` or 0; it may come before its input,
    and so closes a loop. A graph that has one takes inputs (samples, frames, *shape).

    `outputs`: the layers whose values are the network's, the last layer among them; that one alone unless given. No layer
    reads an output. Inputs and outputs are named by their layers.
    """

    layers: tuple[Layer, ...]
    name: str = "network"
    notes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    _by_name: dict[str, Layer] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("layers", "notes"):
            if not isinstance(getattr(self, name), tuple | list):
                raise GraphError("graph", f"{name} is a {type(getattr(self, name)).__name__}", "Pass a tuple")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not isinstance(self.name, str):
            raise GraphError("graph", f"its name is {self.name!r}", "Name it by text")
        seen: dict[str, Layer] = {}
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise GraphError(f"graph {self.name!r}", f"{layer!r} is not a layer", "Pass neuro.Layer(...)")
            if layer.name in seen:
                raise GraphError(f"layer {layer.name!r}", "the name is used twice", "Give every layer its own name")
            for name in () if layer.op == "previous" else layer.inputs:
                if name not in seen:
                    raise _unfed(layer, name, {later.name for later in self.layers}, tuple(seen))
            if layer.op != "previous":
                _check_shape(layer, [seen[name].shape for name in layer.inputs])
            seen[layer.name] = layer
        _check_previous(self.layers, seen)
        if not self.layers or self.layers[0].op != "input":
            raise GraphError(self.name, "the first layer is not an input", "Begin with an input layer")
        object.__setattr__(self, "outputs", _outputs(self, seen))
        object.__setattr__(self, "_by_name", seen)

    def _shown(self) -> Table:
        rows = [
            (
                one.name,
                one.op,
                "x".join(map(str, one.shape)),
                ", ".join(one.inputs),
                f"{sum(a.size for a in one.arrays.values()):,}",
            )
            for one in self.layers
        ]
        title = f"Graph {self.name!r} of {len(self.layers)} layers, {self.parameters:,} parameters"
        return title, ("layer", "op", "shape", "inputs", "values"), abridged(rows)

    def _values(self) -> list[tuple[str, Any]]:
        several = [("outputs", self.outputs)] if len(self.outputs) > 1 else []
        return [("layers", self.layers), ("name", self.name), ("notes", self.notes), *several]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Graph) and self.outputs != other.outputs:
            return False
        return Specification.__eq__(self, other)

    __hash__ = Specification.__hash__

    def __getitem__(self, name: str) -> Layer:
        if name not in self._by_name:
            raise GraphError(f"layer {name!r}", "there is none of that name", f"Use one of {', '.join(self._by_name)}")
        return self._by_name[name]

    @property
    def inputs(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.op == "input")

    @property
    def output(self) -> Layer:
        """The one output. Raises GraphError where there are several."""
        if len(self.outputs) > 1:
            fact = f"it has {len(self.outputs)} outputs ({', '.join(self.outputs)})"
            raise GraphError(f"graph {self.name!r}", fact, "Take one of them: graph.only(name)")
        return self.layers[-1]

    def relayered(self, layers: Iterable[Layer]) -> Graph:
        """The graph with other layers, among which there are its outputs where it has several."""
        return Graph(tuple(layers), self.name, self.notes, self.outputs if len(self.outputs) > 1 else ())

    def only(self, *names: str) -> Graph:
        """The part of the graph that leads to some of its outputs."""
        for name in names:
            if name not in self.outputs:
                raise GraphError(f"output {name!r}", "there is none of that name", f"Use one of {', '.join(self.outputs)}")
        needed = self.leading_to(names)
        kept = [layer for layer in self.layers if layer.name in needed]
        return Graph(tuple(kept), self.name, self.notes, names)

    def leading_to(self, names: Iterable[str], given: Iterable[str] = ()) -> set[str]:
        """The layers that some layers need, themselves included; those `given` need nothing."""
        return leading_to(self.layers, names, given)

    def consumers(self, name: str) -> tuple[Layer, ...]:
        """Layers that take `name` as an input."""
        return tuple(layer for layer in self.layers if name in layer.inputs)

    @property
    def has_frames(self) -> bool:
        """Whether its values depend on earlier frames."""
        return any(layer.op == "previous" for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Number of trained values (weights and biases, batch-norm statistics left out)."""
        return sum(a.size for layer in self.layers for key, a in layer.arrays.items() if key not in ("mean", "variance"))

    def save(self, path: Any) -> None:
        """Write the graph to `path` as safetensors with a JSON header."""
        from neuro.files import save_value

        save_value(self, path, "graph", PARTS)

    @staticmethod
    def load(path: Any) -> Graph:
        """Read a graph that `save` wrote. Nothing is executed; a broken file is a FormatError."""
        from neuro.files import load_value

        return load_value(path, "graph", Graph, PARTS)


PARTS: dict[str, Any] = {"Layer": Layer, "Graph": Graph}  # of a saved graph


def leading_to(layers: Iterable[Layer], names: Iterable[str], given: Iterable[str] = ()) -> set[str]:
    """Of layers, the names that some of them need, themselves included; those `given` need nothing. Follows loops."""
    feeds, held = {layer.name: layer.inputs for layer in layers}, set(given)
    needed, waiting = set(names), list(names)
    while waiting:
        for name in () if (one := waiting.pop()) in held else feeds[one]:
            if name not in needed:
                needed.add(name)
                waiting.append(name)
    return needed


def _check_previous(layers: Iterable[Layer], known: Mapping[str, Layer]) -> None:
    """Refuse a `previous` whose input does not exist, or that leads in a circle of such layers alone."""
    for layer in layers:
        if layer.op != "previous":
            continue
        (name,) = layer.inputs
        if name not in known:
            raise GraphError(layer.place, f"its input {name!r} does not exist", f"Use one of {', '.join(known)}")
        _check_shape(layer, [known[name].shape])
        seen = {layer.name}
        while known[name].op == "previous":
            if name in seen:
                raise GraphError(layer.place, f"it and {name!r} feed each other", "Read a layer that computes something")
            seen.add(name)
            (name,) = known[name].inputs


def _outputs(graph: Graph, known: Mapping[str, Layer]) -> tuple[str, ...]:
    """The names of the outputs, checked."""
    if not isinstance(graph.outputs, tuple | list):
        raise GraphError(
            f"graph {graph.name!r}", f"outputs = {graph.outputs!r} is not a tuple of names", 'Write outputs=("name",)'
        )
    names, last = tuple(graph.outputs), graph.layers[-1].name
    for name in names:
        if name not in known:
            raise GraphError(f"output {name!r}", "there is no such layer", f"Use one of {', '.join(known)}")
        reader = next((layer.name for layer in graph.layers if name in layer.inputs), None)
        if reader is not None:
            raise GraphError(f"output {name!r}", f"layer {reader!r} reads it", "Put an identity behind it, and name that")
    if names and (last not in names or len(set(names)) != len(names)):
        fact = f"outputs = {names}" + ("" if last in names else f" leave out the last layer, {last!r}")
        raise GraphError(f"graph {graph.name!r}", fact, "Name each output once, and end with one of them")
    return names or (last,)


def _unfed(layer: Layer, name: str, names: set[str], before: tuple[str, ...]) -> GraphError:
    """Why a layer cannot read `name`: it does not exist, it is the layer itself, or it stands behind it."""
    if name == layer.name:
        return GraphError(layer.place, f"layer {name!r} feeds itself", "Name a layer before it: a graph holds no loop")
    if name in names:
        fact = f"its input {name!r} does not come before layer {layer.name!r}"
        return GraphError(layer.place, fact, "Put each layer behind the layers that feed it; a graph holds no loop")
    known = f"Use one of {', '.join(before)}" if before else "Begin with an input layer"
    return GraphError(layer.place, f"its input {name!r} does not exist", known)


def _check_shape(layer: Layer, inputs: list[tuple[int, ...]]) -> None:
    expected = output_shape(layer, inputs)
    if expected != layer.shape:
        fact = f"{layer.op} of {' and '.join(map(str, inputs))} yields {expected}, its shape is declared as {layer.shape}"
        raise GraphError(layer.place, fact, f"Declare the shape {expected}")
