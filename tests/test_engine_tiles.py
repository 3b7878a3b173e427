"""Dense products and sums of rows give the same bits: each tile against a plain product, and whole networks in which rows are
never, always or here and there multiplied against the reference engine."""

from itertools import product
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

import neuro
from neuro.engine import rows, tiled, tiles
from neuro.engine.lanes import HALF
from neuro.engine.plan import make_plan
from neuro.engine.tables import U
from neuro.engine.tiles import GROUP, OUTPUTS
from tests.runs import same


@pytest.mark.parametrize(("tile", "pixels"), [(tiles.bytes4, 4), (tiles.bytes1, 1)])
def test_tiles_of_bytes(tile: Any, pixels: int) -> None:
    _check_tile(tile, pixels, np.int16, np.int8, np.uint8, (0, 3))


@pytest.mark.parametrize(("tile", "pixels"), [(tiles.words4, 4), (tiles.words1, 1)])
@pytest.mark.parametrize("kinds", [(np.int32, np.int8), (np.int32, np.int16), (np.int16, np.int16)], ids=str)
def test_tiles_of_words(tile: Any, pixels: int, kinds: tuple[Any, Any]) -> None:
    _check_tile(tile, pixels, *kinds, np.int16, (-99, 99))


def _check_tile(tile: Any, pixels: int, acc_kind: Any, weight_kind: Any, value_kind: Any, sent: tuple[int, int]) -> None:
    """Lanes that other pixels do not own stay as they are; sums of 16 bits wrap around."""
    steps, apart, stride, rng = 3, OUTPUTS + 2, 7, np.random.default_rng(0)
    weights = rng.integers(-127, 128, 5 + steps * OUTPUTS * GROUP).astype(weight_kind)
    values = rng.integers(*sent, 2 + 3 * stride + steps * GROUP).astype(value_kind)
    starts, acc = rng.integers(-99, 99, 1 + OUTPUTS).astype(np.int32), rng.integers(-99, 99, 5 * apart).astype(acc_kind)
    matrix = weights[5:].reshape(steps, OUTPUTS, GROUP).swapaxes(1, 2).reshape(-1, OUTPUTS).astype(int)
    expected = acc.copy()
    for k in range(pixels):
        product = values[2 + k * stride :][: steps * GROUP].astype(int) @ matrix + starts[1:]
        expected[3 + k * apart :][:OUTPUTS] += product.astype(acc_kind)

    @njit
    def run(acc: Any, weights: Any, values: Any, starts: Any) -> None:
        lanes = U(OUTPUTS * GROUP)
        tile(acc, U(3), U(apart), weights, U(5), lanes, values, U(2), U(stride), U(steps), starts, U(1))

    run(acc, weights, values, starts)
    assert np.array_equal(acc, expected)


@pytest.mark.parametrize("halves", [1, 2, 7, 8, 13])
@pytest.mark.parametrize("kinds", [(np.int16, np.int8), (np.int16, np.int16), (np.int32, np.int8)], ids=str)
def test_rows_of_a_list_are_added(halves: int, kinds: tuple[Any, Any]) -> None:
    rng, stride = np.random.default_rng(0), halves * HALF + 3
    weights, lists = rng.integers(-127, 128, 4 + 8 * stride).astype(kinds[1]), np.array([9, 0, 5, 5, 2], np.uint32)
    payloads, acc = np.array([0, 0, 1, -1, -1, 1], np.int32), rng.integers(-99, 99, (2, 2 + 3 * stride)).astype(kinds[0])
    reach, expected = np.array([[2, 0], [0, 2 * stride], [1, stride]]), acc.copy()
    for k, (row, offset) in product(range(1, 5), reach[:2]):
        added = weights[4 + row * stride + int(lists[k]) * stride :][: halves * HALF].astype(kinds[0])
        expected[0, 2 + offset :][: halves * HALF] += added
        expected[1, 2 + offset :][: halves * HALF] += added * payloads[k + 1]

    @njit
    def run(plain: Any, signed: Any, weights: Any, lists: Any, payloads: Any, reach: Any) -> None:
        h, s, two = U(halves), U(stride), U(2)
        rows.add_rows(plain, U(2), weights, U(4), h, s, lists, U(1), U(5), reach, two, s)
        rows.add_signed_rows(signed, U(2), weights, U(4), h, s, lists, U(1), U(5), reach, two, s, payloads, U(1))

    run(*acc, weights, lists, payloads, reach)
    assert np.array_equal(acc, expected)


