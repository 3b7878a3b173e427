"""Fine-tuning for few activation levels: thresholds, biases and weights learn through the quantiser.

Each rectifier becomes q(z) = theta / L * round(clip(z L / theta, 0, L)) with a trained threshold per channel, whose rounding
passes gradients straight through (QCFS, Bu et al. 2022); weights may be trinary, learned in the same way. The teacher is the
float network itself, so no labels are needed; labels may be added. The result is a Graph that `convert` takes, its thresholds
included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from converters.calibration import as_array, calibrate, check_samples, thresholds
from converters.evaluation import evaluate, rounded
from converters.folding import WEIGHTED, fold, rectify_means
from converters.frontend import trace
from converters.opmath import apply, arrays_of
from converters.trinary import trinary
from neuro.errors import ConversionError
from neuro.graph import Graph, Layer
from neuro.numbers import whole

Tensor = torch.Tensor
Progress = Callable[[int, int, float], None]
Weights = Literal["integer", "trinary"]


@dataclass(frozen=True, slots=True)
class LearningRates:
    """Adam's learning rates: thresholds (of their logarithm), biases (relative to their layer's threshold) and weights."""

    thresholds: float = 5e-3
    biases: float = 1.25e-3
    weights: float = 3e-4


def finetune(
    model: Any,
    data: Any,
    *,
    levels: int = 8,
    steps: int = 150,
    weights: Weights = "integer",
    labels: NDArray[Any] | None = None,
    rates: LearningRates | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Graph:
    """The network tuned so that activations of `levels` steps give the float network's outputs.

    model: torch.nn.Module or Graph; data: inputs (samples, *shape) as `convert` takes them, a few hundred or more; levels: T for
    the codes that count spikes, 2^K - 1 for radix. weights="trinary": those of a channel become -a, 0 and +a, and a rectifier has
    one threshold; some 1,000 steps are needed. labels (samples,) add cross-entropy. progress(step, steps, loss).
    """
    check_weights(weights)
    levels = whole("finetune", "levels", levels, 1, 4096, error=ConversionError)
    steps, seed = (whole("finetune", name, n, 0, error=ConversionError) for name, n in (("steps", steps), ("seed", seed)))
    if labels is not None and isinstance(data, DataLoader):
        raise ConversionError("labels", "the order of samples from a loader is not known", "Pass inputs and labels as arrays")
    data = as_array(data)
    graph = fold(model if isinstance(model, Graph) else trace(model, data))
    samples = check_samples(graph, data)
    if labels is not None and np.shape(labels) != (len(samples),):
        raise ConversionError("labels", f"their shape is {np.shape(labels)}, samples are {len(samples)}", "Pass one per sample")
    graph = rectify_means(graph) if weights == "trinary" else graph
    student = _Student(graph, samples, levels, weights == "trinary")
    x, y = torch.as_tensor(samples), None if labels is None else torch.as_tensor(np.asarray(labels, np.int64))
    _train(student, x, y, steps, rates or LearningRates(), torch.Generator().manual_seed(seed), progress)
    return student.graph()


def check_weights(weights: object) -> None:
    """Refuse a kind of weights that is not known."""
    if weights not in get_args(Weights):
        raise ConversionError("weights", f"{weights!r} is not known here", f"Use {' or '.join(get_args(Weights))}")


def _train(
    student: _Student,
    x: Tensor,
    y: Tensor | None,
    steps: int,
    rates: LearningRates,
    draw: torch.Generator,
    progress: Progress | None,
) -> None:
    optimiser = torch.optim.Adam(student.parameters(rates))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
    for step in range(steps):
        chosen = torch.randperm(len(x), generator=draw)[:64]
        loss = student.loss(x[chosen], None if y is None else y[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress:
            progress(step + 1, steps, float(loss.detach()))


class _Student:
    """The network with quantised rectifiers, beside the float network it is to follow."""

    def __init__(self, graph: Graph, samples: NDArray[np.float32], levels: int, trinary: bool) -> None:
        self.teacher, self.levels, self.trinary = graph, levels, trinary
        self.input, self.output = graph.inputs[0].name, graph.output.name
        rectifiers = [layer for layer in graph.layers if layer.op == "relu"]
        found = calibrate(graph, {layer.name: layer.inputs[0] for layer in rectifiers}, samples)
        self.theta, self.arrays, self.shift = {}, {}, {}
        for layer in rectifiers:
            theta = thresholds(found[layer.name], "mse", levels, layer.options["ceiling"])
            theta = theta.mean(keepdims=True) if trinary else theta
            self.theta[layer.name] = torch.tensor(np.log(theta), dtype=torch.float32).requires_grad_(True)
        for layer in graph.layers:
            self.arrays[layer.name] = arrays_of(layer)
            if layer.op in WEIGHTED:
                self.arrays[layer.name]["weight"].requires_grad_(True)
                self.shift[layer.name] = torch.zeros(layer.arrays["weight"].shape[0], requires_grad=True)
        self.unit = {layer.name: self._unit(layer) for layer in graph.layers if layer.op in WEIGHTED}

    def _unit(self, layer: Layer) -> float:
        """The size of a layer's values: the mean threshold of a rectifier behind it, or that of its output."""
        for consumer in self.teacher.consumers(layer.name):
            if consumer.op == "relu":
                return float(self.theta[consumer.name].detach().exp().mean())
        return float(np.abs(layer.arrays["weight"]).mean()) * 10

    def parameters(self, rates: LearningRates) -> list[dict[str, Any]]:
        weights = [self.arrays[name]["weight"] for name in self.shift]
        return [
            {"params": [*self.theta.values()], "lr": rates.thresholds},
            {"params": [*self.shift.values()], "lr": rates.biases},
            {"params": weights, "lr": rates.weights},
        ]

    def loss(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Relative squared error of the outputs, and a little of every activation's; cross-entropy where labels are given."""
        wanted = evaluate(self.teacher, {self.input: x}, {*self.theta, self.output})
        got = self.forward(x)
        final = wanted[self.output]
        loss: Tensor = (got[self.output] - final).square().mean() / (final.var() + 1e-12)
        inner = [(got[name] - wanted[name]).square().mean() / (wanted[name].square().mean() + 1e-12) for name in self.theta]
        loss = loss + 0.3 * torch.stack(inner).mean() if inner else loss
        return loss if labels is None else loss + F.cross_entropy(got[self.output], labels)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Values of all layers."""
        values = {self.input: x}
        for layer in self.teacher.layers:
            if layer.name not in values:
                inputs = [values[name] for name in layer.inputs]
                if layer.op == "relu":
                    values[layer.name] = rounded(inputs[0], self.theta[layer.name].exp(), self.levels)
                else:
                    values[layer.name] = apply(layer, inputs, self._arrays(layer))
        return values

    def _arrays(self, layer: Layer) -> dict[str, Tensor]:
        arrays = dict(self.arrays[layer.name])
        if layer.name in self.shift:
            arrays["weight"] = trinary(arrays["weight"]) if self.trinary else arrays["weight"]
            arrays["bias"] = arrays.get("bias", torch.zeros(())) + self.shift[layer.name] * self.unit[layer.name]
        return arrays

    def graph(self) -> Graph:
        """The float network with the tuned weights, each rectifier with its threshold per channel."""
        layers = []
        for layer in self.teacher.layers:
            if layer.op == "relu":
                theta = self.theta[layer.name].detach().exp().numpy().astype(np.float64)
                theta = np.broadcast_to(theta, layer.shape[:1])
                if layer.options["ceiling"] is not None:
                    theta = np.minimum(theta, layer.options["ceiling"])
                layer = replace(layer, options={**layer.options, "threshold": theta, "levels": self.levels})
            elif layer.name in self.shift:
                arrays = {name: values.detach().numpy() for name, values in self._arrays(layer).items()}
                layer = replace(layer, arrays=arrays)
            layers.append(layer)
        return self.teacher.relayered(layers)
