"""What stays with the host behind a network: a last softmax, sigmoid or arg max, and what reads one. Knows graphs only."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from neuro.graph import Graph, Layer

_DECIDING = frozenset({"softmax", "log_softmax", "argmax"})
_MOVING = frozenset({"reshape", "permute", "gather", "identity"})
_BOUNDED = frozenset({"sigmoid"})
_HOSTED = frozenset({"argmax", "embedding"})  # have no form as spikes
_WORKING = frozenset(
    {"conv", "linear", "conv_transpose", "matmul", "input", "previous"}
)  # never stay with the host behind others
_LEADING = _MOVING | frozenset({"mask", "pad"})  # stay with the host where only it reads them
_MOST_TOLD = 4


def split_tail(graph: Graph) -> tuple[Graph, Graph | None]:
    """The graph up to the last values before tails, and the tails as a graph of its own; None where there are none.

    A tail is a softmax, log_softmax, argmax or sigmoid, or several, with nothing but moves of values around them, at the end of
    an output. A note of the graph says what it is. Of several outputs each keeps its name, for the values before its tail; the
    inputs of the tails' graph are those with ".logits" behind their names. Where an arg max or a table of vectors has other
    layers behind it, none of them with weights, all of these stay with the host, and the outputs are the values that they read.
    """
    found = {name: tail for name in graph.outputs if (tail := _tail(graph, name))}
    hosted = _hosted(graph, {layer.name for tail in found.values() for layer in tail})
    if borders := _read_by(graph, hosted):
        return _cut(graph, hosted, borders)
    if not found:
        return graph, None
    if len(graph.outputs) > 1:
        return _several(graph, found)
    (tail,) = found.values()
    first = graph[tail[0].inputs[0]]
    needed = graph.leading_to((first.name,))
    last = Graph((Layer(first.name, "input", (), first.shape), *tail), f"{graph.name}: tail")
    kept_layers = tuple(one for one in graph.layers if one.name in needed)
    return Graph(kept_layers, graph.name, (*graph.notes, _told(last))), last


def _tail(graph: Graph, name: str) -> list[Layer]:
    """The layers of an output that stay with the host, in order."""
    layer, tail, kept = graph[name], list[Layer](), 0
    while _ends(layer) and len(graph.consumers(layer.name)) <= 1:
        tail.append(layer)
        if layer.op not in _MOVING:
            kept = len(tail)
        layer = graph[layer.inputs[0]]
    tail = tail[:kept][::-1]
    first = graph[tail[0].inputs[0]] if tail else layer
    shared = len(graph.outputs) == 1 and len(graph.consumers(first.name)) > 1
    return [] if first.op == "input" or shared else tail


def _hosted(graph: Graph, ends: set[str]) -> set[str]:
    """The layers that must stay with the host, those that read them, and the ends of other outputs; none where all that must are
    ends, or where a layer that has weights reads one."""
    must = {layer.name for layer in graph.layers if layer.op in _HOSTED} - ends
    for layer in graph.layers:
        if must.intersection(layer.inputs):
            must.add(layer.name)
    if not must or any(graph[name].op in _WORKING for name in must):
        return set()
    hosted = must | ends
    for layer in reversed(graph.layers):
        read = {reader.name for reader in graph.consumers(layer.name)}
        if read and read <= hosted and (layer.op in _LEADING or _ends(layer)):
            hosted.add(layer.name)
    return hosted


def _read_by(graph: Graph, hosted: set[str]) -> list[str]:
    """The layers that those which stay with the host read; none where inputs of the network are among them."""
    read = dict.fromkeys(source for layer in graph.layers if layer.name in hosted for source in layer.inputs)
    borders = [name for name in read if name not in hosted and graph[name].op != "constant"]
    return [] if any(graph[name].op == "input" for name in borders) else borders


def _cut(graph: Graph, hosted: set[str], borders: list[str]) -> tuple[Graph, Graph]:
    """The graph up to the borders, and with the other outputs; and what stays with the host, which reads the borders."""
    others = tuple(name for name in graph.outputs if name not in hosted)
    needed = graph.leading_to((*borders, *others))
    kept, ends, outputs = [layer for layer in graph.layers if layer.name in needed], {name: name for name in borders}, others
    if len(borders) + len(others) > 1:
        ends = {name: f"{name}.host" for name in borders}
        kept += [Layer(ends[name], "identity", (name,), graph[name].shape, where=graph[name].where) for name in borders]
        outputs = (*others, *ends.values())
    kept.sort(key=lambda layer: layer.name in outputs)
    starts = {name: f"{end}.logits" if outputs else end for name, end in ends.items()}
    tail = [Layer(start, "input", (), graph[name].shape) for name, start in starts.items()]
    for layer in sorted(graph.layers, key=lambda layer: layer.name in graph.outputs):
        constant = layer.op == "constant" and any(reader.name in hosted for reader in graph.consumers(layer.name))
        if layer.name in hosted or constant:
            tail.append(replace(layer, inputs=tuple(starts.get(name, name) for name in layer.inputs)))
    given = tuple(name for name in graph.outputs if name in hosted)
    last = Graph(tuple(tail), f"{graph.name}: tail", outputs=given if len(given) > 1 else ())
    return Graph(tuple(kept), graph.name, (*graph.notes, _told(last)), outputs), last


def _several(graph: Graph, found: dict[str, list[Layer]]) -> tuple[Graph, Graph]:
    """As `split_tail`, of a graph with several outputs."""
    hosted = {layer.name for tail in found.values() for layer in tail}
    kept = {layer.name: layer for layer in graph.layers if layer.name not in hosted}
    starts, ends = [], []
    for name, (one, *others) in found.items():
        first = graph[one.inputs[0]]
        kept[name] = Layer(name, "identity", (first.name,), first.shape, where=graph[name].where)
        starts.append(Layer(f"{name}.logits", "input", (), first.shape))
        ends += [replace(one, inputs=(f"{name}.logits",)), *others]
    rank = {name: i + 1 for i, name in enumerate(graph.outputs)}
    layers = sorted(kept.values(), key=lambda layer: rank.get(layer.name, 0))
    ends.sort(key=lambda layer: layer.name in found)
    last = Graph((*starts, *ends), f"{graph.name}: tail", outputs=tuple(found) if len(found) > 1 else ())
    return Graph(tuple(layers), graph.name, (*graph.notes, _told(last)), graph.outputs), last


def _ends(layer: Layer) -> bool:
    bounded = layer.op == "function" and layer.options["name"] in _BOUNDED
    return layer.op in _DECIDING | _MOVING or bounded


def _told(tail: Graph) -> str:
    """The note that says what the host computes, and how many operations of each."""
    named = [
        (one.options["name"] if one.op == "function" else one.op, one) for one in tail.layers if one.op not in _MOVING | {"input"}
    ]
    parts = [f"{name} of {one.shape}" for name, one in named]
    if len(named) > _MOST_TOLD:
        times = Counter(name for name, one in named if one.op != "constant")
        parts = [f"{count} x {name}" if count > 1 else name for name, count in times.items()]
    given = "run.logits" if len(tail.inputs) == 1 and not tail.inputs[0].name.endswith(".logits") else "run.outputs"
    return f"stays with the host, behind the logits: {', '.join(parts)}; conversion.answer({given}) computes it"
