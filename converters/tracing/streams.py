"""Models of streams that are traced on one frame: whether the graph of one frame does what the model does with all of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from converters.frames import frame_values
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer

_FRAMES = 5  # that a graph of one frame is checked on


def stream_pairs(model: nn.Module, example: Any) -> tuple[tuple[str, ...], tuple[torch.Tensor, ...]]:
    """The name of the one input, that of forward, and two samples of a few frames of it."""
    array = np.asarray(example, np.float32)
    if array.ndim < 3 or 0 in array.shape:
        raise ConversionError("calibration data", f"their shape is {array.shape}", "Pass streams: (samples, frames, *shape)")
    frames = np.concatenate([array] * -(-_FRAMES // array.shape[1]), axis=1)[:, :_FRAMES]
    pair = frames[:2] if len(frames) > 1 else np.concatenate([frames, frames[:, ::-1]])
    name = next(iter(inspect.signature(model.forward).parameters), "x")
    return (name,), (torch.as_tensor(pair.copy()),)


def same_frames(model: nn.Module, graph: Graph, inputs: Mapping[str, torch.Tensor], largest: float) -> Graph:
    """The graph of one frame, its outputs as the model shapes them; ConversionError where the two differ."""
    with torch.no_grad():
        result = model(*(x.clone() for x in inputs.values()))
    listed = list(result.values()) if isinstance(result, dict) else result if isinstance(result, tuple | list) else [result]
    expected = [one.float() for one in listed if isinstance(one, torch.Tensor)]
    found = frame_values(graph, inputs, graph.outputs)
    layers = list(graph.layers)
    outputs = []
    for (name, got), wanted in zip(found.items(), expected, strict=False):
        shape = _shape_of_frame(got, wanted)
        if shape is None or not _close(got.reshape(*got.shape[:2], *shape), wanted, largest):
            fact = "what it computes for a stream differs from what it computes for its frames one by one"
            remedy = (
                "Use layers that treat each frame by itself, recurrent ones with batch_first=True, and convolutions over time "
                "behind F.pad(x, (kernel - 1, 0)); leave frames out to take sequences as a whole"
            )
            raise ConversionError(type(model).__name__, fact, remedy)
        outputs.append(name)
        if shape != tuple(got.shape[2:]):
            outputs[-1] = f"{name}.frame"
            layers.append(Layer(outputs[-1], "reshape", (name,), shape, where=graph[name].where))
    layers.sort(key=lambda layer: layer.name in outputs)
    return Graph(tuple(layers), graph.name, graph.notes, tuple(outputs) if len(outputs) > 1 else ())


def _shape_of_frame(got: torch.Tensor, wanted: torch.Tensor) -> tuple[int, ...] | None:
    """The shape of an output for one frame: without the axis of frames, where the model keeps one; None where neither fits."""
    own = tuple(got.shape[2:])
    if tuple(wanted.shape[1:]) == own:  # one answer for the stream
        return own
    if wanted.ndim > 1 and wanted.shape[1] == got.shape[1] and own in (tuple(wanted.shape[2:]), (1, *wanted.shape[2:])):
        return tuple(wanted.shape[2:])
    return None


def _close(got: torch.Tensor, wanted: torch.Tensor, largest: float) -> bool:
    got = got if got.ndim == wanted.ndim and got.shape == wanted.shape else got[:, -1]
    allowed = 1e-3 * float(wanted.abs().max()) + 1e-6 * largest + 1e-9
    return got.shape == wanted.shape and bool(((got - wanted).abs() <= allowed).all())
