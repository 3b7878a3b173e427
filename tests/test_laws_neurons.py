"""Laws of one neuron's arithmetic: charge is conserved, nothing is changed in place, neurons do not see each other."""

import math
from dataclasses import fields, replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

import neuro
from neuro.engine import fire
from neuro.neurons.integers import decay, saturate, wrap24
from tests.laws import law
from tests.networks import neurons
from tests.runs import RECORD, assert_same

LAW = law(60)
leaked = njit(lambda x, kept: fire.leaked(x, kept))  # fire's own have no wrappers for Python
leaked_little = njit(lambda x, kept: fire.leaked_little(x, *fire.parts(kept)))
SEEDS = st.integers(0, 10**6)


def charges(seed: int, steps: int = 12, size: int = 7, scale: int = 60) -> np.ndarray:
    """Charges (steps, neurons) of either sign."""
    return np.random.default_rng(seed).integers(-scale, scale + 1, (steps, size))


def given_to(neuron, charge):
    """A charge as the neuron takes it: of two ports, for each the same."""
    return charge if neuron.port_count == 1 else (charge, charge)


def trace(neuron, charge):
    """State after the last step, messages (steps, neurons) and drives (steps, neurons)."""
    state, sent, drives = neuron.initial_state(charge.shape[1:]), [], []
    for t in range(min(len(charge), neuron.active_steps(len(charge)))):
        state, message, drive = neuron.advance(state, given_to(neuron, charge[t]), t)
        sent.append(message)
        drives.append(drive)
    return state, np.array(sent), np.array(drives)


@LAW
@given(SEEDS, st.integers(1, 300), st.integers(-40, 40), st.integers(-20, 200), st.booleans())
def test_soft_reset_conserves_charge(seed: int, threshold: int, bias: int, initial: int, hold: bool) -> None:
    neuron = neuro.IntegrateAndFire(threshold, bias=bias, initial_potential=initial, hold_input=hold)
    state, sent, drive = trace(neuron, charges(seed))
    assert np.array_equal(state["v"], initial + drive.sum(axis=0) - threshold * sent.sum(axis=0))


@LAW
@given(SEEDS, st.integers(1, 300), st.integers(-40, 40), st.integers(1, 4), st.sampled_from([(0, None), (None, None), (-2, 2)]))
def test_correcting_spikes_conserve_charge(seed: int, threshold: int, bias: int, gather: int, limits: tuple) -> None:
    neuron = neuro.SignedIntegrateAndFire(threshold, bias=bias, minimum=limits[0], maximum=limits[1], gather=gather)
    state, sent, drive = trace(neuron, charges(seed))
    assert np.array_equal(state["v"], drive.sum(axis=0) - threshold * sent.sum(axis=0))
    assert np.array_equal(state["count"], sent.sum(axis=0))


@LAW
@given(SEEDS, st.integers(1, 300), st.integers(1, 6), st.integers(-40, 40))
def test_waiting_conserves_charge_and_hears_only_while_it_gathers(seed: int, threshold: int, gather: int, bias: int) -> None:
    neuron, charge = neuro.WaitIntegrateAndFire(threshold, gather, bias=bias), charges(seed)
    state, sent, _ = trace(neuron, charge)
    gathered = charge[:gather].sum(axis=0) + gather * bias
    assert np.array_equal(state["v"], gathered - threshold * sent.sum(axis=0))
    assert not sent[: gather - 1].any()


@LAW
@given(SEEDS, st.integers(1, 40), st.integers(1, 5))
def test_waiting_sends_the_rounded_quotient(seed: int, threshold: int, gather: int) -> None:
    charge = charges(seed)
    _, sent, _ = trace(neuro.WaitIntegrateAndFire(threshold, gather), charge)
    quotient = charge[:gather].sum(axis=0) // threshold
    assert np.array_equal(sent.sum(axis=0), np.clip(quotient, 0, len(charge) - gather + 1))


