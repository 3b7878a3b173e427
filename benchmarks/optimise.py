"""Smaller and sparser networks for the chip: `python -m benchmarks.optimise [CASE ...] [--out DIR] [--json FILE] [--steps N]`.

CASE: keywords (the shipped spotter, graded), keywords-radix, dscnn-rate (MLPerf Tiny's network in the rate code), cifar (the
committed ResNet, graded), cifar-radix, conformer and mobilenet (the committed networks of values), digits (seconds). Points are
chosen on a part of the training data that is not learned from; the test part is run once for the start and once for the chosen
point and each point of the front.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.conversion_networks import DATA, _trained, cifar_data, crop, resnet20
from converters.evaluation import logits
from neuro.chip.files import load_chip
from neuro.optimising.elsewhere import elsewhere, plain_rows
from neuro.optimising.found import Optimised, OptimisedPoint
from neuro.optimising.measure import Measures, converted, measures, run_on
from neuro.optimising.optimise import optimise
from neuro.optimising.plan import OptimiseGoal, OptimiseSettings

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
VARIED = 4  # copies of each clip, augmented


@dataclass(frozen=True, slots=True)
class Case:
    """A trained network, what is learned from, what points are chosen on, what they are tested on, and how."""

    model: Any
    learn: tuple[Floats, Ints]
    choose: tuple[Floats, Ints]
    test: tuple[Floats, Ints]
    settings: OptimiseSettings
    goal: OptimiseGoal
    augment: Callable[[Floats, np.random.Generator], Floats] | None = None
    other: tuple[str, int] | None = None  # a code and its T, in which the chosen network is tested too


def digits() -> Case:
    """The demonstration's network of handwritten digits."""
    from neuro.digits.data import load_digits
    from neuro.digits.model import train

    d = load_digits()
    held = np.arange(len(d.x_train)) % 5 == 0
    learn, choose = (d.x_train[~held], d.y_train[~held]), (d.x_train[held], d.y_train[held])
    settings = OptimiseSettings(code="graded", steps=300)
    return Case(train(d), learn, choose, (d.x_held_out, d.y_held_out), settings, OptimiseGoal())


def spotter(code: str, timesteps: int) -> Case:
    """The shipped spotter of ten command words. It learned from all clips of the training speakers, which cannot choose
    therefore: points are chosen on half of the val speakers, and tested on the other half and the test speakers."""
    from neuro.keywords import making
    from neuro.keywords.spotter import shipped

    found = shipped()
    parts = making.gather((), DATA / "speech_commands")
    train, chosen = parts["train"], _half_of(parts["val"].speakers)
    x, y = {name: found.inputs(part.audio) for name, part in parts.items()}, {n: p.labels for n, p in parts.items()}
    varied = [found.inputs(clips) for clips in _augmented(train)]
    learn = np.concatenate([x["train"], *varied]), np.tile(y["train"], 1 + len(varied))
    test = np.concatenate([x["val"][~chosen], x["test"]]), np.concatenate([y["val"][~chosen], y["test"]])
    settings, goal = OptimiseSettings(code=code, timesteps=timesteps, steps=2000), OptimiseGoal(energy=(2.0, 2.7, 3.5))
    return Case(found.graph, learn, (x["val"][chosen], y["val"][chosen]), test, settings, goal, None, ("radix", 8))


