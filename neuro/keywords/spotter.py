"""Spotter: a trained keyword network as float graph and as spikes, with its features, words and threshold. One safetensors file.

Knows networks and features; knows nothing of corpora or of training.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.bundles import load_parts, save_parts
from neuro.encoding import source_of
from neuro.engine.records import Run
from neuro.engine.run import run
from neuro.errors import FormatError, InputError, NeuroError, RangeWarning
from neuro.framewise import frame_by_frame
from neuro.graph import Graph
from neuro.keywords.augment import fit
from neuro.keywords.features import FeatureSettings, Floats, extract
from neuro.network import Network

SHIPPED = "ten_words.safetensors"


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What a network sees of features (..., size): (features - mean) * factor, each (size,)."""

    mean: Floats
    factor: Floats

    def __post_init__(self) -> None:
        if self.mean.shape != self.factor.shape or self.mean.ndim != 1:
            raise InputError("normalisation", f"mean {self.mean.shape}, factor {self.factor.shape}", "Pass both as (size,)")

    def __call__(self, features: Floats) -> Floats:
        return np.asarray((features - self.mean) * self.factor, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Spotter:
    """`network` takes inputs (clips, size, frames) of normalised features and gives one logit per class.

    `threshold`: the posterior from which a keyword counts as heard. `card`: what it was trained on and how well it does.
    """

    network: Network
    graph: Graph
    features: FeatureSettings
    normalisation: Normalisation
    classes: tuple[str, ...]
    threshold: float = 0.5
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.classes or not all(isinstance(name, str) and name for name in self.classes):
            raise InputError("spotter", f"0 words, or words that are no text: {self.classes!r}", "Name every class")
        size, outputs = self.normalisation.mean.size, sum(p.size for p in self.network.readouts)
        shape = self.graph.inputs[0].shape
        if size != self.features.size or len(shape) != 2 or shape[0] != size or outputs != len(self.classes):
            raise InputError(
                "spotter",
                f"network of {shape} to {outputs}, {size} features, {len(self.classes)} words",
                "Take parts that belong together",
            )
        if not 0 < self.threshold < 1:
            raise InputError("spotter", f"threshold {self.threshold}", "Use a share between 0 and 1")

    @property
    def keywords(self) -> tuple[str, ...]:
        return tuple(name for name in self.classes if not name.startswith("_"))

    @property
    def frames(self) -> int:
        """Frames in a window."""
        return int(self.graph.inputs[0].shape[1])

    def inputs(self, clips: NDArray[Any]) -> Floats:
        """Network inputs (clips, size, frames) of audio (clips, samples); cut or padded to one window."""
        length = self.features.samples(self.frames)
        rows = [
            self.normalisation(extract(self.features, fit(clip, length) if clip.size < length else clip[:length]))
            for clip in clips
        ]
        return np.ascontiguousarray(np.stack(rows).transpose(0, 2, 1))

    def framewise(self) -> tuple[Network, int]:
        """The network frame by frame, all of it on from the first step, and the steps from a window's last frame to its answer.
        NetworkError where it cannot go frame by frame."""
        network = frame_by_frame(self.network)
        at_once = tuple(replace(p, neuron=p.neuron.changed(start_step=0)) for p in network.populations)
        return replace(network, populations=at_once), network.readouts[0].neuron.start_step

    def within(self, inputs: Floats) -> Floats:
        """Normalised features, those beyond the calibrated range at its end: the ones of digital silence lie far below it."""
        source = source_of(self.network.sources[0])
        reach = source.levels * (source.scale or 1.0)
        return np.clip(inputs, -reach, reach)

    def run(self, clips: NDArray[Any], **options: Any) -> Run:
        """The spiking network on clips of audio (clips, samples); options as those of `neuro.run`."""
        with warnings.catch_warnings():
            # The features of digital silence lie far below all calibrated ones: they count as the quietest, as they should.
            warnings.simplefilter("ignore", RangeWarning)
            return run(self.network, self.inputs(clips), **options)

    def save(self, path: Any) -> None:
        """Write everything to one safetensors file."""
        parts = {
            "network": self.network,
            "graph": self.graph,
            "features": asdict(self.features),
            "mean": self.normalisation.mean,
            "factor": self.normalisation.factor,
            "classes": self.classes,
            "threshold": self.threshold,
            "card": dict(self.card),
        }
        save_parts(parts, path, "spotter")

    @staticmethod
    def load(path: Any) -> Spotter:
        """Read a file that `save` wrote; anything else is a FormatError."""
        parts = load_parts(path, "spotter")
        try:
            settings = FeatureSettings(**parts["features"])
            normalisation = Normalisation(np.asarray(parts["mean"], np.float32), np.asarray(parts["factor"], np.float32))
            known = {name: parts[name] for name in ("network", "graph", "classes", "threshold")}
            return Spotter(features=settings, normalisation=normalisation, card=dict(parts["card"]), **known)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise FormatError(str(path), f"it is no whole spotter ({error})", "Train and save it again") from None
        except NeuroError as error:
            raise FormatError(str(path), str(error), "Train and save it again") from None


def shipped() -> Spotter:
    """The spotter of ten command words that comes with the package."""
    with resources.as_file(resources.files("neuro.keywords").joinpath(SHIPPED)) as path:
        return Spotter.load(path)
