"""Whether a conversion did what its code promises: the integer network against the float one, on calibration samples.

Every conversion is checked. Decisions, correlation and error of the outputs; what share of each path's energy survived
rounding; and, where the outputs differ by more than they should, the layer, the cause and what to change. The network is
evaluated by the engine (or, for lossless codes, as the quantised network), never by what fitted it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters import quantised
from converters.advice import Cause, remedy
from converters.building import Built, CalibratedGraph
from converters.calibration import Range
from converters.coding import CodeSettings, PathKept
from converters.diagnosis import LayerDiagnosis, layers_of
from converters.evaluation import evaluate
from converters.samples import Given, Samples, by_input, each, plain
from converters.values.evaluating import of_values, period_of
from converters.values.ranges import MOST_SAMPLES
from neuro.encoding import quantise, source_of
from neuro.engine.run import run
from neuro.graph import Graph
from neuro.notebook import Table, TableRepr

Floats = NDArray[np.float64]
SAMPLES, FEWEST_SAMPLES = 64, 8
_SAMPLE_STEPS = 4096  # samples x timesteps that a code which needs every step is checked on
_WORK, _SHARE = 2**26, 4  # values of all populations over all steps that are worth computing, or one sample in so many
DECISIONS = 0.95  # share of decisions below which a network with a visible error is warned about
LARGE = 0.5  # error beyond which outputs say little, whatever the decisions
VISIBLE = 0.1  # error of the outputs, relative to their spread
_SLACK, _FACTOR = 0.05, 2.0  # a code promises an error of at most slack + factor x the expected one
_VALUES_EXPECTED = 0.05  # error of a network of values that is too large to derive it
_BEYOND, _MUCH = (
    0.05,
    1.5,
)  # error beyond calibrated ranges, and times the error on samples, from which on new inputs are a warning
_LOST = 0.99  # share of a path's energy below which rounding has damaged it


@dataclass(frozen=True, slots=True, repr=False)
class Agreement(TableRepr):
    """The converted network against the float one on `samples` calibration samples.

    decisions: share of samples with the float network's largest output; None where there is one output only. Of a network with
    several named outputs all figures are those of the output that agrees least.
    correlation: of all outputs with the float ones, each output less its mean. error: root mean square difference of the
    outputs, relative to the root mean square spread of the float ones over samples; expected: what rounding to the code's
    levels and weights (and, for rate and signed, uneven timing) explains. paths: what rounding kept of each path's energy.
    warning: None, or the layer, the cause and the remedy. estimate_on_new: an estimate, not a measurement, of the error on new
    inputs of the same kind: of networks of values without frames, which new inputs may take beyond calibrated ranges; and of
    networks of rectified layers where an error that rounding explains does not show on the samples that weights are fitted to.
    """

    samples: int
    decisions: float | None
    correlation: float
    error: float
    expected: float
    paths: tuple[PathKept, ...]
    warning: str | None = None
    estimate_on_new: float | None = None

    @property
    def promised(self) -> float:
        """The largest error that the code promises on such samples: never more than the spread itself."""
        return min(_SLACK + _FACTOR * self.expected, 1.0)

    def __str__(self) -> str:
        same = "" if self.decisions is None else f"{100 * self.decisions:.1f} % of decisions, "
        new = "" if self.estimate_on_new is None else f" (on new inputs an estimated {self.estimate_on_new:.3f})"
        return f"{same}correlation {self.correlation:.4f}, error {self.error:.3f} of the outputs' spread{new}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {**asdict(self), "promised": self.promised}

    def _shown(self) -> Table:
        rows = [(f"{path.source} -> {path.target}", f"{path.kept:.4f}") for path in self.paths]
        title = f"Against the float network on {self.samples} calibration samples: {self}. {self.warning or ''}".rstrip()
        return title, ("path", "energy kept by rounding"), rows


def agreement(graph: Graph, calibrated: CalibratedGraph, settings: CodeSettings, built: Built) -> Agreement:
    """The agreement of a built network with the float network `graph`."""
    affordable = _affordable(settings, built)
    chosen = _chosen(len(calibrated.samples), settings, affordable)
    samples = calibrated.samples[chosen]
    values = of_values(built.network) or len(graph.inputs) > 1 or len(graph.outputs) > 1
    known = graph is calibrated.graph and not values and not graph.has_frames
    truth = calibrated.outputs[chosen].astype(np.float64) if known else _outputs(graph, samples)
    found = _emulated(built, samples, settings, threads=1 if affordable < len(chosen) else None)  # each holds a sample's messages
    spread, error, decisions, correlation = _compared(graph, found, truth)
    framed = values and period_of(built.network) is not None
    given = by_input(graph, each(samples, lambda x: x.reshape(-1, *x.shape[2:])) if framed else samples)
    paths = (*_inputs(built, given), *built.paths)
    expected = (
        (built.expected or _VALUES_EXPECTED)
        if values
        else _expected(calibrated, settings, built, spread * np.sqrt(truth.shape[1]))
    )
    result = Agreement(len(samples), decisions, correlation, error, expected, paths)
    fact = _fact(result, settings)
    if fact is not None:
        plain_ones = not (values or isinstance(samples, Samples))
        layers = layers_of(graph, samples[:affordable], settings, built, traffic=False) if plain_ones else ()
        result = replace(result, warning=f"{fact}. {_cause(result, layers, calibrated, settings)}")
    return on_new(result, built, len(calibrated.samples), settings)


def on_new(result: Agreement, built: Built, samples: int, settings: CodeSettings) -> Agreement:
    """The agreement with what the network that was built is known to lose beyond calibrated ranges."""
    result = replace(result, estimate_on_new=None if built.beyond is None else float(np.hypot(result.error, built.beyond)))
    return result if result.warning else replace(result, warning=_on_new(result, built, samples, settings))


def error_of(built: Built, graph: Graph, samples: Given, settings: CodeSettings) -> float:
    """The error of a built network's outputs on samples (samples, *shape), relative to their spread."""
    affordable = _affordable(settings, built)
    found = _emulated(built, samples, settings, threads=1 if affordable < len(samples) else None)
    return _compared(graph, found, _outputs(graph, samples))[1]


