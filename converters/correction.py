"""Sequential correction of biases: each population, fed by what the ones before it really send, should meet the float
network's mean activation per channel. Source: Li et al. 2021 ("light" calibration), here in integers and for every code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.coding import CodeSettings, EncodedPopulation, with_charge
from converters.delivery import exact_in
from converters.evaluation import Evaluation, batch_of
from converters.stepping import Part, Signal, charges, reach, respond, source_signal
from neuro.graph import Graph
from neuro.neurons import Neuron

Floats = NDArray[np.float64]
ROUNDS = 3
_VALUES = 2**25  # charges of one population that may be held at once
_WORK = 2**24  # messages of all populations over all steps that are worth computing, whatever the samples
_PASSES = 4  # that a code which needs every step may cost more, in passes of all samples through the network
_FEWEST = 8


def sample_count(samples: int, sizes: list[int], settings: CodeSettings) -> int:
    """How many samples to correct on: as many as fit in memory; of codes that need every step, as many as are worth the time."""
    if settings.lossless:
        return min(samples, max(16, _VALUES // max(sizes)))
    steps = settings.timesteps
    worth = max(samples * _PASSES // steps, _WORK // (steps * sum(sizes)))
    return min(samples, max(_FEWEST, min(worth, _VALUES // (steps * max(sizes)))))


def means(graph: Graph, layers: dict[str, str], samples: NDArray[np.float32]) -> dict[str, Floats]:
    """Mean per channel of each layer's values, {key: layer name}; tuned rectifiers in the levels they were tuned for."""
    totals: dict[str, Any] = dict.fromkeys(layers, 0.0)
    batch = batch_of(graph)
    for start in range(0, len(samples), batch):
        x = torch.as_tensor(samples[start : start + batch])
        found = Evaluation(graph, {graph.inputs[0].name: x}, set(layers.values()), quantised=True)
        each = {name: _sums_of(found.value(name)) for name in dict.fromkeys(layers.values())}
        for key, name in layers.items():
            totals[key] = totals[key] + each[name]
    return {key: np.asarray(total / len(samples)) for key, total in totals.items()}


@dataclass(slots=True)
class Corrector:
    """Walks through a network in order with calibration samples, and corrects each population on the way."""

    samples: NDArray[np.float32]
    layers: Mapping[str, str]  # of the float network, by stage
    known: Mapping[str, Floats]  # mean per channel of each there; none where `truth` sees all samples
    truth: Evaluation  # pre-activations of each stage there, of the first samples; where those are all, what the layers yield too
    settings: CodeSettings
    signals: dict[str, Signal]
    neurons: dict[str, Neuron]
    memory: NDArray[np.float32]  # for the charges of one population after the other

    def visit(self, made: EncodedPopulation) -> EncodedPopulation:
        """The population with its biases corrected; its signal is kept for the ones behind it."""
        name, steps = made.population.name, self.settings.timesteps
        if made.population.neuron.is_source:
            self._keep(made, source_signal(made.population, self.samples, steps, self.settings.lossless))
            return made
        part = Part(made.population, made.projections, self.neurons, self.signals, steps, self.settings.lossless)
        charge = torch.zeros(1) if made.population.neuron.takes_maxima else charges(part, self.memory)
        part = replace(part, reached=reach(charge))
        if name in self.layers:
            wanted = self.known[name] if self.known else _sums_of(self.truth.value(self.layers[name])) / len(self.samples)
            correct = self._correct_readout if made.population.neuron.is_readout else self._correct
            for _ in range(1 if made.population.neuron.is_readout else ROUNDS):
                made = correct(made, wanted, respond(replace(part, population=made.population), charge, trains=False))
        self._keep(made, respond(replace(part, population=made.population), charge))
        return made

    def forget(self, source: str) -> None:
        """Drop what a population sends, once nothing behind it is to come."""
        for name in (source, f"{source}.relay"):
            self.signals.pop(name, None)

    def _keep(self, made: EncodedPopulation, signal: Signal) -> None:
        self.signals[made.population.name] = signal
        self.neurons[made.population.name] = made.population.neuron

    def _correct(self, made: EncodedPopulation, wanted: Floats, signal: Signal) -> EncodedPopulation:
        unit = np.asarray(made.sender.unit).reshape(-1) / self.settings.counted_steps
        missing = wanted / unit - _channel_means(signal)
        neuron: Any = made.population.neuron
        column = (-1, *[1] * (len(made.population.shape) - 1))
        extra = np.rint(missing * neuron.threshold).astype(np.int64).reshape(column)
        corrected = with_charge(neuron, extra, self.settings.timesteps)
        return replace(made, population=replace(made.population, neuron=corrected))

    def _correct_readout(self, made: EncodedPopulation, wanted: Floats, signal: Signal) -> EncodedPopulation:
        neuron: Any = made.population.neuron  # a readout
        column = (-1, *[1] * (len(made.population.shape) - 1))
        scale = np.broadcast_to(
            np.asarray(neuron.scale), np.broadcast_shapes(np.shape(neuron.scale), (made.population.shape[0], *column[1:]))
        )
        read = _channel_means(signal) * scale.reshape(-1) / neuron.divisor(self.settings.timesteps)
        offset = np.broadcast_to(np.asarray(neuron.offset), made.population.shape)
        missing = wanted - read - offset.reshape(len(offset), -1).mean(axis=1)
        corrected = replace(neuron, offset=np.asarray(neuron.offset) + missing.reshape(column))
        return replace(made, population=replace(made.population, neuron=corrected))


def _sums_of(values: torch.Tensor) -> Floats:
    """Means per channel of values (samples, channels, ...), of all samples together."""
    return np.asarray(values.reshape(*values.shape[:2], -1).mean(2, dtype=torch.float64).sum(0).numpy())


def _channel_means(signal: Signal) -> Floats:
    total = signal.total.reshape(*signal.total.shape[:2], -1)
    count = len(total) * total.shape[2]
    found = total.to(exact_in(reach(total) * count)).sum((0, 2))  # floats, whose sums are quicker, that hold every sum
    return np.asarray(found.double().numpy() / count)
