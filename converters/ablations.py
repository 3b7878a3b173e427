"""What a network's outputs would be without one cause of error: the same network with real numbers where it has integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from converters.advice import Cause, remedy
from converters.building import Built, CalibratedGraph, build
from converters.coding import CodeSettings
from converters.delivery import deliver, largest
from converters.stepping import emulated, offset, rectified, source_signal, threshold_of
from neuro.codes import Code
from neuro.encoding import source_of
from neuro.network import Network, Population

Floats = NDArray[np.float64]
Tensor = torch.Tensor
Rule = Callable[[Population, Tensor, CodeSettings], Tensor]


@dataclass(frozen=True, slots=True)
class Ablation:
    """The outputs with one cause of error taken away: relative squared error, what of it that takes away, and the share of
    samples with the float network's decision."""

    cause: str
    error: float
    gain: float
    agreement: float
    remedy: str


def ablations(
    truth: Floats, samples: NDArray[np.float32], calibrated: CalibratedGraph, settings: CodeSettings, built: Built
) -> Iterator[Ablation]:
    """The network as it is, then each ablation.

    Of a code that depends on timing, the other causes are taken away in the lossless network with the same levels, and their
    gain is measured there.
    """

    def ablated(cause: str, logits: Floats, remedy: str, before: float | None = None) -> Ablation:
        error = float(np.square(logits - truth).mean() / (truth.var() or 1.0))
        flat, expected = logits.reshape(len(logits), -1), truth.reshape(len(truth), -1)
        gain = 0.0 if before is None else before - error
        return Ablation(cause, error, gain, float((flat.argmax(1) == expected.argmax(1)).mean()), remedy)

    asked = settings
    now = ablated("as it is", outputs(built.network, samples, settings), "")
    yield now
    if not settings.lossless:
        even_timing = remedy("timing", calibrated.threshold, settings)
        settings = replace(settings, code=cast(Code, settings.row.lossless_form), gather=1, reset="subtract")
        built = build(calibrated, settings)
        even = outputs(built.network, samples, settings)
        now = ablated("uneven timing", even, even_timing, now.error)
        yield now

    def walked(rule: str, network: Network = built.network, exact_input: bool = False) -> Floats:
        return _walk(network, samples, _RULES[rule], exact_input, settings)

    def how(cause: Cause) -> str:
        return remedy(cause, calibrated.threshold, asked)

    yield ablated("rounding to levels", walked("real"), how("rounding"), now.error)
    yield ablated("clipping", walked("unclipped"), how("clipping"), now.error)
    fine = build(calibrated, replace(settings, weight_bits=16, layer_bits={})).network
    yield ablated("rounding of weights", walked("exact", fine), how("weights"), now.error)
    yield ablated("rounding of inputs", walked("exact", exact_input=True), how("inputs"), now.error)


def outputs(network: Network, samples: NDArray[np.float32], settings: CodeSettings) -> Floats:
    """What the network answers."""
    signals, _ = emulated(network, samples, settings.timesteps, settings.lossless)
    readout = network.readouts[0]
    return _read(readout, signals[readout.name].total, settings.timesteps)


def _exact(p: Population, charge: Tensor, settings: CodeSettings) -> Tensor:
    return _unclipped(p, charge, settings).clamp(max=settings.levels)


def _unclipped(p: Population, charge: Tensor, settings: CodeSettings) -> Tensor:
    return torch.floor(charge / threshold_of(p)).clamp(min=0)


def _real(p: Population, charge: Tensor, settings: CodeSettings) -> Tensor:
    threshold = threshold_of(p)
    return ((charge - threshold // 2) / threshold).clamp(0, settings.levels)


_RULES: Mapping[str, Rule] = {"exact": _exact, "unclipped": _unclipped, "real": _real}


def _walk(network: Network, samples: NDArray[np.float32], rule: Rule, exact_input: bool, settings: CodeSettings) -> Floats:
    """Outputs of the network when every rectified population answers its whole charge by `rule`, whatever the timing."""
    totals: dict[str, Tensor] = {}
    timesteps = settings.timesteps
    for p in network.populations:
        n = p.neuron
        if n.is_source:
            total, source = source_signal(p, samples, timesteps, True).total.double(), source_of(p)
            if exact_input and source.code in ("held", "once") and source.scale is not None:
                total = torch.as_tensor(samples.astype(np.float64) / source.scale) * (timesteps if source.code == "held" else 1)
            totals[p.name] = total
            continue
        if n.takes_maxima:
            totals[p.name] = largest(network.into(p.name), totals[network.into(p.name)[0].source], p.shape)
            continue
        charge: Any = 0
        for projection in network.into(p.name):
            charge = charge + deliver(projection, totals[projection.source].double(), p.shape)
        charge = charge * (timesteps if n.hold_input else 1)
        totals[p.name] = rule(p, charge + offset(p, timesteps), settings) if rectified(p) else charge
    return _read(network.populations[-1], totals[network.populations[-1].name], timesteps)


def _read(p: Population, total: Tensor, timesteps: int) -> Floats:
    neuron: Any = p.neuron
    return np.asarray(neuron.read(total.double().flatten(1).numpy(), p.shape, timesteps)).reshape(total.shape)
