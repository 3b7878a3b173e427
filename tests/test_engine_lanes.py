"""Vector additions compiled anew equal plain sums, lane by lane, and touch nothing beside; found bits are those that are set."""

from typing import Any

import numpy as np
import pytest
from numba import njit

from neuro.engine import lanes
from neuro.engine.lanes import (
    HALF,
    LANES,
    add1,
    add2,
    add4,
    add8,
    lowest_bit,
    mask_of,
    ones,
    paired2,
    paired4,
    paired8,
    products1,
    products3,
    scaled1,
)
from neuro.engine.tables import U

TYPES = [(np.int16, np.int8), (np.int32, np.int16)]  # of accumulators and weights
AT, BLOCKS = 5, 2


def arrays(kind: Any, weight: Any) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(-99, 99, 4 * LANES).astype(kind), rng.integers(-100, 101, 12 * LANES).astype(weight)


@pytest.mark.parametrize("types", TYPES, ids=str)
@pytest.mark.parametrize(("add", "count"), [(add1, 1), (add2, 2), (add4, 4), (add8, 8)])
def test_rows_are_added_lane_by_lane(add: Any, count: int, types: tuple[Any, Any]) -> None:
    run = njit(lambda acc, at, weights, halves, offsets: add(acc, at, weights, halves, *offsets))
    offsets = tuple(3 + 37 * i for i in range(count))
    for halves in (0, 1, 2, 3, 5):
        acc, weights = arrays(*types)
        expected, lanes = acc.copy(), halves * HALF
        for o in offsets:
            expected[AT : AT + lanes] += weights[o : o + lanes].astype(acc.dtype)
        run(acc, U(AT), weights, U(halves), tuple(U(o) for o in offsets))
        assert np.array_equal(acc, expected), halves


@pytest.mark.parametrize("types", TYPES, ids=str)
def test_rows_are_multiplied_by_a_payload(types: tuple[Any, Any]) -> None:
    run = njit(lambda acc, at, weights, halves, o, payload: scaled1(acc, at, weights, halves, o, payload))
    for payload in (0, 1, -3, 250):
        acc, weights = arrays(*types)
        expected = acc.copy()
        expected[AT : AT + 3 * HALF] += weights[7 : 7 + 3 * HALF].astype(acc.dtype) * acc.dtype.type(payload)
        run(acc, U(AT), weights, U(3), U(7), np.int64(payload))
        assert np.array_equal(acc, expected), payload


@pytest.mark.parametrize("types", TYPES, ids=str)
@pytest.mark.parametrize(("products", "count"), [(products1, 1), (products3, 3)])
def test_rows_are_multiplied_lane_by_lane(products: Any, count: int, types: tuple[Any, Any]) -> None:
    run = njit(lambda acc, at, weights, values, blocks, places: products(acc, at, weights, values, blocks, *places))
    acc, weights = arrays(*types)
    values = np.random.default_rng(1).integers(-9, 10, 8 * LANES).astype(acc.dtype)
    rows, begins, expected, lanes = range(2, 2 + 41 * count, 41), range(1, 1 + 31 * count, 31), acc.copy(), BLOCKS * LANES
    for o, v in zip(rows, begins, strict=True):
        expected[AT : AT + lanes] += weights[o : o + lanes].astype(acc.dtype) * values[v : v + lanes]
    run(acc, U(AT), weights, values, U(BLOCKS), tuple(U(place) for place in (*rows, *begins)))
    assert np.array_equal(acc, expected)


def test_the_bits_of_bytes_that_are_set_are_found() -> None:
    run = njit(lambda flags, at: mask_of(flags, at))
    lowest, many = njit(lambda bits: lowest_bit(bits)), njit(lambda bits: ones(bits))
    flags = (np.random.default_rng(2).random(100) < 0.3).astype(np.uint8) * 7
    for at in (0, 1, 36):
        chosen = np.flatnonzero(flags[at : at + 64])
        bits = run(flags, U(at))
        assert int(bits) == sum(1 << int(place) for place in chosen)
        assert many(U(bits)) == len(chosen)
        assert lowest(U(bits)) == chosen[0]
    assert run(np.zeros(64, np.uint8), U(0)) == 0
    assert lowest(U(1 << 63)) == 63


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("weight", [np.int8, np.int16])
@pytest.mark.parametrize("kind", [np.int16, np.int32])
@pytest.mark.parametrize(("add", "count"), [(paired2, 2), (paired4, 4), (paired8, 8)])
def test_rows_are_multiplied_in_pairs(
    add: Any, count: int, kind: Any, weight: Any, pairs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "PAIRS", lanes.PAIRS and pairs)
    run = njit(lambda acc, at, weights, halves, rest: add(acc, at, weights, halves, *rest))
    rng, most = np.random.default_rng(count), np.iinfo(weight).max
    offsets = tuple(3 + 37 * i for i in range(count))
    payloads = rng.integers(-1, 2, count) if kind == np.int16 else rng.integers(-(2**15), 2**15, count)
    for halves in (0, 1, 2, 3, 5):
        acc, weights = rng.integers(-99, 99, 4 * LANES).astype(kind), rng.integers(-most, most + 1, 12 * LANES).astype(weight)
        expected, n = acc.copy(), halves * HALF
        for offset, payload in zip(offsets, payloads, strict=True):
            expected[AT : AT + n] += (weights[offset : offset + n].astype(np.int64) * payload).astype(kind)
        run(acc, U(AT), weights, U(halves), (*map(U, offsets), *map(int, payloads)))
        assert np.array_equal(acc, expected), halves
