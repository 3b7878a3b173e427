"""Projections: which synapses lead from one population to another, and with what integer weight and delay.

Each kind says how it is stored (dense rows, explicit pairs, shared kernels) and can list its synapses one by one;
that list defines it. Knows nothing of neurons, engines or chips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neuro.errors import NetworkError
from neuro.numbers import settle
from neuro.specification import INT32, IntArray, Specification, frozen_array, integer_or_array
from neuro.windows import Shape, check_window, pair, pairs_inside, positions, sides, window_output

MAX_WINDOW = 1 << 20  # places of a pooling window, whose weights are not stored but made


@dataclass(frozen=True, slots=True)
class Synapses:
    """Every synapse of a projection: source neuron, target neuron and weight, each (synapses,); zero weights included."""

    pre: NDArray[np.int64]
    post: NDArray[np.int64]
    weight: IntArray


class Projection(Specification):
    """What every projection has. `source` and `target` are population names, `delay` is in steps and at least 1."""

    __slots__ = ()
    source: str
    target: str
    delay: int

    @property
    def name(self) -> str:
        return f"{self.source}->{self.target}"

    def check(self, source: Shape, target: Shape) -> None:
        """Refuse shapes of source and target that the weights do not fit."""
        raise NotImplementedError

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        """The list of synapses, which defines the projection."""
        raise NotImplementedError

    def count(self, source: Shape, target: Shape) -> int:
        """Number of synapses; padding outside an image is none."""
        raise NotImplementedError

    @property
    def stored_weights(self) -> IntArray:
        """The weights as they are stored, shared ones once."""
        raise NotImplementedError

    def to_sparse(self, source: Shape, target: Shape) -> sparse.csr_array[Any, tuple[int, int]]:
        """(pre, post) matrix of weights in int64, duplicates added."""
        s = self.synapses(source, target)
        size = (int(np.prod(source)), int(np.prod(target)))
        return sparse.csr_array((s.weight.astype(np.int64), (s.pre, s.post)), shape=size)


def _born(projection: Any, weights_ndim: int | None = None) -> None:
    """The checks that every projection shares; freezes the weights as int32."""
    where = projection.name
    for name in ("source", "target"):
        if not isinstance(getattr(projection, name), str):
            raise NetworkError(where, f"{name} = {getattr(projection, name)!r} is not a name", "Name a population")
    settle(projection, NetworkError, where, delay=(1, INT32.max))
    if weights_ndim is None:
        return
    weights = _int32(where, projection.weights)
    if weights.ndim != weights_ndim:
        raise NetworkError(where, f"weights have shape {weights.shape}", f"Pass an array of {weights_ndim} dimensions")
    object.__setattr__(projection, "weights", weights)


def _int32(where: str, weights: Any) -> IntArray:
    array = np.asarray(integer_or_array(where, "weights", weights), np.int32)
    if array.size and array.min() == INT32.min:
        raise NetworkError(where, "a weight is -2^31", "Scale the weights down")
    return frozen_array(array)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dense(Projection):
    """All to all. `weights` (pre, post) integers."""

    source: str
    target: str
    weights: IntArray
    delay: int = 1

    def __post_init__(self) -> None:
        _born(self, 2)

    def check(self, source: Shape, target: Shape) -> None:
        need = (int(np.prod(source)), int(np.prod(target)))
        if self.weights.shape != need:
            raise NetworkError(self.name, f"weights are (pre, post) = {self.weights.shape}, the neurons {need}", "Transpose them")

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        pre, post = np.indices(self.weights.shape).reshape(2, -1)
        return Synapses(pre, post, self.weights.ravel())

    def count(self, source: Shape, target: Shape) -> int:
        return self.weights.size

    @property
    def stored_weights(self) -> IntArray:
        return self.weights


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sparse(Projection):
    """Listed synapses: `weights` is a scipy sparse array (pre, post) of integers, or triples (pre, post, weight)."""

    source: str
    target: str
    weights: Any
    delay: int = 1

    def __post_init__(self) -> None:
        _born(self)
        triple = self.weights
        if sparse.issparse(triple):
            coo = sparse.coo_array(triple)
            triple = (coo.row, coo.col, coo.data)
        if not isinstance(triple, tuple) or len(triple) != 3 or len({np.shape(part) for part in triple}) != 1:
            raise NetworkError(self.name, "weights are neither a scipy sparse array nor (pre, post, weight)", "Pass one of them")
        pre, post = (np.asarray(integer_or_array(self.name, "indices", part)).ravel() for part in triple[:2])
        weight = np.atleast_1d(_int32(self.name, triple[2]))
        order = np.lexsort((post, pre))
        parts = tuple(frozen_array(part[order], np.int32) for part in (pre, post, weight))
        object.__setattr__(self, "weights", parts)

    def check(self, source: Shape, target: Shape) -> None:
        for what, indices, shape in (("source", self.weights[0], source), ("target", self.weights[1], target)):
            size = int(np.prod(shape))
            if indices.size and not 0 <= indices.min() <= indices.max() < size:
                raise NetworkError(
                    self.name, f"{what} indices {indices.min()}..{indices.max()} leave its {size} neurons", "Mend the indices"
                )

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        pre, post, weight = self.weights
        return Synapses(pre.astype(np.int64), post.astype(np.int64), weight)

    def count(self, source: Shape, target: Shape) -> int:
        return int(self.weights[0].size)

    @property
    def stored_weights(self) -> IntArray:
        stored: IntArray = self.weights[2]
        return stored


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OneToOne(Projection):
    """Neuron i to neuron i + `offset`. `weights` is one integer, or one per channel (first axis) of the source."""

    source: str
    target: str
    weights: Any = 1
    offset: int = 0
    delay: int = 1

    def __post_init__(self) -> None:
        _born(self)
        settle(self, NetworkError, self.name, offset=(0, INT32.max))
        weights = integer_or_array(self.name, "weights", self.weights)
        object.__setattr__(self, "weights", weights if isinstance(weights, int) else weights.ravel())

    def check(self, source: Shape, target: Shape) -> None:
        size, room = int(np.prod(source)), int(np.prod(target))
        if self.offset + size > room:
            fact = f"{size:,} neurons of the source {source} at offset {self.offset:,}, the target {target} has {room:,}"
            raise NetworkError(self.name, fact, f"Give the target {size + self.offset:,} neurons or more")
        if np.ndim(self.weights) and np.size(self.weights) != source[0]:
            fact = f"{np.size(self.weights)} weights, the source {source} has {source[0]} channels"
            raise NetworkError(self.name, fact, "Pass one weight, or one per channel")

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        size = int(np.prod(source))
        pre = np.arange(size)
        per_channel = np.atleast_1d(np.asarray(self.weights, np.int32))
        return Synapses(pre, pre + self.offset, np.repeat(per_channel, size // per_channel.size))

    def count(self, source: Shape, target: Shape) -> int:
        return int(np.prod(source))

    @property
    def stored_weights(self) -> IntArray:
        return np.atleast_1d(np.asarray(self.weights, np.int32))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Conv2d(Projection):
    """Shared kernels over (channels, height, width). `weights` (out, in / groups, kernel height, kernel width), as in torch.

    `padding` is one number, (height, width), or ((top, bottom), (left, right)); bottom and right may exceed what is used.
    """

    source: str
    target: str
    weights: IntArray
    stride: int | tuple[int, int] = 1
    padding: Any = 0
    dilation: int | tuple[int, int] = 1
    groups: int = 1
    delay: int = 1

    def __post_init__(self) -> None:
        _born(self, 4)
        _settle_window(self, self.weights.shape[2:])
        settle(self, NetworkError, self.name, groups=(1, INT32.max))
        if self.weights.shape[0] % self.groups:
            raise NetworkError(self.name, f"{self.weights.shape[0]} output channels in {self.groups} groups", "Use a divisor")

    def check(self, source: Shape, target: Shape) -> None:
        out, per_group, kh, kw = self.weights.shape
        if len(source) != 3 or source[0] != per_group * self.groups:
            fact = f"weights (out, in / groups, *kernel) = {self.weights.shape} in {self.groups} groups, the source is {source}"
            raise NetworkError(self.name, fact, f"Give the source {per_group * self.groups} channels, a height and a width")
        need = (out, *window_output(source[1:], (kh, kw), self.stride, self.padding, self.dilation))
        if target != need:
            raise NetworkError(
                self.name, f"the convolution yields {need}, the target is {target}", f"Give the target the shape {need}"
            )

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        out, per_group, kh, kw = self.weights.shape
        o, i, ky, kx = (a.ravel() for a in np.indices(self.weights.shape))
        channel = o // (out // self.groups) * per_group + i
        return _window_synapses(self, source, target, channel, o, ky, kx, self.weights.ravel())

    def count(self, source: Shape, target: Shape) -> int:
        pairs = int(self.weights.shape[0] * self.weights.shape[1])
        return pairs * pairs_inside(self, self.weights.shape[2:], source, target)

    @property
    def stored_weights(self) -> IntArray:
        return self.weights


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Conv1d(Projection):
    """Shared kernels over (channels, length). `weights` (out, in / groups, kernel); `padding` a number or (left, right)."""

    source: str
    target: str
    weights: IntArray
    stride: int = 1
    padding: Any = 0
    dilation: int = 1
    groups: int = 1
    delay: int = 1

    def __post_init__(self) -> None:
        _born(self, 3)
        settle(self, NetworkError, self.name, stride=(1, INT32.max), dilation=(1, INT32.max), groups=(1, INT32.max))
        object.__setattr__(self, "padding", pair(self.padding, self.name, "padding"))
        self.as_2d()

    def as_2d(self) -> Conv2d:
        """The same synapses as a convolution over (channels, 1, length)."""
        return Conv2d(
            self.source,
            self.target,
            self.weights[:, :, None, :],
            stride=(1, self.stride),
            padding=((0, 0), self.padding),
            dilation=(1, self.dilation),
            groups=self.groups,
            delay=self.delay,
        )

    def check(self, source: Shape, target: Shape) -> None:
        if len(source) != 2 or len(target) != 2:
            raise NetworkError(self.name, f"shapes {source} and {target} are not (channels, length)", "Reshape the populations")
        self.as_2d().check(_with_height(source), _with_height(target))

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        return self.as_2d().synapses(_with_height(source), _with_height(target))

    def count(self, source: Shape, target: Shape) -> int:
        return self.as_2d().count(_with_height(source), _with_height(target))

    @property
    def stored_weights(self) -> IntArray:
        return self.weights


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SumPool2d(Projection):
    """Every channel summed over windows, times one integer `weight`; an average pool once the threshold is scaled.

    `stride` is the kernel where it is None; `padding` and `dilation` are as in `Conv2d`.
    """

    source: str
    target: str
    kernel: int | tuple[int, int]
    stride: int | tuple[int, int] | None = None
    padding: Any = 0
    weight: int = 1
    delay: int = 1
    dilation: int | tuple[int, int] = 1

    def __post_init__(self) -> None:
        _born(self)
        object.__setattr__(self, "kernel", pair(self.kernel, self.name, "kernel"))
        object.__setattr__(self, "stride", self.kernel if self.stride is None else self.stride)
        settle(self, NetworkError, self.name, weight=(-INT32.max, INT32.max))
        _settle_window(self, self.window)
        if prod(self.window) > MAX_WINDOW:
            raise NetworkError(self.name, f"a window of {self.kernel}", f"Use at most {MAX_WINDOW:,} places")

    @property
    def window(self) -> tuple[int, int]:
        """Height and width of the window."""
        height, width = self.kernel  # type: ignore[misc]  # a pair since birth
        return (height, width)

    def check(self, source: Shape, target: Shape) -> None:
        if len(source) != 3:
            raise NetworkError(self.name, f"source {source} is not (channels, height, width)", "Reshape the population")
        need = (source[0], *window_output(source[1:], self.kernel, self.stride, self.padding, self.dilation))
        if target != need:
            raise NetworkError(
                self.name, f"the pooling yields {need}, the target is {target}", f"Give the target the shape {need}"
            )

    def as_conv(self, channels: int) -> Conv2d:
        """The same synapses as a depthwise convolution."""
        weights = np.full((channels, 1, *self.window), self.weight, np.int32)
        return Conv2d(
            self.source,
            self.target,
            weights,
            stride=self.stride,  # type: ignore[arg-type]  # settled at birth
            padding=self.padding,
            dilation=self.dilation,
            groups=channels,
            delay=self.delay,
        )

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        return self.as_conv(source[0]).synapses(source, target)

    def count(self, source: Shape, target: Shape) -> int:
        return source[0] * pairs_inside(self, self.window, source, target)

    @property
    def stored_weights(self) -> IntArray:
        return np.array([self.weight], np.int32)


KINDS: dict[str, Callable[..., Projection]] = {
    kind.__name__: kind for kind in (Dense, Sparse, OneToOne, Conv2d, Conv1d, SumPool2d)
}


def _with_height(shape: Shape) -> Shape:
    return (shape[0], 1, shape[1])


def _settle_window(projection: Any, kernel: Shape) -> None:
    """Bring stride, padding and dilation to full form and check them."""
    where = projection.name
    stride, dilation = (pair(getattr(projection, name), where, name) for name in ("stride", "dilation"))
    padding = sides(projection.padding, where)
    check_window(where, kernel, stride, padding, dilation)
    for name, value in (("stride", stride), ("padding", padding), ("dilation", dilation)):
        object.__setattr__(projection, name, value)


def _window_synapses(p: Any, source: Shape, target: Shape, channel: Any, out: Any, ky: Any, kx: Any, weight: Any) -> Synapses:
    y, y_inside = positions(p, 0, ky, source, target)
    x, x_inside = positions(p, 1, kx, source, target)
    inside = y_inside[:, :, None] & x_inside[:, None, :]
    tap, ty, tx = np.nonzero(inside)
    pre = (channel[tap] * source[1] + y[tap, ty]) * source[2] + x[tap, tx]
    post = (out[tap] * target[1] + ty) * target[2] + tx
    return Synapses(pre.astype(np.int64), post.astype(np.int64), weight[tap])
