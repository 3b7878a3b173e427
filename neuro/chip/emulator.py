"""emulate(placement, inputs) -> ChipRun: outputs, exact counts per core and step, energy by part, latency."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from neuro import units
from neuro.bill import Bill
from neuro.chip.counts import Counter, Counts, Tables
from neuro.chip.cutting.capabilities import check_inputs
from neuro.chip.faultspec import Faults
from neuro.chip.placing.placement import Placement
from neuro.chip.pricing import StepTimes, price, step_times
from neuro.chip.spec import Chip
from neuro.encoding import by_source, check_timesteps
from neuro.engine.pace import Progress, within
from neuro.engine.records import Messages, Run
from neuro.engine.run import run
from neuro.errors import ChipError, FitError, expect
from neuro.network import Network
from neuro.notebook import Table, TableRepr

if TYPE_CHECKING:
    from neuro.chip.faults.engine import Harm
    from neuro.chip.packets.traffic import PacketSampler, SampledMessages, Traffic

Noc = Literal["analytic", "packet"]


@dataclass(frozen=True, slots=True, repr=False)
class ChipRun(TableRepr):
    """What a placed network did with some samples, and what that costs on its chip: `run`, `counts`, `bill`.

    With noc="packet", `traffic` says what the packets of the samples `sampled.samples` did; the latency is theirs.
    """

    placement: Placement
    run: Run
    counts: Counts
    bill: Bill
    noc: Noc
    sampled: SampledMessages | None
    traffic: Traffic | None
    faults: Faults = field(default_factory=Faults)

    @property
    def synops(self) -> int:
        """Synaptic operations of the chip: without those of weight zero where it skips them, which `run.synops` counts."""
        return sum(int(table.sum()) for table in self.counts.synops.values())

    def _shown(self) -> Table:
        run, bill = self.run, self.bill
        counted = {"messages": run.messages, "synops": self.synops, "updates": run.updates, "packets": self.counts.packets}
        rows = [(name, units.count(round(total / run.samples)), "") for name, total in counted.items()]
        rows += [*bill.energy_rows(), ("latency", units.time(bill.latency_ns), f"{run.steps} steps")]
        return f"One inference on {bill.target}, averaged over {run.samples:,} samples", ("", "", "kind, basis"), rows

    @property
    def step_times(self) -> StepTimes:
        """Time of every timed sample and step, by cause."""
        if self.traffic is None:
            return step_times(self.counts, self.placement.chip)
        counts = self.counts.of_samples(self.traffic.samples)
        return step_times(counts, self.placement.chip, drained_ns=self.traffic.drained_ns)

    def price(self, chip: Chip) -> Bill:
        """The same counts at another chip's prices and times; no neuron runs again, packets are sent again at its pace."""
        if self.sampled is None:
            return price(self.counts, chip)
        return _bill(self.counts, _sent(Tables(self.placement, self.run.timesteps), self.sampled, chip), chip)


class EmulateOptions(TypedDict, total=False):
    """What `emulate` takes by name, however it is called."""

    timesteps: int | None
    noc: Noc
    faults: Faults | None
    engine: str
    threads: int | None
    record: Iterable[str]
    progress: Progress | None
    within_s: float | None


@overload
def emulate(placement: Placement, inputs: Any, /, **options: Unpack[EmulateOptions]) -> ChipRun: ...


@overload
def emulate(network: Network, placement: Placement, inputs: Any, **options: Unpack[EmulateOptions]) -> ChipRun: ...


