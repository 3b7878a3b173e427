"""Laws of whole networks: what may be reordered, permuted, split, shifted or scaled without a spike changing."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import neuro
from tests.chips import random_inputs, random_network
from tests.laws import law
from tests.networks import cases
from tests.runs import RECORD, assert_same

LAW = law(20)
SEEDS = st.integers(0, 10_000)


def run(network, inputs, timesteps=None) -> neuro.Run:
    return neuro.run(network, inputs, timesteps=timesteps, record=RECORD)


def same_spikes(a: neuro.Run, b: neuro.Run) -> None:
    assert all(np.array_equal(a.raster[name], raster) for name, raster in b.raster.items())
    assert np.array_equal(a.logits, b.logits)


def listed(network, projection) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A projection's synapses as (pre, post, weight)."""
    synapses = projection.synapses(network[projection.source].shape, network[projection.target].shape)
    return synapses.pre, synapses.post, synapses.weight


def with_lists(network, moved=None) -> neuro.Network:
    """The network with flat populations and every synapse listed; `moved` maps a population to its neurons' new places."""
    moved = moved or {}

    def flat(p):
        named = {name: getattr(p.neuron, name) for name in p.neuron.per_neuron if np.ndim(getattr(p.neuron, name, 0))}
        arrays = {name: np.broadcast_to(value, p.shape).ravel() for name, value in named.items()}
        return neuro.Population(p.name, (p.size,), replace(p.neuron, **arrays))

    def place(name, at):
        return moved[name][at] if name in moved else at

    def sparse(p):
        pre, post, weight = listed(network, p)
        return neuro.Sparse(p.source, p.target, (place(p.source, pre), place(p.target, post), weight), p.delay, p.port)

    projections = tuple(sparse(p) for p in network.projections)
    return neuro.Network(tuple(map(flat, network.populations)), projections, network.timesteps)


@LAW
@given(SEEDS)
def test_lists_of_synapses_do_what_convolutions_do(seed: int) -> None:
    network = random_network(seed)
    inputs = random_inputs(network, 3, seed)
    plain = run(network, inputs)
    by_list = run(with_lists(network), inputs.reshape(3, -1))
    assert np.array_equal(by_list.logits, plain.logits)
    assert all(np.array_equal(by_list.raster[n].reshape(plain.raster[n].shape), plain.raster[n]) for n in plain.raster)
    assert by_list.synops == plain.synops


@LAW
@given(SEEDS)
def test_permuting_neurons_permutes_their_spikes_and_nothing_else(seed: int) -> None:
    network = random_network(seed)
    rng, inputs = np.random.default_rng(seed), random_inputs(network, 3, seed).reshape(3, -1)
    moved = {p.name: rng.permutation(p.size) for p in network.populations if p.name not in ("in", "end")}
    plain, permuted = run(with_lists(network), inputs), run(with_lists(network, moved), inputs)
    assert np.array_equal(permuted.logits, plain.logits)
    for name, raster in plain.raster.items():
        at = moved.get(name, np.arange(raster.shape[2]))
        assert np.array_equal(permuted.raster[name][..., at], raster)
    assert permuted.synops == plain.synops


@LAW
@given(SEEDS)
def test_permuting_channels_permutes_feature_maps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    order, weights = rng.permutation(6), rng.integers(-60, 61, (6, 3, 3, 3))
    populations = (
        neuro.Population("in", (3, 6, 5), neuro.Source()),
        neuro.Population("maps", (6, 6, 5), neuro.IntegrateAndFire(70, bias=rng.integers(-9, 10, (6, 1, 1)))),
    )
    moved = (
        populations[0],
        replace(populations[1], neuron=replace(populations[1].neuron, bias=populations[1].neuron.bias[order])),
    )
    inputs = rng.integers(-3, 4, (2, 3, 6, 5))
    plain = run(neuro.Network(populations, (neuro.Conv2d("in", "maps", weights, padding=1),)), inputs, 5)
    permuted = run(neuro.Network(moved, (neuro.Conv2d("in", "maps", weights[order], padding=1),)), inputs, 5)
    maps = plain.raster["maps"].reshape(2, 5, 6, -1)[:, :, order]
    assert np.array_equal(permuted.raster["maps"], maps.reshape(2, 5, -1))


@LAW
@given(SEEDS)
def test_permuting_classes_permutes_logits(seed: int) -> None:
    network = random_network(seed)
    order = np.random.default_rng(seed).permutation(5)
    ends = tuple(replace(p, weights=p.weights[:, order]) if p.target == "end" else p for p in network.projections)
    inputs = random_inputs(network, 3, seed)
    permuted = run(replace(network, projections=ends), inputs)
    assert np.array_equal(permuted.logits, run(network, inputs).logits[:, order])


