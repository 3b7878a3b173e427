"""Samples of networks with several inputs: an array for each, counted and chosen together. Knows graphs only by their inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.errors import ConversionError
from neuro.graph import Graph


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """As many samples of each input, (samples, *shape), by its name. `len` counts samples; an index takes some of all inputs."""

    by_name: Mapping[str, NDArray[Any]]

    def __post_init__(self) -> None:
        counts = {name: len(array) for name, array in self.by_name.items()}
        if len(set(counts.values())) > 1:
            fact = ", ".join(f"{count:,} of {name}" for name, count in counts.items())
            raise ConversionError("inputs", f"they hold different numbers of samples: {fact}", "Pass as many for each input")

    def __len__(self) -> int:
        return len(next(iter(self.by_name.values())))

    def __getitem__(self, index: Any) -> Samples:
        return self.each(lambda array: array[index])

    def each(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Samples:
        """The same change of every input's array."""
        return Samples({name: change(array) for name, array in self.by_name.items()})

    def frames(self, graph: Graph) -> int:
        """How many frames a sample has: 1 where the arrays have no axis of frames."""
        first = graph.inputs[0]
        array = self.by_name[first.name]
        return int(array.shape[1]) if array.ndim > 1 + len(first.shape) else 1


Given = NDArray[Any] | Samples  # of one input, or of several


def by_input(graph: Graph, samples: Given) -> dict[str, NDArray[Any]]:
    """Samples by the names of the inputs that they are for."""
    return dict(samples.by_name) if isinstance(samples, Samples) else {graph.inputs[0].name: samples}


def each(samples: Given, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Given:
    """The same change of every input's array."""
    return samples.each(change) if isinstance(samples, Samples) else change(samples)


def plain(samples: Any) -> Any:
    """What engines take: an array, or a mapping of names and arrays."""
    return samples.by_name if isinstance(samples, Samples) else samples


def spread(samples: Any, count: int) -> Any:
    """Some samples, evenly over all."""
    return samples[np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int)]
