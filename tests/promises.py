"""What a conversion promises about numbers, checked against arithmetic that shares nothing with `converters.linear`, `integers`
or `coding`: the float network in double precision, layer by layer, and the plain matrix of every path.

- graph: the folded float network computes what the torch module computes;
- engines: the event engine equals the reference, and for lossless codes the quantised evaluation, in logits and messages;
- weights: every path's integer weights, read back in real units, are the float network's within half a unit of weight, and so
  is every bias, at every pair of neurons (without bias correction, which fits weights anew);
- values: in a lossless code every neuron's value is the rectified sum of what arrives, within half a level, half a unit of
  weight for each message, and half a unit of bias; a max pool's is exact in every code (without bias correction);
- outputs: the root mean square error is no larger than one in a million honest roundings to the promised resolution is, times
  `COARSER`: of inputs to their levels, of weights to `weight_bits` bits of the largest weight of each path into a channel, of
  activations to the code's levels of each channel's largest value, as far as the bits of the potential and the ceilings of
  channels that share a threshold leave that much. Two estimates of its expected size are added up: roundings made in the same
  order, which sees that equal values are rounded alike, and independent ones, which is never zero by luck. How far beyond that
  chance may bring it follows from how many independent errors it is a mean of, which random roundings show: a mean of many is
  near what is expected, one weight that all samples share may be five times as far off. A conversion that warns of its accuracy
  itself may be worse.

The first four are exact: sums of half units, so that no honest rounding can break them. From `values` a worst-case bound of the
outputs follows by adding up along absolute weights; it is not checked, because it says nothing new and is loose.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import chi2

import converters
import neuro
from converters import evaluation, opmath, quantised
from converters.stepping import emulated, offset
from neuro.errors import AccuracyWarning
from tests.rounding import Rounding, exact, input_step, rms

Floats = NDArray[np.float64]
Tensor = torch.Tensor
# How much coarser than the promised resolution weights and activations may be in the mean: exponents are whole powers of two,
# and channels of a population share a threshold. The first two codes also depend on timing.
COARSER = {"rate": 4.0, "signed": 4.0, "wait": 2.0, "radix": 2.0, "graded": 2.0}
CHANCE = 1e-6  # that honest rounding goes beyond the bound of the outputs


class Broken(Exception):
    """A promise that was not kept: its kind, and the numbers."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(f"{kind}: {said}")
        self.kind, self.said = kind, said


@dataclass
class Findings:
    """How near each check came to failing, error over bound; and the bound of the outputs over their spread."""

    ratios: dict[str, float] = field(default_factory=dict)
    warned: str = ""  # what the conversion itself says against its outputs

    def note(self, check: str, error: Any, bound: Any, said: str) -> None:
        """Keep the largest error over bound, and raise Broken where it is above 1."""
        error, bound = np.asarray(error, np.float64), np.asarray(bound, np.float64)
        if not error.size:
            return
        ratio = np.where(
            error <= bound, np.divide(error, bound, out=np.zeros(np.broadcast(error, bound).shape), where=bound > 0), np.inf
        )
        over = np.divide(error, bound, out=np.full(ratio.shape, np.inf), where=bound > 0)
        ratio = np.where(np.isfinite(ratio), ratio, over)
        worst = float(np.nan_to_num(ratio, nan=np.inf).max())
        self.ratios[check] = max(self.ratios.get(check, 0.0), worst)
        if not worst <= 1:
            raise Broken(check, f"{said}, {worst:.3g} times the bound")


