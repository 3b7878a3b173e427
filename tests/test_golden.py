"""Golden numbers: what was recorded is what comes out today, integers exactly and prices to nine digits."""

import json

import numpy as np
import pytest

import neuro
from tests.golden import record

pytestmark = pytest.mark.golden("this project, earlier")


def recorded(name: str) -> dict:
    return json.loads((record.HERE / f"{name}.json").read_text())


@pytest.mark.parametrize("name", record.CASES)
def test_numbers_are_those_that_were_recorded(name: str) -> None:
    then, now = recorded(name), record.CASES[name]()
    assert json.loads(json.dumps(now["exact"])) == then["exact"]
    assert now["close"].keys() == then["close"].keys()
    for what, value in then["close"].items():
        if value is None or now["close"][what] is None:  # not public
            assert value is now["close"][what] is None, what
            continue
        near = pytest.approx(value, abs=0.25) if "tone" in what else pytest.approx(value, rel=1e-9)
        assert now["close"][what] == near, what


def test_stored_weights_still_convert_to_the_stored_network() -> None:
    """Calibration is floating point, so a weight may be rounded the other way on another machine; none is further off.

    Where a conversion was changed on purpose: `python tests/golden/record.py demo`, and say so in the commit.
    """
    then, now = neuro.Network.load(record.NETWORK), record.converted_digits().network
    assert [p.name for p in now.populations] == [p.name for p in then.populations]
    for old, new in zip(then.projections, now.projections, strict=True):
        apart = np.abs(old.stored_weights.astype(int) - new.stored_weights)
        assert apart.max() <= 1
        assert (apart > 0).mean() < 1e-3
    for old, new in zip(then.populations, now.populations, strict=True):
        if old.neuron.threshold is not None:
            assert abs(old.neuron.threshold - new.neuron.threshold) <= 1


@pytest.mark.parametrize("name", record.CASES)
def test_every_number_says_where_it_comes_from(name: str) -> None:
    said = recorded(name)["provenance"]
    assert len(said["commit"]) == 40
    assert said["date"] >= "2026-01-01"
    assert {"numpy", "numba", "torch", "python"} <= set(said["versions"])
