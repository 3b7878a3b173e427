"""Sums over windows of each channel, of which one weight is stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, Self

import numpy as np

from neuro.errors import NetworkError
from neuro.numbers import settle
from neuro.projections.base import Projection, Synapses, check_exponent, refuse_rule, settle_projection
from neuro.projections.conv2d import Conv2d, settle_window
from neuro.specification import INT32, IntArray
from neuro.windows import Shape, pair, pairs_inside, window_output

MAX_WINDOW = 1 << 20  # places of a pooling window, whose weights are not stored but made


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SumPool2d(Projection):
    """Every channel summed over windows, times one integer `weight`; an average pool once the threshold is scaled.

    `stride` is the kernel where it is None; `padding` and `dilation` are as in `Conv2d`.
    """

    storage = "conv"
    slides = True
    one_kernel = True
    source: str
    target: str
    kernel: int | tuple[int, int]
    stride: int | tuple[int, int] | None = None
    padding: Any = 0
    weight: int = 1
    delay: int = 1
    dilation: int | tuple[int, int] = 1
    port: int = 0
    exponent: int = 0
    rule: Any = None
    memory: Any = None

    def __post_init__(self) -> None:
        refuse_rule(self)
        settle_projection(self)
        object.__setattr__(self, "kernel", pair(self.kernel, self.name, "kernel"))
        object.__setattr__(self, "stride", self.kernel if self.stride is None else self.stride)
        settle(self, NetworkError, self.name, weight=(-INT32.max, INT32.max))
        settle_window(self, self.window)
        if prod(self.window) > MAX_WINDOW:
            raise NetworkError(self.name, f"a window of {self.kernel}", f"Use at most {MAX_WINDOW:,} places")
        check_exponent(self)

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

    def convolution(self, source: Shape, target: Shape) -> Conv2d:
        return Conv2d(
            self.source,
            self.target,
            self.expanded().unshared_weights(source),
            stride=self.stride,  # type: ignore[arg-type]  # settled at birth
            padding=self.padding,
            dilation=self.dilation,
            groups=source[0],
            delay=self.delay,
            port=self.port,
        )

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        return self.convolution(source, target).synapses(source, target)

    def count(self, source: Shape, target: Shape) -> int:
        return source[0] * pairs_inside(self, self.window, source, target)

    @property
    def stored_weights(self) -> IntArray:
        return np.array([self.weight], np.int32)

    def with_weights(self, stored: IntArray) -> Self:
        return replace(self, weight=int(stored[0]))

    def unshared_weights(self, source: Shape) -> IntArray:
        return np.broadcast_to(self.stored_weights, (source[0], 1, *self.window))
