"""From words to a finished spotter: gather clips, train, convert, choose the threshold, measure on speakers never heard.

The one file of this room that calls the converters. Knows nothing of terminals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.codes import CODES
from neuro.errors import UsageError
from neuro.keywords import corpus as corpora
from neuro.keywords.corpus import SILENCE, UNKNOWN, Corpus
from neuro.keywords.evaluation import OperatingCurve, accuracy, choose_threshold, confusion, operating_curve
from neuro.keywords.model import Progress
from neuro.keywords.spotter import Spotter
from neuro.keywords.synthesis import NEAR, scripts, synthesise
from neuro.keywords.training import Trained, TrainingSettings, train

PARTS = ("train", "val", "test")
Report = Callable[[str, int, int], None]  # what is being done, how far, of how much
SYNTHETIC_CLIPS = 600


@dataclass(frozen=True, slots=True)
class PartResult:
    """How a spotter did on one part of a corpus, as float network and as spikes.

    `true` and `false`: shares of keyword clips heard as their word and of other clips taken for a keyword, at the spotter's
    threshold, (ANN, spikes). `near_false`: the latter for near misses, texts made to sound almost as the word.
    """

    clips: int
    speakers: int
    accuracy_ann: float
    accuracy_spikes: float
    true: tuple[float, float]
    false: tuple[float, float]
    near_false: tuple[float, float] | None
    confusion: NDArray[np.int64]
    curve: OperatingCurve
    spikes: float  # messages an inference
    synops: float


@dataclass(frozen=True, slots=True)
class TrainedSpotter:
    """A finished spotter and how it does on each part it was not trained on."""

    spotter: Spotter
    heard: Mapping[str, PartResult]


def gather(
    words: Sequence[str], data: Any = None, *, clips: int = SYNTHETIC_CLIPS, seed: int = 0, stage: Report | None = None
) -> dict[str, Corpus]:
    """Corpora train, val and test without a common speaker.

    data: None for synthesised speech, a folder laid out as Speech Commands, an .npz, or a folder of *_train.npz, *_val.npz
    and *_test.npz. clips: synthesised clips a word.
    """
    if data is None:
        return _synthesised(words, clips, seed, stage)
    path = Path(data)
    packed = {part: sorted(path.glob(f"*_{part}.npz")) for part in PARTS} if path.is_dir() else {}
    if packed and all(packed.values()):
        return {part: corpora.read_arrays(files[0], words or None) for part, files in packed.items()}
    if path.suffix == ".npz":
        return corpora.split(with_others(corpora.read_arrays(path, words or None), seed))
    reading = (lambda done, of: stage("reading", done, of)) if stage else None
    return corpora.split(with_others(corpora.read_folder(path, words, progress=reading), seed))


def with_others(corpus: Corpus, seed: int = 0) -> Corpus:
    """The corpus, with silence added where it has none; refused where it has no other words to tell the keywords from."""
    if not corpus.of_class(UNKNOWN).any():
        raise UsageError("corpus", "it holds no words but the keywords", "Add folders of other words, a hundred clips or more")
    if corpus.of_class(SILENCE).any():
        return corpus
    clips = max(3, len(corpus) // 12)
    return corpus + corpora.silence(clips, corpus.classes, samples=corpus.audio.shape[1], seed=seed)


def make(
    parts: Mapping[str, Corpus],
    training: TrainingSettings,
    *,
    code: str = "graded",
    card: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    stage: Report | None = None,
) -> TrainedSpotter:
    """Train on "train" (thinned of other words), choose the threshold on "val", measure on "val" and "test"."""
    heard_in_training = corpora.thinned(parts["train"], seed=training.seed)
    trained = train(heard_in_training, training, progress)
    spotter = convert(trained, code=code)
    plain = parts["val"].take(~near_misses_in(parts["val"]))
    curve = operating_curve(spotter.run(plain.audio).logits, plain.labels, len(spotter.keywords))
    spotter = replace(spotter, threshold=choose_threshold(curve))
    heard = {}
    for done, name in enumerate(("val", "test")):
        if stage:
            stage("listening", done, 2)
        heard[name] = listen_to(spotter, parts[name])
    facts = {
        "model": training.kind,
        "code": code,
        "train_clips": len(heard_in_training),
        "train_speakers": len(set(heard_in_training.speakers)),
        "seed": training.seed,
        **{
            f"{part}_{key}": getattr(h, key)
            for part, h in heard.items()
            for key in ("clips", "speakers", "accuracy_ann", "accuracy_spikes")
        },
    }
    return TrainedSpotter(replace(spotter, card={**facts, **(card or {})}), heard)


def convert(trained: Trained, *, code: str = "graded", threshold: float = 0.5) -> Spotter:
    """The spotter of a trained network. Code "graded" by default: one message a neuron and frame, the only code whose
    neurons keep nothing between steps, so that the same weights work on a stream; "radix" for chips without payloads."""
    import converters

    samples = np.ascontiguousarray(trained.calibration.transpose(0, 2, 1))
    timesteps = min(16, CODES[code].most_timesteps) if code in CODES else 16
    made = converters.convert(trained.network, samples, code=code, timesteps=timesteps)  # type: ignore[arg-type]  # it checks
    return Spotter(made.network, made.graph, trained.features, trained.normalisation, trained.classes, threshold)


def float_logits(spotter: Spotter, audio: NDArray[Any]) -> NDArray[np.float32]:
    """What the spotter's own float network says of clips (clips, samples)."""
    from converters.evaluation import logits

    return logits(spotter.graph, spotter.inputs(audio))


def listen_to(spotter: Spotter, corpus: Corpus) -> PartResult:
    """How the float network and the spikes do on a corpus."""
    ann, run = float_logits(spotter, corpus.audio), spotter.run(corpus.audio)
    keywords = len(spotter.keywords)
    near = near_misses_in(corpus)
    curves = [operating_curve(x[~near], corpus.labels[~near], keywords) for x in (ann, run.logits)]
    shares = [curve.at(spotter.threshold) for curve in curves]
    missed = None
    if near.any():
        either = near | (corpus.labels < keywords)
        pair = [operating_curve(x[either], corpus.labels[either], keywords).at(spotter.threshold)[1] for x in (ann, run.logits)]
        missed = (pair[0], pair[1])
    return PartResult(
        clips=len(corpus),
        speakers=len(set(corpus.speakers)),
        accuracy_ann=accuracy(ann, corpus.labels),
        accuracy_spikes=accuracy(run.logits, corpus.labels),
        true=(shares[0][0], shares[1][0]),
        false=(shares[0][1], shares[1][1]),
        near_false=missed,
        confusion=confusion(run.logits, corpus.labels),
        curve=curves[1],
        spikes=run.messages / len(corpus),
        synops=run.synops / len(corpus),
    )


def near_misses_in(corpus: Corpus) -> NDArray[np.bool_]:
    """Mask (clips,) of the texts made to sound almost as a keyword."""
    return np.array([word.startswith(NEAR) for word in corpus.words])


def _synthesised(words: Sequence[str], clips: int, seed: int, stage: Report | None) -> dict[str, Corpus]:
    parts = {}
    for offset, (part, script) in enumerate(scripts(clips).items()):
        said = (lambda done, of, part=part: stage(f"speaking ({part})", done, of)) if stage else None
        parts[part] = synthesise(words, script, seed=seed * 3 + offset, progress=said)
    return parts
