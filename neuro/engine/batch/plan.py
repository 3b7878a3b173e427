"""What the kernels of `engine.batch` obey, made of a Network once; and which networks these are.

Every neuron sends at most once, at a step that its population has; so what arrives in a step is known beforehand, and a
population needs only the steps in which something can happen to it. Rows of the memory are lent as long as others read them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuro.engine import tables as T
from neuro.engine.batch.kernels import ROOM, ZERO
from neuro.engine.batch.rowwise import SIDE
from neuro.engine.batch.tiles import OUTPUTS
from neuro.engine.bounds import INT16, INT32, listed, magnitude
from neuro.engine.lanes import PAIRS
from neuro.engine.models import describe, model_of
from neuro.engine.plan import Payloads, check_charges, sums_of
from neuro.network import Network, Population
from neuro.projections import Conv2d, Projection, forms
from neuro.windows import positions

Int64s = NDArray[np.int64]
MOST_LISTED = 1 << 22  # synapses that are listed one by one, and rows that products read
MOST_ROWS = 1 << 18  # of the memory: 64 MB
FEWEST = OUTPUTS  # targets that share sources for which weights are multiplied rather than listed
_LARGEST = 1 << 24  # potential for which sums fit 32 bits: `engine.plan` leaves as much room beside every charge
_EXACT = 1 << 53
_LISTED_BYTES, _NEURON_BYTES = 72, 64  # of a synapse while it is listed: copies in 64 bits; of a neuron's and a weight's tables


@dataclass(frozen=True, slots=True)
class Batch:
    """Tables of a network. `arrivals` (arrivals, 2): population and step of what reaches it in its window, fan_out the matrix
    (arrivals, neurons) of synapses; `lanes`, `pairs`: of the memory, and of values packed in pairs, that a block needs."""

    members: tuple[Population, ...]
    populations: NDArray[Any]
    batched: NDArray[Any]
    steps: Int64s
    products: NDArray[Any]
    lists: tuple[Int64s, NDArray[np.int32], NDArray[np.int32]]
    rows: NDArray[np.int32]
    matrix: NDArray[np.int32]
    own: NDArray[np.int32]
    lanes: int
    pairs: int
    arrivals: NDArray[Any]
    fan_out: Any
    spare: list[Any] = field(default_factory=list)

    def memory(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Memory and packed values of a block, of an earlier one where there is one."""
        try:
            found: tuple[NDArray[np.int32], NDArray[np.int32]] = self.spare.pop()  # one thread's, whoever else asks
        except IndexError:
            found = np.zeros(self.lanes, np.int32), np.zeros(self.pairs, np.int32)
        return found


class _Product(NamedTuple):
    """Weights (targets, sources) that serve groups of neurons: sources (groups, sources), -1 for none, targets (groups, targets);
    the power of two that charges are multiplied by."""

    weights: NDArray[Any]
    sources: Int64s
    targets: Int64s
    exponent: int


def sends_once(network: Network, timesteps: int) -> bool:
    """Whether every neuron of a network sends at most once in so many timesteps, after those that it reads."""
    asked = ("sends once", timesteps)
    if asked not in network._plans:
        network._plans[asked] = _sends_once(network, timesteps)
    return bool(network._plans[asked])


def _sends_once(network: Network, timesteps: int) -> bool:
    order = {p.name: i for i, p in enumerate(network.populations)}
    known = timesteps == 1 and all(_known(p.neuron) for p in network.populations)
    forward = all(order[q.source] < order[q.target] and q.rule is None for q in network.projections)
    return known and forward and any(p.neuron.computes for p in network.populations) and listed_at_most(network) <= MOST_LISTED


def listed_at_most(network: Network) -> int:
    """How many synapses may be listed one by one, and rows that products read."""
    found = 0
    for q in network.projections:
        source, target = network[q.source].shape, network[q.target].shape
        conv, synapses = _convolution(q, source, target), q.count(source, target)
        outputs = prod(target) if conv is None else len(conv.weights)
        found += synapses // outputs + prod(target) if PAIRS and _shares(conv, q) else synapses
    return found


