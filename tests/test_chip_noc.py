"""The packet network: nothing lost or doubled, the laws of facts measured on BookSim2, back-pressure, determinism."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuro
from neuro.chip.counts import Tables
from neuro.chip.packets.grid import Grid, Packets
from neuro.chip.packets.noc import DrainResult, drain
from neuro.chip.packets.state import empty, layout, narrow
from neuro.chip.packets.traffic import PacketSampler
from neuro.errors import ChipError
from tests.chips import random_inputs, random_network, small

MESH = Grid(
    width=8,
    height=8,
    local_ports=1,
    fabrics=1,
    buffer=16,
    chip_width=8,
    chip_height=8,
    hop_x=4,
    hop_y=4,
    service=1,
    across_hop=0,
    across_service=1,
    local=0,
)


def send(grid: Grid, sender, receiver, *, ready=None, work=None) -> DrainResult:
    count = len(sender)
    ready = np.zeros(count, np.int64) if ready is None else np.asarray(ready)
    work = np.full(count, grid.service) if work is None else np.asarray(work)
    return drain(grid, Packets(np.array([0, count]), np.asarray(sender), np.asarray(receiver), ready, work))


def uniform(grid: Grid, each: int, seed: int) -> DrainResult:
    rng = np.random.default_rng(seed)
    return send(grid, np.repeat(np.arange(64), each), rng.integers(0, 64, 64 * each), ready=np.tile(np.arange(each), 64))


@pytest.mark.parametrize("service", [1, 3])
@pytest.mark.parametrize("each", [1, 10, pytest.param(300, marks=pytest.mark.compiled)])
def test_a_hotspot_drains_in_64_n_service_times_and_a_small_constant(each: int, service: int) -> None:
    grid = MESH._replace(service=service, across_service=service)
    drained = send(grid, np.repeat(np.arange(64), each), np.zeros(64 * each, np.int64))
    assert 0 <= drained.makespan[0] - 64 * each * service < 10


@pytest.mark.compiled
def test_uniform_batches_drain_later_than_the_heaviest_link_most_so_small_ones() -> None:
    zero_load = 2 * (64 - 1) / (3 * 8) * MESH.hop_x + MESH.service  # of an average packet: 5.25 hops
    late = {}
    for each in (10, 20, 50, 100, 500, 1000):
        drained = [uniform(MESH, each, seed) for seed in range(3)]
        late[each] = np.mean([d.makespan[0] / (d.loads.max() + zero_load) - 1 for d in drained])
    assert all(0 < share < 0.3 for share in late.values()), late
    assert late[10] == max(late.values())
    assert all(late[each] < 0.15 for each in (50, 100, 500, 1000)), late


@given(st.integers(0, 63), st.integers(0, 63), st.integers(1, 9), st.integers(1, 9), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_a_lone_packet_takes_its_hops_and_nothing_more(sender, receiver, hop_x, hop_y, local) -> None:
    grid = MESH._replace(hop_x=hop_x, hop_y=hop_y, local=local)
    drained = send(grid, [sender], [receiver], ready=[5], work=[2])
    hops_x, hops_y = abs(sender % 8 - receiver % 8), abs(sender // 8 - receiver // 8)
    assert drained.delivered.tolist() == [5 + hops_x * hop_x + hops_y * hop_y + local + 2]
    assert drained.loads.sum() == hops_x + hops_y


@pytest.mark.compiled
def test_links_twice_as_fast_halve_a_saturated_drain() -> None:
    slow = MESH._replace(service=8, across_service=8, hop_x=8, hop_y=8, buffer=64)
    fast = slow._replace(service=4, across_service=4)
    rng = np.random.default_rng(0)
    sender, receiver = np.repeat(np.arange(64), 500), rng.integers(0, 64, 64 * 500)
    work = np.ones(len(sender), np.int64)
    ratio = send(slow, sender, receiver, work=work).makespan[0] / send(fast, sender, receiver, work=work).makespan[0]
    assert ratio == pytest.approx(2, rel=0.05)


def test_a_chip_boundary_adds_its_own_time_and_service() -> None:
    grid = MESH._replace(chip_width=4, across_hop=100, across_service=50)
    assert send(grid, [0], [7]).makespan[0] == 7 * 4 + 100 + 1  # columns 3 and 4 lie on different chips
    assert send(grid, [0] * 10, [7] * 10).makespan[0] == 7 * 4 + 100 + 9 * 50 + 1
    assert send(grid, [0], [56]).makespan[0] == 7 * 4 + 1
    assert send(grid, [7], [0]).makespan[0] == 7 * 4 + 100 + 1


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_no_packet_is_lost_doubled_or_faster_than_light(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height, local_ports, fabrics, buffer = (int(n) for n in rng.integers(1, (6, 6, 4, 3, 5)))
    grid = Grid(
        width, height, local_ports, fabrics, buffer, 2, 3, *(int(n) for n in rng.integers(1, 9, 5)), int(rng.integers(0, 5))
    )
    steps, count = 3, int(rng.integers(1, 400))
    starts = np.sort(np.concatenate([[0, count], rng.integers(0, count + 1, steps - 1)]))
    spots = rng.integers(0, width * height * local_ports, (2, count))
    ready = np.zeros(count, np.int64)
    for low, high in zip(starts[:-1], starts[1:], strict=True):
        ready[low:high] = np.sort(rng.integers(0, 200, high - low))
    packets = Packets(starts, spots[0], spots[1], ready, rng.integers(0, 20, count))
    drained = drain(grid, packets)
    here, there = spots // local_ports
    hops_x, hops_y = np.abs(here % width - there % width), np.abs(here // width - there // width)
    least = ready + hops_x * grid.hop_x + hops_y * grid.hop_y + grid.local + packets.work
    assert (drained.delivered >= least).all()
    assert drained.hops == (hops_x + hops_y).sum()
    assert drained.peaks.max() <= buffer
    for step, (low, high) in enumerate(zip(starts[:-1], starts[1:], strict=True)):
        work = np.bincount(spots[1, low:high], packets.work[low:high], 1)
        assert drained.makespan[step] == drained.delivered[low:high].max(initial=0) >= work.max()
    again = drain(grid, packets)
    assert np.array_equal(again.delivered, drained.delivered)
    alone = [drain(grid, packets._replace(starts=packets.starts[i : i + 2])) for i in range(steps)]
    assert [int(a.makespan[0]) for a in alone] == drained.makespan.tolist()  # a step does not know the steps before


def test_a_full_queue_holds_the_packets_behind_it() -> None:
    line = MESH._replace(width=4, height=1, chip_width=4, chip_height=1, hop_x=1, buffer=2)
    drained = send(line, [0] * 20 + [1], [3] * 20 + [2], work=[100] * 20 + [1])
    assert drained.peaks.max() == 2
    assert drained.makespan[0] == pytest.approx(20 * 100, abs=10)  # the receiver's work, one packet after the other


def test_packets_out_of_range_are_refused() -> None:
    for name, least, most in (("sender", 0, 63), ("receiver", 0, 63), ("ready", 0, 1 << 40), ("work", 0, 1 << 40)):
        for wrong in (least - 1, most + 1):
            for values in ([wrong, 5], [5, wrong]):
                given = {"sender": [0, 1], "receiver": [2, 3], "ready": [0, 0], "work": [1, 1]} | {name: values}
                with pytest.raises(ChipError, match=f"{name} is out of range {least}..{most}"):
                    send(MESH, **given)
    assert send(MESH, [0, 63], [63, 0], work=[0, 0]).delivered.tolist() == [56, 56]


def test_meshes_without_room_or_time_are_refused() -> None:
    for name in ("buffer", "fabrics", "local_ports", "service", "across_service", "hop_x", "hop_y"):
        with pytest.raises(ChipError, match="below 1"):
            send(MESH._replace(**{name: 0}), [], [])
    for name in ("across_hop", "local"):
        assert send(MESH._replace(**{name: 0}), [0], [0]).delivered.tolist() == [1]
        with pytest.raises(ChipError, match="below 1"):
            send(MESH._replace(**{name: -1}), [0], [0])


@pytest.mark.parametrize(("fabrics", "local_ports"), [(1, 58), (2, 27)])
def test_as_many_local_ports_as_an_integer_has_bits_are_one_too_many(fabrics: int, local_ports: int) -> None:
    grid = MESH._replace(width=2, height=1, fabrics=fabrics, local_ports=local_ports)
    last = 2 * local_ports - 1  # the last local port of the second tile to its neighbour, the last of the first, and itself
    assert send(grid, [last, last, last, 0], [last - 1, local_ports - 1, last, last]).delivered.tolist() == [1, 5, 1, 5]
    with pytest.raises(ChipError, match=f"{local_ports + 1} local ports a tile on {fabrics} meshes"):
        send(grid._replace(local_ports=local_ports + 1), [0], [1])


def test_packets_that_wait_for_turns_of_the_wheel_lose_no_time() -> None:
    """The wheel turns once in 8192 ticks and has lists for 4096 turns: nobody is due in most of them."""
    turn = 8192
    ready = [3, turn - 1, turn, 3 * turn + 5, 9 * turn - 1, 4100 * turn + 77, 4101 * turn, 9000 * turn + 1]
    for late in range(1, len(ready) + 1):
        drained = send(MESH, np.arange(late), np.arange(late) + 56, ready=ready[:late])  # each down its own column
        assert drained.delivered.tolist() == [at + 7 * 4 + 1 for at in ready[:late]]


def random_packets(seed: int, grid: Grid, most_ready: int) -> Packets:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 300))
    sender, receiver = rng.integers(0, grid.width * grid.height * grid.local_ports, (2, count))
    ready, work = np.sort(rng.integers(1, most_ready, count)), rng.integers(0, 40, count)
    return Packets(np.array([0, count]), sender, receiver, ready, work)


@given(st.integers(0, 10_000), st.sampled_from([2, 300, 30_000]))
@settings(max_examples=60, deadline=None)
def test_a_mesh_beside_its_copy_takes_the_times_that_it_takes_alone(seed: int, most_ready: int) -> None:
    """Alone, a packet that nobody meets in its tick passes at once; beside the copy none is alone, and all have to queue."""
    rng = np.random.default_rng(seed)
    width, height, local_ports, fabrics, buffer, chip_width = (int(n) for n in rng.integers(1, (6, 6, 4, 3, 5, 4)))
    grid = Grid(width, height, local_ports, fabrics, buffer, chip_width, height, 7, 9, 5, 11, 8, 2)
    packets, ports = random_packets(seed, grid, most_ready), width * height * local_ports
    alone = drain(grid, packets)
    twice = [np.concatenate([part, part + (ports if name in ("sender", "receiver") else 0)]) for name, part in
             zip(packets._fields[1:], packets[1:], strict=True)]  # fmt: skip
    both = drain(grid._replace(height=2 * height), Packets(packets.starts * 2, *twice))
    assert both.makespan.tolist() == alone.makespan.tolist()
    assert both.delivered.reshape(2, -1).tolist() == [alone.delivered.tolist()] * 2
    for found, expected in ((both.loads, alone.loads), (both.peaks, alone.peaks)):
        halves = found.reshape(fabrics, 2, height * width * 4)
        assert np.array_equal(halves[:, 0], halves[:, 1])
        assert np.array_equal(halves[:, 0].ravel(), expected)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_ticks_that_32_bits_cannot_hold_are_counted_in_64(seed: int) -> None:
    grid, late = MESH._replace(fabrics=2, local_ports=2, buffer=2), 1 << 31
    packets = random_packets(seed, grid, 200)
    soon, later = (drain(grid, packets._replace(ready=packets.ready + shift)) for shift in (1 << 25, late + (1 << 25)))
    assert np.array_equal(later.delivered - late, soon.delivered)
    assert np.array_equal(later.loads, soon.loads)
    assert np.array_equal(later.peaks, soon.peaks)
    state = layout(grid, len(packets.ready))
    assert narrow(grid, packets)
    assert not narrow(grid, packets._replace(ready=packets.ready + late))
    assert not narrow(grid, packets._replace(work=packets.work + late // len(packets.work)))
    assert empty(state, grid, np.int32).tolist() == empty(state, grid).tolist()


@given(st.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
def test_emulated_packets_are_those_that_were_counted(seed: int) -> None:
    network = random_network(seed)
    chip = small(neurons=60, mesh={"width": 6, "height": 5, "cores_per_tile": 1 + seed % 3}, memory_bits=None)
    placement = neuro.place(network, chip, board="auto")
    chip_run = neuro.emulate(network, placement, random_inputs(network, 2, seed), engine="reference", noc="packet")
    counts, traffic, times = chip_run.counts, chip_run.traffic, chip_run.step_times
    assert traffic.packets == counts.packets
    assert np.array_equal(traffic.loads.sum(axis=0).ravel(), counts.links)
    assert (times.network >= times.receive - 0.2).all()  # ticks are rounded
    assert (times.network <= times.send + times.receive.sum() + 1000).all()
    assert chip_run.bill.latency_ns >= neuro.emulate(
        network, placement, random_inputs(network, 2, seed), engine="reference"
    ).bill.latency_ns - 0.2 * counts.steps  # fmt: skip
    assert chip_run.price(placement.chip).latency_ns == chip_run.bill.latency_ns


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mesh": {"multicast": "tree"}}, "branch"),
        ({"time": {"hop_x": None}}, "hop_x"),
        ({"time": {"link_service": 0.0}}, "link"),
    ],
)
def test_packets_that_branch_or_have_no_pace_are_not_simulated(changes: dict, says: str) -> None:
    network = random_network(1)
    placement = neuro.place(network, small(**changes))
    with pytest.raises(ChipError, match=f'{says}.*noc="analytic"'):
        neuro.emulate(network, placement, random_inputs(network, 1, 1), engine="reference", noc="packet")


@pytest.mark.parametrize("firsts", [(0,), (0, 7), (7, 0), (13, 6, 0)], ids=str)
def test_as_many_evenly_spread_samples_are_kept_as_hold_the_packets_allowed(firsts: tuple[int, ...]) -> None:
    """Of blocks that begin with these samples and come in this order."""
    network = random_network(7)
    placement, inputs = neuro.place(network, small(neurons=40)), random_inputs(network, 20, 7)
    blocks: list[tuple[int, dict]] = []
    for first in firsts:
        part = inputs[first : min((other for other in firsts if other > first), default=20)]
        neuro.run(network, part, threads=1, observe=lambda _, messages, first=first: blocks.append((first, messages)))
    tables = Tables(placement, 6)
    whole = PacketSampler(tables, 1)
    for block in blocks:
        whole.observe(*block)
    packets, every = [whole.kept[sample][0] for sample in range(20)], whole.finish()
    for share in (1, 3, 11, 10_000):
        most = sum(packets) // share
        some = PacketSampler(tables, 1, most)
        for block in blocks:
            some.observe(*block)
        stride = next(k for k in (1, 2, 4, 8, 16, 32) if sum(packets[::k]) <= most or k == 32)
        kept = some.finish()
        assert kept.samples.tolist() == list(range(0, 20, stride))
        for name, messages in kept.messages.items():
            counts = np.diff(every.messages[name].offsets).reshape(20, -1)
            assert np.array_equal(np.diff(messages.offsets).reshape(-1, counts.shape[1]), counts[::stride])
            chosen = np.isin(np.repeat(np.arange(20), counts.sum(axis=1)), kept.samples)
            assert np.array_equal(messages.neurons, every.messages[name].neurons[chosen])
