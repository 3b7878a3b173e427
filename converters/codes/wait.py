"""Wait: a population adds up a whole window, then sends its count as spikes in a row. Lossless.

The spikes of a pooled window all begin at the same step, so the largest count is their union and a plain neuron will do.
"""

from __future__ import annotations

from typing import Any

from converters.codes.row import POWERS_OF_TWO, Chosen, CodeRow, CodeTiming, rate_source
from neuro.neurons import IntegrateAndFire, Neuron, WaitIntegrateAndFire


def _timing(settings: Chosen, all_once: bool) -> CodeTiming:
    """Values are counts over T steps: an input that arrives once, at a population that gathers once, counts T times."""
    gather = 1 if all_once else settings.timesteps
    return CodeTiming(gather, lag=gather - 1, repeats=settings.timesteps if all_once else 1)


def _neuron(threshold: int, start: int, timing: CodeTiming, settings: Chosen) -> Neuron:
    how: dict[str, Any] = {"start_step": start, "potential_bits": settings.potential_bits}
    return WaitIntegrateAndFire(threshold, timing.gather, initial_potential=threshold // 2, **how)


def _pool(taps: int, start: int, settings: Chosen) -> Neuron:
    return IntegrateAndFire(1, reset="zero", start_step=start, potential_bits=settings.potential_bits)


ROW = CodeRow(
    levels=lambda timesteps: timesteps,
    timing=_timing,
    neuron=_neuron,
    pool=_pool,
    pool_base=1,
    source=rate_source,
    to_try=POWERS_OF_TWO,
    counts=True,
    gathers=True,
    finer=("radix", "graded"),
)
