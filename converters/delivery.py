"""What integer projections bring to their targets, for many samples at once: exact sums in torch.

Sums of integers are exact in float32 as long as no partial sum passes 2^24; where that is not proven, float64 is used, and what
could pass 2^53 is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from neuro.errors import ConversionError
from neuro.projections import Conv2d, Projection
from neuro.projections.forms import as_convolution
from neuro.windows import Shape

Tensor = torch.Tensor
_EXACT, _EXACT_64 = 2**24, 2**53


@dataclass(frozen=True, slots=True)
class Carrier:
    """A projection between two shapes: `bring(values, kind)` makes charges (samples, *target) in a float type out of values
    (samples, *source) in the same type, none of them beyond `largest`."""

    largest: int
    bring: Callable[[Tensor, torch.dtype], Tensor]


def carrier(projection: Projection, source: Shape, target: Shape, frames: Tensor, bound: int) -> Carrier:
    """What carries the messages of some frames (steps, samples, *source), |messages| <= bound, through a projection."""
    linear = _linear(projection, source, target)
    if linear is None:
        matrix = projection.to_sparse(source, target)
        most = int(abs(matrix).sum(axis=0).max()) * bound
        return Carrier(most, lambda values, kind: _listed(matrix, values, target).to(kind))
    weights, apply = linear
    most = _fan_in(projection, weights) * bound
    if most >= _EXACT:
        most = _brought_at_most(apply, weights, frames)
    if most >= _EXACT_64:
        fact = f"a charge could reach {most:,}, beyond 53 bits"
        raise ConversionError(projection.name, fact, "Use smaller weights or inputs")
    cast: dict[torch.dtype, Tensor] = {}

    def bring(values: Tensor, kind: torch.dtype) -> Tensor:
        if kind not in cast:
            cast[kind] = weights.to(kind)
        return apply(values, cast[kind]).reshape(len(values), *target)

    return Carrier(most, bring)


def exact_in(largest: int) -> torch.dtype:
    """The float type that holds all whole numbers up to `largest`."""
    return torch.float32 if largest < _EXACT else torch.float64


def deliver(projection: Projection, values: Tensor, target: Shape) -> Tensor:
    """Real charges (samples, *target) that real values (samples, *source), float64, bring through a projection."""
    source = tuple(values.shape[1:])
    linear = _linear(projection, source, target)
    if linear is None:
        return _listed(projection.to_sparse(source, target), values, target)
    weights, apply = linear
    return apply(values, weights.to(values.dtype)).reshape(len(values), *target)


def _listed(matrix: Any, values: Tensor, target: Shape) -> Tensor:
    """Through a sparse matrix (source neurons, target neurons)."""
    return torch.as_tensor(values.reshape(len(values), -1).double().numpy() @ matrix).reshape(len(values), *target)


def _brought_at_most(apply: Callable[[Tensor, Tensor], Tensor], weights: Tensor, frames: Tensor) -> int:
    """The largest |charge| that values no larger than these ones can bring, rounded up."""
    largest = torch.maximum(frames.amax((0, 1)), -frames.amin((0, 1)))
    return int(apply(largest[None].double(), weights.abs().double()).max())


def _linear(projection: Projection, source: Shape, target: Shape) -> tuple[Tensor, Callable[[Tensor, Tensor], Tensor]] | None:
    """Weights, and a function of values (samples, *source) and such weights; None where synapses have to be listed."""
    if projection.matrix is not None:
        return _tensor(projection.matrix), lambda values, weights: values.flatten(1) @ weights
    if projection.offset == 0 and prod(source) == prod(target):
        column = projection.expanded().stored_weights.reshape(-1, *[1] * (len(source) - 1))
        return _tensor(column), lambda values, weights: values * weights
    conv = as_convolution(projection, source, target)
    if conv is None:
        return None
    return _tensor(conv.weights), lambda values, weights: _convolve(conv, values, weights)


def _tensor(weights: Any) -> Tensor:
    return torch.tensor(np.asarray(weights))


def _fan_in(projection: Projection, weights: Tensor) -> int:
    """Largest sum of absolute weights into one neuron."""
    if projection.matrix is not None:
        kind = exact_in(len(weights) * max(int(weights.max()), -int(weights.min())))  # floats, whose sums are quicker
        return int(weights.to(kind).abs_().sum(0).max())
    return int(weights.abs().reshape(len(weights), -1).sum(1).max())


def _convolve(conv: Conv2d, values: Tensor, weights: Tensor) -> Tensor:
    options: Any = (conv.stride, conv.dilation, conv.groups)
    (top, bottom), (left, right) = conv.padding
    image = values[:, :, None] if values.ndim == 3 else values
    if top == bottom and left == right:
        return F.conv2d(image, weights, None, options[0], (top, left), *options[1:])
    return F.conv2d(F.pad(image, (left, right, top, bottom)), weights, None, options[0], 0, *options[1:])


def largest(projections: Sequence[Projection], values: Tensor, target: Shape) -> Tensor:
    """Maxima (samples, *target) of values (samples, *source) >= 0 over the synapses of projections, weights aside."""
    first, *others = (_largest(p, values, target) for p in projections)
    for other in others:
        torch.maximum(first, other, out=first)
    return first


def _largest(p: Projection, values: Tensor, target: Shape) -> Tensor:
    conv = as_convolution(p, tuple(values.shape[1:]), target) if p.slides else None
    if conv is None or not (conv.groups == len(conv.weights) == values.shape[1]):
        listed, size = p.synapses(tuple(values.shape[1:]), target), prod(target)
        picked = np.full(size, -1)
        picked[listed.post] = listed.pre
        if len(listed.pre) == size and (picked >= 0).all():  # one for each target, as the taps of a window
            taken = values.reshape(len(values), -1).numpy().take(picked, axis=1)
            return torch.as_tensor(taken).reshape(len(values), *target)
        pre, post = (torch.tensor(np.asarray(part, np.int64)) for part in (listed.pre, listed.post))
        flat = torch.zeros((len(values), size), dtype=values.dtype)
        flat.scatter_reduce_(1, post.expand(len(values), -1), values.reshape(len(values), -1)[:, pre], "amax")
        return flat.reshape(len(values), *target)
    image = values[:, :, None] if values.ndim == 3 else values
    (top, bottom), (left, right) = conv.padding
    if image.dtype in (torch.int8, torch.int16):
        return _largest_of_slices(F.pad(image, (left, right, top, bottom)), conv).reshape(len(values), *target)
    exact = image.dtype != torch.float64 and (not image.numel() or int(image.abs().max()) < _EXACT)
    padded = F.pad(image.to(torch.float32 if exact else torch.float64), (left, right, top, bottom))
    options: Any = (conv.weights.shape[2:], conv.stride, 0, conv.dilation)
    pooled: Tensor = F.max_pool2d(padded, *options)
    return pooled.reshape(len(values), *target).to(values.dtype)


def _largest_of_slices(image: Tensor, conv: Conv2d) -> Tensor:
    """Maxima over the windows of a padded image of short integers, along one axis after the other."""
    options: Any = (conv.weights.shape[2:], conv.stride, conv.dilation)  # pairs
    for axis, kernel, stride, dilation in zip((2, 3), *options, strict=True):
        count = (image.shape[axis] - dilation * (kernel - 1) - 1) // stride + 1
        taps = [image.narrow(axis, k * dilation, (count - 1) * stride + 1) for k in range(kernel)]
        first, *others = (tap[:, :, ::stride] if axis == 2 else tap[..., ::stride] for tap in taps)
        found = first.clone()
        for other in others:
            torch.maximum(found, other, out=found)
        image = found
    return image


def fan_out(projection: Projection, source: Shape, target: Shape) -> Tensor:
    """Number of synapses of each source neuron (*source), int64."""
    linear = _linear(projection, source, target) if projection.offset is None else None
    if linear is None:
        counts = np.bincount(projection.synapses(source, target).pre, minlength=prod(source))
        return torch.as_tensor(counts.reshape(source))
    weights, apply = linear
    kind = exact_in(weights.numel())
    probe = torch.zeros((1, *source), dtype=kind, requires_grad=True)
    apply(probe, torch.ones_like(weights, dtype=kind)).sum().backward()
    assert probe.grad is not None
    return probe.grad[0].to(torch.int64)
