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


def entries(matrix: Matrix) -> Floats:
    """The stored weights of a matrix, in some order, those that neurons share once."""
    return np.asarray(matrix.weight.data if sparse.issparse(matrix.weight) else matrix.weight)


def dense(matrix: Matrix) -> Floats:
    """The weights of a matrix as a plain array."""
    return np.asarray(matrix.weight.toarray() if sparse.issparse(matrix.weight) else matrix.whole, np.float64)


def full(matrix: Matrix) -> bool:
    """Whether most weights of a matrix are not zero."""
    if matrix.rows is not None:
        return bool(2 * np.count_nonzero(matrix.weight, axis=1) @ matrix.sharing > len(matrix.rows) * matrix.weight.shape[1])
    return bool(2 * np.count_nonzero(entries(matrix)) > np.prod(matrix.weight.shape))


def largest_into(matrix: Matrix) -> Floats:
    """The largest absolute weight into each target neuron, (neurons,)."""
    if not sparse.issparse(matrix.weight):
        return np.asarray(np.maximum(matrix.weight.max(axis=0), -matrix.weight.min(axis=0)))
    if matrix.weight.format == "csr" and matrix.weight.has_canonical_format:
        found = np.zeros(matrix.weight.shape[1])
        np.maximum.at(found, matrix.weight.indices, np.abs(matrix.weight.data))
        return found
    return np.asarray(abs(matrix.weight).max(axis=0).toarray(), np.float64).ravel()


def sums_into(operator: Operator) -> Floats:
    """The sum of absolute weights into each target neuron, (neurons,); of a window into each channel."""
    if isinstance(operator, Window):
        return np.asarray(np.abs(operator.weight).reshape(len(operator.weight), -1).sum(axis=1))
    weight = abs(operator.weight)
    shared = weight if operator.sharing is None else weight * operator.sharing[:, None]
    return np.asarray(shared.sum(axis=0), np.float64).ravel()
