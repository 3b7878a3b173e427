"""convert(model, calibration, ...) -> Conversion: trace, fold, calibrate, encode."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from converters import evaluation, quantised
from converters.agreement import Agreement, agreement
from converters.bottlenecks import folding_multiplies
from converters.building import Built, CalibratedGraph, build
from converters.calibration import as_given, check_given
from converters.choosing import Goal, choose, raise_timesteps
from converters.codes import row_of
from converters.coding import CodeSettings
from converters.convertible import OF_VALUES, check_convertible, computes_with_values
from converters.crosschecking import crosschecked
from converters.diagnosis import Diagnosis, diagnose
from converters.finetuning import Weights, finetune
from converters.folding import fold, rectify_means
from converters.frontend import sample_pair, trace
from converters.lifting import lift_pools
from converters.onnx_files import read_onnx
from converters.options import Options, settings_of
from converters.samples import Samples
from converters.trinary import trinary_graph
from converters.valuediagnosis import diagnose_values
from converters.valuenetwork import Made, Measurable, network_of_values
from converters.values.changes import choose_dead_zones, to_changes
from converters.values.decompose import with_short_pools
from converters.values.evaluating import of_values, period_of
from converters.values.measuring import Measured
from converters.values.recognising import recognised
from converters.values.refreshing import with_refresh
from converters.values.tail import split_tail
from neuro.codes import Code
from neuro.errors import AccuracyWarning, ConversionError
from neuro.graph import Graph
from neuro.network import Network
from neuro.notebook import Table, TableRepr
from neuro.specification import renamed

MOST_TAPS = 49  # of a max pool: beyond, values in turn would take longer than synapses can delay, and digits too many bits
MOST_FOLDED = 2**20  # synapses of layers behind a mean of an image with which it is folded into them
HARD_RESET = (
    "reset to zero throws away what exceeds the threshold: accuracy falls with every layer, and more steps do not help "
    "(two test networks fell from 98 to 84 % and from 97 to 34 % at 16 steps)"
)


@dataclass(frozen=True, repr=False)
class Conversion(TableRepr):
    """A spiking network, the float graph it came from (folded), what was noticed on the way, and how well the network agrees
    with the float one on calibration samples. `tail`: what the host computes behind the logits, a last softmax say; or None."""

    network: Network
    graph: Graph
    code: str
    timesteps: int
    notes: tuple[str, ...]
    agreement: Agreement = field(compare=False)
    built: Built = field(compare=False)
    calibrated: CalibratedGraph = field(compare=False)
    settings: CodeSettings = field(compare=False)
    tail: Graph | None = field(default=None, compare=False)

    recipe = renamed("recipe", "calibrated")

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """What each layer loses on calibration samples, why, and which one change would recover most; made when first read."""
        how = diagnose_values if self._of_values else diagnose
        return how(self.graph, self.calibrated, self.settings, self.built)

    def answer(self, logits: Any) -> Any:
        """What the model answers for the network's logits (samples, values): the tail of them, (samples, *output shape); in that
        shape as they are where there is no tail. The same for logits of frames (samples, frames, values), `Run.frames`; of a
        network with several outputs for all of them by name, `Run.outputs`, by name."""
        if len(self.graph.outputs) > 1:
            return self._answers(logits)
        array = np.asarray(logits, np.float32)
        if array.ndim == 3:
            flat = self.answer(array.reshape(-1, array.shape[2]))
            return flat.reshape(*array.shape[:2], *flat.shape[1:])
        if self.tail is None:
            return array.reshape(len(array), *self.graph.output.shape)
        values = array.reshape(len(array), *self.tail.inputs[0].shape)
        return evaluation.outputs(self.tail, values) if len(self.tail.outputs) > 1 else evaluation.logits(self.tail, values)

    def _answers(self, given: Any) -> dict[str, NDArray[np.float32]]:
        """The answers of several outputs: what the tails make of those that have one, the others as they are."""
        names = self.graph.outputs
        if not isinstance(given, Mapping) or set(given) != set(names):
            raise ConversionError("answer", f"the network has outputs {', '.join(names)}", "Pass run.outputs")
        found = {name: np.asarray(given[name], np.float32) for name in names}
        tails = [] if self.tail is None else [name.name.removesuffix(".logits") for name in self.tail.inputs]
        if self.tail is not None:
            lead = found[tails[0]].shape[: found[tails[0]].ndim - len(self.tail.inputs[0].shape)]
            shapes = {one.name: one.shape for one in self.tail.inputs}
            flat = {f"{name}.logits": found[name].reshape(-1, *shapes[f"{name}.logits"]) for name in tails}
            for name, value in evaluation.outputs(self.tail, flat).items():
                found[name] = value.reshape(*lead, *value.shape[1:])
            found = {name: value for name, value in found.items() if name not in tails or name in self.tail.outputs}
        return found

    def timesteps_for(self, agreement: float) -> int | None:
        """The smallest T of 2, 4, 8, ... 64 (radix: digits) with which this code takes the float network's decision for that
        share of up to 128 calibration samples; None where none does. Of a network that computes with values T is 1."""
        if self._of_values:
            return 1 if (self.agreement.decisions or 0.0) >= agreement else None
        tried = list(raise_timesteps(self.calibrated, Goal(agreement), self.code, self._with))
        return tried[-1].settings.timesteps if tried[-1].agreement >= agreement else None

    @property
    def _of_values(self) -> bool:
        """Whether values are what its populations send, and not only where it takes frames."""
        framed = period_of(self.network) is not None
        return computes_with_values(self.graph, self.code) or (not framed and of_values(self.network))

    def _with(self, code: str, timesteps: int) -> CodeSettings:
        """This conversion's settings with another window."""
        how = {"held": "ideal", "once": "graded"}.get(self.settings.source.code, "spikes")
        bits = (self.settings.weight_bits, self.settings.potential_bits)
        made, _ = settings_of(self.calibrated.samples, code, timesteps, bits, how)
        return replace(made, reset=self.settings.reset, weights=self.settings.weights)

    def quantised(self, inputs: Any) -> Any:
        """Logits of the integer quantised ANN that a wait, radix or graded network equals, in about one forward pass.

        inputs (samples, *shape), with frames (samples, frames, *shape), and logits (samples, frames, values) then; a mapping of
        names where there are several inputs, and the outputs by name, as `Run.outputs` has them, where there are several. Raises
        ConversionError for rate and signed codes, whose counts depend on timing.
        """
        found = quantised.evaluate(self.network, inputs)
        return found.outputs if len(self.graph.outputs) > 1 else found.logits

    def _shown(self) -> Table:
        title, columns, rows = self.network._shown()
        return f"{title}, code {self.code}. Against the float network: {self.agreement}", columns, rows


