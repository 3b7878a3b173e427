"""A session fed frame by frame does what one run over the whole stream does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.errors import EngineError, InputError
from tests.laws import law
from tests.networks import cases


@law(60)
@given(cases(stream=True), st.lists(st.integers(1, 5), min_size=1, max_size=40))
def test_streaming_equals_one_shot(case, sizes) -> None:
    network, inputs, _ = case
    expected = neuro.run(network, inputs[:1], record=("raster", "traces"))
    session = neuro.open_session(network, record=("raster", "traces"), most_steps=5)
    runs, at = [], 0
    for size in [*sizes, *[1] * inputs.shape[1]]:
        if at < inputs.shape[1]:
            runs.append(session.step(inputs[0, at : at + size]))
            at += size
    runs.append(session.finish())
    for name, raster in expected.raster.items():
        assert np.array_equal(np.concatenate([run.raster[name] for run in runs], axis=1), raster), name
        assert np.array_equal(np.concatenate([run.traces[name] for run in runs], axis=1), expected.traces[name]), name
        assert np.array_equal(sum(run.spikes[name].astype(int) for run in runs), expected.spikes[name])
        for field in expected.counts[name].__slots__:
            got = np.concatenate([getattr(run.counts[name], field) for run in runs])
            assert np.array_equal(got, getattr(expected.counts[name], field)), (name, field)
    if network.readouts:
        assert np.array_equal(runs[-1].logits, expected.logits)


def chain() -> neuro.Network:
    return neuro.Network(
        (
            neuro.Population("in", (3,), neuro.Source()),
            neuro.Population("a", (2,), neuro.IntegrateAndFire(5)),
            neuro.Population("out", (2,), neuro.Readout(average=True)),
        ),
        (neuro.Dense("in", "a", np.array([[2, 1], [0, 3], [1, 1]])), neuro.Dense("a", "out", np.eye(2, dtype=int), delay=3)),
    )


def test_one_frame_at_a_time_and_reset() -> None:
    session = neuro.open_session(chain())
    frames = np.random.default_rng(0).integers(0, 4, (200, 3))
    logits = [session.step(frame).logits[0] for frame in frames]
    assert session.elapsed == 200
    assert np.array_equal(logits[-1], neuro.run(chain(), frames[None]).logits[0])
    session.reset()
    assert np.array_equal(session.step(frames[0]).logits[0], logits[0])


def test_logits_by_step_are_those_of_each_frame() -> None:
    frames = np.random.default_rng(1).integers(0, 4, (12, 3))
    whole = neuro.run(chain(), frames[None], record=("logits_by_step",)).logits_by_step
    session = neuro.open_session(chain(), record=("logits_by_step",))
    parts = [session.step(part).logits_by_step for part in (frames[:5], frames[5:6], frames[6:])]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (np.zeros((4,), int), "shape"),
        (np.zeros((0, 3), int), "0 steps"),
        (np.zeros((99, 3), int), "raise most_steps"),
        (np.full((3,), 2**31 - 1), "beyond which charges"),
        ({"elsewhere": np.zeros(3)}, "'elsewhere' is not matched"),
    ],
)
def test_bad_frames_are_refused(frame, says) -> None:
    with pytest.raises(InputError, match=says):
        neuro.open_session(chain()).step(frame)


def test_phases_of_fixed_length_have_no_stream() -> None:
    network = neuro.Network(
        (neuro.Population("in", (3,), neuro.Source()), neuro.Population("a", (3,), neuro.WaitIntegrateAndFire(5, 4))),
        (neuro.OneToOne("in", "a"),),
    )
    with pytest.raises(EngineError, match="'a'.*phases of fixed length"):
        neuro.open_session(network)


def test_charges_that_no_payload_keeps_within_32_bits_have_no_stream() -> None:
    populations = (neuro.Population("in", (300,), neuro.Source()), neuro.Population("a", (1,), neuro.IntegrateAndFire(5)))
    for weight, fits in ((2**22, True), (2**23, False)):
        network = neuro.Network(populations, (neuro.Dense("in", "a", np.full((300, 1), weight)),))
        if fits:
            assert neuro.open_session(network).step(np.ones((2, 300), int)).synops == 300
            continue
        with pytest.raises(EngineError, match="'a'.*beyond its 32-bit"):
            neuro.open_session(network)


def test_a_stream_that_was_ended_takes_no_more_frames_until_it_is_reset() -> None:
    session, frame = neuro.open_session(chain()), np.array([1, 2, 3])
    first = session.step(frame)
    session.finish()
    for more in (lambda: session.step(frame), session.finish):
        with pytest.raises(EngineError, match=r"ended by finish\(\). Call reset\(\)"):
            more()
    session.reset()
    assert np.array_equal(session.step(frame).logits, first.logits)
    assert session.elapsed == 1


def test_a_session_takes_a_step_at_least() -> None:
    with pytest.raises(InputError, match="most_steps = 0"):
        neuro.open_session(chain(), most_steps=0)
