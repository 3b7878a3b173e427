"""Convolutions over sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neuro.errors import NetworkError
from neuro.numbers import settle
from neuro.projections.base import Projection, Synapses, refuse_rule, settle_projection
from neuro.projections.conv2d import Conv2d
from neuro.specification import INT32, IntArray
from neuro.windows import Shape, pair


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Conv1d(Projection):
    """Shared kernels over (channels, length). `weights` (out, in / groups, kernel); `padding` a number or (left, right)."""

    storage = "conv"
    slides = True
    source: str
    target: str
    weights: IntArray
    stride: int = 1
    padding: Any = 0
    dilation: int = 1
    groups: int = 1
    delay: int = 1
    port: int = 0
    exponent: int = 0
    rule: Any = None
    memory: Any = None

    def __post_init__(self) -> None:
        refuse_rule(self)
        settle_projection(self, 3)
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
            port=self.port,
            exponent=self.exponent,
        )

    def check(self, source: Shape, target: Shape) -> None:
        if len(source) != 2 or len(target) != 2:
            raise NetworkError(self.name, f"shapes {source} and {target} are not (channels, length)", "Reshape the populations")
        self.as_2d().check(_with_height(source), _with_height(target))

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        return self.as_2d().synapses(_with_height(source), _with_height(target))

    def count(self, source: Shape, target: Shape) -> int:
        return self.as_2d().count(_with_height(source), _with_height(target))

    def convolution(self, source: Shape, target: Shape) -> Conv2d:
        return self.as_2d().expanded()


def _with_height(shape: Shape) -> Shape:
    return (shape[0], 1, shape[1])
