"""Trained networks that compute with values keep their accuracy as spikes, on some of the clips that they are measured on."""

import numpy as np
import pytest

import converters
import neuro
from benchmarks.value_networks import DATA, NETWORKS, WEIGHTS, case
from converters.evaluation import logits
from converters.quantised import evaluate

CLIPS = 100


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_small(name: str) -> None:
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 1_000_000


@pytest.mark.skipif(not (DATA / "speech_commands").is_dir(), reason="shared/data is not there")
@pytest.mark.parametrize("name", NETWORKS)
def test_spikes_decide_as_the_float_network(name: str) -> None:
    """Of 100 clips at most 2 fewer are right, and the engine gives the quantised network's integers."""
    one = case(name)
    graph = converters.trace(one.model, one.calibration[:2])
    made = converters.convert(graph, one.calibration[:32], code="graded")
    x, y = one.x[:CLIPS], one.y[:CLIPS]
    found, wanted = evaluate(made.network, x).logits, logits(graph, x)
    right, own = (int((values.argmax(1) == y).sum()) for values in (wanted, found))
    assert own >= right - 2
    assert right > 0.8 * CLIPS
    assert np.array_equal(neuro.run(made.network, x[:2]).logits, found[:2])