def convert(
    model: Any,
    calibration: Any,
    *,
    code: Code | Literal["auto", "delta"] = "rate",
    timesteps: int = 16,
    threshold: Literal["mse", "percentile", "max"] = "mse",
    weight_bits: int | Mapping[str, int] | Literal["auto"] = 8,
    potential_bits: int = 24,
    weights: Weights = "integer",
    correct_bias: bool = True,
    input: Literal["auto", "spikes", "graded", "ideal"] = "auto",
    reset: Literal["subtract", "zero"] = "subtract",
    refine: int = 0,
    goal: Goal | None = None,
    value_bits: int | Literal["auto"] = "auto",
    frames: bool = False,
    state: Mapping[str, str] | bool | None = None,
    refresh: int | None = None,
    headroom: float | None = None,
    bottlenecks: Literal["auto", "folded"] = "auto",
) -> Conversion:
    """Convert a trained network into a spiking network in chip integers.

    model: torch.nn.Module, a Graph such as `read_onnx` returns, or the path of an ONNX file.
    calibration: typical inputs (samples, *shape), or a DataLoader or Dataset of torch (1,024 of its samples are taken); a few
    hundred are enough. Of several inputs a mapping of their names (those of forward, or of the file): {"a": array, "b": array}.
    The network then has a source of each name, and where it has several outputs a readout of each: neuro.run(network, {...}) and
    run.outputs[name]. Only "graded", "radix" and "delta" carry several.
    code="delta": as graded, of streams (samples, frames, *shape), but populations send changes only (sigma-delta), with dead
    zones as wide as `goal` allows on consecutive frames; without a goal they are 1, which loses nothing. refresh: every so many
    frames all values are sent in full, so that what packets or dead zones lost is made good. See docs/streams.md.
    code: how values become spikes; timesteps: the window T (for radix the number of digits, at most 8; graded needs 1).
    A network that computes with values (functions, products, norms, attention) needs "graded" or "radix": docs/values.md; a last
    softmax, sigmoid or arg max stays with the host in every code: `Conversion.answer`.
    code="auto" takes the code and T with the fewest synaptic operations that meet `goal`, and says why in the notes.
    threshold: how each channel's threshold is chosen; weight_bits: 2 to 8 (of networks that compute with values to 16, where
    the chip has them), or those of the weights into some populations by name, the others having 8. Of networks that compute with
    values 8 is two synapses a weight for up to a tenth of them, where rounding of one would cost the outputs much (not with
    frames, or value_bits=8), and "auto" takes as many as it needs; potential_bits: 16 to 31, at which potentials
    saturate (Loihi has 24; fewer mean smaller thresholds, for long windows coarser weights). correct_bias: fit each layer, in
    order, to what the ones before it really send: weights by least squares, then mean activations.
    weights="trinary": those of a channel are -a, 0 and +a, 256 of them at most not zero, as crossbars hold them (rate only); with
    refine=1000 or more, or for a graph from `finetune(..., weights="trinary")`; inputs spike, and means are populations.
    input: how samples enter, see the documentation. reset="zero": what a chip without reset by subtraction does, rate only.
    frames: the network takes a new frame every so many steps, while earlier ones are in deeper layers (see docs/streams.md);
    calibration is (samples, frames, *shape). Recurrent modules and operators then keep their states from frame to frame; without
    it they are written out over whole sequences. Graphs that remember, with a `previous`, always have frames.
    state: of an ONNX file, inputs that are outputs of the frame before, {"h": "hn"}; True finds them.
    refine: steps of `finetune` on the calibration data, without labels, for the levels of the code.
    value_bits: of a network that computes with values: 4 to 14 for all populations that need no more by construction, or "auto",
    8 and more where rounding would cost the outputs more than 0.035 of their spread, 0.05 with frames (which ones: in the notes).
    headroom: of networks with frames, code="graded": how far beyond its calibrated range a sum may go before it saturates, 1.25
    or more; None for 4, which changes need. Values are clipped to that range anyhow, and less room leaves weights more bits.
    bottlenecks: linear layers behind linear layers, as the projections of MobileNetV2, in "graded" and "radix": "auto" makes them
    populations of values where folding them into the layers behind would take over 1.5 times the synapses, and a million more;
    "folded" always folds.
    Raises ConversionError that names the layer or the data, the fact and the remedy.
    """
    chosen = Options(
        code, timesteps, threshold, weight_bits, potential_bits, weights, correct_bias, input, reset, refine, goal, value_bits,
        frames, refresh, headroom, bottlenecks,
    )  # fmt: skip
    return Conversions(model, calibration, chosen.frames, state).convert(chosen)


