"""No integer is too narrow: long runs, the largest payloads, weights and potentials, against the reference and closed forms."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import neuro
from converters.quantised import evaluate
from neuro.engine import brian2_engine
from neuro.engine.bounds import as_convolution
from neuro.engine.pack import Packer
from neuro.engine.plan import FOREVER, make_plan
from neuro.engine.tables import HELD, HELD_LONG
from neuro.errors import EngineError, InputError, NeuroError
from tests.laws import law
from tests.runs import assert_same

INT32 = 2**31 - 1
RECORD = ("raster", "potentials", "traces")


def chain(neuron, weights, source=None) -> neuro.Network:
    """A source, one population, one dense projection (pre, post)."""
    weights = np.atleast_2d(np.asarray(weights, np.int64))
    populations = (
        neuro.Population("in", (weights.shape[0],), source or neuro.Source()),
        neuro.Population("a", (weights.shape[1],), neuron),
    )
    return neuro.Network(populations, (neuro.Dense("in", "a", weights),))


# Long runs, of which the reference would take too long: closed forms are the witness.


@pytest.mark.compiled
@law(6)
@given(st.sampled_from([65_535, 65_536, 70_000]), st.integers(1, 9), st.integers(0, 9), st.sampled_from([0, 3]))
def test_messages_of_long_runs_are_counted_to_the_last(steps: int, threshold: int, bias: int, start: int) -> None:
    bias = min(bias, threshold)  # at most one spike a step is due
    neuron = neuro.IntegrateAndFire(threshold, bias=bias, start_step=start)
    network = chain(neuron, [[0, 0]])
    run = neuro.run(network, np.ones((2, steps, 1), np.int8))
    due = steps * bias // threshold
    assert run.spikes["a"].tolist() == [[due] * 2] * 2
    assert run.spikes["in"].tolist() == [[steps]] * 2
    assert int(run.counts["a"].messages.sum()) == 4 * due
    outside = start - 1 if start else 1  # messages that arrive before the window or behind it
    assert run.synops == 2 * 2 * (steps - outside)
    assert run.logits.tolist() == [[due] * 2] * 2


@pytest.mark.compiled
def test_messages_of_one_long_call_of_a_session_are_counted_to_the_last() -> None:
    session = neuro.open_session(chain(neuro.IntegrateAndFire(1, bias=1), [[0]]), most_steps=66_000)
    for steps in (66_000, 10, 65_536):
        assert session.step(np.ones((steps, 1), np.int8)).spikes["a"].tolist() == [[steps]]


def test_counts_of_a_lossless_code_are_as_wide_as_its_window() -> None:
    populations = (
        neuro.Population("in", (2,), neuro.Source("once", levels=70_000)),
        neuro.Population("a", (2,), neuro.WaitIntegrateAndFire(1, 1, hold_input=False)),
        neuro.Population("out", (1,), neuro.Readout()),
    )
    projections = (neuro.OneToOne("in", "a"), neuro.Dense("a", "out", np.ones((2, 1), int)))
    found = evaluate(neuro.Network(populations, projections, timesteps=70_000), np.array([[70_000, 65_536]]))
    assert found.spikes["a"].tolist() == [[70_000, 65_536]]
    assert found.synops == 2 + 135_536
    assert found.logits.tolist() == [[135_536]]


# Extremes within few steps.


def extreme(most: int):
    """Integers up to `most` in size that like its ends, powers of two and their neighbours."""
    powers = st.builds(
        lambda k, d, s: s * min(most, max(0, (1 << k) + d)), st.integers(0, 31), st.integers(-1, 1), st.sampled_from([-1, 1])
    )
    return st.one_of(powers, st.sampled_from([-most, 0, most]), st.integers(-most, most))


@st.composite
def extreme_neurons(draw, *, plain: bool = False):
    """Any model with a potential or payload, its parameters up to their ends."""
    kinds = ["if", "hard", "cuba", "readout"] + ([] if plain else ["signed", "wait", "radix", "graded", "turns"])
    kind = draw(st.sampled_from(kinds))
    threshold, bits = draw(extreme(INT32).map(lambda x: max(1, abs(x)))), draw(st.sampled_from([2, 12, 24, 31]))
    common = {"bias": draw(extreme(INT32 >> draw(st.sampled_from([1, 12])))), "start_step": draw(st.integers(0, 2))}
    common["hold_input"] = draw(st.booleans())
    if kind == "readout":
        return neuro.Readout(doubling=draw(st.booleans()), potential_bits=bits)
    if kind == "cuba":
        mantissa = draw(st.integers(-4096, 4096))
        return neuro.CubaLif(draw(st.sampled_from([0, 4095])), draw(st.sampled_from([0, 9])), threshold % 131072, mantissa, 7)
    if kind == "graded":
        return neuro.Graded(
            threshold, levels=draw(extreme(2**20)) ** 2 % INT32 or 1, minimum=-draw(st.integers(0, 2**20)), **common
        )
    if kind == "turns":
        return neuro.MaxPool(3, "turns", levels=threshold)
    common |= {"potential_bits": bits}
    if kind == "radix":
        del common["hold_input"]
        return neuro.RadixIntegrateAndFire(max(1, threshold >> 15), 16, draw(st.integers(1, 5)), **common)
    common["initial_potential"] = draw(extreme(INT32))
    if kind == "signed":
        return neuro.SignedIntegrateAndFire(threshold, minimum=None, gather=draw(st.integers(1, 3)), **common)
    if kind == "wait":
        return neuro.WaitIntegrateAndFire(threshold, draw(st.integers(1, 5)), **common)
    return neuro.IntegrateAndFire(threshold, "zero" if kind == "hard" else "subtract", **common)


@st.composite
def extremes(draw, *, plain: bool = False):
    """Two sources into two neurons: weights x payload x inputs up to what 32-bit accumulators hold, in streams of some steps."""
    neuron = draw(extreme_neurons(plain=plain))
    payload = 1 if plain else 1 << draw(st.integers(0, 30))
    room = (INT32 - (1 << 24) - int(abs(neuron.bias))) // (2 * payload)
    assume(room > 0)
    weights = [[draw(extreme(room)) for _ in range(2)] for _ in range(2)]
    steps = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    low = 0 if plain else -1
    inputs = rng.integers(low, 2, (2, steps, 2)) * payload
    return chain(neuron, weights), inputs


@law(40)
@given(extremes())
def test_extremes_in_every_engine_equal_the_reference(case) -> None:
    network, inputs = case
    expected = neuro.run(network, inputs, engine="reference", record=RECORD)
    for engine in ("event", "torch"):
        assert_same(neuro.run(network, inputs, engine=engine, record=RECORD), expected)


@law(20)
@given(extremes())
def test_extremes_in_a_session_equal_the_reference(case) -> None:
    network, inputs = case
    try:
        session = neuro.open_session(network, record=("raster", "traces"), most_steps=4)
    except EngineError:
        assume(False)
    expected = neuro.run(network, inputs[:1], engine="reference", record=RECORD)
    low, high = session._limits["in"]
    assume(low <= inputs.min() and inputs.max() <= high)  # others are refused
    runs = [session.step(frame) for frame in inputs[0]]
    runs.append(session.finish())
    for name, raster in expected.raster.items():
        assert np.array_equal(np.concatenate([run.raster[name] for run in runs], axis=1), raster)
        assert np.array_equal(np.concatenate([run.traces[name] for run in runs], axis=1), expected.traces[name])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bits", [24, 31])
def test_extremes_in_brian2_equal_the_reference(bits: int) -> None:
    pytest.importorskip("brian2", exc_type=ImportError)
    neuron = neuro.IntegrateAndFire(INT32 // 3, hold_input=True, bias=-5, potential_bits=bits, initial_potential=INT32)
    network, inputs = chain(neuron, [[2**30 - 2**24, -(2**29)], [2**29 + 1, 7]]), np.ones((1, 9, 2), int)
    inputs[0, 4] = 0
    expected = neuro.run(network, inputs, engine="reference", record=RECORD)
    assert_same(neuro.run(network, inputs, engine="brian2", record=RECORD), expected)


def test_a_current_that_brian2_cannot_hold_exactly_is_refused() -> None:
    network = chain(neuro.IntegrateAndFire(5, hold_input=True), [[2**30]])
    with pytest.raises(EngineError, match="'a'.*beyond Brian2's doubles"):
        brian2_engine._check_currents(network, {"in": np.ones((1, 3, 1), int)}, _Steps())


class _Steps:
    steps = 2**24


@pytest.mark.parametrize(
    ("neuron", "steps", "hold"),
    [
        (neuro.IntegrateAndFire(5), FOREVER, 0),
        (neuro.IntegrateAndFire(5, hold_input=True), 2**20, HELD),
        (neuro.IntegrateAndFire(5, hold_input=True), 2**21, HELD_LONG),  # 2^10 a step
        (neuro.Graded(5, hold_input=True), FOREVER, HELD_LONG),
        (neuro.WaitIntegrateAndFire(5, 9, hold_input=True), FOREVER, HELD),  # holds for nine steps
    ],
)
def test_currents_are_held_in_32_bits_where_that_is_proven(neuron, steps: int, hold: int) -> None:
    plan = make_plan(chain(neuron, [[1000], [-24]]), {"in": (-1, 1)}, steps)
    assert plan.populations[1]["hold"] == hold
    assert plan.variables[1] == (1 if not hold else 2 if hold == HELD else 3)


def test_a_current_held_for_long_does_not_wrap() -> None:
    network = chain(neuro.IntegrateAndFire(2**22, hold_input=True), np.full((64, 1), 127))
    inputs = np.full((1, 2200, 64), 127)
    current = np.cumsum(np.full(2200, 64 * 127 * 127)) - 64 * 127 * 127  # the first arrives at step 1
    v, spikes = 0, 0
    for drive in current.tolist():
        v = min(v + drive, 2**23 - 1)
        fired = v >= 2**22
        v, spikes = v - 2**22 * fired, spikes + fired
    assert neuro.run(network, inputs).spikes["a"].tolist() == [[spikes]]


def test_classes_that_float32_cannot_tell_apart_are_told_apart() -> None:
    network = chain(neuro.Readout(potential_bits=31), [[2**24, 2**24 + 1, 2**24 - 1]])
    for engine in ("event", "reference", "torch"):
        run = neuro.run(network, np.array([[[1], [0]]]), engine=engine, record=("logits_by_step",))
        assert run.logits.tolist() == [[2**24, 2**24 + 1, 2**24 - 1]]
        assert run.predictions.tolist() == [1]
        assert run.logits_by_step[0, -1].tolist() == run.logits[0].tolist()
    assert neuro.run(chain(neuro.Readout(), [[2**24, 5]]), np.array([[[1], [0]]])).logits.dtype == np.float32


def test_places_beyond_32_bits_widen_the_tables() -> None:
    for most, kind in ((INT32, np.int32), (2**31, np.int64)):
        packer = Packer()
        packer._add("tables", np.array([1, 2]))
        packer._add("tables", np.array([3, most]))
        tables = packer.arenas()[1]
        assert tables.dtype == kind
        assert tables[:4].tolist() == [1, 2, 3, most]


def test_rows_too_long_to_tell_columns_apart_are_listed() -> None:
    for width, fits in ((2**23 - 1, True), (2**23, False)):
        populations = (neuro.Population("in", (1, width), neuro.Source()), neuro.Population("p", (1, width), neuro.Graded(2)))
        network = neuro.Network(populations, (neuro.OneToOne("in", "p"),))
        assert (as_convolution(network.projections[0], network) is not None) == fits
    for channels, fits in ((2**13, True), (2**14, False)):  # a lane below 2^27 or 2^28, times channels
        populations = (
            neuro.Population("in", (channels, 2**14 - 1), neuro.Source()),
            neuro.Population("p", (channels, 2**14 - 1), neuro.Graded(2)),
        )
        network = neuro.Network(populations, (neuro.OneToOne("in", "p"),))
        assert (as_convolution(network.projections[0], network) is not None) == fits


def test_more_steps_than_neurons_can_count_are_refused() -> None:
    network = chain(neuro.IntegrateAndFire(5, start_step=INT32), [[1]])
    with pytest.raises(EngineError, match="2,147,483,65.* in one stream of at most 2,147,483,647"):
        neuro.run(network, np.ones((1, 9, 1), int))
    session = neuro.open_session(chain(neuro.IntegrateAndFire(5), [[1]]))
    session.elapsed = INT32 - 1
    with pytest.raises(EngineError, match="reset the session"):
        session.step(np.ones((2, 1), int))


def powers(charge, parameters, v, w):
    """A user's neuron whose numbers leave 64 bits: products, shifts by too much, divisions by zero."""
    big = (v * v * v + charge) * (w * parameters[0] + 1)
    far = (big >> 40) ^ (charge << (v & 127)) ^ (big // (charge & 3)) ^ (w % (charge & 1)) ^ -(v << 62) ^ abs(big)
    return far & 1, far + v, (big * big >> 31) - w


@pytest.mark.compiled
@law(10)
@given(st.integers(-(2**31), INT32), st.integers(-(2**31), INT32), st.integers(-(2**63), 2**63 - 1), extreme(2**20))
def test_a_users_arithmetic_wraps_alike_compiled_and_not(v: int, w: int, parameter: int, payload: int) -> None:
    network = chain(neuro.UserNeuron(powers, (("v", v), ("w", w)), (parameter,)), [[1, -3]])
    inputs = np.array([[[payload], [0], [-payload], [7]] * 3])
    expected = neuro.run(network, inputs, engine="reference", record=RECORD)
    assert_same(neuro.run(network, inputs, record=RECORD), expected)


def test_numbers_of_a_users_neuron_that_do_not_fit_are_refused() -> None:
    for state, parameters, says in ((2**31, (), "v = 2147483648"), (0, (2**63,), "parameter = 9223372036854775808")):
        with pytest.raises(NeuroError, match=says):
            neuro.UserNeuron(powers, (("v", state),), parameters)


# Sources.


@law(25)
@given(extreme(2**40), st.integers(1, 40))
def test_rate_sources_of_any_level_send_their_share_of_spikes(value: int, steps: int) -> None:
    levels = max(1, abs(value) % INT32)
    for code in ("rate", "signed"):
        values = np.array([[0, levels, levels // 2, levels // 3]]) * (1 if code == "rate" else -1)
        network = neuro.Network((neuro.Population("in", (4,), neuro.Source(code, levels=levels)),), ())
        run = neuro.run(network, values, timesteps=steps, record=("raster",))
        due = (levels // 2 + np.arange(1, steps + 1)[:, None] * values) // levels
        assert np.array_equal(np.cumsum(run.raster["in"][0], axis=0), due)


def test_digits_that_a_source_does_not_have_are_refused() -> None:
    network = neuro.Network((neuro.Population("in", (1,), neuro.Source("radix", digits=4)),), ())
    assert neuro.run(network, np.array([[15]]), timesteps=4).spikes["in"].tolist() == [[4]]
    with pytest.raises(InputError, match=r"0\.\.15"):
        neuro.run(network, np.array([[16]]), timesteps=4)
    scaled = neuro.Network((neuro.Population("in", (1,), neuro.Source("radix", digits=4, scale=0.5)),), ())
    assert neuro.run(scaled, np.array([[99.0]]), timesteps=4).spikes["in"].tolist() == [[4]]


def test_streams_and_held_inputs_are_rounded_alike_whatever_their_precision() -> None:
    rng = np.random.default_rng(0)
    values = (rng.integers(0, 2**20, 4000) * 0.5).astype(np.float32)  # halves, which rounding decides
    network = neuro.Network((neuro.Population("in", (4000,), neuro.Source(scale=0.3)),), ())
    held = neuro.run(network, values[None], timesteps=1, record=("raster",)).raster["in"]
    stream = neuro.run(network, values[None, None], record=("raster",)).raster["in"]
    assert np.array_equal(held, stream)
    assert np.array_equal(held[0, 0], np.rint(values.astype(np.float64) / 0.3))


def test_maxima_of_many_digits_are_evaluated_exactly() -> None:
    """The largest of numbers of 14 digits times 64 weights passes 2^24, beyond which float32 has no odd numbers."""
    digits, rng = 14, np.random.default_rng(0)
    tap = np.arange(256)
    populations = (
        neuro.Population("in", (256,), neuro.Source("radix", levels=2**digits - 1, digits=digits)),
        neuro.Population("largest", (64,), neuro.MaxPool(4, "digits", start_step=1)),
        neuro.Population("out", (3,), neuro.Readout(doubling=True, gather=digits, start_step=2, potential_bits=31)),
    )
    pooled = neuro.Sparse("in", "largest", (tap, tap // 4, 2 ** (tap % 4)))
    network = neuro.Network(populations, (pooled, neuro.Dense("largest", "out", rng.integers(90, 128, (64, 3)))), digits)
    inputs = rng.integers(2 ** (digits - 1), 2**digits, (4, 256))
    run = neuro.run(network, inputs)
    assert run.logits.max() > 2**24
    assert np.array_equal(evaluate(network, inputs).logits, run.logits)


def test_a_held_current_before_waiting_is_not_evaluated_as_if_it_were_none() -> None:
    """Charge that is held counts once for each step that is left, so the value depends on when it arrives."""
    wait = neuro.WaitIntegrateAndFire(9, 4, start_step=1, hold_input=True)
    populations = (neuro.Population("in", (3,), neuro.Source()), neuro.Population("a", (3,), wait))
    network = neuro.Network(populations, (neuro.OneToOne("in", "a", 2),), timesteps=4)
    with pytest.raises(neuro.NeuroError, match="WaitIntegrateAndFire depend on timing"):
        evaluate(network, np.ones((1, 3), int))
