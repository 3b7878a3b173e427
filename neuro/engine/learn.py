"""Compiled arithmetic of a learning epoch: what arrived and was fired, traces step by step, products, rounding.

Restates `neuro.learning.updating` for speed, tied to it by tests/test_learning_engines.py. Synapses lie as `engine.listing` has
them by row; only those of neurons that were active are touched, unless a product depends on an epoch that is due.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import compiled, inner

LOWEST, HIGHEST = -(2**15) - 1, 2**15 - 1
LARGEST, LEAST_GIVEN = 127, -128

# Columns of the table of products, and what a product depends on.
VARIABLE, DEPENDENCY, PERIOD, MANTISSA, SHIFT, POWER, FIRST, LAST = range(8)
ON_X0, ON_Y0, ON_EPOCH = range(3)
# Columns of the table of factors; on which side they are.
PRODUCT, SIDE, PLACE, ADDED, BITS, SIGN = range(6)
BEFORE, BEHIND, SYNAPTIC = range(3)
SPIKED, NOTHING = -1, -2  # places of no trace: whether the neuron spiked; nothing but the constant
# Columns of the table of traces; what a message does to it.
IMPULSE, FRACTION, KIND = range(3)
BY_IMPULSE, BY_OVERWRITING, BY_ADDING, BY_POPULATION = range(4)


@compiled
def gather(
    p: Any, lists: Any, payloads: Any, begins: Any, ends: Any, sample: int, slot: int, steps: Any, places: Any, out: Any
) -> None:
    """Messages of a population in some segments, from `slot` on, into out (steps, neurons); of segments before the first, none.

    steps: those of `out` to fill, first and last; places: where the population's neurons stand in `out`.
    """
    out[:] = 0
    shift = p.payload_at - p.list_at
    for s in range(steps[0], steps[1]):
        if slot + s < 0:
            continue
        for y in range(p.rows):
            segment = p.segment_at + sample * p.segment_sample + y * p.segment_row + slot + s
            for k in range(begins[segment], ends[segment]):
                out[s, places[y * p.lanes + lists[k]]] = payloads[k + shift] if p.payload else 1


@compiled
def trace(how: Any, kept: Any, chances: Any, start: Any, messages: Any, last: Any, decay: Any, impulse: Any, table: Any) -> None:
    """A trace after each step of an epoch into table (steps, neurons); `start` becomes its value after the last."""
    steps, neurons = messages.shape
    kind, after = how[KIND], np.zeros(len(kept), np.int64)
    if kind != BY_POPULATION:
        _add_earlier(how, start, messages, last, impulse)
    for s in range(steps):
        for v in range(len(kept)):
            after[v] = kept[v] + (decay[s] < chances[v])
        risen = how[IMPULSE] + (impulse[s] < how[FRACTION])
        for i in range(neurons):
            value: Any = after[start[i]] if start[i] >= 0 else -after[-start[i]]
            if kind == BY_POPULATION:
                value = min(max(value + messages[s, i], LEAST_GIVEN), LARGEST)
            elif last[i] == s + 1:
                value = _added(kind, value, messages[s, i], risen)
            start[i] = value
            table[s, i] = value


@inner
def _added(kind: int, value: Any, payload: Any, risen: Any) -> Any:
    """A trace once a message has acted."""
    if kind == BY_OVERWRITING:
        value = np.int64(payload) >> 1
    elif kind == BY_ADDING:
        value = value + (np.int64(payload) >> 1)
    else:
        value = value + risen
    return min(value, LARGEST)


@inner
def _add_earlier(how: Any, start: Any, messages: Any, last: Any, impulse: Any) -> None:
    """The impulses of all messages but each neuron's last are added at once, when the next one comes."""
    steps, neurons = messages.shape
    if steps == 1 or how[KIND] == BY_OVERWRITING:
        return
    for i in range(neurons):
        waiting, value = np.int64(0), np.int64(start[i])
        for s in range(last[i]):
            if messages[s, i] != 0:
                if waiting != 0:
                    value = _added(how[KIND], value, waiting, how[IMPULSE] + (impulse[s] < how[FRACTION]))
                waiting = np.int64(messages[s, i])
        start[i] = value


