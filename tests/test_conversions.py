"""Conversions that share what depends on neither code nor T: each is the one that `convert` gives, whatever came before it."""

import inspect
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import converters
from converters.options import Options
from converters.pipeline import Conversions
from neuro.errors import AccuracyWarning
from tests.optimising import Residual, data, learned

X, Y = data(120)
GRAPH = learned(Residual(), X, Y)
CODES = {"rate": 8, "signed": 8, "wait": 5, "radix": 5, "graded": 1}
ASKED = st.fixed_dictionaries(
    {
        "code": st.sampled_from(list(CODES)),
        "threshold": st.sampled_from(["mse", "max"]),
        "weight_bits": st.sampled_from([8, 4]),
        "correct_bias": st.booleans(),
    }
)


@settings(max_examples=6)
@given(asked=st.lists(ASKED, min_size=2, max_size=4))
@pytest.mark.filterwarnings(f"ignore::{AccuracyWarning.__module__}.{AccuracyWarning.__qualname__}")
def test_each_conversion_is_that_of_convert(asked):
    shared = Conversions(GRAPH, X)
    for one in asked:
        how = {**one, "timesteps": CODES[one["code"]]}
        alone, other = converters.convert(GRAPH, X, **how), shared.convert(Options(**how))
        assert other == alone
        assert str(other.agreement) == str(alone.agreement)
        assert shared.network(Options(**how)) == alone.network or alone.agreement.warning


def test_the_graph_is_calibrated_once(monkeypatch):
    calls = []
    import converters.building as building

    seen = building.calibrate
    monkeypatch.setattr(building, "calibrate", lambda *args: calls.append(args) or seen(*args))
    shared = Conversions(GRAPH, X)
    for code, steps in CODES.items():
        shared.network(Options(code=code, timesteps=steps))
    assert len(calls) == 1


def test_options_have_the_defaults_of_convert():
    wanted = {name: p.default for name, p in inspect.signature(converters.convert).parameters.items()}
    own = {f.name: f.default for f in fields(Options) if f.name in wanted}
    assert own == {name: wanted[name] for name in own}
    assert set(wanted) - set(own) == {"model", "calibration", "state"}


def test_networks_with_values_and_frames_are_shared_too():
    from torch import nn

    x = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    model = nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 3))
    shared = Conversions(converters.trace(model, x[:2]), x)
    assert shared.network(Options(code="graded")) == shared.convert(Options(code="graded")).network
    assert shared.network(Options(code="radix", timesteps=8)) == shared.convert(Options(code="radix", timesteps=8)).network
    for how in ({"weight_bits": 6}, {"value_bits": 10}, {"code": "radix", "timesteps": 6}, {"weight_bits": "auto"}, {}):
        chosen = {"code": "graded", **how}
        assert shared.network(Options(**chosen)) == converters.convert(shared._read[0], x, **chosen).network
    assert len(shared._measured) == 3  # of 8, 10 and 6 bits
