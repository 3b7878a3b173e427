"""Which populations get bits for values beyond those of calibration, and what these cost.

Weights lose what a potential must hold more, and steps grow where a value has all its bits already. Knows cells, what clipping
and rounding bring to the outputs; knows no integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from converters.values.cells import Cell
from converters.values.functions import INVERSES
from converters.values.headroom import Clipping, clippings, finer_divisors, lifted
from converters.values.precision import TARGET, Effects, Readers, Rounded, rounding_of
from converters.values.ranges import Extent
from converters.values.widths import Widths

_CLIPPED = 0.04  # share of the noise aimed at, that values of one population beyond their range may cost
_UNSEEN = 0.25  # share of what clipping costs that may be left when a range is doubled, though calibration samples show less
_SPARE = 1  # bits beyond the range of a population whose values, as far as samples tell, stay within it;
_FREE = 0.02  # where they bring no more than this share of the noise aimed at


def widened(
    known: Rounded, found: Mapping[str, Extent], of: Effects, widths: Widths, target: float = TARGET
) -> tuple[tuple[Cell, ...], float]:
    """The cells with as many bits as rounding and values beyond calibration need, and the outputs' error that rounding is then
    expected to cause."""
    cells, noise = known.cells, known.noise
    if widths.widen and widths.spare_bits:
        cells, more = with_headroom(cells, found, of, known.readers, target)
        noise += more
    return cells, float(np.sqrt((noise + sum(known.readers.noise.values())) / of.spread))


def with_headroom(
    cells: Sequence[Cell], found: Mapping[str, Extent], of: Effects, readers: Readers, target: float = TARGET
) -> tuple[tuple[Cell, ...], float]:
    """The cells with bits for values beyond those of calibration, where calibration samples exceed the range of the others by so
    much that the outputs lose more than rounding may cost them; and the noise that this adds."""
    made, added = {cell.name: cell for cell in cells}, 0.0
    clipped, goal = clippings(cells, found, of.anywhere), target**2 * of.spread
    if sum(one.noise[0] for one in clipped) <= goal:
        return tuple(cells), added
    for one in clipped:
        exceeded = one.noise[0] > goal * _CLIPPED
        most = len(one.noise) - 1 if exceeded or _is_inverse(one.cell) else min(len(one.noise) - 1, _SPARE)
        before = sum(noise for _, _, noise in rounding_of(one.cell, found, of)) if most else 0.0
        costs = [0.0]
        for more in range(1, most + 1):
            rounding = sum(noise for _, _, noise in rounding_of(lifted(one.cell, more), found, of))
            costs.append(readers.lifted(one.cell.name, more) + rounding - before)
        bits = _worth(one, costs) if exceeded else _free(costs, goal)
        made[one.cell.name] = lifted(one.cell, bits) if bits else one.cell
        added += costs[bits]
    return finer_divisors(made), added


def _worth(one: Clipping, costs: Sequence[float]) -> int:
    """As many bits as cost the outputs least. A new sample may exceed a range by more than calibration samples do: further bits
    are worth something."""
    risks = [one.noise[0]]
    for noise in one.noise[1:]:
        risks.append(noise + (risks[-1] - noise) * _UNSEEN)
    return int(np.argmin(np.add(risks, costs)))


def _free(costs: Sequence[float], goal: float) -> int:
    """As many bits as cost next to nothing, for what no sample shows."""
    return max((bits for bits, cost in enumerate(costs) if cost <= goal * _FREE), default=0)


def _is_inverse(cell: Cell) -> bool:
    """However large its argument was in calibration, it may come near 0."""
    return cell.layer.op == "function" and cell.fused is None and cell.layer.options["name"] in INVERSES
