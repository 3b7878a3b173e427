"""The same networks on other machines: what a pruned network saves there, against the network that it came from. Knows no
training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from neuro.bill import Bill
from neuro.errors import MachineError
from neuro.graph import Graph
from neuro.machines.costing import cost
from neuro.machines.machine import Machine, load_machine
from neuro.machines.whatif import sparse
from neuro.machines.workload import weigh
from neuro.optimising.found import Optimised

PATTERN = (2, 4)  # weights other than zero of so many in a row, which some matrix units skip


@dataclass(frozen=True, slots=True)
class ElsewhereRow:
    """A point's network on a machine, batch 1: latency (ns) and energy (pJ, None where it is not known), and how many times
    less than the start's network takes there; `note` says what was made use of."""

    point: int
    machine: str
    latency_ns: float
    energy_pj: float | None
    faster: float
    less: float | None
    note: str = ""


def elsewhere(found: Optimised, machines: Sequence[str | Machine], points: Sequence[int] = ()) -> tuple[ElsewhereRow, ...]:
    """Rows for the start and for some points (those of the front unless named), by machine; one that cannot run a network is
    left out.

    Weights of zero save nothing there, with one exception: a network of 2:4 weights on matrix units that skip them has a second
    row.
    """
    chosen = points or tuple(dict.fromkeys((0, *(point.number for point in found.front))))
    graphs = {number: found.points[number].graph for number in chosen}
    start = found.points[0].graph
    rows: list[ElsewhereRow] = []
    for machine in (machine if isinstance(machine, Machine) else load_machine(machine) for machine in machines):
        try:
            before = cost(weigh(start), machine)
            rows += [_row(n, machine.name, cost(weigh(graph), machine), before) for n, graph in graphs.items()]
        except MachineError:
            continue
        rows += [row for n, graph in graphs.items() for row in _skipping(n, graph, machine, before)]
    return tuple(rows)


def _skipping(number: int, graph: Graph, machine: Machine, before: Bill) -> list[ElsewhereRow]:
    """The row of a network whose weights the machine's units skip."""
    from converters.optimising.sparsity import follows

    if not follows(graph, *PATTERN):
        return []
    try:
        bill = cost(*sparse(weigh(graph), machine, machine.precision))
    except MachineError:
        return []
    return [_row(number, machine.name, bill, before, "2:4 units; an upper limit, the indices' arithmetic is left out")]


def _row(number: int, machine: str, bill: Bill, before: Bill, note: str = "") -> ElsewhereRow:
    known = bill.energy_known and before.energy_known
    return ElsewhereRow(
        number,
        machine,
        bill.latency_ns,
        float(bill.energy_pj) if bill.energy_known else None,
        before.latency_ns / bill.latency_ns,
        before.energy_pj / bill.energy_pj if known else None,
        note,
    )


def plain_rows(rows: Sequence[ElsewhereRow]) -> list[dict[str, Any]]:
    """As plain values."""
    return [{name: getattr(row, name) for name in row.__slots__} for row in rows]
