"""Changes that wait: what a firing does to a pairwise rule's synapses is written when their source's synapses are next read.

The synapses of a source lie side by side, those of a target all over the memory. So a firing is noted in one bit for its target,
and what it changes, which depends on the source alone, once for each source; before messages of a source arrive, the changes
that its synapses have missed are written in the order of their epochs. The result is the same, bit for bit, as if nothing had
waited: a product adds `change` to w * 128, and (w * 128 + change + bias) >> 7 is w + ((change + bias) >> 7).

Rules that can wait have epochs of one step, change weights alone, by one product on y0 that reads only the source's traces, and
at most one on x0; neither of them is shifted right, and nothing depends on the number of the epoch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import compiled, inner
from neuro.engine import learn as L
from neuro.engine.tables import U

SLOTS = 64  # epochs that can wait, a bit of each target for each
WORD = 16  # epochs whose bits are looked at together
PLANES = 9  # bits of a change's size


class Pending:
    """The changes of one projection that wait. `weights` from `first` on, source by source as `wiring.starts` says; `behind`
    them the targets, counted from `margin`: as deliveries read them, so that both find them in the cache."""

    def __init__(self, tables: Any, wiring: Any, weights: NDArray[Any], first: int, behind: NDArray[Any], margin: int) -> None:
        self.on_x0, self.on_y0 = (_only(tables.products, on) for on in (L.ON_X0, L.ON_Y0))
        self._arriving, self._firing = (_scale(tables.products, place) for place in (self.on_x0, self.on_y0))
        self._bounds = int(tables.bounds[0, 0]), int(tables.bounds[0, 1])
        self._synapses, self._starts_behind, self._margin = (weights, first, wiring.starts, behind), wiring.starts_behind, margin
        sources, targets = len(wiring.starts) - 1, len(wiring.starts_behind) - 1
        self._fired = np.zeros(margin + targets, np.uint64)
        self._changes = np.zeros((sources, SLOTS), np.int16)
        self._since = np.zeros(sources, np.int64)
        self._packed = np.zeros(margin + targets, np.int32)
        most = int(np.diff(wiring.starts).max(initial=0))
        self._row, self._read = np.zeros((SLOTS // WORD, most), np.int16), np.zeros(most, np.int32)
        self._sums, self._masks = np.zeros(most, np.int16), np.zeros(PLANES, np.int16)
        self._slot = 0

    @staticmethod
    def possible(rule: Any, tables: Any) -> bool:
        """Whether a rule's changes can wait."""
        products, factors = tables.products, tables.factors
        kinds = products[:, L.DEPENDENCY].tolist()
        both_sides = factors[factors[:, L.SIDE] == L.BEHIND, L.PRODUCT]
        return (
            rule.epoch == 1
            and rule.targets == ("w",)
            and kinds.count(L.ON_Y0) == 1
            and kinds.count(L.ON_X0) == len(kinds) - 1 <= 1
            and not products[:, L.SHIFT].any()
            and not (factors[:, L.SIDE] == L.SYNAPTIC).any()
            and kinds.index(L.ON_Y0) not in both_sides
        )

    def settle(self, arrived: NDArray[np.int32]) -> None:
        """Write what the synapses of sources have missed of which something arrives, (steps, sources) payloads."""
        if self._slot:
            _settle(arrived, self._synapses, self._missed)

    def settle_all(self) -> None:
        """Write everything that waits."""
        if self._slot:
            _settle(np.ones((1, len(self._since)), np.int32), self._synapses, self._missed)
            self._fired[:], self._since[:], self._changes[:], self._slot = 0, 0, 0, 0

    @property
    def _missed(self) -> tuple[Any, ...]:
        return (
            self._fired,
            self._changes,
            self._since,
            self._slot,
            (self._read, self._row, self._sums, self._masks),
            *self._bounds,
        )

    def end_epoch(self, products: tuple[Any, ...], last: tuple[Any, ...], bias: int, updates: Any) -> int:
        """Note what fired, change what was reached; returns for how many synapses the rule was computed.

        products (products, 1, neurons): of each one, the product of its factors before and behind the synapse; last: whether
        each neuron before and behind was active.
        """
        before, behind = products
        slot, on_x0, on_y0 = self._slot, self.on_x0, self.on_y0
        fired = _note(behind[on_x0, 0], last[1], self._fired[self._margin :], slot, self._packed[self._margin :], on_x0 >= 0)
        found = 0
        if fired:
            _each_source(before[on_y0, 0], self._firing, bias, self._changes, slot)
            found = _reached_by_firing(self._starts_behind, last[1], updates)
        if on_x0 >= 0:
            scales = (self._arriving, self._firing, on_x0 < on_y0, bias, slot + 1)
            targets = self._packed, self._read, updates, self._margin
            sides = before[on_x0, 0], before[on_y0, 0]
            found += _change_reached(last[0], sides, self._synapses, scales, self._since, self._bounds, targets)
        self._slot += 1
        if self._slot == SLOTS:
            self.settle_all()
        return int(found)


