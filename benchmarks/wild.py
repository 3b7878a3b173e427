"""Trained ONNX files of other people as networks in code graded: which convert, how near to the float network, how long it takes.

    python benchmarks/wild.py FOLDER [NAME ...]

Prints one row a file: how far the float graph is from onnxruntime, where that is installed (relative error of two samples, of
several outputs the largest), the spikes from the float graph, and the engine from the quantised integers. Inputs are normal
noise; rendered text, files or chords for those that read or hear such; or what FOLDER/NAME.npy holds (samples, *shape). A front
end (a spectrum, a normalisation by the largest value) stays with the host.
"""

from __future__ import annotations

import sys
import sysconfig
import time
import warnings
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import converters
import neuro
from converters.evaluation import outputs
from converters.fronts import split_front

HOW: dict[str, dict[str, Any]] = {  # what a file leaves open
    "ppocr_direction": {"shape": (3, 48, 192)},
    "ppocr_v5_det": {"sizes": {"DynamicDimension.1": 64, "DynamicDimension.2": 64}},
    "swift_f0": {"sizes": {"samples": 2048}, "fixed": {"fmin": 46.875, "fmax": 2093.75}, "samples": False},
    "aecmos_gru": {"shape": (3, 32, 160), "fixed": {"h0": np.zeros((4, 1, 64), np.float32)}},
}
FRONTS = {"swift_f0": "v352", "basic_pitch": "model_1.normalized_log_1.Reshape_2;model_1.normalized_log_1"}  # their last layers
ELSEWHERE = {"silero_vad_16k": "a network of streams, docs/streams.md"}
SAMPLES, FEWER, COMPARED = 48, {"basic_pitch": 16}, 2
HEARD = {"swift_f0": 16_000, "basic_pitch": 22_050}  # samples a second
READ_BYTES, READ_TEXT = ("magika",), ("ppocr_direction", "ppocr_v5_det")
WORDS = (
    "invoice",
    "total",
    "market",
    "open",
    "house",
    "2026",
    "coffee",
    "street",
    "no.",
    "17",
    "train",
    "to",
    "exit",
    "sale",
    "50",
    "%",
    "off",
    "name",
    "date",
    "signed",
    "please",
    "hold",
)
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which these files were trained with