@LAW
@given(SEEDS, st.integers(1, 40), st.integers(1, 6), st.integers(1, 4))
def test_digits_conserve_charge(seed: int, threshold: int, digits: int, gather: int) -> None:
    neuron, charge = neuro.RadixIntegrateAndFire(threshold, digits, gather, bias=3), charges(seed, steps=gather + digits - 1)
    state, sent, _ = trace(neuron, charge)
    gathered = sum(charge[t] << (gather - 1 - t) for t in range(gather)) + 3
    worth = sum(sent[gather - 1 + k] * (threshold << (digits - 1 - k)) for k in range(digits))
    assert np.array_equal(state["v"], gathered - worth)


@LAW
@given(SEEDS, st.booleans())
def test_a_readout_adds_up_all_it_hears(seed: int, doubling: bool) -> None:
    charge = charges(seed, steps=6)
    state, sent, _ = trace(neuro.Readout(doubling=doubling), charge)
    weights = 2 ** np.arange(5, -1, -1) if doubling else np.ones(6, int)
    assert np.array_equal(state["v"], weights @ charge)
    assert not sent.any()


@LAW
@given(neurons(), SEEDS)
def test_steps_change_nothing_in_place(neuron, seed: int) -> None:
    charge = charges(seed)
    state = neuron.initial_state(charge.shape[1:])
    before = {name: values.copy() for name, values in state.items()}
    for values in (*state.values(), charge):
        values.setflags(write=False)
    neuron.advance(state, given_to(neuron, charge[0]), 0)
    assert all(np.array_equal(state[name], values) for name, values in before.items())


@LAW
@given(neurons(), SEEDS)
def test_state_variables_are_those_declared_the_potential_first(neuron, seed: int) -> None:
    state, _, _ = trace(neuron, charges(seed))
    assert list(state) == list(neuron.variables)
    assert neuron.potential == next(iter(state))
    if neuron.potential_bits is not None:
        assert np.abs(state[neuron.potential]).max() <= (1 << neuron.potential_bits - 1) - 1


