"""Convolutions over images: the general form of every window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuro.errors import NetworkError
from neuro.numbers import settle
from neuro.projections.base import Projection, Synapses, check_exponent, refuse_rule, settle_projection
from neuro.specification import INT32, IntArray
from neuro.windows import Shape, check_window, pair, pairs_inside, positions, sides, window_output


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Conv2d(Projection):
    """Shared kernels over (channels, height, width). `weights` (out, in / groups, kernel height, kernel width), as in torch.

    `padding` is one number, (height, width), or ((top, bottom), (left, right)); bottom and right may exceed what is used.
    """

    storage = "conv"
    slides = True
    source: str
    target: str
    weights: IntArray
    stride: int | tuple[int, int] = 1
    padding: Any = 0
    dilation: int | tuple[int, int] = 1
    groups: int = 1
    delay: int = 1
    port: int = 0
    exponent: int = 0
    rule: Any = None
    memory: Any = None

    def __post_init__(self) -> None:
        refuse_rule(self)
        settle_projection(self, 4)
        check_exponent(self)
        settle_window(self, self.weights.shape[2:])
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
        y, y_inside = positions(self, 0, ky, source, target)
        x, x_inside = positions(self, 1, kx, source, target)
        tap, ty, tx = np.nonzero(y_inside[:, :, None] & x_inside[:, None, :])
        pre = (channel[tap] * source[1] + y[tap, ty]) * source[2] + x[tap, tx]
        post = (o[tap] * target[1] + ty) * target[2] + tx
        return Synapses(pre.astype(np.int64), post.astype(np.int64), self.expanded().weights.ravel()[tap])

    def count(self, source: Shape, target: Shape) -> int:
        pairs = int(self.weights.shape[0] * self.weights.shape[1])
        return pairs * pairs_inside(self, self.weights.shape[2:], source, target)

    def convolution(self, source: Shape, target: Shape) -> Conv2d:
        return self.expanded()


def settle_window(projection: Any, kernel: Shape) -> None:
    """Bring stride, padding and dilation to full form and check them."""
    where = projection.name
    stride, dilation = (pair(getattr(projection, name), where, name) for name in ("stride", "dilation"))
    padding = sides(projection.padding, where)
    check_window(where, kernel, stride, padding, dilation)
    for name, value in (("stride", stride), ("padding", padding), ("dilation", dilation)):
        object.__setattr__(projection, name, value)
