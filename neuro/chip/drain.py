"""The compiled loop behind `neuro.chip.noc`: events on a wheel of ticks.

All state lies in one array of integers, `m`, in regions whose beginnings the Layout names: compiled code passes one array
from function to function at no cost, many at a high one. Knows integers, nothing else.

Ports (inputs of routers) and outputs share numbers: link l of fabric f leaves tile t as l = (f * tiles + t) * 4 + direction
(east, west, south, north) and feeds port l. Behind the links come, among ports, one for each fabric and door; among outputs,
the doors. A port queues packets by slot, the output they want: 4 directions, then the doors of the tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuro.compiled import compiled

if TYPE_CHECKING:
    from neuro.chip.noc import Grid, Packets

Ints = NDArray[np.int64]
WHEEL = 1 << 13  # buckets, one a tick; an event farther ahead stays in its bucket for another turn
BLOCK = 64  # buckets that are skipped together when they are empty


class Layout(NamedTuple):
    """Where each region of the state begins, and the sizes that addresses are made of."""

    tiles: int
    links: int
    slots: int
    first: int  # (ports * slots) first packet of each queue, or -1
    last: int  # (ports * slots) last packet of each queue
    held: int  # (ports) packets in a port or on their way to it
    waiting: int  # (outputs) packets that want an output
    turn: int  # (outputs) input served last
    free: int  # (outputs) tick from which it can take a packet
    due: int  # (outputs) tick at which it will look for one, or -1
    wake_next: int  # (outputs) next output of the same bucket
    line: int  # (doors) sender's next packet that has not entered the network, or -1
    sent: int  # (doors) packets of each sender in this step
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
    delivered: int  # (packets) tick at which it was dealt with
    arrivals: int  # (wheel) first packet of each bucket
    wakes: int  # (wheel) first output of each bucket
    busy: int  # (wheel / block) events in each block of buckets
    size: int


@compiled
def _layout(grid: Grid, packets: int) -> Layout:
    tiles, slots = grid.width * grid.height, 4 + grid.doors
    links, doors = grid.fabrics * tiles * 4, tiles * grid.doors
    ports, outputs = links + grid.fabrics * doors, links + doors
    first = 0
    last = first + ports * slots
    held = last + ports * slots
    waiting = held + ports
    turn = waiting + outputs
    free = turn + outputs
    due = free + outputs
    wake_next = due + outputs
    line = wake_next + outputs
    sent = line + doors
    loads = sent + doors
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
    busy = wakes + WHEEL
    return Layout(
        tiles, links, slots, first, last, held, waiting, turn, free, due, wake_next, line, sent, loads, peaks, follower, after,
        port, fabric, when, sender, receiver, ready, work, delivered, arrivals, wakes, busy, busy + WHEEL // BLOCK,
    )  # fmt: skip


@compiled
def _wake(m: Ints, at: Layout, output: int, tick: int) -> None:
    """Let an output look for a packet at some tick, unless it will do so anyway."""
    if m[at.due + output] < 0:
        m[at.due + output] = tick
        bucket = tick % WHEEL
        m[at.wake_next + output] = m[at.wakes + bucket]
        m[at.wakes + bucket] = output
        m[at.busy + bucket // BLOCK] += 1


@compiled
def _arrives(m: Ints, at: Layout, packet: int, port: int, tick: int) -> None:
    """A packet will stand in a port at some tick."""
    m[at.port + packet], m[at.when + packet] = port, tick
    bucket = tick % WHEEL
    m[at.follower + packet] = m[at.arrivals + bucket]
    m[at.arrivals + bucket] = packet
    m[at.busy + bucket // BLOCK] += 1


@compiled
def _router(grid: Grid, at: Layout, port: int) -> int:
    """Fabric * tiles + tile of the router that a port belongs to."""
    if port >= at.links:
        return (port - at.links) // grid.doors
    direction = port % 4
    step = -1 if direction == 1 else 1 if direction == 0 else grid.width if direction == 2 else -grid.width
    return port // 4 + step


@compiled
def _slot(grid: Grid, tile: int, door: int) -> int:
    """The output that a packet for a door wants at a tile: along x, then along y, then the door."""
    target = door // grid.doors
    x, tx = tile % grid.width, target % grid.width
    if tx != x:
        return 0 if tx > x else 1
    if target != tile:
        return 2 if target > tile else 3
    return 4 + door % grid.doors


@compiled
def _queue(m: Ints, at: Layout, grid: Grid, packet: int, port: int, now: int) -> None:
    """A packet stands in a port and asks for its output."""
    router, receiver = _router(grid, at, port), m[at.receiver + packet]
    slot = _slot(grid, router % at.tiles, receiver)
    queue = port * at.slots + slot
    m[at.follower + packet] = -1
    if m[at.first + queue] < 0:
        m[at.first + queue] = packet
    else:
        m[at.follower + m[at.last + queue]] = packet
    m[at.last + queue] = packet
    output = router * 4 + slot if slot < 4 else at.links + receiver
    m[at.waiting + output] += 1
    _wake(m, at, output, max(now, m[at.free + output]))


@compiled
def _enter(m: Ints, at: Layout, grid: Grid, door: int, now: int) -> None:
    """The packets next in line enter their sender's port, while it has room and they are ready; fabrics take turns."""
    while m[at.line + door] >= 0:
        packet = m[at.line + door]
        port = at.links + m[at.fabric + packet] * at.tiles * grid.doors + door
        if m[at.held + port] >= grid.buffer:
            return
        m[at.line + door] = m[at.after + packet]
        m[at.held + port] += 1
        if m[at.ready + packet] > now:
            _arrives(m, at, packet, port, m[at.ready + packet])
            return
        _queue(m, at, grid, packet, port, now)


