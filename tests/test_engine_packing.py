"""Packed tables of tiny projections, compared entry by entry with tables written by hand, and networks at their borders."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.engine import pack
from neuro.engine import tables as T
from neuro.engine.bounds import Bound, as_convolution, bounds, is_depthwise
from neuro.engine.layout import LONGEST_ROW, Layout
from neuro.engine.listed import FAR
from neuro.engine.listing import list_by_row
from neuro.engine.pack import Packer
from neuro.engine.plan import make_plan
from tests.laws import law
from tests.runs import same

BIG = 2**15 - 1


def join(projection: neuro.projections.Projection, source: tuple[int, ...], target: tuple[int, ...]) -> neuro.Network:
    populations = (neuro.Population("in", source, neuro.Source()), neuro.Population("p", target, neuro.IntegrateAndFire(7)))
    return neuro.Network(populations, (projection,))


def packed(projection: neuro.projections.Projection, source: tuple[int, ...], target: tuple[int, ...]) -> tuple[Any, ...]:
    """The projection's record, its population's, and the arenas by name."""
    plan = make_plan(join(projection, source, target), {"in": (0, 1)})
    names = ("narrow", "tables", "small", "wide", "targets", "pointers")
    return plan.projections[0], plan.populations[1], dict(zip(names, plan.arenas, strict=True))


def conv(weights: Any, *args: Any, **options: Any) -> neuro.Conv2d:
    return neuro.Conv2d("in", "p", np.asarray(weights), *args, **options)


def columns(row: Any, arenas: Any, width: int, entries: int) -> list[list[int]]:
    return arenas["tables"][row["columns_at"] :][: width * entries].reshape(width, entries).tolist()


ROW = np.arange(1, 7).reshape(1, 2, 1, 3)  # two channels to one, by taps 1 2 3 and 4 5 6 along a row


def test_neighbouring_taps_are_one_run_that_begins_in_the_halo() -> None:
    row, population, arenas = packed(conv(ROW, padding=((0, 0), (1, 1)), delay=2), (2, 1, 4), (1, 1, 4))
    assert (population["halo"], population["acc_row"]) == (1, 6)  # one column left, one right
    fields = (
        "kind",
        "delay",
        "kernel_rows",
        "stride_y",
        "pad_y",
        "dilation_y",
        "channels",
        "taps",
        "tap_lanes",
        "groups_at",
        "fan_at",
    )
    assert [int(row[name]) for name in fields] == [T.CONV, 2, 1, 1, 0, 1, 2, 1, 0, -1, -1]
    assert (
        arenas["narrow"].tolist() == [3, 2, 1] + [0] * 13 + [6, 5, 4] + [0] * 13 + [0] * 32
    )  # a run of half a vector; arenas end in a vector
    assert arenas["narrow"].dtype == np.int8
    assert columns(row, arenas, 4, T.COLUMN) == [[0, 0, 16, 2], [1, 0, 16, 3], [2, 0, 16, 3], [3, 0, 16, 2]]


def test_strides_make_phases_with_weights_of_their_own() -> None:
    row, population, arenas = packed(conv(ROW, (1, 2)), (2, 1, 6), (1, 1, 2))
    assert (population["halo"], population["acc_row"]) == (1, 6)  # column 0 reaches -1, column 5 with taps of weight 0 column 4
    assert (row["taps"], row["tap_lanes"]) == (1, 0)
    assert arenas["narrow"][:64].reshape(4, 16)[:, :2].tolist() == [[3, 1], [6, 4], [2, 0], [5, 0]]
    assert columns(row, arenas, 6, T.COLUMN) == [
        [0, 0, 16, 1], [1, 32, 16, 1], [1, 0, 16, 2], [2, 32, 16, 1], [2, 0, 16, 1], [3, 32, 16, 0],
    ]  # fmt: skip


def test_a_stride_longer_than_the_kernel_leaves_columns_without_targets() -> None:
    row, population, arenas = packed(conv(ROW[..., :1], (1, 2)), (2, 1, 4), (1, 1, 2))
    assert (population["halo"], population["acc_row"]) == (0, 2)
    assert [entry[3] for entry in columns(row, arenas, 4, T.COLUMN)] == [1, 0, 1, 0]
    same(join(conv(ROW[..., :1], (1, 2)), (2, 1, 4), (1, 1, 2)), np.ones((1, 2, 2, 1, 4), int), 2)


def test_dilated_taps_are_runs_apart() -> None:
    weights = np.arange(1, 9).reshape(2, 2, 1, 2)  # two targets, two sources
    row, population, arenas = packed(conv(weights, dilation=(1, 3)), (2, 1, 5), (2, 1, 2))
    assert (population["halo"], population["acc_row"]) == (6, (3 + 2 + 3) * 2)
    assert (row["taps"], row["tap_lanes"], row["channels"]) == (2, 6, 2)
    runs = arenas["narrow"][:64].reshape(2, 2, 16)  # source channel, tap, lanes: the last kernel column first
    assert runs[:, :, :2].tolist() == [[[2, 6], [1, 5]], [[4, 8], [3, 7]]]
    assert not runs[:, :, 2:].any()
    assert columns(row, arenas, 5, T.COLUMN) == [
        [0, 0, 16, 2], [2, 0, 16, 2], [4, 0, 16, 0], [6, 0, 16, 2], [8, 0, 16, 2],
    ]  # fmt: skip


def test_groups_send_channels_to_lanes_of_their_own() -> None:
    weights = np.arange(1, 17).reshape(4, 2, 1, 2)  # two groups: 2 of 4 sources to 2 of 4 targets
    row, _, arenas = packed(conv(weights, groups=2), (4, 1, 3), (4, 1, 2))
    assert arenas["tables"][row["groups_at"] :][:4].tolist() == [0, 0, 2, 2]
    assert (row["taps"], row["tap_lanes"], row["channels"]) == (2, 4, 4)
    runs = arenas["narrow"][: 4 * 2 * 16].reshape(4, 2, 16)
    assert runs[:, :, :2].tolist() == [[[2, 6], [1, 5]], [[4, 8], [3, 7]], [[10, 14], [9, 13]], [[12, 16], [11, 15]]]
    assert [entry[2:] for entry in columns(row, arenas, 3, T.COLUMN)] == [[16, 2], [16, 4], [16, 2]]


def test_depthwise_kernels_repeat_for_every_target_column() -> None:
    weights = np.arange(1, 7).reshape(2, 1, 1, 3)
    row, population, arenas = packed(conv(weights, padding=((0, 0), (1, 1)), groups=2), (2, 1, 3), (2, 1, 3))
    assert (population["halo"], population["acc_row"]) == (0, 6)  # spread rows need no halo
    assert [int(row[name]) for name in ("kind", "row_weights", "blocks", "runs", "spread")] == [T.DEPTHWISE, 96, 1, 3, 10]
    lanes = arenas["narrow"][:96].reshape(3, 32)
    assert lanes[:, :6].tolist() == [[1, 4] * 3, [2, 5] * 3, [3, 6] * 3]
    assert not lanes[:, 6:].any()
    assert arenas["tables"][row["runs_at"] :][:6].tolist() == [0, 0, 2, 32, 4, 64]
    assert columns(row, arenas, 3, T.DEPTHWISE_COLUMN) == [[2, 2], [2, 3], [2, 2]]


def test_strided_depthwise_kernels_read_one_phase_after_the_other() -> None:
    weights = np.arange(1, 7).reshape(2, 1, 1, 3)
    row, _, arenas = packed(conv(weights, (1, 2), padding=((0, 0), (1, 0)), groups=2), (2, 1, 4), (2, 1, 2))
    assert row["spread"] == 2 * (2 + 1) * 2  # two phases of 2 columns and one before them
    # target x reads columns 2x - 1, 2x, 2x + 1: odd phase from -1, even phase from 0, odd phase from 0
    assert arenas["tables"][row["runs_at"] :][:6].tolist() == [6, 0, 2, 32, 8, 64]
    # column x moves from lane 2x to phase x % 2, place x // 2 + 1
    assert columns(row, arenas, 4, T.DEPTHWISE_COLUMN) == [[2 - 0, 1], [8 - 2, 2], [4 - 4, 1], [10 - 6, 1]]


def test_dense_rows_are_whole_halves_of_vectors_channels_last() -> None:
    weights = np.arange(1, 13).reshape(4, 3)
    row, _, arenas = packed(neuro.Dense("in", "p", weights), (2, 1, 2), (3,))
    assert [int(row[name]) for name in ("kind", "row_weights", "target_rows", "flush_every")] == [T.DENSE, 16, 1, BIG // 12]
    assert arenas["narrow"][:64].reshape(4, 16)[:, :3].tolist() == weights[[0, 2, 1, 3]].tolist()
    row, _, arenas = packed(neuro.Dense("in", "p", np.ones((2, 17), int)), (2,), (17,))
    assert (row["row_weights"], row["flush_every"]) == (32, BIG)
    assert len(arenas["narrow"]) == 2 * 32 + 32
    assert packed(neuro.Dense("in", "p", np.zeros((2, 17), int)), (2,), (17,))[0]["flush_every"] == BIG


@pytest.mark.parametrize(("most", "kind"), [(BIG, T.DENSE), (-BIG, T.DENSE), (BIG + 1, T.SPARSE_WIDE), (-BIG - 1, T.SPARSE_WIDE)])
def test_dense_weights_beyond_16_bits_are_listed(most: int, kind: int) -> None:
    projection = neuro.Dense("in", "p", np.array([[1, most]]))
    row, _, _ = packed(projection, (1,), (2,))
    assert row["kind"] == kind
    same(join(projection, (1,), (2,)), np.ones((1, 3, 1), int), 3)


@pytest.mark.parametrize(("most", "kind"), [(127, np.int8), (-127, np.int8), (128, np.int16), (-128, np.int16)])
def test_weights_of_8_bits_are_stored_in_8(most: int, kind: type) -> None:
    projection = neuro.Dense("in", "p", np.array([[1, most]]))
    assert packed(projection, (1,), (2,))[2]["narrow"].dtype == kind
    same(join(projection, (1,), (2,)), np.ones((1, 3, 1), int), 3)


def listed(pairs: list[tuple[int, int, int]]) -> neuro.Sparse:
    return neuro.Sparse("in", "p", tuple(np.array(pairs).T))


def test_lists_are_sorted_by_source_with_pointers_between_them() -> None:
    row, _, arenas = packed(listed([(3, 20, 5), (1, 4, -2), (3, 2, 7)]), (5,), (30,))
    assert (row["kind"], row["sources"], row["pointers_at"], row["weights_at"]) == (T.SPARSE, 5, 0, 0)
    assert arenas["targets"][:3].tolist() == [4, 2, 20]
    assert arenas["targets"].dtype == np.uint16
    assert arenas["small"][:3].tolist() == [-2, 7, 5]
    assert arenas["pointers"][:6].tolist() == [0, 0, 1, 1, 3, 3]


def test_long_populations_have_a_list_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuro.engine.layout.LONGEST_ROW", 16)
    row, population, arenas = packed(listed([(1, 20, 5), (1, 4, -2), (0, 16, 7)]), (2,), (30,))
    assert (population["rows"], population["lanes"]) == (2, 15)
    assert arenas["targets"][:3].tolist() == [4, 1, 5]
    assert arenas["small"][:3].tolist() == [-2, 7, 5]
    assert arenas["pointers"][:5].tolist() == [0, 0, 1, 2, 3]
    row, _, arenas = packed(neuro.Dense("in", "p", np.arange(60).reshape(2, 30)), (2,), (30,))
    rows = arenas["narrow"][: 2 * 2 * 16].reshape(2, 2, 16)
    assert rows[..., :15].reshape(2, 30).tolist() == np.arange(60).reshape(2, 30).tolist()
    assert not rows[..., 15].any()


def test_second_lists_follow_the_first() -> None:
    network = neuro.Network(
        (neuro.Population("in", (2,), neuro.Source()), neuro.Population("p", (40,), neuro.IntegrateAndFire(7))),
        (listed([(0, 3, 1)]), neuro.Sparse("in", "p", tuple(np.array([[0, 1], [5, 6], [70_000, 2]])), delay=2)),
    )
    plan = make_plan(network, {"in": (0, 1)})
    first, second = plan.projections
    assert (first["kind"], second["kind"]) == (T.SPARSE, T.SPARSE_WIDE)
    assert plan.arenas[4][:3].tolist() == [3, 5, 6]
    assert (second["pointers_at"], second["weights_at"]) == (3, -1)  # places in `targets`, weights in an arena of their own
    assert plan.arenas[5][3:6].tolist() == [1, 2, 3]
    assert plan.arenas[3][:2].tolist() == [70_000, 2]


@pytest.mark.parametrize(
    ("pairs", "kind"),
    [
        ([(0, 0, 3), (1, 5, 2)], T.DENSE),  # 2 of 2 x 11 pairs: more than one in 12
        ([(0, 0, 3)], T.SPARSE),
        ([(0, 0, 3), (0, 0, 2)], T.SPARSE),  # twice the same pair
        ([(0, 0, BIG), (1, 5, 2)], T.DENSE),
        ([(0, 0, BIG + 1), (1, 5, 2)], T.SPARSE_WIDE),
    ],
)
def test_lists_of_many_pairs_are_executed_as_dense_rows(pairs: list[tuple[int, int, int]], kind: int) -> None:
    projection = listed(pairs)
    row, _, arenas = packed(projection, (2,), (11,))
    assert row["kind"] == kind
    if kind == T.DENSE:
        assert (row["row_weights"], row["target_rows"]) == (16, 1)
        assert row["flush_every"] == BIG // pairs[0][2]
        assert arenas["tables"][row["fan_at"] :][:2].tolist() == [1, 1]
        assert [arenas["narrow"][i * 16 + j] for i, j, _ in pairs] == [w for _, _, w in pairs]
    same(join(projection, (2,), (11,)), np.ones((1, 3, 2), int), 3)


def test_exactly_one_pair_in_twelve_stays_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    assert packed(listed([(0, 0, 1), (1, 3, 2)]), (2,), (12,))[0]["kind"] == T.SPARSE
    assert packed(listed([(0, 0, 1), (1, 3, 2), (1, 4, 2)]), (2,), (12,))[0]["kind"] == T.DENSE
    for limit, kind in ((24, T.DENSE), (23, T.SPARSE)):
        monkeypatch.setattr(pack, "DENSE_LIMIT", limit)
        assert packed(listed([(0, 0, 1), (1, 3, 2), (1, 4, 2)]), (2,), (12,))[0]["kind"] == kind


SIGNED = np.array([[[[3, -5]], [[2, 4]]], [[[1, 1]], [[-9, 0]]]])  # (2, 2, 1, 2): sums +9 -5 and +2 -9


@pytest.mark.parametrize(
    ("projection", "payloads", "expected"),
    [
        (conv(SIGNED), (0, 1), Bound(9, 9, False)),
        (conv(SIGNED), (-1, 1), Bound(14, 14, False)),
        (conv(SIGNED), (0, 3), Bound(27, 27, True)),
        (conv(SIGNED), (-4, 1), Bound(56, 56, True)),
        (conv(SIGNED.transpose(0, 1, 3, 2)), (0, 1), Bound(9, 7, False)),  # by kernel rows: 5 - 0 and 4 - 5, 1 - 9 and 1
        (neuro.Dense("in", "p", np.array([[3, -4], [2, -5], [-1, 6], [0, 0]])), (0, 1), Bound(9, 6, False)),
        (neuro.Dense("in", "p", np.array([[3, -4], [2, -5], [-1, 6], [0, 0]])), (-1, 1), Bound(15, 15, False)),
        (neuro.Dense("in", "p", np.array([[1, BIG]] * 4)), (0, 1), Bound(4 * BIG, BIG, False)),
        (neuro.Dense("in", "p", np.array([[1, BIG + 1]] * 4)), (0, 1), Bound(4 * BIG + 4, BIG + 1, True)),
        (listed([(0, 0, 3), (1, 0, 4), (2, 0, -6), (3, 1, -8)]), (0, 1), Bound(8, 8, False)),
        (listed([(0, 0, 3), (1, 0, 4), (2, 0, -6), (3, 1, -8)]), (-1, 1), Bound(13, 13, False)),  # into one target
        (listed([(0, 0, 3), (1, 0, 4), (2, 0, -6), (3, 1, -8)]), (0, 2), Bound(16, 16, True)),
        (listed([(0, 0, 3), (1, 0, 5), (2, 0, -7)]), (0, 0), Bound(0, 0, False)),
    ],
)
def test_bounds_are_the_largest_sums_of_one_sign(projection, payloads: tuple[int, int], expected: Bound) -> None:
    across = isinstance(projection, neuro.Conv2d) and projection.weights.shape[2] == 2
    source = ((2, 2, 1) if across else (2, 1, 2)) if isinstance(projection, neuro.Conv2d) else (4,)
    target = (2, 1, 1) if isinstance(projection, neuro.Conv2d) else (2,)
    if across:
        expected = Bound(9, 9, False)
    assert bounds(projection, join(projection, source, target), payloads) == expected


def test_what_is_a_convolution_and_what_is_not() -> None:
    def form(projection: Any, source: tuple[int, ...], target: tuple[int, ...]) -> neuro.Conv2d | None:
        return as_convolution(projection, join(projection, source, target))

    each = form(neuro.OneToOne("in", "p", np.array([3, -2]), delay=4), (2, 1, 3), (2, 1, 3))
    assert each is not None
    assert (each.weights.tolist(), each.groups, each.delay) == ([[[[3]]], [[[-2]]]], 2, 4)
    assert is_depthwise(each)
    assert form(neuro.OneToOne("in", "p", 3), (2, 5), (2, 5)) is not None
    assert form(neuro.OneToOne("in", "p", 3), (5,), (5,)) is None
    assert form(neuro.OneToOne("in", "p", 3, 3), (1, 1, 3), (2, 1, 3)) is None
    assert form(neuro.OneToOne("in", "p", 3), (1, 1, 3), (2, 1, 3)) is None
    assert form(neuro.OneToOne("in", "p", 3), (2, 1, 3), (2, 3, 1)) is None
    for most, fits in ((BIG, True), (-BIG, True), (BIG + 1, False)):
        assert (form(conv([[[[most]]]]), (1, 1, 2), (1, 1, 2)) is not None) == fits
    assert not is_depthwise(conv(np.ones((4, 1, 1, 1), int), groups=2))
    assert not is_depthwise(conv(np.ones((2, 2, 1, 1), int)))


def test_listed_targets_take_16_bits_where_every_lane_has_such_a_number() -> None:
    for width, kind in ((2**14, np.uint16), (2**14 + 1, np.uint32)):
        last = 4 * width - 1  # in memory the last lane too
        network = join(neuro.Sparse("in", "p", (np.array([0, 1]), np.array([5, last]), np.array([7, 9]))), (2,), (4, 1, width))
        plan = make_plan(network, {"in": (0, 1)})
        assert plan.arenas[4].dtype == kind
        assert plan.arenas[4][:2].tolist() == [20, last]
        spikes = neuro.run(network, np.ones((1, 2, 2), int)).spikes["p"][0]
        assert np.flatnonzero(spikes).tolist() == [5, last]


def test_halos_hold_what_padded_taps_reach() -> None:
    def halo(projection: neuro.Conv2d, width: int, target: int) -> tuple[int, int]:
        network = join(projection, (2, 1, width), (1, 1, target))
        return Packer().halo(network.projections, network, Layout.of((1, 1, target)))

    two = np.ones((1, 2, 1, 3), int)
    assert halo(conv(two), 5, 3) == (2, 2)
    assert halo(conv(two, padding=((0, 0), (2, 0))), 5, 5) == (0, 2)
    assert halo(conv(two, padding=((0, 0), (0, 2))), 5, 5) == (2, 0)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_strides_dilations_paddings_and_groups_equal_their_synapses(stride: int, dilation: int, groups: int) -> None:
    rng = np.random.default_rng(stride * 9 + dilation * 3 + groups)
    height, width, padding = 5, 7, ((2, 0), (1, 3))
    sides = [
        (n + sum(pad) - dilation * (k - 1) - 1) // stride + 1 for n, pad, k in zip((height, width), padding, (2, 3), strict=True)
    ]
    weights = rng.integers(-9, 10, (4, 4 // groups, 2, 3))
    network = join(conv(weights, stride, padding, dilation, groups=groups), (4, height, width), (4, *sides))
    same(network, rng.integers(0, 2, (2, 4, 4, height, width)), 4)
    same(network, rng.integers(-2, 3, (2, 4, 4, height, width)), 4)


@pytest.mark.parametrize(
    ("shape", "rows", "width", "channels"),
    [
        ((3, 4, 5), 4, 5, 3),
        ((2, 7), 1, 7, 2),
        ((9,), 1, 1, 9),
        ((LONGEST_ROW,), 1, 1, LONGEST_ROW),
        ((LONGEST_ROW + 3,), 2, 1, LONGEST_ROW // 2 + 2),
    ],
)
def test_rows_of_a_population(shape: tuple[int, ...], rows: int, width: int, channels: int) -> None:
    layout = Layout.of(shape)
    assert (layout.rows, layout.width, layout.channels, layout.size) == (rows, width, channels, np.prod(shape))
    assert layout.lanes == width * channels
    assert layout.spatial == (len(shape) > 1)
    positions = np.moveaxis(np.arange(layout.size).reshape(shape), 0, -1).ravel() if layout.spatial else np.arange(layout.size)
    assert np.array_equal(layout.to_memory(np.arange(layout.size)), positions)
    assert np.array_equal(layout.to_user(positions), np.arange(layout.size))
    assert np.array_equal(positions[layout.memory_index], np.arange(layout.size))


@pytest.mark.parametrize("targets", [700, LONGEST_ROW + 5])
def test_many_listed_synapses_are_asked_for_ahead_and_added_as_few_are(targets: int) -> None:
    """More than fit the nearest caches, of messages one by one, a few and many at a step."""
    rng, sources = np.random.default_rng(0), 2000
    synapses = rng.integers(0, sources, 40_000), rng.integers(0, targets, 40_000), rng.integers(-9, 10, 40_000)
    assert 2 * FAR < 40_000
    inputs = (rng.random((2, 5, sources)) < np.array([0.003, 0.02, 0.05, 0.5, 1.0])[:, None]).astype(np.int8)
    same(join(neuro.Sparse("in", "p", synapses), (sources,), (targets,)), inputs, 5, by=(1,))


@law(60)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 12), st.integers(1, 5), st.integers(0, 40), st.integers(0, 3))
def test_lists_by_row_are_those_of_sorting(seed: int, sources: int, targets: int, rows: int, count: int, halo: int) -> None:
    """In any order, with pairs that occur twice and rows that nothing reaches, against sorting by row, source and lane."""
    rng, lanes = np.random.default_rng(seed), -(-targets // rows)
    pre, post = (rng.integers(0, most, count).astype(np.int32) for most in (sources, targets))
    weight = rng.integers(-99, 100, count)
    target = Layout(-(-targets // lanes), 1, lanes, targets, False)
    starts, places, weights = list_by_row(pre, post, weight, Layout.of((sources,)), target, halo, np.int16)
    order = np.lexsort((post % lanes, pre, post // lanes))
    keys = (post // lanes * sources + pre)[order]
    assert starts.tolist() == np.searchsorted(keys, np.arange(target.rows * sources + 1)).tolist()
    assert places.tolist() == (post % lanes + halo)[order].tolist()
    assert weights.tolist() == weight[order].tolist()
