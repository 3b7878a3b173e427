"""One network on every target: the emulated chip beside GPU, TPU, FPGA and CPU, under stated conditions.

Knows bills and machines; knows nothing of how a bill was made. Energies are per inference, latencies per batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Protocol

from neuro import units
from neuro.bill import Bill
from neuro.errors import MachineError, UsageError, expect
from neuro.graph import Graph
from neuro.machines.costing import cost
from neuro.machines.heldout import held_out_error
from neuro.machines.machine import Machine, load_machine
from neuro.machines.workload import Workload, weigh
from neuro.notebook import Table, TableRepr
from neuro.numbers import whole

MACHINES = ("a100", "tpu-v1", "tpu-v4", "stratix-10-nx", "xeon")
Energy = Callable[[Bill], float]
_ENERGIES: dict[str, Energy] = {"total": lambda bill: bill.energy_pj, "dynamic": lambda bill: bill.dynamic_pj}
_BATCHES = tuple(2**n for n in range(11))  # where the crossing point is looked for


class Priced(Protocol):
    """Anything that carries a Bill, such as a ChipRun."""

    @property
    def bill(self) -> Bill: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One target at one batch. Energies are per inference and None where unknown; read as attributes or like a mapping.

    The errors are means over measured machines of the same class that the model was not fitted on, as shares; None: none was.
    """

    machine: str
    batch: int
    precision: str
    latency_ns: float
    throughput_per_s: float
    energy_pj: float | None
    dynamic_pj: float | None
    energy_kind: str
    basis: str
    latency_error: float | None = None
    energy_error: float | None = None

    def __getitem__(self, name: str) -> Any:
        if name not in self.keys():
            raise KeyError(name)
        return getattr(self, name)

    def keys(self) -> tuple[str, ...]:
        return tuple(field.name for field in fields(self))


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a machine draws level with the chip in one kind of energy per inference ("total" or "dynamic").

    `batch` is the smallest at which the machine needs less (None: none up to 1024). At batch 1 they are level when the chip's
    activity is `activity` times what it was (its dynamic part alone grows; None: no activity will do), or its time steps
    `steps` times (all parts grow).
    """

    machine: str
    energy_kind: str
    batch: int | None
    activity: float | None
    steps: float


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(TableRepr):
    """`crossing` says where the chip stops winning; `rows` are the targets; `conditions` what the numbers hold for.

    `crossings` are the same in numbers, machine by machine. `refused` names the machines that no model can cost for this
    network, with the reason; `machines` are the others, with their figures. `curves`: their rows at batches 1, 2, 4, ..., 1024.
    """

    crossing: str
    rows: tuple[Row, ...]
    conditions: tuple[str, ...]
    refused: tuple[str, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    machines: tuple[Machine, ...] = ()
    curves: tuple[Row, ...] = ()

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def _shown(self) -> Table:
        columns = ("target", "batch", "precision", "latency", "throughput", "dynamic", "total energy", "basis")
        rows = [
            (
                row.machine,
                str(row.batch),
                row.precision,
                units.time(row.latency_ns),
                units.rate(row.throughput_per_s),
                units.energy(row.dynamic_pj),
                units.energy(row.energy_pj),
                row.basis,
            )
            for row in self.rows
        ]
        return self.crossing, columns, rows

    def to_rows(self) -> list[dict[str, Any]]:
        """The rows as dictionaries, ready for JSON or CSV."""
        return [asdict(row) for row in self.rows]


def compare(
    graph: Graph, chip_run: Priced, machines: Sequence[str | Machine] = MACHINES, batches: Sequence[int] = (1, 64)
) -> Comparison:
    """The chip's bill beside the bills of `machines` for the same float network at every batch.

    `machines` are catalogue names, paths of machine files, or Machine values. A machine that cannot run the network is named in
    `refused` with the reason; a UsageError where there is nothing to compare.
    """
    if isinstance(machines, Sized) and isinstance(batches, Sized) and (not len(machines) or not len(batches)):
        raise UsageError(
            "compare", "no machine or no batch was given", f"Name machines such as {MACHINES[0]!r}, and batches such as 1"
        )
    expect("compare", getattr(chip_run, "bill", None), Bill, "Pass what neuro.emulate(...) returned, which has a bill")
    for name, listed in (("machines", machines), ("batches", batches)):
        if isinstance(listed, str) or not isinstance(listed, Iterable):
            raise UsageError("compare", f"{name} = {listed!r} is not a list", f"Pass {name}=({listed!r},)")
    batches = tuple(whole("compare", "one of batches", batch, 1, error=UsageError) for batch in batches)
    workload = weigh(graph)
    targets: list[Machine] = []
    refused: list[str] = []
    for machine in (machine if isinstance(machine, Machine) else load_machine(machine) for machine in machines):
        try:
            cost(workload, machine)
        except MachineError as error:
            refused.append(str(error))
        else:
            targets.append(machine)
    pairs = [(machine, cost(workload, machine, batch=batch)) for machine in targets for batch in batches]
    bills = [bill for _, bill in pairs]
    rows = (row_of(chip_run.bill), *(_with_errors(row_of(bill), machine) for machine, bill in pairs))
    conditions = (*_conditions(workload, chip_run.bill, bills), *(f"left out: {reason}" for reason in refused))
    crossings = _crossings(workload, chip_run.bill, targets)
    sentence = _sentence(workload, chip_run.bill, targets, crossings)
    curves = tuple(row_of(cost(workload, machine, batch=batch)) for machine in targets for batch in _BATCHES)
    return Comparison(sentence, rows, conditions, tuple(refused), crossings, tuple(targets), curves)


def _with_errors(row: Row, machine: Machine) -> Row:
    errors = [held_out_error(machine, quantity) for quantity in ("latency", "energy")]
    latency, energy = (error.mean_error if error else None for error in errors)
    return replace(row, latency_error=latency, energy_error=energy)


def row_of(bill: Bill) -> Row:
    """A Bill as one row of the table."""
    known, total = bill.energy_known, bill.total_known
    return Row(
        machine=bill.target,
        batch=bill.batch,
        precision=bill.precision,
        latency_ns=bill.latency_ns,
        throughput_per_s=bill.throughput_per_s,
        energy_pj=bill.energy_pj if total else None,
        dynamic_pj=bill.dynamic_pj if known else None,
        energy_kind="total" if total else "unknown",
        basis=bill.basis,
    )


def _crossings(workload: Workload, chip: Bill, machines: Sequence[Machine]) -> tuple[Crossing, ...]:
    """Where each machine of known energy draws level with the chip, in total and in dynamic energy."""
    if not chip.energy_known:
        return ()
    stated = _ENERGIES if chip.total_known else {"dynamic": _ENERGIES["dynamic"]}
    found = []
    for machine in machines:
        single = cost(workload, machine)
        if single.energy_known:
            for kind, of in stated.items():
                found.append(Crossing(machine.name, kind, _first_win(workload, chip, machine, of), *_room(chip, single, of)))
    return tuple(found)


def _first_win(workload: Workload, chip: Bill, machine: Machine, of: Energy) -> int | None:
    """Smallest batch at which `machine` needs less energy than the chip; None when it never does."""
    for index, batch in enumerate(_BATCHES):
        if of(cost(workload, machine, batch=batch)) < of(chip):
            low = _BATCHES[index - 1] + 1 if index else 1
            return next(b for b in range(low, batch + 1) if of(cost(workload, machine, batch=b)) < of(chip))
    return None


def _room(chip: Bill, rival: Bill, of: Energy) -> tuple[float | None, float]:
    """Factors of activity (of the dynamic part; None: no activity will do) and of time steps that draw level with `rival`."""
    left = of(rival) - (of(chip) - chip.dynamic_pj)
    activity = left / chip.dynamic_pj if chip.dynamic_pj > 0 and left > 0 else None
    return activity, of(rival) / of(chip) if of(chip) > 0 else math.inf


def _sentence(workload: Workload, chip: Bill, machines: Sequence[Machine], crossings: Sequence[Crossing]) -> str:
    """The sentence that stands first: at which batch, activity or number of time steps the chip stops winning (total energy)."""
    total = [crossing for crossing in crossings if crossing.energy_kind == "total"]
    if not total:
        unknown = "every machine" if chip.total_known else chip.target
        return f"No crossing point can be stated: the total energy of {unknown} is unknown."
    by_name = {machine.name: machine for machine in machines}
    first = min(total, key=lambda crossing: crossing.batch or math.inf)
    if first.batch == 1:
        rival = min((cost(workload, by_name[c.machine]) for c in total), key=lambda bill: bill.energy_pj)
        return (
            f"{chip.target} loses from batch 1 on: {rival.target} needs less total energy per inference ({_pair(chip, rival)})."
        )
    closest = min(total, key=lambda crossing: crossing.steps)
    if first.batch is None:
        bills = [cost(workload, by_name[crossing.machine], batch=_BATCHES[-1]) for crossing in total]
        rival = min(bills, key=lambda bill: bill.energy_pj)
        won = f"needs the least total energy per inference at every batch up to {_BATCHES[-1]} ({_pair(chip, rival)})"
        return f"{chip.target} {won}; {_level(closest)}."
    rival = cost(workload, by_name[first.machine], batch=first.batch)
    won = f"needs the least total energy per inference below batch {rival.batch}"
    return f"{chip.target} {won}; from there {rival.target} needs less ({_pair(chip, rival)}); {_level(closest)}."


def _level(crossing: Crossing) -> str:
    """At what activity or time steps the chip would stop winning at batch 1."""
    activity = "no activity" if crossing.activity is None else f"{_factor(crossing.activity)} times this activity"
    return f"at batch 1 {crossing.machine} draws level at {activity} or at {_factor(crossing.steps)} times as many time steps"


def _factor(value: float) -> str:
    return f"{value:,.0f}" if 100 <= value < math.inf else f"{value:.3g}"


def _pair(chip: Bill, rival: Bill) -> str:
    energies = f"{units.energy(rival.energy_pj)} on {rival.target} at batch {rival.batch}"
    return f"{energies} against {units.energy(chip.energy_pj)}"


def _managed(chip: Bill) -> list[str]:
    """What of the chip's energy is its host's, which the machines' energies leave out."""
    host_pj = sum(part.energy_pj or 0.0 for part in chip.parts if part.kind == "management")
    return [f"{chip.target}: {units.energy(host_pj)} of its energy is its board's management"] if host_pj else []


def _conditions(workload: Workload, chip: Bill, bills: Sequence[Bill]) -> tuple[str, ...]:
    """What the numbers hold for, without repetition."""
    stated = [
        f"{workload.macs:,} MAC per inference (FLOP = 2 x MAC), {workload.parameters:,} parameters",
        "energy is total per inference, of the device itself: machines without their host; dynamic energy leaves idling out",
        *_managed(chip),
        "latency is from the start of a batch to its last answer; throughput is with batches back to back, not 1 / latency",
        f"{chip.target} works on one sample at a time; machines run the float network's layers in the precision given",
        *workload.assumptions,
        *chip.assumptions,
        *(assumption for bill in bills for assumption in bill.assumptions),
    ]
    return tuple(dict.fromkeys(stated))
