"""Placements by hand: a table of (population, box, core) -> slices and their cores. Knows boxes, no limits."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from neuro.chip.cutting.candidates import on_cores
from neuro.chip.cutting.tilings import Ints, Tiling, even
from neuro.errors import FitError, FormatError
from neuro.files import write_text
from neuro.network import Network, Population
from neuro.numbers import whole
from neuro.reading import opened

Range = tuple[int, int]
Box = tuple[Range, ...]
Row = tuple[str, Box, int]
_COLUMNS = ["population", "box", "core"]
_MOST_BYTES = 64 << 20
_BOX = re.compile(r"\d{1,10}:\d{1,10}( \d{1,10}:\d{1,10})*")


def read_mapping(path: Any) -> tuple[Row, ...]:
    """The rows of a mapping file: CSV with the columns population, box, core. Raises FormatError.

    A box is written 0:24 0:32 0:4, a range (first, end) for each axis of the population's shape.
    """
    with opened(path) as file:
        data = file.read(_MOST_BYTES + 1)
    try:
        rows = list(csv.reader(data.decode("utf-8").splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(str(path), f"it is no CSV file ({error})", f"Write the columns {', '.join(_COLUMNS)}") from None
    if len(data) > _MOST_BYTES or not rows or rows[0] != _COLUMNS:
        raise FormatError(
            str(path), "it is no mapping", f"Begin with the line {','.join(_COLUMNS)}; at most {_MOST_BYTES:,} bytes"
        )
    return tuple(_row(path, line, row) for line, row in enumerate(rows[1:], 2) if row)


def _row(path: Any, line: int, row: list[str]) -> Row:
    if len(row) != 3 or not _BOX.fullmatch(row[1]) or not re.fullmatch(r"\d{1,10}", row[2]):
        raise FormatError(
            f"{path}, line {line}", f"it reads {','.join(row)[:80]!r}", "Write population,box,core as conv1,0:24 0:32 0:4,7"
        )
    box = tuple((int(a), int(b)) for a, b in (part.split(":") for part in row[1].split(" ")))
    return row[0], box, int(row[2])


def write_mapping(rows: Iterable[Row], path: Any) -> None:
    """Write a mapping file, such as of `Placement.mapping`."""
    lines = [",".join(_COLUMNS)]
    for population, box, core in rows:
        if re.search(r'[,"\r\n]', population):
            raise FormatError(f"population {population!r}", "its name does not go into a mapping file", "Rename it")
        lines.append(f"{population},{' '.join(f'{a}:{b}' for a, b in box)},{core}")
    write_text(path, "\n".join(lines) + "\n")


def by_hand(network: Network, mapping: Any) -> tuple[dict[str, Tiling], dict[str, Ints]]:
    """Slices and their cores from rows (population, box, core); FitError unless every neuron lies in exactly one box."""
    listed: dict[str, list[tuple[Box, int]]] = {p.name: [] for p in network.populations if on_cores(p)}
    for number, row in enumerate(_rows(mapping)):
        where = f"mapping, row {number}"
        if not isinstance(row, tuple | list) or len(row) != 3 or row[0] not in listed:
            names = ", ".join(listed)
            raise FitError(where, f"{str(row)[:80]} names no population on cores", f"Write (population, box, core), of {names}")
        box = _box(where, network[row[0]], row[1])
        listed[row[0]].append((box, whole(where, "core", row[2], 0, error=FitError)))
    tilings: dict[str, Tiling] = {}
    cores: dict[str, Ints] = {}
    for p in network.populations:
        if not on_cores(p):
            tilings[p.name], cores[p.name] = even(p.shape, [1] * len(p.shape)), np.array([-1])
            continue
        tilings[p.name], cores[p.name] = _cut(p, listed[p.name])
    return tilings, cores


def _rows(mapping: Any) -> list[Any]:
    if mapping is None or isinstance(mapping, str | Path | Mapping):
        fact = "there is none" if mapping is None else f"it is a {type(mapping).__name__}"
        raise FitError("mapping", fact, "Pass rows (population, box, core), such as neuro.read_mapping(path)")
    return list(mapping)


def _box(where: str, population: Population, box: Any) -> Box:
    """A range (first, behind the last) for each axis."""
    axes = population.shape
    if not isinstance(box, tuple | list) or len(box) != len(axes):
        raise FitError(
            where, f"box {box!r} has not the {len(axes)} axes of {axes}", "Write ((first, end), ...), a range for each axis"
        )
    ranges = []
    for part, size in zip(box, axes, strict=True):
        if not isinstance(part, tuple | list) or len(part) != 2:
            raise FitError(where, f"range {part!r} is no pair", "Write (first, end)")
        first = whole(where, "the first of a range", part[0], 0, size - 1, error=FitError)
        ranges.append((first, whole(where, "the end of a range", part[1], first + 1, size, error=FitError)))
    return tuple(ranges)


def _cut(population: Population, boxes: list[tuple[Box, int]]) -> tuple[Tiling, Ints]:
    """A grid where the boxes are one, else slices of any neurons."""
    where = f"mapping of population {population.name!r}"
    if not boxes:
        raise FitError(where, "it has no row", "Give every population that lives on cores its boxes")
    held = np.full(population.shape, -1, np.int64)
    for k, (box, _) in enumerate(boxes):
        part = held[tuple(slice(*r) for r in box)]
        if (part >= 0).any():
            raise FitError(where, f"boxes {boxes[int(part.max())][0]} and {box} share neurons", "Give every neuron one box")
        part[...] = k
    left = int((held < 0).sum())
    if left:
        first = tuple(int(i) for i in np.argwhere(held < 0)[0])
        raise FitError(where, f"{left:,} neurons lie in no box, the first at {first}", "Give every neuron one box")
    edges = [sorted({0, *(r[axis][1] for r, _ in boxes)}) for axis in range(len(population.shape))]
    cells = (
        list(product(*(zip(e, e[1:], strict=False) for e in edges))) if np.prod([len(e) - 1 for e in edges]) == len(boxes) else []
    )
    numbers = dict(boxes)
    if cells and all(cell in numbers for cell in cells):
        grid = Tiling(population.shape, tuple(np.array(e) for e in edges))
        return grid, np.array([numbers[cell] for cell in cells], np.int64)
    order = np.argsort(held.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(held.ravel(), minlength=len(boxes)))
    tiling = Tiling(population.shape, (np.concatenate([[0], ends]),), order)
    return tiling, np.array([core for _, core in boxes], np.int64)


def rows_of(population: Population, tiling: Tiling, cores: Ints) -> tuple[Row, ...]:
    """The rows of one population of a placement; FitError where its slices are no boxes."""
    if tiling.order is None:
        cells = product(*(zip(e[:-1].tolist(), e[1:].tolist(), strict=True) for e in tiling.edges))
        return tuple((population.name, tuple(cell), int(core)) for cell, core in zip(cells, cores, strict=True))
    rows, labels = [], tiling.labels().reshape(population.shape)
    for k, core in enumerate(cores):
        at = np.argwhere(labels == k)
        box = tuple((int(a), int(b) + 1) for a, b in zip(at.min(axis=0), at.max(axis=0), strict=True))
        if np.prod([b - a for a, b in box]) != len(at):
            raise FitError(f"population {population.name!r}", "its slices are no boxes", 'Place it by method="refined"')
        rows.append((population.name, box, int(core)))
    return tuple(rows)
