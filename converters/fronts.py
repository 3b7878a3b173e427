"""A front end that stays with the host (a spectrum, say), split off a graph by the layer that it ends with. Knows graphs only."""

from __future__ import annotations

from neuro.errors import ConversionError
from neuro.graph import Graph, Layer


def split_front(graph: Graph, last: str) -> tuple[Graph, Graph]:
    """The part of a graph up to a layer, for the host, and the rest, whose input is that layer.

    `converters.evaluation.outputs(front, x)` is what the host computes; `neuro.weigh(front)` counts it. Raises
    ConversionError where the front end remembers frames, or the rest reads something else of it.
    """
    whole = graph[last]
    needed = graph.leading_to((last,))
    layers = [layer for layer in graph.layers if layer.name in needed]
    front = Graph(tuple(layers), f"{graph.name}: front end")
    if front.has_frames:
        raise ConversionError(whole.place, "the front end remembers frames", "End it before the first previous")
    kept = graph.leading_to(graph.outputs, (last,))
    rest = [
        Layer(last, "input", (), whole.shape, where=whole.where) if layer.name == last else layer
        for layer in graph.layers
        if layer.name in kept
    ]
    others = [layer.name for layer in rest if layer.op == "input" and layer.name != last]
    if others:
        raise ConversionError(
            whole.place, f"the rest reads {', '.join(others)} too", "Split behind the layer where all of it joins"
        )
    rest.sort(key=lambda layer: layer.name != last)
    return front, Graph(tuple(rest), graph.name, graph.notes, graph.outputs if len(graph.outputs) > 1 else ())
