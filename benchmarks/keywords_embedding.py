"""How well words are learned on the chip from what another body says of them: a network that was trained on many words elsewhere.

    python -m benchmarks.keywords_embedding EMBEDDING.onnx [--data ../shared/data/speech_commands] [--draws 4] [--unseen FILE]
                                            [--cache FILE.npz] [--spikes CLIPS]

EMBEDDING.onnx takes 76 frames of 32 log-mel values (0.76 s) and gives 96 numbers, as Google's speech embedding. It runs in float
on the host (onnxruntime). The largest of each number over the windows of a recording, made as little correlated within a word as
possible, goes to the chip as payloads above and below the usual value; the chip learns as it does behind the spotter's body. Half
of what the nearest of the train part's other words has is taken from a score, as there of the nearest of the ten.
The protocol is that of benchmarks/keywords_learning.py: twelve words, or with --unseen (the file which that made) every second
one of the ten. --spikes: also converts the body and compares spikes with the float network, on windows of some recordings.
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import neuro
from benchmarks.keywords_learning import LESSONS, UNSEEN, WORDS, cost_of, in_float, measure, relabelled, report, retrained
from neuro.keywords.corpus import SILENCE, Corpus, read_arrays
from neuro.keywords.making import float_logits
from neuro.keywords.spotter import Spotter, shipped
from neuro.keywords.teaching import MOST_PAYLOAD, WHOLE, score
from neuro.learning import prototype

HERE = Path(__file__).parent.parent
WINDOW, EVERY = 76, 8  # frames that the body sees, and from one window to the next
FRAME, HOP, FFT, BANDS, LOW_HZ, HIGH_HZ = 400, 160, 512, 32, 60, 3_800
QUIET = 4_000  # samples of faint noise before and after a recording
UNIT, SHRINK = 25, 0.1  # payloads for one deviation within a word; what is added to the smallest deviations


def slaney(hz: Any) -> Any:
    """Mel by Slaney: straight below 1,000 Hz, logarithmic above."""
    hz = np.asarray(hz, np.float64)
    return np.where(hz < 1_000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1_000) / np.log(6.4))


@cache
def filters() -> Any:
    """Triangles in Hz (bins, BANDS), each of area 1."""
    mel = np.linspace(slaney(LOW_HZ), slaney(HIGH_HZ), BANDS + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1_000 * np.exp((mel - 15) * np.log(6.4) / 27))
    hz = np.linspace(0, 8_000, FFT // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    return np.maximum(0, np.minimum((hz - left) / (centre - left), (right - hz) / (right - centre))) * 2 / (right - left)


def windows(clip: Any, rng: np.random.Generator) -> Any:
    """The body's inputs (windows, WINDOW, BANDS, 1) for samples (n,) int16."""
    around = rng.normal(0, 2, (2, QUIET))
    samples = np.concatenate([around[0], clip, around[1]])
    frames = np.lib.stride_tricks.sliding_window_view(samples, FFT)[::HOP]
    hann = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME), (FFT - FRAME) // 2)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2 @ filters()
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    mels = np.maximum(decibels, decibels.max() - 80) / 10 + 2
    starts = range(EVERY, len(mels) - WINDOW - EVERY + 1, EVERY)
    return np.stack([mels[at : at + WINDOW] for at in starts])[..., None].astype(np.float32)


def embedded(path: Path, corpora: dict[str, Corpus], kept: Path | None) -> dict[str, Any]:
    """The largest of each of the body's numbers over the windows of each recording, (clips, 96) for each part."""
    if kept and kept.exists():
        with np.load(kept) as arrays:
            return dict(arrays)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    body = onnxruntime.InferenceSession(path, options)
    name, rng, found = body.get_inputs()[0].name, np.random.default_rng(0), {}
    for part, corpus in corpora.items():
        rows = [body.run(None, {name: windows(clip, rng)})[0] for clip in corpus.audio]
        found[part] = np.stack([row.reshape(len(row), -1).max(axis=0) for row in rows])
        print(f"{part}: {len(rows)} recordings", flush=True)
    if kept:
        np.savez(kept, **found)
    return found


