"""How well words are learned on the chip from what another body says of them: a network that was trained on many words elsewhere.

    python -m benchmarks.keywords_embedding BODY [--front speech-embedding] [--unseen FILE] [--draws 4] [--work FOLDER]
                                            [--data ../shared/data/speech_commands]

BODY is an ONNX file, such as Google's speech embedding, or a body that `neuro keywords learn` or benchmarks/keywords_distil.py
wrote; what that was read by is left out. It is converted to values on the chip (code graded); its numbers, added up over the
windows of a recording, reach the synapses as payloads. The protocol is that of benchmarks/keywords_learning.py: twelve words, or
with --unseen (the file which that made) every second one of the ten, of which nothing takes part in how the body is read.
"chip" has the body and the lessons on the chip; "rule in float" is the mean of the chip's payloads; "all in float" are an ONNX
file's own numbers (onnxruntime), read in the same way. The first draw of each word is also learned with the whole network on the
emulated chip: the same weights, and what a lesson takes. Sums are kept in FOLDER; called again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import neuro
from benchmarks.keywords_learning import LESSONS, UNSEEN, WORDS, cost_of, in_float, measure, relabelled, report, retrained
from neuro.keywords.body import Body, inputs_of, sums_of
from neuro.keywords.corpus import SILENCE, Corpus, read_arrays
from neuro.keywords.embedding import CALIBRATION, SHRINK, UNIT, converted, front_of, read
from neuro.keywords.features import to_float
from neuro.keywords.head import MOST_PAYLOAD, WHOLE, on_body, timing_of_body
from neuro.keywords.listening import Listener
from neuro.keywords.making import float_logits
from neuro.keywords.pooled import Pooled, score
from neuro.keywords.spotter import Spotter, shipped
from neuro.keywords.teaching import Taught
from neuro.learning import prototype

HERE = Path(__file__).parent.parent
BATCH = 16


def body_of(path: Path, front: str, train: Corpus, work: Path) -> Body:
    """A body of which nothing has been read yet, from an ONNX file or as it is."""
    kept = work / "body.safetensors"
    if path.suffix != ".onnx" or kept.exists():
        return Body.load(path if path.suffix != ".onnx" else kept)
    import converters

    graph = converters.read_onnx(path)
    heard = front_of(graph, front)
    drawn = np.random.default_rng(0).permutation(len(train))[:CALIBRATION]
    network, numbers = converted(graph, inputs_of(heard, train.audio[drawn]))
    none = np.zeros((2, 0), np.int64)
    pooled = Pooled((numbers,), np.zeros((network[numbers].size, 1), np.int64), np.zeros(1, np.int64), 1, none.T, none)
    body = Body(network, heard, pooled, {"from": path.name})
    body.save(kept)
    return body


def summed(of: Callable[[Any], Any], corpora: dict[str, Corpus], work: Path, name: str) -> dict[str, Any]:
    """What `of` says of the recordings of each part, in batches; kept in a folder."""
    found = {}
    for part, corpus in corpora.items():
        rows = []
        for at in range(0, len(corpus), 8 * BATCH):
            file = work / f"{name}_{part}_{at}.npy"
            if not file.exists():
                clips = corpus.audio[at : at + 8 * BATCH]
                made = [of(clips[i : i + BATCH]) for i in range(0, len(clips), BATCH)]
                np.save(file, np.concatenate(made))
            rows.append(np.load(file))
        found[part] = np.concatenate(rows)
        print(f"{name}: {len(found[part])} recordings of the {part} part", flush=True)
    return found


def host_sums(path: Path, body: Body) -> Callable[[Any], Any]:
    """The ONNX file's own numbers, added up over the windows of each recording."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    name = session.get_inputs()[0].name

    def of(clips: Any) -> Any:
        windows = inputs_of(body.front, clips)
        told = session.run(None, {name: windows.reshape(-1, *windows.shape[2:])})[0]
        return told.reshape(len(clips), windows.shape[1], -1).sum(axis=1)

    return of


