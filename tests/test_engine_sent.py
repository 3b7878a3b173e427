"""Lists of set bits, 64 at a time: both ways of writing them, whatever the processor takes, give those that are set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit

from neuro.engine import sent
from neuro.engine.lanes import OCTETS
from neuro.engine.sent import SLACK
from neuro.engine.tables import U

AT, BASE = 3, 7


@pytest.mark.compiled
@pytest.mark.parametrize("way", [sent._list_bits, *([sent._list_octets] if OCTETS else [])], ids=lambda way: str(way.__name__))
@pytest.mark.parametrize("many", [0, 1, 8, 9, 16, 17, 33, 48, 49, 64])
def test_a_word_is_listed_and_little_behind_it_written(way: Callable[..., Any], many: int) -> None:
    rng = np.random.default_rng(many)
    places = np.sort(rng.permutation(64)[:many])
    word = sum(1 << int(place) for place in places)
    lists = np.full(AT + 64 + 2 * SLACK, 99, np.uint32)
    run = njit(lambda word, lists: way(word, U(BASE), lists, U(AT)))
    assert run(U(word), lists) == AT + many
    assert np.array_equal(lists[AT : AT + many], places + BASE)
    assert (lists[:AT] == 99).all()
    assert (lists[AT + many + SLACK :] == 99).all()
