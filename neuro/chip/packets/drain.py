"""The compiled loop behind `neuro.chip.packets.noc`: events on a wheel of ticks.

All state lies in one array of integers, `m`, in regions whose beginnings a DrainLayout names: compiled code passes one array
from function to function at no cost, many at a high one. Knows integers, nothing else.

What costs time to compile is left out: slices assigned to slices bring numba's error messages with them (4 s), and a constant, or
an integer of 32 bits beside those of 64, is a type of its own, for which a function is compiled once more. So numbers that are
read from `m` are widened before they are passed on.

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

int64: Any = np.int64


@inlined
def _packet(at: DrainLayout, packet: Any) -> Any:
    """Where a packet's record begins. Places are unsigned, so that compiled code looks for none from the end."""
    return U(at.packets + (packet << S.PACKET_BITS))


@inlined
def _output(at: DrainLayout, output: Any) -> Any:
    """Where the record of an output, or a port, begins."""
    return U(at.outputs + (output << S.LINK_BITS))


@inlined
def _local(at: DrainLayout, local_port: Any) -> Any:
    """Where the record of a local port begins."""
    return U(at.locals + (local_port << S.LOCAL_BITS))


@inlined
def _bit(tick: Any) -> Any:
    """The bit of a tick's bucket in the word of its block, whose highest is the sign of 32 bits."""
    return ((1 << int64(tick & (S.BLOCK - 1))) ^ S.SIGN) - S.SIGN


@inlined
def _push(m: Ints, at: DrainLayout, tick: Any, within: Any, later: Any, record: Any, following: Any, number: Any) -> None:
    """Put an event at a tick, by the number of its record, first into its bucket's list `within`, or into a later turn's."""
    turn, bucket = tick >> S.TURN_BITS, tick & (S.WHEEL - 1)
    now = turn == m[U(at.clock)]
    place = U(at.wheel + (bucket << 1)) + within if now else U(later + (turn & (S.TURNS - 1)))
    m[record + following] = m[place]
    m[place] = number
    if now:
        m[U(at.busy + (bucket >> S.BLOCK_BITS))] |= _bit(tick)


@inlined
def _wake(m: Ints, at: DrainLayout, output: int, tick: int) -> None:
    """Let an output look for a packet at some tick, unless it will do so anyway."""
    out = _output(at, output)
    if m[out + S.DUE] < 0:
        m[out + S.DUE] = tick
        _push(m, at, tick, S.WAKES, at.later_wakes, out, S.WAKE_NEXT, output)


@inlined
def _arrives(m: Ints, at: DrainLayout, packet: int, port: int, tick: int) -> None:
    """A packet will stand in a port at some tick."""
    mine = _packet(at, packet)
    m[mine + S.PORT], m[mine + S.WHEN] = port, tick
    _push(m, at, tick, S.ARRIVALS, at.later_arrivals, mine, S.FOLLOWER, packet)


@inlined
def _turn(m: Ints, at: DrainLayout, turn: int) -> bool:
    """Begin a turn of the wheel: its events go to their buckets. Returns whether there are any."""
    m[U(at.clock)] = turn
    arrivals, wakes = U(at.later_arrivals + (turn & (S.TURNS - 1))), U(at.later_wakes + (turn & (S.TURNS - 1)))
    packet, output = int64(m[arrivals]), int64(m[wakes])
    if packet < 0 and output < 0:
        return False
    m[arrivals], m[wakes] = -1, -1
    while packet >= 0:
        mine = _packet(at, packet)
        following = int64(m[mine + S.FOLLOWER])
        _push(m, at, int64(m[mine + S.WHEN]), S.ARRIVALS, at.later_arrivals, mine, S.FOLLOWER, packet)
        packet = following
    while output >= 0:
        out = _output(at, output)
        following = int64(m[out + S.WAKE_NEXT])
        _push(m, at, int64(m[out + S.DUE]), S.WAKES, at.later_wakes, out, S.WAKE_NEXT, output)
        output = following
    return True


@inlined
def _slot(m: Ints, mine: Any, port: Any) -> Any:
    """The output that a packet wants at the router of a port, both given by their records: along x, then along y, then the local
    port."""
    x, tx, tile, target, slot = (
        m[port + S.COLUMN],
        m[mine + S.TARGET_COLUMN],
        m[port + S.TILE],
        m[mine + S.TARGET],
        m[mine + S.TARGET_SLOT],
    )
    slot = (2 if target > tile else 3) if target != tile else slot  # all is read first, so that nothing is jumped over
    return (0 if tx > x else 1) if tx != x else slot


