"""From a corpus to a trained spotter's float network: augmented batches, normalised features, seeds. Knows no torch itself.

Augmentation is drawn again for every clip and epoch; the same settings, corpus and seed give the same batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuro.errors import UsageError
from neuro.keywords import model as networks
from neuro.keywords.augment import Augmentation, Generator, augment
from neuro.keywords.corpus import SILENCE, Corpus, recordings_of
from neuro.keywords.features import FeatureSettings, Floats, extract, extract_all, to_float
from neuro.keywords.spotter import Normalisation

FEATURES = {
    "separable": FeatureSettings(),
    "multilayer": FeatureSettings(window=1_024, hop=1_024, fft=1_024, bands=26, coefficients=26),
}
_STATISTICS_CLIPS = 2_000


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How to train: the kind of network, clips shown in all, and what is done to them."""

    kind: str = "separable"
    clips: int = 120_000
    batch: int = 64
    learning_rate: float = 4e-3
    mixup: float = 0.5
    masked: bool = True
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in FEATURES:
            raise UsageError(f"model {self.kind!r}", "there is none of that name", f"Use {' or '.join(FEATURES)}")
        if self.batch < 2 or self.clips < self.batch:
            raise UsageError(
                "training settings",
                f"{self.clips} clips in batches of {self.batch}",
                "Use batches of 2 or more, and enough clips",
            )
        if not 0 <= self.mixup <= 1:
            raise UsageError("training settings", f"mixup = {self.mixup}", "Use a share, 0 to 1")


@dataclass(frozen=True, slots=True)
class Trained:
    """A float network with all it needs to be fed, and normalised features for calibration."""

    network: Any  # a torch.nn.Module
    features: FeatureSettings
    normalisation: Normalisation
    classes: tuple[str, ...]
    calibration: Floats


def train(corpus: Corpus, training: TrainingSettings, progress: networks.Progress | None = None) -> Trained:
    """A network trained on all clips of a corpus; hold speakers out before."""
    settings = FEATURES[training.kind]
    rng = np.random.default_rng(training.seed)
    backgrounds = recordings_of(corpus, SILENCE)
    chosen = rng.choice(len(corpus), min(len(corpus), _STATISTICS_CLIPS), replace=False)
    varied = _features(map(to_float, corpus.audio[chosen]), training, backgrounds, rng)
    normalisation = _normalisation(varied)
    network = networks.build(training.kind, settings.size, varied.shape[1], len(corpus.classes), training.seed)
    batches = _batches(corpus, training, normalisation, backgrounds, rng)
    networks.fit(
        network,
        batches,
        training.clips // training.batch,
        learning_rate=training.learning_rate,
        seed=training.seed,
        progress=progress,
    )
    plain = normalisation(extract_all(settings, corpus.audio[chosen[:512]]))
    return Trained(network, settings, normalisation, corpus.classes, plain)


def _normalisation(features: Floats) -> Normalisation:
    """Mean 0 and deviation 1 of each value over clips and frames."""
    spread = np.maximum(features.std(axis=(0, 1)), 1e-3)
    return Normalisation(features.mean(axis=(0, 1)).astype(np.float32), (1 / spread).astype(np.float32))


def _features(clips: Iterable[Floats], training: TrainingSettings, backgrounds: Floats, rng: Generator) -> Floats:
    settings = FEATURES[training.kind]
    return np.stack([extract(settings, augment(clip, training.augmentation, backgrounds, rng)) for clip in clips])


def _batches(
    corpus: Corpus, training: TrainingSettings, normalisation: Normalisation, backgrounds: Floats, rng: Generator
) -> Iterator[networks.Batch]:
    targets = np.eye(len(corpus.classes), dtype=np.float32)[corpus.labels]
    while True:
        order = rng.permutation(len(corpus))
        if len(order) < training.batch:
            order = np.resize(order, training.batch)
        for start in range(0, len(order) - training.batch + 1, training.batch):
            rows = order[start : start + training.batch]
            x = normalisation(_features(map(to_float, corpus.audio[rows]), training, backgrounds, rng))
            y = targets[rows]
            if training.masked:
                x = _masked(x, rng)
            yield _mixed(x, y, rng) if rng.random() < training.mixup else (x, y)


def _masked(x: Floats, rng: Generator) -> Floats:
    """A stretch of frames and a stretch of values of each clip set to the mean (SpecAugment)."""
    x = x.copy()
    for clip in x:
        for axis, share in ((0, 0.18), (1, 0.2)):
            width = int(rng.integers(0, max(1, round(share * clip.shape[axis]))))
            start = int(rng.integers(0, clip.shape[axis] - width + 1))
            clip[(slice(None),) * axis + (slice(start, start + width),)] = 0
    return x


def _mixed(x: Floats, y: Floats, rng: Generator) -> networks.Batch:
    """Each clip blended with another, targets likewise (mixup)."""
    share, other = np.float32(rng.beta(0.4, 0.4)), rng.permutation(len(x))
    return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]
