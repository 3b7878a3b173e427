"""When each population gathers and sends: steps of chains, delays of skip paths, and the period of networks with frames.

Knows cells and how many values each takes in turn; knows no units or integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from converters.values.cells import Cell, Pick

_LONGEST_DELAY = 8  # beyond, ports hold what comes early
LONGEST_OF_SYNAPSES = 62  # steps: what a chip's synapses can delay
Held = dict[tuple[str, int], str]  # populations that hold values, by whose, and the first step of those that read them


@dataclass(frozen=True, slots=True)
class Timing:
    """When a population gathers: its first step and their number; whether ports hold what came before the last of them."""

    start: int
    gather: int
    port: str
    together: bool

    @property
    def sends_at(self) -> int:
        return self.start + self.gather - 1

    def delay(self, sent_at: int) -> int:
        """The delay with which a value that is sent at a step arrives in time."""
        return self.start - sent_at if self.together else 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """The timing of every cell by name, and the steps from frame to frame; None of a network without frames."""

    of: dict[str, Timing]
    period: int | None = None


def schedule(cells: Sequence[Cell], framed: bool = False) -> Schedule:
    """When the cells work. With frames the period is the least that every loop, and what takes values in turn, leaves room for.

    A loop of so many populations needs as many steps: a value must be back before its frame begins at the first of them.
    """
    if not framed:
        return Schedule(_held(cells, _chained(cells)))
    period = max(_taps(cell) for cell in cells)
    while (starts := _starts(cells, period)) is None:
        period += 1
    found = {cell.name: Timing(starts[cell.name], _taps(cell), "fresh", True) for cell in cells}
    return Schedule(_held(cells, found, period), period)


def with_holds(cells: Sequence[Cell], framed: bool = False) -> tuple[Cell, ...]:
    """The cells with a population of its own in front of each that would need a longer delay than synapses have: it holds the
    values that come early until they are needed."""
    steps, by_name = schedule(cells, framed), {cell.name: cell for cell in cells}
    made, held = list[Cell](), Held()
    for cell in cells:
        made += waiting(cell, by_name, steps, held)
    read = {source for cell in made for source in cell.sources}
    return tuple(cell for cell in made if cell.kind != "relay" or cell.name in read)


def waiting(cell: Cell, by_name: Mapping[str, Cell], steps: Schedule, held: Held) -> list[Cell]:
    """A cell, behind those that hold for it what comes too early for the delays of synapses and has no hold yet. by_name: those
    that it reads; held: filled with what holds."""
    timing, made = steps.of[cell.name], list[Cell]()
    for source in cell.sources if timing.together else ():
        sent = steps.of[source].sends_at
        wait = timing.delay(sent)
        if wait + timing.gather - 1 <= LONGEST_OF_SYNAPSES or wait == 1 or sent < 0:
            continue
        early = by_name[source]
        if early.kind == "relay" and cell.kind in ("dot", "largest"):
            early = by_name[early.sources[0]]  # which a hold relays as well
        if (early.name, timing.start) not in held:
            made += _holds(early, cell, -(-(wait - 1) // (steps.period or timing.start)))
            held[early.name, timing.start] = made[-1].name
        holds = held[early.name, timing.start]
        cell = replace(cell, ports=tuple(port.reading(source, holds) for port in cell.ports))
    return [*made, cell]


def holding(sent_at: int, until: int) -> Timing:
    """When a population works that holds what was sent at a step until the one before it is read, without frames."""
    return Timing(sent_at + 1, until - sent_at - 1, "held", False)


def _holds(source: Cell, reader: Cell, count: int) -> list[Cell]:
    """So many populations that hold the values of one for another, one behind the other."""
    places, found = np.arange(prod(source.layer.shape)).reshape(-1, 1), [source]
    for i in range(max(1, count)):
        name = f"{reader.name}.{source.name}.held{i or ''}"
        found.append(Cell(name, "hold", source.layer, (Pick(found[-1].name, places),), source.bits, source.uniform))
    return found[1:]


def _held(cells: Sequence[Cell], found: dict[str, Timing], period: int | None = None) -> dict[str, Timing]:
    """The timing of cells of which those that hold values do so until just before they are read."""
    readers = {source: cell.name for cell in cells for source in cell.sources}
    for cell in reversed(cells):
        if cell.kind == "hold":
            until, start = found[readers[cell.name]].start - 1, found[cell.name].start
            gather = min(until - start + 1, period or until + 1)
            found[cell.name] = Timing(until - gather + 1, gather, "held", False)
    return found


def _taps(cell: Cell) -> int:
    """Steps in which a cell gathers: as many as values that it takes in turn."""
    if cell.kind in ("dot", "largest"):
        return max(int(port.places.shape[1]) for port in cell.ports if isinstance(port, Pick))
    return 1


def _chained(cells: Sequence[Cell]) -> dict[str, Timing]:
    found: dict[str, Timing] = {}
    for cell in cells:
        found[cell.name] = chained(cell, found)
    return found


def chained(cell: Cell, before: Mapping[str, Timing]) -> Timing:
    """When a cell works without frames, given those that it reads."""
    ready = [before[name].sends_at for name in cell.sources]
    if cell.kind == "input":
        return Timing(0, 1, "fresh", True)
    if cell.kind in ("dot", "largest"):
        return Timing(max(ready) + 1, _taps(cell), "fresh", True)
    return _at_once(ready or [0])


def _at_once(ready: Sequence[int]) -> Timing:
    """Values that are needed at once: delayed until the last is there, or held where that would be long."""
    if max(ready) - min(ready) < _LONGEST_DELAY:
        return Timing(max(ready) + 1, 1, "fresh", True)
    return Timing(min(ready) + 1, max(ready) - min(ready) + 1, "held", False)


def _starts(cells: Sequence[Cell], period: int) -> dict[str, int] | None:
    """The earliest first steps with a period; None where a loop is longer than it."""
    starts = {cell.name: int(cell.kind != "input") for cell in cells}
    taps = {cell.name: _taps(cell) for cell in cells}
    for _ in range(len(cells) + 1):
        changed = False
        for cell in cells:
            sent = [starts[name] + taps[name] - 1 for name in cell.sources]
            if cell.kind == "previous":
                first, taps[cell.name] = sent[0] - period, 1
                changed |= first != starts[cell.name]
                starts[cell.name] = first
            elif sent and max(sent) + 1 > starts[cell.name]:
                starts[cell.name], changed = max(sent) + 1, True
        if not changed:
            return starts
    return None
