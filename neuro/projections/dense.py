"""All-to-all projections: a weight for every pair of neurons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.errors import NetworkError
from neuro.projections.base import Projection, Synapses, check_exponent, settle_projection, settle_rule
from neuro.specification import IntArray
from neuro.windows import Shape


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dense(Projection):
    """All to all. `weights` (pre, post) integers."""

    storage = "dense"
    source: str
    target: str
    weights: IntArray
    delay: int = 1
    port: int = 0
    exponent: int = 0
    rule: Any = None
    memory: Any = None

    def __post_init__(self) -> None:
        settle_projection(self, 2)
        check_exponent(self)
        settle_rule(self)

    def check(self, source: Shape, target: Shape) -> None:
        need = (int(np.prod(source)), int(np.prod(target)))
        if self.weights.shape != need:
            raise NetworkError(self.name, f"weights are (pre, post) = {self.weights.shape}, the neurons {need}", "Transpose them")

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        pre, post = np.indices(self.weights.shape).reshape(2, -1)
        return Synapses(pre, post, self.matrix.ravel())

    def count(self, source: Shape, target: Shape) -> int:
        return self.weights.size

    @property
    def matrix(self) -> IntArray:
        return self.expanded().weights
