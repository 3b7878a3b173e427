"""What stays with the host behind a network: a last softmax, sigmoid or arg max. Knows graphs only."""

from __future__ import annotations

from dataclasses import replace

from neuro.graph import Graph, Layer

_DECIDING = frozenset({"softmax", "log_softmax", "argmax"})
_MOVING = frozenset({"reshape", "permute", "gather", "identity"})
_BOUNDED = frozenset({"sigmoid"})


def split_tail(graph: Graph) -> tuple[Graph, Graph | None]:
    """The graph up to the last values before tails, and the tails as a graph of its own; None where there are none.

    A tail is a softmax, log_softmax, argmax or sigmoid, or several, with nothing but moves of values around them, at the end of
    an output. A note of the graph says what it is. Of several outputs each keeps its name, for the values before its tail; the
    inputs of the tails' graph are those with ".logits" behind their names.
    """
    found = {name: tail for name in graph.outputs if (tail := _tail(graph, name))}
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
    given = "run.logits" if len(tail.inputs) == 1 and not tail.inputs[0].name.endswith(".logits") else "run.outputs"
    return f"stays with the host, behind the logits: {', '.join(parts)}; conversion.answer({given}) computes it"