def pages(count: int, height: int, width: int, seed: int = 1) -> Any:
    """Images of text in several sizes and colours, (count, 3, height, width), normalised."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        light, dark = rng.uniform(0.6, 1, 3), rng.uniform(0, 0.4, 3)
        paper, ink = (light, dark) if rng.random() < 0.7 else (dark, light)
        figure = Figure(figsize=(width / 50, height / 50), dpi=50, facecolor=tuple(paper))
        canvas, y = FigureCanvasAgg(figure), 1 - rng.uniform(0, 0.2)
        while y > 0.05:
            size = rng.uniform(6, 16)
            line = " ".join(rng.choice(WORDS, rng.integers(1, 4)))
            figure.text(rng.uniform(0, 0.3), y, line, fontsize=size, color=tuple(ink), va="top")
            y -= size * 50 / 72 * 2.2 / height * rng.uniform(1, 1.6)
        canvas.draw()
        image = np.asarray(canvas.buffer_rgba())[..., :3] / 255 + rng.normal(0, 0.02, (height, width, 3))
        shade = rng.normal(0, 0.05) * np.linspace(-1, 1, width)[None, :, None]
        made.append(((image + shade - MEAN) / SPREAD).transpose(2, 0, 1))
    return np.stack(made).astype(np.float32)


def files(count: int, length: int, draw: int = 0) -> Any:
    """The first and last bytes of files of Python's installation, kinds in turn, (count, length). draw: 0 for those of each kind
    in the order of their paths, else drawn with that seed."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.*")):
        if path.is_file() and path.stat().st_size >= length:
            kinds.setdefault(path.suffix, []).append(path)
    rng = np.random.default_rng(draw)
    if draw:
        kinds = {kind: [paths[i] for i in rng.permutation(len(paths))] for kind, paths in kinds.items()}
    turns = [path for row in zip_longest(*kinds.values()) for path in row if path is not None]
    held = [np.frombuffer(path.read_bytes(), np.uint8) for path in turns[:count]]
    return np.stack([np.concatenate((one[: length // 2], one[-length // 2 :])) for one in held]).astype(np.float32)


def chords(count: int, length: int, rate: int, seed: int = 0) -> Any:
    """Notes of several overtones that begin at different times and die away, with a little noise, (count, length)."""
    rng, t, made = np.random.default_rng(seed), np.arange(length) / rate, []
    for _ in range(count):
        sound = np.zeros(length)
        for _ in range(rng.integers(1, 7)):
            pitch = 440 * 2 ** ((rng.integers(33, 90) - 69) / 12)
            begin, fading = rng.uniform(0, 0.8) * t[-1], rng.uniform(0.3, 2)
            overtones = [k for k in range(1, 8) if k * pitch < rate / 2]
            wave = sum(np.sin(2 * np.pi * pitch * k * t + rng.uniform(0, 6)) / k ** rng.uniform(0.7, 1.5) for k in overtones)
            sound += rng.uniform(0.2, 1) * wave * (t >= begin) * np.exp(-np.maximum(t - begin, 0) / fading)
        made.append(0.5 * sound / np.abs(sound).max() + rng.normal(0, 0.003, length))
    return np.stack(made).astype(np.float32)


def like(name: str, shape: tuple[int, ...], draw: int = 0) -> Any:
    """Inputs (samples, *shape) as a file's users have them, as far as they can be made here; other ones for each draw."""
    count = FEWER.get(name, SAMPLES)
    if name in READ_TEXT:
        return pages(count, *shape[1:], seed=1 + draw)
    if name in READ_BYTES:
        return files(count, shape[0], draw)
    if name in HEARD:
        return chords(count, max(shape), HEARD[name], draw).reshape(count, *shape)
    return np.random.default_rng(draw).normal(size=(count, *shape)).astype(np.float32)


def from_onnxruntime(path: Path, graph: Any, x: Any) -> str:
    """The largest relative error of a float graph's outputs on samples (samples, *shape)."""
    try:
        import onnxruntime
    except ImportError:
        return "-"
    onnxruntime.set_default_logger_severity(3)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    how = HOW.get(path.stem, {})
    fixed = {name: np.asarray(value, np.float32) for name, value in how.get("fixed", {}).items()}
    (free,) = (given for given in session.get_inputs() if given.name not in fixed)
    errors = []
    for one in x:
        given = one.reshape(graph.inputs[0].shape)
        given = given.astype(np.int64 if "int64" in free.type else np.int32 if "int32" in free.type else np.float32)
        theirs = session.run(None, {free.name: given if how.get("samples") is False else given[None], **fixed})
        ours = outputs(graph, one[None])
        for mine, their in zip(ours.values(), theirs, strict=True):
            their = np.asarray(their, np.float64).ravel()
            errors.append(np.linalg.norm(mine.ravel() - their) / (np.linalg.norm(their) or 1.0))
    return f"{max(errors):.1e}"


def row(path: Path) -> str:
    """One file's line of the table."""
    if path.stem in ELSEWHERE:
        return f"| {path.stem} | {ELSEWHERE[path.stem]} | |"
    start = time.perf_counter()
    try:
        graph = converters.read_onnx(path, **HOW.get(path.stem, {}))
        kept = path.with_suffix(".npy")
        x = np.load(kept) if kept.exists() else like(path.stem, graph.inputs[0].shape)
        exact = from_onnxruntime(path, graph, x[:COMPARED])
        if path.stem in FRONTS:
            front, graph = split_front(graph, FRONTS[path.stem])
            x = outputs(front, x, batch=8)[FRONTS[path.stem]]
        made = converters.convert(graph, x, code="graded")
    except neuro.NeuroError as error:
        return f"| {path.stem} | refused | {error} |"
    seconds = time.perf_counter() - start
    run, wanted = neuro.run(made.network, x[:COMPARED]).outputs, made.quantised(x[:COMPARED])
    each = wanted if isinstance(wanted, dict) else dict.fromkeys(run, wanted)
    equal = all(np.array_equal(values.reshape(each[name].shape), each[name]) for name, values in run.items())
    found = made.agreement
    decided = "" if found.decisions is None else f"{100 * found.decisions:.0f} %"
    told = f"float {exact}, correlation {found.correlation:.4f}, decisions {decided or '-'}, error {found.error:.3f}"
    return f"| {path.stem} | {told} | {'engine equal' if equal else 'ENGINE DIFFERS'}, {seconds:.0f} s |"


def main() -> None:
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    warnings.simplefilter("ignore")
    for path in [folder / f"{name}.onnx" for name in names] or sorted(folder.glob("*.onnx")):
        print(row(path), flush=True)


if __name__ == "__main__":
    main()