@compiled
def last_spikes(messages: Any, last: Any) -> int:
    """The step of each neuron's last message, from 1, or 0; returns how many neurons sent one."""
    steps, neurons = messages.shape
    last[:] = 0
    for s in range(steps):
        for i in range(neurons):
            if messages[s, i] != 0:
                last[i] = s + 1
    active = 0
    for i in range(neurons):
        active += last[i] > 0
    return active


@compiled
def multiply(factors: Any, side: int, tables: Any, last: Any, out: Any) -> None:
    """The product of each product's factors on one side of the synapse, into out (products, steps, neurons)."""
    out[:] = 1
    steps, neurons = out.shape[1], out.shape[2]
    for f in range(len(factors)):
        if factors[f, SIDE] != side:
            continue
        place, added, product = factors[f, PLACE], factors[f, ADDED], factors[f, PRODUCT]
        low, high = -(1 << factors[f, BITS]), (1 << factors[f, BITS]) - 1
        for s in range(steps):
            for i in range(neurons):
                value = np.int64(0)
                if place >= 0:
                    value = np.int64(tables[place, s, i])
                elif place == SPIKED:
                    value = np.int64(last[i] > 0)
                out[product, s, i] *= np.int32(min(max(value + added, low), high))


@inner
def _changed(
    variable: int, value: Any, own: Any, products: Any, factors: Any, active: Any, at: Any, x: Any, y: Any, i: Any, j: Any,
    bias: int, low: int, high: int,
) -> Any:  # fmt: skip
    """One synaptic variable after the products of which the dependency holds; own: weight and tags before."""
    total: Any = np.int64(value) << 7
    for p in range(len(products)):
        on = products[p, DEPENDENCY]
        if products[p, VARIABLE] != variable or not active[on] or (on == ON_EPOCH and not products[p, PERIOD]):
            continue
        s = at[on]
        change = products[p, MANTISSA] * np.int64(x[p, s, i]) * np.int64(y[p, s, j])
        for f in range(products[p, FIRST], products[p, LAST]):
            given = np.int64(own[factors[f, PLACE]]) + factors[f, ADDED]
            if factors[f, SIGN]:
                given = np.int64(given > 0) - np.int64(given < 0)
            bound: Any = np.int64(1) << factors[f, BITS]
            change *= min(max(given, -bound), bound - 1)
        change = (change >> products[p, SHIFT]) << products[p, POWER]
        total = min(max(total + min(max(change, LOWEST), HIGHEST), LOWEST), HIGHEST)
    return min(max((total + bias) >> 7, low), high)


@inner
def _visit(rule: Any, state: Any, place: Any, i: Any, j: Any, before: Any, behind: Any, due: bool, steps: int) -> None:
    """Change the weight and tags of one synapse, which lies at `place`; before, behind: steps of the last spikes, or 0."""
    products, factors, bounds, changes, x, y, bias = rule
    weights, first, d, t = state
    own = (np.int64(weights[first + place]), np.int64(d[place]), np.int64(t[place]))
    active, at = (before > 0, behind > 0, due), (before - 1, behind - 1, steps - 1)
    if changes[0]:
        weights[first + place] = _changed(
            0, own[0], own, products, factors, active, at, x, y, i, j, bias, bounds[0, 0], bounds[0, 1]
        )
    if changes[1]:
        d[place] = _changed(1, own[1], own, products, factors, active, at, x, y, i, j, bias, bounds[1, 0], bounds[1, 1])
    if changes[2]:
        t[place] = _changed(2, own[2], own, products, factors, active, at, x, y, i, j, bias, bounds[2, 0], bounds[2, 1])


@compiled
def change_all(
    rule: Any, state: Any, starts: Any, behind: Any, steps_before: Any, steps_behind: Any, steps: int, updates: Any
) -> Any:
    """An epoch in which every synapse is due. starts (sources + 1,), behind (synapses,): target neurons. Returns how many."""
    for i in range(len(starts) - 1):
        for place in range(starts[i], starts[i + 1]):
            j = behind[place]
            _visit(rule, state, place, i, j, steps_before[i], steps_behind[j], True, steps)
            if len(updates):
                updates[j] += 1
    return starts[len(starts) - 1]


