"""The compiled loop behind `neuro.chip.packets.noc`: events on a wheel of ticks.

All state lies in one array of integers, `m`, in regions whose beginnings a DrainLayout names: compiled code passes one array
from function to function at no cost, many at a high one. Knows integers, nothing else.

What costs time to compile is left out: slices assigned to slices bring numba's error messages with them (4 s), and a constant as
an argument is a type of its own, for which a function is compiled once more.

Ports (inputs of routers) and outputs share numbers: link l of fabric f leaves tile t as l = (f * tiles + t) * 4 + direction
(east, west, south, north) and feeds port l. Behind the links come, among ports, one for each fabric and local port; among
outputs, the local ports. A port queues packets by slot, the output they want: 4 directions, then the local ports of the tile.
What follows from such a number stands in tables: to divide takes longer than all else that is done for a packet on a link.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neuro.chip.packets import state as S
from neuro.chip.packets.grid import Grid, Ints, Packets
from neuro.chip.packets.state import DrainLayout
from neuro.compiled import compiled, inlined
from neuro.engine.lanes import lowest_bit
from neuro.engine.tables import U


@inlined
def _push_wake(m: Ints, at: DrainLayout, output: int) -> None:
    """Put an output that will look for a packet at m[due] into its bucket, or into the list of a later turn."""
    tick = m[at.outputs + (output << S.LINK_BITS) + S.DUE]
    turn, bucket = tick >> S.TURN_BITS, tick & (S.WHEEL - 1)
    place = at.wheel + (bucket << 1) + S.WAKES if turn == m[at.clock] else at.later_wakes + (turn & (S.TURNS - 1))
    m[at.outputs + (output << S.LINK_BITS) + S.WAKE_NEXT] = m[place]
    m[place] = output
    if turn == m[at.clock]:
        m[at.busy + (bucket >> S.BLOCK_BITS)] |= 1 << (bucket & (S.BLOCK - 1))


@inlined
def _push_arrival(m: Ints, at: DrainLayout, packet: int) -> None:
    """The same for a packet that will stand in a port at m[when]."""
    tick = m[at.packets + (packet << S.PACKET_BITS) + S.WHEN]
    turn, bucket = tick >> S.TURN_BITS, tick & (S.WHEEL - 1)
    place = at.wheel + (bucket << 1) + S.ARRIVALS if turn == m[at.clock] else at.later_arrivals + (turn & (S.TURNS - 1))
    m[at.packets + (packet << S.PACKET_BITS) + S.FOLLOWER] = m[place]
    m[place] = packet
    if turn == m[at.clock]:
        m[at.busy + (bucket >> S.BLOCK_BITS)] |= 1 << (bucket & (S.BLOCK - 1))


@inlined
def _wake(m: Ints, at: DrainLayout, output: int, tick: int) -> None:
    """Let an output look for a packet at some tick, unless it will do so anyway."""
    if m[at.outputs + (output << S.LINK_BITS) + S.DUE] < 0:
        m[at.outputs + (output << S.LINK_BITS) + S.DUE] = tick
        _push_wake(m, at, output)


@inlined
def _arrives(m: Ints, at: DrainLayout, packet: int, port: int, tick: int) -> None:
    """A packet will stand in a port at some tick."""
    m[at.packets + (packet << S.PACKET_BITS) + S.PORT], m[at.packets + (packet << S.PACKET_BITS) + S.WHEN] = port, tick
    _push_arrival(m, at, packet)


@inlined
def _turn(m: Ints, at: DrainLayout, turn: int) -> bool:
    """Begin a turn of the wheel: its events go to their buckets. Returns whether there are any."""
    m[at.clock] = turn
    packet, output = m[at.later_arrivals + (turn & (S.TURNS - 1))], m[at.later_wakes + (turn & (S.TURNS - 1))]
    if packet < 0 and output < 0:
        return False
    m[at.later_arrivals + (turn & (S.TURNS - 1))], m[at.later_wakes + (turn & (S.TURNS - 1))] = -1, -1
    while packet >= 0:
        following = m[at.packets + (packet << S.PACKET_BITS) + S.FOLLOWER]
        _push_arrival(m, at, packet)
        packet = following
    while output >= 0:
        following = m[at.outputs + (output << S.LINK_BITS) + S.WAKE_NEXT]
        _push_wake(m, at, output)
        output = following
    return True


@inlined
def _slot(m: Ints, at: DrainLayout, packet: int, router: int) -> Any:
    """The output that a packet wants at a router: along x, then along y, then the local port."""
    x, tx = m[at.routers + (router << 1) + S.COLUMN], m[at.packets + (packet << S.PACKET_BITS) + S.TARGET_COLUMN]
    if tx != x:
        return 0 if tx > x else 1
    tile, target = m[at.routers + (router << 1) + S.TILE], m[at.packets + (packet << S.PACKET_BITS) + S.TARGET]
    if target != tile:
        return 2 if target > tile else 3
    return m[at.packets + (packet << S.PACKET_BITS) + S.TARGET_SLOT]


@inlined
def _queue(m: Ints, at: DrainLayout, packet: int, port: int, now: int) -> None:
    """A packet stands in a port and asks for its output."""
    router = m[at.statics + (port << S.PORT_BITS) + S.ROUTER]
    slot = _slot(m, at, packet, router)
    queue = port * at.slots + slot
    m[at.packets + (packet << S.PACKET_BITS) + S.FOLLOWER] = -1
    output = router * 4 + slot if slot < 4 else at.links + m[at.packets + (packet << S.PACKET_BITS) + S.RECEIVER]
    if m[at.queues + (queue << 1) + S.FIRST] < 0:
        m[at.queues + (queue << 1) + S.FIRST] = packet
        m[at.outputs + (output << S.LINK_BITS) + S.ASKING] |= (
            1 << m[at.statics + (port << S.PORT_BITS) + (S.OWN if slot < 4 else S.OWN_LOCAL)]
        )
    else:
        m[at.packets + (m[at.queues + (queue << 1) + S.LAST] << S.PACKET_BITS) + S.FOLLOWER] = packet
    m[at.queues + (queue << 1) + S.LAST] = packet
    _wake(m, at, output, max(now, m[at.outputs + (output << S.LINK_BITS) + S.FREE]))


@inlined
def _enter(m: Ints, at: DrainLayout, grid: Grid, local_port: int, now: int) -> None:
    """The packets next in line enter their sender's port, while it has room and they are ready; fabrics take turns."""
    while m[at.locals + (local_port << S.LOCAL_BITS) + S.LINE] >= 0:
        packet = m[at.locals + (local_port << S.LOCAL_BITS) + S.LINE]
        port = at.links + m[at.packets + (packet << S.PACKET_BITS) + S.FABRIC] * at.tiles * grid.local_ports + local_port
        if m[at.outputs + (port << S.LINK_BITS) + S.HELD] >= grid.buffer:
            return
        m[at.locals + (local_port << S.LOCAL_BITS) + S.LINE] = m[at.packets + (packet << S.PACKET_BITS) + S.AFTER]
        m[at.outputs + (port << S.LINK_BITS) + S.HELD] += 1
        if m[at.packets + (packet << S.PACKET_BITS) + S.READY] > now:
            _arrives(m, at, packet, port, m[at.packets + (packet << S.PACKET_BITS) + S.READY])
            return
        _queue(m, at, packet, port, now)


