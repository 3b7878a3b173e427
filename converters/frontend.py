"""torch.nn.Module -> Graph. What is not in the tables of `operations` is refused by name; nothing is converted in part.

Knows the order of layers, their names and places; knows nothing of spikes.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.nn.utils.parametrize import is_parametrized

from converters.calibration import as_array
from converters.evaluation import evaluate
from converters.states import close_loops
from converters.tracing.arguments import Handler
from converters.tracing.builder import Builder
from converters.tracing.holding import held, unwrapped
from converters.tracing.merged import taken_apart
from converters.tracing.operations import FUNCTIONS, METHODS, MODULES
from converters.tracing.recording import record
from converters.tracing.recurrent import Alone
from converters.tracing.remedies import unknown
from converters.tracing.streams import same_frames, stream_pairs
from neuro.errors import ConversionError
from neuro.graph import Graph

_MASKED = -9e3  # what is below it may be a mask


def trace(model: nn.Module, example: Any, *, frames: bool = False, state: Mapping[str, str] | bool | None = None) -> Graph:
    """The float network `model` as a Graph, traced on `example` (samples, *shape); the model itself is not changed.

    `example`: of several inputs a mapping of their names, those of forward, or a tuple of arrays. Whole numbers stay whole where
    the model looks them up in a table. Outputs are named by their keys, or by their places ("output0"), where there are several.
    frames: the model takes streams, the example is (samples, frames, *shape), and the graph is that of one frame (*shape):
    recurrent modules keep their state from frame to frame, padding in front of convolutions over time stands for earlier frames.
    Its outputs are those of every frame; of a model that answers once, after the last frame, what it would answer there.
    state: inputs of forward that are outputs of the call before, {"h": "output1"}; True finds them by name and shape.
    The graph is in float32, whatever the type and device of the model. Raises ConversionError that names the module, its place
    and a remedy for whatever has no spiking form.
    """
    if not isinstance(model, nn.Module):
        raise ConversionError("model", f"{type(model).__name__} is not a torch.nn.Module", "Pass a module, or a Graph")
    model = unwrapped(model)
    model = Alone(model).eval() if isinstance(model, nn.RNNBase) else model
    names, samples = stream_pairs(model, example) if frames else _samples(model, example)
    given = tuple(x[:, :1] for x in samples) if frames else samples
    with held(model):
        graph = record(model, given, names)
        taken_apart(graph, model)
        builder = Builder(model)
        builder.frames = frames
        for node in _needed(graph):
            _visit(builder, node)
        traced = builder.finish()
        inputs = dict(zip(builder.inputs, samples, strict=True))
        if frames:
            return same_frames(model, traced, inputs, _largest(graph))
        _check_same(model, traced, inputs, _largest(graph))
    return traced if state is None or state is False else close_loops(traced, None if state is True else state)


def sample_pair(example: Any) -> torch.Tensor:
    """Two samples (2, *shape) of the example: with two, an operation across samples shows itself."""
    array = as_array(example)
    if array.ndim < 2 or len(array) == 0:
        raise ConversionError("calibration data", f"their shape is {array.shape}", "Pass samples first: (samples, *shape)")
    with np.errstate(over="ignore"):
        array = np.nan_to_num(np.array(array[:2], np.float32, order="C"))
    return torch.as_tensor(array if len(array) == 2 else np.concatenate([array, array]))


def _samples(model: nn.Module, example: Any) -> tuple[tuple[str, ...], tuple[torch.Tensor, ...]]:
    """The names of the inputs, those of forward, and two samples of each."""
    known = [
        name
        for name, p in inspect.signature(model.forward).parameters.items()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if isinstance(example, Mapping):
        if set(example) != set(known[: len(example)]):
            fact = f"forward takes {', '.join(known)}, the example has {', '.join(map(str, example))}"
            raise ConversionError(type(model).__name__, fact, "Name its inputs as forward does, from the first on")
        names = tuple(name for name in known if name in example)
        parts = tuple(example[name] for name in names)
    elif isinstance(example, tuple) and example and all(np.ndim(part) > 0 for part in example) and len(example) <= len(known):
        names, parts = tuple(known[: len(example)]), example
    else:
        names, parts = (known[0] if known else "x",), (example,)
    looks_up = any(isinstance(module, nn.Embedding) for module in model.modules())
    return names, tuple(_ids(part) if looks_up and _whole(part) else sample_pair(part) for part in parts)


def _whole(example: Any) -> bool:
    return np.asarray(example).dtype in (np.int32, np.int64) and np.ndim(example) > 1


def _ids(example: Any) -> torch.Tensor:
    """Two samples of whole numbers, as they are."""
    array = np.asarray(example)[:2].astype(np.int64)
    return torch.as_tensor(array if len(array) == 2 else np.concatenate([array, array]))


def _visit(builder: Builder, node: fx.Node) -> None:
    """Turn one node into layers."""
    if node.op == "placeholder":
        shape = builder.shape_of(node)
        builder.names[node] = builder.add(node, "input", (), shape[builder.frames :])
        builder.inputs.append(builder.names[node])
        if builder.frames:
            builder.names[node] = builder.add(node, "reshape", (builder.names[node],), shape)
        if builder.shape_of(node) and 0 in builder.shape_of(node):
            raise builder.refuse(node, "it holds no values", "Pass samples with values")
    elif node.op == "output":
        builder.end(node)
    elif not node.meta["constant"]:
        _handle(builder, node)
    if node.op != "output" and node.meta["changes"]:
        _follow_change(builder, node)


def _handle(builder: Builder, node: fx.Node) -> None:
    handler = _handler(builder, node)
    first = next((n for n in node.all_input_nodes if not n.meta["constant"]), None)
    at, value = builder.moved.get(first, 0) if first is not None else 0, node.meta["value"]
    if at and first is not None and isinstance(value, torch.Tensor) and isinstance(first.meta["value"], torch.Tensor):
        before = first.meta["value"].shape
        if value.ndim == len(before) and value.shape[at] == before[at]:
            builder.moved[node] = at
    if any(builder.moved.get(n, 0) != at for n in node.all_input_nodes if not n.meta["constant"]):
        raise builder.refuse(node, "its operands have samples on different axes", "Bring samples to the same axis first")
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
        raise builder.refuse(node, "it has no spiking form", unknown(called))
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
    """The largest absolute value on the way from sample to output: rounding errors are of its size. Masks, numbers far below
    0 that a softmax takes away, have none."""
    values = [node.meta["value"] for node in graph.nodes if node.op != "output"]
    floats = [v.detach() for v in values if isinstance(v, torch.Tensor) and v.is_floating_point() and v.numel()]
    return max((size for size in map(_largest_of, floats) if size is not None), default=1.0)


def _largest_of(values: torch.Tensor) -> float | None:
    """The largest absolute value of those that are no masks and not NaN; None where all are."""
    low, high = (float(end) for end in values.aminmax())
    if low > _MASKED:
        return max(high, -low)
    sizes = values[values > _MASKED].abs()
    return float(sizes.max()) if sizes.numel() else None


def _check_same(model: nn.Module, graph: Graph, samples: Mapping[str, torch.Tensor], largest: float) -> None:
    """The graph must compute what the model computes, on the sample and on its negative; inputs of 0 and 1, as masks, stay."""
    negated = {name: -x if x.is_floating_point() and ((x != 0) & (x != 1)).any() else x for name, x in samples.items()}
    for given in (samples, negated):
        with torch.no_grad():
            result = model(*(x.clone() for x in given.values()))  # a forward may change it in place
        found = evaluate(graph, {name: given[name].float() for name in (one.name for one in graph.inputs)}, graph.outputs)
        for expected, got in zip(_tensors(result), found.values(), strict=False):
            _check_close(model, expected, got, largest)


def _tensors(result: Any) -> list[torch.Tensor]:
    parts = list(result.values()) if isinstance(result, dict) else result if isinstance(result, tuple | list) else [result]
    return [part for part in parts if isinstance(part, torch.Tensor)]


def _check_close(model: nn.Module, expected: torch.Tensor, got: torch.Tensor, largest: float) -> None:
    expected = expected.float()
    both = expected.isfinite() & got.isfinite() if expected.shape == got.shape else torch.zeros(1, dtype=torch.bool)
    sizes = expected[both].abs() if expected.shape == got.shape else expected.abs()
    allowed = 1e-3 * float(sizes.max() if sizes.numel() else 0.0) + 1e-6 * largest + 1e-9
    same = expected.shape == got.shape and bool((expected.isnan() == got.isnan()).all())
    if not same or (both.any() and float((expected - got)[both].abs().max()) > allowed):
        fact = "its outputs differ from those of the layers it was traced to"
        raise ConversionError(type(model).__name__, fact, "Report it with the model's code")
