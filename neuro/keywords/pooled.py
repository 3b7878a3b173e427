"""Payloads for synapses that learn: how a body's numbers become them, what is known of others, scores and thresholds.

Knows arrays and files; nothing of networks or chips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from neuro.bundles import load_parts, save_parts
from neuro.errors import FormatError, InputError

SHIPPED = "ten_words_pooled.safetensors"
NEAREST_KNOWN = 0.5  # what the nearest known word takes from a score
MOST_SENT = 255  # the largest payload
FALSE_ALARMS = 0.02  # at most, of recordings of other words
SURE = 0.8  # how sure a threshold is to keep to it


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """How a spotter's body is read, and what is known of recordings.

    Sums over time of all channels of `layers`, one layer after the other, are multiplied by `matrix` (channels, outputs);
    `means` (outputs,) is what that gives on average, `divisor` by how much of it a payload rises by 1. others (clips, 2 outputs):
    payloads of recordings of other words, by which the threshold of a new one is chosen; known (2 outputs, words): weights of
    words that are known. people (clips,): who speaks in each of the recordings, by number; empty: everybody is another.
    words and said: names of the known words and of what is said in the recordings, where they may be learned anew.
    """

    layers: tuple[str, ...]
    matrix: NDArray[np.int64]
    means: NDArray[np.int64]
    divisor: int
    others: NDArray[np.int64]
    known: NDArray[np.int64]
    people: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    words: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    def without(self, words: tuple[str, ...]) -> Pooled:
        """The same without what is known of these words, which are to be learned anew."""
        kept = np.array([word not in words for word in self.words], bool) if self.words else slice(None)
        heard = np.array([word not in words for word in self.said], bool) if self.said else slice(None)
        people = self.people[heard] if len(self.people) else self.people
        known, said = (tuple(w for w in names if w not in words) for names in (self.words, self.said))
        return replace(self, known=self.known[:, kept], others=self.others[heard], people=people, words=known, said=said)

    def payloads(self, sums: NDArray[np.int64]) -> NDArray[np.int64]:
        """What reaches the synapses, (clips, 2 outputs), of sums (clips, channels)."""
        above = sums @ self.matrix - self.means
        return np.asarray(np.clip(np.concatenate([above, -above], axis=1) // self.divisor, 0, MOST_SENT), np.int64)

    @staticmethod
    def of(parts: Mapping[str, Any]) -> Pooled:
        """From values by name, integers of any width."""
        wide: dict[str, Any] = {
            name: part.astype(np.int64) if isinstance(part, np.ndarray) else part for name, part in parts.items()
        }
        return Pooled(**wide)

    def parts(self) -> dict[str, Any]:
        """Values by name, arrays in as few bytes as they take."""
        return {part.name: _narrow(getattr(self, part.name)) for part in fields(self)}

    def save(self, path: Any) -> None:
        """Write it into one file."""
        save_parts(self.parts(), path, "pooled channels")

    @staticmethod
    def load(path: Any) -> Pooled:
        """Read a file that `save` wrote."""
        parts = load_parts(path, "pooled channels")
        try:
            return Pooled.of(parts)
        except TypeError as error:
            raise FormatError(str(path), f"it holds no pooled channels ({error})", "Make them again") from None


def _narrow(value: Any) -> Any:
    if not isinstance(value, np.ndarray) or not value.size:
        return value
    fits = (kind for kind in (np.uint8, np.int8, np.int32) if np.array_equal(value, value.astype(kind)))
    return value.astype(next(fits, np.int64))


def shipped_pooled() -> Pooled:
    """That of the shipped spotter, made by `python benchmarks/keywords_learning.py --pooled`."""
    with resources.as_file(resources.files("neuro.keywords").joinpath(SHIPPED)) as path:
        return Pooled.load(path)


def score(payloads: NDArray[np.int64], weights: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.float64]:
    """Scores (clips, words) of payloads (clips, n) by the weights (n, words) of new words and of those that are known."""
    return nearness(payloads @ weights, payloads @ known, payloads.sum(axis=1), weights, known)


def threshold(scores: NDArray[np.float64], people: NDArray[np.int64] | None = None) -> float:
    """The lowest score that lets no more than FALSE_ALARMS of other words through, given scores (n,) of n recordings of such.

    As many of them may pass it as leave the upper end of their share's interval (Clopper and Pearson, one side) within that. What
    one of the people (n,) says passes more often together than by chance; with them, as many recordings count as would leave the
    share as unsure if everybody was another. Raises InputError where there are no scores.
    """
    if not len(scores):
        raise InputError("threshold", "there are no recordings of other words", "Pass the scores of some")
    count, order = len(scores), np.argsort(scores)
    most = _most(count)
    if people is not None and len(people):
        spread = [_together(people, order[count - passing :]) for passing in range(most + 1)]
        most = max((n for n in range(most + 1) if n <= _most(count / spread[n]) * spread[n]), default=0)
    return float(scores[order[count - 1 - max(0, most)]])


def _most(recordings: float) -> int:
    """How many of so many recordings may pass; -1 where so few say nothing, even if none does."""
    passing = np.arange(int(recordings))
    return int((betaincinv(passing + 1, int(recordings) - passing, SURE) <= FALSE_ALARMS).sum()) - 1


def _together(people: NDArray[np.int64], passing: NDArray[np.int64]) -> float:
    """By how much the variance of the share that passes exceeds that of as many people, 1 or more."""
    share, count = len(passing) / len(people), len(people)
    each, said = np.bincount(people), np.bincount(people[passing], minlength=int(people.max()) + 1)
    among = float(((said - share * each) ** 2).sum()) * len(each) / max(1, len(each) - 1)
    return max(1.0, among / (count * share * (1 - share))) if 0 < share < 1 else 1.0


def nearness(new: Any, known: Any, total: Any, weights: Any, known_weights: Any) -> NDArray[np.float64]:
    """Products with weights, each over the length of the weights, and over the sum (clips,) of the payloads."""
    lengths = [np.maximum(1.0, np.sqrt((w.astype(np.float64) ** 2).sum(axis=0))) for w in (weights, known_weights)]
    nearest = (known / lengths[1]).max(axis=1, initial=0.0)
    return np.asarray((new / lengths[0] - NEAREST_KNOWN * nearest[:, None]) / np.maximum(1, total)[:, None], np.float64)
