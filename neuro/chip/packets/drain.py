"""The compiled loop behind `neuro.chip.packets.noc`: events on a wheel of ticks.

All state lies in one array of integers, `m`, in regions whose beginnings the DrainLayout names: compiled code passes one array
from function to function at no cost, many at a high one. Knows integers, nothing else.

What costs time to compile is left out: slices assigned to slices bring numba's error messages with them (4 s), and a constant as
an argument is a type of its own, for which a function is compiled once more.

Ports (inputs of routers) and outputs share numbers: link l of fabric f leaves tile t as l = (f * tiles + t) * 4 + direction
(east, west, south, north) and feeds port l. Behind the links come, among ports, one for each fabric and local port; among
outputs, the local ports. A port queues packets by slot, the output they want: 4 directions, then the local ports of the tile.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from neuro.chip.packets.grid import Grid, Ints, Packets
from neuro.compiled import compiled, inner

WHEEL = 1 << 13  # buckets, one a tick; a turn of the wheel holds the events of as many ticks
TURNS = 1 << 12  # lists of events of later turns
BLOCK = 64  # buckets that are skipped together when they are empty


class DrainLayout(NamedTuple):
    """Where each region of the state begins, and the sizes that addresses are made of."""

    tiles: int
    links: int
    slots: int
    first: int  # (ports * slots) first packet of each queue, or -1
    last: int  # (ports * slots) last packet of each queue
    held: int  # (ports) packets in a port or on their way to it
    asking: int  # (outputs) one bit for each input whose queue for the output holds a packet
    turn: int  # (outputs) input served last
    free: int  # (outputs) tick from which it can take a packet
    due: int  # (outputs) tick at which it will look for one, or -1
    wake_next: int  # (outputs) next output of the same bucket
    line: int  # (local ports) sender's next packet that has not entered the network, or -1
    sent: int  # (local ports) packets of each sender in this step
    loads: int  # (links) packets over each link, of all steps
    peaks: int  # (links) most packets held in the port behind it, of all steps
    follower: int  # (packets) next packet of the same queue or bucket
    after: int  # (packets) next packet of the same sender
    port: int  # (packets) port at which it arrives
    fabric: int  # (packets) the mesh that it takes: each sender uses them in turn
    when: int  # (packets) tick of that arrival
    sender: int  # (packets) and so on: as in Packets
    receiver: int
    ready: int
    work: int
    delivered: int  # (packets) tick at which it was consumed
    arrivals: int  # (wheel) first packet of each bucket
    wakes: int  # (wheel) first output of each bucket
    later_arrivals: int  # (turns) first packet of each later turn
    later_wakes: int  # (turns) first output of each later turn
    busy: int  # (wheel / block) events in each block of buckets
    clock: int  # (1) the turn of the wheel
    size: int


@inner
def _layout(grid: Grid, packets: int) -> DrainLayout:
    tiles, slots = grid.width * grid.height, 4 + grid.local_ports
    links, local_ports = grid.fabrics * tiles * 4, tiles * grid.local_ports
    ports, outputs = links + grid.fabrics * local_ports, links + local_ports
    first = 0
    last = first + ports * slots
    held = last + ports * slots
    asking = held + ports
    turn = asking + outputs
    free = turn + outputs
    due = free + outputs
    wake_next = due + outputs
    line = wake_next + outputs
    sent = line + local_ports
    loads = sent + local_ports
    peaks = loads + links
    follower = peaks + links
    after = follower + packets
    port = after + packets
    fabric = port + packets
    when = fabric + packets
    sender = when + packets
    receiver = sender + packets
    ready = receiver + packets
    work = ready + packets
    delivered = work + packets
    arrivals = delivered + packets
    wakes = arrivals + WHEEL
    later_arrivals = wakes + WHEEL
    later_wakes = later_arrivals + TURNS
    busy = later_wakes + TURNS
    clock = busy + WHEEL // BLOCK
    return DrainLayout(
        tiles, links, slots, first, last, held, asking, turn, free, due, wake_next, line, sent, loads, peaks, follower, after,
        port, fabric, when, sender, receiver, ready, work, delivered, arrivals, wakes, later_arrivals, later_wakes, busy, clock,
        clock + 1,
    )  # fmt: skip


@inner
def _push_wake(m: Ints, at: DrainLayout, output: int) -> None:
    """Put an output that will look for a packet at m[due] into its bucket, or into the list of a later turn."""
    tick = m[at.due + output]
    turn, bucket = tick // WHEEL, tick % WHEEL
    place = at.wakes + bucket if turn == m[at.clock] else at.later_wakes + turn % TURNS
    m[at.wake_next + output] = m[place]
    m[place] = output
    if turn == m[at.clock]:
        m[at.busy + bucket // BLOCK] += 1


@inner
def _push_arrival(m: Ints, at: DrainLayout, packet: int) -> None:
    """The same for a packet that will stand in a port at m[when]."""
    tick = m[at.when + packet]
    turn, bucket = tick // WHEEL, tick % WHEEL
    place = at.arrivals + bucket if turn == m[at.clock] else at.later_arrivals + turn % TURNS
    m[at.follower + packet] = m[place]
    m[place] = packet
    if turn == m[at.clock]:
        m[at.busy + bucket // BLOCK] += 1


@inner
def _wake(m: Ints, at: DrainLayout, output: int, tick: int) -> None:
    """Let an output look for a packet at some tick, unless it will do so anyway."""
    if m[at.due + output] < 0:
        m[at.due + output] = tick
        _push_wake(m, at, output)


@inner
def _arrives(m: Ints, at: DrainLayout, packet: int, port: int, tick: int) -> None:
    """A packet will stand in a port at some tick."""
    m[at.port + packet], m[at.when + packet] = port, tick
    _push_arrival(m, at, packet)


@inner
def _turn(m: Ints, at: DrainLayout, turn: int) -> bool:
    """Begin a turn of the wheel: its events go to their buckets. Returns whether there are any."""
    m[at.clock] = turn
    packet, output = m[at.later_arrivals + turn % TURNS], m[at.later_wakes + turn % TURNS]
    if packet < 0 and output < 0:
        return False
    m[at.later_arrivals + turn % TURNS], m[at.later_wakes + turn % TURNS] = -1, -1
    while packet >= 0:
        following = m[at.follower + packet]
        _push_arrival(m, at, packet)
        packet = following
    while output >= 0:
        following = m[at.wake_next + output]
        _push_wake(m, at, output)
        output = following
    return True


@inner
def _router(grid: Grid, at: DrainLayout, port: int) -> int:
    """Fabric * tiles + tile of the router that a port belongs to."""
    if port >= at.links:
        return (port - at.links) // grid.local_ports
    direction = port % 4
    step = -1 if direction == 1 else 1 if direction == 0 else grid.width if direction == 2 else -grid.width
    return port // 4 + step


@inner
def _slot(grid: Grid, tile: int, local_port: int) -> int:
    """The output that a packet for a local port wants at a tile: along x, then along y, then the local port."""
    target = local_port // grid.local_ports
    x, tx = tile % grid.width, target % grid.width
    if tx != x:
        return 0 if tx > x else 1
    if target != tile:
        return 2 if target > tile else 3
    return 4 + local_port % grid.local_ports


@inner
def _queue(m: Ints, at: DrainLayout, grid: Grid, packet: int, port: int, now: int) -> None:
    """A packet stands in a port and asks for its output."""
    router, receiver = _router(grid, at, port), m[at.receiver + packet]
    slot = _slot(grid, router % at.tiles, receiver)
    queue = port * at.slots + slot
    m[at.follower + packet] = -1
    output = router * 4 + slot if slot < 4 else at.links + receiver
    if m[at.first + queue] < 0:
        m[at.first + queue] = packet
        m[at.asking + output] |= 1 << _input_of(grid, at, port, slot)
    else:
        m[at.follower + m[at.last + queue]] = packet
    m[at.last + queue] = packet
    _wake(m, at, output, max(now, m[at.free + output]))


@inner
def _enter(m: Ints, at: DrainLayout, grid: Grid, local_port: int, now: int) -> None:
    """The packets next in line enter their sender's port, while it has room and they are ready; fabrics take turns."""
    while m[at.line + local_port] >= 0:
        packet = m[at.line + local_port]
        port = at.links + m[at.fabric + packet] * at.tiles * grid.local_ports + local_port
        if m[at.held + port] >= grid.buffer:
            return
        m[at.line + local_port] = m[at.after + packet]
        m[at.held + port] += 1
        if m[at.ready + packet] > now:
            _arrives(m, at, packet, port, m[at.ready + packet])
            return
        _queue(m, at, grid, packet, port, now)


