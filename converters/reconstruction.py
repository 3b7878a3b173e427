"""Weights that make up for what the layers before them get wrong: a least-squares fit of each path into a stage to the float
pre-activations, given what its source really sends; and the second moments of that, by which weights are rounded.

Source: Frantar et al. 2023 (GPTQ) for the rounding; the fit is ridge regression towards the trained weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_solve

from converters.observations import Array, Moments, Places, moments, observe, places_of
from converters.operators import Matrix, Operator, dense, full

Floats = NDArray[np.float64]
Tensor = torch.Tensor
_WIDEST = 1200  # inputs of one weight row: beyond, the moments' factors cost more than they bring
_CONSTANT = 1e-12  # variance, as a share of the mean square, below which inputs count as constant
_RIDGE = 0.02  # of the inputs' mean variance, added to it; more where observations are few
_FILLED = 0.75  # share of weights other than zero up to which a window counts as pruned
_TOGETHER = 2**11  # observations that are multiplied at once
_BLOCK = 48  # inputs that are rounded between two products of matrices


@dataclass(frozen=True, slots=True)
class Sent:
    """What a source sends in all, whole numbers (samples, *source), and the messages that count as one of its unit."""

    total: Tensor
    messages: int = 1


def reconstruct(
    operators: Sequence[Operator], sent: Sequence[Sent], wanted: Tensor
) -> tuple[list[Operator], list[Floats | None]]:
    """Each operator fitted in turn, and the factors of `factor_of` for its inputs (None where it is too wide to be fitted).
    Where neurons share their weights and are too many to be fitted each by itself, what they send in all is one input.

    sent: what each source sends; wanted: (samples, *target), up to a constant per channel.
    """
    operators = [_apart(op) for op in operators]
    places = places_of(operators, len(wanted))
    target = places.of(wanted.reshape(*wanted.shape[:2], -1).numpy())
    fitted = list(operators)
    factors: list[Floats | None] = []
    several = len(operators) > 1
    seen = [_inputs(op, one, places) if several else None for op, one in zip(operators, sent, strict=True)]
    brought = [_brought(*part, places) if several else 0.0 for part in zip(operators, sent, seen, strict=True)]
    for i, (operator, one) in enumerate(zip(operators, sent, strict=True)):
        missing = target - sum(brought[:i]) - sum(brought[i + 1 :])
        found = _moments(operator, one, seen[i], places, missing)
        if found is None:
            factors.append(None)
            continue
        fitted[i], factor = _better(operator, found)
        factors.append(factor)
        if several and i + 1 < len(operators):
            brought[i] = _brought(fitted[i], one, seen[i], places)
    return fitted, factors


def _apart(operator: Operator) -> Operator:
    """A matrix with a row for each neuron, where that is not too wide."""
    if isinstance(operator, Matrix) and operator.rows is not None and len(operator.rows) <= _WIDEST:
        return replace(operator, weight=operator.whole, rows=None)
    return operator


def _better(operator: Operator, found: Moments) -> tuple[Operator, Floats]:
    """The operator fitted to moments, and the factor of the inputs' covariance with the ridge added."""
    width = found.inputs.shape[1]
    rows = rows_of(operator)
    missing = found.wanted - found.inputs @ rows.swapaxes(1, 2)
    mean = np.einsum("gii->g", found.inputs) / width
    ridge = np.maximum(mean, _CONSTANT * found.power) * (_RIDGE + width / found.count)
    covariance = found.inputs + ridge[:, None, None] * np.eye(width)
    factor = factor_of(covariance)
    if len(factor) == 1:
        lower = factor[0, ::-1, ::-1]
        change = cho_solve((lower, True), missing[0, ::-1])[None, ::-1]
    else:
        change = np.linalg.solve(covariance, missing)
    return with_rows(operator, rows + change.swapaxes(1, 2)), factor


def _inputs(operator: Operator, one: Sent, places: Places) -> Array | None:
    """What the weight rows of a window see of what its source sends; None of a matrix."""
    return None if isinstance(operator, Matrix) else observe(operator, one.total, places)


