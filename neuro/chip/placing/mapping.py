"""Groups of slices -> cores, so that packets travel few hops. Knows traffic and the mesh; knows nothing of what fits a core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting.routing import HOST, RoutingTable
from neuro.chip.cutting.tilings import Ints
from neuro.chip.placing.anneal import Flows, Spots, anneal, total_hops
from neuro.chip.spec import Chip, Mesh
from neuro.compiled import sooner
from neuro.network import Network

Floats = NDArray[np.float64]
Method = Literal["refined", "partitioned", "sequential", "random", "given"]
METHODS: tuple[str, ...] = get_args(Method)[:-1]  # that need no mapping
CROSSING_HOPS = 4.0  # what a step from chip to chip counts for; its energy and time are not public
_FEW = 8  # groups whose order needs no spectrum
_DENSE = 256  # groups whose traffic is held and decomposed as a full matrix: scipy takes longer to load
_MOVES = 10_000  # tried for each group
_MOST_MOVES = 4_000_000
_MOVE_S, _COMPILING_S = 2e-5, 2.0  # of a move in plain Python; of the search, to be compiled


def usable(chip: Chip) -> Ints:
    """Core numbers that a network may use, tile by tile, chip by chip."""
    tiles = np.concatenate(
        [_of_chip(chip.mesh, x, y).ravel() for y in range(chip.mesh.chips_y) for x in range(chip.mesh.chips_x)]
    )
    return _cores(chip, tiles)


def _of_chip(mesh: Mesh, x: int, y: int) -> Ints:
    """Tile numbers of one chip, (height, width)."""
    rows, columns = y * mesh.height + np.arange(mesh.height), x * mesh.width + np.arange(mesh.width)
    tiles: Ints = rows[:, None] * mesh.columns + columns
    return tiles


def _cores(chip: Chip, tiles: Ints) -> Ints:
    """The usable cores of some tiles, in their order."""
    mesh = chip.mesh
    y, x = np.divmod(tiles, mesh.columns)
    within = (y % mesh.height) * mesh.width + x % mesh.width
    places = np.arange(mesh.cores_per_tile)
    may = within[:, None] * mesh.cores_per_tile + places < chip.cores_per_chip - mesh.reserved_cores
    return np.ascontiguousarray((tiles[:, None] * mesh.cores_per_tile + places)[may], np.int64)


def along_a_curve(chip: Chip) -> Ints:
    """The usable cores along a curve on which neighbours stay near: chip by chip, each by a Hilbert curve, from the host's."""
    mesh = chip.mesh
    curve = hilbert(mesh.width, mesh.height)
    tiles = [_of_chip(mesh, x, y)[curve[:, 1], curve[:, 0]] for x, y in hilbert(mesh.chips_x, mesh.chips_y)]
    return _cores(chip, np.concatenate(tiles))


def hilbert(width: int, height: int) -> Ints:
    """Points (x, y) of a width x height grid, (points, 2), in the order of the Hilbert curve of the square around it."""
    side = 1
    while side < max(width, height):
        side *= 2
    x, y = (a.ravel() for a in np.meshgrid(np.arange(width), np.arange(height)))
    key, px, py = np.zeros_like(x), x.copy(), y.copy()
    s = side // 2
    while s:
        right, upper = (px & s) > 0, (py & s) > 0
        key += s * s * ((3 * right) ^ upper)
        flip = ~upper & right
        px, py = np.where(flip, side - 1 - px, px), np.where(flip, side - 1 - py, py)
        px, py = np.where(~upper, py, px), np.where(~upper, px, py)
        s //= 2
    order = np.argsort(key, kind="stable")
    return np.stack([x[order], y[order]], axis=1)


def traffic(network: Network, tables: Mapping[str, RoutingTable], groups: int, activity: Mapping[str, Floats]) -> Flows:
    """Packets between groups, the last one being the host, from tables whose cores are groups."""
    rows, columns, weights = [], [], []
    for name, w in tables.items():
        fired = np.bincount(w.classes, activity.get(name), len(w.cores))
        counts = np.diff(w.packet_starts)
        rows.append(np.repeat(np.where(w.cores == HOST, groups, w.cores), counts))
        columns.append(w.packets)
        weights.append(np.repeat(fired, counts))
    i, j, weight = (np.concatenate(parts) for parts in (rows, columns, weights))
    apart = i != j
    i, j, weight = i[apart], j[apart], weight[apart]
    size = groups + 1
    if groups < _DENSE:
        few = np.bincount(i * size + j, weight, size * size).reshape(size, size)
        few = few + few.T
        starts = np.concatenate([[0], np.cumsum((few != 0).sum(axis=1))])
        return Flows(starts, np.nonzero(few)[1].astype(np.int64), few[few != 0])
    from scipy import sparse

    half = sparse.coo_array((weight, (i, j)), shape=(size, size))
    both = sparse.csr_array(half + half.T)
    return Flows(both.indptr.astype(np.int64), both.indices.astype(np.int64), both.data.astype(np.float64))