def _only(products: NDArray[np.int64], dependency: int) -> int:
    """The place of the product that depends on x0, or y0; -1 for none."""
    return int(next(iter(np.flatnonzero(products[:, L.DEPENDENCY] == dependency)), -1))


def _scale(products: NDArray[np.int64], place: int) -> int:
    """Mantissa and power of two of a product."""
    return int(products[place, L.MANTISSA] << products[place, L.POWER])


@compiled
def _settle(arrived: Any, synapses: Any, missed: Any) -> None:
    steps, sources = arrived.shape
    for i in range(sources):
        active = False
        for s in range(steps):
            active = active or arrived[s, i] != 0
        if active:
            _catch_up(i, synapses, missed)


@inner
def _catch_up(i: Any, synapses: Any, missed: Any) -> None:
    """Write the changes that the synapses of source `i` have missed, epoch by epoch."""
    weights, first, starts, behind = synapses
    fired, every, since, slot, (wide, row, sums, masks), low, high = missed
    begin, size, changes = U(starts[i]), U(starts[i + 1] - starts[i]), every[i]
    s = since[i]
    since[i] = slot
    while s < slot and changes[s] == 0:
        s += 1
    if s == slot:
        return
    start = s
    _look(fired, behind, begin, size, start, slot, wide, row)
    while s < slot:
        if changes[s] == 0:
            s += 1
            continue
        word = (s - start) // WORD
        sign = np.int16(1 if changes[s] > 0 else -1)
        s = _take(changes, s, min(slot, start + (word + 1) * WORD), start + word * WORD, masks)
        _add_up(row[word], size, masks, sums)
        _write(weights, U(first) + begin, size, sums, sign, np.int16(low), np.int16(high))


