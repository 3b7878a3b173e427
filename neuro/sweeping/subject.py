"""The network that a sweep is about and the samples it is measured on, as one file that every worker reads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.bundles import load_parts, save_parts
from neuro.errors import FormatError, UsageError
from neuro.graph import Graph

KIND = "sweep subject"
CALIBRATION_SAMPLES = 512


@dataclass(frozen=True, slots=True)
class SweepSubject:
    """A folded float graph, calibration inputs (samples, *shape), test inputs with their classes (samples,).

    `accuracy_ann` is the float network's on the same test inputs.
    """

    title: str
    graph: Graph
    calibration: NDArray[Any]
    inputs: NDArray[Any]
    labels: NDArray[np.int64]
    accuracy_ann: float

    def save(self, path: Path) -> str:
        """Write the file; returns its SHA-256, which names the subject."""
        save_parts({name: getattr(self, name) for name in self.__slots__}, path, KIND)
        return fingerprint(path)


def fingerprint(path: Path) -> str:
    """SHA-256 of a subject's file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_subject(path: Path) -> SweepSubject:
    """Read what `SweepSubject.save` wrote."""
    parts = load_parts(path, KIND)
    kinds = {
        "title": str,
        "graph": Graph,
        "accuracy_ann": float,
        **dict.fromkeys(("calibration", "inputs", "labels"), np.ndarray),
    }
    wrong = [name for name, kind in kinds.items() if not isinstance(parts.get(name), kind)]
    if wrong or parts.keys() != kinds.keys():
        raise FormatError(str(path), f"it is no sweep's subject ({', '.join(wrong) or 'more'})", "Begin the sweep again")
    return SweepSubject(**parts)


def subject_of(model: Any, inputs: Any, labels: Any, *, calibration: Any = None, title: str = "A network") -> SweepSubject:
    """A subject from a torch module or a Graph.

    inputs (samples, *shape), labels (samples,); calibration: typical inputs, the first 512 of `inputs` when left out.
    Raises ConversionError for a network that has no spiking form, UsageError for labels that do not match.
    """
    from converters.evaluation import logits
    from converters.folding import fold
    from converters.frontend import sample_pair, trace

    x, y = np.asarray(inputs), np.asarray(labels)
    if len(x) == 0 or y.shape != (len(x),) or y.dtype.kind not in "ui":
        raise UsageError("labels", f"shape {y.shape}, {y.dtype} for {len(x)} samples", "Pass one class number for each sample")
    typical = np.asarray(x[:CALIBRATION_SAMPLES] if calibration is None else calibration)
    graph = fold(model if isinstance(model, Graph) else trace(model, sample_pair(typical)))
    answers = logits(graph, x)
    if y.min() < 0 or y.max() >= answers.shape[1]:
        fact = f"classes {y.min()} to {y.max()} for a network of {answers.shape[1]}"
        raise UsageError("labels", fact, f"Use 0 to {answers.shape[1] - 1}")
    accuracy = float((answers.argmax(axis=1) == y).mean())
    return SweepSubject(title, graph, typical, x, y.astype(np.int64), accuracy)
