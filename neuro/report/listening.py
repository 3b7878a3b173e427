"""The figures of keyword spotting: what was heard over time, and the operating curve. Knows plain numbers only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from neuro.report.svg import COLOURS, INK, draw

_COLUMNS = 600  # of the audio's outline
_MOST_DOTS = 4_000


def heard(
    audio: NDArray[np.floating[Any]],
    rate: int,
    spikes: NDArray[np.integer[Any]],
    step_s: float,
    posteriors: Mapping[str, NDArray[np.floating[Any]]],
    detections: Sequence[tuple[str, float]],
) -> str:
    """Audio (samples,), messages of all neurons (steps, neurons) and smoothed posteriors {word: (steps,)} over the same seconds.

    `detections` (word, seconds) are marked; a step lasts `step_s`.
    """
    seconds = len(audio) / rate

    def paint(axes: Axes) -> None:
        figure: Any = axes.figure
        axes.remove()
        top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1.6, 1.2))
        _outline(top, audio, seconds)
        steps, neurons = np.nonzero(spikes)
        kept = np.random.default_rng(0).random(len(steps)) < _MOST_DOTS / max(1, len(steps))
        middle.plot(steps[kept] * step_s, neurons[kept], ",", color=COLOURS[0])
        middle.set(ylabel="neuron", ylim=(-1, spikes.shape[1]))
        for index, (word, share) in enumerate(posteriors.items()):
            bottom.plot(np.arange(len(share)) * step_s, share, color=COLOURS[index % len(COLOURS)], linewidth=1)
            for at in (at for name, at in detections if name == word):
                bottom.annotate(word, (at, 1.02), ha="center", va="bottom", fontsize=8, color=COLOURS[index % len(COLOURS)])
        bottom.set(ylabel="posterior", xlabel="seconds", ylim=(0, 1.25), xlim=(0, seconds))

    return draw("heard", "Audio, spikes and posteriors over time", paint, height_in=4.2)


def operating_curve(
    true_share: NDArray[np.floating[Any]], false_share: NDArray[np.floating[Any]], chosen: tuple[float, float]
) -> str:
    """True against false alarms over all thresholds, with the chosen point (true, false)."""

    def paint(axes: Axes) -> None:
        axes.plot(100 * np.asarray(false_share), 100 * np.asarray(true_share), color=COLOURS[0], linewidth=2)
        axes.plot(100 * chosen[1], 100 * chosen[0], "o", color=COLOURS[1], markersize=7)
        axes.annotate("chosen threshold", (100 * chosen[1], 100 * chosen[0]), (8, -12), textcoords="offset points", color=INK)
        axes.set(xlabel="other sounds taken for a keyword (%)", ylabel="keywords heard (%)", ylim=(0, 103))

    return draw("operating", "Operating curve", paint)


def _outline(axes: Axes, audio: NDArray[np.floating[Any]], seconds: float) -> None:
    """The largest and smallest sample of each of some hundred stretches."""
    columns = max(1, min(_COLUMNS, len(audio)))
    edges = np.linspace(0, len(audio), columns + 1).astype(int)[:-1]
    high, low = (extreme.reduceat(audio, edges) if len(audio) else np.zeros(1) for extreme in (np.maximum, np.minimum))
    axes.fill_between(np.linspace(0, seconds, len(high)), low, high, color=COLOURS[7], linewidth=0)
    axes.set(ylabel="audio", yticks=[])