def _half_of(speakers: Any) -> NDArray[np.bool_]:
    """Which clips are those of half of the speakers, drawn."""
    known = np.unique(np.asarray(speakers))
    return np.isin(np.asarray(speakers), np.random.default_rng(0).permutation(known)[: len(known) // 2])


def _augmented(train: Any) -> list[list[Floats]]:
    from neuro.keywords.augment import Augmentation, augment
    from neuro.keywords.corpus import SILENCE, recordings_of
    from neuro.keywords.features import to_float

    rng, backgrounds = np.random.default_rng(0), recordings_of(train, SILENCE)
    clips = [to_float(clip) for clip in train.audio]
    return [[augment(clip, Augmentation(), backgrounds, rng) for clip in clips] for _ in range(VARIED)]


def cifar(code: str, timesteps: int) -> Case:
    """The committed ResNet-20: images moved and mirrored. It learned from all training images, which cannot choose therefore:
    points are chosen on 1,000 test images, and tested on 2,000 others."""
    import torch

    x, y = cifar_data("train")
    xt, yt = cifar_data("test")

    def moved(batch: Floats, rng: np.random.Generator) -> Floats:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            return crop(torch.as_tensor(batch), 4, True).numpy()

    settings = OptimiseSettings(
        code=code, timesteps=timesteps, channels=0.7, depth=4, float_steps=15_000, steps=50_000, rate=0.015, decay=0.003,
        features=0.0, norms=True,
    )  # fmt: skip
    choose, test = (xt[2000:3000], yt[2000:3000]), (xt[:2000], yt[:2000])
    return Case(_trained(resnet20(), "cifar"), (x, y), choose, test, settings, OptimiseGoal(energy=(2.52,)), moved, ("radix", 8))


def published(code: str, timesteps: int) -> Case:
    """MLPerf Tiny's keyword spotter, which others trained on other clips, divided as the shipped one's."""
    from neuro.keywords import making
    from neuro.keywords.features import MLPERF_KWS, extract
    from neuro.keywords.model import load_mlperf_dscnn

    parts = making.gather((), DATA / "speech_commands")
    chosen = _half_of(parts["val"].speakers)
    x = {name: np.stack([extract(MLPERF_KWS, clip).T for clip in part.audio]) for name, part in parts.items()}
    y = {name: part.labels for name, part in parts.items()}
    varied = [np.stack([extract(MLPERF_KWS, clip).T for clip in clips]) for clips in _augmented(parts["train"])]
    learn = np.concatenate([x["train"], *varied]), np.tile(y["train"], 1 + len(varied))
    test = np.concatenate([x["val"][~chosen], x["test"]]), np.concatenate([y["val"][~chosen], y["test"]])
    model = load_mlperf_dscnn(DATA / "pretrained" / "mlperf_kws_dscnn.npz")
    settings = OptimiseSettings(code=code, timesteps=timesteps, steps=500, batch=32, channels=0.0)
    goal = OptimiseGoal(accuracy_loss=0.0, energy=(1.0,))
    return Case(model, learn, (x["val"][chosen], y["val"][chosen]), test, settings, goal)


def dense(sparsity: float, pattern: str, tested: slice = slice(2000)) -> Case:
    """Images of digits through two dense layers of 256, trained here for three epochs; the last 1,000 training images to
    choose, 2,000 test images (or those `tested`). Weights go by magnitude, or by the pattern; no channel does."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    found = np.load(DATA / "mnist" / "mnist.npz", allow_pickle=False)
    x, xt = (found[name].reshape(-1, 784).astype(np.float32) / 255 for name in ("x_train", "x_test"))
    y, yt = found["y_train"].astype(np.int64), found["y_test"].astype(np.int64)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(3):
        for chosen in torch.randperm(len(x) - 1000).split(128):
            loss = F.cross_entropy(model(torch.as_tensor(x[chosen])), torch.as_tensor(y[chosen]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    goal = OptimiseGoal(energy=(1.0,) if pattern else (1.5, 3.0))
    settings = OptimiseSettings(steps=800, channels=0.0, sparsity=sparsity, pattern=pattern, score="magnitude")
    return Case(model.eval(), (x[:-1000], y[:-1000]), (x[-1000:], y[-1000:]), (xt[tested], yt[tested]), settings, goal)


def of_values(name: str) -> Case:
    """The committed Conformer or MobileNetV3 of spoken words, which compute with values. They learned from all training clips,
    which cannot choose therefore: points are chosen on 300 clips of other speakers, and tested on the 1,000 of its table."""
    import torch

    from benchmarks.value_networks import case, moved, words

    known, parts = case(name), words()
    shaped = (lambda x: x[:, None]) if name == "mobilenet" else (lambda x: x)
    x, y = (np.concatenate([parts["test"][i], parts["val"][i]]) for i in (0, 1))

    def changed(batch: Floats, rng: np.random.Generator) -> Floats:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            return shaped(moved(torch.as_tensor(batch.reshape(len(batch), *batch.shape[-2:])))).numpy()

    learn, choose = (shaped(parts["train"][0]), parts["train"][1]), (shaped(x[1000:1300]), y[1000:1300])
    goal = OptimiseGoal(energy=(1.5, 2.0, 2.5))
    return Case(known.model, learn, choose, (known.x, known.y), OptimiseSettings(steps=2000), goal, changed)


CASES: dict[str, Callable[[], Case]] = {
    "digits": digits,
    "keywords": lambda: spotter("graded", 1),
    "keywords-radix": lambda: spotter("radix", 8),
    "dscnn-rate": lambda: published("rate", 32),
    "dense": lambda: dense(0.8, ""),
    "two-of-four": lambda: dense(0.0, "2:4"),
    "cifar": lambda: cifar("graded", 1),
    "cifar-radix": lambda: cifar("radix", 6),
    "conformer": lambda: of_values("conformer"),
    "mobilenet": lambda: of_values("mobilenet"),
}


def run(name: str, out: Path, steps: int | None) -> dict[str, Any]:
    """One case: optimised, and tested."""
    case = CASES[name]()
    settings = case.settings if steps is None else replace(case.settings, steps=steps)
    found = optimise(
        case.model, case.learn[0], labels=case.learn[1], validation=case.choose, goal=case.goal, settings=settings,
        augment=case.augment, folder=out / name, resume=True, report=_told,
    )  # fmt: skip
    print(found, flush=True)
    exact = logits(found.start.graph, case.test[0]).reshape(len(case.test[0]), -1).argmax(axis=1)
    chosen = {p.number: p for p in (found.start, found.best, *found.front)}
    tested = {number: test(point, *case.test) for number, point in chosen.items()}
    for number, m in tested.items():
        print(_line(found, number, m, tested[0]), flush=True)
    others: dict[int, Measures] = {}
    if case.other is not None:
        for number in chosen:
            again = {"code": case.other[0], "timesteps": case.other[1]}
            network = converted(found.points[number].graph, case.learn[0][:512], load_chip("loihi2"), again)
            told = measures(run_on(network, load_chip("loihi2"), case.test[0]), case.test[1])
            print(f"in {case.other}: ", end="")
            others[number] = told
            print(_line(found, number, told, others[0]), flush=True)
    elsewhere_rows = elsewhere(found, ("a100", "stm32u575", "rpi4"), tuple(tested))
    for row in elsewhere_rows:
        print(row, flush=True)
    rows = {str(number): {**asdict(m), "layers": None} for number, m in tested.items()}
    return {
        "case": name,
        "float": float((exact == case.test[1]).mean()),
        "found": found.to_json(),
        "tested": rows,
        "other_name": ", T = ".join(map(str, case.other or ())),
        "other_code": {n: {**asdict(m), "layers": None} for n, m in others.items()},
        "elsewhere": plain_rows(elsewhere_rows),
        "best": found.best.number,
    }


def test(point: OptimisedPoint, x: Floats, y: Ints) -> Measures:
    """A saved point on the test part."""
    return measures(run_on(point.network, load_chip("loihi2"), x), y)


def _line(found: Optimised, number: int, m: Measures, start: Measures) -> str:
    best = " (chosen)" if number == found.best.number else ""
    less, lost = start.dynamic_pj / m.dynamic_pj, 100 * (start.accuracy - m.accuracy)
    return (
        f"test, {m.samples:,} samples, point {number}{best}: {100 * m.accuracy:.2f} %, {m.dynamic_pj / 1e6:.3f} uJ, "
        f"{less:.2f}x less, {lost:+.2f} points lost, {m.cores_used} cores"
    )


def _told(what: str, done: int, of: int) -> None:
    if of and done % max(1, of // 20) == 0:
        print(f"  {time.strftime('%H:%M:%S')} {what} {done}/{of}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", choices=[[], *CASES], help=", ".join(CASES))
    parser.add_argument("--out", type=Path, default=Path("optimised"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--steps", type=int, help="of training in each round")
    asked = parser.parse_args()
    rows = [run(name, asked.out, asked.steps) for name in asked.cases or CASES]
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
