"""Changes that wait: what a firing does to a pairwise rule's synapses is written when their source's synapses are next read.

The synapses of a source lie side by side, those of a target all over the memory. So a firing is noted in one bit for its target,
and what it changes, which depends on the source alone, once for each source; before messages of a source arrive, or bits run
out, the changes that its synapses have missed are written in the order of their epochs. The result is the same, bit for bit, as
if nothing had waited: a product adds `change` to w * 128, and (w * 128 + change + bias) >> 7 is w + ((change + bias) >> 7).

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
WORD = 16  # epochs whose bits are counted together
BITS, TOP = (1 << WORD) - 1, 1 << (WORD - 1)  # of a word
PLANES, NEGATIVE = 10, 10  # bits of a change's size, in pairs; where its sign is
NARROW = 16_000  # the largest change of one product, times 128, that is computed in 16 bits


class Pending:
    """The changes of one projection that wait. `weights` from `first` on, source by source as `wiring.starts` says; `behind`
    them the targets, counted from `margin`: as deliveries read them, so that both find them in the cache."""

    def __init__(self, tables: Any, wiring: Any, weights: NDArray[Any], first: int, behind: NDArray[Any], margin: int) -> None:
        self.on_x0, self.on_y0 = (_only(tables.products, on) for on in (L.ON_X0, L.ON_Y0))
        self._arriving, self._firing = (_scale(tables.products, place) for place in (self.on_x0, self.on_y0))
        self._bounds = int(tables.bounds[0, 0]), int(tables.bounds[0, 1])
        self._synapses, self._starts_behind, self._margin = (weights, first, wiring.starts, behind), wiring.starts_behind, margin
        sources, targets = len(wiring.starts) - 1, len(wiring.starts_behind) - 1
        self._fired = np.zeros((SLOTS // WORD, margin + targets), np.int16)
        self._changes, self._sizes = np.zeros((PLANES + 1, sources), np.uint64), np.zeros(sources, np.int32)
        self._since, self._epoch, self._planes = np.zeros(sources, np.int64), 0, 0
        self._packed = np.zeros(margin + targets, np.int32), np.zeros(margin + targets, np.int16)
        most = int(np.diff(wiring.starts).max(initial=0))
        self._read, self._masks = (np.zeros(most, np.int32), np.zeros(most, np.int16)), np.zeros(PLANES, np.int16)

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
        """Write what the synapses of sources have missed of which something arrives, (1, sources) payloads, and what has waited
        so long that there is no bit left."""
        _settle(arrived, self._synapses, self._missed)

    def settle_all(self) -> None:
        """Write everything that waits."""
        self.settle(np.ones((1, len(self._since)), np.int32))

    @property
    def _missed(self) -> tuple[Any, ...]:
        rooms = self._read[1], self._masks
        return self._fired, self._changes, self._planes, self._since, self._epoch, rooms, *self._bounds

    def end_epoch(self, products: tuple[Any, ...], last: tuple[Any, ...], bias: int, updates: Any) -> int:
        """Note what fired, change what was reached; returns for how many synapses the rule was computed.

        products (products, 1, neurons): of each one, the product of its factors before and behind the synapse; last: whether
        each neuron before and behind was active.
        """
        before, behind = products
        on_x0, on_y0 = self.on_x0, self.on_y0
        fired, largest = _note(behind[on_x0, 0], last[1], self._fired, self._margin, *self._packed, on_x0 >= 0)
        found = 0
        self._planes = _each_source(before[on_y0, 0], self._firing * fired, bias, self._sizes, self._changes, self._planes)
        if fired:
            found = _reached_by_firing(self._starts_behind, last[1], updates)
        self._epoch += 1
        if on_x0 >= 0:
            scales = (self._arriving, self._firing, on_x0 < on_y0, bias, largest)
            targets = (*self._packed, *self._read, updates, self._margin)
            sides = before[on_x0, 0], before[on_y0, 0]
            found += _change_reached(last[0], sides, self._synapses, scales, self._since, self._epoch, self._bounds, targets)
        return int(found)


def _only(products: NDArray[np.int64], dependency: int) -> int:
    """The place of the product that depends on x0, or y0; -1 for none."""
    return int(next(iter(np.flatnonzero(products[:, L.DEPENDENCY] == dependency)), -1))


def _scale(products: NDArray[np.int64], place: int) -> int:
    """Mantissa and power of two of a product."""
    return int(products[place, L.MANTISSA] << products[place, L.POWER])


@compiled
def _settle(arrived: Any, synapses: Any, missed: Any) -> None:
    since, epoch = missed[3], missed[4]
    for i in range(len(since)):
        if arrived[0, i] != 0 or epoch - since[i] == SLOTS:
            _catch_up(i, synapses, missed)


@inner
def _catch_up(i: Any, synapses: Any, missed: Any) -> None:
    """Write the changes that the synapses of source `i` have missed, from the oldest on; those of one sign in a word at once, for
    clipping their sum is clipping each."""
    weights, first, starts, behind = synapses
    fired, changes, planes, since, epoch, (row, masks), low, high = missed
    begin, size, some, age = U(starts[i]), U(starts[i + 1] - starts[i]), np.uint64(0), epoch - since[i]
    since[i] = epoch
    for plane in range(planes):
        some |= changes[plane, i]
    some &= ~np.uint64(0) >> np.uint64(SLOTS - age) if age else np.uint64(0)
    for word in range(SLOTS // WORD - 1, -1, -1):
        left, negative = _part(some, word), _part(changes[NEGATIVE, i], word)
        if left:
            _look(fired[word], behind, begin, size, row)
        while left:
            run, sign = _run(left, negative)
            for plane in range(planes):
                masks[plane] = np.int16(_part(changes[plane, i], word) & run)
            _write(weights, U(first) + begin, size, row, masks[:planes], sign, np.int16(low), np.int16(high))
            left &= ~run


@inner
def _part(bits: Any, word: Any) -> Any:
    return np.int64((bits >> np.uint64(word * WORD)) & np.uint64(BITS))


@inner
def _run(bits: Any, negative: Any) -> Any:
    """The highest bits that are of one sign, and the sign."""
    if bits & negative == 0:
        return bits, np.int16(1)
    if bits & ~negative == 0:
        return bits, np.int16(-1)
    top = np.int64(TOP)
    while not bits & top:
        top >>= 1
    below, sign = negative & top == 0, np.int16(-1 if negative & top else 1)
    while top and (negative & top == 0) == below:
        top >>= 1
    return (bits & ~(2 * top - 1) if top else bits), sign


@inner
def _look(values: Any, behind: Any, begin: Any, size: Any, read: Any) -> None:
    """What the targets of a source's synapses have, side by side."""
    for k in range(size):
        read[k] = values[U(behind[begin + k])]


