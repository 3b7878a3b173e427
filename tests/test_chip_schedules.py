"""Schedules of packets worked out by hand on meshes of a few tiles: who waits for whom, and until which tick."""

import numpy as np
import pytest

from neuro.chip.packets.grid import Grid, Packets
from neuro.chip.packets.noc import DrainResult, drain

ROW = Grid(4, 1, 1, 1, 16, 4, 1, hop_x=2, hop_y=3, service=5, across_hop=0, across_service=5, local=0)
EAST, WEST, SOUTH, NORTH = range(4)


def send(grid: Grid, *packets: tuple[int, ...]) -> DrainResult:
    """Packets (sender, receiver, ready, work)."""
    sender, receiver, ready, work = np.array(packets, np.int64).T
    return drain(grid, Packets(np.array([0, len(packets)]), sender, receiver, ready, work))


def at(grid: Grid, *packets: tuple[int, ...]) -> list[int]:
    return send(grid, *packets).delivered.tolist()


def test_a_link_takes_a_packet_each_service_time_and_a_door_each_work_time() -> None:
    assert at(ROW, (0, 1, 0, 1), (0, 1, 0, 1), (0, 1, 0, 1)) == [3, 8, 13]  # 2 ticks of hop, 1 of work, 5 apart
    assert at(ROW, (0, 1, 0, 9), (0, 1, 0, 9), (0, 1, 0, 1)) == [11, 20, 21]  # the local port is slower than the link
    assert at(ROW._replace(local=4), (0, 1, 0, 9), (0, 1, 0, 9)) == [15, 24]  # the way through a local port keeps nobody waiting
    assert at(ROW, (2, 2, 7, 1), (2, 2, 7, 1), (2, 2, 8, 1)) == [8, 9, 10]
    assert at(ROW, (0, 1, 0, 1), (0, 1, 4, 1), (0, 1, 30, 1)) == [3, 8, 33]


def test_packets_go_along_x_first_then_along_y() -> None:
    grid = ROW._replace(width=3, height=3, chip_width=3, chip_height=3)
    for sender, receiver, links in (
        (0, 8, [(0, EAST), (1, EAST), (2, SOUTH), (5, SOUTH)]),
        (8, 0, [(8, WEST), (7, WEST), (6, NORTH), (3, NORTH)]),
        (6, 1, [(6, EAST), (7, NORTH), (4, NORTH)]),
        (2, 3, [(2, WEST), (1, WEST), (0, SOUTH)]),
        (4, 4, []),
    ):
        drained = send(grid, (sender, receiver, 0, 1))
        assert np.flatnonzero(drained.loads).tolist() == sorted(tile * 4 + way for tile, way in links)
        assert np.array_equal(drained.peaks, drained.loads)
        assert drained.delivered[0] == sum(2 if way < SOUTH else 3 for _, way in links) + 1


def test_packets_on_their_way_go_before_new_ones() -> None:
    grid = ROW._replace(hop_x=5)
    # the first of tile 0 reaches tile 1 at 5, when tile 1's own second packet would go; it waits until 10
    assert at(grid, (1, 2, 0, 1), (1, 2, 0, 1), (0, 2, 0, 1)) == [6, 16, 11]
    assert at(grid, (1, 2, 0, 1), (1, 2, 0, 1), (0, 2, 1, 1)) == [6, 11, 16]


def test_ports_are_served_in_turn() -> None:
    grid = ROW._replace(width=3, height=3, chip_width=3, chip_height=3, hop_x=1, hop_y=1, service=1, across_service=1)
    # west, north, south and east neighbours send two each to the middle, which takes 10 ticks for each
    # all first ones stand there at tick 1; links are served after the one served last: east, north, south, west
    packets = [(tile, 4, 0, 10) for tile in (5, 1, 7, 3)] * 2
    assert at(grid, *packets) == [11, 21, 31, 41, 51, 61, 71, 81]


def test_senders_of_one_tile_take_turns() -> None:
    grid = ROW._replace(local_ports=3)
    assert at(grid, (0, 3, 0, 1), (0, 3, 0, 1), (1, 3, 0, 1), (2, 3, 0, 1)) == [3, 18, 8, 13]
    assert at(grid, (0, 3, 0, 9), (1, 4, 0, 9), (2, 5, 0, 9)) == [11, 16, 21]  # local ports of their own work side by side


