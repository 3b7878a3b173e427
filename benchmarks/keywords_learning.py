"""How well a spotter learns further words on the chip: heard, false alarms, forgetting, joules; and the same in float.

    python benchmarks/keywords_learning.py [--data ../shared/data/speech_commands] [--draws 10] [--json FILE]
    python benchmarks/keywords_learning.py --pooled      # writes neuro/keywords/ten_words_pooled.safetensors
    python benchmarks/keywords_learning.py --unseen FILE # the same with a body that has never heard the words; trains it where
                                                         # there is no such file

Words: those of Speech Commands that the shipped spotter has no class for; its body was trained with the train part, in which
these words are "unknown": it has heard them, under that name. With --unseen, every second one of the ten words, of which a body
trained like the shipped one, with fewer clips, has heard no recording.
Lessons are clips of speakers of the train part. Thresholds are chosen on the val part for at most 2 % false alarms, by the
interval of their share; all that is reported is of the test part, whose speakers are in neither.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import neuro
from neuro.keywords import making
from neuro.keywords.corpus import UNKNOWN, Corpus, read_arrays
from neuro.keywords.embedding import UNIT, whitening
from neuro.keywords.features import to_float
from neuro.keywords.head import WORDS as NEW
from neuro.keywords.pooled import SHIPPED, Pooled, score, shipped_pooled, threshold
from neuro.keywords.spotter import Spotter, shipped
from neuro.keywords.teaching import Taught
from neuro.keywords.training import TrainingSettings

HERE = Path(__file__).parent.parent
WORDS = ("eight", "six", "three", "five", "nine", "one", "seven", "zero", "happy", "sheila", "two", "four")
LESSONS = (1, 5, 20)
UNSEEN = ("go", "no", "on", "stop", "yes")
CLIPS = 80_000  # shown to a body that has never heard them
OTHERS = 400  # recordings that choose a threshold
# How a body is read; chosen on the val part, with the body that has never heard the words.
LAYERS = slice(2, None, 2)
BATCH = 128


def in_batches(corpus: Corpus, of: Callable[[Any], Any]) -> Any:
    return np.concatenate([of(to_float(corpus.audio[i : i + BATCH])) for i in range(0, len(corpus), BATCH)])


def relabelled(part: Corpus, classes: tuple[str, ...]) -> Corpus:
    """The part with the classes of a spotter; what it does not know is unknown."""
    labels = np.array([classes.index(word if word in classes else UNKNOWN) for word in part.words])
    return Corpus(part.audio, labels, part.speakers, part.words, classes, part.rate)


def without_unseen(parts: dict[str, Corpus]) -> dict[str, Corpus]:
    classes = tuple(word for word in parts["train"].classes if word not in UNSEEN)
    return {
        name: relabelled(part.take(np.array([word not in UNSEEN for word in part.words])), classes)
        for name, part in parts.items()
    }


def pooled_of(spotter: Spotter, train: Corpus, val: Corpus) -> Pooled:
    """What is learned once, of the words that the spotter knows: how its body's channels vary within a word, and its weights.

    The matrix whitens the means over time of LAYERS' channels within words of the train part; of its outputs those are kept that
    vary most.
    """
    layers = [p.name for p in spotter.network.populations if not (p.neuron.is_source or p.neuron.is_readout)][LAYERS]
    frames = np.concatenate([np.full(spotter.network[name].shape[0], spotter.network[name].shape[1]) for name in layers])

    def summed(clips: Any) -> Any:
        raster = spotter.run(clips, record=tuple(f"raster:{name}" for name in layers)).raster
        sums = [raster[name].sum(axis=1).reshape(len(clips), *spotter.network[name].shape).sum(axis=2) for name in layers]
        return np.concatenate(sums, axis=1)

    keywords = [np.array(train.words) == word for word in spotter.keywords]
    sums = in_batches(train, summed)
    matrix, scale = whitening(sums, keywords, frames)
    means = np.rint(sums.mean(axis=0) @ matrix).astype(np.int64)
    none = np.zeros((2 * matrix.shape[1], 1), np.int64)
    pooled = Pooled(tuple(layers), matrix, means, max(1, round(scale / UNIT)), none.T, none)
    reader = Taught.of(spotter, ("new",), pooled)
    payloads = in_batches(train, reader.payloads)
    known = np.stack([payloads[said].mean(axis=0) / 2 for said in keywords], axis=1)
    others = in_batches(val, reader.payloads)
    chosen = np.sort(np.random.default_rng(0).permutation(len(others))[:OTHERS])
    return replace(pooled, others=others[chosen], known=np.rint(known).astype(np.int64))


class Part:
    """One part of the recordings: words said, payloads at the synapses; of the test part what the spotter hears by itself."""

    def __init__(self, corpus: Corpus, empty: Taught, test: bool) -> None:
        self.corpus, self.words = corpus, np.array(corpus.words)
        self.people = None  # as the shipped spotter's thresholds, which count recordings
        self.payloads = in_batches(corpus, empty.payloads)
        heard = in_batches(corpus, lambda clips: empty.spotter.run(clips).predictions) if test else np.zeros(len(corpus))
        self.right = heard == corpus.labels
        self.known = corpus.labels < len(empty.spotter.keywords)


def cost_of(chip_run: Any, lessons: int) -> dict[str, float]:
    """What a lesson takes: dynamic energy, that of learning among it, and updates of synapses."""
    parts = [part for part in chip_run.bill.parts if part.kind == "dynamic"]
    return {
        "lesson_pj": sum(part.energy_pj or 0.0 for part in parts),
        "learning_pj": sum(part.energy_pj or 0.0 for part in parts if part.name == "learning"),
        "updates": chip_run.run.synaptic_updates / lessons,
    }


def measure(score_of: Callable[[Any], Any], word: str, val: Any, test: Any) -> dict[str, float]:
    """Of the test part: the word heard, false alarms, and what known words lose."""
    others = val.words != word
    limit = threshold(score_of(val.payloads)[others], None if val.people is None else val.people[others])
    fired = score_of(test.payloads) > limit
    said, known = test.words == word, test.known
    return {
        "clips": int(said.sum()),
        "heard": int(fired[said].sum()),
        "false_alarms": float(fired[~said].mean()),
        "lost_points": float(100 * (test.right & fired)[known].mean()),
    }


def on_chip(empty: Taught, word: str, clips: Any, pooled: Pooled, placement: neuro.Placement) -> tuple[Callable[[Any], Any], Any]:
    taught, chip_run = empty.teach(word, clips, placement.chip, pooled, placement=placement)
    return (lambda payloads: score(payloads, taught.weights, taught.known)[:, 0]), chip_run


def in_float(lessons: Any, known: Any) -> Callable[[Any], Any]:
    """The same rule without rounding: the mean of the lessons' payloads."""
    mean = lessons.mean(axis=0)[:, None]
    return lambda payloads: score(payloads, mean, known)[:, 0]


