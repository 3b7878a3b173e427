"""Projections whose synapses are listed one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, Self

import numpy as np

from neuro.errors import NetworkError
from neuro.projections.base import Projection, Synapses, check_exponent, settle_projection, settle_rule, settled_weights
from neuro.specification import INT32, IntArray, frozen_array, integer_or_array
from neuro.windows import Shape

COUNTED = 4  # neurons for each synapse that counting may take memory for


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Sparse(Projection):
    """Listed synapses: `weights` is a scipy sparse array (pre, post) of integers, or triples (pre, post, weight)."""

    storage = "sparse"
    source: str
    target: str
    weights: Any
    delay: int = 1
    port: int = 0
    exponent: int = 0
    rule: Any = None
    memory: Any = None

    def __post_init__(self) -> None:
        settle_projection(self)
        triple = self.weights
        if not isinstance(triple, tuple):
            triple = _triple(triple)
        if not isinstance(triple, tuple) or len(triple) != 3 or len({np.shape(part) for part in triple}) != 1:
            raise NetworkError(self.name, "weights are neither a scipy sparse array nor (pre, post, weight)", "Pass one of them")
        pre, post = (np.asarray(integer_or_array(self.name, "indices", part)).ravel() for part in triple[:2])
        weight = np.atleast_1d(settled_weights(self.name, triple[2]))
        if not _sorted(pre, post):
            pre, post, weight = _in_order(pre, post, weight)
        parts = tuple(frozen_array(part, np.int32) for part in (pre, post, weight))
        object.__setattr__(self, "weights", parts)
        check_exponent(self)
        settle_rule(self)

    def check(self, source: Shape, target: Shape) -> None:
        for what, indices, shape in (("source", self.weights[0], source), ("target", self.weights[1], target)):
            size = prod(shape)
            ends = indices[[0, -1]] if what == "source" and indices.size else indices  # sources ascend
            if indices.size and not 0 <= ends.min() <= ends.max() < size:
                raise NetworkError(
                    self.name,
                    f"{what} indices {indices.min()}..{indices.max()} leave its {size} neurons",
                    "Use indices that exist",
                )

    def synapses(self, source: Shape, target: Shape) -> Synapses:
        pre, post, weight = self.expanded().weights
        return Synapses(pre.astype(np.int64), post.astype(np.int64), weight)

    def count(self, source: Shape, target: Shape) -> int:
        return int(self.weights[0].size)

    @property
    def stored_weights(self) -> IntArray:
        stored: IntArray = self.weights[2]
        return stored

    def with_weights(self, stored: IntArray) -> Self:
        return replace(self, weights=(*self.weights[:2], stored))


def _triple(weights: Any) -> Any:
    """(pre, post, weight) of a scipy sparse array; anything else as it is."""
    from scipy import sparse

    if not sparse.issparse(weights):
        return weights
    coo = sparse.coo_array(weights)
    return coo.row, coo.col, coo.data


def _sorted(pre: IntArray, post: IntArray) -> bool:
    """Whether pairs ascend by source and, of one source, by target."""
    same = pre[1:] == pre[:-1]
    return bool(((pre[1:] > pre[:-1]) | (same & (post[1:] >= post[:-1]))).all())


def _in_order(pre: IntArray, post: IntArray, weight: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """The synapses by source and, of one source, by target; equal ones stay in their order.

    By counting, as numpy sorts 16 bits and scipy changes formats, in time and memory of synapses and neurons; where numbers of
    neurons are far beyond what synapses there are, or make no sense, by comparing.
    """
    most = 1 + int(max(pre.max(initial=0), post.max(initial=0)))
    if min(pre.min(initial=0), post.min(initial=0)) < 0 or most > COUNTED * len(pre):
        order = np.lexsort((post, pre))
        return pre[order], post[order], weight[order]
    if most <= 1 << 16:  # numpy sorts 16 bits by counting
        order = np.argsort(post.astype(np.uint16), kind="stable")
        order = order[np.argsort(pre[order].astype(np.uint16), kind="stable")]
        return pre[order], post[order], weight[order]
    from scipy import sparse

    kind = np.int32 if len(pre) <= INT32.max else np.int64
    by_target = sparse.coo_array((np.arange(len(pre), dtype=kind), (post, pre)), shape=(most, most))
    by_target.has_canonical_format = True  # or synapses between the same neurons would be added up
    by_source = by_target.tocsr().tocsc()
    sources = np.repeat(np.arange(most, dtype=np.int32), np.diff(by_source.indptr))
    return sources, by_source.indices, weight[by_source.data]