@inlined
def _queue(m: Ints, at: DrainLayout, packet: int, port: int, now: int) -> None:
    """A packet stands in a port and asks for its output."""
    mine, own = _packet(at, packet), _output(at, port)
    slot = _slot(m, mine, own)
    queue = U((port * at.slots + slot) << 1)
    m[mine + S.FOLLOWER] = -1
    output = m[own + S.ROUTER] * 4 + slot if slot < 4 else at.links + m[mine + S.RECEIVER]
    out = _output(at, output)
    if m[queue + S.FIRST] < 0:
        m[queue + S.FIRST] = packet
        m[out + S.ASKING] |= 1 << m[own + (S.OWN if slot < 4 else S.OWN_LOCAL)]
    else:
        m[_packet(at, int64(m[queue + S.LAST])) + S.FOLLOWER] = packet
    m[queue + S.LAST] = packet
    _wake(m, at, output, max(now, int64(m[out + S.FREE])))


@inlined
def _enter(m: Ints, at: DrainLayout, grid: Grid, local_port: int, now: int) -> None:
    """The packets next in line enter their sender's port, while it has room and they are ready; fabrics take turns."""
    line = _local(at, local_port) + S.LINE
    while m[line] >= 0:
        packet = int64(m[line])
        mine = _packet(at, packet)
        port = at.links + m[mine + S.FABRIC] * at.tiles * grid.local_ports + local_port
        own = _output(at, port)
        if m[own + S.HELD] >= grid.buffer:
            return
        m[line] = m[mine + S.AFTER]
        m[own + S.HELD] += 1
        if m[mine + S.READY] > now:
            _arrives(m, at, packet, port, int64(m[mine + S.READY]))
            return
        _queue(m, at, packet, port, now)


@inlined
def _chosen(m: Ints, at: DrainLayout, grid: Grid, output: int) -> Any:
    """The port that an output serves: packets on their way before new ones, the ports in turn."""
    out = _output(at, output)
    asking = m[out + S.ASKING]
    on_their_way = 0
    for fabric in range(grid.fabrics):
        on_their_way |= 15 << (fabric * at.slots)
    if asking & on_their_way:
        asking &= on_their_way
    after = asking & ~((2 << m[out + S.TURN]) - 1)
    i = int64(lowest_bit(U(after if after else asking)))
    m[out + S.TURN] = i
    router = output >> 2
    if output >= at.links:
        router = m[_local(at, output - at.links) + S.HOME] + int64(m[U(at.input_fabric + i)])
        i = int64(m[U(at.input_slot + i)])
    if i >= 4:
        return at.links + router * grid.local_ports + i - 4
    return (router + m[U(at.step + i)]) * 4 + i


@inlined
def _send(m: Ints, at: DrainLayout, grid: Grid, packet: int, output: int, now: int) -> None:
    """A packet goes over a link, or is consumed."""
    mine, out = _packet(at, packet), _output(at, output)
    if output < at.links:
        held = m[out + S.HELD] + 1
        m[out + S.HELD] = held
        m[out + S.PEAK] = max(int64(m[out + S.PEAK]), held)
        m[out + S.LOAD] += 1
        m[out + S.FREE] = now + m[out + S.SERVICE]
        _arrives(m, at, packet, output, now + m[out + S.HOP])
    else:
        free = now + m[mine + S.WORK]
        m[out + S.FREE] = free
        m[mine + S.DELIVERED] = free + grid.local


@inlined
def _serve(m: Ints, at: DrainLayout, grid: Grid, output: int, now: int) -> int:
    """An output takes the packet whose turn it is, if the next port has room. Returns 1 for a packet delivered."""
    out = _output(at, output)
    if m[out + S.ASKING] == 0 or (output < at.links and m[out + S.HELD] >= grid.buffer):
        return 0
    port = _chosen(m, at, grid, output)
    own = _output(at, port)
    queue = U((port * at.slots + (output & 3 if output < at.links else m[_local(at, output - at.links) + S.PLACE])) << 1)
    packet = int64(m[queue + S.FIRST])
    mine = _packet(at, packet)
    m[queue + S.FIRST] = m[mine + S.FOLLOWER]
    if m[queue + S.FIRST] < 0:
        m[out + S.ASKING] ^= 1 << m[out + S.TURN]
    _send(m, at, grid, packet, output, now)
    if m[out + S.ASKING]:
        _wake(m, at, output, int64(m[out + S.FREE]))
    m[own + S.HELD] -= 1
    if port >= at.links:
        _enter(m, at, grid, int64(m[mine + S.SENDER]), now)
    elif m[own + S.ASKING]:
        _wake(m, at, port, max(now, int64(m[own + S.FREE])))
    return 1 if output >= at.links else 0