@compiled
def _input(grid: Grid, at: Layout, router: int, i: int) -> int:
    """Port i of a router: the links from its four neighbours, then its doors; -1 at the rim of the mesh."""
    if i >= 4:
        return at.links + router * grid.doors + i - 4
    tile = router % at.tiles
    if i == 0:
        return (router - 1) * 4 if tile % grid.width > 0 else -1
    if i == 1:
        return (router + 1) * 4 + 1 if tile % grid.width < grid.width - 1 else -1
    if i == 2:
        return (router - grid.width) * 4 + 2 if tile >= grid.width else -1
    return (router + grid.width) * 4 + 3 if tile < at.tiles - grid.width else -1


@compiled
def _chosen(m: Ints, at: Layout, grid: Grid, output: int) -> int:
    """The queue that an output serves: packets on their way before new ones, the ports in turn; doors serve all fabrics."""
    ports = at.slots
    if output < at.links:
        router, slot, count = output // 4, output % 4, ports
    else:
        router, slot, count = (output - at.links) // grid.doors, 4 + (output - at.links) % grid.doors, ports * grid.fabrics
    i, new, turn = m[at.turn + output], -1, 0
    for _ in range(count):
        i = i + 1 if i + 1 < count else 0
        port = _input(grid, at, router + i // ports * at.tiles, i % ports)
        if port < 0 or m[at.first + port * at.slots + slot] < 0:
            continue
        if port < at.links:
            m[at.turn + output] = i
            return port * at.slots + slot
        if new < 0:
            new, turn = port * at.slots + slot, i
    if new >= 0:
        m[at.turn + output] = turn
    return new


@compiled
def _is_across(grid: Grid, tile: int, direction: int) -> bool:
    """Whether a link leads to another chip."""
    if direction < 2:
        return (tile % grid.width + 1 - direction) % grid.chip_width == 0
    return (tile // grid.width + 3 - direction) % grid.chip_height == 0


@compiled
def _serve(m: Ints, at: Layout, grid: Grid, output: int, now: int) -> int:
    """An output takes the packet whose turn it is, if the next port has room. Returns 1 for a packet delivered."""
    if m[at.waiting + output] == 0 or (output < at.links and m[at.held + output] >= grid.buffer):
        return 0
    queue = _chosen(m, at, grid, output)
    packet, port = m[at.first + queue], queue // at.slots
    m[at.first + queue] = m[at.follower + packet]
    m[at.waiting + output] -= 1
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
    if m[at.waiting + output]:
        _wake(m, at, output, m[at.free + output])
    m[at.held + port] -= 1
    if port >= at.links:
        _enter(m, at, grid, m[at.sender + packet], now)
    elif m[at.waiting + port]:
        _wake(m, at, port, max(now, m[at.free + port]))
    return 1 if output >= at.links else 0


@compiled
def _arrive(m: Ints, at: Layout, grid: Grid, bucket: int, now: int) -> None:
    """Packets that arrive in this tick join their queues."""
    packet = m[at.arrivals + bucket]
    m[at.arrivals + bucket] = -1
    while packet >= 0:
        later = m[at.follower + packet]
        if m[at.when + packet] == now:
            m[at.busy + bucket // BLOCK] -= 1
            port = m[at.port + packet]
            _queue(m, at, grid, packet, port, now)
            if port >= at.links:
                _enter(m, at, grid, m[at.sender + packet], now)
        else:
            m[at.follower + packet] = m[at.arrivals + bucket]
            m[at.arrivals + bucket] = packet
        packet = later


@compiled
def _arbitrate(m: Ints, at: Layout, grid: Grid, bucket: int, now: int) -> int:
    """Outputs that are due in this tick serve; serving may make others due at once. Returns the packets delivered."""
    done, later = 0, -1
    while m[at.wakes + bucket] >= 0:
        output = m[at.wakes + bucket]
        m[at.wakes + bucket] = m[at.wake_next + output]
        if m[at.due + output] == now:
            m[at.busy + bucket // BLOCK] -= 1
            m[at.due + output] = -1
            done += _serve(m, at, grid, output, now)
        else:
            m[at.wake_next + output] = later
            later = output
    m[at.wakes + bucket] = later
    return done


@compiled
def _begin(m: Ints, at: Layout, grid: Grid, packets: Packets, low: int, count: int) -> None:
    """An empty mesh, and the packets in line before their routers."""
    m[at.turn : at.due] = 0
    m[at.sender : at.sender + count] = packets.sender[low : low + count]
    m[at.receiver : at.receiver + count] = packets.receiver[low : low + count]
    m[at.ready : at.ready + count] = packets.ready[low : low + count]
    m[at.work : at.work + count] = packets.work[low : low + count]
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
        if m[at.line + m[at.sender + packet]] == packet:
            _enter(m, at, grid, m[at.sender + packet], 0)


@compiled
def _drain(m: Ints, at: Layout, grid: Grid, count: int) -> None:
    """Tick after tick until every packet is delivered; empty blocks of buckets are skipped."""
    now = 0
    while count:
        bucket = now % WHEEL
        if m[at.busy + bucket // BLOCK] == 0:
            now += BLOCK - bucket % BLOCK
            continue
        if m[at.arrivals + bucket] >= 0:
            _arrive(m, at, grid, bucket, now)
        if m[at.wakes + bucket] >= 0:
            count -= _arbitrate(m, at, grid, bucket, now)
        now += 1


@compiled
def drain_steps(grid: Grid, packets: Packets, makespan: Ints, delivered: Ints, loads: Ints, peaks: Ints) -> None:
    """Drain every step of `packets`; fills makespan (steps,), delivered (packets,), loads and peaks (links,)."""
    most = 0
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
        delivered[low : low + count] = m[at.delivered : at.delivered + count]
        if count:
            makespan[step] = delivered[low : low + count].max()
    loads[:] = m[at.loads : at.loads + at.links]
    peaks[:] = m[at.peaks : at.peaks + at.links]