def _shares(conv: Conv2d | None, q: Projection) -> bool:
    """Whether enough targets share sources and weights, as far as its kind says."""
    if conv is None:
        return q.matrix is not None and q.matrix.shape[1] >= FEWEST
    return conv.groups == 1 and len(conv.weights) >= FEWEST


def bytes_at_most(network: Network) -> int:
    """Memory for the tables of a network that `sends_once` while they are made, and for a block."""
    neurons = sum(p.size for p in network.populations)
    shared = sum(q.stored_weights.size for q in network.projections)
    rows = min(MOST_ROWS, 3 * neurons + OUTPUTS * sum(p.shape[-1] for p in network.populations) + ROOM)
    return listed_at_most(network) * _LISTED_BYTES + (neurons + shared) * _NEURON_BYTES + rows * SIDE * 4


def _known(neuron: Any) -> bool:
    if neuron.is_source:
        return bool(neuron.code == "once" and neuron.period is None)
    if model_of(neuron) == T.READOUT:
        return not (neuron.doubling or neuron.changes) and neuron.period is None
    if model_of(neuron) != T.VALUE:
        return False
    short = 1 << ((neuron.potential_bits or 24) - 1) <= _LARGEST
    return bool(short and neuron.emit == "value" and set(neuron.ports) <= {"fresh", "held"})


def batch_of(network: Network, payloads: Payloads, timesteps: int) -> Batch | None:
    """The tables of a network that `sends_once`, for what its sources send; None where they would be too large."""
    kept, asked = network._plans.setdefault("batch", {}), (tuple(payloads.items()), timesteps)
    if asked not in kept:
        kept.clear()
        check_charges(network, payloads)
        kept[asked] = _Builder(network, payloads, timesteps).build()
    found: Batch | None = kept[asked]
    return found


