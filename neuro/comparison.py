"""One network on every target: the emulated chip beside GPU, TPU, FPGA and CPU, under stated conditions.

Knows bills and machines; knows nothing of how a bill was made. Energies are per inference, latencies per batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

from neuro import units
from neuro.bill import Bill
from neuro.errors import MachineError, UsageError
from neuro.graph import Graph
from neuro.machines.costing import cost
from neuro.machines.machine import Machine, load_machine
from neuro.machines.workload import Workload, weigh
from neuro.notebook import Shown, Table

MACHINES = ("a100", "tpu-v1", "tpu-v4", "stratix-10-nx", "xeon")
_BATCHES = tuple(2**n for n in range(11))  # where the crossing point is looked for


class Priced(Protocol):
    """Anything that carries a Bill, such as a ChipRun."""

    @property
    def bill(self) -> Bill: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One target at one batch. Energies are per inference and None where unknown; read as attributes or like a mapping."""

    machine: str
    batch: int
    precision: str
    latency_ns: float
    throughput_per_s: float
    energy_pj: float | None
    dynamic_pj: float | None
    energy_kind: str
    basis: str

    def __getitem__(self, name: str) -> Any:
        if name not in self.keys():
            raise KeyError(name)
        return getattr(self, name)

    def keys(self) -> tuple[str, ...]:
        return tuple(field.name for field in fields(self))


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Shown):
    """`crossing` says where the chip stops winning; `rows` are the targets; `conditions` what the numbers hold for.

    `refused` names the machines that no model can cost for this network, with the reason.
    """

    crossing: str
    rows: tuple[Row, ...]
    conditions: tuple[str, ...]
    refused: tuple[str, ...] = ()

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
                units.energy(math.nan if row.dynamic_pj is None else row.dynamic_pj),
                units.energy(math.nan if row.energy_pj is None else row.energy_pj),
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
    if not machines or not batches:
        raise UsageError(
            "compare", "no machine or no batch was given", f"Name machines such as {MACHINES[0]!r}, and batches such as 1"
        )
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
    bills = [cost(workload, machine, batch=batch) for machine in targets for batch in batches]
    rows = tuple(row_of(bill) for bill in (chip_run.bill, *bills))
    conditions = (*_conditions(workload, chip_run.bill, bills), *(f"left out: {reason}" for reason in refused))
    return Comparison(_crossing(workload, chip_run.bill, targets), rows, conditions, tuple(refused))


def row_of(bill: Bill) -> Row:
    """A Bill as one row of the table."""
    known = bill.energy_known
    return Row(
        machine=bill.target,
        batch=bill.batch,
        precision=bill.precision,
        latency_ns=bill.latency_ns,
        throughput_per_s=bill.throughput_per_s,
        energy_pj=bill.energy_pj if known else None,
        dynamic_pj=bill.dynamic_pj if known else None,
        energy_kind="total" if known else "unknown",
        basis=bill.basis,
    )


def _crossing(workload: Workload, chip: Bill, machines: Sequence[Machine]) -> str:
    """The sentence that stands first: at which batch, and at which activity, the chip stops winning (total energy)."""
    known = [machine for machine in machines if cost(workload, machine).energy_known]
    if not chip.energy_known or not known:
        unknown = "every machine" if chip.energy_known else chip.target
        return f"No crossing point can be stated: the energy of {unknown} is unknown."
    wins = {machine: _first_win(workload, chip, machine) for machine in known}
    winner = min(known, key=lambda machine: wins[machine])
    if math.isinf(wins[winner]):
        largest = [cost(workload, machine, batch=_BATCHES[-1]) for machine in known]
        rival = min(largest, key=lambda bill: bill.energy_pj)
        won = f"needs the least total energy per inference at every batch up to {_BATCHES[-1]}"
        return f"{chip.target} {won} ({_pair(chip, rival)}){_margin(chip, rival)}."
    rival = cost(workload, winner, batch=int(wins[winner]))
    if rival.batch == 1:
        return f"{chip.target} loses from batch 1 on: {winner.name} needs less total energy per inference ({_pair(chip, rival)})."
    single = min((cost(workload, machine) for machine in known), key=lambda bill: bill.energy_pj)
    won = f"needs the least total energy per inference below batch {rival.batch}"
    return f"{chip.target} {won}; from there {winner.name} needs less ({_pair(chip, rival)}){_margin(chip, single)}."


def _first_win(workload: Workload, chip: Bill, machine: Machine) -> float:
    """Smallest batch at which `machine` needs less energy than the chip; infinity when it never does."""
    for index, batch in enumerate(_BATCHES):
        if cost(workload, machine, batch=batch).energy_pj < chip.energy_pj:
            low = _BATCHES[index - 1] + 1 if index else 1
            return next(b for b in range(low, batch + 1) if cost(workload, machine, batch=b).energy_pj < chip.energy_pj)
    return math.inf


def _margin(chip: Bill, rival: Bill) -> str:
    """How the chip's activity would have to change for it to draw level with `rival`, from its own dynamic share."""
    if chip.dynamic_pj <= 0:
        return ""
    room = rival.energy_pj - (chip.energy_pj - chip.dynamic_pj)
    at = f"at batch {rival.batch}"
    if room <= 0:
        return f"; {at} no activity draws level with {rival.target}: its static part alone costs more"
    return f"; {at} it draws level with {rival.target} at {room / chip.dynamic_pj:.3g} times this activity"


def _pair(chip: Bill, rival: Bill) -> str:
    energies = f"{rival.energy_pj * 1e-6:.3g} uJ on {rival.target} at batch {rival.batch}"
    return f"{energies} against {chip.energy_pj * 1e-6:.3g} uJ"


def _conditions(workload: Workload, chip: Bill, bills: Sequence[Bill]) -> tuple[str, ...]:
    """What the numbers hold for, without repetition."""
    stated = [
        f"{workload.macs:,} MAC per inference (FLOP = 2 x MAC), {workload.parameters:,} parameters",
        "energy is total (working, idle and host terms where known) per inference; dynamic energy leaves idling and host out",
        "latency is from the start of a batch to its last answer; throughput is with batches back to back, not 1 / latency",
        f"{chip.target} works on one sample at a time; machines run the float network's layers in the precision given",
        *workload.assumptions,
        *chip.assumptions,
        *(assumption for bill in bills for assumption in bill.assumptions),
    ]
    return tuple(dict.fromkeys(stated))
