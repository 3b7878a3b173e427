"""The packet network of one time step: packets hop from router to router, wait in finite queues, and drain.

An exact event simulation in integer ticks. A router has an input port for every neighbour and for every core (local port) of its
tile; a port holds some packets, in one queue for each output. Each output, a link or a local port, takes one packet
at a time and serves the ports in turn; a packet enters a link only when the next port has room. Routes go along x,
then along y, and local ports never close, so nothing can lock up. Knows tiles, ports and ticks; not neurons or prices.
Differs from Loihi in: arbitration and buffer sizes are not public; the network never slows down a core's own sending, its
packets wait in line before the router.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuro.chip.packets.drain import drain_steps
from neuro.chip.packets.grid import Grid, Ints, Packets
from neuro.chip.packets.state import LINK_BITS, LOAD, PEAK, empty, layout, narrow, records
from neuro.errors import ChipError


@dataclass(frozen=True, slots=True)
class DrainResult:
    """Times of the packets: makespan (steps,) ticks until the last one was consumed; delivered (packets,) the tick at
    which each was; loads and peaks (fabrics * tiles * 4,): packets over each link and most packets held behind it."""

    makespan: Ints
    delivered: Ints
    loads: Ints
    peaks: Ints

    @property
    def hops(self) -> int:
        """Packets times links."""
        return int(self.loads.sum())


def drain(grid: Grid, packets: Packets) -> DrainResult:
    """Send the packets of every step through an empty mesh."""
    local_ports = grid.width * grid.height * grid.local_ports
    for name, values, least, most in (
        ("sender", packets.sender, 0, local_ports - 1),
        ("receiver", packets.receiver, 0, local_ports - 1),
        ("ready", packets.ready, 0, 1 << 40),
        ("work", packets.work, 0, 1 << 40),
    ):
        if len(values) and not least <= int(values.min()) <= int(values.max()) <= most:
            raise ChipError("packet network", f"a packet's {name} is out of range {least}..{most}", "Stay within it")
    sizes = (grid.buffer, grid.fabrics, grid.local_ports, grid.service, grid.across_service, grid.hop_x, grid.hop_y)
    if min(sizes) < 1 or min(grid.across_hop, grid.local) < 0:
        raise ChipError("packet network", f"{grid} has a size or time below 1", "Use finer ticks or larger buffers")
    if grid.fabrics * (4 + grid.local_ports) > 62:  # the inputs of a local port are bits of an integer
        raise ChipError(
            "packet network", f"{grid.local_ports} local ports a tile on {grid.fabrics} meshes", "Use fewer cores a tile"
        )
    delivered = np.full(len(packets.sender), -1, np.int64)
    makespan = np.zeros(len(packets.starts) - 1, np.int64)
    at = layout(grid, int(np.diff(packets.starts).max(initial=0)))
    m = empty(at, grid, np.int32 if narrow(grid, packets) else np.int64)
    drain_steps(m, at, grid, packets, makespan, delivered)
    loads, peaks = records(m, at.outputs, at.links, LINK_BITS)[:, [LOAD, PEAK]].T.astype(np.int64)
    return DrainResult(makespan, delivered, loads, peaks)