class _Builder:
    """Collects the tables of a network."""

    def __init__(self, network: Network, payloads: Payloads, timesteps: int) -> None:
        self._network, self._timesteps = network, timesteps
        self._sent = {p.name: p.neuron.messages for p in network.populations} | payloads
        self._steps: list[tuple[int, ...]] = [(0,) * 4]
        self._products: list[tuple[int, ...]] = [(0,) * 6]
        nothing = np.zeros(1, np.int32)
        self._parts: dict[str, list[NDArray[Any]]] = {
            name: [nothing] for name in ("starts", "sources", "weights", "rows", "matrix", "own")
        }
        self._length = dict.fromkeys(self._parts, 1)
        self._first = _lent(network)
        self._made = self._used = self._behind = max(self._first[p.name] + p.size for p in network.populations)
        self._numbers: dict[str, int] = {}
        self._reached: list[tuple[int, int]] = []
        self._fans: list[tuple[Int64s, Int64s]] = []
        self._pairs = 1

    def build(self) -> Batch | None:
        """The tables, or None where they exceed `MOST_LISTED` and `MOST_ROWS`."""
        from scipy import sparse

        network, number = self._network, 0
        populations, batched = (np.zeros(len(network.populations), kind) for kind in (T.POPULATION, T.BATCHED))
        for index, (p, row, own) in enumerate(zip(network.populations, populations, batched, strict=True)):
            describe(row, p.neuron)
            row["size"], own["first"], own["number"] = p.size, self._first[p.name], number
            self._numbers[p.name], number = number, number + p.size
            own["step_from"], own["product_from"] = len(self._steps), len(self._products)
            if not p.neuron.is_source:
                self._arrive(index, p, row, own)
            own["step_to"], own["product_to"] = len(self._steps), len(self._products)
            if max(self._length.values()) > MOST_LISTED or self._used > MOST_ROWS:
                return None
        joined = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        fans = [(np.full(len(at), i), at, synapses) for i, (at, synapses) in enumerate(self._fans)]
        row, column, value = (np.concatenate([part[i] for part in fans]) if fans else [] for i in range(3))
        fan_out = sparse.csr_array((value, (row, column)), shape=(len(fans), number), dtype=np.int64)
        return Batch(
            network.populations, populations, batched, np.array(self._steps, np.int64),
            np.array(self._products, np.int64).view(T.MULTIPLIED).ravel(),
            (joined["starts"], joined["sources"], joined["weights"]),
            joined["rows"], joined["matrix"], joined["own"], self._used * SIDE, self._pairs * SIDE,
            np.array(self._reached, np.int64).reshape(-1, 2), fan_out,
        )  # fmt: skip

    def _add(self, name: str, values: NDArray[Any]) -> int:
        at = self._length[name]
        self._parts[name].append(np.asarray(values, np.int32))
        self._length[name] += len(values)
        return at

    def _arrive(self, index: int, p: Population, row: Any, own: Any) -> None:
        """Enter the steps, products and lists of a population, and what reaches it."""
        neuron: Any = p.neuron
        window, self._made = neuron.active_steps(self._timesteps), self._behind
        slots: dict[tuple[int, int], list[Projection]] = {}
        bounds = [0, 0]
        for q, sums in zip(self._network.projections, sums_of(self._network), strict=True):
            source: Any = self._network[q.source].neuron
            step = source.start_step + (source.gather - 1 if source.computes else 0) + q.delay - neuron.start_step
            if q.target == p.name and 0 <= step < window:
                slots.setdefault((step, q.port), []).append(q)
                bounds[q.port] += sums.bound(self._sent[q.source]).step
                fan_out = self._fan_out(q)
                self._reached.append((index, neuron.start_step + step))
                self._fans.append((self._numbers[q.source] + np.flatnonzero(fan_out), fan_out[fan_out > 0]))
        placed = {slot: self._slot(p, projections) for slot, projections in slots.items()}
        steps = {step for step, _ in slots}
        if neuron.computes:
            steps |= set(range(neuron.gather)) if neuron.sums else {neuron.gather - 1}
            self._describe(p, row, own, bounds)
        for step in sorted(steps):
            last = int(neuron.computes and step == neuron.gather - 1)
            self._steps.append((step, last, placed.get((step, 0), -1), placed.get((step, 1), -1)))

    def _describe(self, p: Population, row: Any, own: Any, bounds: list[int]) -> None:
        """A value neuron's parameters, and the widths that are proven for it."""
        neuron: Any = p.neuron
        given = [np.asarray(one, np.int32) for one in neuron.kernel_integers]
        own["stride"] = any(one.ndim for one in given)
        shape = p.shape if own["stride"] else (1,)
        row["bias_at"], row["parameters_apart"] = self._length["own"], prod(shape)
        for one in given:
            self._add("own", np.broadcast_to(one, shape).ravel())
        if neuron.table is not None:
            row["table_at"] = self._add("own", neuron.table)
        limit = int(row["limit"])
        own["within"] = set(neuron.ports) == {"fresh"} and max(bounds) <= limit
        own["short"] = min(bounds[0], limit) * min(bounds[1], limit) <= INT32 - _LARGEST
        half = 1 << int(np.max(neuron.shift)) if neuron.half is None else magnitude(np.asarray(neuron.half))
        own["doubles"] = limit * magnitude(np.asarray(neuron.multiplier)) + half < _EXACT

    def _slot(self, p: Population, projections: list[Projection]) -> int:
        """Products and lists for what arrives in one step on one port; returns where the pointers of the lists begin."""
        parts = []
        for q in projections:
            products, rest = self._apart(q)
            parts += [self._multiply(q, product) for product in products]
            if rest is not None:
                parts.append((rest[0] + self._first[q.source], *rest[1:]))
        rows, post, weight = (np.concatenate([part[i] for part in parts]) for i in range(3))
        order = np.argsort(post, kind="stable")
        at = self._add("sources", rows[order] * SIDE)
        self._add("weights", weight[order])
        return self._add("starts", at + np.concatenate([[0], np.cumsum(np.bincount(post, minlength=p.size))]))

    def _multiply(self, q: Projection, one: _Product) -> tuple[NDArray[Any], ...]:
        """Enter a product; what it makes as synapses from rows of the memory: rows, targets and weights."""
        (outputs, inputs), groups = one.weights.shape, len(one.sources)
        blocks, pairs = -(-outputs // OUTPUTS), -(-inputs // 2)
        padded = np.zeros((blocks * OUTPUTS, 2 * pairs), np.int16)
        padded[:outputs, :inputs] = one.weights
        lanes = np.ascontiguousarray(padded.reshape(blocks, OUTPUTS, pairs, 2).swapaxes(1, 2))
        read = np.full((groups, 2 * pairs), int(ZERO), np.int64)
        read[:, :inputs] = np.where(one.sources >= 0, (one.sources + self._first[q.source]) * SIDE, int(ZERO))
        tables = self._add("rows", read.ravel()), groups, pairs, blocks, self._add("matrix", lanes.view(np.int32).ravel())
        self._products.append((*tables, self._made))
        rows = self._made + np.arange(groups)[:, None] * blocks * OUTPUTS + np.arange(outputs)
        self._made += groups * blocks * OUTPUTS
        self._used, self._pairs = max(self._used, self._made), max(self._pairs, pairs)
        return rows.ravel(), one.targets.ravel(), np.full(rows.size, 1 << one.exponent)

    def _apart(self, q: Projection) -> tuple[list[_Product], Any]:
        """A projection as products, where its weights and values fit 16 bits and enough targets share sources, and the synapses
        that are left, if any."""
        source, target = self._network[q.source].shape, self._network[q.target].shape
        fits = PAIRS and max(magnitude(q.stored_weights), *map(abs, self._sent[q.source])) <= INT16
        conv = _convolution(q, source, target)
        if conv is not None and fits and _shares(conv, q):
            taps, apart = _taps(conv, source, target), prod(source[1:])
            read = np.where(taps[:, :, None] >= 0, taps[:, :, None] + np.arange(source[0]) * apart, -1)
            weights = conv.weights.transpose(0, 2, 3, 1).reshape(len(conv.weights), -1)
            targets = np.arange(prod(target)).reshape(len(conv.weights), -1).T
            return [_Product(weights, read.reshape(len(taps), -1), targets, q.exponent)], None
        if conv is None and q.matrix is not None and fits and _shares(conv, q):
            sources, targets = (np.arange(prod(shape))[None] for shape in (source, target))
            return [_Product((q.matrix >> q.exponent).T, sources, targets, q.exponent)], None
        synapses = listed(q, self._network)
        return blocks_of(*synapses, q.exponent, (prod(source), prod(target))) if fits and conv is None else ([], synapses)

    def _fan_out(self, q: Projection) -> Int64s:
        """Synapses of each source neuron."""
        source, target = self._network[q.source], self._network[q.target]
        conv = _convolution(q, source.shape, target.shape)
        if conv is not None and conv.groups == 1:
            taps = _taps(conv, source.shape, target.shape)
            by_place = np.bincount(taps[taps >= 0], minlength=prod(source.shape[1:])) * len(conv.weights)
            return np.tile(by_place, source.shape[0])
        if q.matrix is not None:
            return np.full(source.size, target.size, np.int64)
        return np.bincount(listed(q, self._network)[0], minlength=source.size)


def blocks_of(pre: Any, post: Any, weight: Any, exponent: int, sizes: tuple[int, int]) -> tuple[list[_Product], Any]:
    """Listed synapses as products of small dense matrices, and those that are left, if any.

    Neurons that synapses join, at whatever remove, form a group: where most of its pairs have a synapse it is a matrix, which
    groups of the same weights share. So lists that apply one matrix to each of many tokens are found.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    sources, targets = sizes
    graph = sparse.coo_array((np.ones(len(pre), np.int8), (pre, post + sources)), shape=(sources + targets,) * 2)
    _, group = connected_components(graph, directed=False)
    before, behind, synapses = (np.bincount(group[i], minlength=group.max() + 1) for i in (np.s_[:sources], np.s_[sources:], pre))
    dense = (behind >= FEWEST) & (before >= FEWEST) & (2 * synapses >= before * behind)
    taken = dense[group[pre]]
    if not taken.any():
        return [], (pre, post, weight)
    (place_before, by_before), (place_behind, by_behind) = (_places(group[i]) for i in (np.s_[:sources], np.s_[sources:]))
    shared: dict[Any, tuple[Any, list[Any]]] = {}
    order = np.argsort(group[pre], kind="stable")
    cuts = np.concatenate([[0], np.cumsum(synapses)])
    for number in np.flatnonzero(dense):  # of two synapses between the same neurons, weights are added
        own = order[cuts[number] : cuts[number + 1]]
        matrix = np.zeros((behind[number], before[number]), np.int64)
        np.add.at(matrix, (place_behind[post[own]], place_before[pre[own]]), weight[own] >> exponent)
        if magnitude(matrix) > INT16:
            taken[own] = False
            continue
        members = [by[number] for by in (by_before, by_behind)]
        shared.setdefault((matrix.shape, matrix.tobytes()), (matrix, []))[1].append(members)
    groups = [(matrix, *map(np.stack, zip(*members, strict=True))) for matrix, members in shared.values()]
    products = [_Product(matrix, before, behind, exponent) for matrix, before, behind in groups]
    return products, None if taken.all() else (pre[~taken], post[~taken], weight[~taken])


def _places(group: Int64s) -> tuple[Int64s, dict[int, Int64s]]:
    """The place of each neuron in its group, and the neurons of each group, ascending."""
    order = np.argsort(group, kind="stable")
    numbers, begins = np.unique(group[order], return_index=True)
    parts = np.split(order, begins[1:])
    place = np.empty(len(group), np.int64)
    for part in parts:
        place[part] = np.arange(len(part))
    return place, dict(zip(numbers.tolist(), parts, strict=True))


def _convolution(q: Projection, source: tuple[int, ...], target: tuple[int, ...]) -> Conv2d | None:
    """A window with weights as they are stored, without its exponent."""
    conv = forms.as_convolution(q, source, target)
    if conv is None or not q.exponent:
        return conv
    return conv.with_weights(conv.weights >> q.exponent)


def _taps(conv: Conv2d, source: tuple[int, ...], target: tuple[int, ...]) -> Int64s:
    """(target positions, taps): the source position that each tap reads, -1 outside the image."""
    source, target = (shape if len(shape) == 3 else (shape[0], 1, *shape[1:]) for shape in (source, target))
    rows, columns = (positions(conv, axis, np.arange(conv.weights.shape[2 + axis]), source, target) for axis in (0, 1))
    at = rows[0][:, None, :, None] * source[2] + columns[0][None, :, None, :]
    inside = rows[1][:, None, :, None] & columns[1][None, :, None, :]
    return np.where(inside, at, -1).reshape(-1, target[1] * target[2]).T.copy()


def _lent(network: Network) -> dict[str, int]:
    """The first row of each population; rows are free again once the last population that reads them has sent."""
    order = {p.name: i for i, p in enumerate(network.populations)}
    until = {p.name: len(order) if p.neuron.is_readout else order[p.name] for p in network.populations}
    for q in network.projections:
        until[q.source] = max(until[q.source], order[q.target])
    found: dict[str, int] = {}
    for p in (*network.sources, *(p for p in network.populations if not p.neuron.is_source)):
        now = -1 if p.neuron.is_source else order[p.name]  # all sources send first
        found[p.name] = _gap(sorted((at, at + network[name].size) for name, at in found.items() if until[name] >= now), p.size)
    return found


def _gap(held: list[tuple[int, int]], size: int) -> int:
    """The first place for so many rows between those that are held."""
    at = ROOM
    for begin, end in held:
        if begin - at >= size:
            return at
        at = max(at, end)
    return at


def parts_of(samples: int) -> Iterator[tuple[int, int]]:
    """Blocks of samples: the first, and how many."""
    for first in range(0, samples, SIDE):
        yield first, min(SIDE, samples - first)
