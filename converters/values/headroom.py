"""Which populations need bits for values beyond those of calibration: each sample left out shows how far the others fall short.

A value beyond the range of its population is clipped. What a new sample would lose is estimated by leaving out each calibration
sample in turn: only the one with the largest value of a channel can exceed the range of the others. Units and rounding stay as
they are. Knows cells, ranges and effects of noise; knows no integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from converters.values.cells import Cell
from converters.values.encoding import result_extent
from converters.values.functions import INVERSES, SCALED_ALIKE, TABLE_ROOM, argument_bits, is_tabulated, most_alike, outward
from converters.values.fusing import function_of
from converters.values.ranges import Extent

Floats = NDArray[np.float64]
MOST = 6  # bits of headroom
MOST_BITS = 16  # of a value
_MOST_TABLE_BITS = 13  # of the argument of a table
_ALIKE_BITS = 10  # of values whose table is as wide as they are, and up to 64 times as wide on one side
_INVERSE_BITS = 12  # of an inverse, that its calibrated range keeps
_FEWEST = 4  # samples, of which leaving one out says anything


@dataclass(frozen=True, slots=True)
class Clipping:
    """What clipping a cell's values is expected to cost the outputs of a new sample, in summed squared error: with 0, 1, 2 and
    more bits of headroom, as many as it may have."""

    cell: Cell
    noise: tuple[float, ...]


def clippings(cells: Sequence[Cell], found: Mapping[str, Extent], anywhere: Mapping[str, Floats]) -> tuple[Clipping, ...]:
    """Of every cell whose unit comes from calibration samples. anywhere: by layer, how much the outputs' summed squared error
    grows with the variance of each of its values."""
    counted = [cell for cell in cells if _counted(cell, found)]
    return tuple(Clipping(cell, _noise(cell, found, anywhere, range(_most(cell, found) + 1))) for cell in counted)


def left(cells: Sequence[Cell], found: Mapping[str, Extent], anywhere: Mapping[str, Floats]) -> dict[str, float]:
    """The same with the headroom that cells have, by name."""
    return {cell.name: _noise(cell, found, anywhere, (cell.headroom,))[0] for cell in cells if _counted(cell, found)}


def lifted(cell: Cell, more: int) -> Cell:
    """The cell with so many bits of headroom, in place of its own bits where there are no more."""
    return replace(cell, bits=min(cell.bits + more, MOST_BITS), headroom=more)


def table_limit(cell: Cell, found: Mapping[str, Extent]) -> int:
    """The bits that values of a cell may have: of some functions as many as a table has entries for."""
    alike = cell.layer.op == "function" and cell.fused is None and cell.layer.options["name"] in SCALED_ALIKE
    return min(MOST_BITS, most_alike(cell.layer, found[cell.before], result_extent(cell, found))) if alike else MOST_BITS


def within_tables(cells: Sequence[Cell], found: Mapping[str, Extent]) -> tuple[Cell, ...]:
    """The cells with no more bits than their tables have entries for."""
    return tuple(replace(cell, bits=min(cell.bits, table_limit(cell, found))) for cell in cells)


def finer_divisors(cells: Mapping[str, Cell]) -> tuple[Cell, ...]:
    """The cells, with all bits for sums that an inverse with headroom reads, which may be smaller than in calibration."""
    inverse = [cell for cell in cells.values() if cell.headroom and cell.kind == "sum" and cell.layer.op == "function"]
    divisors = {name for cell in inverse if cell.layer.options["name"] in INVERSES for name in cell.sources}
    plain = {
        name for name in divisors if cells[name].kind == "sum" and cells[name].layer.op not in ("function", "relu", "quantise")
    }
    return tuple(
        replace(cell, bits=MOST_BITS) if cell.name in plain and not (cell.fused or cell.shares) else cell
        for cell in cells.values()
    )


def _counted(cell: Cell, found: Mapping[str, Extent]) -> bool:
    own = cell.kind in ("sum", "product", "dot") and not cell.shares and cell.layer.op != "quantise"
    seen = found[cell.layer.name].by_sample if own else None
    return seen is not None and seen.shape[1] >= _FEWEST


def _tabulated(cell: Cell, found: Mapping[str, Extent]) -> bool:
    return cell.kind == "sum" and is_tabulated(cell.layer, cell.fused, found[cell.before])


def _most(cell: Cell, found: Mapping[str, Extent]) -> int:
    """Bits of headroom that the neuron can have."""
    most = MOST
    if _tabulated(cell, found):
        most = min(most, _MOST_TABLE_BITS - (cell.argument_bits or argument_bits(cell.layer, cell.fused, cell.bits)))
    elif cell.layer.op == "function" and cell.layer.options["name"] in SCALED_ALIKE:
        most = min(most, _ALIKE_BITS - cell.bits)
    elif cell.layer.op == "function" and cell.layer.options["name"] in INVERSES:
        most = min(most, MOST_BITS - _INVERSE_BITS)
    return max(most, 0)


def _noise(cell: Cell, found: Mapping[str, Extent], anywhere: Mapping[str, Floats], bits: Sequence[int]) -> tuple[float, ...]:
    """With each number of bits of headroom."""
    return (_of_table if _tabulated(cell, found) else _of_values)(cell, found, anywhere[cell.layer.name], bits)


def _of_values(cell: Cell, found: Mapping[str, Extent], matters: Floats, bits: Sequence[int]) -> tuple[float, ...]:
    """Of each channel the largest value but one, 2^more times, is as far as the others reach."""
    sizes = np.abs(_ends(found[cell.layer.name])).max(axis=0)
    sizes = sizes.max(axis=1, keepdims=True) if cell.uniform else sizes
    largest, second = _top_two(sizes)
    channels = len(largest)
    each = matters.reshape(-1, 1) if channels == 1 else np.moveaxis(matters, cell.channels or 0, -1).reshape(-1, channels)
    weight = each.mean(axis=0)
    excess = (np.square(np.maximum(largest - 2.0**more * second, 0)) / len(sizes) for more in bits)
    return tuple(float((one * weight).sum()) for one in excess)


def _of_table(cell: Cell, found: Mapping[str, Extent], matters: Floats, bits: Sequence[int]) -> tuple[float, ...]:
    """The function of the smallest and largest argument, by a table and results that reach as far as the others."""
    lowest, highest = _ends(found[cell.before])
    (high, next_high), (low, next_low) = _top_two(highest.max(axis=1)), _top_two(-lowest.min(axis=1))
    room, given = TABLE_ROOM * float(next_high + next_low), np.array([-low, high])
    of, weight, noise = function_of(cell.layer, cell.fused), matters.mean(), list[float]()
    second = float(_top_two(np.abs(_ends(found[cell.layer.name])).max(axis=(0, 2)))[1])
    for more in bits:
        least, most = outward(-float(next_low), float(next_high), more)
        reach = 2.0**more * second
        with np.errstate(all="ignore"):
            lost = of(given) - np.clip(of(np.clip(given, least - room, most + room)), -reach, reach)
        noise.append(float(np.square(lost[np.isfinite(lost)]).sum() / len(lowest) * weight))
    return tuple(noise)


def _ends(extent: Extent) -> Floats:
    assert extent.by_sample is not None
    return extent.by_sample


def _top_two(values: Floats) -> tuple[Floats, Floats]:
    """The largest and the next along the first axis."""
    ordered = np.partition(values, len(values) - 2, axis=0)
    return np.asarray(ordered[-1]), np.asarray(ordered[-2])
