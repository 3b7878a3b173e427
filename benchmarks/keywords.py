"""The keyword spotters' figures, measured: `python benchmarks/keywords.py [PART ...] [--data DIR] [--json FILE] [--write]`.

PART: ten-words (train the shipped spotter; --write puts it into the package), mixed (the same with synthesised speech added),
shipped, dscnn, aloha, gap, stream, speed; all but the first two by default. DIR holds speech_commands and pretrained
(default: ../shared/data).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from neuro.chip.files import load_chip
from neuro.keywords import making
from neuro.keywords.card import model_card
from neuro.keywords.features import MLPERF_KWS, FeatureSettings, extract
from neuro.keywords.listening import listen
from neuro.keywords.making import PartResult, TrainedSpotter
from neuro.keywords.speech import variants
from neuro.keywords.spotter import SHIPPED, Normalisation, Spotter, shipped
from neuro.keywords.synthesis import Script, distractors, synthesise
from neuro.keywords.training import TrainingSettings

ROOT = Path(__file__).parent.parent
CARD = {
    "data": "Google Speech Commands v0.02, canonical 12-class test clips, split by speaker",
    "licence": "data CC BY 4.0; these weights Apache-2.0",
    "attribution": "Pete Warden, Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition, arXiv 1804.03209, 2018",
    "augmentation": "noise, rooms, speed, shift, gain; no synthesised speech",
    "limits": "English words said alone, close to the microphone, at 16 kHz; words outside the ten are now and then taken "
    "for one of them: see the confusion in docs/keywords.md. Not for anything where a mistake does harm",
}
Row = dict[str, Any]


def ten_words(data: Path, write: bool) -> list[Row]:
    """Train the spotter of ten command words on the train speakers."""
    parts = making.gather((), data / "speech_commands")
    made = making.make(parts, TrainingSettings(clips=240_000), card=CARD, progress=_told)
    if write:
        place = ROOT / "neuro" / "keywords" / SHIPPED
        made.spotter.save(place)
        place.with_suffix(".md").write_text(
            model_card(made, "ten command words", "python benchmarks/keywords.py ten-words --write")
        )
    return _heard("ten words, trained now", made)


def mixed(data: Path, write: bool) -> list[Row]:
    """The ten words with synthesised speech added to the recordings of the train speakers: does it help? It did not."""
    parts = making.gather((), data / "speech_commands")
    words = [name for name in parts["train"].classes if not name.startswith("_")]
    script = Script(100, variants(), distractors(), silence=0.5)
    made = making.make(
        {**parts, "train": parts["train"] + synthesise(words, script)}, TrainingSettings(clips=240_000), progress=_told
    )
    return _heard("ten words, recordings and 100 synthesised clips a word", made)


def shipped_spotter(data: Path, write: bool) -> list[Row]:
    """The spotter in the package, on speakers it was not trained on."""
    parts = making.gather((), data / "speech_commands")
    spotter = shipped()
    return [_row("shipped", part, making.listen_to(spotter, parts[part])) for part in ("val", "test")]


def dscnn(data: Path, write: bool) -> list[Row]:
    """The published DS-CNN, converted, on all 4,890 clips; it was trained elsewhere, so every one is new to it."""
    import converters
    from neuro.keywords.model import load_mlperf_dscnn

    parts = making.gather((), data / "speech_commands")
    model = load_mlperf_dscnn(data / "pretrained" / "mlperf_kws_dscnn.npz")
    plain = Normalisation(np.zeros(10, np.float32), np.ones(10, np.float32))
    rows = []
    for code in ("graded", "radix"):
        calibration = np.stack([extract(MLPERF_KWS, clip).T for clip in parts["train"].audio[:512]])
        made = converters.convert(model, calibration, code=code, timesteps=8)
        spotter = Spotter(made.network, made.graph, MLPERF_KWS, plain, parts["train"].classes)
        everything = parts["train"] + parts["val"] + parts["test"]
        rows.append(_row(f"mlperf_kws_dscnn, {code}", "all", making.listen_to(spotter, everything)))
    return rows


def aloha(data: Path, write: bool) -> list[Row]:
    """A word that exists only as synthesised speech, on voices and phrases never heard in training."""
    made = making.make(making.gather(("aloha",)), TrainingSettings(clips=60_000), progress=_told)
    return _heard("aloha, synthesised", made)


def gap(data: Path, write: bool) -> list[Row]:
    """From synthesised voices to people: trained on the former alone, heard on both."""
    words = ("yes", "no", "stop", "go")
    made = making.make(making.gather(words), TrainingSettings(clips=100_000), progress=_told)
    real = making.gather(words, data / "speech_commands")
    rows = _heard("yes, no, stop, go, synthesised", made)
    return [*rows, _row("yes, no, stop, go, synthesised", "real test speakers", making.listen_to(made.spotter, real["test"]))]


def in_a_stream(data: Path, write: bool) -> list[Row]:
    """The shipped spotter on the test speakers' clips one after the other, with pauses of 0.5 to 1.5 seconds."""
    test = making.gather((), data / "speech_commands")["test"]
    rng = np.random.default_rng(0)
    pieces: list[Any] = []
    said, samples = [], 0
    for clip in rng.permutation(len(test)):
        pause = int(rng.integers(8_000, 24_000))
        pieces += [np.rint(rng.standard_normal(pause) * 20).astype(np.int16), test.audio[clip]]
        said.append(((samples + pause) / 16_000 + 0.5, test.classes[test.labels[clip]]))
        samples += pause + 16_000
    heard = listen(shipped(), load_chip("loihi2"), np.array_split(np.concatenate(pieces), 300))
    open_words, right = [(at, word) for at, word in said if not word.startswith("_")], 0
    keywords = len(open_words)
    for found in heard.detections:
        fitting = [entry for entry in open_words if entry[1] == found.word and abs(entry[0] - found.at_s) < 0.75]
        right += bool(fitting)
        open_words = [entry for entry in open_words if entry not in fitting[:1]]
    hours, account = samples / 16_000 / 3_600, heard.account
    return [
        {
            "case": "shipped, in a stream",
            "hours": round(hours, 3),
            "words": keywords,
            "heard": round(right / keywords, 4),
            "false_per_hour": round((len(heard.detections) - right) / hours, 1),
            "spikes_per_inference": round(account.spikes / account.frames, 1),
            "synops_per_inference": round(account.synops / account.frames),
            "dynamic_uj_per_inference": round(account.dynamic_pj / account.frames / 1e6, 4),
            "dynamic_uj_per_s": round(account.dynamic_pj / account.frames / 1e6 * shipped().features.frames_per_s, 2),
        }
    ]


