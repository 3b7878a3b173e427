"""Counting worked out by hand: what each message adds to which core, step, link and sample."""

import numpy as np
import pytest

import neuro
from neuro.chip import counts
from neuro.chip.tally import ClassTable, TallySums, tally
from tests.chips import small


def ints(*values) -> np.ndarray:
    return np.array(values, np.int64)


def table() -> ClassTable:
    """Neurons 0 and 2 (class 0) lie on core 0 and send to cores 0 and 1; neuron 1 (class 1) is the host's and sends to core 1."""
    return ClassTable(
        classes=np.array([0, 1, 0], np.int32),
        rows=ints(0, 2),
        sent=ints(2, 1),
        packet_starts=ints(0, 2, 3),
        packet_rows=ints(0, 1, 1),
        visit_starts=ints(0, 1, 3, 4),
        visits=ints((0, 1, 10), (0, 1, 4), (1, 2, 100), (1, 0, 7)),
        windows=ints((1, 1, 4), (2, 3, 4)),  # delay; from which step to which the target is switched on
        hops=ints((3, 1, 1, 1), (0, 2, 0, 0)),
        far=ints((2, 1, 1), (0, 4, 0)),
        link_starts=ints(0, 2, 3),
        links=ints(5, 7, 7),
        loads=ints(2, 1, 1),
    )


def nothing(steps: int) -> TallySums:
    """No counts yet, on three rows and eight links, one sample kept apart."""
    return TallySums(
        totals=np.zeros((steps, 3, 6), np.int64),
        hops=np.zeros((steps, 4), np.int64),
        links=np.zeros(8, np.int64),
        each=np.zeros((1, steps, 3, 6), np.int32),
        far=np.zeros((1, steps, 3), np.int32),
        loads=np.zeros((1, steps, 8), np.int32),
    )


def test_every_message_is_counted_where_and_when_it_acts() -> None:
    sums = nothing(4)
    sent = [[0, 1, 2], [], [1], [0], [2], [0, 1], [0, 2], [1, 2]]  # four steps of sample 0, then of sample 1
    offsets = np.cumsum([0, *map(len, sent)])
    tally(offsets, np.concatenate(sent).astype(np.int32), table(), ints(-1, 0), sums)
    # spikes, packets out, packets in; synops of each encoding one or two steps later, where the target is switched on
    assert sums.totals.tolist() == [
        [[3, 6, 3, 0, 0, 0], [0, 0, 4, 0, 0, 0], [1, 1, 0, 0, 0, 0]],
        [[1, 2, 1, 0, 30, 0], [0, 0, 2, 0, 12, 0], [1, 1, 0, 0, 0, 0]],
        [[2, 4, 2, 0, 10, 0], [0, 0, 3, 0, 4, 0], [1, 1, 0, 0, 0, 0]],
        [[2, 4, 2, 0, 20, 0], [0, 0, 3, 7, 8, 100], [1, 1, 0, 0, 0, 0]],
    ]
    assert sums.hops.tolist() == [[9, 5, 3, 3], [3, 3, 1, 1], [6, 4, 2, 2], [6, 4, 2, 2]]
    assert sums.links.tolist() == [0, 0, 0, 0, 0, 16, 0, 12]
    # sample 1 alone, synops at the step of sending
    assert sums.each[0].tolist() == [
        [[1, 2, 1, 0, 10, 0], [0, 0, 1, 0, 4, 0], [0, 0, 0, 0, 0, 0]],
        [[1, 2, 1, 0, 10, 0], [0, 0, 2, 7, 4, 100], [1, 1, 0, 0, 0, 0]],
        [[2, 4, 2, 0, 20, 0], [0, 0, 2, 0, 8, 0], [0, 0, 0, 0, 0, 0]],
        [[1, 2, 1, 0, 0, 0], [0, 0, 2, 0, 0, 0], [1, 1, 0, 0, 0, 0]],
    ]
    assert sums.far[0].tolist() == [[2, 1, 1], [0, 4, 0], [2, 1, 1], [0, 4, 0]]
    assert sums.loads[0, :, [5, 7]].T.tolist() == [[2, 1], [2, 2], [4, 2], [2, 2]]
    assert sums.loads.sum() == 17


