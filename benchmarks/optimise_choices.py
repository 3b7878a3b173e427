"""What to remove from the CIFAR ResNet: `python -m benchmarks.optimise_choices DEPTH CHANNELS [--steps 3000] [--answers]`.

One round of training with so many blocks removed and that share of the saving by channels, aimed at 2.52 times less energy,
tested as a float network on 4,000 test images that `benchmarks/optimise.py` neither chooses nor tests on. --answers: the float
network's answers and features are learned beside the labels.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from benchmarks.conversion_networks import cifar_data
from benchmarks.optimise import cifar
from converters.evaluation import logits
from neuro.chip.files import load_chip
from neuro.optimising.optimise import split
from neuro.optimising.rounds import Rounds

TIMES = 2.52
TRIED = slice(3000, 7000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("depth", type=int)
    parser.add_argument("channels", type=float)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--answers", action="store_true")
    asked = parser.parse_args()
    case = cifar("graded", 1)
    answers, features = (0.3, 0.03) if asked.answers else (0.0, 0.0)
    chosen = {"depth": asked.depth, "channels": asked.channels, "steps": asked.steps, "decay": 0.0, "float_steps": 0}
    settings = replace(case.settings, **chosen, labels=1.0, answers=answers, features=features)
    parts = split(case.model, *case.learn, case.choose, settings.seed, case.augment)
    rounds = Rounds(parts.graph, parts.lesson, load_chip("loihi2"), settings)
    target = rounds.priced(rounds.start).dynamic_pj / TIMES
    made, recipe = rounds.round(rounds.start, target, (1, 1), lambda what, done, of: None)
    x, y = cifar_data("test")
    right = logits(made.graph, x[TRIED]).reshape(-1, 10).argmax(axis=1) == y[TRIED]
    print(f"{recipe['how']}: {100 * right.mean():.2f} % of {len(right):,} images, {rounds.priced(made).dynamic_pj / 1e6:.1f} uJ")


if __name__ == "__main__":
    main()