def _moments(operator: Operator, one: Sent, seen: Array | None, places: Places, wanted: Array) -> Moments | None:
    """Moments with the inputs in units of the operator; None where it is too wide, sparse or pruned, or its source is silent."""
    if isinstance(operator, Matrix):
        if operator.weight.shape[0] > _WIDEST or not full(operator):
            return None
        inputs: Array = _by_row(operator, one.total).T[None]
        wanted = wanted.reshape(len(wanted), len(one.total), -1).swapaxes(1, 2).reshape(-1, len(one.total))
    else:
        if int(np.prod(operator.weight.shape[1:])) > _WIDEST or _pruned(operator.weight):
            return None
        inputs = observe(operator, one.total, places) if seen is None else seen
    found = moments(inputs, wanted)
    if not found.power:  # a source that sends nothing tells nothing of its weights
        return None
    n = one.messages
    return replace(found, power=found.power / n**2, inputs=found.inputs / n**2, wanted=found.wanted / n)


def _pruned(weight: Floats) -> bool:
    """Whether so many weights are zero that they were made so: a fit would fill them."""
    return bool(np.count_nonzero(weight) <= _FILLED * weight.size)


def _brought(operator: Operator, one: Sent, seen: Array | None, places: Places) -> Floats:
    """What an operator makes of what its source sends, (channels, observations); `seen` as from `_inputs`."""
    if isinstance(operator, Matrix):
        flat = np.asarray(_by_row(operator, one.total) @ operator.weight / one.messages)
        return places.of(flat.reshape(len(flat), operator.target[0], -1))
    assert seen is not None
    rows = rows_of(operator)
    parts = [rows @ seen[:, :, at : at + _TOGETHER].astype(np.float64) for at in range(0, seen.shape[2], _TOGETHER)]
    return np.concatenate(parts, axis=2).reshape(-1, seen.shape[2]) / one.messages


def _by_row(operator: Matrix, total: Tensor) -> Floats:
    """What reaches each row of a matrix's weights, (samples, rows): sums of what neurons send that share one."""
    flat = total.reshape(len(total), -1).double()
    if operator.rows is None:
        return np.asarray(flat.numpy())
    found = torch.zeros(len(flat), len(operator.weight), dtype=flat.dtype)
    return np.asarray(found.index_add_(1, torch.as_tensor(operator.rows), flat).numpy())


def apply(operator: Operator, values: Tensor) -> Tensor:
    """What an operator makes of values (samples, *source), in float64."""
    sent, everywhere = Sent(values), Places(((slice(0, len(values)), None),))
    found = _brought(operator, sent, _inputs(operator, sent, everywhere), everywhere)
    return torch.as_tensor(found.reshape(len(found), len(values), -1).swapaxes(0, 1).reshape(len(values), *operator.target))


def round_with(operator: Operator, factor: Floats, limit: int) -> Operator:
    """An operator's weights rounded to integers within +-limit, given the factor of the covariance of its inputs."""
    return with_rows(operator, rounded(rows_of(operator), factor, limit))


def factor_of(covariance: Floats) -> Floats:
    """Upper triangular R with R R' = covariance, (groups, inputs, inputs)."""
    lower = np.linalg.cholesky(covariance[:, ::-1, ::-1])
    return np.ascontiguousarray(lower[:, ::-1, ::-1])


def rounded(weight: Floats, factor: Floats, limit: int) -> Floats:
    """Rows (groups, rows, inputs) rounded to integers within +-limit, one input after the other, where what rounding one
    input's weight costs is made up for by the weights of inputs that go with it.

    Rows that are off by e cost e R R' e': each entry of e R is made as small as its own integer allows, given those before it.
    """
    result, error = np.empty_like(weight), np.zeros_like(weight)
    width = weight.shape[2]
    for start in range(0, width, _BLOCK):
        stop = min(start + _BLOCK, width)
        before = error[:, :, :start] @ factor[:, :start, start:stop]
        for i in range(start, stop):
            carried = before[:, :, i - start] + np.einsum("gri,gi->gr", error[:, :, start:i], factor[:, start:i, i])
            best = weight[:, :, i] + carried / factor[:, None, i, i]
            result[:, :, i] = np.minimum(np.maximum(np.rint(best), -limit), limit)  # np.clip, without what its call costs
            error[:, :, i] = weight[:, :, i] - result[:, :, i]
    return result


def rows_of(operator: Operator) -> Floats:
    """An operator's weights as (groups, rows, inputs); neurons that share theirs are one input."""
    if isinstance(operator, Matrix):
        return (dense(operator) if operator.rows is None else np.asarray(operator.weight, np.float64)).T[None]
    groups = operator.groups
    return operator.weight.reshape(groups, operator.weight.shape[0] // groups, -1)


def with_rows(operator: Operator, rows: Floats) -> Operator:
    """The operator with other weights."""
    if isinstance(operator, Matrix):
        return replace(operator, weight=rows[0].T.copy())
    return replace(operator, weight=rows.reshape(operator.weight.shape))
