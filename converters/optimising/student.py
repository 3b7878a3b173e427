"""The float network as it will be on the chip: rounded activations, masked and rounded weights, and the messages that they
cost.

Rounding passes gradients straight through (QCFS, Bu et al. 2022). What the codes that count spikes lose by uneven timing is in
the values and not in the gradients: the spikes are stepped through (tandem learning, Wu et al. 2021). Knows graphs and codes;
knows no chip: prices of messages are given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.calibration import calibrate, thresholds
from converters.codes import row_of
from converters.evaluation import evaluate, rounded
from converters.opmath import apply, arrays_of
from converters.optimising.devices import moved
from converters.optimising.messages import Trains, messages, straight
from converters.optimising.norms import Norms
from converters.optimising.sending import sent as priced
from neuro.codes import Code
from neuro.graph import Graph, Layer

Tensor = torch.Tensor
Masks = Mapping[str, NDArray[np.bool_]]
WEIGHTED = ("conv", "linear")


@dataclass(frozen=True, slots=True)
class Coding:
    """How values are written: the code, its T (or digits), and the bits of weights by layer (8 where none are named)."""

    code: Code
    timesteps: int = 1
    weight_bits: Mapping[str, int] = field(default_factory=dict)

    @property
    def levels(self) -> int:
        """Values besides zero of an activation."""
        return row_of(self.code).levels(self.timesteps)

    @property
    def timed(self) -> bool:
        """Whether what is sent depends on when inputs arrive."""
        return not row_of(self.code).lossless


@dataclass(frozen=True, slots=True)
class Passed:
    """One pass: values (samples, *shape) by layer, and messages (samples, *shape) that each sending layer spends on a
    sample; instead of these, for layers whose prices were given, what they cost."""

    values: Mapping[str, Tensor]
    messages: Mapping[str, Tensor]
    costs: Mapping[str, Tensor] = field(default_factory=dict)

    def price(self, prices: Mapping[str, Tensor]) -> Tensor:
        """What the messages of an average sample cost, for prices (*shape) of one message of each neuron."""
        counted = {name: (sent * prices[name]).sum() / len(sent) for name, sent in self.messages.items() if name in prices}
        spent = [counted[name] if name in counted else self.costs[name] for name in prices]
        return torch.stack(spent).sum() if spent else torch.zeros(())


class Student:
    """A folded, rectified graph whose weights, biases and thresholds can be trained for a code.

    samples: typical inputs, for thresholds where a rectifier has none yet. masks: weights that stay zero. norms: whether batch
    norms stand behind all layers but the last while it is trained; `settle` before reading `graph` then.
    """

    def __init__(
        self,
        graph: Graph,
        samples: NDArray[np.float32],
        coding: Coding,
        masks: Masks | None = None,
        norms: bool = False,
    ) -> None:
        self.origin, self.coding = graph, coding
        self.input, self.output = graph.inputs[0].name, graph.output.name
        self.masks = {name: torch.as_tensor(np.asarray(mask, np.float32)) for name, mask in (masks or {}).items()}
        self.theta = {name: _leaf(np.log(theta)) for name, theta in tuned_thresholds(graph, samples, coding.levels).items()}
        self.arrays: dict[str, dict[str, Tensor]] = {}
        for layer in graph.layers:
            self.arrays[layer.name] = arrays_of(layer)
            if layer.op in WEIGHTED:
                bias = layer.arrays.get("bias", np.zeros(layer.arrays["weight"].shape[0], np.float32))
                self.arrays[layer.name] = {"weight": _leaf(layer.arrays["weight"]), "bias": _leaf(bias)}
        inner = [layer for layer in graph.layers if norms and layer.op in WEIGHTED and layer.name != self.output]
        names = {layer.name for layer in inner}
        with torch.no_grad():
            found = evaluate(graph, {self.input: torch.as_tensor(samples)}, names) if names else {}
        self.norms = Norms(inner, found)

    def to(self, device: torch.device) -> None:
        """Train there from now on, and read `graph` from there."""
        self.theta, self.masks = moved(self.theta, device), moved(self.masks, device)
        self.arrays = {name: moved(held, device) for name, held in self.arrays.items()}
        self.norms.to(device)

    @property
    def weighted(self) -> tuple[str, ...]:
        """Names of the layers with weights."""
        return tuple(layer.name for layer in self.origin.layers if layer.op in WEIGHTED)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the layers whose values may be compared with the teacher's."""
        return tuple(self.theta)

    def parameters(self, rate: float, decay: float = 0.0) -> list[dict[str, Any]]:
        """Parameter groups for Adam, whose steps are `rate` of the size of what they change; weights lose `rate` times `decay`
        of themselves at each step."""
        groups: list[dict[str, Any]] = [{"params": [theta], "lr": rate} for theta in self.theta.values()]
        for layer in self.origin.layers:
            if layer.op in WEIGHTED:
                held = self.arrays[layer.name]
                size = float(held["weight"].detach().square().mean().sqrt()) or 1e-3
                unit = self._unit(layer)
                groups.append({"params": [held["weight"]], "lr": rate * size, "weight_decay": decay / size})
                if layer.name in self.norms.shift:
                    groups += self.norms.parameters(layer.name, rate, unit)
                else:
                    groups.append({"params": [held["bias"]], "lr": 0.2 * rate * unit})
        return groups

    def _unit(self, layer: Layer) -> float:
        """The size of a layer's values: the mean threshold behind it, or that of its weights."""
        for consumer in self.origin.consumers(layer.name):
            if consumer.name in self.theta:
                return float(self.theta[consumer.name].detach().exp().mean())
        return float(np.abs(layer.arrays["weight"]).mean()) * 10

    def forward(self, x: Tensor, prices: Mapping[str, Tensor] | None = None) -> Passed:
        """Values and messages of all layers for inputs (samples, *shape); what messages cost where prices (*shape) are given,
        which is sooner than to have the messages."""
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        values, sent, costs = {self.input: x}, dict[str, Tensor](), dict[str, Tensor]()
        known, row = prices or {}, row_of(self.coding.code)
        trains = Trains(self.coding.code, self.coding.timesteps, x, self.input) if self.coding.timed else None
        for layer in self.origin.layers:
            if layer.op == "input":
                continue
            arrays = self.effective(layer)
            inputs = [values[name] for name in layer.inputs]
            if layer.op == "relu":
                theta = self.theta[layer.name].exp()
                if layer.name in known and row.lossless and not row.counts and inputs[0].device.type == "cpu":
                    cost = known[layer.name]
                    values[layer.name], costs[layer.name] = priced(inputs[0], theta, self.coding.levels, cost, row.digits)
                    continue
                values[layer.name] = rounded(inputs[0], theta, self.coding.levels)
                counted = None if trains is None else trains.fire(layer, theta.detach())
                if counted is not None:  # what was really sent, with the gradient of the rounded value
                    unit = theta.reshape(-1, *[1] * (inputs[0].ndim - 2)) / self.coding.levels
                    values[layer.name] = straight(counted[0] * unit, values[layer.name])
                sent[layer.name] = messages(self.coding, inputs[0], values[layer.name], theta)
                if counted is not None:
                    sent[layer.name] = straight(counted[1], sent[layer.name])
                continue
            if layer.name in self.norms.shift:
                raw = apply(layer, inputs, {"weight": arrays["weight"]})
                values[layer.name] = self.norms.normed(layer.name, raw)
                arrays = arrays if trains is None else self.norms.of_batch(layer.name, arrays["weight"], raw)
            else:
                values[layer.name] = apply(layer, inputs, arrays)
            if trains is not None:
                trains.apply(layer, arrays)
            if layer.op == "max_pool":
                sent[layer.name] = messages(self.coding, inputs[0].new_ones(()), values[layer.name], None)
        return Passed(values, sent, costs)

    @torch.no_grad()
    def settle(self, batches: Iterable[Tensor]) -> None:
        """Let the norms have the mean statistics of these batches of inputs, as what is trained is now."""
        for number, x in enumerate(batches if self.norms.shift else ()):
            self.norms.share = 1 / (number + 1)
            self.forward(x)

    def effective(self, layer: Layer) -> dict[str, Tensor]:
        """The layer's arrays as they act: masked, and rounded to its bits."""
        arrays = self.arrays[layer.name]
        if layer.op not in WEIGHTED:
            return arrays
        weight = arrays["weight"] * self.masks[layer.name] if layer.name in self.masks else arrays["weight"]
        bits = self.coding.weight_bits.get(layer.name)
        return {**arrays, "weight": weight if bits is None else rounded_weights(weight, bits)}

    def graph(self) -> Graph:
        """The network with the trained weights; each rectifier has its threshold per channel."""
        layers = []
        for layer in self.origin.layers:
            if layer.op == "relu":
                theta = np.broadcast_to(self.theta[layer.name].detach().exp().cpu().numpy().astype(np.float64), layer.shape[:1])
                ceiling = layer.options["ceiling"]
                theta = theta if ceiling is None else np.minimum(theta, ceiling)
                options = {**layer.options, "threshold": theta, "levels": self.coding.levels}
                layer = replace(layer, options=options)
            elif layer.op in WEIGHTED:
                found = self.effective(layer)
                if layer.name in self.norms.shift:
                    found = self.norms.folded(layer.name, found["weight"])
                layer = replace(layer, arrays={name: values.detach().cpu().numpy() for name, values in found.items()})
            layers.append(layer)
        return self.origin.relayered(layers)


