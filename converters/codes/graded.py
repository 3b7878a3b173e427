"""Graded: a value is the payload of one message. Lossless, one step a layer; the chip's messages must carry numbers."""

from __future__ import annotations

from converters.codes.row import Chosen, CodeRow, CodeTiming
from neuro.neurons import Graded, MaxPool, Neuron


def _timing(settings: Chosen, all_once: bool) -> CodeTiming:
    return CodeTiming(gather=1 if all_once else settings.timesteps)


def _neuron(threshold: int, start: int, timing: CodeTiming, settings: Chosen) -> Neuron:
    return Graded(threshold, settings.levels, bias=threshold // 2, start_step=start)


ROW = CodeRow(
    levels=lambda timesteps: 255,
    timing=_timing,
    neuron=_neuron,
    pool=lambda taps, start, settings: MaxPool(taps, "turns", start_step=start),
    pool_base=None,
    to_try=(1,),
)