@inlined
def _port_of(m: Ints, at: DrainLayout, grid: Grid, router: int, i: Any) -> Any:
    """The port of a router that is its input i."""
    if i >= 4:
        return at.links + router * grid.local_ports + i - 4
    return (router + m[at.step + i]) * 4 + i


@inlined
def _chosen(m: Ints, at: DrainLayout, grid: Grid, output: int) -> Any:
    """The port that an output serves: packets on their way before new ones, the ports in turn."""
    asking = m[at.outputs + (output << S.LINK_BITS) + S.ASKING]
    on_their_way = 0
    for fabric in range(grid.fabrics):
        on_their_way |= 15 << (fabric * at.slots)
    if asking & on_their_way:
        asking &= on_their_way
    after = asking & ~((2 << m[at.outputs + (output << S.LINK_BITS) + S.TURN]) - 1)
    i = np.int64(lowest_bit(U(after if after else asking)))
    m[at.outputs + (output << S.LINK_BITS) + S.TURN] = i
    if output < at.links:
        return _port_of(m, at, grid, output >> 2, i)
    return _port_of(
        m, at, grid, m[at.locals + ((output - at.links) << S.LOCAL_BITS) + S.HOME] + m[at.input_fabric + i], m[at.input_slot + i]
    )


@inlined
def _serve(m: Ints, at: DrainLayout, grid: Grid, output: int, now: int) -> int:
    """An output takes the packet whose turn it is, if the next port has room. Returns 1 for a packet delivered."""
    if m[at.outputs + (output << S.LINK_BITS) + S.ASKING] == 0 or (
        output < at.links and m[at.outputs + (output << S.LINK_BITS) + S.HELD] >= grid.buffer
    ):
        return 0
    port = _chosen(m, at, grid, output)
    queue = port * at.slots + (
        output & 3 if output < at.links else m[at.locals + ((output - at.links) << S.LOCAL_BITS) + S.PLACE]
    )
    packet = m[at.queues + (queue << 1) + S.FIRST]
    m[at.queues + (queue << 1) + S.FIRST] = m[at.packets + (packet << S.PACKET_BITS) + S.FOLLOWER]
    if m[at.queues + (queue << 1) + S.FIRST] < 0:
        m[at.outputs + (output << S.LINK_BITS) + S.ASKING] ^= 1 << m[at.outputs + (output << S.LINK_BITS) + S.TURN]
    if output < at.links:
        m[at.loads + output] += 1
        m[at.outputs + (output << S.LINK_BITS) + S.HELD] += 1
        m[at.peaks + output] = max(m[at.peaks + output], m[at.outputs + (output << S.LINK_BITS) + S.HELD])
        m[at.outputs + (output << S.LINK_BITS) + S.FREE] = now + m[at.outputs + (output << S.LINK_BITS) + S.SERVICE]
        _arrives(m, at, packet, output, now + m[at.outputs + (output << S.LINK_BITS) + S.HOP])
    else:
        m[at.outputs + (output << S.LINK_BITS) + S.FREE] = now + m[at.packets + (packet << S.PACKET_BITS) + S.WORK]
        m[at.packets + (packet << S.PACKET_BITS) + S.DELIVERED] = (
            now + grid.local + m[at.packets + (packet << S.PACKET_BITS) + S.WORK]
        )
    if m[at.outputs + (output << S.LINK_BITS) + S.ASKING]:
        _wake(m, at, output, m[at.outputs + (output << S.LINK_BITS) + S.FREE])
    m[at.outputs + (port << S.LINK_BITS) + S.HELD] -= 1
    if port >= at.links:
        _enter(m, at, grid, m[at.packets + (packet << S.PACKET_BITS) + S.SENDER], now)
    elif m[at.outputs + (port << S.LINK_BITS) + S.ASKING]:
        _wake(m, at, port, max(now, m[at.outputs + (port << S.LINK_BITS) + S.FREE]))
    return 1 if output >= at.links else 0


