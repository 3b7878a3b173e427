"""Networks in which every neuron sends once: neuron by neuron, many samples at a time, they equal the same message by message."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.engine.batch import plan, run
from neuro.engine.batch.rowwise import SIDE
from neuro.engine.estimate import estimate
from tests.laws import law
from tests.networks import VALUE_SHAPES, projections, values

COUNTS = ("synops", "messages", "updates", "driven", "restless")


def both(network: neuro.Network, inputs: np.ndarray, **how) -> tuple[neuro.Run, neuro.Run]:
    """A run in the way that is chosen, and one message by message."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "FEWEST_SAMPLES", 1)
        patch.setattr(run, "goes_without", lambda *any: False)
        found = neuro.run(network, inputs, timesteps=1, **how)
        patch.setattr(run, "FEWEST_SAMPLES", 1 << 30)
        return found, neuro.run(network, inputs, timesteps=1, **how)


def assert_alike(network: neuro.Network, inputs: np.ndarray, **how) -> None:
    found, expected = both(network, inputs, **how)
    assert np.array_equal(found.logits, expected.logits)
    assert found.logits.dtype == expected.logits.dtype
    for population in network.populations:
        name = population.name
        assert np.array_equal(found.spikes[name], expected.spikes[name]), name
        for field in COUNTS:
            assert np.array_equal(getattr(found.counts[name], field), getattr(expected.counts[name], field)), (name, field)
    assert all(np.array_equal(found.potentials[name], expected.potentials[name]) for name in expected.potentials)


@st.composite
def waves(draw) -> tuple[neuro.Network, np.ndarray]:
    """Value populations of any kind that send a value once, of two sources, and inputs for some samples."""
    populations = [neuro.Population(f"in{i}", draw(st.sampled_from(VALUE_SHAPES)), neuro.Source("once")) for i in range(2)]
    for i in range(draw(st.integers(1, 4))):
        shape = draw(st.sampled_from(VALUE_SHAPES))
        neuron = draw(values(start=draw(st.integers(0, 4)), shape=shape))
        ports = tuple(port if port in ("fresh", "held") else "held" for port in neuron.ports)
        plain = neuron.changed(ports=ports, emit="value", digits=0, dead_zone=1, period=None)
        populations.append(neuro.Population(f"v{i}", shape, plain.changed(potential_bits=draw(st.sampled_from([9, 24, 24, 25])))))
    populations.append(neuro.Population("out", (3,), neuro.Readout(start_step=draw(st.integers(0, 4)))))
    chosen = []
    for i, target in enumerate(populations[2:], 2):
        for _ in range(draw(st.integers(1, 4))):
            chosen.append(draw(projections(draw(st.sampled_from(populations[: min(i, len(populations) - 1)])), target)))
            chosen[-1] = replace(chosen[-1], delay=draw(st.integers(1, 4)))
    rng, samples = np.random.default_rng(draw(st.integers(0, 10**6))), draw(st.sampled_from([1, 3, SIDE, SIDE + 9]))
    inputs = {p.name: rng.integers(-99, 100, (samples, *p.shape)) * (rng.random(p.shape) < 0.7) for p in populations[:2]}
    return neuro.Network(tuple(populations), tuple(chosen)), inputs


@law(60)
@given(waves())
def test_many_samples_at_a_time_equal_message_by_message(case) -> None:
    network, inputs = case
    assert plan.sends_once(network, 1)
    assert_alike(network, inputs, threads=1)


def joined(found: list) -> dict[str, list[np.ndarray]]:
    """Messages of all blocks: how many in each step of each sample, of which neurons, with which payloads."""
    blocks = [messages for _, messages in sorted(found, key=lambda one: one[0])]
    parts = {name: [block[name] for block in blocks] for name in blocks[0]}
    ones = {name: [np.ones_like(m.neurons) if m.payloads is None else m.payloads for m in ms] for name, ms in parts.items()}
    counted = {name: [np.diff(m.offsets) for m in ms] for name, ms in parts.items()}
    return {
        name: [np.concatenate(one) for one in (counted[name], [m.neurons for m in ms], ones[name])] for name, ms in parts.items()
    }


