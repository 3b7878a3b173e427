"""Radix: a value is its binary digits, one spike or none a step, most significant first. Lossless, with few spikes."""

from __future__ import annotations

from typing import Any

from converters.codes.row import Chosen, CodeRow, CodeTiming
from neuro.neurons import MaxPool, Neuron, RadixIntegrateAndFire, Source


def _timing(settings: Chosen, all_once: bool) -> CodeTiming:
    """A single message joins the last digit, which counts once."""
    gather = 1 if all_once else settings.timesteps
    return CodeTiming(gather, lag=gather - 1, last=0 if all_once else settings.timesteps - 1)


def _neuron(threshold: int, start: int, timing: CodeTiming, settings: Chosen) -> Neuron:
    how: dict[str, Any] = {"start_step": start, "potential_bits": settings.potential_bits}
    return RadixIntegrateAndFire(threshold, settings.timesteps, timing.gather, bias=threshold // 2, **how)


def _source(largest: float, negative: bool, digits: int) -> Source:
    levels = ROW.levels(digits)
    return Source("radix", largest / levels, levels, twin=negative, digits=digits)


ROW = CodeRow(
    levels=lambda digits: 2**digits - 1,
    timing=_timing,
    neuron=_neuron,
    pool=lambda taps, start, settings: MaxPool(taps, "digits", start_step=start),
    source=_source,
    to_try=(3, 4, 5, 6, 7, 8),
    digits=True,
    gathers=True,
    shortened="radix sends binary digits: {asked} timesteps became {most} digits",
)
