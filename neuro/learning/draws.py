"""Random numbers without state: what is drawn in an epoch follows from the seed and the number of the epoch alone.

So a session, a run and a run that goes on from a file draw the same. As in Lava one number serves a whole array of neurons or
synapses. Differs from Lava in: Lava's generators are numpy's; the chip's are not public.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
_A, _B, _C = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class Draws(NamedTuple):
    """Of some epochs: decay (epochs, 2, steps) below 2^32, for traces before and behind the synapse; impulse (epochs, 2, steps)
    and rounding (epochs,) below 128."""

    decay: Int64s
    impulse: Int64s
    rounding: Int64s


def draws(seed: int, first: int, epochs: int, steps: int) -> Draws:
    """What is drawn in `epochs` epochs of `steps` steps, from epoch number `first` on."""
    keys = np.full(epochs, seed, np.uint64) * _A + _mixed(np.arange(first, first + epochs, dtype=np.uint64))
    numbers = _mixed(keys[:, None], 4 * steps + 1)
    high = (numbers >> np.uint64(32)).astype(np.int64)
    decay, impulse = high[:, : 2 * steps], high[:, 2 * steps : 4 * steps] >> 25
    return Draws(decay.reshape(epochs, 2, steps), impulse.reshape(epochs, 2, steps), high[:, -1] >> 25)


def _mixed(keys: NDArray[np.uint64], parts: int = 0) -> NDArray[np.uint64]:
    """splitmix64 (Steele et al. 2014) of the keys, or of each key and so many parts."""
    x = keys + np.arange(1, parts + 1, dtype=np.uint64) * _A if parts else keys + _A
    x = (x ^ (x >> np.uint64(30))) * _B
    x = (x ^ (x >> np.uint64(27))) * _C
    return np.asarray(x ^ (x >> np.uint64(31)))
