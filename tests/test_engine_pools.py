"""Pools in the event engine: charges of any size are taken apart as the model says, each message reaches the one window that
reads it, and whoever fired is listed, however many."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

import neuro
from neuro.engine import pools, sent
from neuro.engine.models import describe
from neuro.engine.tables import POPULATION, U
from tests.runs import same

MOST = 2**31 - 1 - 2**24  # what a plan lets a charge be


@njit
def lead(digit: Any, p: Any, state: Any, acc: Any, n: int, fired: Any, sent: Any) -> Any:
    return pools.leader(digit, p[0], state, U(2), acc, U(1), U(n), fired, sent, U(0))


@pytest.mark.compiled
@settings(deadline=None)
@given(
    st.sampled_from(("counts", "signed", "short", "digits")), st.integers(1, 10), st.sampled_from((3, 400)),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_charges_of_any_size_are_taken_apart(code: str, taps: int, n: int, seed: int) -> None:
    signed, most = code in ("signed", "short"), 2**15 - 1 if code == "short" else MOST
    digit = pools.ternary_short if code == "short" else pools.ternary if signed else pools.binary
    pool = neuro.MaxPool(taps, "digits" if code == "digits" else "counts", signed)
    rng, p = np.random.default_rng(seed), np.zeros(1, POPULATION)
    describe(p[0], pool)
    p["state_stride"], behind = n + 1, np.zeros(2 + taps * (n + 1), np.int32)
    state = pool.initial_state((n,))
    for step in range(4):
        charge = rng.integers(-most, most + 1, n) // rng.choice((1, 2**16, 2**28))
        charge = np.where(rng.random(n) < 0.1, rng.choice((-most, -1, 0, 1, most), n), charge)
        acc = np.concatenate([[5], charge, [6]]).astype(np.int32)
        fired, sent = np.zeros(n + 1, np.uint8), np.zeros(n + 1, np.int32)
        before, (state, message, drive) = state, pool.advance(state, charge, step)
        driven, restless = lead(digit, p, behind, acc, n, fired, sent)
        assert np.array_equal(sent[:n], message)
        assert np.array_equal(fired[:n], message != 0)
        assert driven == np.count_nonzero(drive)
        assert restless == np.count_nonzero((drive != 0) | (before["behind0"] != 0))
        assert all(np.array_equal(behind[2 + i * (n + 1) :][:n], state[f"behind{i}"]) for i in range(taps))
        assert (acc[0], acc[-1]) == (5, 6)


@njit
def listed(fired: Any, f: int, n: int, lists: Any, at: int) -> Any:
    return sent.gather_fired(fired, U(f), U(n), lists, np.int64(at))


@njit
def taken(fired: Any, numbers: Any, f: int, n: int, lists: Any, at: int, found: int, payloads: Any, shift: int) -> None:
    sent.gather_payloads(fired, numbers, U(f), U(n), lists, at, found, payloads, shift)


@pytest.mark.compiled
@settings(deadline=None)
@given(st.integers(0, 200), st.sampled_from((0.0, 0.03, 0.1, 0.5, 1.0)), st.integers(0, 9), st.integers(0, 2**32 - 1))
def test_whoever_fired_is_listed(n: int, share: float, f: int, seed: int) -> None:
    fired = (np.random.default_rng(seed).random(n + f + 64) < share).astype(np.uint8)
    lists = np.full(n + 3 + sent.SLACK, 7, np.uint32)
    found = listed(fired, f, n, lists, 3)
    assert lists[:3].tolist() == [7, 7, 7]
    places = np.flatnonzero(fired[f : f + n])
    assert lists[3 : 3 + found].tolist() == places.tolist()
    numbers, payloads = np.arange(n + f + 64, dtype=np.int32) - 5, np.full(n + 5 + sent.SLACK, 7, np.int32)
    taken(fired, numbers, f, n, lists, 3, found, payloads, 2)
    assert payloads[:5].tolist() == [7] * 5
    assert payloads[5 : 5 + found].tolist() == numbers[f + places].tolist()


@st.composite
def windows(draw: Any) -> tuple[neuro.Network, np.ndarray]:
    """Depthwise kernels that share no column: as wide as their stride or narrower, with padding, of spikes or payloads."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, height, width = draw(st.integers(1, 5)), draw(st.integers(3, 9)), draw(st.integers(3, 9))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.integers(1, 3)), kernel[1] + draw(st.integers(0, 2))
    padding = tuple(draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in range(2))
    sizes = [(n + sum(pad) - k) // s + 1 for n, k, s, pad in zip((height, width), kernel, stride, padding, strict=True)]
    weights = rng.integers(-9, 10, (channels, 1, *kernel)) * draw(st.sampled_from((1, 500)))
    network = neuro.Network(
        (
            neuro.Population("in", (channels, height, width), neuro.Source()),
            neuro.Population("out", (channels, *sizes), draw(st.sampled_from((neuro.IntegrateAndFire(5), neuro.Graded(3))))),
        ),
        (neuro.Conv2d("in", "out", weights, stride, padding, groups=channels),),
    )
    low, high = draw(st.sampled_from(((0, 1), (-1, 1), (-40, 300))))
    shape = (2, 4, channels, height, width)
    return network, rng.integers(low, high + 1, shape) * (rng.random(shape) < 0.6)


@pytest.mark.compiled
@settings(deadline=None)
@given(windows())
def test_each_message_reaches_the_one_window_that_reads_it(case: tuple[neuro.Network, np.ndarray]) -> None:
    same(case[0], case[1], 4)