def emulate(
    network: Network | Placement,
    placement: Any = None,
    inputs: Any = None,
    *,
    timesteps: int | None = None,
    noc: Noc = "analytic",
    faults: Faults | None = None,
    engine: str = "event",
    threads: int | None = None,
    record: Iterable[str] = (),
    progress: Progress | None = None,
    within_s: float | None = None,
) -> ChipRun:
    """Run samples through a placed network and count what happens on every core and link.

    `emulate(placement, inputs)` runs the network that was placed; `emulate(network, placement, inputs)` also makes sure that it
    is the network meant.
    inputs, timesteps, engine, threads, record, progress, within_s: as for `neuro.run`. noc: "analytic", the busiest link and the
    longest way, or "packet", every packet of as many evenly spread samples as hold `traffic.MOST_PACKETS` packets.
    faults: what is broken on the chip; those that strike while the network runs have an engine of their own, and noc="packet" is
    refused where packets are lost or go around dead links.
    Raises FitError when the placement is of another network, ChipError for a network model that the chip does not allow.
    """
    placement, inputs = _placed(network, placement, inputs)
    expect("faults", faults or Faults(), Faults, "Pass neuro.Faults(...)", ChipError)
    if noc not in ("analytic", "packet"):
        raise ChipError(f"noc {noc!r}", "there is no such network model", 'Use noc="analytic" or noc="packet"')
    broken = faults or Faults()
    harm = None if broken == Faults() else _harm(broken, placement, noc, engine)
    arrays = by_source(placement.network, inputs)
    check_inputs(placement.network, placement.chip, arrays)
    tables = Tables(placement, check_timesteps(placement.network, arrays, timesteps), broken.dead_links)
    counter = Counter(tables, len(next(iter(arrays.values()))))
    sampler = _sampler(tables, counter.stride) if noc == "packet" else None
    one_at_a_time = Lock()

    def observe(first: int, messages: dict[str, Messages]) -> None:
        with one_at_a_time:  # an engine's threads may bring blocks at the same time, in any order
            counter.observe(first, messages)
            if harm is not None:
                harm.take_away(counter, first, messages)
            if sampler is not None:
                sampler.observe(first, messages)

    progress = progress if within_s is None else within(within_s, progress)
    if placement.network.learns and not isinstance(record, str):
        record = (*record, "learning")  # where each synapse changed
    how: Any = {"engine": engine, "threads": threads, "record": record, "progress": progress, "observe": observe}
    start = run if harm is None else harm.run
    result = start(placement.network, arrays, timesteps=tables.timesteps, **how)
    counts, chip = counter.finish(result), placement.chip
    counts = counts if harm is None else harm.without_dead(counts)
    if sampler is None:
        return ChipRun(placement, result, counts, price(counts, chip), noc, None, None, broken)
    sampled = sampler.finish()
    traffic = _sent(tables, sampled, chip)
    return ChipRun(placement, result, counts, _bill(counts, traffic, chip), noc, sampled, traffic, broken)


def _harm(faults: Faults, placement: Placement, noc: Noc, engine: str) -> Harm:
    """What faults do to a run; what knows how is imported where something is broken."""
    from neuro.chip.faults.engine import Harm

    return Harm.of(faults, placement, noc, engine)


def _sampler(tables: Tables, stride: int) -> PacketSampler:
    """What keeps messages for the packet network, which is imported where it is asked for."""
    from neuro.chip.packets.traffic import PacketSampler

    return PacketSampler(tables, stride)


def _sent(tables: Tables, sampled: SampledMessages, chip: Chip) -> Traffic:
    from neuro.chip.packets.traffic import simulate

    return simulate(tables, sampled, chip)


def _placed(network: Network | Placement, placement: Any, inputs: Any) -> tuple[Placement, Any]:
    """The placement and inputs of a call with a network or without one."""
    if isinstance(network, Placement):
        return network, placement if inputs is None else inputs
    if not isinstance(placement, Placement):
        raise FitError(
            "placement", f"a {type(placement).__name__} was passed in its place", "Call neuro.place(network, chip) first"
        )
    if network != placement.network:
        raise FitError("placement", "it was made for another network", "Call neuro.place(network, chip) first")
    return placement, inputs


def _bill(counts: Counts, traffic: Traffic, chip: Chip) -> Bill:
    return price(counts.of_samples(traffic.samples), chip, drained_ns=traffic.drained_ns)