@inlined
def _arrive(m: Ints, at: DrainLayout, grid: Grid, bucket: int, now: int) -> None:
    """Packets that arrive in this tick join their queues."""
    packet = m[at.wheel + (bucket << 1) + S.ARRIVALS]
    m[at.wheel + (bucket << 1) + S.ARRIVALS] = -1
    while packet >= 0:
        following = m[at.packets + (packet << S.PACKET_BITS) + S.FOLLOWER]
        port = m[at.packets + (packet << S.PACKET_BITS) + S.PORT]
        _queue(m, at, packet, port, now)
        if port >= at.links:
            _enter(m, at, grid, m[at.packets + (packet << S.PACKET_BITS) + S.SENDER], now)
        packet = following


@inlined
def _arbitrate(m: Ints, at: DrainLayout, grid: Grid, bucket: int, now: int) -> int:
    """Outputs that are due in this tick serve; serving may make others due at once. Returns the packets delivered."""
    done = 0
    while m[at.wheel + (bucket << 1) + S.WAKES] >= 0:
        output = m[at.wheel + (bucket << 1) + S.WAKES]
        m[at.wheel + (bucket << 1) + S.WAKES] = m[at.outputs + (output << S.LINK_BITS) + S.WAKE_NEXT]
        m[at.outputs + (output << S.LINK_BITS) + S.DUE] = -1
        done += _serve(m, at, grid, output, now)
    return done


