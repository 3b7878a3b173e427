"""convert(model, calibration, ...) -> Conversion: trace, fold, calibrate, encode."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from converters import coding, quantised
from converters.calibration import Range, calibrate, check_samples, moments, thresholds
from converters.coding import Activity, Code, Made, Settings
from converters.correction import Corrector, means, sample_count
from converters.finetuning import finetune
from converters.folding import fold
from converters.frontend import sample_pair, trace
from converters.pooling import encode_pool
from converters.stages import Stage, stages
from neuro.errors import ConversionError
from neuro.graph import Graph
from neuro.network import Network
from neuro.neurons import Source
from neuro.notebook import Shown, Table

Floats = NDArray[np.float64]
CODES: tuple[str, ...] = get_args(Code)
METHODS = ("mse", "percentile", "max")
INPUTS = ("auto", "spikes", "graded", "ideal")
MOST_DIGITS = 8
FEW_SAMPLES = 32
HARD_RESET = (
    "reset to zero throws away what exceeds the threshold: accuracy falls with every layer, and more steps do not mend it "
    "(two test networks fell from 98 to 84 % and from 97 to 34 % at 16 steps)"
)
PAYLOAD_BITS = 12  # of a graded input that is on no coarser grid of its own; images mostly have 8
LOOK_AHEAD = 4  # a signed population looks ahead by T / 4 steps


@dataclass(frozen=True, slots=True, repr=False)
class Conversion(Shown):
    """A spiking network, the float graph it came from (folded), and what was noticed on the way."""

    network: Network
    graph: Graph
    code: str
    timesteps: int
    notes: tuple[str, ...]

    def quantised(self, inputs: Any) -> NDArray[np.float32]:
        """Logits of the integer quantised ANN that a wait, radix or graded network equals, in about one forward pass.

        inputs (samples, *shape). Raises ConversionError for rate and signed codes, whose counts depend on timing.
        """
        return quantised.evaluate(self.network, inputs).logits

    def _shown(self) -> Table:
        network = self.network
        rows = [
            (p.name, "x".join(map(str, p.shape)), type(p.neuron).__name__, f"{p.size:,}", str(p.neuron.start_step))
            for p in network.populations
        ]
        title = f"Network of {network.neurons:,} neurons, {network.synapses:,} synapses; code {self.code}, T = {self.timesteps}"
        return title, ("population", "shape", "model", "neurons", "starts at"), rows


def convert(
    model: Any,
    calibration: Any,
    *,
    code: Code = "rate",
    timesteps: int = 16,
    threshold: Literal["mse", "percentile", "max"] = "mse",
    weight_bits: int = 8,
    correct_bias: bool = True,
    input: Literal["auto", "spikes", "graded", "ideal"] = "auto",
    reset: Literal["subtract", "zero"] = "subtract",
    refine: int = 0,
) -> Conversion:
    """Convert a trained network into a spiking network in chip integers.

    model: torch.nn.Module, or a Graph. calibration: typical inputs (samples, *shape); a few hundred are enough.
    code: how values become spikes; timesteps: the window T (for radix the number of digits, at most 8; graded needs 1).
    threshold: how each channel's threshold is chosen; weight_bits: 2 to 8; correct_bias: mend
    each layer's mean activation, in order.
    input: how samples enter, see the documentation. reset="zero": what a chip without reset by subtraction does, rate only.
    refine: steps of `finetune` on the calibration data, without labels, for the levels of the code.
    Raises ConversionError that names the layer or the data, the fact and the remedy.
    """
    resets = ("subtract", "zero") if code == "rate" else ("subtract",)
    for choice in (("code", code, CODES), ("threshold", threshold, METHODS), ("input", input, INPUTS), ("reset", reset, resets)):
        _check_choice(*choice)
    for number in (("weight_bits", weight_bits, 2, 8), ("timesteps", timesteps, 1, 4096), ("refine", refine, 0, 1_000_000)):
        _check_number(*number)
    graph = fold(model if isinstance(model, Graph) else trace(model, sample_pair(calibration)))
    samples = check_samples(graph, calibration)
    settings, notes = _settings(samples, code, timesteps, weight_bits, input)
    if reset == "zero":
        settings, notes = replace(settings, reset="zero"), (*notes, HARD_RESET)
        warnings.warn(HARD_RESET, stacklevel=2)
    tuned = finetune(graph, samples, levels=settings.levels, steps=refine) if refine else graph
    parts = stages(tuned)
    measured = {s.name: s.pre_activation for s in parts if s.kind in ("relu", "readout")}
    ranges = calibrate(tuned, measured, samples)
    notes += _remarks(ranges, len(samples))
    corrector = _corrector(tuned, parts, samples, settings) if correct_bias else None
    network = build(parts, ranges, settings, (threshold, float(samples.var())), corrector)
    return Conversion(replace(network, notes=notes), graph, code, settings.timesteps, notes)


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConversionError(name, f"{value!r} is not known here", f"Use {' or '.join(allowed)}")


def _check_number(name: str, value: object, lowest: int, highest: int) -> None:
    if type(value) is not int or not lowest <= value <= highest:
        raise ConversionError(name, f"{value!r} is not a whole number from {lowest} to {highest}", f"Use {lowest} to {highest}")


def build(
    parts: tuple[Stage, ...], ranges: dict[str, Range], settings: Settings, how: tuple[str, float], corrector: Corrector | None
) -> Network:
    """The network of all stages, in order. `how`: the method for thresholds, and the variance of the inputs."""
    made: dict[str, Made] = {}

    def keep(stage: Stage, one: Made) -> None:
        made[one.population.name] = corrector.visit(one) if corrector else one

    method, variance = how
    for stage in parts:
        if stage.kind == "input":
            keep(stage, coding.source_population(stage, variance, settings))
            continue
        senders = []
        for sender in (made[path.source].sender for path in stage.paths):
            if _mixed(stage, made, settings) and sender.once:
                name = f"{sender.name}.relay"
                if name not in made:
                    keep(stage, coding.relay(made[sender.name]))
                sender = made[name].sender
            senders.append(sender)
        if stage.kind == "max_pool":
            for one in encode_pool(stage, senders[0], settings):
                keep(stage, one)
        elif stage.kind == "readout":
            found = ranges[stage.name]
            extent = np.maximum(np.abs(found.smallest), found.largest)
            keep(stage, coding.encode_readout(stage, senders, extent, settings))
        else:
            keep(stage, coding.encode(stage, senders, activity(stage, ranges[stage.name], method, settings), settings))
    projections = [p for one in made.values() for p in one.projections]
    return Network(tuple(one.population for one in made.values()), tuple(projections), settings.timesteps)


def activity(stage: Stage, found: Range, method: str, settings: Settings) -> Activity:
    """Thresholds of a rectified stage, and what its activations are like."""
    ceiling, tuned = stage.layer.options["ceiling"], stage.layer.options.get("threshold")
    theta = thresholds(found, method, settings.levels, ceiling) if tuned is None else np.asarray(tuned, np.float64)
    square, variance = moments(found, theta)
    extent = np.maximum(np.abs(found.smallest), found.largest)
    most = np.full(theta.shape, np.inf) if ceiling is None else ceiling / theta
    return Activity(theta, square, variance, extent, most)


def _corrector(graph: Graph, parts: tuple[Stage, ...], samples: NDArray[np.float32], settings: Settings) -> Corrector:
    sizes = [int(np.prod(stage.shape)) for stage in parts]
    chosen = samples[np.linspace(0, len(samples) - 1, sample_count(len(samples), sizes, settings)).astype(int)]
    layers = {s.name: s.layer.name if s.kind == "relu" else s.pre_activation for s in parts if s.kind in ("relu", "readout")}
    return Corrector(chosen, means(graph, layers, chosen), settings, {}, {})


def _mixed(stage: Stage, made: dict[str, Made], settings: Settings) -> bool:
    """Whether a graded input joins spike trains, so that it has to be repeated at every step."""
    once = [made[path.source].sender.once for path in stage.paths]
    return settings.counts and any(once) and not all(once)


def _settings(
    samples: NDArray[np.float32], code: Code, timesteps: int, weight_bits: int, how: str
) -> tuple[Settings, tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    if code == "radix" and timesteps > MOST_DIGITS:
        notes = (f"radix sends binary digits: {timesteps} timesteps became {MOST_DIGITS} digits",)
        timesteps = MOST_DIGITS
    if code == "graded":
        timesteps = 1
    source = input_source(samples, code, timesteps, how)
    gather = 1 + timesteps // LOOK_AHEAD if code == "signed" else 1
    return Settings(code, timesteps, weight_bits, source, gather), notes


def input_source(samples: NDArray[np.float32], code: str, timesteps: int, how: str) -> Source:
    """The source that carries inputs like the samples in a code."""
    largest, negative = float(np.abs(samples).max()), bool((samples < 0).any())
    if how == "spikes":
        if code == "graded":
            raise ConversionError("input='spikes'", "the graded code sends payloads, not spikes", "Use input='graded' or 'auto'")
        levels = 2**timesteps - 1 if code == "radix" else 255
        kind: Any = {"radix": "radix", "signed": "signed"}.get(code, "rate")
        twin = negative and code != "signed"
        digits = timesteps if code == "radix" else 0
        return Source(kind, largest / levels, levels, twin=twin, digits=digits)
    held = how == "ideal" and code in ("rate", "signed", "wait")
    step = _grid_step(samples, 127 if negative else 255)
    levels = 2 ** (PAYLOAD_BITS - negative) - 1 if step is None else 127 if negative else 255
    return Source("held" if held else "once", step or largest / levels, levels)


def _grid_step(samples: NDArray[np.float32], levels: int) -> float | None:
    """The spacing of values that lie on an even grid of at most `levels` steps from zero (images, counts), else None."""
    values = np.unique(np.abs(samples))
    if len(values) > levels + 1:
        return None
    step = float(np.diff(values, prepend=0.0 if values[0] else values[0])[values > 0].min())
    multiples = values / step
    on_grid = multiples.max() <= levels + 0.5 and np.abs(multiples - np.rint(multiples)).max() < 1e-3
    return float(values[-1] / np.rint(multiples[-1])) if on_grid else None


def _remarks(ranges: dict[str, Range], samples: int) -> tuple[str, ...]:
    notes: list[str] = []
    if samples < FEW_SAMPLES:
        notes.append(f"calibrated on {samples} samples only: thresholds may be off, pass {FEW_SAMPLES} or more")
    for name, found in list(ranges.items())[:-1]:
        if found.dead.all():
            raise ConversionError(
                f"layer {name!r}", "it is dead: no calibration sample makes any neuron positive",
                "Check that inputs are scaled as in training, or that the layer was trained",
            )  # fmt: skip
        if found.dead.any():
            notes.append(
                f"layer {name!r}: {int(found.dead.sum())} of {found.dead.size} channels were never active in calibration"
            )
    return tuple(notes)