def retrained(lessons: Any, others: Any) -> Callable[[Any], Any]:
    """The last layer trained anew in float, on the lessons against the recordings of the train part (logistic regression)."""
    spread = others.std(axis=0) + 1e-3

    def rows(payloads: Any) -> Any:
        scaled = payloads / spread
        return scaled / np.maximum(1e-9, np.linalg.norm(scaled, axis=1, keepdims=True))

    new, old = rows(lessons), rows(others)
    weights, bias = np.zeros(new.shape[1]), -3.0
    for _ in range(400):
        wrong_new = 1 - 1 / (1 + np.exp(-(8 * new @ weights + bias)))
        wrong_old = 1 / (1 + np.exp(-(8 * old @ weights + bias)))
        weights += 0.5 * (8 * (0.2 * wrong_new @ new / len(new) - wrong_old @ old / len(old))) - 0.005 * weights
        bias += 0.5 * (0.2 * wrong_new.mean() - wrong_old.mean())
    return lambda payloads: rows(payloads) @ weights


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=HERE.parent / "shared" / "data" / "speech_commands")
    options.add_argument("--draws", type=int, default=10)
    options.add_argument("--json", type=Path)
    options.add_argument("--pooled", action="store_true")
    options.add_argument("--unseen", type=Path, metavar="FILE")
    given = options.parse_args()
    corpora = {part: read_arrays(given.data / f"scv2_{part}.npz") for part in ("train", "val", "test")}
    if given.pooled:
        pooled_of(shipped(), corpora["train"], corpora["val"]).save(HERE / "neuro" / "keywords" / SHIPPED)
        return
    spotter, pooled, words = shipped(), None if given.unseen else shipped_pooled(), WORDS
    if given.unseen:
        rest, words = without_unseen(corpora), UNSEEN
        if not given.unseen.exists():
            making.make(rest, TrainingSettings(clips=CLIPS)).spotter.save(given.unseen)
        spotter = Spotter.load(given.unseen)
        pooled = pooled_of(spotter, rest["train"], rest["val"])
        corpora = {name: relabelled(part, spotter.classes) for name, part in corpora.items()}
    found = compare(spotter, pooled, words, corpora, given.draws)
    report(found, words)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


