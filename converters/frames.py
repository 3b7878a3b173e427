"""The float arithmetic of graphs with frames: every layer's values in all frames of a stream, `previous` one frame late.

Knows the order of layers and frames; what a layer computes is said by `converters.opmath`. Layers on no loop are computed for
all frames at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from converters.opmath import Tensor, apply, arrays_of
from neuro.components import components
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer


def frame_values(graph: Graph, inputs: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """Values (samples, frames, *shape) of the wanted layers for inputs (samples, frames, *shape) of enough layers before them."""
    wanted = tuple(dict.fromkeys(wanted))
    known = graph.leading_to(wanted, inputs)
    order = [layer for layer in graph.layers if layer.name in known and layer.name not in inputs]
    uses = Counter([*wanted, *(name for layer in order for name in set(layer.inputs))])
    first = next(iter(inputs.values())).shape
    values, size = dict(inputs), (first[0], first[1])
    with torch.no_grad():
        for group in _groups(order):
            if len(group) > 1:
                values.update(_looped(group, values, size))
            else:
                values[group[0].name] = _at_once(group[0], values, size)
            for name in (name for layer in group for name in set(layer.inputs)):
                uses[name] -= 1
                if not uses[name]:
                    del values[name]
    return {name: values[name] for name in wanted}


class FrameEvaluation:
    """As `Evaluation`, of a graph with frames: inputs (samples, frames, *shape), values (samples x frames, *shape)."""

    def __init__(self, graph: Graph, inputs: Mapping[str, Tensor], wanted: Iterable[str]) -> None:
        self._values = frame_values(graph, inputs, wanted)

    def value(self, name: str) -> Tensor:
        """The values of a wanted layer, frame by frame."""
        return self._values[name].flatten(0, 1)


def check_frames(place: str, shape: Sequence[int], array: Any) -> None:
    """Refuse an array that is no (samples, frames, *shape)."""
    if np.ndim(array) != len(shape) + 2 or np.shape(array)[2:] != tuple(shape) or 0 in np.shape(array)[:2]:
        fact = f"the network has frames of shape {tuple(shape)}, the array is {np.shape(array)}"
        raise ConversionError(place, fact, f"Pass (samples, frames, {', '.join(map(str, shape))})")


def _groups(order: Sequence[Layer]) -> list[list[Layer]]:
    """Layers that lie on a loop together, each group behind those that feed it."""
    number = {layer.name: i for i, layer in enumerate(order)}
    targets: list[set[int]] = [set() for _ in order]
    for i, layer in enumerate(order):
        for name in layer.inputs:
            if name in number:
                targets[number[name]].add(i)
    return [[order[i] for i in sorted(group)] for group in components(targets)]


def _at_once(layer: Layer, values: Mapping[str, Tensor], size: tuple[int, int]) -> Tensor:
    """A layer on no loop in all frames."""
    if layer.op == "constant":
        return torch.tensor(layer.arrays["value"]).expand(*size, *layer.shape)
    given = [values[name] for name in layer.inputs]
    if layer.op == "previous":
        return torch.cat([_start(layer, size[0])[:, None].to(given[0].dtype), given[0][:, :-1]], dim=1)
    return apply(layer, [one.flatten(0, 1) for one in given]).reshape(*size, *layer.shape)


def _looped(group: Sequence[Layer], values: Mapping[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
    """Layers on a loop, frame by frame."""
    arrays = {layer.name: arrays_of(layer) for layer in group}
    before = [layer for layer in group if layer.op == "previous"]
    others = [layer for layer in group if layer.op != "previous"]
    found: dict[str, list[Tensor]] = {layer.name: [] for layer in group}
    inside = set(found)
    now = {layer.name: _start(layer, size[0]) for layer in before}
    for frame in range(size[1]):
        for layer in others:
            given = [now[name] if name in inside else values[name][:, frame] for name in layer.inputs]
            now[layer.name] = apply(layer, given, arrays[layer.name])
        for name in inside:
            found[name].append(now[name])
        now |= {layer.name: now[layer.inputs[0]] for layer in before}
    return {name: torch.stack(parts, dim=1) for name, parts in found.items()}


def _start(layer: Layer, samples: int) -> Tensor:
    """The value of a `previous` in the first frame."""
    start = torch.tensor(layer.arrays["start"]) if "start" in layer.arrays else torch.zeros(())
    return start.expand(samples, *layer.shape)
