"""How well a spotter does: posteriors, confusion, operating curve, the threshold. Pure functions of logits and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import InputError

Floats64 = NDArray[np.float64]
Labels = NDArray[np.int64]
FALSE_SHARE = 0.01  # what a threshold is chosen for


@dataclass(frozen=True, slots=True)
class OperatingCurve:
    """Share of keyword clips heard as their word, and of other clips heard as any keyword, at each threshold."""

    thresholds: Floats64
    true_share: Floats64
    false_share: Floats64

    def at(self, threshold: float) -> tuple[float, float]:
        """(true, false) shares at a threshold."""
        index = int(np.searchsorted(self.thresholds, threshold, side="left"))
        index = min(index, len(self.thresholds) - 1)
        return float(self.true_share[index]), float(self.false_share[index])


def posteriors(logits: NDArray[Any]) -> Floats64:
    """Softmax over the last axis."""
    shifted = np.asarray(logits, np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def accuracy(logits: NDArray[Any], labels: Labels) -> float:
    """Share of clips whose largest logit is their label's."""
    return float(np.mean(logits.argmax(axis=1) == labels))


def confusion(logits: NDArray[Any], labels: Labels) -> NDArray[np.int64]:
    """Clips (true class, class heard)."""
    classes = logits.shape[1]
    return np.bincount(labels * classes + logits.argmax(axis=1), minlength=classes**2).reshape(classes, classes)


def operating_curve(logits: NDArray[Any], labels: Labels, keywords: int) -> OperatingCurve:
    """The curve over thresholds 0.01 to 0.99 on the posterior; the first `keywords` classes are keywords.

    A clip is heard as a keyword when that has the largest logit and its posterior reaches the threshold.
    """
    is_keyword = labels < keywords
    if not is_keyword.any() or is_keyword.all():
        raise InputError("operating curve", "clips of only one kind", "Pass keywords and other sounds")
    heard, share = logits.argmax(axis=1), posteriors(logits).max(axis=1)
    thresholds = np.arange(1, 100) / 100
    said = (heard < keywords) & (share >= thresholds[:, None])
    true = (said & (heard == labels))[:, is_keyword].mean(axis=1)
    false = said[:, ~is_keyword].mean(axis=1)
    return OperatingCurve(thresholds, true, false)


def choose_threshold(curve: OperatingCurve, false_share: float = FALSE_SHARE) -> float:
    """The lowest threshold at which no more than `false_share` of other sounds are taken for a keyword, at least 0.5."""
    good = (curve.false_share <= false_share) & (curve.thresholds >= 0.5)
    return float(curve.thresholds[good][0]) if good.any() else float(curve.thresholds[-1])
