"""Where a conversion loses: each layer's error by cause, and what one change would recover.

A layer's error against the float network splits into what it inherits from the layers before it, clipping at the threshold,
rounding to levels, and timing: counts above or below those of an exact quantiser for the same charge.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.ablations import Ablation, ablations
from converters.building import Built, CalibratedGraph
from converters.coding import CodeSettings
from converters.delivery import fan_out
from converters.evaluation import evaluate
from converters.stepping import Signal, emulated, rectified, sent, threshold_of
from neuro.graph import Graph
from neuro.network import Network, Population
from neuro.notebook import Table, TableRepr
from neuro.specification import renamed

Floats = NDArray[np.float64]
Tensor = torch.Tensor
Row = dict[str, Any]
SAMPLES = 64
_BINS = 10


@dataclass(frozen=True, slots=True)
class LayerDiagnosis:
    """One layer on calibration samples. Errors are mean squares, relative to the mean square of the float activations.

    `inherited`, `clipping`, `rounding`, `timing`: parts of the error, each the difference that this cause makes; `error`: all
    of it, their sum where causes are independent. Rounding of weights counts as inherited. `clipped`: share of positive
    activations above the threshold. `over`, `under`: share of neurons that fired more or less than an exact quantiser would
    have. `messages`, `synops`: per sample, sent and caused. `histogram`: neurons by tenths of the largest value they can send.
    """

    name: str
    neurons: int
    error: float
    inherited: float
    clipping: float
    rounding: float
    timing: float
    clipped: float
    over: float
    under: float
    cosine: float
    messages: float
    synops: float
    histogram: tuple[int, ...]


@dataclass(frozen=True, slots=True, repr=False)
class Diagnosis(TableRepr):
    """Every layer, and every ablation; the first is the network as it is. Drawn by `neuro.report.figures_conversion`."""

    layers: tuple[LayerDiagnosis, ...]
    ablations: tuple[Ablation, ...]
    samples: int

    swaps = renamed("swaps", "ablations")

    @property
    def best(self) -> Ablation:
        """The one change that would recover most."""
        return max(self.ablations[1:], key=lambda one: one.gain)

    @property
    def advice(self) -> str:
        """What to do first, in one sentence."""
        now, best = self.ablations[0].error, self.best
        if best.gain < 0.1 * now:
            return f"No single change recovers much of the error of {now:.2g}."
        return f"{best.cause.capitalize()} makes {best.gain:.2g} of the outputs' error of {now:.2g}. {best.remedy}."

    def rows(self) -> list[Row]:
        """The layers as rows."""
        return [asdict(layer) for layer in self.layers]

    def _shown(self) -> Table:
        numbers = ("error", "inherited", "clipping", "rounding", "timing", "clipped", "over", "under", "cosine")
        layers = [
            (a.name, *(f"{getattr(a, n):.4f}" for n in numbers), f"{a.messages:,.0f}", f"{a.synops:,.0f}") for a in self.layers
        ]
        blank = ("",) * (len(numbers) + 1)
        ablations = [
            (f"outputs {'' if i == 0 else 'without '}{s.cause}", f"{s.error:.5f}", *blank) for i, s in enumerate(self.ablations)
        ]
        title = f"Relative squared errors on {self.samples} samples. {self.advice}"
        return title, ("layer", *numbers, "messages", "synops"), [*layers, *ablations]


def diagnose(graph: Graph, calibrated: CalibratedGraph, settings: CodeSettings, built: Built) -> Diagnosis:
    """The diagnosis of a network on up to 64 calibration samples, against the float network `graph`."""
    count = min(SAMPLES, len(calibrated.samples))
    samples = calibrated.samples[np.linspace(0, len(calibrated.samples) - 1, count).astype(int)]
    output = graph.output.name
    truth = evaluate(graph, {graph.inputs[0].name: torch.as_tensor(samples)}, (output,))[output].double().numpy()
    layers = layers_of(graph, samples, settings, built)
    return Diagnosis(layers, tuple(ablations(truth, samples, calibrated, settings, built)), count)


def layers_of(
    graph: Graph, samples: NDArray[np.float32], settings: CodeSettings, built: Built, *, traffic: bool = True
) -> tuple[LayerDiagnosis, ...]:
    """What each rectified layer of a network loses on samples, against the float network `graph`; messages and synaptic
    operations, which are the smaller part of it and not the smaller part of the time, are NaN without `traffic`."""
    wanted = [p.name for p in built.network.populations if rectified(p)]
    tensors = evaluate(graph, {graph.inputs[0].name: torch.as_tensor(samples)}, wanted)
    signals, received = emulated(built.network, samples, settings.timesteps, settings.lossless)
    layers = []
    for p in built.network.populations:
        if p.name in wanted:
            seen = (tensors[p.name].double().numpy(), received[p.name].numpy(), signals[p.name].total.numpy())
            sent = _traffic(built.network, p, signals[p.name], settings) if traffic else (np.nan, np.nan)
            layers.append(_layer(built, p, seen, sent, settings))
    return tuple(layers)


def _layer(
    built: Built, p: Population, seen: tuple[Floats, Any, Any], traffic: tuple[float, float], settings: CodeSettings
) -> LayerDiagnosis:
    truth, received, total = seen
    unit, levels = np.asarray(built.units[p.name], np.float64), settings.levels
    threshold = threshold_of(p)
    exact = np.clip(received // threshold, 0, levels)
    real = unit * np.clip((received - threshold // 2) / threshold, 0, levels)
    clipped = np.minimum(truth, unit * levels)
    rounded = unit * np.clip(np.floor(truth / unit + 0.5), 0, levels)
    power = float(np.square(truth).mean()) or 1.0

    def part(a: Any, b: Any) -> float:
        return float(np.square(a - b).mean()) / power

    positive = truth > 0
    norm = float(np.linalg.norm(truth) * np.linalg.norm(unit * total)) or 1.0
    histogram, _ = np.histogram(np.abs(total) / levels, bins=_BINS, range=(0, 1))
    return LayerDiagnosis(
        name=p.name,
        neurons=p.size,
        error=part(unit * total, truth),
        inherited=part(real, clipped),
        clipping=part(clipped, truth),
        rounding=part(rounded, clipped),
        timing=part(unit * total, unit * exact),
        clipped=float((truth > unit * levels)[positive].mean()) if positive.any() else 0.0,
        over=float((total > exact).mean()),
        under=float((total < exact).mean()),
        cosine=float((truth * (unit * total)).sum() / norm),
        messages=traffic[0],
        synops=traffic[1],
        histogram=tuple(int(n) for n in histogram),
    )


def _traffic(network: Network, p: Population, signal: Signal, settings: CodeSettings) -> tuple[float, float]:
    """Messages sent and synaptic operations caused, per sample."""
    messages = _messages(p, signal, settings)
    each = messages.reshape(len(messages), -1).double().mean(0)
    synops = sum(float(each @ fan_out(q, p.shape, network[q.target].shape).reshape(-1).double()) for q in network.out_of(p.name))
    return float(each.sum()), synops


def _messages(p: Population, signal: Signal, settings: CodeSettings) -> Tensor:
    if not settings.lossless:
        found = torch.zeros(signal.frames.shape[1:], dtype=torch.int16)
        for frame in signal.frames:
            found += frame != 0
        return found
    return torch.as_tensor(sent(p.neuron, signal.total.numpy(), settings.timesteps).astype(np.int64))
