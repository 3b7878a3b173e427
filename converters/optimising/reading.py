"""Which channels of a float network are ever anything but zero where a layer that mixes channels reads them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from converters.evaluation import evaluate
from converters.optimising.channels import channel_groups, mixes
from neuro.graph import Graph

_BATCH = 128


def read_entries(graph: Graph, x: NDArray[np.float32]) -> dict[str, NDArray[np.bool_]]:
    """{layer that is read: (entries along its channel axis,)}: whether an entry is ever not zero on the inputs (samples, *shape),
    in the levels that rectifiers were tuned for."""
    axes = channel_groups(graph).axis
    names = tuple(dict.fromkeys(layer.inputs[0] for layer in graph.layers if mixes(layer)))
    used = {name: np.zeros(graph[name].shape[axes[name]], np.bool_) for name in names}
    for start in range(0, len(x), _BATCH):
        inputs = {graph.inputs[0].name: torch.as_tensor(np.ascontiguousarray(x[start : start + _BATCH], np.float32))}
        for name, value in evaluate(graph, inputs, names, quantised=True).items():
            sent = (value != 0).movedim(1 + axes[name], 1)
            used[name] |= sent.reshape(len(value), used[name].size, -1).any(dim=2).any(dim=0).numpy()
    return used