@LAW
@given(cases())
def test_permuting_samples_permutes_results(case) -> None:
    network, inputs, timesteps = case
    order = np.random.default_rng(len(inputs)).permutation(len(inputs))
    plain, permuted = run(network, inputs, timesteps), run(network, inputs[order], timesteps)
    assert np.array_equal(permuted.logits, plain.logits[order])
    for name in plain.raster:
        assert np.array_equal(permuted.raster[name], plain.raster[name][order])
    assert all(np.array_equal(permuted.counts[n].synops, c.synops) for n, c in plain.counts.items())


@LAW
@given(cases())
def test_counts_add_over_samples(case) -> None:
    network, inputs, timesteps = case
    whole = neuro.run(network, inputs, timesteps=timesteps).counts
    alone = [neuro.run(network, inputs[i : i + 1], timesteps=timesteps).counts for i in range(len(inputs))]
    for name, counts in whole.items():
        for field in counts.__slots__:
            assert np.array_equal(sum(getattr(one[name], field) for one in alone), getattr(counts, field)), (name, field)


@LAW
@given(cases())
def test_sums_over_steps_equal_the_totals(case) -> None:
    network, inputs, timesteps = case
    result = run(network, inputs, timesteps)
    for name, raster in result.raster.items():
        sent = (raster != 0).reshape(*raster.shape[:2], -1)
        assert np.array_equal(result.spikes[name].reshape(len(inputs), -1), sent.sum(axis=1))
        assert np.array_equal(result.counts[name].messages, sent.sum(axis=(0, 2)))
    assert result.messages == sum(int(spikes.sum()) for spikes in result.spikes.values())
    assert result.synops == sum(int(counts.synops.sum()) for counts in result.counts.values())


@LAW
@given(cases())
def test_synaptic_operations_are_messages_times_fan_out(case) -> None:
    network, inputs, timesteps = case
    result = run(network, inputs, timesteps)
    expected = {p.name: np.zeros(result.steps, np.int64) for p in network.populations}
    for projection in network.projections:
        fan = np.bincount(listed(network, projection)[0], minlength=network[projection.source].size)
        sent = (result.raster[projection.source] != 0).reshape(len(inputs), result.steps, -1).sum(axis=0) @ fan
        target = network[projection.target].neuron
        for t in range(result.steps - projection.delay):
            if 0 <= t + projection.delay - target.start_step < target.active_steps(timesteps):
                expected[projection.target][t + projection.delay] += sent[t]
    assert all(np.array_equal(result.counts[name].synops, count) for name, count in expected.items())


@LAW
@given(cases())
def test_a_projection_of_zeros_changes_no_spike_and_is_paid_for(case) -> None:
    network, inputs, timesteps = case
    target = network.projections[0].target
    zeros = neuro.Dense("in", target, np.zeros((network["in"].size, network[target].size), int))
    plain, added = (
        run(network, inputs, timesteps),
        run(replace(network, projections=(*network.projections, zeros)), inputs, timesteps),
    )
    same_spikes(added, plain)
    assert added.synops >= plain.synops


@LAW
@given(cases())
def test_the_order_of_populations_and_projections_is_of_no_matter(case) -> None:
    network, inputs, timesteps = case
    head, last = network.populations[:-1], network.populations[-1:]  # without a readout, the last one answers
    backwards = neuro.Network((*head[::-1], *last), network.projections[::-1])
    assert_same(run(backwards, inputs, timesteps), run(network, inputs, timesteps))


@LAW
@given(cases())
def test_names_are_of_no_matter(case) -> None:
    network, inputs, timesteps = case
    renamed = neuro.Network(
        tuple(replace(p, name=f"another {p.name}") for p in network.populations),
        tuple(replace(p, source=f"another {p.source}", target=f"another {p.target}") for p in network.projections),
    )
    plain, result = run(network, inputs, timesteps), run(renamed, inputs, timesteps)
    assert all(np.array_equal(result.raster[f"another {name}"], raster) for name, raster in plain.raster.items())
    assert result.synops == plain.synops


@LAW
@given(cases(), st.integers(0, 10**6))
def test_a_projection_split_in_two_changes_no_spike(case, seed: int) -> None:
    network, inputs, timesteps = case
    first = network.projections[0]
    pre, post, weight = listed(network, first)
    part = np.random.default_rng(seed).integers(-50, 51, len(weight))
    halves = tuple(
        neuro.Sparse(first.source, first.target, (pre, post, w), first.delay, first.port) for w in (part, weight - part)
    )
    split = run(replace(network, projections=(*halves, *network.projections[1:])), inputs, timesteps)
    same_spikes(split, run(network, inputs, timesteps))


