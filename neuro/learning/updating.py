"""What one learning epoch does, in plain integers on whole arrays: traces, products, rounding. The definition; engines equal it.

Source: Lava, magma/core/model/py/connection.py (BSD-3), as `LearningRule` says; draws: `neuro.learning.draws`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.learning.rule import LARGEST_TRACE, LearningRule, Trace
from neuro.learning.terms import CONSTANT, PRE_TRACES, SPIKES, SYNAPTIC, TRACES, Factor, Product

Int64s = NDArray[np.int64]
SHIFT = 7  # bits of a weight's fraction in an accumulator
LOWEST, HIGHEST = -(2**15) - 1, 2**15 - 1
LEAST_GIVEN = -128


@dataclass(frozen=True, slots=True)
class Events:
    """What happened in one epoch of `steps` steps: before (steps, source neurons) payloads that arrived, behind (steps, target
    neurons) messages fired, given {trace: (steps, target neurons)} sums of payloads that set a trace; and what is drawn:
    decay (2, steps), impulse (2, steps), rounding. `number`: of the epoch, from 1."""

    number: int
    before: Int64s
    behind: Int64s
    given: Mapping[str, Int64s]
    decay: Int64s
    impulse: Int64s
    rounding: int

    @property
    def steps(self) -> int:
        return len(self.before)


def last_spikes(messages: Int64s) -> Int64s:
    """The step of each neuron's last message, from 1; 0 where there is none."""
    steps = np.arange(1, len(messages) + 1)
    return np.asarray(((messages != 0) * steps[:, None]).max(axis=0, initial=0))


def trace_table(trace: Trace, rule: LearningRule, start: Int64s, events: Events) -> Int64s:
    """A trace after each step of an epoch, (steps, neurons), given its values `start` before."""
    if trace.source is not None:
        return _given(trace, start, events.given[trace.name], events.decay[1])
    side = trace.name not in PRE_TRACES
    messages, drawn = (events.behind if side else events.before), events.impulse[int(side)]
    graded = rule.graded if trace.name == "x1" and rule.graded != "impulse" else None
    last, value = last_spikes(messages), _earlier(trace, graded, start, messages, drawn)
    table = np.zeros_like(messages)
    for s, sent in enumerate(messages):
        value = _decayed(trace, value, events.decay[int(side), s])
        value = np.where(last == s + 1, _added(trace, graded, value, sent, drawn[s]), value)
        table[s] = value
    return table


def _earlier(trace: Trace, graded: str | None, start: Int64s, messages: Int64s, drawn: Int64s) -> Int64s:
    """Start values with the impulses of all messages but each neuron's last, which are added at once."""
    value, waiting = start.copy(), np.zeros_like(start)
    for s, sent in enumerate(messages):
        again = (sent != 0) & (waiting != 0)
        if graded != "overwrite":
            value = np.where(again, _added(trace, graded, value, waiting, drawn[s]), value)
        waiting = np.where(sent != 0, sent, waiting)
    return value


def _added(trace: Trace, graded: str | None, value: Int64s, payload: Int64s, drawn: int) -> Int64s:
    """A trace once a spike has added its impulse, or its payload has acted."""
    if graded == "overwrite":
        value = payload // 2
    elif graded == "add":
        value = value + payload // 2
    else:
        value = value + trace.impulse + int(drawn < trace.fraction)
    return np.clip(value, 0, LARGEST_TRACE)


def _decayed(trace: Trace, value: Int64s, drawn: int) -> Int64s:
    """A trace one step later; a negative one decays as a positive one does."""
    size = np.abs(value)
    return np.asarray(np.sign(value) * (trace.kept[size] + (drawn < trace.chances[size])))


def _given(trace: Trace, start: Int64s, payloads: Int64s, drawn: Int64s) -> Int64s:
    table, value = np.zeros_like(payloads), start
    for s, sent in enumerate(payloads):
        value = np.clip(_decayed(trace, value, drawn[s]) + sent, LEAST_GIVEN, LARGEST_TRACE)
        table[s] = value
    return table


def touched(rule: LearningRule, pre: Int64s, post: Int64s, events: Events) -> NDArray[np.bool_]:
    """Synapses (synapses,) of which a product is computed in the epoch: each counts as one update."""
    found = np.zeros(len(pre), np.bool_)
    for product in (p for target in SYNAPTIC for p in rule.products(f"d{target}")):
        found |= _depends(product, pre, post, events)
    return found


def _depends(product: Product, pre: Int64s, post: Int64s, events: Events) -> NDArray[np.bool_]:
    if product.dependency == "x0":
        return np.asarray((events.before != 0).any(axis=0)[pre])
    if product.dependency == "y0":
        return np.asarray((events.behind != 0).any(axis=0)[post])
    due = events.number % (1 << int(product.dependency[1:])) == 0
    return np.full(len(pre), due)


def updated(
    rule: LearningRule, pre: Int64s, post: Int64s, synaptic: Mapping[str, Int64s], tables: Mapping[str, Int64s], events: Events
) -> dict[str, Int64s]:
    """The synaptic variables w, d and t (synapses,) that an epoch changes; tables: each trace after each step."""
    changed = {}
    for name in rule.targets:
        sums = synaptic[name] << SHIFT
        for product in rule.products(f"d{name}"):
            active = _depends(product, pre, post, events)
            change = _change(product, pre, post, synaptic, tables, events)
            sums = np.where(active, np.clip(sums + change, LOWEST, HIGHEST), sums)
        changed[name] = _rounded(name, rule, sums, events.rounding)
    return changed


def _change(
    product: Product, pre: Int64s, post: Int64s, synaptic: Mapping[str, Int64s], tables: Mapping[str, Int64s], events: Events
) -> Int64s:
    """What a product adds to the accumulators of each synapse where its dependency holds."""
    at = np.full(len(pre), events.steps)
    if product.dependency in SPIKES:
        at = last_spikes(events.before)[pre] if product.dependency == "x0" else last_spikes(events.behind)[post]
    result = np.full(len(pre), product.mantissa, np.int64)
    for factor in product.factors:
        value = _value(factor, pre, post, synaptic, tables, events, at - 1)
        result = result * np.clip(value, -(1 << factor.bits), (1 << factor.bits) - 1)
    return np.clip(result >> product.shift << (product.exponent + SHIFT), LOWEST, HIGHEST)


def _value(
    factor: Factor,
    pre: Int64s,
    post: Int64s,
    synaptic: Mapping[str, Int64s],
    tables: Mapping[str, Int64s],
    events: Events,
    at: Int64s,
) -> Int64s:
    name = factor.variable
    if name == CONSTANT:
        return np.full(len(pre), factor.constant, np.int64)
    if name in TRACES:
        value = tables[name][at, pre if name in PRE_TRACES else post]
    elif name in SPIKES:
        value = (events.before != 0).any(axis=0)[pre] if name == "x0" else (events.behind != 0).any(axis=0)[post]
        value = value.astype(np.int64)
    else:
        value = synaptic[name]
    value = value + factor.constant
    return np.sign(value) if factor.sign else value


def _rounded(name: str, rule: LearningRule, sums: Int64s, drawn: int) -> Int64s:
    """Accumulators as 8 bits and sign: within the allowed signs, rounded by chance, clipped."""
    lowest, highest = {"w": rule.bounds, "d": (0, 255)}.get(name, (-256, 255))
    if lowest == 0:
        sums = np.maximum(sums, 0)
    if highest == 0:
        sums = np.minimum(sums, 0)
    rounded = (sums >> SHIFT) + (drawn < (sums & ((1 << SHIFT) - 1)))
    return np.clip(rounded, lowest, highest)