def float_payloads(sums: dict[str, Any], train: Corpus, hidden: tuple[str, ...], windows: int) -> dict[str, Any]:
    """Payloads read of numbers as `neuro.keywords.embedding.read` does, without rounding and without bounds."""
    words = np.array(train.words)
    said = [words == word for word in sorted({*words} - {*hidden, SILENCE})]
    means = {part: rows / windows for part, rows in sums.items()}
    usual, spread = means["train"][~np.isin(words, hidden)].mean(axis=0), means["train"].std(axis=0) + 1e-3
    inside = np.concatenate([(means["train"][of] - means["train"][of].mean(axis=0)) / spread for of in said])
    values, vectors = np.linalg.eigh(inside.T @ inside / len(inside))
    matrix = UNIT * vectors / np.sqrt(values + SHRINK * values.mean()) / spread[:, None]
    above = {part: (rows - usual) @ matrix for part, rows in means.items()}
    return {part: np.maximum(np.concatenate([rows, -rows], axis=1), 0) for part, rows in above.items()}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the recordings, with what `measure` asks of it."""

    words: Any
    people: Any
    payloads: Any
    right: Any
    known: Any


def taught(lessons: Any, body: Body, chip: neuro.Chip) -> Any:
    """Weights (payloads, 1) after one lesson for each row of payloads (lessons, payloads), by the head alone.

    A lesson has the epochs that it has with the whole network, because the numbers drawn for rounding go by epochs.
    """
    timing = timing_of_body(body)
    steps = on_body(body, ("new",)).steps(timing.window)
    size, words = lessons.shape[1], neuro.Graded(1, MOST_PAYLOAD)
    rule = replace(prototype("teacher", -1, sign="excitatory"), epoch=timing.epoch)
    network = neuro.Network(
        (
            neuro.Population("pool", (size,), neuro.Source(levels=255)),
            neuro.Population("teacher", (1,), neuro.Source(levels=127)),
            neuro.Population("words", (1,), words),
        ),
        (neuro.Dense("pool", "words", np.zeros((size, 1), np.int32), rule=rule),),
    )
    rates = np.maximum(1, np.rint(WHOLE / np.arange(1, len(lessons) + 1)))[:, None, None]
    sent = {"pool": lessons[:, None], "teacher": rates}
    inputs = {name: np.zeros((len(lessons), steps, given.shape[2]), np.int32) for name, given in sent.items()}
    for name, given in sent.items():
        inputs[name][:, timing.scored - 1] = given[:, 0]
    chip_run = neuro.emulate(neuro.place(network, chip), inputs, timesteps=steps)
    return np.asarray(chip_run.run.learned.projections[0].weights, np.int64)


def compare(
    body: Body,
    payloads: dict[str, Any],
    real: dict[str, Any] | None,
    parts: dict[str, Part],
    train: Corpus,
    words: tuple[str, ...],
    draws: int,
) -> Any:
    """Each word learned in each way from some draws of lessons: a row for each. Payloads of the chip and, where there is an ONNX
    file, of its float network; `parts` have the chip's."""
    chip, rng, found = neuro.load_chip("loihi2"), np.random.default_rng(0), []
    said, hidden = np.array(train.words), words if words is UNSEEN else ()
    for word in words:
        known = body.pooled.without((word,)).known
        others = payloads["train"][(said != word) & ~np.isin(said, hidden)]
        if real:
            heard = [other for other in body.pooled.words if other != word]
            real_known = np.stack([real["train"][said == other].mean(axis=0) / 2 for other in heard], axis=1)
        for draw, count in itertools.product(range(draws), LESSONS):
            chosen = rng.permutation(np.flatnonzero(said == word))[:count]
            lessons = payloads["train"][chosen]
            weights, costs = taught(lessons, body, chip), {}
            if count == LESSONS[1] and draw == 0:
                costs = whole(body, word, train.audio[chosen], weights, chip)
            ways = {
                "on the chip": (payloads, lambda rows, w=weights, k=known: score(rows, w, k)[:, 0]),
                "rule in float": (payloads, in_float(lessons, known)),
            }
            if real:
                ways["all in float"] = (real, in_float(real["train"][chosen], real_known))
            if count == LESSONS[1] and draw < 2:
                ways["retrained"] = (payloads, retrained(lessons, others))
            for way, (rows, score_of) in ways.items():
                val, test = (replace(parts[part], payloads=rows[part]) for part in ("val", "test"))
                row = {"word": word, "draw": draw, "asked": count, "way": "chip" if way == "on the chip" else way}
                found.append(row | measure(score_of, word, val, test) | (costs if way == "on the chip" else {}))
        print(word, flush=True)
    return found