def arrange(chip: Chip, flows: Flows, seed: int, method: Method, dead: Ints | None = None) -> Ints:
    """A core for each group (groups,), given the packets between them; none of those in `dead`."""
    groups = len(flows.starts) - 2
    free, cores = (cores[~np.isin(cores, [] if dead is None else dead)] for cores in (usable(chip), along_a_curve(chip)))
    if method == "sequential" or groups == 0:
        return free[:groups]
    if method == "random":
        return np.random.default_rng(seed).permutation(free)[:groups]
    cores = cores[: min(len(cores), groups + groups // 4 + 8)]
    spots = _spots(chip, cores)
    starts = [np.append(order, len(cores)) for order in (np.arange(groups), np.argsort(_spectral_order(flows)))]
    moves = min(_MOST_MOVES, _MOVES * groups)
    hops, search = sooner(total_hops, moves * _MOVE_S, _COMPILING_S), sooner(anneal, moves * _MOVE_S, _COMPILING_S)
    begin = min(starts, key=lambda spot: hops(flows, spots, spot))
    typical = float(flows.weights.mean()) if len(flows.weights) else 1.0
    found = search(flows, spots, begin, moves, 4 * typical, 0.01 * typical, seed)
    best = min((begin, found), key=lambda spot: hops(flows, spots, spot))
    return np.asarray(cores[best[:-1]], np.int64)


def _spots(chip: Chip, cores: Ints) -> Spots:
    mesh = chip.mesh
    tile = np.append(cores // mesh.cores_per_tile, mesh.io_tile)
    y, x = np.divmod(tile, mesh.columns)
    return Spots(x, y, x // mesh.width, y // mesh.height, CROSSING_HOPS)


def _spectral_order(flows: Flows) -> Ints:
    """Groups in the order of the slowest vibration of the traffic, seen as springs; their own order if it cannot be found."""
    groups = len(flows.starts) - 2
    if groups < _FEW:
        return np.arange(groups)
    slowest = _second_of_full if groups < _DENSE else _second_of_sparse
    vector = slowest(flows, groups)
    return np.arange(groups) if vector is None else np.argsort(vector, kind="stable")


def _second_of_full(flows: Flows, groups: int) -> Floats:
    """The second eigenvector of the normalised traffic, by LAPACK; its sign is that of its largest entry, made positive."""
    inner = np.zeros((groups + 1, groups + 1))
    inner[np.repeat(np.arange(groups + 1), np.diff(flows.starts)), flows.others] = flows.weights
    inner = inner[:groups, :groups]
    degree = inner.sum(axis=1) + 1e-9 * float(inner.sum() + 1)
    scale = 1 / np.sqrt(degree)
    vector = np.linalg.eigh(scale[:, None] * inner * scale)[1][:, -2]
    found: Floats = vector * scale * np.sign(vector[np.argmax(np.abs(vector))])
    return found


def _second_of_sparse(flows: Flows, groups: int) -> Floats | None:
    """The same by ARPACK; None where it finds none."""
    from scipy import sparse
    from scipy.sparse.linalg import ArpackError, eigsh

    inner = sparse.csr_array((flows.weights, flows.others, flows.starts), shape=(groups + 1, groups + 1))[:groups, :groups]
    degree = np.asarray(inner.sum(axis=1)).ravel() + 1e-9 * float(inner.sum() + 1)
    scale = sparse.diags_array(1 / np.sqrt(degree))
    try:
        _, vectors = eigsh(scale @ inner @ scale, k=2, which="LA", v0=np.ones(groups), maxiter=2000, tol=1e-4, rng=0)
    except ArpackError:
        return None
    found: Floats = vectors[:, 0] / np.sqrt(degree)
    return found