@inlined
def _begin(m: Ints, at: DrainLayout, grid: Grid, packets: Packets, low: int, count: int) -> None:
    """An empty mesh, and the packets in line before their routers."""
    begin: Any = np.int64(0)
    for output in range(at.ports):
        m[at.outputs + (output << S.LINK_BITS) + S.TURN] = 0
        m[at.outputs + (output << S.LINK_BITS) + S.FREE] = 0
    m[at.clock] = 0
    for packet in range(count - 1, -1, -1):
        mine = at.packets + (packet << S.PACKET_BITS)
        sender, receiver = packets.sender[low + packet], packets.receiver[low + packet]
        m[mine + S.SENDER], m[mine + S.RECEIVER] = sender, receiver
        m[mine + S.READY], m[mine + S.WORK] = packets.ready[low + packet], packets.work[low + packet]
        home = m[at.locals + (receiver << S.LOCAL_BITS) + S.HOME]
        m[mine + S.TARGET], m[mine + S.TARGET_SLOT] = home, m[at.locals + (receiver << S.LOCAL_BITS) + S.PLACE]
        m[mine + S.TARGET_COLUMN] = m[at.routers + (home << 1) + S.COLUMN]
        line = at.locals + (sender << S.LOCAL_BITS)
        m[mine + S.AFTER] = m[line + S.LINE]
        m[line + S.LINE] = packet
        m[line + S.SENT] = 0
    for packet in range(count):
        line = at.locals + (packets.sender[low + packet] << S.LOCAL_BITS)
        m[at.packets + (packet << S.PACKET_BITS) + S.FABRIC] = m[line + S.SENT] % grid.fabrics if grid.fabrics > 1 else 0
        m[line + S.SENT] += 1
    for packet in range(count):
        sender = packets.sender[low + packet]
        line = at.locals + (sender << S.LOCAL_BITS)
        if m[line + S.SENT]:  # each sender's line once: the first that is not ready keeps the others waiting
            m[line + S.SENT] = 0
            _enter(m, at, grid, sender, begin)


@inlined
def _drain(m: Ints, at: DrainLayout, grid: Grid, count: int) -> None:
    """Tick after tick until every packet is delivered; empty blocks of buckets, and empty turns, are skipped."""
    now: Any = np.int64(0)
    while count:
        bucket = now & (S.WHEEL - 1)
        place, within = at.busy + (bucket >> S.BLOCK_BITS), bucket & (S.BLOCK - 1)
        ahead = m[place] >> within
        if ahead == 0:
            now += S.BLOCK - within
        else:
            empty = np.int64(lowest_bit(U(ahead)))
            now, bucket = now + empty, bucket + empty
            if m[at.wheel + (bucket << 1) + S.ARRIVALS] >= 0:
                _arrive(m, at, grid, bucket, now)
            if m[at.wheel + (bucket << 1) + S.WAKES] >= 0:
                count -= _arbitrate(m, at, grid, bucket, now)
            m[place] &= ~(1 << (bucket & (S.BLOCK - 1)))
            now += 1
        if now & (S.WHEEL - 1) == 0:
            while count and not _turn(m, at, now >> S.TURN_BITS):
                now += S.WHEEL


@compiled
def drain_steps(m: Ints, at: DrainLayout, grid: Grid, packets: Packets, makespan: Ints, delivered: Ints) -> None:
    """Drain every step of `packets` through an empty network; fills makespan (steps,) and delivered (packets,)."""
    for step in range(len(makespan)):
        low, count = packets.starts[step], packets.starts[step + 1] - packets.starts[step]
        _begin(m, at, grid, packets, low, count)
        _drain(m, at, grid, count)
        for packet in range(count):
            delivered[low + packet] = m[at.packets + (packet << S.PACKET_BITS) + S.DELIVERED]
            makespan[step] = max(makespan[step], delivered[low + packet])