@st.composite
def cases(draw: Any) -> tuple[neuro.Network, np.ndarray]:
    """Convolutions between populations that send spikes, spikes of two signs or payloads; two into one of them."""
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    kernel = tuple(draw(st.integers(1, min(3, side))) for side in (height, width))
    stride, dilation = (draw(st.tuples(st.integers(1, 2), st.integers(1, 2))) for _ in range(2))
    padding = tuple(draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in range(2))
    sizes = [
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip((height, width), kernel, stride, padding, dilation, strict=True)
    ]
    if min(sizes) < 1:
        stride, dilation, padding, sizes = (1, 1), (1, 1), ((0, 0), (0, 0)), [height - kernel[0] + 1, width - kernel[1] + 1]
    channels, out, largest = draw(st.integers(1, 9)), draw(st.sampled_from((1, 5, 16, 19))), draw(st.sampled_from((9, 127, 1200)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low, high = draw(st.sampled_from(((0, 1), (-1, 1), (-1, 1), (-40, 300))))
    neuron = draw(
        st.sampled_from((neuro.IntegrateAndFire(40), neuro.SignedIntegrateAndFire(30, hold_input=True), neuro.Graded(9)))
    )

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-largest, largest + 1, shape)

    network = neuro.Network(
        (
            neuro.Population("in", (channels, height, width), neuro.Source()),
            neuro.Population("a", (out, *sizes), neuron),
            neuro.Population("b", (out, *sizes), neuro.IntegrateAndFire(200)),
            neuro.Population("out", (3, *sizes), neuro.Readout()),
        ),
        (
            neuro.Conv2d("in", "a", weights(out, channels, *kernel), stride, padding, dilation),
            neuro.Conv2d("a", "b", weights(out, out, 3, 3), padding=1, delay=2),
            neuro.OneToOne("a", "b", 7),
            neuro.Conv2d("b", "out", weights(3, out, 1, 1)),
        ),
    )
    values = rng.integers(low, high + 1, (2, 5, channels, height, width)) * (rng.random((2, 5, channels, height, width)) < 0.6)
    return network, values


@pytest.mark.compiled
@settings(deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_multiplied_rows_give_the_same_bits(case: tuple[neuro.Network, np.ndarray], chance: Any) -> None:
    network, inputs = case

    def mixed(row: Any, source: Any, *_: Any) -> int:
        return chance.choice((-1, source.lanes // 2, tiled.NEVER - 1))

    with mock.patch("neuro.engine.pack.worth_tiles", return_value=True), mock.patch("neuro.engine.plan.threshold", mixed):
        same(network, inputs, 5)


def test_a_product_pays_where_many_send_and_never_where_few_can() -> None:
    wide = neuro.Conv2d("in", "out", np.ones((64, 64, 3, 3), int), padding=1)
    one = neuro.Conv2d("in", "out", np.ones((1, 1, 3, 3), int), padding=1)
    above = []
    for conv, channels in ((wide, 64), (one, 1)):
        network = neuro.Network(
            (
                neuro.Population("in", (channels, 8, 8), neuro.Source(levels=1)),
                neuro.Population("out", (channels, 8, 8), neuro.IntegrateAndFire(9)),
            ),
            (conv,),
        )
        with mock.patch("neuro.engine.tiled.PAIRS", True):
            above.append(int(make_plan(network, {"in": (0, 1)}).projections["tile_above"][0]))
    assert 64 < above[0] < 64 * 8
    assert above[1] == tiled.NEVER


def test_processors_without_pairs_never_multiply() -> None:
    conv = neuro.Conv2d("in", "out", np.ones((64, 64, 3, 3), int), padding=1)
    with mock.patch("neuro.engine.tiled.PAIRS", False):
        assert not tiled.has_tiles(conv)