class Conversions:
    """Conversions of one network with one calibration set: each is the one that `convert` gives, to the last bit, and those after
    the first find the graph, its ranges and its outputs ready.

    model, calibration, frames, state: as `convert` takes them.
    """

    def __init__(self, model: Any, calibration: Any, frames: bool = False, state: Mapping[str, str] | bool | None = None) -> None:
        self._asked = (model, calibration, frames, state)
        self._ready: dict[tuple[str, bool], CalibratedGraph] = {}
        self._measured: dict[Measurable, Measured] = {}

    @cached_property
    def _read(self) -> tuple[Graph, Graph | None, Any]:
        """The folded graph, what of it stays with the host, and the calibration samples."""
        model, calibration, frames, state = self._asked
        given = as_given(calibration)
        graph, tail = split_tail(recognised(fold(float_graph(model, given, frames, state))))
        return graph, tail, given

    def convert(self, chosen: Options) -> Conversion:
        """The conversion with these options, compared with the float network."""
        conversion = _checked(self._made(chosen), self._read[1])
        return _of_changes(conversion, chosen.goal, chosen.refresh) if chosen.changes else conversion

    def network(self, chosen: Options) -> Network:
        """Its network alone, which is sooner: whoever measures it needs no comparison on calibration samples."""
        if chosen.changes:
            return self.convert(chosen).network
        _, _, _, built, notes, _ = self._made(chosen)
        return built.network.with_notes(notes)

    def _made(self, chosen: Options) -> Made:
        graph, _, given = self._read
        check_convertible(graph, OF_VALUES if chosen.code == "auto" else chosen.code)
        framed = graph.has_frames or chosen.frames
        samples = check_given(graph, given, framed)
        valued = computes_with_values(graph, chosen.code) or (not framed and chosen.splits(graph) and folding_multiplies(graph))
        chosen.check_for(valued, framed)
        if valued or framed:
            return network_of_values(graph, samples, chosen, framed, self._measured)
        assert not isinstance(samples, Samples)  # graphs with several inputs compute with values
        if chosen.code == "auto":
            return _automatic(_of_rectifiers(graph, samples, chosen), samples, chosen)
        return self._of_sums(samples, chosen)

    def _of_sums(self, samples: NDArray[np.float32], chosen: Options) -> Made:
        """The network of rectified sums in the code that was named."""
        if chosen.goal is not None:
            fact = f"it is for code='auto', the code is {chosen.code!r}"
            raise ConversionError("goal", fact, "Leave it out, or use code='auto'")
        settings, notes = chosen.settings(samples, chosen.code, chosen.timesteps)
        if chosen.reset == "zero":
            notes = (*notes, HARD_RESET)
            warnings.warn(HARD_RESET, stacklevel=5)
        settings = replace(settings, reset=chosen.reset, weights=chosen.weights, layer_bits=chosen.layer_bits)
        graph, calibrated = self._calibrated(samples, chosen, settings)
        unknown = sorted(set(chosen.layer_bits) - {stage.name for stage in calibrated.stages})
        if unknown:
            known = ", ".join(stage.name for stage in calibrated.stages[1:])
            raise ConversionError("weight_bits", f"there is no population {unknown[0]!r}", f"Use names of {known}")
        return graph, calibrated, settings, build(calibrated, settings), (*graph.notes, *notes, *calibrated.remarks), None

    def _calibrated(self, samples: NDArray[np.float32], chosen: Options, settings: CodeSettings) -> tuple[Graph, CalibratedGraph]:
        """The float graph, and what is known of it: kept for other codes where nothing was tuned for one."""
        key, kept = (chosen.threshold, chosen.correct_bias), not chosen.refine and chosen.weights != "trinary"
        if kept and key in self._ready:
            return self._ready[key].graph, self._ready[key]
        tuned = graph = _of_rectifiers(self._read[0], samples, chosen)
        if chosen.refine:
            tuned = finetune(graph, samples, levels=settings.levels, steps=chosen.refine, weights=chosen.weights)
        tuned = trinary_graph(tuned) if chosen.weights == "trinary" else tuned
        calibrated = CalibratedGraph(tuned, samples, chosen.threshold, chosen.correct_bias)
        if kept:
            self._ready[key] = calibrated
        return graph, calibrated


