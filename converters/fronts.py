"""A front end that stays with the host (a spectrum, say), split off a graph by the layer that it ends with. Knows graphs only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConversionError
from neuro.graph import Graph, Layer


def split_front(graph: Graph, last: str, sizes: Any = None) -> tuple[Graph, Graph]:
    """The part of a graph up to a layer, for the host, and the rest, whose input is that layer.

    sizes: numbers that broadcast to its shape (the largest value of each channel, say). The host divides by them and the rest
    multiplies, so that all of its inputs use the same integers; its values are the same.

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
    if sizes is not None:
        front, rest = _balanced(front, rest, whole, np.asarray(sizes, np.float32))
    return front, Graph(tuple(rest), graph.name, graph.notes, graph.outputs if len(graph.outputs) > 1 else ())


def _balanced(front: Graph, rest: list[Layer], whole: Layer, sizes: NDArray[np.float32]) -> tuple[Graph, list[Layer]]:
    """The front end divided by sizes, and the rest multiplied."""
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise ConversionError(whole.place, "sizes are not above 0", "Use the largest value of each channel, and 1 where it is 0")
    name, inner = whole.name, f"{whole.name}.whole"
    ended = [replace(layer, name=inner) if layer.name == name else layer for layer in front.layers]
    ended.append(Layer(name, "scale", (inner,), whole.shape, {"factor": np.asarray(1 / sizes, np.float32)}, where=whole.where))
    times = Layer(inner, "scale", (name,), whole.shape, {"factor": sizes}, where=whole.where)
    others = [replace(one, inputs=tuple(inner if source == name else source for source in one.inputs)) for one in rest[1:]]
    return Graph(tuple(ended), front.name), [rest[0], times, *others]