@inlined
def _passes(m: Ints, at: DrainLayout, grid: Grid, packet: int, now: int) -> int:
    """What `_queue` and `_serve` do, at once, for a packet off a link that arrives alone in its tick at an output for which
    nobody waits. Returns 1 for a packet delivered, 0 for one sent on, -1, and nothing has happened, where it has to queue."""
    mine = _packet(at, packet)
    port = int64(m[mine + S.PORT])
    if port >= at.links:
        return -1
    own = _output(at, port)
    slot = _slot(m, mine, own)
    output = m[own + S.ROUTER] * 4 + slot if slot < 4 else at.links + m[mine + S.RECEIVER]
    out = _output(at, output)
    if m[out + S.ASKING] or m[out + S.DUE] >= 0 or m[out + S.FREE] > now or (slot < 4 and m[out + S.HELD] >= grid.buffer):
        return -1
    m[out + S.TURN] = m[own + (S.OWN if slot < 4 else S.OWN_LOCAL)]
    _send(m, at, grid, packet, output, now)
    m[own + S.HELD] -= 1
    if m[own + S.ASKING]:
        _wake(m, at, port, max(now, int64(m[own + S.FREE])))
    return 1 if slot >= 4 else 0


@inlined
def _arrive(m: Ints, at: DrainLayout, grid: Grid, packet: int, now: int) -> None:
    """Packets that arrive in this tick, from the first on, join their queues."""
    while packet >= 0:
        mine = _packet(at, packet)
        following, port = int64(m[mine + S.FOLLOWER]), int64(m[mine + S.PORT])
        _queue(m, at, packet, port, now)
        if port >= at.links:
            _enter(m, at, grid, int64(m[mine + S.SENDER]), now)
        packet = following


@inlined
def _arbitrate(m: Ints, at: DrainLayout, grid: Grid, bucket: Any, now: int) -> int:
    """Outputs that are due in this tick serve; serving may make others due at once. Returns the packets delivered."""
    done = 0
    while m[bucket + S.WAKES] >= 0:
        output = int64(m[bucket + S.WAKES])
        out = _output(at, output)
        m[bucket + S.WAKES] = m[out + S.WAKE_NEXT]
        m[out + S.DUE] = -1
        done += _serve(m, at, grid, output, now)
    return done


@inlined
def _begin(m: Ints, at: DrainLayout, grid: Grid, packets: Packets, low: int, count: int) -> None:
    """An empty mesh, and the packets in line before their routers."""
    begin: Any = int64(0)
    for output in range(at.ports):
        m[_output(at, output) + S.TURN] = 0
        m[_output(at, output) + S.FREE] = 0
    m[U(at.clock)] = 0
    for packet in range(count - 1, -1, -1):
        sender, receiver = packets.sender[U(low + packet)], packets.receiver[U(low + packet)]
        mine, line, target = _packet(at, packet), _local(at, sender), _local(at, receiver)
        m[mine + S.SENDER], m[mine + S.RECEIVER] = sender, receiver
        m[mine + S.READY], m[mine + S.WORK] = packets.ready[U(low + packet)], packets.work[U(low + packet)]
        m[mine + S.TARGET], m[mine + S.TARGET_SLOT] = m[target + S.HOME], m[target + S.PLACE]
        m[mine + S.TARGET_COLUMN] = m[target + S.HOME_COLUMN]
        m[mine + S.AFTER] = m[line + S.LINE]
        m[line + S.LINE] = packet
        m[line + S.SENT] = 0
    for packet in range(count):
        mine = _packet(at, packet)
        line = _local(at, packets.sender[U(low + packet)])
        m[mine + S.FABRIC] = m[line + S.SENT] % grid.fabrics if grid.fabrics > 1 else 0
        m[line + S.SENT] += 1
    for packet in range(count):
        sender = packets.sender[U(low + packet)]
        line = _local(at, sender)
        if m[line + S.SENT]:  # each sender's line once: the first that is not ready keeps the others waiting
            m[line + S.SENT] = 0
            _enter(m, at, grid, sender, begin)


@inlined
def _drain(m: Ints, at: DrainLayout, grid: Grid, count: int) -> None:
    """Tick after tick until every packet is delivered; empty blocks of buckets, and empty turns, are skipped."""
    now: Any = int64(0)
    while count:
        within = now & (S.BLOCK - 1)
        place = U(at.busy + ((now & (S.WHEEL - 1)) >> S.BLOCK_BITS))
        ahead = m[place] >> within
        if ahead == 0:
            now += S.BLOCK - within
        else:
            now += int64(lowest_bit(U(ahead)))
            bucket = U(at.wheel + ((now & (S.WHEEL - 1)) << 1))
            packet = int64(m[bucket + S.ARRIVALS])
            if packet >= 0:
                m[bucket + S.ARRIVALS] = -1
                alone = m[bucket + S.WAKES] < 0 and m[_packet(at, packet) + S.FOLLOWER] < 0
                passed = _passes(m, at, grid, packet, now) if alone else -1
                if passed < 0:
                    _arrive(m, at, grid, packet, now)
                else:
                    count -= passed
            if m[bucket + S.WAKES] >= 0:
                count -= _arbitrate(m, at, grid, bucket, now)
            m[place] &= ~_bit(now)
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
            delivered[U(low + packet)] = m[_packet(at, packet) + S.DELIVERED]
            makespan[step] = max(makespan[step], delivered[U(low + packet)])
