"""Every engine equals the reference: spikes, potentials, logits and counts, for any network, thread count and batch split."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import neuro
from neuro.errors import EngineError
from tests.networks import cases

RECORD = ("raster", "potentials", "traces")


def assert_same(a: neuro.Run, b: neuro.Run) -> None:
    assert np.array_equal(a.logits, b.logits)
    for name, counts in b.counts.items():
        for field in counts.__slots__:
            assert np.array_equal(getattr(a.counts[name], field), getattr(counts, field)), (name, field)
    for kind in ("spikes", "raster", "traces", "potentials"):
        for name, values in getattr(b, kind).items():
            assert np.array_equal(getattr(a, kind)[name], values), (kind, name)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_event_equals_reference(case) -> None:
    network, inputs, timesteps = case
    try:
        expected = neuro.run(network, inputs, timesteps=timesteps, engine="reference", record=RECORD)
    except EngineError:
        with pytest.raises(EngineError):
            neuro.run(network, inputs, timesteps=timesteps)
        return
    assert_same(neuro.run(network, inputs, timesteps=timesteps, record=RECORD), expected)