@LAW
@given(neurons(), SEEDS, st.integers(1, 9))
def test_a_value_that_timing_does_not_change_is_the_rounded_quotient(neuron, seed: int, timesteps: int) -> None:
    """Of models that declare `values`: all the charge in the step in which they decide, against the messages of the window."""
    if "gather" in {f.name for f in fields(neuron)}:
        neuron = replace(neuron, gather=1)
    if neuron.values(timesteps) is None or (neuron.hold_input and timesteps > 1):
        return
    charge = np.zeros((neuron.active_steps(timesteps), 7), np.int64)
    charge[0] = charges(seed, steps=1, scale=100)
    _, sent, _ = trace(neuron, charge)
    sent = sent[:1] if neuron.sends == "payload" else sent  # the bias of a graded neuron counts in each step
    worth = 2 ** np.arange(len(sent))[::-1] if neuron.sends == "digits" else np.ones(len(sent), np.int64)
    whole = charge[0] + neuron.bias * neuron.counted_bias(timesteps) + neuron.initial_potential
    assert np.array_equal(worth @ sent, np.clip(whole // neuron.threshold, *neuron.values(timesteps)))
    assert np.abs(worth @ sent).max() <= neuron.largest_value(timesteps)


@LAW
@given(neurons(), SEEDS)
def test_neurons_do_not_see_each_other(neuron, seed: int) -> None:
    charge = charges(seed)
    order = np.random.default_rng(seed).permutation(charge.shape[1])
    state, sent, drive = trace(neuron, charge)
    permuted, also_sent, also_drive = trace(neuron, charge[:, order])
    assert np.array_equal(also_sent, sent[:, order])
    assert np.array_equal(also_drive, drive[:, order])
    assert np.array_equal(permuted[neuron.potential], state[neuron.potential][order])


@LAW
@given(neurons())
def test_nothing_in_nothing_out(neuron) -> None:
    quiet = {"bias": 0, "initial_potential": 0}
    if isinstance(neuron, neuro.UserNeuron):
        quiet = {"state": tuple((name, 0) for name, _ in neuron.state)}
    if isinstance(neuron, neuro.Value):  # a table says what 0 is worth
        quiet |= {"table": None, "lookup": "direct", "half": None, "lowest": None, "highest": None}
    neuron = replace(neuron, **{name: value for name, value in quiet.items() if name in {f.name for f in fields(neuron)}})
    state, sent, _ = trace(neuron, np.zeros((12, 7), np.int64))
    assert not sent.any()
    assert not state[neuron.potential].any()


@LAW
@given(neurons(), SEEDS)
def test_messages_stay_within_what_the_neuron_declares(neuron, seed: int) -> None:
    low, high = neuron.messages
    scale = 1 if isinstance(neuron, neuro.MaxPool) and neuron.code != "turns" else 5000
    sent = trace(neuron, np.abs(charges(seed, scale=scale)) if isinstance(neuron, neuro.MaxPool) else charges(seed, scale=scale))[
        1
    ]
    assert low <= sent.min()
    assert sent.max() <= high


@LAW
@given(SEEDS, st.sampled_from([2, 9, 12, 24]), st.integers(1, 400))
def test_potentials_stay_within_their_width(seed: int, bits: int, threshold: int) -> None:
    kinds = [neuro.IntegrateAndFire(threshold, potential_bits=bits), neuro.Readout(potential_bits=bits)]
    kinds += [neuro.WaitIntegrateAndFire(threshold, 3, potential_bits=bits)]
    for neuron in kinds:
        state, _, _ = trace(neuron, charges(seed, scale=40_000))
        assert np.abs(state["v"]).max() <= (1 << bits - 1) - 1
    leaky, _, _ = trace(neuro.CubaLif(0, 0, threshold), charges(seed, scale=40_000))
    assert np.abs(leaky["v"]).max() <= (1 << 23) - 1


@LAW
@given(SEEDS, st.integers(1, 300), st.integers(-40, 40), st.sampled_from(["subtract", "zero"]), st.integers(2, 5))
def test_scaling_charge_and_threshold_alike_changes_no_spike(seed: int, threshold: int, bias: int, reset: str, by: int) -> None:
    charge = charges(seed)
    state, sent, _ = trace(neuro.IntegrateAndFire(threshold, reset, bias=bias), charge)
    scaled, also_sent, _ = trace(neuro.IntegrateAndFire(by * threshold, reset, bias=by * bias), by * charge)
    assert np.array_equal(also_sent, sent)
    assert np.array_equal(scaled["v"], by * state["v"])


@LAW
@given(SEEDS, st.integers(1, 300), st.integers(0, 60))
def test_more_charge_never_brings_fewer_spikes(seed: int, threshold: int, more: int) -> None:
    charge = charges(seed)
    added = charge + np.random.default_rng(seed + 1).integers(0, more + 1, charge.shape)
    few, many = (trace(neuro.IntegrateAndFire(threshold), given)[1].cumsum(axis=0) for given in (charge, added))
    assert (many >= few).all()


@LAW
@given(SEEDS, st.integers(1, 299), st.integers(1, 100))
def test_a_lower_threshold_never_brings_fewer_spikes_to_steady_charge(seed: int, threshold: int, less: int) -> None:
    charge = np.broadcast_to(np.abs(charges(seed, steps=1)), (12, 7))
    high, low = (trace(neuro.IntegrateAndFire(t), charge)[1].sum(axis=0) for t in (threshold, max(1, threshold - less)))
    assert (low >= high).all()


@LAW
@given(SEEDS, st.integers(1, 50), st.sampled_from([1, 15, 255]), st.sampled_from([0, -9]))
def test_graded_messages_grow_with_the_charge(seed: int, threshold: int, levels: int, minimum: int) -> None:
    charge = np.sort(charges(seed, steps=4, scale=4000), axis=1)
    _, sent, _ = trace(neuro.Graded(threshold, levels=levels, minimum=minimum), charge)
    assert (np.diff(sent, axis=1) >= 0).all()


@LAW
@given(SEEDS, st.integers(2, 31))
def test_saturation_is_odd_keeps_order_and_is_done_once(seed: int, bits: int) -> None:
    x = np.sort(np.random.default_rng(seed).integers(-(1 << 40), 1 << 40, 50) >> np.random.default_rng(seed).integers(0, 40, 50))
    clipped = saturate(x, bits)
    assert np.array_equal(saturate(clipped, bits), clipped)
    assert np.array_equal(saturate(-x, bits), -clipped)
    assert (np.diff(clipped) >= 0).all()
    assert np.array_equal(clipped[np.abs(x) < 1 << bits - 1], x[np.abs(x) < 1 << bits - 1])


@LAW
@given(SEEDS)
def test_wrapping_keeps_the_low_bits(seed: int) -> None:
    x = np.random.default_rng(seed).integers(-(1 << 40), 1 << 40, 50)
    wrapped = wrap24(x)
    assert ((wrapped - x) % (1 << 24) == 0).all()
    assert wrapped.min() >= -(1 << 23)
    assert wrapped.max() < 1 << 23
    assert np.array_equal(wrap24(x + (1 << 24)), wrapped)


@LAW
@given(SEEDS, st.integers(0, 4096))
def test_decay_shrinks_toward_zero_alike_on_both_sides(seed: int, factor: int) -> None:
    x = np.random.default_rng(seed).integers(-(1 << 23), 1 << 23, 50)
    decayed = decay(x, factor)
    assert np.array_equal(decay(-x, factor), -decayed)
    assert (np.abs(decayed) <= np.abs(x)).all()
    assert (decayed * x >= 0).all()
    assert np.abs(decayed - x * (4096 - factor) / 4096).max() < 1


@law(300)
@given(st.integers(-(2**23), 2**23), st.integers(0, 4096))
def test_leaks_in_32_bits_are_those_of_the_definition(x: int, kept: int) -> None:
    assert int(leaked(np.int32(x), np.int32(kept))) == int(decay(np.array(x, np.int64), 4096 - kept))


@law(300)
@given(st.integers(-(2**23), 2**23), st.integers(0, 255) | st.integers(4096 - 255, 4096))
def test_leaks_by_one_product_are_those_of_the_definition(x: int, kept: int) -> None:
    assert int(leaked_little(np.int32(x), np.int32(kept))) == int(decay(np.array(x, np.int64), 4096 - kept))


DECAYS = st.integers(0, 260) | st.integers(3835, 4095) | st.integers(0, 4095)  # at the bounds of one product, and anywhere


@law(60)
@given(DECAYS, DECAYS, st.integers(0, 7), st.sampled_from([1, 2, 64]), st.sampled_from([None, 3]), SEEDS)
def test_leaky_neurons_are_exact_in_32_bits_whatever_arrives(
    current: int, voltage: int, exponent: int, refractory: int, reset: int | None, seed: int
) -> None:
    """Charges up to what an accumulator holds, which wrap the current and saturate the potential, against 64 bits."""
    rng = np.random.default_rng(seed)
    bias = rng.integers(-4096, 4097, 40)
    neuron = neuro.CubaLif(current, voltage, 131_071, bias, exponent, 0, refractory, reset)
    network = neuro.Network(
        (neuro.Population("in", (40,), neuro.Source(levels=65_535)), neuro.Population("a", (40,), neuron)),
        (neuro.OneToOne("in", "a", 32_000),),
    )
    sizes = 2.0 ** rng.uniform(0, 16, (1, 12, 40))
    inputs = np.rint(np.minimum(sizes, 65_535) * rng.choice([-1, 0, 1], sizes.shape)).astype(np.int64)
    expected = neuro.run(network, inputs, engine="reference", record=RECORD)
    assert_same(neuro.run(network, inputs, record=RECORD), expected)


@law(300)
@given(st.integers(1, 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(-2, 2))
def test_doubles_divide_charges_exactly(threshold: int, charge: int, beside: int) -> None:
    near = min(max(charge // threshold * threshold + beside, -(2**31)), 2**31 - 1)  # where rounding could matter
    for drive in (charge, near):
        assert math.floor(float(drive) / float(threshold)) == drive // threshold
