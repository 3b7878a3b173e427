"""Projections in which each source neuron has one target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from neuro.errors import NetworkError
from neuro.numbers import settle
from neuro.projections.base import Projection, Synapses, check_exponent, settle_projection, settle_rule
from neuro.projections.conv2d import Conv2d
from neuro.specification import INT32, IntArray, integer_or_array
from neuro.windows import Shape


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OneToOne(Projection):
    """Neuron i to neuron i + `offset`. `weights` is one integer, or one per channel (first axis) of the source.

    With a `rule` each synapse has a weight of its own, so the source is flat.
    """

    storage = "conv"
    source: str
    target: str
    weights: Any = 1
    offset: int = 0
    delay: int = 1
    port: int = 0
    exponent: int = 0
    rule: Any = None
    memory: Any = None

    def __post_init__(self) -> None:
        settle_projection(self)
        settle(self, NetworkError, self.name, offset=(0, INT32.max))
        weights = integer_or_array(self.name, "weights", self.weights)
        object.__setattr__(self, "weights", weights if isinstance(weights, int) else weights.ravel())
        check_exponent(self)
        settle_rule(self)

    def check(self, source: Shape, target: Shape) -> None:
        size, room = int(np.prod(source)), int(np.prod(target))
        if self.offset + size > room:
            fact = f"{size:,} neurons of the source {source} at offset {self.offset:,}, the target {target} has {room:,}"
            raise NetworkError(self.name, fact, f"Give the target {size + self.offset:,} neurons or more")
        if np.ndim(self.weights) and np.size(self.weights) != source[0]:
            fact = f"{np.size(self.weights)} weights, the source {source} has {source[0]} channels"
            raise NetworkError(self.name, fact, "Pass one weight, or one per channel")
        if self.rule is not None and np.size(self.weights) != size:
            fact = f"{np.size(self.weights)} weights of {size:,} synapses that learn, each by itself"
            raise NetworkError(self.name, fact, "Give each its own weight: a flat source and np.full(neurons, weight)")

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        size = int(np.prod(source))
        pre, per_channel = np.arange(size), self.expanded().stored_weights
        return Synapses(pre, pre + self.offset, np.repeat(per_channel, size // per_channel.size))

    def count(self, source: Shape, target: Shape) -> int:
        return int(np.prod(source))

    @property
    def stored_weights(self) -> IntArray:
        return np.atleast_1d(np.asarray(self.weights, np.int32))

    def with_weights(self, stored: IntArray) -> Self:
        return replace(self, weights=stored if np.ndim(self.weights) else int(stored[0]))

    def unshared_weights(self, source: Shape) -> IntArray:
        return np.broadcast_to(self.stored_weights, source[:1])

    def convolution(self, source: Shape, target: Shape) -> Conv2d | None:
        if source != target or len(source) not in (2, 3) or self.offset:
            return None
        weights = self.expanded().unshared_weights(source).reshape(-1, 1, 1, 1)
        return Conv2d(self.source, self.target, weights, groups=source[0], delay=self.delay, port=self.port)
