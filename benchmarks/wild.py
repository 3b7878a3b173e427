"""Trained ONNX files of other people as networks in code graded: which convert, how near to the float network, how long it takes.

    python benchmarks/wild.py FOLDER [NAME ...]

Prints one row a file. Inputs are normal noise, unless FOLDER/NAME.npy holds better ones (samples, *shape).
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import converters
import neuro

HOW: dict[str, dict[str, Any]] = {  # what a file leaves open
    "ppocr_direction": {"shape": (3, 48, 192)},
    "ppocr_v5_det": {"sizes": {"DynamicDimension.1": 64, "DynamicDimension.2": 64}},
    "swift_f0": {"sizes": {"samples": 2048}, "fixed": {"fmin": 46.875, "fmax": 2093.75}, "samples": False},
}
SAMPLES, COMPARED = 32, 2


def row(path: Path) -> str:
    """One file's line of the table."""
    start = time.perf_counter()
    try:
        graph = converters.read_onnx(path, **HOW.get(path.stem, {}))
        kept = path.with_suffix(".npy")
        shape = (SAMPLES, *graph.inputs[0].shape)
        x = np.load(kept) if kept.exists() else np.random.default_rng(0).normal(size=shape).astype(np.float32)
        made = converters.convert(graph, x, code="graded")
    except neuro.NeuroError as error:
        return f"| {path.stem} | refused | {error} |"
    seconds = time.perf_counter() - start
    equal = np.array_equal(neuro.run(made.network, x[:COMPARED], engine="torch").logits, made.quantised(x[:COMPARED]))
    found = made.agreement
    decided = "" if found.decisions is None else f"{100 * found.decisions:.0f} %"
    told = f"correlation {found.correlation:.4f}, decisions {decided or '-'}, error {found.error:.3f}"
    return f"| {path.stem} | {told} | {'engine equal' if equal else 'ENGINE DIFFERS'}, {seconds:.0f} s |"


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    warnings.simplefilter("ignore")
    for path in [folder / f"{name}.onnx" for name in names] or sorted(folder.glob("*.onnx")):
        print(row(path), flush=True)


if __name__ == "__main__":
    main()
