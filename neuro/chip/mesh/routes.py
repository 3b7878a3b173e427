"""Routes: the links that the packets of each class of neurons take across the mesh, first along x, then along y.

Packets are routed around dead links. Knows tiles, links and cores; knows nothing of neurons, time or prices. Links are numbered
tile * 4 + direction, the tile being the one that a packet leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuro.chip.cutting.routing import HOST, RoutingTable
from neuro.chip.cutting.tilings import Ints
from neuro.chip.mesh.detours import EAST, NORTH, SOUTH, WEST, Detours
from neuro.chip.spec import Chip, Mesh


@dataclass(frozen=True, slots=True)
class Routes:
    """For each class of a population's neurons: what one message does to the network.

    hops (classes, 4): packets times hops along x, along y, packets that stay in their tile, crossings from chip to chip.
    far (classes, 3): hops along x, along y and crossings of the packet that goes farthest.
    links[starts[k]:starts[k + 1]] are the links that class k's packets load, `loads` how often each.
    """

    hops: Ints
    far: Ints
    starts: Ints
    links: Ints
    loads: Ints


def tile_of(cores: Ints, mesh: Mesh) -> Ints:
    """Tile of each core; the host's tile for HOST."""
    return np.where(cores == HOST, mesh.io_tile, cores // mesh.cores_per_tile)


def routes(table: RoutingTable, chip: Chip, dead_links: Iterable[int] = ()) -> Routes:
    """Routes of all classes of a population, around dead links. Raises FitError where there is no way around."""
    mesh = chip.mesh
    counts = np.diff(table.packet_starts)
    at = np.repeat(np.arange(len(counts)), counts)
    row, way = _ways(tile_of(table.cores, mesh)[at], tile_of(table.packets, mesh), mesh, tuple(dead_links))
    hops_x, hops_y = (np.bincount(row, axis, len(at)).astype(np.int64) for axis in (way % 4 < SOUTH, way % 4 >= SOUTH))
    crossings = np.bincount(row, crosses(way, mesh), len(at)).astype(np.int64)
    unique, loads = np.unique(at[row] * mesh.link_numbers + way, return_counts=True)
    classes, links = np.divmod(unique, mesh.link_numbers)
    tree = mesh.multicast == "tree"
    if tree:
        loads = np.ones_like(loads)
    starts = np.concatenate([[0], np.cumsum(np.bincount(classes, minlength=len(counts)))])
    local = (hops_x + hops_y == 0).astype(np.int64)
    east_west = np.bincount(classes, loads * (links % 4 < SOUTH), len(counts)).astype(np.int64)
    south_north = np.bincount(classes, loads * (links % 4 >= SOUTH), len(counts)).astype(np.int64)
    crossed = np.bincount(classes, loads * crosses(links, mesh), len(counts)).astype(np.int64)
    stay = np.bincount(at, local, len(counts)).astype(np.int64)
    far = np.zeros((len(counts), 3), np.int64)
    order = np.argsort(hops_x + hops_y, kind="stable")
    far[at[order]] = np.stack([hops_x, hops_y, crossings], axis=1)[order]
    return Routes(np.stack([east_west, south_north, stay, crossed], axis=1), far, starts, links, loads.astype(np.int64))


def _ways(start: Ints, end: Ints, mesh: Mesh, dead_links: tuple[int, ...]) -> tuple[Ints, Ints]:
    """(packet, link) for every link that packets between these tiles take."""
    width = mesh.columns
    (sy, sx), (ty, tx) = np.divmod(start, width), np.divmod(end, width)
    row_x, links_x = _walk(sx, tx, EAST, WEST)
    row_y, links_y = _walk(sy, ty, SOUTH, NORTH)
    links_x = (sy[row_x] * width + links_x // 4) * 4 + links_x % 4
    links_y = (links_y // 4 * width + tx[row_y]) * 4 + links_y % 4
    row, links = np.concatenate([row_x, row_y]), np.concatenate([links_x, links_y])
    blocked = np.unique(row[np.isin(links, dead_links)]) if dead_links else np.zeros(0, np.int64)
    if not len(blocked):
        return row, links
    kept, detours = ~np.isin(row, blocked), Detours(mesh, dead_links)
    around = [detours.way(int(start[i]), int(end[i])) for i in blocked]
    rows = np.repeat(blocked, [len(way) for way in around])
    return np.concatenate([row[kept], rows]), np.concatenate([links[kept], *around]).astype(np.int64)


def crosses(links: Ints, mesh: Mesh) -> NDArray[Any]:
    """Whether each link leads from one chip to the next."""
    tile, direction = np.divmod(links, 4)
    y, x = np.divmod(tile, mesh.columns)
    east, west = (x % mesh.width == mesh.width - 1), (x % mesh.width == 0)
    south, north = (y % mesh.height == mesh.height - 1), (y % mesh.height == 0)
    return np.select([direction == EAST, direction == WEST, direction == SOUTH], [east, west, south], north)


def _walk(start: Ints, end: Ints, up: int, down: int) -> tuple[Ints, Ints]:
    """(packet, coordinate * 4 + direction) of every link along one axis."""
    length = np.abs(end - start)
    row = np.repeat(np.arange(len(start)), length)
    step = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
    sign = np.sign(end - start)[row]
    at = start[row] + sign * step
    return row, at * 4 + np.where(sign > 0, up, down)