def speed(data: Path, write: bool) -> list[Row]:
    """CPU time of features, in milliseconds for a second of audio, and how much faster than the audio listening is."""
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, 160_000).astype(np.float32)
    rows = []
    for name, settings in (
        ("log-mel", FeatureSettings()),
        ("MFCC, 10 ms", FeatureSettings(hop=160, window=400, coefficients=26)),
    ):
        extract(settings, audio)
        start, repeats = time.process_time(), 20
        for _ in range(repeats):
            extract(settings, audio)
        rows.append({"case": f"features, {name}", "cpu_ms_per_s_of_audio": (time.process_time() - start) / repeats / 10 * 1e3})
    for piece_s in (0.25, 5.0):
        pieces = np.split(np.tile(audio, 6), range(0, 960_000, round(16_000 * piece_s)))
        listen(shipped(), load_chip("loihi2"), pieces[:3])
        start = time.process_time()
        listen(shipped(), load_chip("loihi2"), pieces)
        took = time.process_time() - start
        rows.append({"case": f"listening in pieces of {piece_s:g} s", "times_real_time": round(60 / took, 1)})
    return rows


PARTS: dict[str, Callable[[Path, bool], list[Row]]] = {
    "ten-words": ten_words,
    "mixed": mixed,
    "shipped": shipped_spotter,
    "dscnn": dscnn,
    "aloha": aloha,
    "gap": gap,
    "stream": in_a_stream,
    "speed": speed,
}


def _heard(case: str, made: TrainedSpotter) -> list[Row]:
    return [_row(case, part, heard) for part, heard in made.heard.items()]


def _row(case: str, part: str, heard: PartResult) -> Row:
    row: Row = {"case": case, "part": part, "clips": heard.clips, "speakers": heard.speakers}
    for name in ("accuracy_ann", "accuracy_spikes", "spikes", "synops"):
        row[name] = round(getattr(heard, name), 5)
    for name, shares in (("true", heard.true), ("false", heard.false), ("near_false", heard.near_false)):
        if shares is not None:
            row[f"{name}_ann"], row[f"{name}_spikes"] = (round(share, 5) for share in shares)
    row["confusion"] = heard.confusion.tolist()
    return row


def _told(step: int, steps: int, loss: float) -> None:
    if step % max(1, steps // 10) == 0:
        print(f"  step {step} of {steps}, loss {loss:.3f}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[[], *PARTS], help=", ".join(PARTS))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="put the trained spotter into the package")
    asked = parser.parse_args()
    rows: list[Row] = []
    for name in asked.parts or [part for part in PARTS if part not in ("ten-words", "mixed")]:
        for row in PARTS[name](asked.data, asked.write):
            rows.append(row)
            print(", ".join(f"{key} {value}" for key, value in row.items() if key != "confusion"), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
