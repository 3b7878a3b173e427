"""What integer projections bring to their targets, for many samples at once: exact sums in torch.

Sums of integers are exact in float32 as long as no partial sum passes 2^24; where that is not proven, float64 is used, and what
could pass 2^53 is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from neuro.errors import ConversionError
from neuro.projections import Conv1d, Conv2d, Dense, OneToOne, Projection, Sparse, SumPool2d
from neuro.windows import Shape

Tensor = torch.Tensor
_EXACT, _EXACT_64 = 2**24, 2**53


def deliver(projection: Projection, values: Tensor, target: Shape, bound: int) -> Tensor:
    """Charge (samples, *target) int64 that values (samples, *source), |values| <= bound, bring through a projection.

    Real values (float64) bring real charges.
    """
    real = values.dtype == torch.float64
    if isinstance(projection, Sparse):
        size = (int(np.prod(values.shape[1:])), int(np.prod(target)))
        flat = values.reshape(len(values), -1).numpy()
        charge = (flat if real else flat.astype(np.int64)) @ projection.to_sparse((size[0],), (size[1],))
        return torch.as_tensor(charge.reshape(len(values), *target))
    weights = torch.tensor(np.asarray(projection.stored_weights, np.int64))
    largest = 0 if real else _fan_in(projection, weights) * bound
    if largest >= _EXACT_64:
        largest = _fan_in(projection, weights) * int(values.abs().max())
    if largest >= _EXACT_64:
        raise ConversionError(
            projection.name, f"a charge could reach {largest:,}, beyond 53 bits", "Use smaller weights or inputs"
        )
    dtype = torch.float32 if not real and largest < _EXACT else torch.float64
    brought: Tensor = _DELIVER[type(projection)](projection, values.to(dtype), weights.to(dtype))
    brought = brought.reshape(len(values), *target)
    return brought if real else brought.to(torch.int64)


def _fan_in(projection: Projection, weights: Tensor) -> int:
    """Largest sum of absolute weights into one neuron."""
    if isinstance(projection, SumPool2d):
        return int(weights.abs().max()) * int(np.prod(projection.kernel))
    if isinstance(projection, Dense):
        return int(weights.abs().sum(0).max())
    return int(weights.abs().reshape(len(weights), -1).sum(1).max())


def _one_to_one(p: Any, values: Tensor, weights: Tensor) -> Tensor:
    return values * (weights if weights.numel() == 1 else weights.reshape(-1, *[1] * (values.ndim - 2)))


def _conv2d(p: Any, values: Tensor, weights: Tensor) -> Tensor:
    (top, bottom), (left, right) = p.padding
    if top == bottom and left == right:
        return F.conv2d(values, weights, None, p.stride, (top, left), p.dilation, p.groups)
    return F.conv2d(F.pad(values, (left, right, top, bottom)), weights, None, p.stride, 0, p.dilation, p.groups)


def _conv1d(p: Any, values: Tensor, weights: Tensor) -> Tensor:
    return _conv2d(p.as_2d(), values[:, :, None], weights[:, :, None])


def _sum_pool(p: Any, values: Tensor, weights: Tensor) -> Tensor:
    return _conv2d(p.as_conv(values.shape[1]), values, weights.expand(values.shape[1], 1, *p.kernel).contiguous())


_DELIVER: dict[type[Projection], Callable[[Any, Tensor, Tensor], Tensor]] = {
    Dense: lambda p, values, weights: values.reshape(len(values), -1) @ weights,
    OneToOne: _one_to_one,
    Conv2d: _conv2d,
    Conv1d: _conv1d,
    SumPool2d: _sum_pool,
}


def largest(projections: Sequence[Projection], values: Tensor, target: Shape) -> Tensor:
    """Maxima (samples, *target) of values (samples, *source) >= 0 over the synapses of projections, weights aside."""
    found = [_largest(p, values, target) for p in projections]
    return torch.stack(found).amax(0)


def _largest(p: Projection, values: Tensor, target: Shape) -> Tensor:
    window: Any = p.as_2d() if isinstance(p, Conv1d) else p
    if not isinstance(window, Conv2d | SumPool2d):
        listed = p.synapses(tuple(values.shape[1:]), target)
        pre, post = (torch.tensor(np.asarray(part, np.int64)) for part in (listed.pre, listed.post))
        flat = torch.zeros((len(values), int(np.prod(target))), dtype=values.dtype)
        flat.scatter_reduce_(1, post.expand(len(values), -1), values.reshape(len(values), -1)[:, pre], "amax")
        return flat.reshape(len(values), *target)
    image = values[:, :, None] if isinstance(p, Conv1d) else values
    (top, bottom), (left, right) = window.padding
    exact = image.dtype != torch.float64 and (not image.numel() or int(image.abs().max()) < _EXACT)
    padded = F.pad(image.to(torch.float32 if exact else torch.float64), (left, right, top, bottom))
    kernel = window.kernel if isinstance(window, SumPool2d) else window.weights.shape[2:]
    pooled = F.max_pool2d(padded, kernel, window.stride, 0, window.dilation)
    return pooled.reshape(len(values), *target).to(values.dtype)


def fan_out(projection: Projection, source: Shape, target: Shape) -> Tensor:
    """Number of synapses of each source neuron (*source), int64."""
    if isinstance(projection, Sparse):
        counts = np.bincount(projection.weights[0], minlength=int(np.prod(source)))
        return torch.as_tensor(counts.reshape(source))
    weights = torch.as_tensor(np.ones(projection.stored_weights.shape, np.float64))
    probe = torch.zeros((1, *source), dtype=torch.float64, requires_grad=True)
    _DELIVER[type(projection)](projection, probe, weights).sum().backward()
    assert probe.grad is not None
    return probe.grad[0].to(torch.int64)
