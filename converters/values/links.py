"""What a projection brings to rows of many samples side by side: picked rows, products of matrices, windows, listed synapses.

Knows projections and `rowloops`; knows no neurons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from converters.values.rowloops import add_listed, add_picked, add_window
from neuro.projections import Conv2d, Projection
from neuro.projections.forms import as_convolution
from neuro.windows import Shape

Floats = NDArray[Any]  # float32 or float64
Int32s = NDArray[np.int32]
_MANY = 64  # synapses of a neuron of a window for which an image's own order is worth making


@dataclass(frozen=True, slots=True)
class Link:
    """A projection between two shapes. fan_in: the largest sum of absolute weights into one neuron. `add(total, rows)` adds what
    rows (source neurons, samples) bring to a total (target neurons, samples), exactly where no sum leaves what its type holds.
    picked: where each target has one synapse, the row that it reads and its weight, by target."""

    fan_in: int
    add: Callable[[Floats, Floats], None]
    picked: tuple[Int32s, NDArray[np.int64]] | None = None


def link(q: Projection, source: Shape, target: Shape) -> Link:
    """What a projection between populations of two shapes brings."""
    if q.matrix is not None:
        return _matrix(q.matrix)
    if q.offset == 0 and prod(source) == prod(target):
        weight = q.expanded().unshared_weights(source).astype(np.int64).ravel()
        return _picks(np.arange(prod(target), dtype=np.int32), np.repeat(weight, prod(source) // weight.size))
    if q.storage == "conv" and (conv := as_convolution(q, source, target)) is not None:
        return _window(conv, source, target)
    return _listed(q, source, target)


def _matrix(weights: NDArray[Any]) -> Link:
    """Weights (source neurons, target neurons)."""
    whole = weights.astype(np.float64)

    def add(total: Floats, rows: Floats) -> None:
        into = torch.as_tensor(total)
        into.addmm_(torch.as_tensor(whole.T.astype(total.dtype)), torch.as_tensor(rows).to(into.dtype))

    return Link(int(np.abs(whole).sum(axis=0).max()), add)


def _picks(pre: Int32s, weight: NDArray[np.int64]) -> Link:
    def add(total: Floats, rows: Floats) -> None:
        add_picked(total, rows, pre, weight.astype(total.dtype))

    return Link(int(np.abs(weight).max()), add, (pre, weight))


def _listed(q: Projection, source: Shape, target: Shape) -> Link:
    size = prod(target)
    if q.storage == "sparse":
        pre, post, weight = q.weights
        weight = weight.astype(np.int64) << q.exponent
    else:
        listed = q.synapses(source, target)
        pre, post, weight = listed.pre.astype(np.int32), listed.post.astype(np.int32), np.asarray(listed.weight, np.int64)
    if pre.size == size:
        at = np.full(size, -1, np.int32)
        at[post] = np.arange(size)
        if (at >= 0).all():
            return _picks(pre[at], weight[at])
    pre, post = np.array(pre), np.array(post)  # which can be written to, as kernels have them

    def add(total: Floats, rows: Floats) -> None:
        add_listed(total, rows, pre, post, weight.astype(total.dtype))

    return Link(int(np.bincount(post, np.abs(weight), 1).max()), add)


def _window(conv: Conv2d, source: Shape, target: Shape) -> Link:
    outputs, inputs, *kernel = conv.weights.shape
    fan_in = int(np.abs(conv.weights.astype(np.int64)).reshape(outputs, -1).sum(axis=1).max())
    at_once = kernel == [1, 1] and conv.groups == 1 and conv.stride == (1, 1) and not any(map(any, conv.padding))
    if at_once:
        weights = conv.weights.reshape(outputs, inputs).astype(np.float64)

        def places(total: Floats, rows: Floats) -> None:
            into = torch.as_tensor(total.reshape(outputs, -1))
            into.addmm_(torch.as_tensor(weights.astype(total.dtype)), torch.as_tensor(rows.reshape(inputs, -1)).to(into.dtype))

        return Link(fan_in, places)
    (high, wide), (rows_out, columns) = ((1, *shape[1:])[-2:] for shape in (source, target))
    if inputs * prod(kernel) >= _MANY:
        return Link(fan_in, lambda total, rows: _through_images(total, rows, conv, (source[0], high, wide)))
    (above, _), (left, _) = conv.padding
    moves: Any = (conv.stride, (above, left), conv.dilation)
    numbers = (conv.groups, high, wide, rows_out, columns, *(one for pair in moves for one in pair))
    return Link(fan_in, lambda total, rows: add_window(total, rows, conv.weights.astype(total.dtype), numbers))


def _through_images(total: Floats, rows: Floats, conv: Conv2d, shape: Shape) -> None:
    """In the order of images, (samples, channels, height, width)."""
    into = torch.as_tensor(total)
    images = torch.as_tensor(rows).t().contiguous().to(into.dtype).reshape(-1, *shape)
    (top, bottom), (left, right) = conv.padding
    if any((top, bottom, left, right)):
        images = F.pad(images, (left, right, top, bottom))
    options: Any = (conv.stride, 0, conv.dilation, conv.groups)
    into += F.conv2d(images, torch.as_tensor(conv.weights.astype(total.dtype)), None, *options).flatten(1).t()
