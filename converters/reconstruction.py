"""Weights that make up for what the layers before them get wrong: a least-squares fit of each path into a stage to the float
pre-activations, given what its source really sends; and the second moments of that, by which weights are rounded.

Source: Frantar et al. 2023 (GPTQ) for the rounding; the fit is ridge regression towards the trained weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from converters.linear import Matrix, Operator, Window

Floats = NDArray[np.float64]
Tensor = torch.Tensor
_WIDEST = 1200  # inputs of one weight row: beyond, the moments' inverse costs more than it brings
_ROWS = 2**14  # observations
_VALUES = 2**22  # values unfolded at a time
_CONSTANT = 1e-12  # variance, as a share of the mean square, below which inputs count as constant
_RIDGE = 0.02  # of the inputs' mean variance, added to it; more where observations are few


@dataclass(frozen=True, slots=True)
class Moments:
    """Of the inputs of each weight row: covariance (groups, inputs, inputs) with the ridge added, and their covariance with
    what is missing (groups, inputs, rows of the group)."""

    inputs: Floats
    missing: Floats


def reconstruct(
    operators: Sequence[Operator], values: Sequence[Tensor], wanted: Tensor
) -> tuple[list[Operator], list[Floats | None]]:
    """Each operator fitted in turn, and the covariance of its inputs (None where it is too wide to be fitted).

    values: what each source sends, (samples, *source); wanted: (samples, *target), up to a constant per channel.
    """
    fitted: list[Operator] = []
    covariances: list[Floats | None] = []
    missing = wanted.double()
    for operator, value in zip(operators, values, strict=True):
        missing = missing - apply(operator, value)
    for operator, value in zip(operators, values, strict=True):
        found = _moments(operator, value, missing)
        if found is None:
            fitted.append(operator)
            covariances.append(None)
            continue
        better = with_rows(operator, rows_of(operator) + np.linalg.solve(found.inputs, found.missing).swapaxes(1, 2))
        missing = missing - (apply(better, value) - apply(operator, value))
        fitted.append(better)
        covariances.append(found.inputs)
    return fitted, covariances


def apply(operator: Operator, values: Tensor) -> Tensor:
    """What an operator makes of values (samples, *source), in float64."""
    values = values.double()
    if isinstance(operator, Matrix):
        flat = values.reshape(len(values), -1).numpy() @ operator.weight
        return torch.as_tensor(np.asarray(flat)).reshape(len(values), *operator.target)
    conv: Any = F.conv1d if len(operator.source) == 2 else F.conv2d
    padded = _padded(operator, values)
    result: Tensor = conv(padded, torch.as_tensor(operator.weight), None, operator.stride, 0, operator.dilation, operator.groups)
    return result


def round_with(operator: Operator, covariance: Floats, limit: int) -> Operator:
    """An operator's weights rounded to integers within +-limit, given the covariance of its inputs."""
    return with_rows(operator, rounded(rows_of(operator), covariance, limit))


def rounded(weight: Floats, covariance: Floats, limit: int) -> Floats:
    """Rows (groups, rows, inputs) rounded to integers within +-limit, one input after the other, where what rounding one
    input's weight costs is made up for by the weights of inputs that go with it."""
    inverse = np.linalg.inv(covariance)
    factor = np.linalg.cholesky(inverse).swapaxes(1, 2)  # upper triangular
    left, result = weight.copy(), np.zeros_like(weight)
    for i in range(weight.shape[2]):
        result[:, :, i] = np.clip(np.rint(left[:, :, i]), -limit, limit)
        error = (left[:, :, i] - result[:, :, i]) / factor[:, None, i, i]
        left[:, :, i:] -= error[:, :, None] * factor[:, None, i, i:]
    return result


def rows_of(operator: Operator) -> Floats:
    """An operator's weights as (groups, rows, inputs)."""
    if isinstance(operator, Matrix):
        return np.asarray(operator.weight.toarray().T[None])
    groups = operator.groups
    return operator.weight.reshape(groups, operator.weight.shape[0] // groups, -1)


def with_rows(operator: Operator, rows: Floats) -> Operator:
    """The operator with other weights."""
    if isinstance(operator, Matrix):
        return replace(operator, weight=type(operator.weight)(rows[0].T))
    return replace(operator, weight=rows.reshape(operator.weight.shape))


def _moments(operator: Operator, values: Tensor, missing: Tensor) -> Moments | None:
    width = int(np.prod(operator.source)) if isinstance(operator, Matrix) else int(np.prod(operator.weight.shape[1:]))
    if width > _WIDEST or (isinstance(operator, Matrix) and operator.weight.nnz < 0.5 * np.prod(operator.weight.shape)):
        return None
    groups = 1 if isinstance(operator, Matrix) else operator.groups
    a, b = _observed(operator, values, missing, groups)
    power = float(a.square().mean())
    if not power:  # a source that sends nothing says nothing of its weights
        return None
    a, b = a - a.mean(2, keepdim=True), b - b.mean(2, keepdim=True)
    count = a.shape[2]
    inputs, cross = a @ a.transpose(1, 2) / count, a @ b.transpose(1, 2) / count
    mean = inputs.diagonal(dim1=1, dim2=2).mean(1)
    ridge = torch.clamp(mean, min=_CONSTANT * power) * (_RIDGE + width / count)
    inputs = inputs + ridge[:, None, None] * torch.eye(width, dtype=inputs.dtype)
    return Moments(inputs.numpy(), cross.numpy())


def _observed(operator: Operator, values: Tensor, missing: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Inputs (groups, inputs, observations) of the weight rows and what is missing (groups, rows, observations)."""
    if isinstance(operator, Matrix):
        return values.reshape(len(values), -1).T[None].double(), missing.reshape(len(missing), -1).T[None]
    places = int(np.prod(operator.target[1:]))
    width = int(np.prod(operator.weight.shape[1:]))
    keep = max(1, min(places, _ROWS // len(values)))
    batch = max(1, _VALUES // (groups * width * places))
    draw = torch.Generator().manual_seed(0)
    a, b = [], []
    for start in range(0, len(values), batch):
        chosen = torch.randperm(places, generator=draw)[:keep]
        part = _unfolded(operator, values[start : start + batch])[..., chosen]
        target = missing[start : start + batch].reshape(part.shape[0], groups, -1, places)[..., chosen]
        a.append(part.reshape(len(part), groups, width, keep).permute(1, 2, 0, 3).reshape(groups, width, -1))
        b.append(target.permute(1, 2, 0, 3).reshape(groups, target.shape[2], -1))
    return torch.cat(a, 2), torch.cat(b, 2)


def _unfolded(operator: Window, values: Tensor) -> Tensor:
    """Inputs of every window, (samples, channels x kernel, places)."""
    padded = _padded(operator, values.double())
    kernel, dilation, stride = operator.weight.shape[2:], operator.dilation, operator.stride
    if padded.ndim == 3:
        padded, kernel, dilation, stride = padded[:, :, None], (1, *kernel), (1, *dilation), (1, *stride)
    result: Tensor = F.unfold(padded, kernel, dilation, 0, stride)
    return result


def _padded(operator: Window, values: Tensor) -> Tensor:
    flat = [side for sides in reversed(operator.padding) for side in sides]
    return F.pad(values, flat)
