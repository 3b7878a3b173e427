"""How a population's neurons lie in memory: rows of width x channels, channels last, whatever the user's shape.

(channels, height, width) becomes `height` rows; (channels, length) one row; (neurons,) one row, or several when it is long.
Knows shapes only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST_ROW = 1 << 15  # lanes of a row of a flat population: 64 KB of 16-bit accumulators, and 16-bit sparse targets


@dataclass(frozen=True, slots=True)
class Layout:
    """`rows` rows of `width` x `channels` lanes; flat populations may leave the last row short: `size` neurons in all."""

    rows: int
    width: int
    channels: int
    size: int
    spatial: bool

    @property
    def lanes(self) -> int:
        """Lanes of a row."""
        return self.width * self.channels

    @staticmethod
    def of(shape: tuple[int, ...]) -> Layout:
        size = int(np.prod(shape))
        if len(shape) == 3:
            return Layout(shape[1], shape[2], shape[0], size, True)
        if len(shape) == 2:
            return Layout(1, shape[1], shape[0], size, True)
        rows = -(-size // LONGEST_ROW)
        return Layout(rows, 1, -(-size // rows), size, False)

    @property
    def moves(self) -> bool:
        """Whether memory has the neurons in another order than the user."""
        return self.spatial and self.channels > 1

    def to_memory(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (..., neurons in C order of the user's shape) in memory order."""
        if not self.moves:
            return values
        shaped = values.reshape(*values.shape[:-1], self.channels, self.rows, self.width)
        return np.ascontiguousarray(np.moveaxis(shaped, -3, -1)).reshape(values.shape)

    def to_user(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (..., neurons in memory order) in C order of the user's shape."""
        if not self.moves:
            return values
        shaped = values.reshape(*values.shape[:-1], self.rows, self.width, self.channels)
        return np.ascontiguousarray(np.moveaxis(shaped, -1, -3)).reshape(values.shape)

    @property
    def memory_index(self) -> NDArray[np.int64]:
        """Memory position of each neuron, in C order of the user's shape."""
        positions = np.empty(self.size, np.int64)
        positions[self.to_memory(np.arange(self.size))] = np.arange(self.size)
        return positions