def rounded_weights(weight: Tensor, bits: int) -> Tensor:
    """Weights in integers of so many bits, one scale for each output channel; gradients pass straight through."""
    most = 2 ** (bits - 1) - 1
    flat = weight.detach().reshape(len(weight), -1)
    scale = (flat.abs().amax(dim=1) / most).clamp_min(1e-12).reshape(-1, *[1] * (weight.ndim - 1))
    exact = torch.round(weight / scale).clamp(-most, most) * scale
    return straight(exact, weight)


def _leaf(values: Any) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32).requires_grad_(True)


def untuned(graph: Graph, levels: int) -> Graph:
    """The graph without the thresholds of rectifiers that were tuned for other levels."""
    tuned = {one.name for one in graph.layers if one.options.get("levels", levels) != levels}
    new = {name: {key: v for key, v in graph[name].options.items() if key not in ("threshold", "levels")} for name in tuned}
    return graph.relayered(replace(one, options=new[one.name]) if one.name in tuned else one for one in graph.layers)


def tuned_thresholds(graph: Graph, samples: NDArray[np.float32], levels: int) -> dict[str, NDArray[np.float64]]:
    """Thresholds (channels,) of every rectifier: its own where it was tuned, else those with the least squared error."""
    relus = [layer for layer in graph.layers if layer.op == "relu"]
    open_ones = {layer.name: layer.inputs[0] for layer in relus if layer.options.get("threshold") is None}
    found = calibrate(graph, open_ones, samples) if open_ones else {}
    theta = {}
    for layer in relus:
        ceiling, own = layer.options["ceiling"], layer.options.get("threshold")
        mine = thresholds(found[layer.name], "mse", levels, ceiling) if own is None else np.broadcast_to(own, layer.shape[:1])
        theta[layer.name] = np.array(mine, np.float64)
    return theta
