"""The hierarchical roofline: a layer takes the longer of computing and moving its data. Knows no particular machine.

t_l = max(compute_l, memory_l) + floor. Memory: weights once per piece and activations, less what stays in the last-level cache:
D_l = W_l (1 - c / W_all)+ + (A_l - c)+ with c the usable cache. A batch may run in pieces, as compilers do to keep activations
on chip; the fastest piece size wins. Source: Williams 2009; the size-dependent part is each machine's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neuro.machines.workload import Columns, Workload

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rates:
    """What a machine reaches, shares included; `floor_s` is the least time of a kernel."""

    macs_per_s: float
    bytes_per_s: float
    cache_bytes: float = 0.0
    floor_s: float = 0.0
    units: float = 1.0
    bits: int = 8


Waste = Callable[[Columns, Floats, float], Floats]  # columns, pieces, units -> MACs that one kernel occupies the machine for


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one batch.

    `latency_s` is from the start of a batch to its last answer, `interval_s` between batches that follow each other. `busy` is
    the share of the latency in which the busier of compute and memory works; `start_s` is what the host spends once.
    """

    latency_s: float
    interval_s: float
    busy: float
    start_s: float = 0.0
    notes: tuple[str, ...] = ()


LayerTimes = tuple[Floats, Floats, Floats]  # seconds of a batch per layer: compute, memory, floor


@lru_cache(maxsize=256)
def pieces(batch: int) -> Floats:
    """Piece sizes worth trying, as a column: powers of two below the batch, and the batch."""
    return np.array([*(2**n for n in range((batch - 1).bit_length())), batch], np.float64)[:, None]


def no_waste(columns: Columns, piece: Floats, units: float) -> Floats:
    """A machine that is fully used whatever the shape."""
    return piece * columns["macs"]


@lru_cache(maxsize=4096)
def _occupied(workload: Workload, merged: bool, batch: int, units: float, waste: Waste) -> Floats:
    """MACs that each kernel occupies the machine for, (pieces, ops): a property of shapes alone, so it is worked out once."""
    return waste(workload.merged if merged else workload.columns, pieces(batch), units)


def memory_seconds(columns: Columns, piece: Floats, rates: Rates) -> Floats:
    """Seconds to move what the cache does not keep, of one kernel, (pieces, ops)."""
    scale, cache = rates.bits / 8, rates.cache_bytes
    weights = scale * columns["weights"]
    all_weights = max(float((weights * columns["repeats"]).sum()), 1.0)
    moved = piece * scale * (columns["inputs"] + columns["outputs"])
    spilled = np.maximum(moved - cache, 0.0)
    seconds: Floats = (weights * max(1 - cache / all_weights, 0.0) + spilled) / rates.bytes_per_s
    return seconds


def layer_seconds(workload: Workload, rates: Rates, batch: int, waste: Waste = no_waste, *, merged: bool = False) -> LayerTimes:
    """Seconds of every layer (or of layers of one shape together) for one batch, at the piece size that is fastest in all."""
    columns = workload.merged if merged else workload.columns
    piece = pieces(batch)
    runs = np.ceil(batch / piece) * columns["repeats"]
    arithmetic = runs * _occupied(workload, merged, batch, rates.units, waste) / rates.macs_per_s
    memory = runs * memory_seconds(columns, piece, rates)
    floor = runs * (columns["macs"] > 0) * rates.floor_s
    best = int((np.maximum(arithmetic, memory) + floor).sum(-1).argmin())
    return arithmetic[best], memory[best], floor[best]


def timing(workload: Workload, rates: Rates, batch: int, waste: Waste = no_waste, start_s: float = 0.0) -> Timing:
    """The Timing of a batch. `start_s` is spent by the host once per batch and overlaps with the batch before."""
    arithmetic, memory, floor = layer_seconds(workload, rates, batch, waste, merged=True)
    work = float(np.maximum(arithmetic, memory).sum())
    total = work + float(floor.sum())
    return Timing(total + start_s, max(total, start_s), work / (total + start_s), start_s)
