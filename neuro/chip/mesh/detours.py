"""Ways across a mesh with dead links: along x then y where that is whole, else y then x, else the shortest way there is.

Knows tiles and links, numbered as in `neuro.chip.mesh.routes`; knows nothing of packets, cores or prices.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np

from neuro.chip.cutting.tilings import Ints
from neuro.chip.spec import Chip, Mesh
from neuro.errors import FitError

EAST, WEST, SOUTH, NORTH = range(4)
_AWAY = ((1, 0), (-1, 0), (0, 1), (0, -1))  # east, west, south, north


class Detours:
    """A mesh some of whose links are dead."""

    def __init__(self, mesh: Mesh, dead: Iterable[int]) -> None:
        self.width, self.height = mesh.columns, mesh.rows
        self.dead = frozenset(dead)
        self._found: dict[tuple[int, int], list[int]] = {}

    def way(self, start: int, end: int) -> list[int]:
        """The links from one tile to another, in order; the same for every packet between them. Raises FitError if none lead
        there."""
        if (start, end) not in self._found:
            self._found[start, end] = self._straight(start, end) or self._shortest(start, end)
        return self._found[start, end]

    def _straight(self, start: int, end: int) -> list[int] | None:
        (sy, sx), (ty, tx) = divmod(start, self.width), divmod(end, self.width)
        across, down = (EAST if tx > sx else WEST, abs(tx - sx)), (SOUTH if ty > sy else NORTH, abs(ty - sy))
        for legs in ((across, down), (down, across)):
            links, x, y = list[int](), sx, sy
            for direction, length in legs:
                for _ in range(length):
                    links.append((y * self.width + x) * 4 + direction)
                    x, y = x + _AWAY[direction][0], y + _AWAY[direction][1]
            if self.dead.isdisjoint(links):
                return links
        return None

    def _shortest(self, start: int, end: int) -> list[int]:
        """Breadth first; of ways of one length the first in the order of the directions."""
        came: dict[int, int] = {start: -1}
        queue = deque([start])
        while queue and end not in came:
            tile = queue.popleft()
            for link in self._leaving(tile):
                to = self.across(link)
                if to not in came:
                    came[to] = link
                    queue.append(to)
        if end not in came:
            raise FitError(
                "dead links",
                f"no way leads from tile {start} to tile {end}",
                "Place with the same faults",
            )
        links = []
        while end != start:
            links.append(came[end])
            end = came[end] // 4
        return links[::-1]

    def across(self, link: int) -> int:
        """The tile that a link leads to."""
        x, y = _AWAY[link % 4]
        return link // 4 + y * self.width + x

    def links(self) -> Ints:
        """All links that there are and that are not dead."""
        return np.array([link for tile in range(self.width * self.height) for link in self._leaving(tile)], np.int64)

    def _leaving(self, tile: int) -> list[int]:
        y, x = divmod(tile, self.width)
        inside = (x + 1 < self.width, x > 0, y + 1 < self.height, y > 0)
        return [tile * 4 + d for d in range(4) if inside[d] and tile * 4 + d not in self.dead]

    def connected(self, tile: int) -> Ints:
        """The tiles from which and to which a way leads from this one, itself among them."""
        from scipy import sparse
        from scipy.sparse.csgraph import connected_components  # slow to import, and few chips have dead links

        links = self.links()
        ends = np.array([self.across(int(link)) for link in links], np.int64)
        size = self.width * self.height
        graph = sparse.coo_array((np.ones(len(links)), (links // 4, ends)), shape=(size, size))
        parts = connected_components(graph, connection="strong")[1]
        return np.flatnonzero(parts == parts[tile])


def out_of_reach(chip: Chip, dead_cores: Iterable[int], dead_links: Iterable[int]) -> Ints:
    """The cores that cannot be used: dead ones, and those that dead links cut off from the host."""
    mesh, dead_links = chip.mesh, tuple(dead_links)
    dead = np.array(sorted(dead_cores), np.int64)
    if not dead_links:
        return dead
    tiles = np.arange(mesh.tiles)
    unreachable = np.setdiff1d(tiles, Detours(mesh, dead_links).connected(mesh.io_tile))
    cores = (unreachable[:, None] * mesh.cores_per_tile + np.arange(mesh.cores_per_tile)).ravel()
    return np.union1d(dead, cores)
