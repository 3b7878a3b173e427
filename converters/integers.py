"""Float operators between thresholds -> integer projections, one integer threshold per population.

W_int = round(W * unit of the source / unit of the target * threshold), where a unit is the real value of one message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from converters import linear
from converters.linear import Matrix, Operator, Window
from converters.operators import entries, full, largest_into, with_data
from neuro.projections import Conv1d, Conv2d, Dense, Projection, Sparse
from neuro.projections.forms import most_special

Floats = NDArray[np.float64]


def largest_weight(operators: Sequence[Operator]) -> float:
    """The largest absolute weight."""
    parts = [entries(op) if isinstance(op, Matrix) else op.weight for op in operators]
    return max((float(max(part.max(), -part.min())) for part in parts if part.size), default=0.0)


def largest_by_channel(operators: Sequence[Operator], limits: Sequence[int]) -> Floats:
    """The largest absolute weight into each target channel (first axis) as a share of its operator's limit, (channels,)."""
    found = []
    for op, limit in zip(operators, limits, strict=True):
        channels = op.target[0]
        if isinstance(op, Window):
            found.append(np.abs(op.weight).reshape(channels, -1).max(axis=1) / limit)
        else:
            found.append(largest_into(op).reshape(channels, -1).max(axis=1) / limit)
    largest: Floats = np.max(found, axis=0)
    return largest


def rounded(operator: Operator, limit: int) -> Operator:
    """Weights rounded to the nearest integer within +-limit."""
    if isinstance(operator, Window):
        return Window(
            operator.source, operator.target, np.clip(np.rint(operator.weight), -limit, limit),
            operator.stride, operator.padding, operator.dilation, operator.groups,
        )  # fmt: skip
    if not sparse.issparse(operator.weight):
        return replace(operator, weight=np.clip(np.rint(operator.weight), -limit, limit))
    weight = operator.weight.tocsr(copy=True)
    weight.data = np.clip(np.rint(weight.data), -limit, limit)
    weight.eliminate_zeros()
    return Matrix(operator.source, operator.target, weight)


def paired(operator: Operator, limit: int) -> list[tuple[Operator, int]]:
    """Operators within +-limit and exponents: the given one is the sum of them, each times two to its exponent."""
    largest = largest_weight([operator])
    if largest <= limit:
        return [(operator, 0)]
    shift = 1
    while limit * (2**shift + 1) < largest:
        shift += 1
    coarse = rounded(shifted(operator, 2.0**-shift), limit)
    fine = replace(operator, weight=_compact(operator.weight - coarse.weight * 2.0**shift))
    return [(coarse, shift), (fine, 0)] if largest_weight([fine]) else [(coarse, shift)]


def _compact(weight: Any) -> Any:
    """Sparse weights without stored zeros; others as they are."""
    if sparse.issparse(weight):
        weight.eliminate_zeros()
    return weight


def shifted(operator: Operator, factor: float) -> Operator:
    """An operator times a power of two."""
    return operator if factor == 1 else replace(operator, weight=operator.weight * factor)


def rounded_with_share(operator: Operator, limit: int) -> tuple[Operator, float]:
    """What `rounded` and `kept` return, of an operator and its rounded form."""
    weight = operator.weight if isinstance(operator, Matrix) and sparse.issparse(operator.weight) else None
    if weight is None or weight.format != "csr" or not weight.has_canonical_format:
        made = rounded(operator, limit)
        return made, kept(operator, made)
    data = np.clip(np.rint(weight.data), -limit, limit)
    error, energy = weight.data - data, _energy(weight, None)
    share = 1 - _energy(error[error != 0], None) / energy if energy else 1.0
    there = data != 0
    if there.all():
        return Matrix(operator.source, operator.target, with_data(weight, data)), share
    starts = np.concatenate(([0], np.cumsum(there)))[weight.indptr].astype(weight.indptr.dtype)
    fewer = sparse.csr_array((data[there], weight.indices[there], starts), shape=weight.shape)
    fewer.has_canonical_format = True
    return Matrix(operator.source, operator.target, fewer), share


def kept(operator: Operator, rounded: Operator) -> float:
    """The share of an operator's energy (the sum of its squared weights) that rounding keeps: 1 less that of the error."""
    sharing = operator.sharing if isinstance(operator, Matrix) else None
    energy, error = (_energy(weight, sharing) for weight in (operator.weight, operator.weight - rounded.weight))
    return 1 - error / energy if energy else 1.0


def _energy(weight: Any, sharing: Any) -> float:
    """The sum of squares of an array, dense or sparse; `sharing`: how often each row counts, if not once."""
    if sharing is not None:
        return float(np.einsum("ij,ij->i", weight, weight) @ sharing)
    values = (weight.data if sparse.issparse(weight) else weight).ravel()
    return float(np.vdot(values, values))


def split_sign(operator: Operator) -> Operator:
    """The operator for a source split into a positive and a negative half along its first axis."""
    shape = (2 * operator.source[0], *operator.source[1:])
    if isinstance(operator, Window) and operator.groups == 1:
        weight = np.concatenate([operator.weight, -operator.weight], axis=1)
        return Window(
            shape, operator.target, weight, operator.stride, operator.padding, operator.dilation, 1
        )  # fmt: skip
    weight = linear.to_matrix(operator).whole
    both = sparse.vstack([weight, -weight], format="csr") if sparse.issparse(weight) else np.concatenate([weight, -weight])
    return Matrix(shape, operator.target, both)


def projection(source: str, target: str, operator: Operator, delay: int) -> Projection:
    """The projection that stores an integer operator with the fewest synapses."""
    if isinstance(operator, Matrix):
        return _matrix_projection(source, target, operator, delay)
    weight = operator.weight.astype(np.int64)
    if weight.ndim == 4:
        two: Any = operator  # of two axes, as its weights show
        return most_special(Conv2d(source, target, weight, two.stride, two.padding, two.dilation, two.groups, delay))
    (stride,), (padding,), (dilation,) = operator.stride, operator.padding, operator.dilation
    return most_special(Conv1d(source, target, weight, stride, padding, dilation, operator.groups, delay))


def _matrix_projection(source: str, target: str, operator: Matrix, delay: int) -> Projection:
    if full(operator):
        weight = operator.weight.toarray() if sparse.issparse(operator.weight) else operator.weight
        whole = weight.astype(np.int32)
        return Dense(source, target, whole if operator.rows is None else whole[operator.rows], delay)
    whole = operator.whole
    if sparse.issparse(whole) and whole.format == "csr":
        rows = np.repeat(np.arange(whole.shape[0], dtype=np.int32), np.diff(whole.indptr))
        return Sparse(source, target, (rows, whole.indices, whole.data.astype(np.int64)), delay)
    matrix = sparse.coo_array(whole)
    return Sparse(source, target, (matrix.row, matrix.col, matrix.data.astype(np.int64)), delay)