@inner
def _input_of(grid: Grid, at: DrainLayout, port: int, slot: int) -> int:
    """The number of a port among the inputs of an output: links by direction, then the local ports of all fabrics."""
    if port < at.links:
        i, fabric = port % 4, port // (4 * at.tiles)
    else:
        i, fabric = 4 + (port - at.links) % grid.local_ports, (port - at.links) // (at.tiles * grid.local_ports)
    return i + fabric * at.slots if slot >= 4 else i


@inner
def _port_of(grid: Grid, at: DrainLayout, router: int, i: int) -> int:
    """The port of a router that is its input i."""
    if i >= 4:
        return at.links + router * grid.local_ports + i - 4
    step = -1 if i == 0 else 1 if i == 1 else -grid.width if i == 2 else grid.width
    return (router + step) * 4 + i


@inner
def _lowest(bits: int) -> int:
    """The place of the lowest bit."""
    place = 0
    while bits & 1 == 0:
        bits >>= 1
        place += 1
    return place


@inner
def _chosen(m: Ints, at: DrainLayout, grid: Grid, output: int) -> int:
    """The queue that an output serves: packets on their way before new ones, the ports in turn."""
    asking = m[at.asking + output]
    on_their_way = 0
    for fabric in range(grid.fabrics):
        on_their_way |= 15 << (fabric * at.slots)
    if asking & on_their_way:
        asking &= on_their_way
    after = asking & ~((2 << m[at.turn + output]) - 1)
    i = _lowest(after if after else asking)
    m[at.turn + output] = i
    if output < at.links:
        return _port_of(grid, at, output // 4, i) * at.slots + output % 4
    local_port = output - at.links
    return (
        _port_of(grid, at, local_port // grid.local_ports + i // at.slots * at.tiles, i % at.slots) * at.slots
        + 4
        + local_port % grid.local_ports
    )


@inner
def _is_across(grid: Grid, tile: int, direction: int) -> bool:
    """Whether a link leads to another chip."""
    if direction < 2:
        return (tile % grid.width + 1 - direction) % grid.chip_width == 0
    return (tile // grid.width + 3 - direction) % grid.chip_height == 0


@inner
def _serve(m: Ints, at: DrainLayout, grid: Grid, output: int, now: int) -> int:
    """An output takes the packet whose turn it is, if the next port has room. Returns 1 for a packet delivered."""
    if m[at.asking + output] == 0 or (output < at.links and m[at.held + output] >= grid.buffer):
        return 0
    queue = _chosen(m, at, grid, output)
    packet, port = m[at.first + queue], queue // at.slots
    m[at.first + queue] = m[at.follower + packet]
    if m[at.first + queue] < 0:
        m[at.asking + output] ^= 1 << m[at.turn + output]
    if output < at.links:
        hop, service = grid.hop_x if output % 4 < 2 else grid.hop_y, grid.service
        if _is_across(grid, output // 4 % at.tiles, output % 4):
            hop, service = hop + grid.across_hop, grid.across_service
        m[at.loads + output] += 1
        m[at.held + output] += 1
        m[at.peaks + output] = max(m[at.peaks + output], m[at.held + output])
        m[at.free + output] = now + service
        _arrives(m, at, packet, output, now + hop)
    else:
        m[at.free + output] = now + m[at.work + packet]
        m[at.delivered + packet] = now + grid.local + m[at.work + packet]
    if m[at.asking + output]:
        _wake(m, at, output, m[at.free + output])
    m[at.held + port] -= 1
    if port >= at.links:
        _enter(m, at, grid, m[at.sender + packet], now)
    elif m[at.asking + port]:
        _wake(m, at, port, max(now, m[at.free + port]))
    return 1 if output >= at.links else 0


@inner
def _arrive(m: Ints, at: DrainLayout, grid: Grid, bucket: int, now: int) -> None:
    """Packets that arrive in this tick join their queues."""
    packet = m[at.arrivals + bucket]
    m[at.arrivals + bucket] = -1
    while packet >= 0:
        following = m[at.follower + packet]
        m[at.busy + bucket // BLOCK] -= 1
        port = m[at.port + packet]
        _queue(m, at, grid, packet, port, now)
        if port >= at.links:
            _enter(m, at, grid, m[at.sender + packet], now)
        packet = following


@inner
def _arbitrate(m: Ints, at: DrainLayout, grid: Grid, bucket: int, now: int) -> int:
    """Outputs that are due in this tick serve; serving may make others due at once. Returns the packets delivered."""
    done = 0
    while m[at.wakes + bucket] >= 0:
        output = m[at.wakes + bucket]
        m[at.wakes + bucket] = m[at.wake_next + output]
        m[at.busy + bucket // BLOCK] -= 1
        m[at.due + output] = -1
        done += _serve(m, at, grid, output, now)
    return done


@inner
def _begin(m: Ints, at: DrainLayout, grid: Grid, packets: Packets, low: int, count: int) -> None:
    """An empty mesh, and the packets in line before their routers."""
    begin: Any = np.int64(0)
    m[at.turn : at.due] = 0
    m[at.clock] = 0
    for packet in range(count):
        m[at.sender + packet] = packets.sender[low + packet]
        m[at.receiver + packet] = packets.receiver[low + packet]
        m[at.ready + packet] = packets.ready[low + packet]
        m[at.work + packet] = packets.work[low + packet]
    for packet in range(count - 1, -1, -1):
        sender = m[at.sender + packet]
        m[at.after + packet] = m[at.line + sender]
        m[at.line + sender] = packet
        m[at.sent + sender] = 0
    for packet in range(count):
        sender = m[at.sender + packet]
        m[at.fabric + packet] = m[at.sent + sender] % grid.fabrics
        m[at.sent + sender] += 1
    for packet in range(count):
        sender = m[at.sender + packet]
        if m[at.sent + sender]:  # each sender's line once: the first that is not ready keeps the others waiting
            m[at.sent + sender] = 0
            _enter(m, at, grid, sender, begin)


@inner
def _drain(m: Ints, at: DrainLayout, grid: Grid, count: int) -> None:
    """Tick after tick until every packet is delivered; empty blocks of buckets, and empty turns, are skipped."""
    now: Any = np.int64(0)
    while count:
        bucket = now % WHEEL
        if m[at.busy + bucket // BLOCK] == 0:
            now += BLOCK - bucket % BLOCK
        else:
            if m[at.arrivals + bucket] >= 0:
                _arrive(m, at, grid, bucket, now)
            if m[at.wakes + bucket] >= 0:
                count -= _arbitrate(m, at, grid, bucket, now)
            now += 1
        if now % WHEEL == 0:
            while count and not _turn(m, at, now // WHEEL):
                now += WHEEL


@compiled
def drain_steps(grid: Grid, packets: Packets, makespan: Ints, delivered: Ints, loads: Ints, peaks: Ints) -> None:
    """Drain every step of `packets`; fills makespan (steps,), delivered (packets,), loads and peaks (links,)."""
    most: Any = np.int64(0)
    for step in range(len(makespan)):
        most = max(most, packets.starts[step + 1] - packets.starts[step])
    at = _layout(grid, most)
    m = np.full(at.size, -1, np.int64)
    m[at.held : at.due] = 0
    m[at.loads : at.follower] = 0
    m[at.busy : at.size] = 0
    for step in range(len(makespan)):
        low, count = packets.starts[step], packets.starts[step + 1] - packets.starts[step]
        _begin(m, at, grid, packets, low, count)
        _drain(m, at, grid, count)
        for packet in range(count):
            delivered[low + packet] = m[at.delivered + packet]
            makespan[step] = max(makespan[step], delivered[low + packet])
    for link in range(at.links):
        loads[link], peaks[link] = m[at.loads + link], m[at.peaks + link]