@compiled
def change_before(
    rule: Any, state: Any, starts: Any, behind: Any, steps_before: Any, steps_behind: Any, steps: int, updates: Any
) -> Any:
    """Synapses that a message reached; returns how many."""
    products, factors, bounds, changes, x, y, bias = rule
    weights, first, d, t = state
    simple, waits, found = _simple(rule, ON_X0), _depends(products, ON_Y0), 0
    for i in range(len(starts) - 1):
        if steps_before[i] == 0:
            continue
        found += starts[i + 1] - starts[i]
        s = steps_before[i] - 1
        if simple >= 0:
            scale, shift, power = (
                np.int32(products[simple, MANTISSA]) * x[simple, s, i],
                products[simple, SHIFT],
                products[simple, POWER],
            )
            row, low, high = y[simple, s], bounds[0, 0], bounds[0, 1]
            for place in range(starts[i], starts[i + 1]):
                j = behind[place]
                if waits and steps_behind[j] > 0:
                    _visit(rule, state, place, i, j, steps_before[i], steps_behind[j], False, steps)
                else:
                    change = (scale * row[j] >> shift) << power
                    total = (np.int32(weights[first + place]) << 7) + min(max(change, LOWEST), HIGHEST)
                    weights[first + place] = min(max((total + bias) >> 7, low), high)
        else:
            for place in range(starts[i], starts[i + 1]):
                j = behind[place]
                _visit(rule, state, place, i, j, steps_before[i], steps_behind[j], False, steps)
        if len(updates):
            for place in range(starts[i], starts[i + 1]):
                updates[behind[place]] += 1
    return found


@compiled
def change_behind(
    rule: Any, state: Any, starts: Any, before: Any, places: Any, steps_before: Any, steps_behind: Any, steps: int, updates: Any
) -> Any:
    """Synapses whose target fired and that `change_before` has not changed. starts (targets + 1,), before and places
    (synapses,): source neurons and places, target by target. Returns how many."""
    products, factors, bounds, changes, x, y, bias = rule
    weights, first, d, t = state
    simple, done, found = _simple(rule, ON_Y0), _depends(products, ON_X0), 0
    for j in range(len(starts) - 1):
        if steps_behind[j] == 0:
            continue
        s, known = steps_behind[j] - 1, found
        if simple >= 0:
            scale, shift, power = (
                np.int32(products[simple, MANTISSA]) * y[simple, s, j],
                products[simple, SHIFT],
                products[simple, POWER],
            )
            row, low, high = x[simple, s], bounds[0, 0], bounds[0, 1]
            for k in range(starts[j], starts[j + 1]):
                i = before[k]
                if not (done and steps_before[i] > 0):
                    change = (scale * row[i] >> shift) << power
                    at = first + places[k]
                    total = (np.int32(weights[at]) << 7) + min(max(change, LOWEST), HIGHEST)
                    weights[at] = min(max((total + bias) >> 7, low), high)
                    found += 1
        else:
            for k in range(starts[j], starts[j + 1]):
                i = before[k]
                if not (done and steps_before[i] > 0):
                    _visit(rule, state, places[k], i, j, steps_before[i], steps_behind[j], False, steps)
                    found += 1
        if len(updates):
            updates[j] += found - known
    return found


@inner
def _simple(rule: Any, dependency: int) -> int:
    """The one product that depends on x0 (or y0), where it changes the weight alone and reads no synaptic variable; else -1."""
    products, factors, bounds, changes, x, y, bias = rule
    if changes[1] or changes[2]:
        return -1
    found = -1
    for p in range(len(products)):
        if products[p, DEPENDENCY] == dependency:
            if found >= 0 or products[p, FIRST] < products[p, LAST]:
                return -1
            found = p
    return found


@inner
def _depends(products: Any, dependency: int) -> bool:
    found = False
    for p in range(len(products)):
        found = found or products[p, DEPENDENCY] == dependency
    return found
