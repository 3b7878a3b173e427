"""What stays with the host behind a network: a last softmax, sigmoid or arg max. Knows graphs only."""

from __future__ import annotations

from neuro.graph import Graph, Layer

_DECIDING = frozenset({"softmax", "log_softmax", "argmax"})
_MOVING = frozenset({"reshape", "permute", "gather", "identity"})
_BOUNDED = frozenset({"sigmoid"})


def split_tail(graph: Graph) -> tuple[Graph, Graph | None]:
    """The graph up to the last values before a tail, and the tail as a graph of its own; None where there is none.

    A tail is a softmax, log_softmax, argmax or sigmoid, or several, with nothing but moves of values around them, at the end of
    a graph with one output. A note of the graph says what it is.
    """
    if len(graph.outputs) > 1:
        return graph, None
    layer, tail, kept = graph.output, list[Layer](), 0
    while _ends(layer) and len(graph.consumers(layer.name)) <= 1:
        tail.append(layer)
        if layer.op not in _MOVING:
            kept = len(tail)
        layer = graph[layer.inputs[0]]
    tail = tail[:kept][::-1]
    if not tail or graph[tail[0].inputs[0]].op == "input" or len(graph.consumers(tail[0].inputs[0])) > 1:
        return graph, None
    first = graph[tail[0].inputs[0]]
    needed = graph.leading_to((first.name,))
    last = Graph((Layer(first.name, "input", (), first.shape), *tail), f"{graph.name}: tail")
    kept_layers = tuple(one for one in graph.layers if one.name in needed)
    return Graph(kept_layers, graph.name, (*graph.notes, _told(last))), last


def _ends(layer: Layer) -> bool:
    bounded = layer.op == "function" and layer.options["name"] in _BOUNDED
    return layer.op in _DECIDING | _MOVING or bounded


def _told(tail: Graph) -> str:
    """The note that says what the host computes, and how many operations of each."""
    named = [(one.options["name"] if one.op == "function" else one.op, one) for one in tail.layers[1:] if one.op not in _MOVING]
    parts = [f"{name} of {one.shape}" for name, one in named]
    return f"stays with the host, behind the logits: {', '.join(parts)}; conversion.answer(run.logits) computes it"
