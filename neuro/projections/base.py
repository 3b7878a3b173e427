"""What every kind of projection has: its list of synapses, which defines it, and the facts that engines and chips read.

Knows nothing of neurons, engines or chips, and no kind of projection.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from neuro.errors import NetworkError
from neuro.learning.memory import Memory
from neuro.learning.rule import LearningRule
from neuro.numbers import settle
from neuro.specification import INT32, IntArray, Specification, frozen_array, integer_or_array
from neuro.windows import Shape

if TYPE_CHECKING:
    from scipy import sparse

Storage = Literal["dense", "sparse", "conv"]


@dataclass(frozen=True, slots=True)
class Synapses:
    """Every synapse of a projection: source neuron, target neuron and weight, each (synapses,); zero weights included."""

    pre: NDArray[np.int64]
    post: NDArray[np.int64]
    weight: IntArray


class Projection(Specification):
    """What every projection has. `source` and `target` are population names, `delay` is in steps and at least 1.

    `port`: which input of the target's neurons it leads to, 0 or, of a `Value` with two ports, 1. `exponent`: the charge that
    arrives is shifted left by it, so a synapse acts with its stored weight times 2^exponent, as in Loihi's synapse formats;
    chips store the weights without it. `rule`: a LearningRule by which the weights change while the network runs, `memory` what
    it has learned besides them (see `Run.learned`); only kinds whose synapses have a weight each can learn.

    Facts of a kind: `storage`, how a chip stores it best: "dense" rows, "sparse" lists, or "conv", shared weights. `slides`: it
    moves a kernel over an image. `one_kernel`: the stored kernel serves every channel. `offset`: each source neuron i has the one
    target i + offset; None elsewhere.
    """

    __slots__ = ()
    storage: ClassVar[Storage]
    slides: ClassVar[bool] = False
    one_kernel: ClassVar[bool] = False
    source: str
    target: str
    delay: int
    port: int
    exponent: int
    weights: Any
    offset: int | None = None
    rule: LearningRule | None
    memory: Memory | None

    def _values(self) -> list[tuple[str, Any]]:
        """The fields; those of learning only where there is some, so that files and texts of other projections have none."""
        given = super()._values()
        return [(name, value) for name, value in given if value is not None or name not in ("rule", "memory")]

    @property
    def name(self) -> str:
        return f"{self.source}->{self.target}"

    def check(self, source: Shape, target: Shape) -> None:
        """Refuse shapes of source and target that the weights do not fit."""
        raise NotImplementedError

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        """The list of synapses, which defines the projection; weights with the exponent multiplied in."""
        raise NotImplementedError

    def count(self, source: Shape, target: Shape) -> int:
        """Number of synapses; padding outside an image is none."""
        raise NotImplementedError

    @property
    def stored_weights(self) -> IntArray:
        """The weights as they are stored, shared ones once."""
        stored: IntArray = self.weights
        return stored

    def with_weights(self, stored: IntArray) -> Self:
        """The same projection with other weights, in the shape of `stored_weights`."""
        return replace(self, weights=stored)  # type: ignore[type-var]  # every kind is a dataclass

    def expanded(self) -> Self:
        """The same synapses with the exponent multiplied into the stored weights, which do not learn."""
        if not self.exponent:
            return self
        plain: Self = replace(self.fixed(), exponent=0)  # type: ignore[type-var]  # every kind is a dataclass
        return plain.with_weights(self.stored_weights << self.exponent)

    def fixed(self) -> Self:
        """The same synapses without a rule: they stay as they are."""
        return replace(self, rule=None, memory=None) if self.rule is not None else self  # type: ignore[type-var]  # as above

    def unshared_weights(self, source: Shape) -> IntArray:
        """The stored weights, one that serves all channels of the source repeated for each of them (a view, not a copy)."""
        return self.stored_weights

    @property
    def matrix(self) -> IntArray | None:
        """Weights (pre, post), the exponent multiplied in, where every pair of neurons has a synapse; None elsewhere."""
        return None

    def convolution(self, source: Shape, target: Shape) -> Projection | None:
        """What `neuro.projections.forms.as_convolution` returns, a Conv2d or None."""
        return None

    def to_sparse(self, source: Shape, target: Shape) -> sparse.csr_array[Any, tuple[int, int]]:
        """(pre, post) matrix of weights in int64, duplicates added."""
        from scipy import sparse

        s = self.synapses(source, target)
        size = (int(np.prod(source)), int(np.prod(target)))
        return sparse.csr_array((s.weight.astype(np.int64), (s.pre, s.post)), shape=size)


def settle_projection(projection: Any, weights_ndim: int | None = None) -> None:
    """The checks that every projection shares; freezes `weights` as int32 where they have a number of dimensions."""
    where = projection.name
    for name in ("source", "target"):
        if not isinstance(getattr(projection, name), str):
            raise NetworkError(where, f"{name} = {getattr(projection, name)!r} is not a name", "Name a population")
    settle(projection, NetworkError, where, delay=(1, INT32.max), port=(0, 1), exponent=(0, 30))
    if weights_ndim is None:
        return
    weights = settled_weights(where, projection.weights)
    if weights.ndim != weights_ndim:
        raise NetworkError(where, f"weights have shape {weights.shape}", f"Pass an array of {weights_ndim} dimensions")
    object.__setattr__(projection, "weights", weights)


def settle_rule(projection: Any) -> None:
    """Refuse a rule that is none, weights that it could not have led to, and a memory without a rule."""
    rule, memory, where = projection.rule, projection.memory, projection.name
    if memory is not None and (rule is None or not isinstance(memory, Memory)):
        raise NetworkError(where, "it has a memory and no rule, or one of another kind", "Take both from a run: run.learned")
    if rule is None:
        return
    if not isinstance(rule, LearningRule):
        raise NetworkError(where, f"rule = {rule!r} is no rule", 'Pass neuro.LearningRule(dw="2^-2 * x1 * y0", x1=(16, 20)), say')
    weights, (lowest, highest) = projection.stored_weights, rule.bounds
    if weights.size and not lowest <= weights.min() <= weights.max() <= highest:
        fact = f"its weights {weights.min()}..{weights.max()} leave {lowest}..{highest}, what a rule of sign {rule.sign!r} allows"
        raise NetworkError(where, fact, "Scale the weights and use exponent=, or choose another sign")


def refuse_rule(projection: Any) -> None:
    """Refuse any rule on a projection whose synapses share their weights."""
    if projection.rule is not None or projection.memory is not None:
        fact = "it cannot learn: many synapses share a weight, and a rule would change each of them in another way"
        raise NetworkError(projection.name, fact, "Use Dense, Sparse or OneToOne for what learns")


def check_exponent(projection: Any) -> None:
    """Refuse an exponent with which a weight would exceed 32 bits."""
    if not projection.exponent:
        return  # they have 32 bits
    stored = projection.stored_weights
    largest = max(int(stored.max(initial=0)), -int(stored.min(initial=0)))
    if largest << projection.exponent > INT32.max:
        fact = f"a weight of {largest:,} with exponent {projection.exponent} exceeds 32 bits"
        raise NetworkError(projection.name, fact, "Use a smaller exponent, or scale the weights down")


def settled_weights(where: str, weights: Any) -> IntArray:
    """Weights as a frozen int32 array whose values have negatives; NetworkError for others."""
    array = np.asarray(integer_or_array(where, "weights", weights), np.int32)
    if array.size and array.min() == INT32.min:
        raise NetworkError(where, "a weight is -2^31", "Scale the weights down")
    return frozen_array(array)