@pytest.mark.parametrize("buffer", [1, 2])
def test_a_packet_enters_a_link_only_when_the_next_port_has_room(buffer: int) -> None:
    grid = ROW._replace(buffer=buffer, hop_x=1, service=1, across_service=1)
    drained = send(grid, *[(0, 3, 0, 100)] * 8)
    assert drained.delivered.tolist() == [103 + 100 * i for i in range(8)]
    assert drained.peaks[[0, 4, 8]].tolist() == [buffer] * 3
    # one is in the port of tile 3, `buffer` wait in each of tiles 3, 2 and 1, one in tile 0 with the packet to tile 1 behind it:
    # at 103 all move up by one, at 203 the last enters the first link
    behind = send(grid, *[(0, 3, 0, 100)] * (3 * buffer + 2), (0, 1, 0, 1))
    assert behind.delivered[-1] == 205


def test_a_step_begins_with_an_empty_mesh() -> None:
    sender, receiver = np.array([0, 0, 0, 0]), np.array([3, 3, 3, 3])
    packets = Packets(np.array([0, 2, 2, 4]), sender, receiver, np.zeros(4, np.int64), np.array([7, 7, 7, 7]))
    drained = drain(ROW, packets)
    assert drained.delivered.tolist() == [13, 20, 13, 20]
    assert drained.makespan.tolist() == [20, 0, 20]
    assert drained.loads[[0, 4, 8]].tolist() == [4, 4, 4]


def test_two_meshes_share_the_packets_of_a_sender_and_meet_at_the_door() -> None:
    grid = ROW._replace(fabrics=2)
    drained = send(grid, *[(0, 1, 0, 1)] * 5)
    assert sorted(drained.delivered.tolist()) == [3, 4, 8, 9, 13]
    assert drained.loads[[0, 16]].tolist() == [3, 2]
    assert drained.loads.sum() == 5
    both = grid._replace(local_ports=2)
    drained = send(both, (6, 3, 0, 10), (6, 3, 0, 10), (7, 3, 0, 10), (7, 3, 0, 10), (2, 3, 0, 10), (3, 3, 0, 10))
    assert sorted(drained.delivered.tolist()) == [10, 20, 30, 40, 50, 60]
    assert np.flatnonzero(drained.loads).tolist() == [9, 13, 25, 29]
    # at 10 the local port of tile 1 has served its own first packet, on mesh 0; next in turn is the link of mesh 1, then that of
    # mesh 0, and then only its own second packet, though mesh 1 had it from the beginning
    assert at(grid, (1, 1, 0, 10), (1, 1, 0, 10), (0, 1, 0, 1), (0, 1, 0, 1)) == [10, 22, 12, 11]


@pytest.mark.parametrize("late", [1, 63, 64, 8191, 8192, 8193, 20_000, 8192 * 5000 + 17])
def test_ticks_beyond_a_turn_of_the_wheel_are_like_the_others(late: int) -> None:
    assert at(ROW, (0, 1, late, 1), (0, 1, late, 1), (3, 2, 0, 1)) == [late + 3, late + 8, 3]
    assert at(ROW, (0, 1, 0, late), (2, 1, 1, 1), (3, 3, late, 1)) == [late + 2, late + 3, late + 1]
    slow = ROW._replace(service=late, across_service=late)
    assert at(slow, *[(0, 1, 0, 1)] * 3) == [3, 3 + late, 3 + 2 * late]


def test_chips_meet_every_few_columns_and_rows() -> None:
    grid = ROW._replace(width=4, height=6, chip_width=2, chip_height=3, across_hop=100, across_service=50)
    for sender, receiver, took in (
        (0, 1, 2), (1, 2, 102), (2, 3, 2), (3, 2, 2), (2, 1, 102), (1, 0, 2),
        (0, 4, 3), (4, 8, 3), (8, 12, 103), (12, 16, 3), (16, 12, 3), (12, 8, 103), (8, 4, 3),
        (9, 10, 102), (13, 9, 103), (5, 6, 102),
    ):  # fmt: skip
        assert at(grid, (sender, receiver, 0, 1)) == [took + 1], (sender, receiver)
    assert at(grid, *[(8, 12, 0, 1)] * 3) == [104, 154, 204]
    assert at(grid, *[(0, 4, 0, 1)] * 3) == [4, 9, 14]
