"""Boards: the same chip several times, side by side. Knows chips; knows nothing of networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuro.chip.spec import Chip, Origin
from neuro.errors import FitError

MOST_CHIPS = 4096


def with_chips(chip: Chip, x: int, y: int) -> Chip:
    """A board of x times y chips."""
    name = chip.name if (x, y) == (chip.mesh.chips_x, chip.mesh.chips_y) else f"{chip.name} ({x}x{y} chips)"
    origin = Origin("chips", "assumed", "a board made as large as the network needs")
    mesh = replace(chip.mesh, chips_x=x, chips_y=y)
    return replace(chip, name=name, mesh=mesh, origin={**chip.origin, "mesh.chips_x": origin, "mesh.chips_y": origin})


def with_cores(chip: Chip, cores: int) -> Chip:
    """The smallest board, doubling in turn along x and y, on which a network may use so many cores."""
    x = y = 1
    each = chip.cores_per_chip - chip.mesh.reserved_cores
    while x * y * each < cores:
        x, y = (2 * x, y) if x <= y else (x, 2 * y)
    if x * y > MOST_CHIPS:
        chips = int(np.ceil(cores / each))
        raise FitError(f"network on {chip.name!r}", f"it needs {cores:,} cores, {chips:,} chips", f"Stay within {MOST_CHIPS}")
    return with_chips(chip, x, y)
