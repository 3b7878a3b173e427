"""How much noise of one neuron matters at the outputs: carried backwards through squared weights and the share of active
neurons, as if noise were independent. Decides which channels of a population give up resolution. Knows no codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from converters.calibration import Range
from converters.linear import Operator, Window
from converters.stages import Stage

Floats = NDArray[np.float64]


def importances(stages: Sequence[Stage], ranges: Mapping[str, Range]) -> dict[str, Floats]:
    """{stage: (channels,)}: growth of the outputs' summed squared error with the variance of one neuron's noise."""
    found: dict[str, Floats] = {stage.name: np.zeros(stage.shape[0]) for stage in stages}
    found[stages[-1].name] = np.ones(stages[-1].shape[0])
    for stage in reversed(stages):
        behind = found[stage.name]
        if stage.kind == "relu":
            behind = behind * (ranges[stage.name].counts.sum(axis=1) / max(ranges[stage.name].seen, 1))
        for path in stage.paths:
            found[path.source] += _carried(path.operator, behind, pooled=stage.kind == "max_pool")
    return found


def _carried(operator: Operator, behind: Floats, *, pooled: bool) -> Floats:
    """Sum over a source channel's targets of squared weight x importance, per source neuron; a maximum has one winner."""
    channels, per_channel = operator.source[0], int(np.prod(operator.source[1:]))
    places = int(np.prod(operator.target[1:]))
    if pooled:
        return np.asarray(behind * places / per_channel)
    if not isinstance(operator, Window):
        hit = operator.weight**2 @ np.repeat(behind, places)
        hit = hit if operator.rows is None else hit[operator.rows]
        return np.asarray(hit.reshape(channels, -1).mean(axis=1))
    groups, rows = operator.groups, operator.weight.shape[0] // operator.groups
    squared = np.square(operator.weight).reshape(groups, rows, operator.weight.shape[1], -1).sum(axis=3)
    hit = np.einsum("grc,gr->gc", squared, behind.reshape(groups, rows)).reshape(-1)
    return np.asarray(hit * places / per_channel)
