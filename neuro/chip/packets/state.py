"""The state of the packet network as the compiled loop of `neuro.chip.packets.drain` keeps it: one array of integers, in regions.

Knows numbers of tiles, ports, outputs and packets, and what follows from them; simulates nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from neuro.chip.packets.grid import Grid, Ints, Packets
from neuro.engine.tables import U

TURN_BITS, LIST_BITS, BLOCK_BITS = 13, 12, 5
WHEEL = 1 << TURN_BITS  # buckets, one a tick; a turn of the wheel holds the events of as many ticks
TURNS = 1 << LIST_BITS  # lists of events of later turns
BLOCK = 1 << BLOCK_BITS  # buckets of which bits of one integer say that they are not empty
SIGN = 1 << (BLOCK - 1)
INPUTS = 64  # of an output at most

MOST_TICKS = (1 << 31) - 1  # that narrow states hold
LINE_BYTES = 64  # of the cache

# What is used together lies together, in one line of the cache where integers have 32 bits. Of a packet: the next of the same
# queue or bucket; the port at which it arrives, and when; tile, column and slot of its receiver, the receiver, and what it costs
# there; the next of the same sender, the sender, the mesh that it takes (each sender uses them in turn), and the tick at which it
# was ready and at which it was consumed.
PACKET_BITS = 4
FOLLOWER, PORT, WHEN, TARGET, TARGET_COLUMN, TARGET_SLOT, RECEIVER, WORK, AFTER, SENDER, FABRIC, READY, DELIVERED = map(
    U, range(13)
)
# Of a port or output: one bit for each input whose queue for the output holds a packet; the input served last; the tick from
# which it can take a packet; that at which it will look for one, or -1; the next output of the same bucket; packets in the port
# or on their way to it; of a link, the ticks over it and between two packets, the packets that took it, and the most held behind
# it, of all steps. Of a port: fabric * tiles + tile of the router that it belongs to, this tile, its column; the port's number
# among the inputs of a link, and of a local port.
LINK_BITS = 4
ASKING, TURN, FREE, DUE, WAKE_NEXT, HELD, HOP, SERVICE, LOAD, PEAK, ROUTER, TILE, COLUMN, OWN, OWN_LOCAL = map(U, range(15))
# Of a local port: its sender's next packet that has not entered the network, or -1; packets sent in this step; its tile, the
# tile's column, and its slot.
LOCAL_BITS = 3
LINE, SENT, HOME, HOME_COLUMN, PLACE = map(U, range(5))
# Of a queue the first packet, or -1, and the last; of a bucket the first packet and output.
FIRST, LAST = ARRIVALS, WAKES = U(0), U(1)


class DrainLayout(NamedTuple):
    """Where each region of the state begins, and the sizes that addresses are made of."""

    tiles: int
    links: int
    ports: int
    slots: int
    queues: int  # (ports * slots)
    outputs: int  # (ports), which are more than outputs
    packets: int
    wheel: int  # (wheel)
    locals: int
    later_arrivals: int  # (turns) first packet of each later turn
    later_wakes: int  # (turns) first output of each later turn
    busy: int  # (wheel / block) a bit for each bucket that holds an event
    clock: int  # (1) the turn of the wheel
    step: int  # (4) from a router to that from which a packet in each direction comes
    input_fabric: int  # (INPUTS) of a local port, the routers that lie before those of its fabric
    input_slot: int  # (INPUTS) of a local port, which port of the router
    size: int


def layout(grid: Grid, packets: int) -> DrainLayout:
    """The layout for a network and the most packets of a step."""
    tiles, slots = grid.width * grid.height, 4 + grid.local_ports
    links, local_ports = grid.fabrics * tiles * 4, tiles * grid.local_ports
    ports = links + grid.fabrics * local_ports
    outputs = -(-ports * slots * 2 // LINE_BYTES) * LINE_BYTES  # records that fill a line begin with one
    packed = outputs + (ports << LINK_BITS)
    wheel = packed + (packets << PACKET_BITS)
    local = wheel + 2 * WHEEL
    later_arrivals = local + (local_ports << LOCAL_BITS)
    later_wakes = later_arrivals + TURNS
    busy = later_wakes + TURNS
    clock = busy + WHEEL // BLOCK
    step = clock + 1
    input_fabric = step + 4
    input_slot = input_fabric + INPUTS
    return DrainLayout(
        tiles, links, ports, slots, 0, outputs, packed, wheel, local, later_arrivals, later_wakes, busy, clock, step,
        input_fabric, input_slot, input_slot + INPUTS,
    )  # fmt: skip


def narrow(grid: Grid, packets: Packets) -> bool:
    """Whether 32 bits hold all that a state has to: bits of the inputs, and ticks. While packets are left that are ready, one is
    on a link, or an output has just taken one, so that no step lasts longer than all of that one after the other."""
    hop, service = max(grid.hop_x, grid.hop_y) + grid.across_hop, max(grid.service, grid.across_service)
    each = (grid.width + grid.height) * (hop + service) + grid.local
    work = np.concatenate([[0], np.cumsum(packets.work)])[packets.starts]
    longest = int((np.diff(work) + np.diff(packets.starts) * each).max(initial=0)) + int(packets.ready.max(initial=0))
    return grid.fabrics * (4 + grid.local_ports) <= 30 and longest + hop + service <= MOST_TICKS


def empty(at: DrainLayout, grid: Grid, kind: type[np.signedinteger[Any]] = np.int64) -> Ints:
    """The state of a network without packets, in integers of a kind; what numbers of ports, outputs and routers say is entered
    once for all steps."""
    room = np.full(at.size + LINE_BYTES, -1, kind)
    m = room[-room.ctypes.data % LINE_BYTES // room.itemsize :][: at.size]
    m[at.busy : at.size] = 0
    m[at.step : at.step + 4] = -1, 1, -grid.width, grid.width
    outputs = records(m, at.outputs, at.ports, LINK_BITS)
    outputs[:, [ASKING, HELD, LOAD, PEAK]] = 0
    _enter_links(at, grid, m[at.step : at.step + 4], outputs[: at.links])
    port = np.arange(grid.fabrics * at.tiles * grid.local_ports)
    own, place = outputs[at.links :], 4 + port % grid.local_ports
    own[:, ROUTER], own[:, OWN] = port // grid.local_ports, place
    own[:, OWN_LOCAL] = place + port // (at.tiles * grid.local_ports) * at.slots
    outputs[:, TILE] = outputs[:, ROUTER] % at.tiles
    outputs[:, COLUMN] = outputs[:, TILE] % grid.width
    local = np.arange(at.tiles * grid.local_ports)
    locals_ = records(m, at.locals, len(local), LOCAL_BITS)
    locals_[:, HOME], locals_[:, PLACE] = local // grid.local_ports, 4 + local % grid.local_ports
    locals_[:, HOME_COLUMN] = locals_[:, HOME] % grid.width
    inputs = np.arange(INPUTS)
    m[at.input_fabric : at.input_fabric + INPUTS] = inputs // at.slots * at.tiles
    m[at.input_slot : at.input_slot + INPUTS] = inputs % at.slots
    return m


def records(m: Ints, begin: int, count: int, bits: int) -> Ints:
    """A region as (count, words of each)."""
    return m[begin : begin + (count << bits)].reshape(count, 1 << bits)


def _enter_links(at: DrainLayout, grid: Grid, step: Ints, outputs: Ints) -> None:
    """What numbers of links say."""
    link = np.arange(at.links)
    direction, tile = link % 4, link // 4 % at.tiles
    along_x = direction < 2
    outputs[:, ROUTER], outputs[:, OWN] = link // 4 - step[direction], direction
    outputs[:, OWN_LOCAL] = direction + link // (4 * at.tiles) * at.slots
    column, row = tile % grid.width + 1 - direction, tile // grid.width + 3 - direction
    across = np.where(along_x, column % grid.chip_width, row % grid.chip_height) == 0
    outputs[:, HOP] = np.where(along_x, grid.hop_x, grid.hop_y) + np.where(across, grid.across_hop, 0)
    outputs[:, SERVICE] = np.where(across, grid.across_service, grid.service)
