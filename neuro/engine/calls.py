"""Which kernels a plan calls, by their addresses, and which of its populations one call may take.

Knows plans and kernels; knows nothing of samples or threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuro.engine import tables as T
from neuro.engine.deliver import delivery_address
from neuro.engine.invoke import table_of
from neuro.engine.live import live_address
from neuro.engine.plan import FOREVER, Plan
from neuro.engine.steady import steady_address


class Part(NamedTuple):
    """Populations that follow one another: groups that compiled code takes in one call, or one group that it cannot."""

    compiled: tuple[int, int] | None  # rows of the groups of `Calls`
    populations: tuple[int, ...]
    stride: int


class Calls(NamedTuple):
    """Addresses of the kernels for each population and projection of a plan, and what one call may do.

    groups, order: as `advance` reads them. The last groups hold one population each; `rows` says where the others stand.
    """

    live: Any
    steady: Any
    deliver: Any
    groups: NDArray[np.int64]
    order: NDArray[np.int64]
    rows: Mapping[tuple[int, ...], int]
    parts: tuple[Part, ...]


def calls_of(plan: Plan) -> Calls:
    """The kernels that a plan needs, compiled or read from disk when they are first asked for."""
    if not plan.calls:
        built_in = ~np.isin(plan.populations["model"], (T.SOURCE, T.USER))
        live = [live_address(p) if own else 0 for p, own in zip(plan.populations, built_in, strict=True)]
        steady = [steady_address(p) for p in plan.populations]
        deliver = [0] * len(plan.projections)
        for p in plan.populations:
            for k in range(p["first_projection"], p["first_projection"] + p["projections"]):
                deliver[k] = delivery_address(plan.projections[k], p["accumulator"] == T.WIDE, plan.arenas)
        plan.calls.append(Calls(table_of(live), table_of(steady), table_of(deliver), *_parts(plan)))
    found: Calls = plan.calls[0]
    return found


def _parts(plan: Plan) -> tuple[NDArray[np.int64], NDArray[np.int64], dict[tuple[int, ...], int], tuple[Part, ...]]:
    parts: list[Part] = []
    place: dict[tuple[int, ...], int] = {}
    rows: list[tuple[int, int, int]] = []
    order: list[int] = []
    begun = 0

    def add(group: tuple[int, ...], stride: int) -> None:
        rows.append((len(order), len(order) + len(group), stride or FOREVER))
        order.extend(group)

    def close() -> None:
        nonlocal begun
        if begun < len(rows):
            parts.append(Part((begun, len(rows)), (), 0))
        begun = len(rows)

    for group, stride in plan.groups:
        models = {int(plan.populations[index]["model"]) for index in group}
        if T.USER in models:
            close()
            parts.append(Part(None, group, stride))
        elif models != {T.SOURCE}:
            place[group] = len(rows)
            add(group, stride)
    close()
    for index in range(len(plan.populations)):
        add((index,), 0)
    return np.array(rows, np.int64), np.array(order, np.int64), place, tuple(parts)