def test_of_packets_that_go_equally_far_the_first_is_kept() -> None:
    sums = nothing(4)
    alike = table()._replace(far=ints((2, 1, 1), (0, 3, 0)))
    tally(ints(0, 2, 4, 4, 4), np.array([0, 1, 1, 2], np.int32), alike, ints(0), sums)
    assert sums.far[0].tolist() == [[2, 1, 1], [0, 3, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("samples", "room", "stride"),
    [(8, 8, 1), (8, 7, 2), (8, 4, 2), (8, 3, 4), (9, 3, 4), (9, 2, 8), (9, 1, 16), (9, 0, 16), (1, 0, 1)],
)
def test_every_so_many_th_sample_fits(samples: int, room: int, stride: int) -> None:
    assert counts._stride(samples, room) == stride


def test_blocks_of_samples_are_cut_in_pieces_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_MOST_BYTES", 1200)
    assert counts._pieces(7, 100) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert counts._pieces(2, 100) == [slice(0, 2)]
    assert counts._pieces(2, 1000) == [slice(0, 1), slice(1, 2)]


def test_tables_are_estimated_from_their_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_MOST_BYTES", 1000)
    each = 2 * 3 * 6 * 4  # two steps and three rows of six numbers
    assert counts._counted_bytes(2, 2, 3, 5) == 2 * each + 2 * each + 8 * 5 + 1000
    assert counts._counted_bytes(100, 2, 3, 5) == 2 * each + 1000 + 8 * 5 + 1000
    assert counts._counted_bytes(1, 20, 3, 50) == 2 * 10 * each + 10 * each + 8 * 50 + 4 * 20 * 50


@pytest.mark.parametrize(("most_bytes", "timed"), [(1 << 28, [0, 1, 2, 3, 4]), (720, [0, 2, 4])])
def test_packets_from_chip_to_chip(most_bytes: int, timed: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_MOST_BYTES", most_bytes)  # 720: every other sample apart, one sample after the other
    network = neuro.Network(
        (
            neuro.Population("a", (1,), neuro.Source("rate", levels=1)),
            neuro.Population("b", (3,), neuro.IntegrateAndFire(1, start_step=1)),
        ),
        (neuro.Dense("a", "b", np.ones((1, 3), int)),),
        timesteps=1,
    )
    mesh = {
        "width": 2,
        "height": 1,
        "cores_per_tile": 1,
        "chips_x": 2,
    }  # a on tile 0, b on tile 1, and on 2 and 3 of the next chip
    placement = neuro.place(network, small(neurons=1, mesh=mesh), method="sequential")
    found = neuro.emulate(network, placement, np.array([[1], [0], [1], [1], [1]]), engine="reference").counts
    assert found.timed.tolist() == timed
    assert found.links.tolist() == [4 * n for n in (3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)]
    assert found.hops.tolist() == [[24, 0, 0, 8], [0, 0, 0, 0]]
    assert found.synops["dense"].tolist() == [[0, 0, 0, 0, 0], [0, 4, 4, 4, 0]]
    sent = [min(sample, 1) for sample in (1, 0, 1, 1, 1)]
    assert found.heaviest[:, 0].tolist() == [[3 * sent[i], 2 * sent[i]] for i in timed]
    assert found.far[:, 0].tolist() == [[3 * sent[i], 0, sent[i]] for i in timed]
    assert found.each[:, 0, 0, :3].tolist() == [[sent[i], 3 * sent[i], 0] for i in timed]
    assert not found.heaviest[:, 1].any()
    assert (found.samples, found.steps, found.chips, found.tiles, found.host_reads) == (5, 2, 2, 4, 0)
    assert found.packets == 12
