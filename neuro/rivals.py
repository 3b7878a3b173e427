"""Which machines a network is compared with, where nobody names any: those that people would run a network of its size on.

Knows sizes of networks and names of machines; prices nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from neuro.comparison import MACHINES
from neuro.errors import UsageError, one_of
from neuro.graph import Graph
from neuro.machines.machine import Machine, list_machines, load_machine
from neuro.machines.workload import weigh

EDGE = ("stm32u575", "stm32h7a3", "gap9", "ndp9120", "edge-tpu", "rpi4", "orin")
GROUPS = {"edge": EDGE, "datacentre": MACHINES}
FAMILIES = (*GROUPS, "all")
# A network of the edge by its size. The largest that MLPerf's edge classes hold is ResNet-50, which needs a Jetson; the largest
# that microcontrollers and sticks run in MLPerf Tiny and MLPerf Mobile is MobileNet: 4.2 million weights, 0.6 G multiplications.
MOST_PARAMETERS, MOST_MACS = 10_000_000, 1_000_000_000

Rivals = tuple[str | Machine, ...]


def rivals(graph: Graph, against: Sequence[str | Machine] = ()) -> tuple[Rivals, str]:
    """The machines, and in a sentence why these.

    against: names, files or Machine values, and names of groups: "edge" (microcontrollers, accelerators, single boards),
    "datacentre" (GPU, TPU, FPGA, CPU), "all" of the catalogue. Nothing: the group that fits the network's size. Raises UsageError
    for what is not known.
    """
    if not against:
        work = weigh(graph)
        small = work.parameters <= MOST_PARAMETERS and work.macs <= MOST_MACS
        name, other = ("edge", "datacentre") if small else ("datacentre", "edge")
        size = f"{work.parameters:,} parameters and {work.macs:,} MAC an inference"
        return GROUPS[name], f"compared with {name} machines, because of {size}; others: --against {other}, all, or names"
    found: list[str | Machine] = []
    for one in against:
        found.extend(members(one))
    return tuple(dict.fromkeys(found)), ""


def members(one: str | Machine) -> Rivals:
    """The machines of a group; a machine alone where it is none. Raises UsageError for an unknown name."""
    if one == "all":
        return tuple(list_machines())
    if isinstance(one, Machine):
        return (one,)
    if one in GROUPS:
        return GROUPS[one]
    if not one.endswith(".toml") and one not in list_machines():
        raise UsageError("against", f"{one!r} is no machine and no group", one_of(one, (*FAMILIES, *list_machines())))
    load_machine(one)
    return (one,)
