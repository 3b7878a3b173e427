"""torch.nn.Module -> Graph. What is not in the tables of `operations` is refused by name; nothing is converted in part.

Knows the order of layers, their names and places; knows nothing of spikes.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from converters.calibration import as_array
from converters.evaluation import evaluate
from converters.tracing.arguments import Handler, bound
from converters.tracing.builder import Builder
from converters.tracing.operations import FUNCTIONS, METHODS, MODULES
from converters.tracing.recording import record
from converters.tracing.remedies import remedy
from neuro.errors import ConversionError
from neuro.graph import Graph

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
        _visit(builder, node)
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


def _visit(builder: Builder, node: fx.Node) -> None:
    """Turn one node into layers."""
    if node.op == "placeholder":
        builder.names[node] = builder.add(node, "input", ())
    elif node.op == "output":
        builder.end(node)
    elif not node.meta["constant"]:
        _handler(builder, node)(builder, node)


def _handler(builder: Builder, node: fx.Node) -> Handler:
    if node.op == "call_module":
        key: Any = type(builder.model.get_submodule(str(node.target)))
        table: Mapping[Any, Handler] = MODULES
    else:
        key, table = node.target, METHODS if node.op == "call_method" else FUNCTIONS
    if key not in table:
        called = key if isinstance(key, str) else getattr(key, "__name__", str(key))
        raise builder.refuse(node, "it has no spiking form", remedy(called))
    return table[key]


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
        given = bound(node, "input").get("input")
        first = given if isinstance(given, fx.Node) else None
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
        expected = model.eval()(sample.clone())  # a forward may change it in place
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
