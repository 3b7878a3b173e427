"""emulate(network, placement, inputs) -> ChipRun: outputs, exact counts per core and step, energy by part, latency."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from neuro.bill import Bill
from neuro.chip.counts import Counter, Counts
from neuro.chip.placement import Placement
from neuro.chip.pricing import StepTimes, check_noc, price, step_times
from neuro.chip.spec import Chip
from neuro.encoding import by_source, check_timesteps
from neuro.engine.records import Messages, Run
from neuro.engine.run import Progress, run
from neuro.errors import FitError
from neuro.network import Network

Noc = Literal["analytic", "packet"]


@dataclass(frozen=True, slots=True)
class ChipRun:
    """What a placed network did with some samples, and what that costs on its chip: `run`, `counts`, `bill`."""

    placement: Placement
    run: Run
    counts: Counts
    bill: Bill
    noc: str

    @property
    def step_times(self) -> StepTimes:
        """Time of every timed sample and step, by cause."""
        return step_times(self.counts, self.placement.chip)

    def price(self, chip: Chip) -> Bill:
        """The same counts at another chip's prices; nothing is run again."""
        return price(self.counts, chip)


def emulate(
    network: Network,
    placement: Placement,
    inputs: Any,
    *,
    timesteps: int | None = None,
    noc: Noc = "analytic",
    faults: None = None,
    engine: str = "event",
    threads: int | None = None,
    record: Iterable[str] = (),
    progress: Progress | None = None,
) -> ChipRun:
    """Run samples through a placed network and count what happens on every core and link.

    inputs, timesteps, engine, threads, record, progress: as for `neuro.run`. noc: "analytic", the busiest
    link and the longest way.
    Raises FitError when the placement is of another network, ChipError for an unknown network model.
    """
    if network != placement.network:
        raise FitError("placement", "it was made for another network", "Call neuro.place(network, chip) first")
    check_noc(noc)
    if faults is not None:
        raise FitError("faults", "the emulator cannot inject faults yet", "Leave faults=None")
    arrays = by_source(network, inputs)
    window = check_timesteps(network, arrays, timesteps)
    counter = Counter(placement, len(next(iter(arrays.values()))), window)

    def observe(first: int, messages: dict[str, Messages]) -> None:
        counter.observe(first, messages)

    how: dict[str, Any] = {"engine": engine, "threads": threads, "record": record, "progress": progress}
    result = run(network, inputs, timesteps=window, observe=observe, **how)
    counts = counter.finish(result)
    return ChipRun(placement, result, counts, price(counts, placement.chip), noc)
