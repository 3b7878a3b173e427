"""The reference engine on networks small enough to reckon by hand, and against closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro


def chain(neuron, weights, *, delay=1) -> neuro.Network:
    pre, post = np.shape(weights)
    return neuro.Network(
        (neuro.Population("in", (pre,), neuro.Source()), neuro.Population("out", (post,), neuron)),
        (neuro.Dense("in", "out", np.asarray(weights), delay=delay),),
    )


def test_counts_reckoned_by_hand() -> None:
    network = chain(neuro.IntegrateAndFire(threshold=5), [[3, 1], [0, 4]])
    inputs = np.array([[[1, 0], [1, 1], [0, 0], [0, 1]]])  # one sample, four steps
    run = neuro.run(network, inputs, engine="reference", record=("raster", "traces"))
    # charge arrives a step later: (3, 1), (3, 5), (0, 0); the last message (step 3) would arrive after the run
    assert run.traces["out"][0].tolist() == [[0, 0], [3, 1], [1, 1], [1, 1]]
    assert run.raster["out"][0].tolist() == [[0, 0], [0, 0], [1, 1], [0, 0]]
    assert run.spikes["in"].tolist() == [[2, 2]]
    assert run.synops == 2 + 4  # step 1: one message x 2 synapses; step 2: two messages
    assert run.updates == 2 * 4
    assert run.counts["out"].driven.tolist() == [0, 2, 2, 0]
    assert run.counts["out"].restless.tolist() == [0, 2, 2, 2]


@given(st.integers(1, 32), st.integers(1, 500), st.lists(st.integers(-700, 700), min_size=1, max_size=40))
def test_constant_charge_gives_the_rounded_quotient(timesteps: int, threshold: int, charges: list[int]) -> None:
    neuron = neuro.IntegrateAndFire(threshold, bias=np.array(charges), initial_potential=threshold // 2)
    network = neuro.Network((neuro.Population("in", (1,), neuro.Source()), neuro.Population("a", (len(charges),), neuron)), ())
    run = neuro.run(network, np.zeros((1, 1), int), timesteps=timesteps, engine="reference")
    expected = np.clip((np.array(charges) * timesteps + threshold // 2) // threshold, 0, timesteps)
    assert np.array_equal(run.spikes["a"][0], expected)


@given(st.integers(1, 8), st.lists(st.integers(0, 255), min_size=1, max_size=8), st.integers(0, 99))
def test_radix_sends_the_quantised_digits(digits: int, values: list[int], seed: int) -> None:
    top = 2**digits - 1
    values = [v % (top + 1) for v in values]
    weights = np.random.default_rng(seed).integers(-20, 40, (len(values), 6))
    network = neuro.Network(
        (
            neuro.Population("in", (len(values),), neuro.Source("radix", levels=top, digits=digits)),
            neuro.Population("a", (6,), neuro.RadixIntegrateAndFire(17, digits, gather=digits, bias=8, start_step=1)),
        ),
        (neuro.Dense("in", "a", weights),),
    )
    run = neuro.run(network, np.array([values]), timesteps=digits, engine="reference", record=("raster",))
    worth = 2 ** np.arange(digits - 1, -1, -1)
    got = worth @ run.raster["a"][0, digits:, :]
    assert np.array_equal(got, np.clip((np.array(values) @ weights + 8) // 17, 0, top))


def test_wait_equals_the_quantiser_for_any_timing() -> None:
    rng = np.random.default_rng(1)
    network = chain(neuro.WaitIntegrateAndFire(30, gather=8, initial_potential=15, start_step=1), rng.integers(-20, 30, (10, 7)))
    inputs = rng.integers(0, 2, (20, 8, 10))
    run = neuro.run(network, inputs, engine="reference")
    total = inputs.sum(axis=1) @ network.projections[0].weights
    assert np.array_equal(run.spikes["out"], np.clip((total + 15) // 30, 0, 8))


def test_graded_sends_one_payload() -> None:
    network = chain(neuro.Graded(threshold=10, levels=7, bias=5, start_step=1), [[4, -9], [11, 3]])
    run = neuro.run(network, np.array([[[3, 5]]]), timesteps=1, engine="reference", record=("raster",))
    assert run.raster["out"][0].tolist() == [[0, 0], [7, 0]]
    assert run.spikes["out"].tolist() == [[1, 0]]


@given(
    st.integers(0, 4095),
    st.integers(0, 4095),
    st.integers(0, 3000),
    st.integers(-4096, 4096),
    st.integers(0, 7),
    st.integers(0, 99),
)
def test_cuba_lif_equals_the_four_line_rule(du, dv, vth, bias, exponent, seed) -> None:
    rng = np.random.default_rng(seed)
    wsum = rng.integers(-200_000 if seed % 3 == 0 else -300, 200_000 if seed % 3 == 0 else 400, 30)
    network = chain(neuro.CubaLif(du, dv, vth, bias, exponent), [[1]])
    run = neuro.run(network, wsum.reshape(1, 30, 1), engine="reference", record=("traces", "raster"))

    def dec(x, d):
        return int(np.sign(x)) * ((abs(x) * (4096 - d)) >> 12)

    u = v = 0
    for t in range(30):
        u = dec(u, du + 1) + ((int(wsum[t - 1]) if t else 0) << 6)
        u = (u + 2**23) % 2**24 - 2**23
        v = max(-(2**23) + 1, min(2**23 - 1, dec(v, dv) + u + (bias << exponent)))
        spike = v > (vth << 6)
        v = 0 if spike else v
        assert (run.traces["out"][0, t, 0], run.raster["out"][0, t, 0]) == (v, spike)


@given(st.integers(2, 5), st.booleans(), st.integers(0, 99))
def test_max_pool_follows_the_largest_count(taps: int, signed: bool, seed: int) -> None:
    neuron = neuro.MaxPool(taps, "counts", signed, start_step=1)
    network = chain(neuron, neuron.base ** np.arange(taps)[:, None])
    spikes = np.random.default_rng(seed).integers(-1 if signed else 0, 2, (3, 20, taps))
    run = neuro.run(network, spikes, timesteps=20, engine="reference", record=("raster",))
    most = np.maximum(spikes.cumsum(axis=1).max(axis=2), 0 if not signed else -20)
    before = np.concatenate([np.zeros((3, 1), int), most[:, :-1]], axis=1)
    assert np.array_equal(run.raster["out"][:, 1:, 0], most - before)


@given(st.integers(2, 6), st.integers(1, 8), st.integers(0, 99))
def test_max_pool_sends_the_digits_of_the_largest_number(taps: int, digits: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 2**digits, (4, taps))
    neuron = neuro.MaxPool(taps, "digits", start_step=1)
    network = neuro.Network(
        (neuro.Population("in", (taps,), neuro.Source("radix", digits=digits)), neuro.Population("out", (1,), neuron)),
        (neuro.Dense("in", "out", 2 ** np.arange(taps)[:, None]),),
    )
    run = neuro.run(network, values, timesteps=digits, engine="reference", record=("raster",))
    assert np.array_equal(run.raster["out"][:, 1:, 0] @ 2 ** np.arange(digits - 1, -1, -1), values.max(axis=1))


def test_max_pool_takes_payloads_in_turn() -> None:
    values = np.array([[3, 9, 4], [0, 0, 0], [200, 1, 255]])
    taps = [neuro.Sparse("in", "out", ([i], [0], [1]), delay=1 + i) for i in range(3)]
    network = neuro.Network(
        (
            neuro.Population("in", (3,), neuro.Source("once")),
            neuro.Population("out", (1,), neuro.MaxPool(3, "turns", start_step=1)),
        ),
        tuple(taps),
    )
    run = neuro.run(network, values, timesteps=1, engine="reference", record=("raster",))
    assert run.raster["out"][:, :, 0].tolist() == [[0, 0, 0, 9], [0, 0, 0, 0], [0, 0, 0, 255]]


def test_signed_neurons_look_ahead_in_silence() -> None:
    neuron = neuro.SignedIntegrateAndFire(10, initial_potential=5, gather=3, start_step=1)
    network = chain(neuron, [[10], [-10]])
    spikes = np.array([[[1, 0], [0, 1], [1, 0], [1, 0], [0, 0]]])
    run = neuro.run(network, spikes, timesteps=5, engine="reference", record=("raster",))
    assert run.raster["out"][0, :, 0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]  # without it: 1, -1, 1, 1


def test_user_neuron_runs_and_bad_ones_are_refused() -> None:
    def leaky(charge, parameters, v):
        v = v - (v >> 2) + charge
        return (1, v - parameters[0]) if v >= parameters[0] else (0, v)

    network = chain(neuro.UserNeuron(leaky, parameters=(10,)), [[6]])
    run = neuro.run(network, np.ones((1, 4, 1), int), engine="reference", record=("traces",))
    assert run.traces["out"][0, :, 0].tolist() == [0, 6, 1, 7]
    assert run.spikes["out"].tolist() == [[1]]
    bad = chain(neuro.UserNeuron(lambda charge, parameters, v: (0, v / 2)), [[6]])
    with pytest.raises(neuro.NeuroError, match="Return integers"):
        neuro.run(bad, np.ones((1, 2, 1), int), engine="reference")


def test_observer_sees_every_message() -> None:
    network = chain(neuro.IntegrateAndFire(threshold=5), [[3, 1], [0, 4]])
    seen = {}
    run = neuro.run(network, np.ones((3, 6, 2), int), observe=lambda first, blocks: seen.update({first: blocks}))
    total = sum(len(block["out"].neurons) for block in seen.values())
    assert total == run.spikes["out"].sum() > 0


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (np.zeros((1, 3), int), "shape"),
        (np.full((1, 2), np.nan), "NaN"),
        (np.array([["a", "b"]]), "dtype"),
        (np.full((1, 2), 0.5), "fractions"),
        (np.zeros((0, 2), int), "no samples"),
    ],
)
def test_bad_inputs_are_refused(inputs, says) -> None:
    with pytest.raises(neuro.NeuroError, match=says):
        neuro.run(chain(neuro.IntegrateAndFire(5), [[1], [1]]), inputs, timesteps=3)


@pytest.mark.parametrize("timesteps", [0, -1, 2.5, True])
def test_bad_timesteps_are_refused(timesteps) -> None:
    with pytest.raises(neuro.NeuroError, match="Use a whole number from 1"):
        neuro.run(chain(neuro.IntegrateAndFire(5), [[1], [1]]), np.zeros((1, 2), int), timesteps=timesteps)


def test_progress_counts_the_samples_that_are_done() -> None:
    told: list[tuple[int, int]] = []
    network = chain(neuro.IntegrateAndFire(threshold=5), [[3, 1], [0, 4]])
    neuro.run(network, np.ones((3, 6, 2), int), engine="reference", progress=lambda done, all_of: told.append((done, all_of)))
    assert told == [(1, 3), (2, 3), (3, 3)]