@law(30)
@given(waves())
def test_observers_see_the_same_messages(case) -> None:
    network, inputs = case
    found, expected = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "goes_without", lambda *any: False)
        for fewest, heard in ((1, found), (1 << 30, expected)):
            patch.setattr(run, "FEWEST_SAMPLES", fewest)
            observe = heard.append
            neuro.run(network, inputs, timesteps=1, threads=1, observe=lambda *block, observe=observe: observe(block))
    found, expected = joined(found), joined(expected)
    assert set(found) == set(expected)
    for name, parts in expected.items():
        for a, b in zip(found[name], parts, strict=True):
            assert np.array_equal(a, b), name


def tokens(weights: np.ndarray, exponent: int = 0, far: int = 0) -> neuro.Network:
    """A matrix for each of three tokens, synapse by synapse; `far` is a weight of its own."""
    into, out = weights.shape
    pre, post = (np.concatenate([part.ravel() for part in parts]) for parts in zip(*_each(into, out), strict=True))
    weight = np.tile(weights.ravel(), 3)
    weight[0] += far
    kept = weight != 0
    listed = neuro.Sparse("in", "v", (pre[kept], post[kept], weight[kept]), exponent=exponent)
    value = neuro.Value(multiplier=3, shift=9, start_step=1)
    populations = (neuro.Population("in", (into, 3), neuro.Source("once")), neuro.Population("v", (out, 3), value))
    readout = neuro.Population("out", (2,), neuro.Readout(start_step=2))
    return neuro.Network((*populations, readout), (listed, neuro.Dense("v", "out", np.ones((3 * out, 2), int))))


def _each(into: int, out: int):
    for token in range(3):
        i, o = np.meshgrid(np.arange(into), np.arange(out), indexing="ij")
        yield i * 3 + token, o * 3 + token


@pytest.mark.parametrize(("exponent", "far"), [(0, 0), (9, 0), (0, 40_000), (0, 30)])
def test_lists_that_apply_a_matrix_to_each_token_are_multiplied(exponent: int, far: int) -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (8, 5)) * (rng.random((8, 5)) < 0.9)
    network, inputs = tokens(weights, exponent, far), rng.integers(-99, 100, (9, 8, 3))
    listed = network.projections[0]
    products, _ = plan.blocks_of(*listed.expanded().weights, exponent, (24, 15))
    assert sum(len(one.sources) for one in products) == (2 if far == 40_000 else 3)
    assert len(products) == (2 if far == 30 else 1)
    assert_alike(network, inputs)


def test_two_threads_and_blocks_that_are_not_full() -> None:
    rng = np.random.default_rng(1)
    network = tokens(rng.integers(-9, 9, (8, 5)))
    assert_alike(network, rng.integers(-99, 100, (3 * SIDE + 5, 8, 3)), threads=2, record=("potentials",))


def test_what_is_recorded_step_by_step_takes_the_other_way() -> None:
    rng = np.random.default_rng(2)
    network, inputs = tokens(rng.integers(-9, 9, (8, 5))), rng.integers(-99, 100, (9, 8, 3))
    for record, suits in ((("raster",), False), (("traces:v",), False), (("potentials",), True), ((), True)):
        assert run.suits(network, {"in": inputs}, record, 1) == suits
    assert not run.suits(network, {"in": inputs}, (), 2)
    assert not run.suits(network, {"in": inputs[:, None]}, (), 1)


def test_tables_that_would_be_too_large_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tokens(np.ones((8, 5), int))
    needed = estimate(network, 9, 1).plan_bytes
    assert needed >= plan.bytes_at_most(network)
    monkeypatch.setattr(plan, "MOST_LISTED", 10)
    assert not plan.sends_once(tokens(np.ones((8, 5), int)), 1)
    monkeypatch.undo()
    monkeypatch.setattr(plan, "MOST_ROWS", 20)
    assert plan.batch_of(network, {"in": (-99, 99)}, 1) is None
