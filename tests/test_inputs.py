"""What inputs may be is one rule for every door: runs, sessions, emulations and the quantised evaluation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import neuro
from converters.quantised import evaluate
from neuro.errors import InputError
from tests.chips import small

POPULATIONS = (neuro.Population("in", (2,), neuro.Source(levels=9)), neuro.Population("out", (2,), neuro.Readout()))
NETWORK = neuro.Network(POPULATIONS, (neuro.Dense("in", "out", np.eye(2, dtype=int)),), timesteps=2)
DOORS: dict[str, Callable[[Any], neuro.Run]] = {  # each takes one frame (2,)
    "run": lambda frame: neuro.run(NETWORK, [frame]),
    "stream": lambda frame: neuro.run(NETWORK, [[frame, frame]]),
    "session": lambda frame: neuro.open_session(NETWORK).step([frame, frame]),
    "emulate": lambda frame: neuro.emulate(NETWORK, neuro.place(NETWORK, small()), [frame]).run,
    "quantised": lambda frame: evaluate(NETWORK, [frame]),
}
REFUSED: dict[str, tuple[Any, str]] = {
    "fractions": ([0.7, 1.9], "they are fractions and the source has no scale"),
    "NaN": ([float("nan"), 1.0], "NaN or infinity"),
    "infinity": ([1.0, float("inf")], "NaN or infinity"),
    "text": (["1", "2"], "their dtype is <U1"),
    "nothing": ([None, 1], "their dtype is object"),
    "an integer of 70 bits": ([2**70, 1], "their dtype is object"),
    "complex numbers": ([1j, 1], "their dtype is complex128"),
    "dates": (np.array([3, 4], "datetime64[s]"), "their dtype is"),
    "rows of two lengths": ([[1, 2], [1]], "they are no array"),
    "more than the source sends": ([10, 1], r"-9\.\.9"),
    "more than 64 bits sign": (np.array([2**63, 1], np.uint64), r"-9\.\.9"),
    "less than the source sends": (np.array([-10, 1], np.int8), r"-9\.\.9"),
    "another shape": ([1, 2, 3], "shape"),
}
ACCEPTED: dict[str, Any] = {
    "integers": [1, 0],
    "truth values": [True, False],
    "narrow integers": np.array([1, 0], np.int8),
    "unsigned integers": np.array([1, 0], np.uint64),
    "whole floats": [1.0, -0.0],
    "half precision": np.array([1, 0], np.float16),
    "a tensor": torch.tensor([1, 0]),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_input_is_refused_at_every_door(what: str, door: str) -> None:
    given, says = REFUSED[what]
    with pytest.raises(InputError, match=says):
        DOORS[door](given)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", ACCEPTED)
def test_numbers_of_any_type_mean_the_same_at_every_door(what: str, door: str) -> None:
    expected = DOORS[door](np.array([1, 0]))
    assert np.array_equal(DOORS[door](ACCEPTED[what]).logits, expected.logits)
    assert expected.logits.any()
