"""Rate: a value is the number of spikes of an integrate-and-fire neuron over T steps. Counts depend on timing."""

from __future__ import annotations

from typing import Any

from converters.codes.row import ROUNDING, Chosen, CodeRow, CodeTiming, rate_source
from neuro.neurons import IntegrateAndFire, MaxPool, Neuron


def _timing(settings: Chosen, all_once: bool) -> CodeTiming:
    return CodeTiming(gather=1 if all_once else settings.timesteps, hold=all_once)


def _neuron(threshold: int, start: int, timing: CodeTiming, settings: Chosen) -> Neuron:
    how: dict[str, Any] = {"start_step": start, "potential_bits": settings.potential_bits}
    return IntegrateAndFire(threshold, settings.reset, 0, threshold // 2, hold_input=timing.hold, **how)


ROW = CodeRow(
    levels=lambda timesteps: timesteps,
    timing=_timing,
    neuron=_neuron,
    pool=lambda taps, start, settings: MaxPool(taps, "counts", start_step=start),
    source=rate_source,
    to_try=(4, 8, 16, 32, 64),
    counts=True,
    lossless=False,
    lossless_form="wait",
    resets=("subtract", "zero"),
    variance=ROUNDING + 0.35,  # a third of the counts are off by one (conversion literature; measured on two networks)
    finer=("signed", "radix", "graded"),
)
