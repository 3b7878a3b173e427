"""What a chip does for a stream, part by part: runs of a session -> counts -> energy and time, which add up.

Knows placements and prices; knows nothing of what the stream is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neuro.chip.counts import Counter, Counts, Tables
from neuro.chip.placing.placement import Placement
from neuro.chip.pricing import price
from neuro.engine.records import Run, StepCounts, listed


@dataclass(frozen=True, slots=True)
class ChipUse:
    """What the chip did in some steps. Adds up; energies in pJ are dynamic only, by part; `busy_ns` it worked."""

    steps: int = 0
    spikes: int = 0
    synops: int = 0
    updates: int = 0
    packets: int = 0
    busy_ns: float = 0.0
    parts_pj: tuple[tuple[str, float | None], ...] = ()  # None: no price is public

    def __add__(self, other: ChipUse) -> ChipUse:
        names = dict.fromkeys(name for name, _ in (*self.parts_pj, *other.parts_pj))
        mine, theirs = dict(self.parts_pj), dict(other.parts_pj)
        return ChipUse(
            self.steps + other.steps,
            self.spikes + other.spikes,
            self.synops + other.synops,
            self.updates + other.updates,
            self.packets + other.packets,
            self.busy_ns + other.busy_ns,
            tuple((name, _both(mine.get(name), theirs.get(name))) for name in names),
        )

    @property
    def dynamic_pj(self) -> float:
        return sum(energy or 0.0 for _, energy in self.parts_pj)


def _both(one: float | None, other: float | None) -> float | None:
    """A sum that is unknown where neither part is known."""
    return None if one is None and other is None else (one or 0.0) + (other or 0.0)


class Account:
    """Accounts for the parts of a session's stream in their order, recorded with "raster", of at most `most_steps` steps each."""

    def __init__(self, placement: Placement, most_steps: int) -> None:
        self._chip, self._steps = placement.chip, 0
        self._tables = Tables(placement, most_steps + max((p.delay for p in placement.network.projections), default=0))

    def of(self, run: Run, *, ended: bool = False) -> ChipUse:
        """Counts and energy of all that the messages of the next steps cause, at once or delays later.

        ended: the steps are those of `Session.finish`.
        """
        tables = self._tables.in_stream(self._steps, self._steps if ended else None)
        counter, room = Counter(tables, 1), tables.steps - run.steps
        self._steps += run.steps
        counter.observe(0, {name: listed(np.pad(sent, ((0, 0), (0, room), (0, 0)))) for name, sent in run.raster.items()})
        padded = {name: _padded(counts, room) for name, counts in run.counts.items()}
        counts = _first(counter.finish(replace(run, counts=padded)), run.steps)
        bill = price(counts, self._chip)
        return ChipUse(
            steps=counts.steps,
            spikes=int(counts.spikes.sum()),
            synops=int(sum(table.sum() for table in counts.synops.values())),
            updates=int(counts.updates.sum()),
            packets=counts.packets,
            busy_ns=bill.latency_ns,
            parts_pj=tuple((part.name, part.energy_pj) for part in bill.parts if part.kind == "dynamic"),
        )


def _padded(counts: StepCounts, room: int) -> StepCounts:
    """The counts with `room` idle steps after them."""
    return StepCounts(*(np.pad(getattr(counts, name), (0, room)) for name in counts.__slots__))


def _first(counts: Counts, steps: int) -> Counts:
    """The counts of the first steps, with all synaptic operations that their messages cause."""
    every = {
        name: getattr(counts, name)[:steps]
        for name in ("updates", "passes", "products", "lookups", "synaptic_updates", "driven", "restless")
    }
    timed = {name: getattr(counts, name)[:, :steps] for name in ("each", "heaviest", "far")}
    return replace(counts, steps=steps, **every, **timed)