def _of_rectifiers(graph: Graph, samples: NDArray[np.float32], chosen: Options) -> Graph:
    """The graph as networks of rectified sums have it."""
    graph = with_short_pools(lift_pools(graph, samples), MOST_TAPS)
    return rectify_means(graph, None if chosen.weights == "trinary" else MOST_FOLDED)


def _of_changes(made: Conversion, goal: Goal | None, refresh: int | None) -> Conversion:
    """The same network as one of changes, with dead zones of 1, or as wide as the goal allows, refreshed every so many frames."""
    zones: dict[str, int] = {}
    notes = [*made.notes, "delta: every frame is that of the graded code"]
    if goal is not None:
        found = choose_dead_zones(made.network, made.calibrated.samples, goal.agreement, made.built.states, _counted)
        zones = found.dead_zones
        notes[-1] = (
            f"delta: dead zones of {len(zones)} populations, up to {max(zones.values(), default=1)}; "
            f"{100 * found.agreement:.1f} % of {found.frames:,} calibration frames are decided as without (were each drawn by "
            f"itself, one could be 95 % sure of {100 * found.at_least:.1f} %); {found.synops:,.0f} synops a frame, "
            f"{found.lossless_synops:,.0f} with dead zones of 1, {found.value_synops:,.0f} graded"
        )
    changing = to_changes(made.network, zones, made.built.states)
    if refresh is not None:
        changing = with_refresh(changing, refresh)
        notes.append(f"delta: all values are sent in full every {refresh} frames")
    built = replace(made.built, network=replace(changing, notes=tuple(notes)))
    reached = agreement(made.graph, made.calibrated, made.settings, built) if zones else made.agreement
    return replace(made, network=built.network, built=built, code="delta", notes=tuple(notes), agreement=reached)


