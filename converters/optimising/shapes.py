"""Fewer layers and smaller kernels: a float network without some of its residual blocks, or with kernels cut at their edges.

Knows graphs; knows no prices and no training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.evaluation import logits
from converters.optimising.training import answer_loss
from neuro.errors import UsageError
from neuro.graph import Graph, Layer


@dataclass(frozen=True, slots=True)
class Block:
    """Layers beside a path that leaves values as they are: without them, `end` is its input `start`. end: the sum, or the
    rectifier behind it where it would only rectify again."""

    start: str
    end: str
    layers: frozenset[str]


def blocks(graph: Graph) -> tuple[Block, ...]:
    """The residual blocks that can leave a graph, in order."""
    found = []
    for layer in graph.layers:
        for start in layer.inputs if layer.op == "add" and len(layer.inputs) == 2 else ():
            inner = _between(graph, start, layer)
            if inner and _end(graph, start, layer) not in graph.outputs:
                found.append(Block(start, _end(graph, start, layer), inner | {layer.name, _end(graph, start, layer)}))
    return tuple(found)


def _between(graph: Graph, start: str, end: Layer) -> frozenset[str]:
    """The layers of the other branch of a sum, where they lead from `start` alone to the sum alone; none otherwise."""
    if graph[start].shape != end.shape:
        return frozenset()
    waiting, inner = [name for name in end.inputs if name != start], set[str]()
    while waiting:
        layer = graph[waiting.pop()]
        if layer.name in inner:
            continue
        inner.add(layer.name)
        waiting += [name for name in layer.inputs if name != start]
        if not layer.inputs or layer.name in graph.outputs:
            return frozenset()
    left = all(reader.name in inner | {end.name} for name in inner for reader in graph.consumers(name))
    return frozenset(inner) if left else frozenset()


def _end(graph: Graph, start: str, layer: Layer) -> str:
    """The sum, or the rectifier that is its only reader and would read what is rectified already."""
    readers = graph.consumers(layer.name)
    again = len(readers) == 1 and readers[0].op == graph[start].op == "relu" and layer.name not in graph.outputs
    same = again and readers[0].options["ceiling"] == graph[start].options["ceiling"]
    return readers[0].name if same and readers[0].name not in graph.outputs else layer.name


def without_blocks(graph: Graph, count: int, x: NDArray[np.float32]) -> Graph:
    """The graph without so many residual blocks: one after the other the one whose loss changes the answers to x least.

    Raises UsageError where it has fewer.
    """
    truth = torch.as_tensor(logits(graph, x)).reshape(len(x), -1)

    def lost(smaller: Graph) -> float:
        return float(answer_loss(torch.as_tensor(logits(smaller, x)).reshape(len(x), -1), truth))

    for number in range(count):
        shorter = [_without(graph, block) for block in blocks(graph)]
        if not shorter:
            fact = f"{count} residual blocks are to be removed, the network has {number} that can be"
            raise UsageError("optimise, depth", fact, f"Use {number}" if number else "Leave it at 0")
        graph = min(shorter, key=lost)
    return graph


def _without(graph: Graph, block: Block) -> Graph:
    """A graph whose readers of a block's end read its start."""
    left = [layer for layer in graph.layers if layer.name not in block.layers]
    swapped = [replace(one, inputs=tuple(block.start if n == block.end else n for n in one.inputs)) for one in left]
    return graph.relayered(swapped)


def with_kernels(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph with kernels of convolutions cut to so many places along each axis, from the middle; outputs keep their shapes.

    Raises UsageError for what is no convolution, and for a size that is no such middle or whose padding is too small.
    """
    for name, size in sizes.items():
        if name not in {layer.name for layer in graph.layers if layer.op == "conv"}:
            known = ", ".join(layer.name for layer in graph.layers if layer.op == "conv") or "none here"
            raise UsageError("optimise, kernels", f"{name!r} is no convolution", f"Name one of: {known}")
        if size not in kernel_sizes(graph[name]):
            fact = f"{name!r} has a kernel of {graph[name].arrays['weight'].shape[2:]}, from which {size} cannot be cut"
            raise UsageError("optimise, kernels", fact, f"Use one of {', '.join(map(str, kernel_sizes(graph[name])))}")
    return graph.relayered(_smaller(layer, sizes[layer.name]) if layer.name in sizes else layer for layer in graph.layers)


def kernel_sizes(layer: Layer) -> tuple[int, ...]:
    """Sizes that a convolution's kernel can have, its own last."""
    kernel, o = layer.arrays["weight"].shape[2:], layer.options
    room = min(min(low, high) // d for (low, high), d in zip(o["padding"], o["dilation"], strict=True))
    most = min(room, (min(kernel) - 1) // 2) if len(set(kernel)) == 1 else 0
    return tuple(kernel[0] - 2 * cut for cut in range(most, -1, -1))


def _smaller(layer: Layer, size: int) -> Layer:
    weight, o = layer.arrays["weight"], layer.options
    cut = (weight.shape[2] - size) // 2
    middle = (slice(None), slice(None), *[slice(cut, cut + size)] * (weight.ndim - 2))
    padding = tuple((low - cut * d, high - cut * d) for (low, high), d in zip(o["padding"], o["dilation"], strict=True))
    options: dict[str, Any] = {**o, "padding": padding}
    return replace(layer, arrays={**layer.arrays, "weight": np.ascontiguousarray(weight[middle])}, options=options)
