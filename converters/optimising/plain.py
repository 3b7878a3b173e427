"""A float network that computes with values, while it is trained: its weights, biases and norms, nothing rounded.

What such a network costs on a chip hardly depends on its values, almost all of which are sent; its widths and heads do. Knows
graphs; knows no codes and no prices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch

from converters.opmath import apply, arrays_of
from converters.optimising.devices import moved
from converters.optimising.student import WEIGHTED, Masks, Passed
from neuro.graph import Graph

Tensor = torch.Tensor
_LEARNED = {**dict.fromkeys((*WEIGHTED, "layer_norm", "rms_norm", "group_norm"), ("weight", "bias")), "prelu": ("slope",)}


class PlainStudent:
    """A graph whose arrays of layers that learn can be trained. masks: weights that stay zero."""

    def __init__(self, graph: Graph, masks: Masks) -> None:
        self.origin, self.input, self.output = graph, graph.inputs[0].name, graph.output.name
        self.masks = {name: torch.as_tensor(mask, dtype=torch.float32) for name, mask in masks.items()}
        self.arrays = {layer.name: arrays_of(layer) for layer in graph.layers}
        for layer in graph.layers:
            for name in _LEARNED.get(layer.op, ()):
                if name in self.arrays[layer.name]:
                    self.arrays[layer.name][name].requires_grad_(True)

    def to(self, device: torch.device) -> None:
        """Train there from now on, and read `graph` from there."""
        self.masks = moved(self.masks, device)
        self.arrays = {name: moved(held, device) for name, held in self.arrays.items()}

    @property
    def features(self) -> tuple[str, ...]:
        """Sums of residual paths, where they have the teacher's shape."""
        return tuple(layer.name for layer in self.origin.layers if layer.op == "add" and layer.name != self.output)

    def parameters(self, rate: float, decay: float = 0.0) -> list[dict[str, Any]]:
        """Parameter groups for Adam, whose steps are `rate` of the size of what they change; weights lose `rate` times `decay`
        of themselves at each step."""
        groups: list[dict[str, Any]] = []
        for held in self.arrays.values():
            for name, value in held.items():
                if value.requires_grad:
                    size = float(value.detach().square().mean().sqrt()) or 1e-3
                    lost = decay / size if name == "weight" and value.ndim > 1 else 0.0
                    groups.append({"params": [value], "lr": rate * size, "weight_decay": lost})
        return groups

    def forward(self, x: Tensor, prices: Mapping[str, Tensor] | None = None) -> Passed:
        """Values of all layers for inputs (samples, *shape); no messages, whose prices are not asked for."""
        values = {self.input: x}
        for layer in self.origin.layers:
            if layer.op == "constant":
                values[layer.name] = self.arrays[layer.name]["value"].expand(len(x), *layer.shape)
            elif layer.op != "input":
                values[layer.name] = apply(layer, [values[name] for name in layer.inputs], self._effective(layer.name))
        return Passed(values, {})

    def settle(self, batches: Iterable[Tensor]) -> None:
        """Nothing here follows the batches."""

    def _effective(self, name: str) -> Mapping[str, Tensor]:
        arrays = self.arrays[name]
        return {**arrays, "weight": arrays["weight"] * self.masks[name]} if name in self.masks else arrays

    def graph(self) -> Graph:
        """The network with the trained arrays."""
        trained = {
            layer.name: {name: value.detach().cpu().numpy() for name, value in self._effective(layer.name).items()}
            for layer in self.origin.layers
        }
        return self.origin.relayered(replace(one, arrays=trained[one.name]) if one.arrays else one for one in self.origin.layers)