@inner
def _look(fired: Any, behind: Any, begin: Any, size: Any, start: Any, slot: Any, wide: Any, row: Any) -> None:
    """The bits of each synapse's target from epoch `start` on, in words."""
    for word in range((slot - start - 1) // WORD + 1):
        one = row[word]
        if word % 2:
            for k in range(size):
                one[k] = np.int16(wide[k] >> WORD)
            continue
        shift = np.uint64(start + word * WORD)
        for k in range(size):
            wide[k] = np.int32(fired[U(behind[begin + k])] >> shift)
        for k in range(size):
            one[k] = np.int16(wide[k])


@inner
def _take(changes: Any, first: Any, last: Any, start: Any, masks: Any) -> Any:
    """Note for each bit of a size in which of the epochs [first, last) changes have it, as bits from `start` on.

    Of one sign, so that clipping their sum is clipping each; returns the first epoch that is not among them.
    """
    masks[:], s = 0, first
    while s < last and np.int64(changes[s]) * np.int64(changes[first]) >= 0:
        left, plane = abs(np.int64(changes[s])), 0
        while left:
            if left & 1:
                masks[plane] |= np.int16(np.int64(1) << (s - start))
            left, plane = left >> 1, plane + 1
        s += 1
    return s


@inner
def _add_up(row: Any, size: Any, masks: Any, sums: Any) -> None:
    """The sum of the changes in whose epochs the target fired, synapse by synapse: bits are counted, not tested."""
    begun = False
    for plane in range(PLANES):
        mask, scale = masks[plane], np.int16(1 << plane)
        if mask == 0:
            continue
        for k in range(size):
            bits = np.int16(row[k] & mask)
            bits = np.int16(bits - np.int16((bits >> 1) & 0x5555))
            bits = np.int16(np.int16(bits & 0x3333) + np.int16((bits >> 2) & 0x3333))
            bits = np.int16(np.int16(bits + np.int16(bits >> 4)) & 0x0F0F)
            bits = np.int16(np.int16(bits + np.int16(bits >> 8)) & 0x1F)
            sums[k] = np.int16((sums[k] if begun else np.int16(0)) + np.int16(bits * scale))
        begun = True


@inner
def _write(weights: Any, at: Any, size: Any, sums: Any, sign: Any, low: Any, high: Any) -> None:
    for k in range(size):
        w = np.int16(np.int16(weights[at + k]) + np.int16(sign * sums[k]))
        weights[at + k] = min(max(w, low), high)


@compiled
def _note(values: Any, last: Any, fired: Any, bit: int, packed: Any, reads: bool) -> bool:
    """Set a bit of each target that fired; packed: what the product on x0 reads of a target, times 2, plus whether it fired."""
    any_fired, one = False, np.uint64(1) << np.uint64(bit)
    for j in range(len(last)):
        on = last[j] > 0
        any_fired = any_fired or on
        if on:
            fired[j] |= one
        packed[j] = (values[j] * 2 if reads else 0) + on
    return any_fired


@compiled
def _each_source(values: Any, scale: int, bias: int, out: Any, slot: int) -> None:
    """By how much a weight of each source changes where its target fired."""
    for i in range(len(out)):
        out[i, slot] = (min(max(scale * values[i], L.LOWEST), L.HIGHEST) + bias) >> 7


@compiled
def _reached_by_firing(starts: Any, last: Any, updates: Any) -> int:
    found = 0
    for j in range(len(last)):
        if last[j] > 0:
            found += starts[j + 1] - starts[j]
            if len(updates):
                updates[j] += starts[j + 1] - starts[j]
    return found


@compiled
def _change_reached(last: Any, sides: Any, synapses: Any, scales: Any, since: Any, bounds: Any, targets: Any) -> int:
    """The synapses that a message reached; returns how many of them are of targets that did not fire."""
    weights, first, starts, behind = synapses
    arriving, firing, arriving_first, bias, following = scales
    packed, read, updates, margin = targets
    found = 0
    for i in range(len(last)):
        if last[i] == 0:
            continue
        since[i] = following
        begin, size = U(starts[i]), U(starts[i + 1] - starts[i])
        for k in range(size):
            read[k] = packed[U(behind[begin + k])]
        added = np.int32(min(max(firing * sides[1][i], L.LOWEST), L.HIGHEST))
        how = (np.int32(arriving * sides[0][i]), added, np.int32(bias), np.int32(bounds[0]), np.int32(bounds[1]))
        found += size - _change_row(weights, U(first) + begin, size, read, arriving_first, how)
        if len(updates):
            for k in range(size):
                updates[np.int64(behind[begin + k]) - margin] += 1 - (read[k] & 1)
    return found


@inner
def _change_row(weights: Any, at: Any, size: Any, read: Any, arriving_first: bool, how: Any) -> Any:
    """One source's synapses, by the product on x0 and, before or after it, that on y0; returns how many targets fired."""
    scale, added, bias, low, high = how
    lowest, highest, none, both = np.int32(L.LOWEST), np.int32(L.HIGHEST), np.int32(0), np.int32(0)
    for k in range(size):
        fired = np.int32(read[k] & np.int32(1))
        both = np.int32(both + fired)
        change = min(max(np.int32(scale * np.int32(read[k] >> np.int32(1))), lowest), highest)
        other = added if fired else none
        one, two = (change, other) if arriving_first else (other, change)
        total = min(max(np.int32(np.int32(np.int32(weights[at + k]) * np.int32(128)) + one), lowest), highest)
        total = np.int32(np.int32(total + two) + bias)
        weights[at + k] = min(max(np.int32(total >> 7), low), high)
    return np.int64(both)
