"""Where a network of value neurons loses: each population's error by cause, and what wider values or weights would recover."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.ablations import Ablation
from converters.building import Built, CalibratedGraph
from converters.coding import CodeSettings
from converters.delivery import fan_out
from converters.diagnosis import SAMPLES, Diagnosis, LayerDiagnosis
from converters.evaluation import evaluation_of
from converters.samples import Given
from converters.values.converting import VALUE_BITS, value_network
from converters.values.decompose import decompose
from converters.values.evaluating import period_of, values
from converters.values.ranges import flat_frames
from converters.values.responding import Integers
from converters.values.widths import Widths
from neuro.graph import Graph
from neuro.network import Network, Population

Floats = NDArray[np.float64]
_WIDER = 4  # bits that an ablation adds
_BINS = 10


def diagnose_values(graph: Graph, calibrated: CalibratedGraph, settings: CodeSettings, built: Built) -> Diagnosis:
    """The diagnosis of a network of value neurons on up to 64 calibration samples, against the float network `graph`."""
    count = min(SAMPLES, len(calibrated.samples))
    samples = calibrated.samples[np.linspace(0, len(calibrated.samples) - 1, count).astype(int)]
    simple, _ = decompose(graph)
    network = built.network
    known = {layer.name for layer in simple.layers}  # populations that hold or relay values are copies, and lose nothing
    wanted = [p.name for p in network.populations if p.neuron.computes and p.name in known]
    given = flat_frames(graph, samples, period_of(network) is not None)
    found = evaluation_of(simple, given, (*wanted, *graph.outputs))
    sent = _known(network, samples)
    layers = tuple(_layer(network, network[name], found.value(name).double().numpy(), built, sent) for name in wanted)
    parts = [found.value(name).double().numpy() for name in graph.outputs]
    truth = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    now = _read(network, sent)
    return Diagnosis(layers, _ablations(graph, calibrated, settings, network, samples, truth, now), count)


def widths_of(settings: CodeSettings) -> Widths:
    """The bits that settings give to weights, potentials and values."""
    fixed = settings.value_bits
    widths = Widths(
        settings.weight_bits,
        settings.potential_bits,
        fixed or VALUE_BITS,
        widen=fixed is None,
        paired=settings.paired,
        spare_bits=settings.spare_bits,
    )
    return widths if settings.headroom is None else replace(widths, headroom=settings.headroom)


def _known(network: Network, samples: Given) -> dict[str, Integers]:
    """The values of every population as its receivers know them, (samples, *shape); of networks with frames (samples x frames,
    *shape)."""
    sent = values(network, samples)
    if period_of(network) is None:
        return sent
    changes = {p.name for p in network.populations if getattr(p.neuron, "emit", "value") == "change"}
    whole = {name: one.cumsum(axis=1) if name in changes else one for name, one in sent.items()}
    return {name: one.reshape(-1, *one.shape[2:]) for name, one in whole.items()}


def _layer(network: Network, p: Population, truth: Floats, built: Built, sent: dict[str, Integers]) -> LayerDiagnosis:
    unit, number, neuron = built.units[p.name], sent[p.name], p.neuron  # type: Any, Integers, Any
    digits = neuron.emit == "digits"
    low, high = neuron.value_range if digits else neuron.messages
    power = float(np.square(truth).mean()) or 1.0
    clipped = np.clip(truth, unit * low, unit * high)
    rounded = unit * np.rint(clipped / unit)

    def part(a: Any, b: Any) -> float:
        return float(np.square(a - b).mean()) / power

    each = (np.bitwise_count(number) if digits else number != 0).reshape(len(number), -1).mean(axis=0)
    reach = [fan_out(q, p.shape, network[q.target].shape).reshape(-1).numpy() for q in network.out_of(p.name)]
    norm = float(np.linalg.norm(truth) * np.linalg.norm(unit * number)) or 1.0
    histogram, _ = np.histogram(np.abs(number) / max(high, -low), bins=_BINS, range=(0, 1))
    return LayerDiagnosis(
        name=p.name,
        neurons=p.size,
        error=part(unit * number, truth),
        inherited=part(unit * number, rounded),
        clipping=part(clipped, truth),
        rounding=part(rounded, clipped),
        timing=0.0,
        clipped=float((clipped != truth).mean()),
        over=0.0,
        under=0.0,
        cosine=float((truth * (unit * number)).sum() / norm),
        messages=float(each.sum()),
        synops=float(sum(each @ one for one in reach)),
        histogram=tuple(int(n) for n in histogram),
    )


def _read(network: Network, sent: dict[str, Integers]) -> Floats:
    """The logits, (samples, values), of several outputs in a row."""
    found = []
    for readout in network.readouts:
        neuron: Any = readout.neuron
        value = sent[readout.name] * np.asarray(neuron.scale) + np.asarray(neuron.offset)
        found.append(value.reshape(len(value), -1))
    return np.concatenate(found, axis=1)


def _each(graph: Graph, values: Floats) -> list[Floats]:
    """Logits (samples, values) by output."""
    return np.split(values, np.cumsum([int(np.prod(graph[name].shape)) for name in graph.outputs])[:-1], axis=1)


def _ablations(
    graph: Graph,
    calibrated: CalibratedGraph,
    settings: CodeSettings,
    network: Network,
    samples: Given,
    truth: Floats,
    now: Floats,
) -> tuple[Ablation, ...]:
    """The network as it is, with wider values, and with wider weights; of several outputs the one that agrees least."""

    def ablated(cause: str, logits: Floats, remedy: str, before: float | None = None) -> Ablation:
        pairs = zip(_each(graph, logits), _each(graph, truth), strict=True)
        error = max(float(np.square(a - b).mean() / (b.var() or 1.0)) for a, b in pairs)
        alike = min(
            float((a.argmax(1) == b.argmax(1)).mean()) for a, b in zip(_each(graph, logits), _each(graph, truth), strict=True)
        )
        return Ablation(cause, error, 0.0 if before is None else before - error, alike, remedy)

    def other(widths: Widths) -> Floats:
        framed = period_of(network) is not None
        made = value_network(graph, calibrated.samples, settings.sources, widths, calibrated.correct_bias, framed)
        return _read(made.network, _known(made.network, samples))

    widths = widths_of(settings)
    first = ablated("as it is", now, "")
    finer = replace(widths, value_bits=widths.value_bits + _WIDER)
    heavier = replace(widths, weight_bits=settings.weight_bits + _WIDER)
    advice = "Train it with more even ranges: norms before layers, or a clip of what is rare"
    return (
        first,
        ablated("rounding to levels", other(finer), advice, first.error),
        ablated("rounding of weights", other(heavier), "Scale the inputs of the layers to similar ranges", first.error),
    )