def _counted(network: Network, samples: Any) -> tuple[NDArray[np.floating[Any]], int]:
    found = quantised.evaluate(network, samples)
    return found.logits, found.synops


def _checked(made: Made, tail: Graph | None) -> Conversion:
    """The conversion, compared with the float network on calibration samples."""
    graph, calibrated, settings, built, notes, known = made
    found = known or agreement(graph, calibrated, settings, built)
    if not (isinstance(calibrated.samples, Samples) or len(graph.outputs) > 1 or of_values(built.network)):
        found = crosschecked(found, graph, calibrated, settings)
    if found.warning:
        notes = (*notes, found.warning)
        warnings.warn(found.warning, AccuracyWarning, stacklevel=4)
    built = replace(built, network=built.network.with_notes(notes))
    return Conversion(built.network, graph, settings.code, settings.timesteps, notes, found, built, calibrated, settings, tail)


def _automatic(graph: Graph, samples: NDArray[np.float32], chosen: Options) -> Made:
    """The network that meets the goal with the least work."""
    calibrated = CalibratedGraph(graph, samples, chosen.threshold, chosen.correct_bias)
    if chosen.refine:
        raise ConversionError("refine", "it tunes for the levels of one code", "Name the code, or leave refine out")
    goal = chosen.goal or Goal()
    if chosen.input == "spikes":
        goal = replace(goal, codes=tuple(code for code in goal.codes if row_of(code).source))
    choice = choose(calibrated, goal, lambda code, timesteps: chosen.settings(samples, code, timesteps)[0])
    notes = (*graph.notes, *calibrated.remarks, choice.why)
    return graph, calibrated, choice.best.settings, choice.best.built, notes, None


def float_graph(model: Any, calibration: Any, frames: bool = False, state: Mapping[str, str] | bool | None = None) -> Graph:
    """The float network of a module, of an ONNX file, or as it is; calibration (samples, *shape), or with frames or states
    (samples, frames, *shape), a mapping of names of several inputs."""
    if isinstance(model, str | os.PathLike):

        def of_sample(x: Any) -> tuple[int, ...]:
            return np.shape(x)[2:] if state else (1, *np.shape(x)[2:]) if frames else np.shape(x)[1:]

        several = isinstance(calibration, Mapping)
        shape = {name: of_sample(x) for name, x in calibration.items()} if several else of_sample(calibration)
        return read_onnx(model, shape=shape, state=state) if state else read_onnx(model, shape=shape, frames=frames)
    if state:
        remedy = "Pass converters.trace(model, (x, h), state=True), with examples of both"
        raise ConversionError("state", "it is for ONNX files", remedy)
    if isinstance(model, Graph):
        return model
    if isinstance(calibration, Mapping) and len(calibration) == 1:
        (calibration,) = calibration.values()
    if isinstance(calibration, Mapping):
        if frames:
            raise ConversionError("frames", "a module with several inputs is read one call at a time", _FRAME_BY_FRAME)
        return trace(model, calibration)
    return trace(model, calibration, frames=True) if frames else trace(model, sample_pair(calibration))


_FRAME_BY_FRAME = "Pass converters.trace(model, {...}) of one frame of each input, as the model"
