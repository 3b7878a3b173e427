"""Compiled arithmetic of a learning epoch: what arrived and was fired, traces step by step, products, rounding.

Restates `neuro.learning.updating` for speed, tied to it by tests/test_learning_engines.py. Synapses lie as `engine.listing` has
them by row; only those of neurons that were active are touched, unless a product depends on an epoch that is due.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.compiled import compiled, inner
from neuro.engine.tables import U

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
    p: Any,
    lists: Any,
    payloads: Any,
    begins: Any,
    ends: Any,
    sample: int,
    slot: int,
    steps: Any,
    places: Any,
    out: Any,
    last: Any,
) -> bool:
    """Messages of a population in some segments, from `slot` on, into out (steps, neurons); of segments before the first, none.

    steps: those of `out` to fill, first and last; places: where the population's neurons stand in `out`; last: becomes the step
    of each neuron's last message, from 1, or 0. Returns whether there are any.
    """
    out[:], last[:], found = 0, 0, False
    shift = p.payload_at - p.list_at
    for s in range(steps[0], steps[1]):
        if slot + s < 0:
            continue
        for y in range(p.rows):
            segment = p.segment_at + sample * p.segment_sample + y * p.segment_row + slot + s
            for k in range(begins[segment], ends[segment]):
                at, payload = places[y * p.lanes + lists[k]], payloads[k + shift] if p.payload else np.int32(1)
                out[s, at] = payload
                if payload != 0:
                    last[at], found = s + 1, True
    return found


@compiled
def trace(how: Any, kept: Any, chances: Any, start: Any, messages: Any, last: Any, decay: Any, impulse: Any, table: Any) -> None:
    """A trace after each step of an epoch into table (steps, neurons); `start` becomes its value after the last."""
    steps, neurons = messages.shape
    kind, after = how[KIND], np.zeros(2 * len(kept), np.int64)
    if kind != BY_POPULATION:
        _add_earlier(how, start, messages, last, impulse)
    for s in range(steps):
        for v in range(len(kept)):
            left = kept[v] + (decay[s] < chances[v])
            after[len(kept) + v], after[len(kept) - v] = left, -left if v else left
        risen = how[IMPULSE] + (impulse[s] < how[FRACTION])
        for i in range(neurons):
            start[i] = after[U(len(kept) + start[i])]
        if kind == BY_POPULATION:
            for i in range(neurons):
                start[i] = min(max(start[i] + messages[s, i], LEAST_GIVEN), LARGEST)
        else:
            for i in range(neurons):
                if last[i] == s + 1:
                    start[i] = _added(kind, start[i], messages[s, i], risen)
        for i in range(neurons):
            table[s, i] = start[i]


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
def _visit(  # noqa: C901  # one loop, see below
    rule: Any, state: Any, listed: Any, count: int, steps_before: Any, steps_behind: Any, due: bool, steps: int, wait: bool
) -> None:
    """Change the weights and tags of listed (3, n) synapses: place, source and target of each; with `wait`, leave the new
    weights in the place of the sources. All in one loop: a call for each synapse would hand over all arrays each time."""
    products, factors, bounds, changes, x, y, bias = rule
    weights, first, d, t = state
    for k in range(count):
        place, i, j = np.int64(listed[0, k]), np.int64(listed[1, k]), np.int64(listed[2, k])
        w_old, d_old, t_old = np.int64(weights[first + place]), np.int64(d[place]), np.int64(t[place])
        for variable in range(3):
            if not changes[variable]:
                continue
            total: Any = (w_old if variable == 0 else d_old if variable == 1 else t_old) << 7
            for p in range(len(products)):
                on, s = products[p, DEPENDENCY], np.int64(steps)
                if on == ON_X0:
                    s = np.int64(steps_before[i])
                elif on == ON_Y0:
                    s = np.int64(steps_behind[j])
                elif not due or not products[p, PERIOD]:
                    s = np.int64(0)
                if s == 0 or products[p, VARIABLE] != variable:
                    continue
                change = products[p, MANTISSA] * np.int64(x[p, s - 1, i]) * np.int64(y[p, s - 1, j])
                for f in range(products[p, FIRST], products[p, LAST]):
                    which = factors[f, PLACE]
                    given = (w_old if which == 0 else d_old if which == 1 else t_old) + factors[f, ADDED]
                    if factors[f, SIGN]:
                        given = np.int64(given > 0) - np.int64(given < 0)
                    bound: Any = np.int64(1) << factors[f, BITS]
                    change *= min(max(given, -bound), bound - 1)
                change = (change >> products[p, SHIFT]) << products[p, POWER]
                total = min(max(total + min(max(change, LOWEST), HIGHEST), LOWEST), HIGHEST)
            value = min(max((total + bias) >> 7, bounds[variable, 0]), bounds[variable, 1])
            if wait:
                listed[1, k] = value
            elif variable == 0:
                weights[first + place] = value
            elif variable == 1:
                d[place] = value
            else:
                t[place] = value


@inner
def _list_row(listed: Any, behind: Any, begin: int, end: int, i: int) -> Any:
    """Note all synapses of a source; returns how many."""
    for place in range(begin, end):
        k = place - begin
        listed[0, k], listed[1, k], listed[2, k] = place, i, behind[place]
    return end - begin


@compiled
def change_all(
    rule: Any, state: Any, wiring: Any, steps_before: Any, steps_behind: Any, steps: int, updates: Any, listed: Any
) -> Any:
    """An epoch in which every synapse is due; returns how many. Arguments as those of `change_active`."""
    starts, behind = wiring[0], wiring[1]
    for i in range(len(starts) - 1):
        count = _list_row(listed, behind, starts[i], starts[i + 1], i)
        _visit(rule, state, listed, count, steps_before, steps_behind, True, steps, False)
        if len(updates):
            for place in range(starts[i], starts[i + 1]):
                updates[behind[place]] += 1
    return starts[len(starts) - 1]


@compiled
def change_active(
    rule: Any, state: Any, wiring: Any, steps_before: Any, steps_behind: Any, steps: int, updates: Any, listed: Any
) -> Any:
    """Synapses that a message reached, or whose target fired, as far as products depend on that; returns how many.

    wiring: starts (sources + 1,), behind (synapses,); starts (targets + 1,), before and places (synapses,), target by target.
    listed (3, 2 synapses): room. Where both happened and products depend on both, the new weights wait there until all others
    are written: so the loop over a source's synapses has no branches.
    """
    products, weights, first, waiting, found = rule[0], state[0], state[1], 0, 0
    both = _depends(products, ON_X0) and _depends(products, ON_Y0)
    simple = _simple(rule, ON_X0)
    if _depends(products, ON_Y0):
        found, waiting = _change_behind(
            rule, state, wiring, steps_before, steps_behind, steps, updates, listed, both, simple >= 0
        )
    if _depends(products, ON_X0):
        found += _change_before(rule, state, wiring, steps_before, steps_behind, steps, updates, listed[:, waiting:], simple)
    for k in range(waiting):
        weights[U(first + listed[0, k])] = listed[1, k]
    return found


@inner
def _change_before(
    rule: Any, state: Any, wiring: Any, steps_before: Any, steps_behind: Any, steps: int, updates: Any, listed: Any, simple: int
) -> Any:
    products, factors, bounds, changes, x, y, bias = rule
    weights, first, d, t = state
    starts, behind, found = wiring[0], wiring[1], 0
    for i in range(len(starts) - 1):
        if steps_before[i] == 0:
            continue
        begin, end, s = starts[i], starts[i + 1], steps_before[i] - 1
        found += end - begin
        if simple >= 0:
            scale, shift = products[simple, MANTISSA] * np.int64(x[simple, s, i]), products[simple, SHIFT]
            how = (scale, shift, products[simple, POWER], bias, bounds[0, 0], bounds[0, 1])
            if shift == 0:
                _change_row(weights, first, behind, begin, end, y[simple, s], how)
            else:
                _change_shifted_row(weights, first, behind, begin, end, y[simple, s], how)
        else:
            count = _list_row(listed, behind, begin, end, i)
            _visit(rule, state, listed, count, steps_before, steps_behind, False, steps, False)
        if len(updates):
            for place in range(begin, end):
                updates[behind[place]] += 1
    return found


@inner
def _change_row(weights: Any, first: int, behind: Any, begin: int, end: int, row: Any, how: Any) -> None:
    """Weights of one source by its one product, in 32 bits: a product of one trace is not shifted, and fits."""
    scale, bias, low, high = np.int32(how[0] << how[2]), np.int32(how[3]), np.int32(how[4]), np.int32(how[5])
    lowest, highest = np.int32(LOWEST), np.int32(HIGHEST)
    for place in range(U(begin), U(end)):
        change = min(max(np.int32(scale * row[U(behind[place])]), lowest), highest)
        total = np.int32(np.int32(np.int32(weights[U(first) + place]) * np.int32(128)) + change + bias)
        weights[U(first) + place] = min(max(np.int32(total >> 7), low), high)


@inner
def _change_shifted_row(weights: Any, first: int, behind: Any, begin: int, end: int, row: Any, how: Any) -> None:
    scale, shift, power, bias, low, high = how
    for place in range(U(begin), U(end)):
        change = (scale * row[U(behind[place])] >> shift) << power
        total = (np.int64(weights[U(first) + place]) << 7) + min(max(change, LOWEST), HIGHEST)
        weights[U(first) + place] = min(max((total + bias) >> 7, low), high)


@inner
def _change_behind(
    rule: Any, state: Any, wiring: Any, steps_before: Any, steps_behind: Any, steps: int, updates: Any, listed: Any, both: bool,
    plain: bool,
) -> Any:  # fmt: skip
    """Of targets that fired; returns how many that are not counted before the synapse, and how many wait in `listed`.

    both: whether products depend on what is before the synapse too; plain: whether that is changed without a look at both.
    """
    products, factors, bounds, changes, x, y, bias = rule
    weights, first, d, t = state
    starts, before, places = wiring[2], wiring[3], wiring[4]
    simple, found, waiting = _simple(rule, ON_Y0), 0, 0
    sent = np.zeros(len(steps_before), np.uint8)
    for i in range(len(sent)):
        sent[i] = both and steps_before[i] > 0
    for j in range(len(starts) - 1):
        if steps_behind[j] == 0:
            continue
        begin, end, s, known, one = starts[j], starts[j + 1], steps_behind[j] - 1, found, max(simple, 0)
        if both and plain:
            waiting += _list_column(before, places, begin, end, sent, 1, listed[:, waiting:], j)
        if simple >= 0:
            scale = products[one, MANTISSA] * np.int64(y[one, s, j])
            how = (scale, products[one, SHIFT], products[one, POWER], bias, bounds[0, 0], bounds[0, 1])
            found += _change_column(weights, first, before, places, begin, end, x[one, s], how, sent)
        else:
            free = listed[:, waiting:]
            count = _list_column(before, places, begin, end, sent, 0, free, j)
            _visit(rule, state, free, count, steps_before, steps_behind, False, steps, False)
            found += count
        if len(updates):
            updates[j] += found - known
    _visit(rule, state, listed, waiting, steps_before, steps_behind, False, steps, True)
    return found, waiting


@inner
def _list_column(before: Any, places: Any, begin: Any, end: Any, sent: Any, wanted: int, listed: Any, j: Any) -> Any:
    """Note the synapses of a target whose sources sent something (wanted 1), or nothing (0); returns how many."""
    count = 0
    for k in range(U(begin), U(end)):
        if sent[U(before[k])] == wanted:
            listed[0, count], listed[1, count], listed[2, count] = places[k], before[k], j
            count += 1
    return count


@inner
def _change_column(
    weights: Any, first: int, before: Any, places: Any, begin: Any, end: Any, row: Any, how: Any, sent: Any
) -> Any:
    """Weights of one target by its one product, of sources that sent nothing; returns how many."""
    scale, shift, power, bias, low, high = how
    found = 0
    for k in range(U(begin), U(end)):
        i, at = U(before[k]), U(first) + U(places[k])
        if not sent[i]:
            change = (scale * row[i] >> shift) << power
            total = (np.int64(weights[at]) << 7) + min(max(change, LOWEST), HIGHEST)
            weights[at] = min(max((total + bias) >> 7, low), high)
            found += 1
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
