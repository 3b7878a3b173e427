"""Collects the layers of a Graph while the nodes of a traced network are visited, and says where each node stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from converters.naming import given_up
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer, leading_to

_LARGEST = float(np.finfo(np.float32).max)


class Builder:
    """Collects layers while the nodes of a traced network are visited in order."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layers: list[Layer] = []
        self.names: dict[fx.Node, str] = {}  # node -> layer that computes it
        self.parts: dict[fx.Node, list[str]] = {}  # node that yields several values -> layers that compute them
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._tries: dict[str, int] = {}  # name -> numbers that were added to it
        self.inputs: list[str] = []  # layers of the inputs, in the order of forward
        self.outputs: dict[str, str] = {}  # name -> layer
        self.states: dict[fx.Node, tuple[str, ...]] = {}  # recurrent module -> layers of its last states, samples on axis 1
        self.frames = False  # whether the model is traced on one frame of a stream, on an axis of size 1
        self.moved: dict[fx.Node, int] = {}  # node whose samples are on another axis than the first -> which

    def add(
        self,
        node: fx.Node,
        op: str,
        inputs: tuple[str, ...],
        shape: tuple[int, ...] | None = None,
        arrays: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> str:
        """Append a layer for `node` and return its name; the shape is the node's own unless given."""
        shape = self.shape_of(node) if shape is None else shape
        name = self._free_name(node)
        self._shapes[name] = shape
        held = {key: _array(value) for key, value in (arrays or {}).items() if value is not None}
        self.layers.append(Layer(name, op, inputs, shape, held, options, self.where(node)))
        return name

    def link(self, previous: str, source: str) -> None:
        """Let a `previous` layer, which was added without a source, read one."""
        self.layers = [replace(one, inputs=(source,)) if one.name == previous else one for one in self.layers]

    def layer(self, value: Any) -> str:
        """Name of the layer that computes a node, or of one that holds the same constant for every sample. Raises ConversionError
        for a node that yields several values, or no layer."""
        if value not in self.names and self._for_each_sample(value):
            self.names[value] = self.value(value, value, value.meta["value"].ndim - 1)
        if value not in self.names:
            raise self.refuse(value, "its result is used as one tensor of activations", "Pick one of the tensors that it returns")
        return self.names[value]

    def _for_each_sample(self, value: Any) -> bool:
        """Whether a value is a constant tensor with an axis of samples, as learned queries are that were expanded."""
        held = value.meta.get("value") if isinstance(value, fx.Node) and value.meta.get("constant") else None
        counts = {len(node.meta["value"]) for node in self.names if node.op == "placeholder"}
        return isinstance(held, torch.Tensor) and held.is_floating_point() and held.ndim > 1 and {len(held)} == counts

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a layer, without samples."""
        return self._shapes[name]

    def shape_of(self, node: fx.Node) -> tuple[int, ...]:
        """Shape of a node's value, without samples."""
        shape, at = tuple(node.meta["value"].shape), self.moved.get(node, 0)
        return (*shape[:at], *shape[at + 1 :])

    def computed(self, value: Any) -> bool:
        """Whether a value depends on the network's input."""
        return isinstance(value, fx.Node) and not value.meta["constant"]

    def value(self, node: fx.Node, value: Any, rank: int) -> str:
        """Name of the layer of an operand; a constant becomes a layer that is the same for every sample of that rank."""
        if self.computed(value):
            return self.layer(value)
        held = np.asarray(self.constant(node, value, "operand"), np.float64)
        held = self.per_sample(node, np.clip(held, -_LARGEST, _LARGEST).astype(np.float32), rank)
        return self.add(node, "constant", (), tuple(held.shape), {"value": held})

    def per_sample(self, node: fx.Node, array: NDArray[Any], rank: int) -> NDArray[Any]:
        """A constant without its axis of samples, along which it must not change, if it has one: rank is that of a sample."""
        at = self.moved.get(node, 0)
        if array.ndim <= at or array.ndim <= rank - at:
            return array
        if array.ndim == rank + 1:
            if (array != np.take(array, [0], at)).any():
                raise self.refuse(
                    node, f"a constant of shape {array.shape} differs from sample to sample", "Use one for all samples"
                )
            return np.asarray(np.take(array, 0, at))
        return array

    def constant(self, node: fx.Node, value: Any, what: str) -> Any:
        """A value that must not depend on the data, as an array or plain Python value."""
        if not isinstance(value, fx.Node):
            return _array(value) if isinstance(value, torch.Tensor) else value
        if not value.meta["constant"]:
            raise self.refuse(node, f"its {what} depends on the data", "Make it a parameter or a constant")
        found = value.meta["value"]
        return _array(found) if isinstance(found, torch.Tensor) else found

    def where(self, node: fx.Node) -> str:
        """The module path, its class or the function, and the source line when known."""
        line = node.meta.get("line", "")
        at = f", {line}" if line else ""
        if node.op == "call_module":
            return f"module {node.target!r} ({type(self.model.get_submodule(str(node.target))).__name__}{at})"
        owner = _owner(node)
        called = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        kind = {"placeholder": "input", "get_attr": "attribute"}.get(node.op, "function")
        return f"{kind} {called!r} (in {f'module {owner!r}' if owner else type(self.model).__name__}{at})"

    def refuse(self, node: fx.Node, fact: str, remedy: str) -> ConversionError:
        return ConversionError(self.where(node), fact, remedy)

    def finish(self) -> Graph:
        """The Graph, with layers that do not lead to the output left out."""
        names = self.outputs
        if len(names) > 1:
            self.layers, new = given_up(self.layers, names, self._free)
            self._shapes = {new.get(name, name): shape for name, shape in self._shapes.items()}
            for name, source in names.items():
                at, before = self._free(name), new.get(source, source)
                self._shapes[at] = self._shapes[before]
                self.layers.append(Layer(at, "identity", (before,), self._shapes[at], where=f"output {name!r}"))
            last = tuple(layer.name for layer in self.layers[-len(names) :])
        else:
            last = tuple(names.values())
        if len(last) == 1 and any(layer.op == "previous" and last[0] in layer.inputs for layer in self.layers):
            shape = self._shapes[last[0]]
            self.layers.append(Layer(self._free("output"), "identity", last, shape, where="output"))
            last = (self.layers[-1].name,)
        needed = leading_to(self.layers, last)
        kept = [layer for layer in self.layers if layer.name in needed]
        if len(last) == 1 and kept[-1].name != last[0]:
            kept.sort(key=lambda layer: layer.name == last[0])
        return Graph(tuple(kept), type(self.model).__name__, outputs=last if len(last) > 1 else ())

    def end(self, node: fx.Node) -> None:
        """Take what the network returns as its outputs: one tensor, or several by their place or their key."""
        (result,) = node.args
        found: Any = {"output": result}
        if isinstance(result, dict):
            found = result
        elif isinstance(result, tuple | list):
            found = {f"output{i}": one for i, one in enumerate(result)}
        elif isinstance(result, fx.Node) and result in self.parts:
            found = {f"output{i}": name for i, name in enumerate(self.parts[result])}
        for name, value in found.items():
            if not isinstance(value, fx.Node | str):
                fact = f"its forward returns a {type(value).__name__}"
                raise ConversionError(type(self.model).__name__, fact, "Return one tensor, the logits, or several tensors")
            if not isinstance(value, str) and value not in self.names:
                raise ConversionError(type(self.model).__name__, "its output does not depend on its input", "Return the logits")
            if self.moved.get(value):  # type: ignore[arg-type]  # a name is no key
                raise ConversionError(type(self.model).__name__, "its output has samples on another axis", "Return samples first")
            self.outputs[str(name)] = value if isinstance(value, str) else self.names[value]

    def _free_name(self, node: fx.Node) -> str:
        owner = _owner(node)
        return self._free(str(node.target) if node.op == "call_module" else f"{owner}.{node.name}" if owner else node.name)

    def _free(self, base: str) -> str:
        name = base
        while name in self._shapes:
            self._tries[base] = self._tries.get(base, 0) + 1
            name = f"{base}_{self._tries[base]}"
        return name


def _owner(node: fx.Node) -> str:
    """Path of the innermost module whose forward made the node, "" for the network's own."""
    stack = node.meta.get("nn_module_stack") or {}
    return str([*stack.values()][-1][0]) if stack else ""


def _array(value: Any) -> NDArray[Any]:
    return value.detach().cpu().numpy().copy() if isinstance(value, torch.Tensor) else np.asarray(value)