def _compared(graph: Graph, found: Floats, truth: Floats) -> tuple[float, float, float | None, float]:
    """Spread, error, decisions and correlation; of several outputs the worst of each, for none makes up for another."""
    ends = np.cumsum([int(np.prod(graph[name].shape)) for name in graph.outputs])[:-1]
    parts = [_compared_one(*pair) for pair in zip(np.split(found, ends, axis=1), np.split(truth, ends, axis=1), strict=True)]
    decided = [part[2] for part in parts if part[2] is not None]
    worst = max(parts, key=lambda part: part[1])
    return worst[0], worst[1], min(decided, default=None), min(part[3] for part in parts)


def _compared_one(found: Floats, truth: Floats) -> tuple[float, float, float | None, float]:
    spread = float(np.sqrt(truth.var(axis=0).mean())) or float(np.sqrt(np.square(truth).mean())) or 1.0
    error = float(np.sqrt(np.square(found - truth).mean())) / spread
    decisions = float((found.argmax(1) == truth.argmax(1)).mean()) if truth.shape[1] > 1 else None
    return spread, error, decisions, _correlation(found, truth)


def _affordable(settings: CodeSettings, built: Built) -> int:
    """Samples whose values, of all populations and steps, are worth computing whatever the others cost."""
    steps = 1 if settings.lossless else settings.timesteps
    return max(1, _WORK // (steps * sum(p.size for p in built.network.populations)))


def _chosen(samples: int, settings: CodeSettings, affordable: int) -> NDArray[np.intp]:
    """Which samples, spread evenly over all: 64, fewer for long windows and for large networks, which cost too much time."""
    steps = 1 if settings.lossless else settings.timesteps
    most = min(samples, SAMPLES, max(FEWEST_SAMPLES, _SAMPLE_STEPS // steps))
    count = min(most, max(FEWEST_SAMPLES, samples // _SHARE, affordable))
    return np.linspace(0, samples - 1, count).astype(np.intp)


def _outputs(graph: Graph, samples: Given) -> Floats:
    """Of every sample; of every frame where samples have frames: (samples, values), of several outputs in a row."""
    given = by_input(graph, samples)
    for layer in graph.inputs:
        if given[layer.name].ndim == len(layer.shape) + 2 and not graph.has_frames:
            given[layer.name] = given[layer.name].reshape(-1, *layer.shape)
    values = evaluate(graph, {name: torch.as_tensor(x) for name, x in given.items()}, graph.outputs)
    flat = [values[name].reshape(-1, int(np.prod(graph[name].shape))).double().numpy() for name in graph.outputs]
    return np.concatenate(flat, axis=1)


def _emulated(built: Built, samples: Given, settings: CodeSettings, threads: int | None) -> Floats:
    if settings.lossless:
        logits = quantised.logits_of(built.network, samples)
    else:
        network = replace(built.network)  # what an engine keeps of it goes with it
        logits = run(network, plain(samples), threads=threads).logits
    return np.asarray(logits, np.float64).reshape(-1, sum(p.size for p in built.network.readouts))


def _correlation(found: Floats, truth: Floats) -> float:
    a, b = (values - values.mean(axis=0) for values in (found, truth))
    norm = float(np.sqrt(np.square(a).sum()) * np.sqrt(np.square(b).sum()))
    return float((a * b).sum() / norm) if norm else float(np.allclose(a, b))


def _inputs(built: Built, given: dict[str, NDArray[Any]]) -> tuple[PathKept, ...]:
    """What the input's grid of integers keeps: the energy of the channel that loses most."""
    kept = []
    for p in built.network.sources:
        source = source_of(p)
        if source.scale is not None:
            values = next(iter(given.values())) if len(given) == 1 else given[p.name]
            values = values.astype(np.float64)
            sign = np.sign(values) if source.twin else 1.0
            back = quantise(source, np.abs(values) if source.twin else values) * source.scale * sign
            energy, error = (
                np.square(part).reshape(len(values), values.shape[1], -1).sum(axis=(0, 2)) for part in (values, values - back)
            )
            share = np.where(energy > 0, 1 - error / np.where(energy > 0, energy, 1.0), 1.0)
            kept.append(PathKept("samples", p.name, float(share.min())))
    return tuple(kept)


def _expected(calibrated: CalibratedGraph, settings: CodeSettings, built: Built, spread: float) -> float:
    """The outputs' error that rounding explains, relative to their spread, as if the noise of all neurons were independent."""
    noise = 0.0
    for stage in calibrated.stages:
        if stage.kind == "relu":
            unit = np.broadcast_to(np.asarray(built.units[stage.name], np.float64).reshape(-1), (stage.shape[0],))
            each = _neuron_noise(calibrated.ranges[stage.name], unit, settings)
            noise += float((calibrated.importances[stage.name] * each).sum()) * int(np.prod(stage.shape[1:]))
    depth = sum(stage.kind in ("relu", "readout") for stage in calibrated.stages)
    weights = 0.52 * depth / settings.limit**2  # weights whose root mean square is 0.4 of the largest one
    return float(np.sqrt(noise / spread**2 + weights))


def _neuron_noise(found: Range, unit: Floats, settings: CodeSettings) -> Floats:
    """Variance of one neuron's error per channel (channels,): of rounding and timing, and of clipping at the highest level."""
    used = np.flatnonzero(found.counts.any(axis=0))
    share = found.counts[:, used] / max(found.seen, 1)
    values = found.centres(used)
    power = (share * np.square(values)).sum(axis=1)
    rounding = np.minimum(settings.row.variance * unit**2 * share.sum(axis=1), power)
    beyond = np.maximum(values - (unit * settings.levels)[:, None], 0)
    noise: Floats = rounding + (share * np.square(beyond)).sum(axis=1)
    return noise


def _fact(found: Agreement, settings: CodeSettings) -> str | None:
    """What is wrong with the outputs, if anything is."""
    if found.error > found.promised:
        told = f"more than the {found.promised:.2f} that code={settings.code!r} with T = {settings.timesteps} promises"
    elif found.error > LARGE or (found.decisions is not None and found.decisions < DECISIONS and found.error > VISIBLE):
        told = f"code={settings.code!r} with T = {settings.timesteps} promises at most {found.promised:.2f}"
    else:
        return None
    same = "" if found.decisions is None else f" and takes {100 * found.decisions:.1f} % of its decisions"
    start = f"on {found.samples} calibration samples the network differs from the float one by {found.error:.2f} of the outputs'"
    return f"{start} spread{same}: {told}"


def _on_new(found: Agreement, built: Built, samples: int, settings: CodeSettings) -> str | None:
    """What is to be expected on new inputs, where that is much more than on calibration samples."""
    new = found.estimate_on_new or 0.0
    if (built.beyond or 0.0) <= _BEYOND or new <= max(VISIBLE, _MUCH * found.error):
        return None
    names = ", ".join(map(repr, built.exceeded))
    fact = f"new inputs may differ from the float network by an estimated {new:.2f} of the outputs' spread"
    why = f"calibration samples do by {found.error:.2f} and, left out in turn, go beyond the ranges of the others in {names}"
    return f"{fact}: {why}. {_remedy_on_new(samples, settings)}"


def _remedy_on_new(samples: int, settings: CodeSettings) -> str:
    more = f"Calibrate on more samples (ranges are those of {MOST_SAMPLES})" if samples < MOST_SAMPLES else ""
    wider = "Convert with code='graded' and value_bits='auto', which has bits for such values" if settings.value_bits else ""
    return "; ".join(filter(None, (more, wider))) or "Test it on others before use"


def _cause(found: Agreement, layers: tuple[LayerDiagnosis, ...], calibrated: CalibratedGraph, settings: CodeSettings) -> str:
    """The layer that adds most of the error, why, and what to change."""
    worst = min(found.paths, key=lambda path: path.kept)
    if worst.kept < _LOST:
        cause: Cause = "inputs" if worst.source == "samples" else "weights"
        return f"{_path_cause(worst)}. {remedy(cause, calibrated.threshold, settings)}"
    parts: list[tuple[float, str, Cause]] = []
    for layer in layers:
        parts += [
            (layer.clipping, layer.name, "clipping"),
            (layer.rounding, layer.name, "rounding"),
            (layer.timing, layer.name, "timing"),
        ]
    if not parts:
        return "conversion.diagnosis tells each layer's share; calibrate on more inputs like the real ones."
    _, name, cause = max(parts)
    return f"{_CAUSES[cause].format(layer=repr(name))}. {remedy(cause, calibrated.threshold, settings)}"


_CAUSES: dict[Cause, str] = {
    "clipping": "Most is added in layer {layer}, whose activations exceed its threshold",
    "rounding": "Most is added in layer {layer}, by rounding activations to the code's levels",
    "timing": "Most is added in layer {layer}, by spikes that arrive unevenly in time",
}


def _path_cause(path: PathKept) -> str:
    if path.source == "samples":
        return f"The input {path.target!r} loses {100 * (1 - path.kept):.0f} % of the energy of its smallest channel by rounding"
    return (
        f"The path {path.source!r} -> {path.target!r} loses {100 * (1 - path.kept):.0f} % of its energy by rounding its weights"
    )
