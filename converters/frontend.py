"""torch.nn.Module -> Graph. What is not in the tables of `operations` is refused by name; nothing is converted in part.

Knows the order of layers, their names and places; knows nothing of spikes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from converters import operations
from converters.calibration import as_array
from converters.evaluation import evaluate
from converters.remedies import remedy
from converters.tracing import record, source_line
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer

_VIEWS = (
    "view",
    "reshape",
    "flatten",
    "permute",
    "transpose",
    "squeeze",
    "unsqueeze",
    "getitem",
    "contiguous",
    "detach",
    "dropout",
)


def trace(model: nn.Module, example: Any) -> Graph:
    """The float network `model` as a Graph, traced on `example` (samples, *shape); the model itself is not changed.

    Raises ConversionError that names the module, its place and a remedy for whatever has no spiking form.
    """
    if not isinstance(model, nn.Module):
        raise ConversionError("model", f"{type(model).__name__} is not a torch.nn.Module", "Pass a module, or a Graph")
    sample = sample_pair(example)
    graph = record(model, sample)
    _check_in_place(model, graph)
    builder = Builder(model)
    for node in graph.nodes:
        builder.visit(node)
    traced = builder.finish()
    _check_same(model, traced, sample)
    return traced


def sample_pair(example: Any) -> torch.Tensor:
    """Two samples (2, *shape) of the example: with two, an operation across samples shows itself."""
    array = as_array(example)
    if array.ndim < 2 or len(array) == 0:
        raise ConversionError("calibration data", f"their shape is {array.shape}", "Pass samples first: (samples, *shape)")
    array = array[:2].astype(np.float32)
    array = np.nan_to_num(array)
    return torch.as_tensor(array if len(array) == 2 else np.concatenate([array, array]))


class Builder:
    """Collects layers while the nodes of a traced network are visited in order."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.layers: list[Layer] = []
        self.names: dict[fx.Node, str] = {}  # node -> layer that computes it
        self.parts: dict[fx.Node, list[str]] = {}  # node -> layers of a tuple
        self.output: str | None = None

    def visit(self, node: fx.Node) -> None:
        """Turn one node into layers."""
        if node.op == "placeholder":
            self.names[node] = self.add(node, "input", ())
        elif node.op == "output":
            self._finish_output(node)
        elif not node.meta["constant"]:
            self._handler(node)(self, node)

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
        held = {key: _array(value) for key, value in (arrays or {}).items() if value is not None}
        self.layers.append(Layer(name, op, inputs, shape, held, options, self.where(node)))
        return name

    def layer(self, value: Any) -> str:
        """Name of the layer that computes a node."""
        return self.names[value]

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
        line = source_line(node)
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
        kept = [layer for layer in self.layers if layer.name in needed or layer.op == "input"]
        if kept[-1].name != self.output:
            kept.append(Layer("output", "identity", (self.output,), next(a.shape for a in kept if a.name == self.output)))
        return Graph(tuple(kept), type(self.model).__name__)

    def _finish_output(self, node: fx.Node) -> None:
        (result,) = node.args
        if not isinstance(result, fx.Node):
            raise ConversionError(
                type(self.model).__name__, f"its forward returns a {type(result).__name__}", "Return one tensor, the logits"
            )
        if result not in self.names:
            raise ConversionError(type(self.model).__name__, "its output does not depend on its input", "Return the logits")
        self.output = self.names[result]

    def _handler(self, node: fx.Node) -> Callable[[Builder, fx.Node], None]:
        if node.op == "call_module":
            key: Any = type(self.model.get_submodule(str(node.target)))
            table: Mapping[Any, Any] = operations.MODULES
        else:
            key, table = node.target, operations.METHODS if node.op == "call_method" else operations.FUNCTIONS
        if key not in table:
            called = key if isinstance(key, str) else getattr(key, "__name__", str(key))
            raise self.refuse(node, "it has no spiking form", remedy(called))
        handler: Callable[[Builder, fx.Node], None] = table[key]
        return handler

    def _free_name(self, node: fx.Node) -> str:
        owner = _owner(node)
        base = str(node.target) if node.op == "call_module" else f"{owner}.{node.name}" if owner else node.name
        taken = {layer.name for layer in self.layers}
        return next(name for name in (base, *(f"{base}_{i}" for i in range(1, 10_000))) if name not in taken)


def _owner(node: fx.Node) -> str:
    """Path of the innermost module whose forward made the node, "" for the network's own."""
    stack = node.meta.get("nn_module_stack") or {}
    return str([*stack.values()][-1][0]) if stack else ""


def _array(value: Any) -> NDArray[Any]:
    return value.detach().cpu().numpy().copy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _in_place(model: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(model.get_submodule(str(node.target)), "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    own = getattr(operator, name, None) is node.target and name in ("iadd", "imul", "isub", "itruediv", "setitem")
    return own or bool(node.kwargs.get("inplace")) or (name.endswith("_") and not name.startswith("_"))


def _check_in_place(model: nn.Module, graph: fx.Graph) -> None:
    """Refuse an operation in place whose input is read again afterwards: the same value would mean two things."""
    place = {node: i for i, node in enumerate(graph.nodes)}
    root: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        first = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        in_place = first is not None and _in_place(model, node)
        root[node] = root[first] if first is not None and (in_place or name in _VIEWS) else node
        if in_place and first is not None and not first.meta.get("constant"):
            for other in [n for n in root if root[n] is root[node] and n is not node]:
                if any(place[user] > place[node] for user in other.users):
                    raise ConversionError(
                        Builder(model).where(node),
                        f"it changes a tensor in place that {[*other.users][-1].name!r} reads afterwards",
                        "Use the form that is not in place",
                    )


def _check_same(model: nn.Module, graph: Graph, sample: torch.Tensor) -> None:
    """The graph must compute what the model computes, or nothing that follows means anything."""
    mode = {module: module.training for module in model.modules()}
    with torch.no_grad():
        expected = model.eval()(sample)
    for module, training in mode.items():
        module.training = training
    got = evaluate(graph, {graph.inputs[0].name: sample}, (graph.output.name,))[graph.output.name]
    scale = float(expected.abs().max()) + 1e-6
    if expected.shape != got.shape or float((expected - got).abs().max()) > 1e-3 * scale:
        raise ConversionError(
            type(model).__name__,
            "its outputs differ from those of the layers it was traced to",
            "Report it with the model's code",
        )
