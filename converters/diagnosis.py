"""Where a conversion loses: each layer's error by cause, and what one change would recover.

A layer's error against the float network splits into what it inherits from the layers before it, clipping at the threshold,
rounding to levels, and timing: counts above or below those of an exact quantiser for the same charge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.building import Built, Recipe, build
from converters.coding import Settings
from converters.delivery import deliver, fan_out, largest
from converters.evaluation import evaluate
from converters.stepping import Part, Signal, charges, respond, source_signal, takes_maxima
from neuro.graph import Graph
from neuro.network import Network, Population
from neuro.neurons import Graded, RadixIntegrateAndFire, Readout, Source, WaitIntegrateAndFire

Floats = NDArray[np.float64]
Tensor = torch.Tensor
Row = dict[str, Any]
SAMPLES = 64
_BINS = 10


@dataclass(frozen=True, slots=True)
class LayerDiagnosis:
    """One layer on calibration samples. Errors are mean squares, relative to the mean square of the float activations.

    `inherited`, `clipping`, `rounding`, `timing`: parts of the error, each the difference that this cause makes; `error`: all
    of it. `clipped`: share of positive activations above the threshold. `over`, `under`: share of neurons that fired more
    or less than an exact quantiser would have. `messages`, `synops`: per sample, sent and caused. `histogram`: neurons by
    tenths of the largest value they can send.
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


@dataclass(frozen=True, slots=True)
class Swap:
    """The outputs with one cause of error taken away: relative squared error, and share of samples with the same decision."""

    cause: str
    error: float
    agreement: float
    remedy: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Every layer, and every swap; the first swap is the network as it is."""

    layers: tuple[LayerDiagnosis, ...]
    swaps: tuple[Swap, ...]
    samples: int

    @property
    def best(self) -> Swap:
        """The one change that would bring the outputs nearest to the float network's."""
        return min(self.swaps[1:], key=lambda swap: swap.error)

    @property
    def advice(self) -> str:
        """What to do first, in one sentence."""
        now, best = self.swaps[0], self.best
        if best.error > 0.9 * now.error:
            return f"No single change recovers much of the error of {now.error:.2g}."
        return f"Without {best.cause} the outputs' error would fall from {now.error:.2g} to {best.error:.2g}: {best.remedy}"

    def rows(self) -> list[Row]:
        """The layers as rows."""
        return [asdict(layer) for layer in self.layers]

    def table(self) -> str:
        """The layers and swaps as text."""
        names = ("error", "inherited", "clipping", "rounding", "timing", "clipped", "over", "under", "cosine")
        width = max(len(layer.name) for layer in self.layers) if self.layers else 5
        head = " ".join(f"{name:>9}" for name in names)
        lines = [f"{'layer':<{width}} {head} {'messages':>10} {'synops':>12}"]
        for layer in self.layers:
            values = " ".join(f"{getattr(layer, name):9.4f}" for name in names)
            lines.append(f"{layer.name:<{width}} {values} {layer.messages:10,.0f} {layer.synops:12,.0f}")
        lines += [f"{swap.cause:<22} error {swap.error:.5f}, same decision {100 * swap.agreement:.1f} %" for swap in self.swaps]
        return "\n".join([*lines, self.advice])


def diagnose(graph: Graph, recipe: Recipe, settings: Settings, built: Built) -> Diagnosis:
    """The diagnosis of a network on up to 64 calibration samples, against the float network `graph`."""
    count = min(SAMPLES, len(recipe.samples))
    samples = recipe.samples[np.linspace(0, len(recipe.samples) - 1, count).astype(int)]
    wanted = [p.name for p in built.network.populations if _rectified(p)]
    tensors = evaluate(graph, {graph.inputs[0].name: torch.as_tensor(samples)}, {*wanted, graph.output.name})
    truth = {name: values.double().numpy() for name, values in tensors.items()}
    signals, received = _emulated(built.network, samples, settings)
    layers = []
    for p in built.network.populations:
        if p.name in wanted:
            seen = (truth[p.name], received[p.name].numpy(), signals[p.name].total.numpy())
            layers.append(_layer(built, p, seen, _traffic(built.network, p, signals[p.name], settings), settings))
    return Diagnosis(tuple(layers), tuple(_swaps(truth[graph.output.name], samples, recipe, settings, built)), count)


def _rectified(p: Population) -> bool:
    relayed = isinstance(p.neuron, Graded) and p.neuron.hold_input and p.neuron.minimum < 0
    return not isinstance(p.neuron, Source | Readout) and not takes_maxima(p.neuron) and not relayed


def _emulated(network: Network, samples: NDArray[np.float32], settings: Settings) -> tuple[dict[str, Signal], dict[str, Tensor]]:
    """What every population sends, and the charge it receives over its window, bias included."""
    signals: dict[str, Signal] = {}
    received: dict[str, Tensor] = {}
    neurons = {p.name: p.neuron for p in network.populations}
    steps = settings.timesteps
    for p in network.populations:
        if isinstance(p.neuron, Source):
            signals[p.name] = source_signal(p, samples, steps, settings.lossless)
            continue
        part = Part(p, network.into(p.name), neurons, signals, steps, settings.lossless)
        charge = torch.zeros(1) if takes_maxima(p.neuron) else charges(part)
        signals[p.name] = respond(part, charge)
        if _rectified(p):
            repeated = steps if len(charge) == 1 and not settings.lossless else 1
            received[p.name] = charge.sum(0) * repeated + offset(p, steps)
    return signals, received


