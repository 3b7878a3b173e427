"""Learner: one plastic projection while it learns, on plain arrays. The reference engine's; it defines what others do.

A run presents its samples one after the other to the same synapses: weights, tags and the number of epochs go on from sample to
sample, traces begin each sample at 0. Steps after a sample's last whole epoch teach nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuro.learning.draws import draws
from neuro.learning.memory import Memory
from neuro.learning.rule import LearningRule
from neuro.learning.terms import POST_TRACES, PRE_TRACES, TRACES
from neuro.learning.updating import Events, touched, trace_table, updated

if TYPE_CHECKING:
    from scipy import sparse

Int64s = NDArray[np.int64]


class Learner:
    """The synapses of a projection that learns: `synaptic` w, d and t (synapses,), `traces` by name, `epochs` behind."""

    def __init__(self, projection: Any, source: Any, target: Any) -> None:
        self.projection, self.rule = projection, projection.rule
        self.sizes = (source.size, target.size)
        synapses = projection.synapses(source.shape, target.shape)
        self.pre, self.post = synapses.pre, synapses.post
        memory = projection.memory or Memory()
        weights = projection.stored_weights.astype(np.int64).ravel()
        self.synaptic: dict[str, Int64s] = {"w": weights}
        for name in ("d", "t"):
            given = getattr(memory, name)
            self.synaptic[name] = np.zeros(len(weights), np.int64) if given is None else given.astype(np.int64)
        self.epochs = memory.epochs
        self.traces: dict[str, Int64s] = {}
        self.rest(memory)

    def rest(self, memory: Memory | None = None) -> None:
        """Traces as a memory has them, else at 0."""
        for name in TRACES:
            given, row = (memory.x, PRE_TRACES) if name in PRE_TRACES and memory else (memory.y if memory else None, POST_TRACES)
            size = self.sizes[0] if name in PRE_TRACES else self.sizes[1]
            self.traces[name] = np.zeros(size, np.int64) if given is None else given[row.index(name)].astype(np.int64)

    def matrix(self) -> sparse.csr_array[Any, tuple[int, int]]:
        """(source, target) matrix of what a message adds, duplicates added."""
        from scipy import sparse

        effective = self.synaptic["w"] << self.projection.exponent
        return sparse.csr_array((effective, (self.pre, self.post)), shape=self.sizes)

    def end_epoch(self, before: Int64s, behind: Int64s, given: Mapping[str, Int64s]) -> NDArray[np.bool_]:
        """Learn from an epoch, see `Events`; returns the synapses of which the rule was computed."""
        drawn = draws(self.rule.seed, self.epochs, 1, self.rule.epoch)
        self.epochs += 1
        events = Events(self.epochs, before, behind, given, drawn.decay[0], drawn.impulse[0], int(drawn.rounding[0]))
        rule: LearningRule = self.rule
        tables = {name: trace_table(trace, rule, self.traces[name], events) for name, trace in rule.traces.items()}
        changed = updated(rule, self.pre, self.post, self.synaptic, tables, events)
        self.synaptic |= changed
        self.traces |= {name: table[-1] for name, table in tables.items()}
        return touched(rule, self.pre, self.post, events)

    def learned(self) -> Any:
        """The projection with the weights, and the memory, that it has now."""
        traces = [np.stack([self.traces[name] for name in names]) for names in (PRE_TRACES, POST_TRACES)]
        return learned_projection(self.projection, self.synaptic, self.epochs, *traces)


def learned_projection(projection: Any, synaptic: Mapping[str, Any], epochs: int, x: Any, y: Any) -> Any:
    """A projection with weights and tags (synapses,), in the order of its synapses, and traces (2, sources), (3, targets)."""
    stored = np.asarray(synaptic["w"], np.int32).reshape(projection.stored_weights.shape)
    tags = {name: np.asarray(synaptic[name], np.int32) for name in projection.rule.tags}
    read = projection.rule.traces
    kept_x = np.asarray(x, np.int32) if any(name in read for name in PRE_TRACES) else None
    kept_y = np.asarray(y, np.int32) if any(name in read for name in POST_TRACES) else None
    weights = (*projection.weights[:2], stored) if isinstance(projection.weights, tuple) else stored
    return replace(projection, weights=weights, memory=Memory(epochs, x=kept_x, y=kept_y, **tags))
