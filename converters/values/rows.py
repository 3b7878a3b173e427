"""What populations of values send, for many samples side by side: the integers of `responding`, as short floats that hold them.

Rows of samples, one for each neuron. Populations that this does not suit are computed by `responding`, which defines them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from converters.values.links import Link, link
from converters.values.responding import Integers, Populations, charge, initial, respond, sends_at
from converters.values.rowloops import add_products, finish, take_largest
from neuro.compiled import goes_without
from neuro.network import Population
from neuro.projections import Projection

Floats = NDArray[Any]  # float32 or float64
Rows = NDArray[np.float32]  # (neurons, samples)
Operand = tuple[Rows, NDArray[np.int32], NDArray[np.float32]]  # rows, the row that each neuron reads, and its weight
_Parts = Sequence[tuple[Projection, Link]]
_Slots = Mapping[tuple[int, int], _Parts]  # what arrives, by step and port
Links = dict[int, tuple[Projection, Link]]  # by the identity of the projection
_SHORT, _LONG = 1 << 24, 1 << 53  # whole numbers up to these are exact in float32, float64
_PLAIN_S, _COMPILING_S = 4e-8, 6.0  # of a value of one sample without kernels; of the kernels
_OFF = bool(numba.config.DISABLE_JIT)  # loops over samples would be plain Python


class Heard:
    """What populations have sent, as rows or as integers (samples, *shape): either is made of the other when it is asked for."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self._rows: dict[str, Rows] = {}
        self._whole: dict[str, Integers] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    @property
    def any(self) -> str:
        """One of the populations that have sent."""
        return next(iter(self._shapes))

    def put(self, p: Population, sent: Rows | Integers) -> None:
        """Keep what a population has sent, float32 as rows."""
        kept: Any = self._rows if sent.dtype == np.float32 else self._whole
        kept[p.name], self._shapes[p.name] = sent, p.shape

    def __contains__(self, name: str) -> bool:
        return name in self._shapes

    def drop(self, name: str) -> None:
        """Forget what a population has sent."""
        for kept in (self._rows, self._whole, self._shapes):
            kept.pop(name, None)

    def whole(self, name: str) -> Integers:
        """What a population sent, integers (samples, *shape)."""
        if name not in self._whole:
            turned = torch.as_tensor(self._rows[name]).t().contiguous().to(torch.int64)
            self._whole[name] = turned.numpy().reshape(self.samples, *self._shapes[name])
        return self._whole[name]

    def messages(self, name: str) -> NDArray[np.bool_]:
        """Which neurons sent a message, (samples, neurons)."""
        sent: Any = self._rows[name].T if name in self._rows else self._whole[name].reshape(self.samples, -1)
        return np.asarray(sent != 0)

    def rows(self, name: str) -> Rows | None:
        """The same as rows; None where a number is too large for short floats."""
        if name not in self._rows:
            flat = self._whole[name].reshape(self.samples, -1)
            if max(int(flat.max(initial=0)), -int(flat.min(initial=0))) >= _SHORT:
                return None
            self._rows[name] = np.ascontiguousarray(flat.T, np.float32)
        return self._rows[name]


