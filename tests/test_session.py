"""A session fed frame by frame does what one run over the whole stream does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuro
from neuro.bundles import load_parts, save_parts
from neuro.engine.session import Session
from neuro.errors import EngineError, FormatError, InputError, MemoryLimitError
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


@law(60)
@given(cases(stream=True), st.lists(st.integers(1, 5), min_size=1, max_size=40))
def test_a_session_that_records_nothing_gives_the_same_results(case, sizes) -> None:
    network, inputs, _ = case
    plain = neuro.open_session(network, most_steps=5)
    recorded = neuro.open_session(network, record=("potentials",), most_steps=5)
    at = 0
    for size in [*sizes, *[1] * inputs.shape[1]]:
        if at < inputs.shape[1]:
            one, other = (session.step(inputs[0, at : at + size]) for session in (plain, recorded))
            same_results(one, other)
            at += size
    same_results(plain.finish(), recorded.finish())


def same_results(one: neuro.Run, other: neuro.Run) -> None:
    assert one.logits.dtype == other.logits.dtype
    assert np.array_equal(one.logits, other.logits)
    assert list(one.outputs) == list(other.outputs)
    assert all(np.array_equal(one.outputs[name], other.outputs[name]) for name in other.outputs)
    assert (one.steps, one.timesteps, one.clipped) == (other.steps, other.timesteps, other.clipped)
    assert list(one.spikes) == list(other.spikes)
    assert list(one.counts) == list(other.counts)
    for name, counts in other.counts.items():
        assert one.spikes[name].dtype == other.spikes[name].dtype
        assert np.array_equal(one.spikes[name], other.spikes[name])
        assert all(np.array_equal(getattr(one.counts[name], kind), getattr(counts, kind)) for kind in counts.__slots__), name
    assert all(np.array_equal(one.potentials[name], other.potentials[name]) for name in one.potentials)


def two_sources(*, scale: float | None = None, bits: int = 24, average: bool = False) -> neuro.Network:
    rng = np.random.default_rng(4)
    return neuro.Network(
        (
            neuro.Population("left", (2, 3, 2), neuro.Source(levels=7, scale=scale)),
            neuro.Population("right", (4,), neuro.Source(levels=1)),
            neuro.Population("a", (5,), neuro.IntegrateAndFire(9)),
            neuro.Population(
                "first", (2, 2, 1), neuro.Readout(average=average, scale=rng.random((2, 2, 1)), potential_bits=bits)
            ),
            neuro.Population("second", (3,), neuro.Readout(offset=0.1, start_step=2)),
        ),
        tuple(
            neuro.Dense(source, target, rng.integers(-9, 12, shape))
            for source, target, shape in (
                ("left", "a", (12, 5)),
                ("right", "a", (4, 5)),
                ("a", "first", (5, 4)),
                ("left", "second", (12, 3)),
            )
        ),
    )


@pytest.mark.parametrize("how", [{}, {"scale": 0.25}, {"bits": 31, "average": True}])
def test_several_sources_and_readouts_give_the_same_without_records(how) -> None:
    network, rng = two_sources(**how), np.random.default_rng(5)
    plain, recorded = neuro.open_session(network), neuro.open_session(network, record=("raster",))
    for steps in (None, 1, 4):
        shape = () if steps is None else (steps,)
        left = rng.random((*shape, 2, 3, 2)) * 1.7 if "scale" in how else rng.integers(-7, 8, (*shape, 2, 3, 2))
        frame = {"right": rng.integers(0, 2, (*shape, 4)), "left": left}
        same_results(plain.step(frame), recorded.step(frame))
    assert plain.elapsed == 6


def test_a_frame_that_is_refused_leaves_the_stream_as_it_was() -> None:
    network, frame = two_sources(), {"left": np.ones((2, 3, 2), int), "right": np.ones(4, int)}
    session, other = neuro.open_session(network), neuro.open_session(network)
    for bad in (
        {**frame, "right": np.full(4, 2)},
        {**frame, "left": np.zeros((1, 2, 3, 2), int), "right": np.zeros((2, 4), int)},
    ):
        with pytest.raises(InputError):
            session.step(bad)
    same_results(session.step(frame), other.step(frame))


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


@law(30)
@given(cases(stream=True), st.integers(1, 12), st.integers(1, 5))
def test_a_session_that_was_saved_goes_on_as_if_it_had_not_been(tmp_path_factory, case, cut, size) -> None:
    network, inputs, _ = case
    steps = inputs.shape[1]
    cut = min(cut, steps - 1)
    if cut < 1:
        return
    path = tmp_path_factory.getbasetemp() / "session.safetensors"
    whole = neuro.open_session(network, record=("raster", "potentials"), most_steps=steps)
    for session in (whole, other := neuro.open_session(network, most_steps=steps)):
        session.step(inputs[0, :cut])
    if not all(p.neuron.storable for p in network.populations):
        with pytest.raises(FormatError, match="cannot be stored"):
            other.save(path)
        return
    other.save(path)
    loaded = Session.load(path, record=("raster", "potentials"), most_steps=steps)
    assert loaded.elapsed == cut
    parts = load_parts(path, "session")
    save_parts({**parts, "layout": parts["layout"] + 1}, path, "session")
    with pytest.raises(FormatError, match="where the state of each neuron lies"):
        Session.load(path)
    for at in range(cut, steps, size):
        one, two = (session.step(inputs[0, at : at + size]) for session in (whole, loaded))
        same_results(one, two)
        for name in one.raster:
            assert np.array_equal(one.raster[name], two.raster[name])
            assert np.array_equal(one.potentials[name], two.potentials[name])
    same_results(whole.finish(), loaded.finish())


def test_a_session_that_cannot_fit_into_memory_is_refused() -> None:
    """One message may be on its way for so long that no memory holds the steps between."""
    populations = (neuro.Population("a", (40,), neuro.Source()), neuro.Population("b", (2,), neuro.Readout()))
    with pytest.raises(MemoryLimitError, match="1,073,741,8"):
        neuro.open_session(neuro.Network(populations, (neuro.Dense("a", "b", np.ones((40, 2), int), delay=1 << 30),)))
