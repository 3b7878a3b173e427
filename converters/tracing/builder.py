"""Collects the layers of a Graph while the nodes of a traced network are visited, and says where each node stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from neuro.errors import ConversionError
from neuro.graph import Graph, Layer


class Builder:
    """Collects layers while the nodes of a traced network are visited in order."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layers: list[Layer] = []
        self.names: dict[fx.Node, str] = {}  # node -> layer that computes it
        self.parts: dict[fx.Node, list[str]] = {}  # node that yields several values -> layers that compute them
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._tries: dict[str, int] = {}  # name -> numbers that were added to it
        self.output: str | None = None

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
        shape = tuple(node.meta["value"].shape[1:]) if shape is None else shape
        name = self._free_name(node)
        self._shapes[name] = shape
        held = {key: _array(value) for key, value in (arrays or {}).items() if value is not None}
        self.layers.append(Layer(name, op, inputs, shape, held, options, self.where(node)))
        return name

    def layer(self, value: Any) -> str:
        """Name of the layer that computes a node. Raises ConversionError for a node that yields several values, or no layer."""
        if value not in self.names:
            raise self.refuse(value, "its result is used as one tensor of activations", "Pick one of the tensors that it returns")
        return self.names[value]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a layer, without samples."""
        return self._shapes[name]

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
        assert self.output is not None
        needed = {self.output}
        for layer in reversed(self.layers):
            if layer.name in needed:
                needed.update(layer.inputs)
        kept = [layer for layer in self.layers if layer.name in needed]
        return Graph(tuple(kept), type(self.model).__name__)

    def end(self, node: fx.Node) -> None:
        """Take what the network returns as its output."""
        (result,) = node.args
        if not isinstance(result, fx.Node):
            raise ConversionError(
                type(self.model).__name__, f"its forward returns a {type(result).__name__}", "Return one tensor, the logits"
            )
        if result not in self.names:
            raise ConversionError(type(self.model).__name__, "its output does not depend on its input", "Return the logits")
        self.output = self.names[result]

    def _free_name(self, node: fx.Node) -> str:
        owner = _owner(node)
        base = str(node.target) if node.op == "call_module" else f"{owner}.{node.name}" if owner else node.name
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
