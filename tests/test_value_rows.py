"""Populations of values computed for many samples side by side equal the same by their definition, whatever they are."""

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from converters import quantised
from converters.values import evaluating, links, responding, rows
from tests.laws import law
from tests.networks import VALUE_SHAPES, projections, values

pytestmark = pytest.mark.compiled


@st.composite
def waves(draw) -> tuple[neuro.Network, np.ndarray]:
    """Populations that send once, of one source; what they read arrives while they gather."""
    populations = [neuro.Population("in", draw(st.sampled_from(VALUE_SHAPES)), neuro.Source("once"))]
    chosen, start = [], 0
    for i in range(draw(st.integers(1, 4))):
        shape, start = draw(st.sampled_from(VALUE_SHAPES)), start + draw(st.integers(4, 9))
        neuron = draw(values(start=start, shape=shape))
        ports = tuple(port if port in ("fresh", "held") else "fresh" for port in neuron.ports)
        emit = {"emit": "value", "digits": 0, "dead_zone": 1, "period": None}
        neuron = neuron.changed(ports=ports, potential_bits=draw(st.sampled_from([9, 24, 25, 31])), **emit)
        populations.append(neuro.Population(f"v{i}", shape, neuron))
        for _ in range(draw(st.integers(0, 4))):
            source = draw(st.sampled_from(populations[:-1]))
            delay = start + draw(st.integers(0, neuron.gather - 1)) - responding.sends_at(source)
            chosen.append(replace(draw(projections(source, populations[-1])), delay=max(delay, 1)))
        start += neuron.gather
    populations.append(neuro.Population("out", (3,), neuro.Readout(start_step=start + 1, potential_bits=31)))
    chosen.append(
        neuro.Dense(
            f"v{i}", "out", np.arange(populations[-2].size * 3).reshape(-1, 3) % 7 - 3, delay=start + 1 - sent(populations[-2])
        )
    )
    rng, samples = np.random.default_rng(draw(st.integers(0, 10**6))), draw(st.sampled_from([1, 3, 9]))
    most = draw(st.sampled_from([9, 99, 30_000]))
    given_ = rng.integers(-most, most + 1, (samples, *populations[0].shape)) * (rng.random(populations[0].shape) < 0.7)
    return neuro.Network(tuple(populations), tuple(chosen)), given_


def sent(population: neuro.Population) -> int:
    return responding.sends_at(population)


def plainly(network: neuro.Network, inputs: np.ndarray) -> dict[str, np.ndarray]:
    with mock.patch.object(rows, "_OFF", True):
        return evaluating.values(network, inputs)


@law(80)
@given(waves())
def test_side_by_side_equals_the_definition(case) -> None:
    network, inputs = case
    expected = plainly(network, inputs)
    for _ in range(2):  # the second time what projections bring is known
        found = evaluating.values(network, inputs)
        for name, one in expected.items():
            assert found[name].dtype == np.int64
            assert np.array_equal(found[name], one), name


@law(80)
@given(waves())
def test_means_are_those_of_all_charges(case) -> None:
    network, inputs = case
    heard = evaluating.responder(network, {"in": inputs})
    before = plainly(network, inputs)
    for q in network.projections:
        target = network[q.target]
        brought = responding.charge(q, network, before[q.source], target.shape)
        assert np.array_equal(heard.mean(target, q), brought.mean(axis=0))


@law(20)
@given(waves())
def test_the_quantised_network_equals_a_run(case) -> None:
    network, inputs = case
    network = replace(network, timesteps=1)
    found = quantised.evaluate(network, inputs)
    try:
        run = neuro.run(network, inputs, threads=1)
    except neuro.errors.EngineError:  # charges that may leave 32 bits
        return
    assert np.array_equal(found.logits, run.logits)
    assert np.array_equal(quantised.logits_of(network, inputs), run.logits)
    assert found.synops == run.synops
    for name, spikes in run.spikes.items():
        assert np.array_equal(found.spikes[name], spikes), name


@pytest.mark.parametrize("shape", [(24, 5, 4), (24, 20)])
def test_large_windows_go_through_images(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-9, 10, (6, shape[0], *(3,) * (len(shape) - 1)))
    conv = (neuro.Conv1d if len(shape) == 2 else neuro.Conv2d)("a", "b", weights, padding=1)
    x = rng.integers(-99, 100, (7, *shape))
    total = np.zeros((6 * int(np.prod(shape[1:])), 7), np.float32)
    links.link(conv, shape, (6, *shape[1:])).add(total, np.ascontiguousarray(x.reshape(7, -1).T, np.float32))
    listed = conv.to_sparse(shape, (6, *shape[1:]))
    assert np.array_equal(total.T, x.reshape(7, -1) @ listed)