class Responder:
    """Computes what populations send, one after the other, from what those before them did; without frames."""

    def __init__(
        self, populations: Populations, samples: int, neurons: int, links: Links | None = None, most: int | None = None
    ) -> None:
        """neurons: how many there are in all; links: where what projections bring is kept for the next time; most: of so many
        weights, the others until something is dropped."""
        self.populations, self.heard = populations, Heard(samples)
        self._plainly = _OFF or goes_without(finish, samples * neurons * _PLAIN_S, _COMPILING_S)
        self._links: Links = {} if links is None else links
        self._passing: Links = {}
        self._room = most

    def put(self, p: Population, sent: Integers) -> None:
        """Keep what a source sends, integers (samples, *shape)."""
        self.heard.put(p, sent)

    def drop(self, name: str, cell: str) -> None:
        """Forget what a population sent, and what brought something unless there is room for it."""
        self.heard.drop(name)
        self._passing.clear()

    def respond(self, p: Population, projections: Sequence[Projection]) -> None:
        """Keep what a population sends, of a readout its potential."""
        found: Any = None if self._plainly else self._beside(p, projections)
        if found is None:
            known = [q.source for q in projections if q.source in self.heard] or [self.heard.any]
            sent = {(name, 0): self.heard.whole(name) for name in known}
            found = respond(self.populations, p, tuple(projections), sent)
        self.heard.put(p, found)

    def mean(self, p: Population, q: Projection) -> NDArray[np.float64]:
        """What a projection brings on average over the samples, (*shape)."""
        low, high = self.populations[q.source].neuron.messages
        rows = None if self._plainly or max(high, -low) * self.heard.samples >= _SHORT else self.heard.rows(q.source)
        one = None if rows is None else self._link(p, q)
        if rows is None or one is None or one.fan_in * max(high, -low) * self.heard.samples >= _LONG:
            return np.asarray(charge(q, self.populations, self.heard.whole(q.source), p.shape).mean(axis=0))
        total = np.zeros((p.size, 1))
        one.add(total, rows.sum(axis=1, keepdims=True))
        return total.reshape(p.shape) / self.heard.samples

    def _link(self, p: Population, q: Projection) -> Link:
        known = self._links.get(id(q)) or self._passing.get(id(q))
        if known is None:
            known, size = (q, link(q, self.populations[q.source].shape, p.shape)), q.stored_weights.size
            if self._room is None or self._room >= size:
                self._links[id(q)] = known
                self._room = None if self._room is None else self._room - size
            else:
                self._passing[id(q)] = known
        return known[1]

    def _beside(self, p: Population, projections: Sequence[Projection]) -> Rows | None:
        """What a population sends as rows; None where that does not suit it, or where numbers would not be exact."""
        neuron: Any = p.neuron
        if not _suits(neuron):
            return None
        slots: dict[tuple[int, int], list[tuple[Projection, Link]]] = {}
        for q in projections:
            if q.source not in self.heard:
                return None
            before: Any = self.populations[q.source].neuron
            step = sends_at(self.populations[q.source]) + q.delay - neuron.start_step
            single = before.is_source or before.emit == "value"
            if not single or not 0 <= step < neuron.gather or self.heard.rows(q.source) is None:
                return None
            slots.setdefault((step, q.port), []).append((q, self._link(p, q)))
        x = _COMBINED[neuron.combine](self, p, slots)
        return None if x is None else self._finished(p, x)

    def _finished(self, p: Population, x: Rows) -> Rows:
        """The values for what was combined, in the memory of it."""
        neuron: Any = p.neuron
        if neuron.restores:
            turned = torch.as_tensor(x).t().contiguous().to(torch.int64).numpy().reshape(-1, *p.shape)
            sent = neuron.advance(initial(p, len(turned)), turned, neuron.gather - 1)[1].reshape(len(turned), -1)
            return np.ascontiguousarray(sent.T, np.float32)
        shift = np.asarray(neuron.shift, np.int64)
        half = (1 << shift) >> 1 if neuron.half is None else neuron.half
        given = (neuron.bias, neuron.multiplier, half, 0.5**shift, neuron.lowest, neuron.highest)
        parameters = np.empty((len(given), *p.shape))
        for row, value in zip(parameters, given, strict=True):
            row[...] = value
        table = np.zeros(0, np.float32) if neuron.table is None else neuron.table.astype(np.float32)
        finish(x, parameters.reshape(len(given), -1), float(_limit(neuron)), table)
        return x

    def _reach(self, parts: _Parts) -> int:
        """The largest |charge| that some projections can bring together."""
        messages = [self.populations[q.source].neuron.messages for q, _ in parts]
        return sum(one.fan_in * max(high, -low) for (_, one), (low, high) in zip(parts, messages, strict=True))

    def charge(self, p: Population, parts: _Parts) -> Floats | None:
        """What some projections bring together; None where that may not be exact."""
        reach = self._reach(parts)
        if reach >= _LONG:
            return None
        total = np.zeros((p.size, self.heard.samples), np.float32 if reach < _SHORT else np.float64)
        for q, one in parts:
            rows: Any = self.heard.rows(q.source)  # there are some: `_beside` has asked
            one.add(total, rows)
        return total

    def operand(self, p: Population, parts: _Parts) -> Operand | None:
        """What arrives on a port in one step, saturated; None where it may not be exact."""
        limit = _limit(p.neuron)
        if len(parts) == 1 and (picked := parts[0][1].picked) and self._reach(parts) <= limit:
            rows = self.heard.rows(parts[0][0].source)
            return None if rows is None else (rows, picked[0], picked[1].astype(np.float32))
        total = self.charge(p, parts)
        return None if total is None else _alone(_saturated(total, limit))

    def held(self, p: Population, slots: _Slots, port: int) -> Rows | None:
        """What a port holds in the last step; None where it may not be exact."""
        limit = _limit(p.neuron)
        arrived = [slots[slot] for slot in sorted(slots) if slot[1] == port]
        together = [part for parts in arrived for part in parts]
        if self._reach(together) <= limit:
            total = self.charge(p, together)
            return None if total is None else total.astype(np.float32, copy=False)
        kept = np.zeros((p.size, self.heard.samples))
        for parts in arrived:
            if (brought := self.charge(p, parts)) is None:
                return None
            kept += brought
            np.clip(kept, -limit, limit, out=kept)
        return kept.astype(np.float32)