def check(net: torch.nn.Module, x: NDArray[np.float32], how: Mapping[str, Any]) -> Findings:
    """Convert, and check all promises. Raises Broken; a NeuroError of `convert` comes through, as does any other exception."""
    found = Findings()
    with torch.no_grad():
        wanted = net(torch.as_tensor(x)).numpy().astype(np.float64).reshape(len(x), -1)
    if not np.isfinite(wanted).all():
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)  # kept in the agreement
        made = converters.convert(net, x, **how)
    scale = np.abs(wanted).max()
    layers = [layer.name for layer in made.graph.layers]
    values = evaluation.evaluate(made.graph, {made.graph.inputs[0].name: torch.as_tensor(x)}, layers)
    cancelled = 4e-6 * max(float(value.abs().max()) for value in values.values())  # what float32 loses where large values cancel
    got = exact(made.graph, {made.graph.inputs[0].name: torch.as_tensor(x, dtype=torch.float64)}, made.graph.output.name)
    found.note(
        "graph",
        np.abs(got.numpy().reshape(len(x), -1) - wanted),
        1e-3 * scale + cancelled + 1e-30,
        "folded graph and module differ",
    )
    view = View(made, x)
    _engines(view, found)
    if not made.calibrated.correct_bias:
        for stage in made.calibrated.stages:
            if stage.kind != "input":
                _stage(view, stage, found)
    found.warned = made.agreement.warning or ""
    _outputs(view, wanted, found)
    return found


@dataclass(frozen=True)
class Paths:
    """Matrices (source neurons, neurons) from each stage that a layer reads, and its value where all of them are zero."""

    matrices: dict[str, Floats]
    rest: Floats


