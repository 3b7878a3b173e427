"""Random ONNX graphs, read by us and run by onnxruntime: equal, or refused by a NeuroError.

`python -m tests.fuzz_onnx --graphs 2000` (make fuzz-onnx) tries new ones and prints what differs with its seed. Five kinds:

float: operators with random options, opsets 7 to 23. What we read must be what onnxruntime computes.
values: the same with functions, products, softmax, norms and resizing.
ports: two inputs and two or three outputs (`tests.onnx_drawn_ports`).
qdq: the first with quantisers in between. We leave out rounding and keep clips, so what we read must be what onnxruntime computes
    of the file in which every quantiser of activations is a clip (`without_rounding`).
static: float graphs quantised by onnxruntime.quantization, compared in the same way; and with onnxruntime's integers:
    they are as far off as rounding can move them (`rounding`), and no further.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

import converters
from converters.evaluation import evaluate, logits, outputs
from neuro.errors import NeuroError
from neuro.graph import Graph
from tests.onnx_drawn import Drawn, run
from tests.onnx_drawn_ports import drawn as drawn_ports
from tests.onnx_quantised import rounding, without_rounding

CANCELLED = 4e-7  # of the largest value of any layer: a few roundings of float32
TOLERANCE = 1e-4  # of the outputs' spread, or of their size where that is larger


def outcome(seed: int, kind: str, folder: Path) -> str:
    """What came of a random graph: "equal", "refused: ...", or "DIFFERS: ..."; any other error of the reader is raised."""
    if kind == "ports":
        return _of_ports(seed, folder)
    drawn = Drawn(seed, kind)
    for _ in range(drawn.whole(1, 9)):
        drawn.grow()
    content, path = drawn.model(drawn.now), folder / "drawn.onnx"
    if kind == "static":
        try:
            content = _static(drawn, content, folder)
        except Exception as error:  # noqa: BLE001  # of onnxruntime's quantiser, which is not tested here
            return f"skipped: {type(error).__name__}"
    path.write_bytes(content)
    try:
        graph = converters.read_onnx(path)
    except NeuroError as error:
        return f"refused: {error}"
    got, ranks = logits(graph, drawn.x), {name: value.ndim for name, value in drawn.values.items()}
    expected = run(content if kind in ("float", "values") else without_rounding(content, ranks), drawn.x)
    if got.shape != expected.shape:
        return f"DIFFERS: shape {got.shape}, expected {expected.shape}"
    spread = max(float(np.ptp(expected)), float(np.abs(expected).max()), 1e-3)
    cancelled = CANCELLED * _largest(graph, drawn.x)  # what float32 loses where large values cancel
    off = max(float(np.abs(got - expected).max()) - cancelled, 0.0) / spread
    if off > TOLERANCE:
        return f"DIFFERS: by {off:.2g} of the spread"
    if kind == "static":
        bound = run(rounding(content, ranks), drawn.x) + TOLERANCE * spread
        beyond = float((np.abs(got - run(content, drawn.x)) / bound).max())
        return "equal" if beyond <= 1 else f"DIFFERS: by {beyond:.2g} of what rounding can do from its integers"
    return "equal"


def _of_ports(seed: int, folder: Path) -> str:
    """Files with several inputs and outputs, output by output."""
    content, x, names = drawn_ports(seed)
    (folder / "drawn.onnx").write_bytes(content)
    found = outputs(converters.read_onnx(folder / "drawn.onnx"), x)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for name, wanted in zip(names, session.run(list(names), x), strict=True):
        if name not in found or found[name].shape != wanted.shape:
            return f"DIFFERS: output {name!r} is not there, or has another shape"
        off = float(np.abs(found[name] - wanted).max()) / max(float(np.abs(wanted).max()), 1e-3)
        if off > TOLERANCE:
            return f"DIFFERS: output {name!r} by {off:.2g} of its size"
    return "equal"


def _largest(graph: Graph, x: Any) -> float:
    """The largest absolute value of any layer."""
    names = [layer.name for layer in graph.layers]
    values = evaluate(graph, {graph.inputs[0].name: torch.as_tensor(np.asarray(x, np.float32))}, names)
    return max(float(value.abs().max()) for value in values.values() if value.numel())


def _static(g: Drawn, content: bytes, folder: Path) -> bytes:
    """The graph quantised by onnxruntime, calibrated on the data itself."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        left = [{"x": g.x}]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    (folder / "float.onnx").write_bytes(content)
    signed, unsigned = QuantType.QInt8, QuantType.QUInt8
    activations, weights = g.pick((signed, signed), (unsigned, signed), (unsigned, unsigned))
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it recommends a preparation that would change the file
    try:
        quantize_static(
            str(folder / "float.onnx"),
            str(folder / "static.onnx"),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=g.rng.random() < 0.5,
            reduce_range=g.rng.random() < 0.3,
            activation_type=activations,
            weight_type=weights,
        )
    finally:
        logging.disable(before)
    return (folder / "static.onnx").read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=["float", "qdq", "static", "values", "ports"])
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object")
    options = parser.parse_args()
    counts: dict[str, dict[str, int]] = {}
    for kind in options.kind or ["float", "qdq", "static", "values", "ports"]:
        found: Counter[str] = Counter()
        for seed in range(options.seed, options.seed + options.graphs):
            with tempfile.TemporaryDirectory() as folder:
                what = outcome(seed, kind, Path(folder))
            found[what.split(":")[0]] += 1
            if what.startswith("DIFFERS"):
                print(kind, seed, what, file=sys.stderr, flush=True)  # noqa: T201  # a command
        counts[kind] = dict(found)
        if not options.json:
            print(kind, counts[kind], flush=True)  # noqa: T201  # a command
    if options.json:
        print(json.dumps({"first seed": options.seed, "kinds": counts}))  # noqa: T201  # a command
    sys.exit(any(found.get("DIFFERS") for found in counts.values()))


if __name__ == "__main__":
    main()