def payloads_of(numbers: dict[str, Any], train: Corpus, hidden: tuple[str, ...]) -> dict[str, Any]:
    """Payloads (clips, 192) of each part; a matrix whitens the numbers within the words of the train part that are not hidden."""
    words = np.array(train.words)
    said = [(words == word) for word in sorted({*words} - {*hidden, SILENCE})]
    heard = ~np.isin(words, hidden)
    usual, spread = numbers["train"][heard].mean(axis=0), numbers["train"][heard].std(axis=0) + 1e-3
    inside = np.concatenate([(numbers["train"][word] - numbers["train"][word].mean(axis=0)) / spread for word in said])
    values, vectors = np.linalg.eigh(inside.T @ inside / len(inside))
    matrix = vectors / np.sqrt(values + SHRINK * values.mean()) / spread[:, None]
    above = {part: np.floor(UNIT * (rows - usual) @ matrix) for part, rows in numbers.items()}
    return {part: np.clip(np.concatenate([rows, -rows], axis=1), 0, 255).astype(np.int64) for part, rows in above.items()}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the recordings, with what `measure` asks of it."""

    words: Any
    payloads: Any
    right: Any
    known: Any


def taught(lessons: Any, known: Any, chip: neuro.Chip) -> tuple[Any, Any]:
    """Weights (payloads, 1) after one lesson for each row of payloads (lessons, payloads), and what the chip did."""
    size, words = lessons.shape[1], neuro.Graded(1, MOST_PAYLOAD)
    rule = replace(prototype("teacher", -1, sign="excitatory"), epoch=2)
    network = neuro.Network(
        (
            neuro.Population("pool", (size,), neuro.Source(levels=255)),
            neuro.Population("teacher", (1,), neuro.Source(levels=127)),
            neuro.Population("words", (1,), words),
            neuro.Population("known", (known.shape[1],), words),
            neuro.Population("sum", (1,), words),
        ),
        (
            neuro.Dense("pool", "words", np.zeros((size, 1), np.int32), rule=rule),
            neuro.Dense("pool", "known", known.astype(np.int32)),
            neuro.Dense("pool", "sum", np.ones((size, 1), np.int32)),
        ),
    )
    rates = np.maximum(1, np.rint(WHOLE / np.arange(1, len(lessons) + 1)))[:, None, None]
    sent = {"pool": lessons[:, None], "teacher": rates}
    inputs = {name: np.concatenate([given, 0 * given], axis=1).astype(np.int32) for name, given in sent.items()}
    chip_run = neuro.emulate(neuro.place(network, chip), inputs, timesteps=2)
    learned = next(p for p in chip_run.run.learned.projections if p.rule is not None)
    return np.asarray(learned.weights, np.int64), chip_run


def compare(payloads: dict[str, Any], corpora: dict[str, Corpus], spotter: Spotter, words: tuple[str, ...], draws: int) -> Any:
    """Each word learned in each way from some draws of lessons: a row for each."""
    chip, rng, found = neuro.load_chip("loihi2"), np.random.default_rng(0), []
    right = float_logits(spotter, corpora["test"].audio).argmax(axis=1) == corpora["test"].labels
    parts = {
        part: Part(np.array(corpus.words), payloads[part], right, corpus.labels < len(spotter.keywords))
        for part, corpus in corpora.items()
    }
    train, hidden = parts["train"], words if words is UNSEEN else ()
    heard = [word for word in sorted({*train.words} - {SILENCE, *hidden})]
    for word in words:
        means = [train.payloads[train.words == other].mean(axis=0) / 2 for other in heard if other != word]
        known = np.rint(np.stack(means, axis=1)).astype(np.int64)
        others = train.payloads[(train.words != word) & ~np.isin(train.words, hidden)]
        for draw, count in itertools.product(range(draws), LESSONS):
            lessons = train.payloads[rng.permutation(np.flatnonzero(train.words == word))[:count]]
            weights, chip_run = taught(lessons, known, chip)
            ways = {"chip": lambda rows, w=weights, k=known: score(rows, w, k)[:, 0], "float": in_float(lessons, known)}
            if count == LESSONS[1] and draw < 2:
                ways["retrained"] = retrained(lessons, others)
            costs = cost_of(chip_run, len(lessons))
            for way, score_of in ways.items():
                row = {"word": word, "draw": draw, "asked": count, "way": way} | measure(
                    score_of, word, parts["val"], parts["test"]
                )
                found.append(row | (costs if way == "chip" else {}))
    return found


def as_spikes(path: Path, corpora: dict[str, Corpus], clips: int) -> None:
    """The body converted with windows of the train part, against its float network on windows of the test part."""
    import converters
    from converters.evaluation import logits

    rng = np.random.default_rng(0)
    drawn = {
        part: np.concatenate([windows(clip, rng)[rng.integers(7)][None] for clip in rng.permutation(corpora[part].audio)[:count]])
        for part, count in (("train", 48), ("test", clips))
    }
    graph = converters.read_onnx(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = converters.convert(graph, drawn["train"], code="graded", timesteps=16)
    run, expected = neuro.run(made.network, drawn["test"]), logits(graph, drawn["test"])
    alike = np.corrcoef(run.logits.reshape(clips, -1).ravel(), expected.reshape(clips, -1).ravel())[0, 1]
    print(f"body as spikes: correlation {alike:.4f} with the float network on {clips} windows")
    cores = neuro.place(made.network, neuro.load_chip("loihi2")).cores_used
    print(
        f"a window: {run.synops / clips:,.0f} synaptic operations, {run.messages / clips:,.0f} messages; {cores} cores of loihi2"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("embedding", type=Path)
    options.add_argument("--data", type=Path, default=HERE.parent / "shared" / "data" / "speech_commands")
    options.add_argument("--draws", type=int, default=4)
    options.add_argument("--unseen", type=Path, metavar="FILE")
    options.add_argument("--cache", type=Path, metavar="FILE.npz")
    options.add_argument("--spikes", type=int, metavar="CLIPS", default=0)
    given = options.parse_args()
    corpora = {part: read_arrays(given.data / f"scv2_{part}.npz") for part in ("train", "val", "test")}
    numbers = embedded(given.embedding, corpora, given.cache)
    spotter, words = (Spotter.load(given.unseen), UNSEEN) if given.unseen else (shipped(), WORDS)
    payloads = payloads_of(numbers, corpora["train"], UNSEEN if given.unseen else ())
    corpora = {part: relabelled(corpus, spotter.classes) for part, corpus in corpora.items()}
    report(compare(payloads, corpora, spotter, words, given.draws), words)
    print("the body and the largest of its numbers are not in a lesson's energy: they are the host's")
    if given.spikes:
        as_spikes(given.embedding, corpora, given.spikes)


if __name__ == "__main__":
    main()