@inner
def _write(weights: Any, at: Any, size: Any, row: Any, masks: Any, sign: Any, low: Any, high: Any) -> None:
    """Add to each weight the changes of one sign in whose epochs the target fired: bits are counted, not tested.

    masks: for each bit of a size, the epochs whose changes have it. Clipped after each two bits of sizes: of one sign, so that it
    is the same as clipping once. 16 of up to 511 do not leave 16 bits.
    """
    last = len(masks) - 1
    while masks[last] == 0:
        last -= 1
    for plane in range(0, last + 1, 2):
        one, two = masks[plane], masks[plane + 1] if plane < last else np.int16(0)
        scale = np.int16(np.int64(sign) << plane)
        for k in range(size):
            bits, more = np.int16(row[k] & one), np.int16(row[k] & two)
            bits = np.int16(bits - np.int16((bits >> 1) & 0x5555))
            more = np.int16(more - np.int16((more >> 1) & 0x5555))
            bits = np.int16(np.int16(bits & 0x3333) + np.int16((bits >> 2) & 0x3333))
            more = np.int16(np.int16(more & 0x3333) + np.int16((more >> 2) & 0x3333))
            bits = np.int16(bits + np.int16(more << 1))
            bits = np.int16(np.int16(bits & 0x0F0F) + np.int16((bits >> 4) & 0x0F0F))
            bits = np.int16(np.int16(bits & 0xFF) + np.int16((bits >> 8) & 0xFF))
            w = np.int16(np.int16(weights[at + k]) + np.int16(bits * scale))
            weights[at + k] = min(max(w, low), high)


@compiled
def _note(values: Any, last: Any, fired: Any, margin: int, packed: Any, narrow: Any, reads: bool) -> Any:
    """Give each target a bit for whether it fired; packed: what the product on x0 reads of it, times 2, plus whether it fired;
    narrow: the same in 16 bits, for values up to `NARROW`.

    Returns whether any fired, and the largest size of what is read.
    """
    any_fired, largest = np.int32(0), np.int32(0)
    wide, near = packed[margin:], narrow[margin:]
    for j in range(len(last)):
        on, value = np.int32(last[j] > 0), np.int32(values[j] if reads else 0)
        any_fired, largest = np.int32(any_fired | on), max(largest, np.int32(abs(value)))
        wide[j] = np.int32(value * 2 + on)
    for j in range(len(last)):
        near[j] = np.int16(wide[j] & 1)
    for word in range(len(fired)):
        bits = fired[word, margin:]
        for j in range(len(last)):
            carried = near[j]
            near[j] = np.int16(np.int16(bits[j] >> (WORD - 1)) & 1)
            bits[j] = np.int16(np.int16(bits[j] << 1) | carried)
    for j in range(len(last)):
        near[j] = np.int16(wide[j])
    return any_fired, largest


