"""What the packet network simulates: a mesh in whole ticks, and the packets of a number of steps. Knows integers only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Grid(NamedTuple):
    """A mesh in ticks: width x height tiles with `local_ports` each, one for every core and one for the host where it enters.

    hop_x, hop_y: time from one router to the next; service: time between two packets on a link; the `across` variants hold
    for links between chips, which lie every chip_width columns and chip_height rows. local: time through a local port.
    """

    width: int
    height: int
    local_ports: int
    fabrics: int
    buffer: int
    chip_width: int
    chip_height: int
    hop_x: int
    hop_y: int
    service: int
    across_hop: int
    across_service: int
    local: int


class Packets(NamedTuple):
    """Packets of a number of steps; those of step i are [starts[i]:starts[i + 1]], each sender's in the order of sending.

    sender, receiver: local ports, numbered tile * local_ports + port. ready: tick at which a packet stands before its router.
    work: ticks for which it keeps the receiving local port busy.
    """

    starts: Ints
    sender: Ints
    receiver: Ints
    ready: Ints
    work: Ints
