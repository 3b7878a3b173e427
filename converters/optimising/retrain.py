"""retrained(graph, how) -> Graph: a network trained for a code until its messages cost what they may. No tensor goes in or
out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from converters.convertible import computes_with_values
from converters.optimising.devices import fastest
from converters.optimising.messages import layer_prices
from converters.optimising.plain import PlainStudent
from converters.optimising.student import Coding, Masks, Student
from converters.optimising.training import Augment, Lessons, TrainingPlan, train
from neuro.codes import Code
from neuro.graph import Graph
from neuro.threads import one_thread

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """How a network is trained: its teacher and what it still has of it, samples, the code, prices {layer: pJ of one message of
    each neuron}, weights that stay zero, bits of weights by layer, whether with batch norms, and the training itself."""

    teacher: Graph
    kept: Mapping[str, tuple[int, ...]]
    x: Floats
    y: NDArray[np.int64] | None
    calibration: Floats
    code: str
    prices: Mapping[str, NDArray[np.float64]]
    training: TrainingPlan
    timesteps: int = 1
    augment: Augment | None = None
    masks: Masks = field(default_factory=dict)
    weight_bits: Mapping[str, int] = field(default_factory=dict)
    norms: bool = False


def retrained(graph: Graph, how: Retraining, progress: Callable[[int, int], None] | None = None) -> Graph:
    """The network trained as said; prices of what is no rectifier or pool of it are left out."""
    coding = Coding(cast(Code, how.code), how.timesteps, how.weight_bits)
    kept = {name: np.asarray(entries, np.int64) for name, entries in how.kept.items()}
    lessons = Lessons(how.x, how.y, how.teacher, kept, how.augment)
    with one_thread():
        if computes_with_values(graph):  # almost all of its values are sent, whatever they are
            plain = PlainStudent(graph, how.masks)
            with _on(plain):
                train(plain, lessons, replace(how.training, target_pj=None), {}, progress)
            return plain.graph()
        student = Student(graph, how.calibration, coding, how.masks, how.norms)
        shapes = {layer.name: layer.shape for layer in graph.layers if layer.op in ("relu", "max_pool")}
        with _on(student):
            train(student, lessons, how.training, layer_prices(how.prices, shapes), progress)
        return student.graph()


@contextmanager
def _on(student: Student | PlainStudent) -> Iterator[None]:
    """The student, and tensors that are made meanwhile, on the fastest device; nothing is moved where that is the CPU."""
    device = fastest()
    if device.type == "cpu":
        yield
        return
    student.to(device)
    with device:
        yield
