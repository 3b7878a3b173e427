"""Linear maps between arrays of neurons: a shared window, or a matrix. Knows shapes and weights; knows no layers."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neuro.windows import Shape, Sides

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Window:
    """A convolution over (channels, *image): weight (out, in / groups, *kernel), as in torch."""

    source: Shape
    target: Shape
    weight: Floats
    stride: tuple[int, ...]
    padding: Sides
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """Any linear map: weight (source neurons, target neurons), a sparse array, or a plain one behind a fully connected layer.

    rows: where neurons share their weights, as those of an average over an image do, which row of a plain weight each source
    neuron has; None: its own.
    """

    source: Shape
    target: Shape
    weight: Any
    rows: NDArray[np.intp] | None = None

    @property
    def whole(self) -> Any:
        """A row for each source neuron."""
        return self.weight if self.rows is None else self.weight[self.rows]

    @property
    def sharing(self) -> NDArray[np.intp] | None:
        """How many source neurons have each row; None where each has its own."""
        return None if self.rows is None else np.bincount(self.rows)


Operator = Window | Matrix


def with_data(weight: Any, data: Floats) -> Any:
    """A sparse array with other values, of its own, at the same places. Places that nobody needs to sort are shared."""
    if not weight.has_canonical_format:
        return sparse.csr_array((data, weight.indices.copy(), weight.indptr.copy()), shape=weight.shape)
    made = copy(weight)
    made.data = data
    return made