def _charge(r: Responder, p: Population, slots: _Slots) -> Rows | None:
    neuron: Any = p.neuron
    if neuron.ports[0] == "held":
        return r.held(p, slots, 0)
    total = r.charge(p, slots.get((neuron.gather - 1, 0), ()))
    return None if total is None else _saturated(total, _limit(neuron)) if total.dtype == np.float64 else total


def _product(r: Responder, p: Population, slots: _Slots) -> Rows | None:
    neuron: Any = p.neuron
    v = np.zeros((p.size, r.heard.samples), np.float32)
    operands = []
    for port, mode in enumerate(neuron.ports):
        if mode == "held":
            rows = r.held(p, slots, port)
            operands.append(None if rows is None else _alone(rows))
        elif (neuron.gather - 1, port) in slots:
            operands.append(r.operand(p, slots[neuron.gather - 1, port]))
        else:
            return v  # nothing arrives
    return _multiplied(v, operands, neuron)


def _dot(r: Responder, p: Population, slots: _Slots) -> Rows | None:
    neuron: Any = p.neuron
    v: Rows | None = np.zeros((p.size, r.heard.samples), np.float32)
    for step in range(neuron.gather):
        if v is not None and (step, 0) in slots and (step, 1) in slots:
            v = _multiplied(v, [r.operand(p, slots[step, port]) for port in range(2)], neuron)
    return v


def _multiplied(v: Rows, operands: Sequence[Operand | None], neuron: Any) -> Rows | None:
    one, two = operands
    if one is None or two is None:
        return None
    add_products(v, one, two, 0.5**neuron.product_shift, float(_limit(neuron)))
    return v


def _maximum(r: Responder, p: Population, slots: _Slots) -> Rows | None:
    neuron: Any = p.neuron
    v = np.full((p.size, r.heard.samples), -np.inf, np.float32)
    for step in range(neuron.gather):
        for port in range(len(neuron.ports)):
            if (step, port) not in slots:
                np.maximum(v, 0, out=v)
            elif (operand := r.operand(p, slots[step, port])) is None:
                return None
            else:
                take_largest(v, *operand)
    return v


_COMBINED: dict[str, Callable[[Responder, Population, _Slots], Rows | None]] = {
    "charge": _charge,
    "product": _product,
    "dot": _dot,
    "maximum": _maximum,
}


def _alone(rows: Rows) -> Operand:
    return rows, np.arange(len(rows), dtype=np.int32), np.ones(len(rows), np.float32)


def _saturated(total: Floats, limit: int) -> Rows:
    np.clip(total, -limit, limit, out=total)
    return total.astype(np.float32, copy=False)


def _limit(neuron: Any) -> int:
    return int((1 << (neuron.potential_bits - 1)) - 1)


def _suits(neuron: Any) -> bool:
    """Whether short floats hold what a neuron gathers and sends, and doubles what it computes on the way."""
    if not neuron.computes or neuron.emit != "value" or not set(neuron.ports) <= {"fresh", "held"}:
        return False
    if (neuron.sums and "held" in neuron.ports) or (neuron.restores and neuron.combine != "charge"):
        return False
    limit, most = _limit(neuron), max(_most(neuron.lowest), _most(neuron.highest))
    half = 1 << int(np.max(neuron.shift)) if neuron.half is None else _most(neuron.half)
    exact = limit * _most(neuron.multiplier) + half < _LONG
    return limit < _SHORT and (neuron.restores or (exact and most < _SHORT))


def _most(value: Any) -> int:
    if type(value) is int:
        return abs(value)
    return int(np.abs(np.asarray(value, np.int64)).max())