def offset(p: Population, timesteps: int) -> Tensor:
    """A population's bias over its window and its initial potential."""
    n: Any = p.neuron
    bias = np.asarray(n.bias, np.int64)
    if isinstance(n, WaitIntegrateAndFire):
        bias = bias * n.gather
    elif not isinstance(n, Graded | RadixIntegrateAndFire):
        bias = bias * n.active_steps(timesteps)
    return torch.tensor(bias + np.asarray(getattr(n, "initial_potential", 0), np.int64))


def _layer(
    built: Built, p: Population, seen: tuple[Floats, Any, Any], traffic: tuple[float, float], settings: Settings
) -> LayerDiagnosis:
    truth, received, total = seen
    unit, levels = np.asarray(built.units[p.name], np.float64), settings.levels
    exact = np.clip(received // p.neuron.threshold, 0, levels)  # type: ignore[attr-defined]  # rectified populations have one
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
        inherited=part(unit * exact, rounded),
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


def _traffic(network: Network, p: Population, signal: Signal, settings: Settings) -> tuple[float, float]:
    """Messages sent and synaptic operations caused, per sample."""
    sent = _messages(p, signal, settings)
    each = sent.reshape(len(sent), -1).double().mean(0)
    synops = sum(float(each @ fan_out(q, p.shape, network[q.target].shape).reshape(-1).double()) for q in network.out_of(p.name))
    return float(each.sum()), synops


def _messages(p: Population, signal: Signal, settings: Settings) -> Tensor:
    if not settings.lossless:
        return (signal.frames != 0).sum(0)
    total = signal.total
    if isinstance(p.neuron, RadixIntegrateAndFire):
        return torch.as_tensor(np.bitwise_count(total.numpy()).astype(np.int64))
    return total if isinstance(p.neuron, WaitIntegrateAndFire) else (total != 0).to(torch.int64)


# Swaps: the same network with real numbers where it has integers.

Rule = Callable[[Population, Tensor], Tensor]


def _swaps(truth: Floats, samples: NDArray[np.float32], recipe: Recipe, settings: Settings, built: Built) -> Iterator[Swap]:
    def swap(cause: str, logits: Floats, remedy: str) -> Swap:
        error = float(np.square(logits - truth).mean() / (truth.var() or 1.0))
        flat, expected = logits.reshape(len(logits), -1), truth.reshape(len(truth), -1)
        return Swap(cause, error, float((flat.argmax(1) == expected.argmax(1)).mean()), remedy)

    network, steps = built.network, settings.timesteps

    def walked(rule: str, net: Network = network, exact_input: bool = False) -> Floats:
        return _walk(net, samples, lambda p, charge: _RULES[rule](p, charge, settings), exact_input, steps)

    signals, _ = _emulated(network, samples, settings)
    readout = network.readouts[0]
    yield swap("nothing taken away", _read(readout, signals[readout.name].total, steps), "")
    more = {"radix": "use more digits", "graded": "8 bits are what the code has"}.get(settings.code, "use more timesteps")
    if not settings.lossless:
        codes = "'wait' or 'radix'" if settings.code == "signed" else "'signed', 'wait' or 'radix'"
        yield swap("uneven timing", walked("exact"), f"convert with code={codes}, or use more timesteps")
    yield swap("rounding to levels", walked("real"), f"{more}, or convert with refine=150")
    yield swap("clipping", walked("unclipped"), "convert with threshold='max', or use more timesteps")
    yield swap(
        "rounding of weights", walked("exact", build(recipe, replace(settings, weight_bits=16)).network), "use more weight bits"
    )
    yield swap("rounding of inputs", walked("exact", exact_input=True), "use input='graded', or scale inputs to use their range")


def _exact(p: Population, charge: Tensor, settings: Settings) -> Tensor:
    return _unclipped(p, charge, settings).clamp(max=settings.levels)


def _unclipped(p: Population, charge: Tensor, settings: Settings) -> Tensor:
    return torch.floor(charge / p.neuron.threshold).clamp(min=0)  # type: ignore[attr-defined]


def _real(p: Population, charge: Tensor, settings: Settings) -> Tensor:
    threshold: int = p.neuron.threshold  # type: ignore[attr-defined]
    return ((charge - threshold // 2) / threshold).clamp(0, settings.levels)


_RULES: Mapping[str, Callable[[Population, Tensor, Settings], Tensor]] = {"exact": _exact, "unclipped": _unclipped, "real": _real}


def _walk(network: Network, samples: NDArray[np.float32], rule: Rule, exact_input: bool, timesteps: int) -> Floats:
    """Outputs of the network when every rectified population answers its whole charge by `rule`, whatever the timing."""
    totals: dict[str, Tensor] = {}
    for p in network.populations:
        n = p.neuron
        if isinstance(n, Source):
            total = source_signal(p, samples, timesteps, True).total.double()
            if exact_input and n.code in ("held", "once") and n.scale is not None:
                total = torch.as_tensor(samples.astype(np.float64) / n.scale) * (timesteps if n.code == "held" else 1)
            totals[p.name] = total
            continue
        if takes_maxima(n):
            totals[p.name] = largest(network.into(p.name), totals[network.into(p.name)[0].source], p.shape)
            continue
        charge: Any = 0
        for projection in network.into(p.name):
            charge = charge + deliver(projection, totals[projection.source], p.shape, 0)
        charge = charge * (timesteps if getattr(n, "hold_input", False) else 1)
        if isinstance(n, Readout):
            return _read(p, charge, timesteps)
        totals[p.name] = rule(p, charge + offset(p, timesteps)) if _rectified(p) else charge
    raise AssertionError("a converted network ends in a readout")


def _read(p: Population, total: Tensor, timesteps: int) -> Floats:
    n = p.neuron
    assert isinstance(n, Readout)
    steps = timesteps if n.average else 1
    return np.asarray(total.double().numpy() * np.asarray(n.scale) / steps + np.asarray(n.offset))
