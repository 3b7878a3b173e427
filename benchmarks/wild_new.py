"""Networks of values on inputs that they were not calibrated on: `python -m benchmarks.wild_new FOLDER NAME ...`.

Files of `benchmarks/wild.py` with one input and one output, calibrated on its 48 samples, tested on 64 others of the same kind,
without and with bits for values beyond the calibrated ranges: correlation and error against the float network, decisions alike.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from unittest.mock import patch

import numpy as np

import converters
from benchmarks import wild
from converters.evaluation import logits
from converters.values import headroom

NEW = 64


def row(path: Path, most: int) -> str:
    """What one file does with so many bits at most beyond the ranges."""
    with patch.object(wild, "SAMPLES", wild.SAMPLES + NEW):
        graph = converters.read_onnx(path, **wild.HOW.get(path.stem, {}))
        x = wild.like(path.stem, graph.inputs[0].shape)
    with patch.object(headroom, "MOST", most):
        made = converters.convert(graph, x[:-NEW], code="graded")
    new = x[-NEW:]
    got, truth = (np.asarray(y, np.float64).reshape(NEW, -1) for y in (made.quantised(new), logits(made.graph, new)))
    centred = truth - truth.mean(axis=0)
    correlation = np.corrcoef((got - truth.mean(axis=0)).ravel(), centred.ravel())[0, 1]
    error, alike = np.sqrt(np.square(got - truth).mean() / np.square(centred).mean()), got.argmax(1) == truth.argmax(1)
    return f"| {path.stem} | {most} | {correlation:.4f} | {error:.3f} | {100 * alike.mean():.1f} % |"


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    warnings.simplefilter("ignore")
    print("| file | bits beyond | correlation | error of the spread | decisions alike |\n|---|---|---|---|---|")
    for name in names:
        for most in (0, headroom.MOST):
            print(row(folder / f"{name}.onnx", most), flush=True)


if __name__ == "__main__":
    main()
