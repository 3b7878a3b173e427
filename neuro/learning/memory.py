"""Memory: what a plastic projection has learned besides its weights, so that learning goes on where it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neuro.errors import NetworkError
from neuro.learning.rule import LARGEST_TRACE
from neuro.numbers import settle
from neuro.specification import IntArray, Specification, frozen_array, integer_or_array

_RANGES = {"d": (0, 255), "t": (-256, 255), "x": (0, LARGEST_TRACE), "y": (-128, LARGEST_TRACE)}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Memory(Specification):
    """`epochs` that lie behind; tags d and t (synapses,) in the order of the projection's synapses; traces x (2, source neurons)
    and y (3, target neurons) at the end of the last epoch. None: all are 0."""

    epochs: int = 0
    d: Any = None
    t: Any = None
    x: Any = None
    y: Any = None

    def __post_init__(self) -> None:
        settle(self, NetworkError, "learning memory", epochs=(0, 1 << 62))
        for name, (least, most) in _RANGES.items():
            given = getattr(self, name)
            if given is None:
                continue
            array: IntArray = frozen_array(integer_or_array("learning memory", name, given))
            dimensions = 1 if name in "dt" else 2
            if array.ndim != dimensions or (array.size and not least <= array.min() <= array.max() <= most):
                fact = f"{name} of shape {array.shape} is not {dimensions}-dimensional, or leaves {least}..{most}"
                raise NetworkError("learning memory", fact, "Take it from a run: run.learned")
            object.__setattr__(self, name, array)

    def check(self, where: str, synapses: int, sources: int, targets: int) -> None:
        """Refuse arrays that do not fit a projection."""
        wanted = {"d": (synapses,), "t": (synapses,), "x": (2, sources), "y": (3, targets)}
        for name, shape in wanted.items():
            given = getattr(self, name)
            if given is not None and given.shape != shape:
                fact = f"its memory {name} has shape {given.shape}, the projection needs {shape}"
                raise NetworkError(where, fact, "Take it from a run of this network: run.learned")