@LAW
@given(SEEDS, st.integers(1, 4))
def test_a_network_that_starts_later_does_the_same_later(seed: int, later: int) -> None:
    network = random_network(seed)
    inputs = random_inputs(network, 2, seed)
    moved = tuple(replace(p, neuron=replace(p.neuron, start_step=p.neuron.start_step + later)) for p in network.populations)
    plain, shifted = run(network, inputs), run(replace(network, populations=moved), inputs)
    for name, raster in plain.raster.items():
        assert np.array_equal(shifted.raster[name][:, later:], raster)
        assert not shifted.raster[name][:, :later].any()
    assert np.array_equal(shifted.logits, plain.logits)


@LAW
@given(SEEDS, st.integers(2, 5))
def test_scaling_weights_and_thresholds_alike_changes_no_spike(seed: int, by: int) -> None:
    rng = np.random.default_rng(seed)
    start, end = rng.integers(-30, 31, (8, 9)), rng.integers(-30, 31, (9, 4))

    def network(k: int) -> neuro.Network:
        fire = [
            neuro.IntegrateAndFire(40 * k, bias=2 * k),
            neuro.SignedIntegrateAndFire(25 * k),
            neuro.WaitIntegrateAndFire(33 * k, 4),
        ]
        populations = [neuro.Population("in", (8,), neuro.Source())]
        populations += [neuro.Population(f"a{i}", (9,), neuron) for i, neuron in enumerate(fire)]
        populations += [neuro.Population("out", (4,), neuro.Readout(scale=1 / k))]
        into = [neuro.Dense("in", f"a{i}", k * start) for i in range(3)]
        return neuro.Network(tuple(populations), (*into, *(neuro.Dense(f"a{i}", "out", k * end) for i in range(3))))

    inputs = rng.integers(0, 4, (3, 8))
    plain, scaled = run(network(1), inputs, 8), run(network(by), inputs, 8)
    assert all(np.array_equal(scaled.raster[name], raster) for name, raster in plain.raster.items())
    assert np.array_equal(scaled.potentials["out"], by * plain.potentials["out"])


@LAW
@given(cases())
def test_zero_input_and_zero_bias_give_silence(case) -> None:
    network, inputs, timesteps = case

    def quiet(p):
        zero = {name: 0 for name in ("bias", "initial_potential") if np.any(getattr(p.neuron, name))}
        if isinstance(p.neuron, neuro.UserNeuron):
            zero = {"state": tuple((name, 0) for name, _ in p.neuron.state)}
        if isinstance(p.neuron, neuro.Value):  # a table and what is added before a shift send values for nothing, too
            zero |= {"half": 0} if p.neuron.table is None else {"half": 0, "table": 0 * p.neuron.table}
        return replace(p, neuron=replace(p.neuron, **zero))

    result = run(replace(network, populations=tuple(map(quiet, network.populations))), np.zeros_like(inputs), timesteps)
    assert result.messages == result.synops == 0
    assert not result.logits.any()


@LAW
@given(cases(stream=True), st.data())
def test_the_future_does_not_change_the_past(case, data) -> None:
    network, inputs, _ = case
    at = data.draw(st.integers(0, inputs.shape[1]))
    changed = inputs.copy()
    changed[:, at:] = 1 - changed[:, at:] if inputs.min() >= 0 and inputs.max() <= 1 else -changed[:, at:]
    plain, other = run(network, inputs), run(network, changed)
    for name, raster in plain.raster.items():
        assert np.array_equal(other.raster[name][:, :at], raster[:, :at])


@LAW
@given(cases())
def test_recording_changes_nothing(case) -> None:
    network, inputs, timesteps = case
    bare = neuro.run(network, inputs, timesteps=timesteps)
    record = (*RECORD, *(("logits_by_step",) if network.readouts else ()))
    full = neuro.run(network, inputs, timesteps=timesteps, record=record)
    assert_same(full, bare)
    if network.readouts:
        assert np.array_equal(full.logits_by_step[:, -1], full.logits)


@LAW
@given(cases(), st.integers(2, 3))
def test_a_sample_twice_does_the_same_twice(case, times: int) -> None:
    network, inputs, timesteps = case
    one, many = run(network, inputs[:1], timesteps), run(network, np.repeat(inputs[:1], times, axis=0), timesteps)
    for name, raster in one.raster.items():
        assert np.array_equal(many.raster[name], np.repeat(raster, times, axis=0))
    assert many.synops == times * one.synops
    assert many.updates == times * one.updates
