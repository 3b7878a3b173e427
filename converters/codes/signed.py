"""Signed: counts as in the rate code, with negative spikes that correct spikes sent too early, and a look ahead."""

from __future__ import annotations

from typing import Any

from converters.codes.row import POWERS_OF_TWO, ROUNDING, SPIKE_LEVELS, Chosen, CodeRow, CodeTiming
from neuro.neurons import MaxPool, Neuron, SignedIntegrateAndFire, Source

_LOOK_AHEAD = 4  # a population looks ahead by T / 4 steps


def _timing(settings: Chosen, all_once: bool) -> CodeTiming:
    gather = 1 if all_once else settings.gather
    return CodeTiming(gather, lag=gather - 1, hold=all_once)


def _neuron(threshold: int, start: int, timing: CodeTiming, settings: Chosen) -> Neuron:
    how: dict[str, Any] = {"start_step": start, "potential_bits": settings.potential_bits, "maximum": settings.timesteps}
    return SignedIntegrateAndFire(threshold, 0, threshold // 2, hold_input=timing.hold, gather=timing.gather, **how)


ROW = CodeRow(
    levels=lambda timesteps: timesteps,
    timing=_timing,
    neuron=_neuron,
    pool=lambda taps, start, settings: MaxPool(taps, "counts", signed=True, start_step=start),
    pool_base=3,
    source=lambda largest, negative, timesteps: Source("signed", largest / SPIKE_LEVELS, SPIKE_LEVELS),
    to_try=POWERS_OF_TWO,
    counts=True,
    lossless=False,
    lossless_form="wait",
    look_ahead=lambda timesteps: 1 + timesteps // _LOOK_AHEAD,
    variance=ROUNDING + 0.12,  # an eighth of the counts are off by one (measured on two networks)
    finer=("radix", "graded"),
)