def whole(body: Body, word: str, audio: Any, weights: Any, chip: neuro.Chip) -> dict[str, float]:
    """The same lessons with the whole network on the emulated chip: what they take. They leave the same weights."""
    new = replace(body, pooled=body.pooled.without((word,)))
    given, chip_run = Taught.of(shipped(), ("new",), new).teach("new", to_float(audio), chip, new)
    if not np.array_equal(given.weights, weights):
        raise SystemExit(f"{word}: the whole network learns other weights than its head alone")
    return cost_of(chip_run, len(audio))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("body", type=Path)
    options.add_argument("--front", default="speech-embedding")
    options.add_argument("--data", type=Path, default=HERE.parent / "shared" / "data" / "speech_commands")
    options.add_argument("--draws", type=int, default=4)
    options.add_argument("--unseen", type=Path, metavar="FILE")
    options.add_argument("--stream", type=float, metavar="MINUTES", default=0, help="also listens to a stream of so long")
    options.add_argument("--train", type=int, metavar="N", default=1_000, help="recordings of the train part that take part")
    options.add_argument("--work", type=Path, metavar="FOLDER", default=Path("embedding_sums"))
    given = options.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    corpora = read_parts(given.data, given.train)
    spotter, words, hidden = (Spotter.load(given.unseen), UNSEEN, UNSEEN) if given.unseen else (shipped(), WORDS, ())
    train = corpora["train"].take(~np.isin(np.array(corpora["train"].words), hidden))
    body = body_of(given.body, given.front, train, given.work)
    sums = summed(lambda clips: sums_of(body.network, body.numbers, body.inputs(clips)), corpora, given.work, "chip")
    seen = sums["train"][~np.isin(np.array(corpora["train"].words), hidden)]
    body = replace(body, pooled=read(body.numbers, seen, train.words, body.windows))
    payloads = {part: body.pooled.payloads(rows) for part, rows in sums.items()}
    real = None
    if given.body.suffix == ".onnx":
        told = summed(host_sums(given.body, body), corpora, given.work, "host")
        real = float_payloads(told, corpora["train"], hidden, body.windows)
    corpora = {part: relabelled(corpus, spotter.classes) for part, corpus in corpora.items()}
    people = np.unique(np.array(corpora["val"].speakers), return_inverse=True)[1]
    body = replace(body, pooled=replace(body.pooled, others=payloads["val"], people=people, said=corpora["val"].words))
    if given.stream:
        in_stream(body, spotter, corpora, words, given.stream)
    report(compare(body, payloads, real, parts_of(corpora, spotter), corpora["train"], words, given.draws), words)


def in_stream(body: Body, spotter: Spotter, corpora: dict[str, Corpus], words: tuple[str, ...], minutes: float) -> None:
    """All words taught, five lessons each, and heard in the test part's recordings, one after the other without a pause."""
    chip, rng, taught = neuro.load_chip("loihi2"), np.random.default_rng(0), Taught.of(spotter, words, body)
    for word in words:
        chosen = rng.permutation(np.flatnonzero(np.array(corpora["train"].words) == word))[: LESSONS[1]]
        taught, _ = taught.teach(word, to_float(corpora["train"].audio[chosen]), chip, body)
    test, rate = corpora["test"], spotter.features.rate
    order = rng.permutation(len(test))[: round(60 * minutes)]
    listener, found = Listener(spotter, chip, taught=taught), []
    for at in range(0, len(order), 10):
        found += listener.hear(to_float(test.audio[order[at : at + 10]].ravel())).detections
    found += listener.finish().detections
    new = [(f.word, test.words[order[min(len(order) - 1, int(f.at_s))]]) for f in found if f.word in words]
    right, said = sum(heard == was for heard, was in new), sum(test.words[i] in words for i in order)
    hours = len(order) * test.audio.shape[1] / rate / 3_600
    print(
        f"in a stream of {60 * hours:.0f} minutes: {right} of {said} taught words heard, {len(new) - right} false alarms, ",
        end="",
    )
    print(f"{(len(new) - right) / hours / len(words):.0f} an hour for each word; {listener.cores_used} cores")


def read_parts(data: Path, train: int) -> dict[str, Corpus]:
    """The parts of the recordings; of the train part so many of them."""
    corpora = {part: read_arrays(data / f"scv2_{part}.npz") for part in ("val", "test", "train")}
    drawn = np.sort(np.random.default_rng(0).permutation(len(corpora["train"]))[:train])
    return corpora | {"train": corpora["train"].take(drawn)}


def parts_of(corpora: dict[str, Corpus], spotter: Spotter) -> dict[str, Part]:
    right = float_logits(spotter, corpora["test"].audio).argmax(axis=1) == corpora["test"].labels
    own = len(spotter.keywords)
    return {
        part: Part(np.array(c.words), np.unique(np.array(c.speakers), return_inverse=True)[1], None, right, c.labels < own)
        for part, c in corpora.items()
    }


if __name__ == "__main__":
    main()
