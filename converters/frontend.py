"""torch.nn.Module -> Graph. What is not in the tables of `operations` is refused by name; nothing is converted in part.

Knows the order of layers, their names and places; knows nothing of spikes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn.utils.parametrize import is_parametrized

from converters.calibration import as_array
from converters.evaluation import evaluate
from converters.tracing.arguments import Handler
from converters.tracing.builder import Builder
from converters.tracing.holding import held, unwrapped
from converters.tracing.operations import FUNCTIONS, METHODS, MODULES
from converters.tracing.recording import record
from converters.tracing.remedies import remedy
from neuro.errors import ConversionError
from neuro.graph import Graph


def trace(model: nn.Module, example: Any) -> Graph:
    """The float network `model` as a Graph, traced on `example` (samples, *shape); the model itself is not changed.

    The graph is in float32, whatever the type and device of the model. Raises ConversionError that names the module, its place
    and a remedy for whatever has no spiking form.
    """
    if not isinstance(model, nn.Module):
        raise ConversionError("model", f"{type(model).__name__} is not a torch.nn.Module", "Pass a module, or a Graph")
    model, sample = unwrapped(model), sample_pair(example)
    with held(model):
        graph = record(model, sample)
        builder = Builder(model)
        for node in _needed(graph):
            _visit(builder, node)
        traced = builder.finish()
        _check_same(model, traced, sample, _largest(graph))
    return traced


def sample_pair(example: Any) -> torch.Tensor:
    """Two samples (2, *shape) of the example: with two, an operation across samples shows itself."""
    array = as_array(example)
    if array.ndim < 2 or len(array) == 0:
        raise ConversionError("calibration data", f"their shape is {array.shape}", "Pass samples first: (samples, *shape)")
    with np.errstate(over="ignore"):
        array = np.nan_to_num(np.array(array[:2], np.float32, order="C"))
    return torch.as_tensor(array if len(array) == 2 else np.concatenate([array, array]))


def _visit(builder: Builder, node: fx.Node) -> None:
    """Turn one node into layers."""
    if node.op == "placeholder":
        builder.names[node] = builder.add(node, "input", ())
    elif node.op == "output":
        builder.end(node)
    elif not node.meta["constant"]:
        _handle(builder, node)
    if node.op != "output" and node.meta["changes"]:
        _follow_change(builder, node)


def _handle(builder: Builder, node: fx.Node) -> None:
    handler = _handler(builder, node)
    try:
        handler(builder, node)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        fact = f"it is called in a form that is not known here ({type(error).__name__}: {error})"
        raise builder.refuse(node, fact, "Call it with plain numbers and with tensors of one result each") from error


def _handler(builder: Builder, node: fx.Node) -> Handler:
    if node.op == "call_module":
        module = builder.model.get_submodule(str(node.target))
        key: Any = type(module).__base__ if is_parametrized(module) else type(module)
        table: Mapping[Any, Handler] = MODULES
    else:
        key, table = node.target, METHODS if node.op == "call_method" else FUNCTIONS
    if key not in table:
        called = key if isinstance(key, str) else getattr(key, "__name__", str(key))
        raise builder.refuse(node, "it has no spiking form", remedy(called))
    return table[key]


def _needed(graph: fx.Graph) -> list[fx.Node]:
    """Nodes that lead to the output or change a tensor in place, in order; those of no consequence (logging) are left out."""
    needed: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op in ("placeholder", "output") or node in needed or node.meta["changes"]:
            needed.update([node, *node.all_input_nodes])
    return [node for node in graph.nodes if node in needed]


def _follow_change(builder: Builder, node: fx.Node) -> None:
    """After an operation in place, what it changed is read from its result; views of that are refused where they are read."""
    for changed in node.meta["changes"]:
        for other, whole in _sharing(node, changed).items():
            if whole and node.meta["shares"].get(changed) and not changed.meta["constant"]:
                builder.names[other] = builder.names[node]
            elif any(node < user for user in other.users):
                raise builder.refuse(
                    node,
                    f"it changes a tensor in place that {[*other.users][-1].name!r} reads afterwards",
                    "Use the form that is not in place",
                )


def _sharing(node: fx.Node, changed: fx.Node) -> dict[fx.Node, bool]:
    """Nodes before `node` with values in the memory of `changed`, and whether they are the same elements in the same order."""
    found, waiting = {changed: True}, [changed]
    while waiting:
        one = waiting.pop()
        after = {user: user.meta["shares"][one] for user in one.users if one in user.meta.get("shares", {})}
        for other, whole in {**one.meta["shares"], **after}.items():
            if other not in found and other < node:
                found[other] = found[one] and whole
                waiting.append(other)
    return found


def _largest(graph: fx.Graph) -> float:
    """The largest absolute value on the way from sample to output: rounding errors are of its size."""
    values = [node.meta["value"] for node in graph.nodes if node.op != "output"]
    floats = [v for v in values if isinstance(v, torch.Tensor) and v.is_floating_point() and v.numel()]
    return max(float(v.detach().abs().max()) for v in floats)


def _check_same(model: nn.Module, graph: Graph, sample: torch.Tensor, largest: float) -> None:
    """The graph must compute what the model computes, on the sample and on its negative."""
    for x in (sample, -sample):
        with torch.no_grad():
            expected = model(x.clone())  # a forward may change it in place
        got = evaluate(graph, {graph.inputs[0].name: x}, (graph.output.name,))[graph.output.name]
        allowed = 1e-3 * float(expected.abs().max()) + 1e-6 * largest + 1e-9
        if expected.shape != got.shape or float((expected - got).abs().max()) > allowed:
            raise ConversionError(
                type(model).__name__,
                "its outputs differ from those of the layers it was traced to",
                "Report it with the model's code",
            )