def compare(
    spotter: Spotter, pooled: Any, words: tuple[str, ...], corpora: dict[str, Corpus], draws: int
) -> list[dict[str, Any]]:
    """Each word learned in each way from some draws of lessons: a row for each."""
    chip, rng = neuro.load_chip("loihi2"), np.random.default_rng(0)
    empty = Taught.of(spotter, ("new",), pooled)
    placement = neuro.place(empty.network, chip)
    train, val, test = (Part(corpora[part], empty, part == "test") for part in ("train", "val", "test"))
    hidden = words if words is UNSEEN else ()
    found: list[dict[str, Any]] = []
    for word in words:
        clips = np.flatnonzero(train.words == word)
        others = train.payloads[(train.words != word) & ~np.isin(train.words, hidden)]
        for draw, count in itertools.product(range(draws), LESSONS):
            chosen = rng.permutation(clips)[:count]
            audio, lessons = to_float(train.corpus.audio[chosen]), train.payloads[chosen]
            learned, chip_run = on_chip(empty, "new", audio, pooled, placement)
            ways: dict[str, Callable[[Any], Any]] = {"chip": learned, "float": in_float(lessons, pooled.known)}
            if count == LESSONS[1]:
                ways["chip, known words left out"] = lambda payloads, taught=chip_run.run.learned: alone(payloads, taught)
                if draw < 2:
                    ways["retrained"] = retrained(lessons, others)
            cost = cost_of(chip_run, len(chosen))
            for way, score_of in ways.items():
                row = {"word": word, "draw": draw, "asked": count, "lessons": len(chosen), "way": way}
                found.append(row | measure(score_of, word, val, test) | (cost if way == "chip" else {}))
        print(word, flush=True)
    return found


def alone(payloads: Any, network: neuro.Network) -> Any:
    """Scores by what was learned alone, whatever the words are that the spotter knows."""
    weights = np.asarray(network.into(NEW)[0].stored_weights, np.int64)
    return score(payloads, weights, np.zeros((len(weights), 0), np.int64))[:, 0]


def report(found: list[dict[str, Any]], words: tuple[str, ...]) -> None:
    print(f"{'lessons':>8} {'way':>26} {'heard':>7} {'false alarms':>13} {'known words lose':>17}")
    for count in LESSONS:
        for way in dict.fromkeys(row["way"] for row in found):
            rows = [row for row in found if (row["asked"], row["way"]) == (count, way)]
            if not rows:
                continue
            heard = sum(row["heard"] for row in rows) / sum(row["clips"] for row in rows)
            alarms, lost = (np.mean([row[name] for row in rows]) for name in ("false_alarms", "lost_points"))
            print(f"{count:>8} {way:>26} {heard:>7.1%} {alarms:>13.2%} {lost:>11.2f} points")
    print("heard after 5 lessons on the chip, word by word:")
    for word in words:
        rows = [row for row in found if (row["asked"], row["way"], row["word"]) == (5, "chip", word)]
        print(f"  {word:8} {sum(r['heard'] for r in rows) / sum(r['clips'] for r in rows):6.1%} of {rows[0]['clips']} clips")
    costs = [row for row in found if "lesson_pj" in row]
    whole, part = np.mean([row["lesson_pj"] for row in costs]) / 1e6, np.mean([row["learning_pj"] for row in costs]) / 1e3
    print(f"a lesson: {whole:.3g} uJ dynamic, of which learning {part:.3g} nJ, {costs[0]['updates']:.0f} synaptic updates")


if __name__ == "__main__":
    main()