class View:
    """One conversion, its run on the samples, and its float network as matrices between stages."""

    def __init__(self, made: converters.Conversion, x: NDArray[np.float32]) -> None:
        self.made, self.x, self.network, self.graph = made, x, made.network, made.graph
        self.settings = made.settings
        self.stages = {stage.name: stage for stage in made.calibrated.stages}
        self.run = neuro.run(self.network, x, threads=1)
        signals, _ = emulated(self.network, x, made.timesteps, self.settings.lossless)
        self.totals = {name: signal.total.numpy().reshape(len(x), -1).astype(np.float64) for name, signal in signals.items()}
        self._paths: dict[str, Paths] = {}

    def worth(self, name: str) -> Floats:
        """Real value of a total of 1 of each neuron; of a source, without asking the conversion."""
        p = self.network[name]
        n: Any = p.neuron
        if isinstance(n, neuro.Source):
            steps = self.made.timesteps
            one = {"once": 1, "radix": 1, "held": 1 / steps}.get(n.code, n.levels / steps)
            sign = np.repeat([1.0, -1.0], p.size // 2) if n.twin else np.ones(p.size)
            return float(n.scale) * one * sign
        if name.endswith(".relay"):
            return self.worth(name.removesuffix(".relay")) * n.threshold / self.made.timesteps
        return np.broadcast_to(np.asarray(self.made.built.units[name], np.float64), p.shape).ravel().copy()

    def paths(self, name: str) -> Paths:
        """Paths into a stage of the folded float network."""
        if name not in self._paths:
            self._paths[name] = self._found(self.stages[name].pre_activation)
        return self._paths[name]

    def _found(self, layer: str) -> Paths:
        sources, seen, left = [], set(), [layer]
        while left:
            here = left.pop()
            if here in seen:
                continue
            seen.add(here)
            if here in self.stages and self.stages[here].kind != "readout":
                sources.append(here)
            else:
                left.extend(self.graph[here].inputs)
        zeros = {s: torch.zeros((1, *self.graph[s].shape), dtype=torch.float64) for s in sources}
        rest = exact(self.graph, zeros, layer)
        matrices = {}
        for s in sources:
            size = int(np.prod(self.graph[s].shape))
            ones = torch.eye(size, dtype=torch.float64).reshape(size, *self.graph[s].shape)
            given = {other: zero.expand(size, *zero.shape[1:]) for other, zero in zeros.items()} | {s: ones}
            matrices[s] = (exact(self.graph, given, layer) - rest).reshape(size, -1).numpy()
        return Paths(matrices, rest.reshape(-1).numpy())


def _engines(view: View, found: Findings) -> None:
    run, x = view.run, view.x
    few = x[: 4 if view.made.timesteps < 16 else 2]  # the definition is slow
    truth = neuro.run(view.network, few, engine="reference")
    others = {"reference": (truth.logits, truth.spikes)}
    if view.settings.lossless:
        plain = quantised.evaluate(view.network, x)
        others["quantised"] = (plain.logits, plain.spikes)
    for name, (logits, spikes) in others.items():
        if not np.array_equal(logits, run.logits[: len(logits)]):
            worst = float(np.abs(logits - run.logits[: len(logits)]).max())
            raise Broken(f"engines: event is not {name}", f"logits differ by {worst:.3g} of {np.abs(logits).max():.3g}")
        for p in view.network.populations:
            if not np.array_equal(spikes[p.name], run.spikes[p.name][: len(logits)]):
                raise Broken(f"engines: event is not {name}", f"messages of {p.name!r} ({type(p.neuron).__name__}) differ")


def _stage(view: View, stage: Any, found: Findings) -> None:
    """Weights, biases and values of one population."""
    p = view.network[stage.name]
    n: Any = p.neuron
    if stage.kind == "max_pool":
        (source,) = stage.layer.inputs
        before = view.totals[source].reshape(len(view.x), *view.graph[source].shape)
        best = opmath.apply(stage.layer, [torch.as_tensor(before)]).reshape(len(view.x), -1).numpy()
        found.note("values: max pool", np.abs(best - view.totals[stage.name]), 1e-9, f"maxima of {stage.name!r} are off")
        return
    paths = view.paths(stage.name)
    read = stage.kind == "readout"
    unit = np.ones(p.size) if read else view.worth(stage.name)
    theta = 1 if read else n.threshold
    if read:  # one unit of charge in real units
        step = np.broadcast_to(np.asarray(n.scale, np.float64), p.shape).ravel() / (view.made.timesteps if n.average else 1)
    else:
        step = unit / theta
    weights: dict[str, Floats] = {}
    half: dict[str, Floats] = {}  # unit of weight, in real units
    real: dict[str, Floats] = {}
    for q in view.network.into(p.name):
        name = q.source if q.source in view.stages else q.source.removesuffix(".relay")
        repeats = view.made.timesteps if getattr(n, "hold_input", False) else 1
        worth = view.worth(q.source) / repeats
        matrix = q.to_sparse(view.network[q.source].shape, p.shape).toarray() * step / worth[:, None]
        weights[name] = weights.get(name, 0) + matrix
        half[name] = np.abs(0.5 * step / worth[:, None]) * _multiple(view, paths.matrices[name], q, step / worth[:, None])
        real[name] = view.totals[q.source] * view.worth(q.source)
    arrived = paths.rest[None].repeat(len(view.x), 0)
    loose = np.zeros_like(arrived)
    for name, matrix in paths.matrices.items():
        largest = np.abs(matrix).max(initial=0)
        if name not in weights:
            if largest > 0:
                raise Broken("weights", f"no projection leads from {name!r} to {p.name!r}")
            continue
        wanted = np.concatenate([matrix] * (len(weights[name]) // len(matrix)))  # twice for a source in two halves
        apart = max(1, sum(path.source == name for path in stage.paths))  # paths that are kept apart are rounded apart
        slack = apart * half[name] * (1 + 1e-6) + 1e-5 * largest
        found.note("weights", np.abs(weights[name] - wanted), slack, f"weights from {name!r} to {p.name!r} are off")
        arrived = arrived + real[name] @ wanted
        loose = loose + np.abs(real[name]) @ (slack * (wanted != 0))
    largest = np.abs(paths.rest).max(initial=0)
    if read:
        held = np.broadcast_to(np.asarray(n.offset, np.float64), p.shape).ravel()
        found.note("bias", np.abs(held - paths.rest), 1e-5 * largest + 1e-30, f"offset of {p.name!r} is off")
        return
    charge = np.broadcast_to(offset(p, view.made.timesteps).numpy(), p.shape).ravel() - theta // 2
    found.note("bias", np.abs(charge * step - paths.rest), 0.5 * step * (1 + 1e-6) + 1e-5 * largest, f"bias of {p.name!r} is off")
    if view.settings.lossless:
        _values(view, stage, arrived, loose + step, found)


def _multiple(view: View, wanted: Floats, q: Any, one: Floats) -> int:
    """The power of two that integer weights are multiples of, which is no larger than the largest of them needs: `one` is a
    weight of 1 in real units. What is stored may need more: paths that cancel, and taps that only ever meet padding."""
    both = np.concatenate([wanted] * (len(one) // len(wanted)))
    needed = max(float(np.abs(both / one).max(initial=0)), float(np.abs(np.asarray(q.stored_weights)).max(initial=0)), 1.0)
    return 2 ** max(0, math.ceil(math.log2(needed / view.settings.limit) - 1e-6))


def _values(view: View, stage: Any, arrived: Floats, loose: Floats, found: Findings) -> None:
    """Values of a rectified population in a lossless code; `arrived`: real pre-activations, `loose`: by how much at most they
    are off."""
    unit, settings = view.worth(stage.name), view.settings
    ceiling = stage.layer.options["ceiling"]
    top = unit * settings.levels
    wanted = np.minimum(np.clip(arrived, 0, ceiling), np.maximum(top, 0))
    slack = loose + 0.5 * unit + 1e-6 * np.abs(arrived)
    found.note("values", np.abs(view.totals[stage.name] * unit - wanted), slack, f"values of {stage.name!r} are off")
    if view.made.calibrated.threshold == "max":
        shape = (len(view.x), stage.shape[0], -1)
        real = exact(view.graph, {view.graph.inputs[0].name: torch.as_tensor(view.x, dtype=torch.float64)}, stage.name)
        most = real.reshape(shape).amax((0, 2)).numpy()
        found.note(
            "range",
            most,
            top.reshape(stage.shape[0], -1).min(1) * (1 + 1e-3) + 1e-30,
            f"{stage.name!r} is clipped below its largest value",
        )


def _outputs(view: View, wanted: Floats, found: Findings) -> None:
    """Root mean square error of the outputs against that of independent roundings, and of the plainest rounding there is."""
    last = view.made.calibrated.stages[-1].name
    rounding = _rounded(view)
    spread = float(np.sqrt(((wanted - wanted.mean(0)) ** 2).mean()))
    expected = float(np.hypot(np.sqrt(rounding.variance[last].mean()), rms(rounding.rounded[last] - rounding.real[last])))
    error, code = rms(view.run.logits - wanted), view.settings.code
    bound = COARSER[code] * expected + 1e-4 * rms(wanted) + 1e-30
    if error > bound:  # a mean of many errors cannot be so large; one of few may
        freedom = _rounded(view, np.random.default_rng(0)).freedom(last)
        bound += COARSER[code] * expected * (np.sqrt(chi2.isf(CHANCE, freedom) / freedom) - 1)
        found.ratios[f"freedom, {code}"] = freedom
    if spread > 1e-3 * rms(wanted):
        found.ratios[f"bound over spread, {code}"] = bound / spread
    if error <= bound or not found.warned:  # what is said is not silent
        found.note(f"outputs {code}", error, bound, f"error {error:.3g}, outputs vary by {spread:.3g}, and nothing says so")


def _rounded(view: View, random: np.random.Generator | None = None) -> Rounding:
    """The values of all stages, rounded to what is promised; and at random, if there is a generator."""
    rounding = Rounding({}, {}, {}, {}, view, random=random)
    for stage in view.made.calibrated.stages:
        if stage.kind == "input":
            rounding.start(stage, view.x.reshape(len(view.x), -1).astype(np.float64), input_step(view))
        elif stage.kind == "max_pool":
            rounding.pool(stage)
        else:
            rounding.sum(stage)
    return rounding
