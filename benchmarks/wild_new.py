"""Networks of values on inputs that they were not calibrated on: `python -m benchmarks.wild_new FOLDER NAME ... [--draws N]`.

Files of `benchmarks/wild.py` with one input and one output, calibrated on its 48 samples, tested on 64 others of the same kind,
without and with bits for values beyond the calibrated ranges: the error on calibration samples, the estimate of that on new ones,
and what it is, against the float network; decisions alike, and those where the two largest outputs are apart by a tenth of the
outputs' spread at least.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from unittest.mock import patch

import numpy as np

import converters
from benchmarks import wild
from converters.evaluation import logits, outputs
from converters.fronts import split_front
from converters.values import headroom

NEW, CLEAR = 64, 0.1


def row(path: Path, most: int, draw: int) -> str:
    """What one file does with so many bits at most beyond the ranges."""
    with patch.object(wild, "SAMPLES", wild.SAMPLES + NEW):
        graph = converters.read_onnx(path, **wild.HOW.get(path.stem, {}))
        x = wild.like(path.stem, graph.inputs[0].shape, draw)
    if path.stem in wild.FRONTS:
        front, graph = split_front(graph, wild.FRONTS[path.stem])
        x = outputs(front, x, batch=8)[wild.FRONTS[path.stem]]
    with patch.object(headroom, "MOST", most):
        made = converters.convert(graph, x[:-NEW], code="graded")
    new, found = x[-NEW:], made.agreement
    got, truth = (np.asarray(y, np.float64).reshape(NEW, -1) for y in (made.quantised(new), logits(made.graph, new)))
    spread = np.sqrt(truth.var(axis=0).mean())
    error, alike = np.sqrt(np.square(got - truth).mean()) / spread, got.argmax(1) == truth.argmax(1)
    first, second = np.sort(truth, axis=1).T[[-1, -2]]
    clear = alike[first - second >= CLEAR * spread]
    estimate = "-" if found.estimate_on_new is None else f"{found.estimate_on_new:.3f}"
    errors = f"{found.error:.3f} | {estimate} | {error:.3f}"
    return (
        f"| {path.stem} | {draw} | {most} | {errors} | {100 * alike.mean():.1f} % | {100 * clear.mean():.1f} % of {clear.size} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--draws", type=int, default=1)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| file | draw | bits beyond | error | estimate on new | on new | decisions alike | clear ones |\n" + "|---" * 8 + "|")
    for name in given.names:
        for draw in range(given.draws):
            for most in (0, headroom.MOST):
                print(row(given.folder / f"{name}.onnx", most, draw), flush=True)


if __name__ == "__main__":
    main()
