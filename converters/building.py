"""A calibrated float network, ready to be written in any code: CalibratedGraph; and the walk that writes it: build.

Knows stages, ranges and the order of work; each step itself is in `coding`, `pooling` and `correction`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters import coding
from converters.calibration import Range, calibrate, moments, thresholds
from converters.coding import Activity, CodeSettings, EncodedPopulation, Evidence, PathKept, Sender
from converters.correction import Corrector, means, sample_count
from converters.evaluation import Evaluation
from converters.importance import importances
from converters.pooling import encode_pool
from converters.stages import Stage, stages
from neuro.errors import ConversionError
from neuro.graph import Graph
from neuro.network import Network

Floats = NDArray[np.float64]
FEW_SAMPLES = 32
_HELD = 2**26  # values of the float network that may be held at once


@dataclass(frozen=True)
class CalibratedGraph:
    """A folded float network, checked calibration samples, and how thresholds are chosen and biases corrected."""

    graph: Graph
    samples: Any  # (samples, *shape), or `Samples` of several inputs
    threshold: str
    correct_bias: bool

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """What becomes populations."""
        return stages(self.graph)

    @cached_property
    def _seen(self) -> tuple[dict[str, Range], NDArray[np.float32]]:
        measured = {s.name: s.pre_activation for s in self.stages if s.kind in ("relu", "readout")}
        outputs: list[torch.Tensor] = []
        ranges = calibrate(self.graph, measured, self.samples, lambda found: outputs.append(found[self.graph.output.name]))
        return ranges, torch.cat(outputs).flatten(1).numpy()

    @property
    def ranges(self) -> dict[str, Range]:
        """Pre-activations of every rectified stage and of the readout, in one pass over the samples."""
        return self._seen[0]

    @property
    def outputs(self) -> NDArray[np.float32]:
        """The float network's outputs (samples, values), from the same pass."""
        return self._seen[1]

    @cached_property
    def importances(self) -> dict[str, Floats]:
        """How much noise in each channel of a stage matters at the outputs."""
        return importances(self.stages, self.ranges)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What is odd about the samples. Raises ConversionError for a layer that none of them makes active."""
        notes: list[str] = []
        if len(self.samples) < FEW_SAMPLES:
            notes.append(f"calibrated on {len(self.samples)} samples only: thresholds may be off, pass {FEW_SAMPLES} or more")
        for stage in self.stages:
            dead = self.ranges[stage.name].dead if stage.kind == "relu" else np.zeros(1, np.bool_)
            if dead.all():
                raise ConversionError(
                    stage.layer.where or f"layer {stage.name!r}",
                    "the layer is dead: no calibration sample makes any of its neurons positive",
                    "Check that inputs are scaled as in training, and that the layer was trained",
                )
            if dead.any():
                notes.append(f"layer {stage.name!r}: {int(dead.sum())} of {dead.size} channels were never active in calibration")
        return tuple(notes)


@dataclass(frozen=True, slots=True)
class Built:
    """A network; for each population what one unit of its total is worth (a spike count, a number or a payload of 1); for each
    path into a population what rounding its weights kept; the populations that are sums from
    frame to frame; the outputs' error that rounding explains, if known (expected); and the one that calibration samples have by
    the ranges of the others, if known, with the populations that make most of it (beyond, exceeded)."""

    network: Network
    units: Mapping[str, Floats]
    paths: tuple[PathKept, ...] = ()
    expected: float | None = None
    states: frozenset[str] = frozenset()
    beyond: float | None = None
    exceeded: tuple[str, ...] = ()


def build(calibrated: CalibratedGraph, settings: CodeSettings) -> Built:
    """The spiking network that a calibrated gives with some settings."""
    corrector = _corrector(calibrated, settings) if calibrated.correct_bias else None
    fitter = None if settings.trinary else corrector  # fitted weights would not be trinary
    made: dict[str, EncodedPopulation] = {}
    last = {path.source: stage.name for stage in calibrated.stages for path in stage.paths}

    def keep(one: EncodedPopulation) -> None:
        made[one.population.name] = corrector.visit(one) if corrector else one

    whole = settings
    for stage in calibrated.stages:
        settings = whole.of(stage.name)
        if stage.kind == "input":
            keep(coding.source_population(stage, float(calibrated.samples.var(dtype=np.float64)), settings))
            continue
        senders = [made[path.source].sender for path in stage.paths]
        if settings.counts and any(s.once for s in senders) and not all(s.once for s in senders):
            for sender in {s.name: s for s in senders if s.once and f"{s.name}.relay" not in made}.values():
                keep(coding.relay(made[sender.name]))
            senders = [made[f"{s.name}.relay"].sender if s.once else s for s in senders]
        if stage.kind == "max_pool":
            for one in encode_pool(stage, senders[0], settings):
                keep(one)
        elif stage.kind == "readout":
            extent = _charge_extent(calibrated.ranges[stage.name], stage)
            keep(coding.encode_readout(stage, senders, extent, settings, _evidence(stage, senders, fitter)))
        else:
            found = activity(calibrated, stage, settings)
            keep(coding.encode(stage, senders, found, settings, _evidence(stage, senders, fitter)))
        if corrector:
            for name in (source for source, reader in last.items() if reader == stage.name):
                corrector.forget(name)
    projections = tuple(p for one in made.values() for p in one.projections)
    network = Network(tuple(one.population for one in made.values()), projections, settings.timesteps)
    units = {name: np.asarray(one.sender.unit) / settings.counted_steps for name, one in made.items()}
    return Built(network, units, tuple(path for one in made.values() for path in one.kept))


def activity(calibrated: CalibratedGraph, stage: Stage, settings: CodeSettings) -> Activity:
    """Thresholds of a rectified stage, and what its activations are like."""
    found, options = calibrated.ranges[stage.name], stage.layer.options
    ceiling, tuned = options["ceiling"], options.get("threshold")
    theta = thresholds(found, calibrated.threshold, settings.levels, ceiling) if tuned is None else np.asarray(tuned, np.float64)
    theta = np.full_like(theta, theta.mean()) if settings.trinary else theta
    square, variance = moments(found, theta)
    most = np.full(theta.shape, np.inf) if ceiling is None else ceiling / theta
    return Activity(theta, square, variance, _extent(found), most, calibrated.importances[stage.name])


def _evidence(stage: Stage, senders: list[Sender], corrector: Corrector | None) -> Evidence | None:
    if corrector is None:
        return None
    # all of a stage's paths together, less what they bring where every source is zero
    wanted = corrector.truth.value(stage.pre_activation) - torch.as_tensor(stage.bias, dtype=torch.float32)
    return Evidence(tuple(corrector.signals[s.name].total[: len(wanted)] for s in senders), wanted)


def _extent(found: Range) -> Floats:
    extent: Floats = np.maximum(np.abs(found.smallest), found.largest)
    return extent


def _charge_extent(found: Range, stage: Stage) -> Floats:
    """The largest |output| per channel (channels,) less the offset, which the host adds."""
    bias = np.broadcast_to(stage.bias, (stage.shape[0], *stage.bias.shape[1:])).reshape(stage.shape[0], -1)
    extent: Floats = np.maximum(found.largest - bias.min(axis=1), bias.max(axis=1) - found.smallest)
    return np.maximum(extent, _extent(found))


def _corrector(calibrated: CalibratedGraph, settings: CodeSettings) -> Corrector:
    graph, corrected = calibrated.graph, [s for s in calibrated.stages if s.kind in ("relu", "readout")]
    sizes = [int(np.prod(stage.shape)) for stage in calibrated.stages]
    count = sample_count(len(calibrated.samples), sizes, settings)
    chosen = calibrated.samples[np.linspace(0, len(calibrated.samples) - 1, count).astype(int)]
    layers = {s.name: s.layer.name if s.kind == "relu" else s.pre_activation for s in corrected}
    some = torch.as_tensor(chosen[: max(16, _HELD // sum(int(np.prod(s.shape)) for s in corrected))])
    # One pass gives means too, where it sees all samples and rectifiers take any value.
    together = len(some) == count and not any("threshold" in s.layer.options for s in corrected)
    known = {} if together else means(graph, layers, chosen)
    wanted = [*([] if settings.trinary else [s.pre_activation for s in corrected]), *(layers.values() if together else ())]
    truth = Evaluation(graph, {graph.inputs[0].name: some}, wanted)
    memory = np.empty(count * max(sizes) * (1 if settings.lossless else settings.timesteps), np.float32)
    return Corrector(chosen, layers, known, truth, settings, {}, {}, memory)
