"""MLPerf Tiny's keyword network in the rate code as an average: `python -m benchmarks.optimise_average FOLDER ... [--test]`.

FOLDER: what `python -m benchmarks.optimise dscnn-rate --steps N --out OUT` left in OUT/dscnn-rate, one for each N. The average
gives a share to the network that the trainings began with, the rest in equal parts to theirs; its thresholds are scaled. Printed
for each share and scale, on the choosing part: the accuracy as a float network and in the rate code; with --test that of the best
of them, once, on the test part, with the bill of the emulated chip.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import neuro
from benchmarks.optimise import published
from converters.evaluation import logits
from converters.optimising.averages import averaged, scaled
from neuro.chip.files import load_chip
from neuro.optimising.found import OptimisedPoint
from neuro.optimising.measure import converted, measures, run_on

SHARES = (0.2, 1 / 3)  # of the network before training
SCALES = (0.75, 0.85, 1.0)  # of thresholds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--test", action="store_true")
    asked = parser.parse_args()
    case = published("rate", 32)
    loaded = [[OptimisedPoint.load(folder / "points" / number).graph for number in ("00", "01")] for folder in asked.folders]
    start, trained = loaded[0][0], [graphs[1] for graphs in loaded]
    calibration = case.learn[0][np.linspace(0, len(case.learn[0]) - 1, 512).astype(int)]
    x, y = case.choose
    known = {"start": start} | {f"trained, {folder}": graph for folder, graph in zip(asked.folders, trained, strict=True)}
    for share in SHARES:
        average = averaged([start, *trained], [share, *[(1 - share) / len(trained)] * len(trained)], calibration)
        known |= {f"average, {share:.2f} of the start, thresholds x {by:g}": scaled(average, by) for by in SCALES}
    tried = {}
    for name, graph in known.items():
        network = converted(graph, calibration, load_chip("loihi2"), {"code": "rate", "timesteps": 32, "weight_bits": 8})
        run, exact = neuro.run(network, x, timesteps=32), logits(graph, x).reshape(len(x), -1).argmax(axis=1)
        shares = [100 * float((found == y).mean()) for found in (exact, run.predictions)]
        print(f"{name}: as float {shares[0]:.2f} %, rate {shares[1]:.2f} %, {run.messages / len(x):,.0f} messages", flush=True)
        tried[name] = shares[1], network
    if asked.test:
        best = max(tried, key=lambda name: tried[name][0])
        exact = float((logits(start, case.test[0]).reshape(len(case.test[1]), -1).argmax(axis=1) == case.test[1]).mean())
        m = measures(run_on(tried[best][1], load_chip("loihi2"), case.test[0]), case.test[1])
        told = f"rate {100 * m.accuracy:.2f} %, float network {100 * exact:.2f} %, {m.dynamic_pj / 1e6:.1f} uJ"
        print(f"test, {m.samples:,} samples, {best}: {told}")


if __name__ == "__main__":
    main()
