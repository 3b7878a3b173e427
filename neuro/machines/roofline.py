"""The roofline: each layer takes the longer of computing and moving its data. Knows no particular machine.

t_l = max(MAC_l b / (P eta(x_l)), D_l / (BW eta_bw)) with eta(x) = eta_max x / (x + x_half), x = FLOP of the kernel (= 2 x MAC),
D_l = weights once per batch + b (inputs + outputs). Source: Williams 2009; the size law after calculon (facts on A100 80 GB).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuro.machines.workload import Workload

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Roof:
    """Peak rates and how much of them is reached: `macs_per_s`, `bytes_per_s`, shares in 0..1, `half_flop` of eta(x)."""

    macs_per_s: float
    bytes_per_s: float
    compute_share: float = 1.0
    memory_share: float = 1.0
    half_flop: float = 0.0


@dataclass(frozen=True, slots=True)
class LayerTimes:
    """Seconds per layer and batch: computing and moving data. Both arrays are (ops,)."""

    compute_s: Floats
    memory_s: Floats

    @property
    def total_s(self) -> float:
        return float(np.maximum(self.compute_s, self.memory_s).sum())

    @property
    def bound(self) -> tuple[str, ...]:
        """Per layer, what it waits for."""
        return tuple(np.where(self.compute_s >= self.memory_s, "compute", "memory"))


def layer_times(workload: Workload, roof: Roof, *, bits: int, batch: int) -> LayerTimes:
    """Seconds of every layer of one batch on `roof`, with values of `bits` bits."""
    c = workload.columns
    flop = 2 * c["macs"] * batch  # per layer; of x FLOP and repeated r times: r (x + x_half) / (P eta_max)
    compute = (flop + roof.half_flop * c["repeats"] * (flop > 0)) / (2 * roof.macs_per_s * roof.compute_share)
    moved = (c["weights"] + batch * (c["inputs"] + c["outputs"])) * bits / 8
    return LayerTimes(compute, moved / (roof.bytes_per_s * roof.memory_share))
