"""The claim that a spiking chip needs a hundred times less energy than a GPU, at every batch. Knows measurements only.

Blouw et al. 2019, keyword spotter of 172,800 MAC: the ratio of dynamic energies to Loihi's holds at batch 1 and melts with the
batch.
"""

from __future__ import annotations

from typing import Any

from neuro.machines.points import PublishedPoint, shipped_points

_LOIHI = "blouw_loihi_kws_b1"


def blouw_claim() -> list[dict[str, Any]]:
    """One row per device and batch: dynamic energy (mJ), its ratio to Loihi's, and the ratio of totals (running power / rate)."""
    points = {point.id: point for point in shipped_points()}
    loihi = points[_LOIHI]
    same = [p for p in points.values() if p.workload == loihi.workload and p.energy_kind == "dynamic" and p.id != _LOIHI]
    return [
        {
            "device": point.device,
            "batch": int(point.batch_or_scenario.removeprefix("b")),
            "dynamic_mj": point.energy_mj,
            "dynamic_ratio": _ratio(point.energy_mj, loihi.energy_mj),
            "total_ratio": _ratio(_total_mj(point), _total_mj(loihi)),
        }
        for point in same
    ]


def _total_mj(point: PublishedPoint) -> float | None:
    """Energy of an inference with idling: running power over rate."""
    if point.power_w is None or point.throughput_per_s is None:
        return None
    return 1e3 * point.power_w / point.throughput_per_s


def _ratio(mine: float | None, other: float | None) -> float | None:
    return None if mine is None or other is None else mine / other
