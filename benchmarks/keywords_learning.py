"""How well a spotter learns further words on the chip: heard, false alarms, forgetting, joules; and the same in float.

    python benchmarks/keywords_learning.py [--data ../shared/data/speech_commands] [--draws 10] [--json FILE]
    python benchmarks/keywords_learning.py --pooled      # writes neuro/keywords/ten_words_pooled.safetensors

Words: those of Speech Commands that the shipped spotter has no class for. Lessons are clips of speakers of the train part,
thresholds are chosen for 2 % false alarms on the val part, and all that is reported is of the test part, whose speakers are in
neither.
The body was trained with the train part, in which these words are "unknown": it has heard them, under that name.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import neuro
from neuro.keywords import teaching
from neuro.keywords.corpus import Corpus, read_arrays
from neuro.keywords.features import to_float
from neuro.keywords.spotter import shipped
from neuro.keywords.teaching import Pooled, Taught, score, shipped_pooled

HERE = Path(__file__).parent.parent
WORDS = ("eight", "six", "three", "five", "nine", "one", "seven", "zero", "happy", "sheila", "two", "four")
LESSONS = (1, 5, 20)
OTHERS = 400  # recordings that choose a threshold
BATCH = 128


def in_batches(corpus: Corpus, of: Callable[[Any], Any]) -> Any:
    return np.concatenate([of(to_float(corpus.audio[i : i + BATCH])) for i in range(0, len(corpus), BATCH)])


def write_pooled(data: Path) -> None:
    """Means of the channels over the train part, and payloads of clips of the val part."""
    spotter, body = shipped(), shipped().network.into(shipped().network.readouts[0].name)[0].source
    frames = int(np.prod(spotter.network[body].shape[1:]))

    def means(clips: Any) -> Any:
        raster = spotter.run(clips, record=(f"raster:{body}",)).raster[body].sum(axis=1)
        return raster.reshape(len(clips), -1, frames).mean(axis=2)

    average = np.rint(in_batches(read_arrays(data / "scv2_train.npz"), means).mean(axis=0)).astype(np.int64)
    nothing = Taught.of(spotter, ("new",), Pooled(average, np.zeros((0, 2 * len(average)), np.int64)))
    others = in_batches(read_arrays(data / "scv2_val.npz"), nothing.payloads)
    chosen = np.sort(np.random.default_rng(0).permutation(len(others))[:OTHERS])
    tensors = {"means": average.astype(np.uint8), "others": others[chosen].astype(np.uint8)}
    save_file(tensors, HERE / "neuro" / "keywords" / teaching.SHIPPED)


class Part:
    """One part of the recordings: words said, payloads at the synapses; of the test part what the spotter hears by itself."""

    def __init__(self, corpus: Corpus, empty: Taught, test: bool) -> None:
        self.corpus, self.words = corpus, np.array(corpus.words)
        self.payloads = in_batches(corpus, empty.payloads)
        heard = in_batches(corpus, lambda clips: empty.spotter.run(clips).predictions) if test else np.zeros(len(corpus))
        self.right = heard == corpus.labels
        self.known = corpus.labels < len(empty.spotter.keywords)


def measure(score_of: Callable[[Any], Any], word: str, val: Part, test: Part) -> dict[str, float]:
    """Of the test part: the word heard, false alarms, and what known words lose."""
    limit = np.quantile(score_of(val.payloads)[val.words != word], 1 - teaching.FALSE_ALARMS)
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
    return (lambda payloads: score(payloads, taught.weights)[:, 0]), chip_run


def in_float(lessons: Any) -> Callable[[Any], Any]:
    """The same rule without rounding: the mean of the lessons' payloads."""
    mean = lessons.mean(axis=0)
    return lambda payloads: payloads @ mean / np.maximum(1, payloads.sum(axis=1))


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
    given = options.parse_args()
    if given.pooled:
        write_pooled(given.data)
        return
    chip, pooled, rng = neuro.load_chip("loihi2"), shipped_pooled(), np.random.default_rng(0)
    empty = Taught.of(shipped(), ("new",), pooled)
    placement = neuro.place(empty.network, chip)
    train, val, test = (
        Part(read_arrays(given.data / f"scv2_{part}.npz"), empty, part == "test") for part in ("train", "val", "test")
    )
    found: list[dict[str, Any]] = []
    for word in WORDS:
        clips = np.flatnonzero(train.words == word)
        for draw in range(given.draws):
            for count in LESSONS:
                chosen = rng.permutation(clips)[:count]
                audio, lessons = to_float(train.corpus.audio[chosen]), train.payloads[chosen]
                learned, chip_run = on_chip(empty, "new", audio, pooled, placement)
                others = train.payloads[train.words != word]
                ways: dict[str, Callable[[Any], Any]] = {"chip": learned, "float": in_float(lessons)}
                if draw < 2 and count == 5:
                    ways["retrained"] = retrained(lessons, others)
                bill = chip_run.bill
                cost = {
                    "lesson_pj": sum(part.energy_pj or 0.0 for part in bill.parts if part.kind == "dynamic"),
                    "learning_pj": sum(part.energy_pj or 0.0 for part in bill.parts if part.name == "learning"),
                    "updates": chip_run.run.synaptic_updates / len(chosen),
                }
                for way, score_of in ways.items():
                    row = {"word": word, "draw": draw, "asked": count, "lessons": len(chosen), "way": way}
                    found.append(row | measure(score_of, word, val, test) | (cost if way == "chip" else {}))
        print(word, flush=True)
    report(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


def report(found: list[dict[str, Any]]) -> None:
    print(f"{'lessons':>8} {'way':>10} {'heard':>7} {'false alarms':>13} {'known words lose':>17}")
    for count in LESSONS:
        for way in ("chip", "float", "retrained"):
            rows = [row for row in found if (row["asked"], row["way"]) == (count, way)]
            if not rows:
                continue
            heard = sum(row["heard"] for row in rows) / sum(row["clips"] for row in rows)
            alarms, lost = (np.mean([row[name] for row in rows]) for name in ("false_alarms", "lost_points"))
            print(f"{count:>8} {way:>10} {heard:>7.1%} {alarms:>13.1%} {lost:>11.2f} points")
    print("heard after 5 lessons on the chip, word by word:")
    for word in WORDS:
        rows = [row for row in found if (row["asked"], row["way"], row["word"]) == (5, "chip", word)]
        print(f"  {word:8} {sum(r['heard'] for r in rows) / sum(r['clips'] for r in rows):6.1%} of {rows[0]['clips']} clips")
    costs = [row for row in found if row["way"] == "chip"]
    whole, part = np.mean([row["lesson_pj"] for row in costs]) / 1e6, np.mean([row["learning_pj"] for row in costs]) / 1e3
    print(f"a lesson: {whole:.3g} uJ dynamic, of which learning {part:.3g} nJ, {costs[0]['updates']:.0f} synaptic updates")


if __name__ == "__main__":
    main()