@compiled
def _each_source(values: Any, scale: int, bias: int, sizes: Any, changes: Any, planes: int) -> int:
    """Note by how much a weight of each source changes where its target fired, bit by bit; returns how many bits there are.

    The latest epoch's bit is the lowest of each word; `planes`: how many bits were ever needed; sizes: room."""
    union, one = np.int64(0), np.uint64(1)
    for i in range(len(values)):
        change: Any = min(max(scale * np.int64(values[i]), L.LOWEST), L.HIGHEST)
        change = (change + bias) >> 7
        union |= abs(change)
        sizes[i] = np.int32(change)
    bits = changes[NEGATIVE]
    for i in range(len(values)):
        bits[i] = (bits[i] << one) | np.uint64(sizes[i] < 0)
    while union >> planes:
        planes += 1
    for plane in range(planes):
        bits, shift = changes[plane], np.int32(plane)
        for i in range(len(values)):
            bits[i] = (bits[i] << one) | np.uint64((abs(sizes[i]) >> shift) & np.int32(1))
    return planes


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
def _change_reached(
    last: Any, sides: Any, synapses: Any, scales: Any, since: Any, following: int, bounds: Any, targets: Any
) -> int:
    """The synapses that a message reached; returns how many of them are of targets that did not fire."""
    weights, first, starts, behind = synapses
    arriving, firing, arriving_first, bias, largest = scales
    packed, narrow, read, near, updates, margin = targets
    found = 0
    for i in range(len(last)):
        if last[i] == 0:
            continue
        since[i] = following
        begin, size = U(starts[i]), U(starts[i + 1] - starts[i])
        added = min(max(firing * np.int64(sides[1][i]), L.LOWEST), L.HIGHEST)
        how = (np.int32(arriving * sides[0][i]), np.int32(added), np.int32(bias), np.int32(bounds[0]), np.int32(bounds[1]))
        if abs(added) <= NARROW and abs(np.int64(how[0])) * largest <= NARROW and largest <= NARROW:
            _look(narrow, behind, begin, size, near)
            _change_narrow_row(weights, U(first) + begin, size, near, arriving_first, how)
            found += size - _both(near, size)
        else:
            _look(packed, behind, begin, size, read)
            _change_row(weights, U(first) + begin, size, read, arriving_first, how)
            found += size - _both(read, size)
        if len(updates):
            for k in range(begin, begin + size):
                updates[np.int64(behind[k]) - margin] += 1 - (packed[behind[k]] & 1)
    return found


@inner
def _both(read: Any, size: Any) -> Any:
    """How many targets fired."""
    both = np.int32(0)
    for k in range(size):
        both = np.int32(both + np.int32(read[k] & 1))
    return np.int64(both)


@inner
def _change_row(weights: Any, at: Any, size: Any, read: Any, arriving_first: bool, how: Any) -> None:
    """One source's synapses, by the product on x0 and, before or after it, that on y0."""
    scale, added, bias, low, high = how
    lowest, highest, none = np.int32(L.LOWEST), np.int32(L.HIGHEST), np.int32(0)
    for k in range(size):
        change = min(max(np.int32(scale * np.int32(read[k] >> np.int32(1))), lowest), highest)
        other = added if read[k] & np.int32(1) else none
        one, two = (change, other) if arriving_first else (other, change)
        total = min(max(np.int32(np.int32(np.int32(weights[at + k]) * np.int32(128)) + one), lowest), highest)
        total = np.int32(np.int32(total + two) + bias)
        weights[at + k] = min(max(np.int32(total >> 7), low), high)


@inner
def _change_narrow_row(weights: Any, at: Any, size: Any, read: Any, arriving_first: bool, how: Any) -> None:
    """The same in 16 bits, twice as many at once, where neither product exceeds `NARROW`.

    Then only the accumulator's clips can act: `one` is bounded so that w * 128 + one stays within them, without computing that.
    """
    scale, added, bias, low, high = np.int16(how[0]), np.int16(how[1]), np.int16(how[2]), np.int16(how[3]), np.int16(how[4])
    for k in range(size):
        w = np.int16(weights[at + k])
        change = np.int16(scale * np.int16(read[k] >> 1))
        other = np.int16(added & np.int16(-np.int16(read[k] & 1)))
        one, two = (change, other) if arriving_first else (other, change)
        most = np.int16(np.int16(L.HIGHEST) - np.int16(max(w, np.int16(0)) << 7))
        least = np.int16(np.int16(-1) - np.int16(np.int16(min(w, np.int16(-1)) + np.int16(256)) << 7))
        one = min(max(one, least), most)
        w = np.int16(w + np.int16(np.int16(np.int16(one + two) + bias) >> 7))
        weights[at + k] = min(max(w, low), high)
