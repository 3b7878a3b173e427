"""Networks with frames as chip integers: every engine, session and the quantised network say the same, frame by frame."""

import gc
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

import converters
import neuro
from converters.evaluation import logits
from converters.samples import Samples
from converters.values.changes import Budget, judging, to_changes
from converters.values.refreshing import with_refresh
from tests.streams import KINDS, Layers, drawn, network, stream

ENGINES = ("reference", "event", "torch")


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_networks_are_the_same_integers_in_every_engine_and_near_the_float_ones(kind: str, start: bool) -> None:
    if start and kind in ("gated unit", "modes"):
        return
    graph, x = network(kind, start=start), stream(1, 10, 16)
    made = converters.convert(graph, x, code="graded")
    expected = made.quantised(x[:2])
    for engine in ENGINES:
        run = neuro.run(made.network, x[:2], engine=engine)
        assert run.frames is not None
        assert np.array_equal(run.frames, expected)
        assert np.array_equal(run.logits, expected[:, -1])
    truth = logits(graph, x)
    assert np.sqrt(np.square(made.quantised(x) - truth).mean()) < 0.04 * truth.std()


def test_a_session_says_frame_by_frame_what_one_run_says() -> None:
    made = converters.convert(network("lstm"), stream(1, 8, 12), code="graded")
    x = stream(2, 1, 9)
    one = neuro.run(made.network, x)
    session = neuro.open_session(made.network)
    parts = [session.step(frame) for frame in x[0]]
    parts.append(session.finish())
    assert np.array_equal(np.concatenate([part.frames for part in parts], axis=1), one.frames)
    assert sum(part.synops for part in parts) == one.synops
    assert sum(part.updates for part in parts) == one.updates
    session.reset()
    assert np.array_equal(np.concatenate([session.step(x[0]).frames, session.finish().frames], axis=1), one.frames)


def test_the_period_is_the_longest_loop() -> None:
    """h -> gates -> product -> cell -> tanh -> h of an LSTM; a loop of one population needs one step. The gates of a GRU read a
    copy of its sum."""
    x = stream(1, 8, 6)
    for kind, period in (("rnn", 1), ("lstm", 5), ("gru", 6)):
        made = converters.convert(network(kind), x, code="graded").network
        assert made.timesteps == period
        assert {p.neuron.period for p in made.populations} == {period}
        assert neuro.run(made, x[:1]).timesteps == period * 6


def test_frames_of_a_network_that_remembers_nothing_follow_each_other() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    layers = (neuro.Layer("x", "input", (), (3,)), neuro.Layer("h", "linear", ("x",), (4,), {"weight": weight}),
              neuro.Layer("r", "relu", ("h",), (4,), {}, {"ceiling": None}),
              neuro.Layer("y", "linear", ("r",), (2,), {"weight": weight[:2, [0, 1, 2, 0]]}))  # fmt: skip
    graph, x = neuro.Graph(layers), stream(3, 6, 7, 3)
    made = converters.convert(graph, x, code="graded", frames=True)
    run = neuro.run(made.network, x)
    assert run.steps == 7 + made.network.readouts[0].neuron.start_step
    assert np.array_equal(run.frames, made.quantised(x))
    single = made.quantised(x.reshape(-1, 1, 3))
    assert np.array_equal(run.frames.reshape(-1, 1, 2), single)
    with pytest.raises(neuro.NeuroError, match=r"samples, frames, 3"):
        converters.convert(graph, x[:, 0], code="graded", frames=True)


def test_networks_with_frames_are_saved_and_placed(tmp_path: Path) -> None:
    x = stream(1, 8, 6)
    made = converters.convert(network("gru"), x, code="graded")
    made.network.save(tmp_path / "n.safetensors")
    assert neuro.Network.load(tmp_path / "n.safetensors") == made.network
    chip = neuro.emulate(neuro.place(made.network, neuro.load_chip("loihi2")), x[:2])
    assert np.array_equal(chip.run.frames, made.quantised(x[:2]))
    assert chip.bill.energy_pj > 0
    assert made.diagnosis.layers


def test_loops_survive_what_rewrites_and_cuts_graphs() -> None:
    """A layer behind `previous` is needed though it comes later; a tail is cut off behind a loop."""
    graph, x = network("lstm"), stream(1, 8, 6)
    ended = neuro.Graph((*graph.layers, neuro.Layer("p", "softmax", (graph.output.name,), (3,), {}, {"axis": 0})))
    made = converters.convert(ended, x, code="graded")
    assert made.tail is not None
    run = neuro.run(made.network, x[:2])
    assert np.abs(made.answer(run.frames) - logits(ended, x[:2])).max() < 0.05


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: neuro.Source("held", period=2), "once"),
        (lambda: neuro.Source("once", emit="change"), "period"),
        (lambda: neuro.Source("once", period=2, dead_zone=3), "dead zone"),
        (lambda: neuro.Readout(period=2, gather=3), "period"),
        (lambda: neuro.Readout(period=2, average=True), "average"),
        (lambda: neuro.Readout(changes=True), "period"),
    ],
)
def test_frames_without_sense_are_refused(make, told: str) -> None:
    with pytest.raises(neuro.NeuroError, match=told):
        make()


def same_as_values(seed: int, engines: tuple[str, ...]) -> None:
    """Changes with a dead zone of 1 give every frame of values, bit for bit."""
    graph = drawn(seed)
    x = stream(seed, 4, 7, *graph.inputs[0].shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small random networks may differ from float ones by more than trained ones
        values, changes = (converters.convert(graph, x, code=code, frames=True) for code in ("graded", "delta"))
    expected = values.quantised(x[:2])
    assert np.array_equal(changes.quantised(x[:2]), expected), seed
    for engine in engines:
        assert np.array_equal(neuro.run(changes.network, x[:2], engine=engine).frames, expected), (seed, engine)


@given(st.integers(0, 1 << 20))
@settings(max_examples=6, deadline=None)
def test_changes_are_values_frame_by_frame(seed: int) -> None:
    same_as_values(seed, ("event",))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_changes_are_values_in_every_engine(seed: int) -> None:
    same_as_values(seed, ENGINES)


def test_a_goal_widens_dead_zones_and_saves_synops() -> None:
    graph, x = network("lstm", hidden=12), stream(1, 8, 40) / 4
    plain = converters.convert(graph, x, code="delta")
    wide = converters.convert(graph, x, code="delta", goal=converters.Goal(0.95))
    zones = {p.name: p.neuron.dead_zone for p in wide.network.populations if not p.neuron.is_readout}
    assert max(zones.values()) > 1
    assert all(zones[name] == 1 for name in wide.built.states)
    one, other = (neuro.run(made.network, x) for made in (plain, wide))
    assert other.synops < 0.8 * one.synops
    assert (one.frames.argmax(2) == other.frames.argmax(2)).mean() >= 0.95
    assert np.array_equal(neuro.run(wide.network, x[:2], engine="reference").frames, other.frames[:2])
    assert "dead zones" in wide.notes[-1]
    assert "of 320 calibration frames" in wide.notes[-1]


@pytest.mark.parametrize(("same", "frames"), [(320, 320), (317, 320), (5, 8), (1, 40)])
def test_a_budget_says_how_sure_it_is(same: int, frames: int) -> None:
    """Were the share no larger than it says, so many alike or more would come by chance in one of twenty (by SciPy)."""
    least = Budget({}, same / frames, 1.0, 1.0, 1.0, frames).at_least
    assert binom.sf(same - 1, frames, least) == pytest.approx(0.05)
    assert Budget({}, 0.0, 1.0, 1.0, 1.0, frames).at_least == 0


@pytest.mark.parametrize(
    ("streams", "frames", "judge"), [(100, 40, 40), (20, 40, 20), (100, 7, 100), (100, 500, 8), (100, 20, 80)]
)
def test_as_many_streams_judge_dead_zones_as_a_budget_of_a_point_takes(streams: int, frames: int, judge: int) -> None:
    made = converters.convert(network("rnn"), stream(1, 8, 6), code="delta")
    some = judging(made.network, stream(2, streams, frames))
    assert some.shape == (judge, frames, 5)
    several = judging(made.network, Samples({"a": stream(2, streams, frames)}))
    assert len(several) == judge
    assert Budget({}, 0.99, 1.0, 1.0, 1.0, 1600).at_least > 0.984


def test_large_networks_are_judged_by_eight_streams() -> None:
    made = neuro.Network(
        (neuro.Population("x", (1000,), neuro.Source("once", period=1)), neuro.Population("y", (1000,), neuro.Readout(period=1))),
        (neuro.Dense("x", "y", np.ones((1000, 1000), np.int32)),),
    )
    assert len(judging(made, np.zeros((40, 10, 1000), np.float32))) == 20
    assert len(judging(made, np.zeros((40, 100, 1000), np.float32))) == 8


def test_a_still_stream_costs_nothing_after_its_first_frames() -> None:
    x = np.repeat(stream(1, 2, 1), 12, axis=1)
    made = converters.convert(network("gate only"), x, code="delta")
    counts = neuro.run(made.network, x).counts
    period, depth = made.network.timesteps, max(p.neuron.start_step for p in made.network.populations)
    assert sum(int(one.messages[: depth + 1].sum()) for one in counts.values()) > 0
    assert sum(int(one.messages[depth + period :].sum()) for one in counts.values()) == 0


def test_changes_go_through_sessions() -> None:
    x = stream(2, 1, 9)
    made = converters.convert(network("gru"), stream(1, 8, 12), code="delta", goal=converters.Goal(0.9))
    session = neuro.open_session(made.network)
    parts = [session.step(frame).frames for frame in x[0]] + [session.finish().frames]
    assert np.array_equal(np.concatenate(parts, axis=1), neuro.run(made.network, x).frames)


def test_sessions_count_what_they_clip() -> None:
    made = converters.convert(network("rnn"), stream(1, 6, 8), code="graded")
    session = neuro.open_session(made.network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", neuro.errors.RangeWarning)
        assert sum(session.step(np.full(5, 1e6, np.float32)).clipped.values()) == 5
    assert sum(session.step(np.zeros(5, np.float32)).clipped.values()) == 0
    assert sum(session.step(np.full(5, 1e6, np.float32)).clipped.values()) == 5  # and warn once in a stream
    session.reset()
    with pytest.warns(neuro.errors.RangeWarning):
        session.step(np.full(5, 1e6, np.float32))


def test_sessions_take_no_more_memory_as_they_go_on() -> None:
    """20,000 frames after 20,000 others, some beyond the calibrated range, and changes that ports add up all the while. Counted
    is what the package holds: what else runs in the tests' process, its messages to other workers for one, is not the session's.
    Small objects that Python and numpy keep for the next use take 40 calls and more to be as many as they will be."""
    own = tracemalloc.Filter(True, str(Path(neuro.__file__).parent / "*"))
    made = converters.convert(network("lstm"), stream(1, 6, 8), code="delta", refresh=100)
    session, x = neuro.open_session(made.network, most_steps=500), stream(2, 1, 500)[0] / 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", neuro.errors.RangeWarning)
        tracemalloc.start()
        held = []
        for number in range(80):
            session.step(x)
            if number in (39, 79):
                gc.collect()
                traces = tracemalloc.take_snapshot().filter_traces([own])
                held.append(sum(one.size for one in traces.statistics("filename")))
        tracemalloc.stop()
    assert session.elapsed == 80 * 500 * made.network.timesteps
    assert held[1] - held[0] < 10_000


@pytest.mark.parametrize("name", ["gru", "lstm", "modes"])
def test_trained_networks_of_words_are_near_the_float_ones_within_a_twentieth_of_their_spread(name: str) -> None:
    graph = neuro.Graph.load(Path(__file__).parent.parent / "benchmarks" / "weights" / f"words_{name}.safetensors")
    x = stream(4, 12, 20, 20)
    made = converters.convert(graph, x, code="graded")
    truth = logits(graph, x)
    assert np.sqrt(np.square(made.quantised(x) - truth).mean()) < 0.05 * truth.std()


def refreshed(seed: int, every: int, engines: tuple[str, ...]) -> None:
    """With dead zones of 1 nothing is lost, so sending all values in full changes no answer."""
    graph = drawn(seed)
    x = stream(seed, 4, 9, *graph.inputs[0].shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in same_as_values
        values = converters.convert(graph, x, code="graded", frames=True)
        try:
            fresh = converters.convert(graph, x, code="delta", refresh=every)
        except neuro.errors.ConversionError:  # a port that hears frames of different age
            return
    expected = values.quantised(x[:2])
    assert np.array_equal(fresh.quantised(x[:2]), expected), seed
    for engine in engines:
        assert np.array_equal(neuro.run(fresh.network, x[:2], engine=engine).frames, expected), (seed, engine)


@given(st.integers(0, 1 << 20), st.integers(1, 5))
@settings(max_examples=5, deadline=None)
def test_refresh_changes_no_frame(seed: int, every: int) -> None:
    refreshed(seed, every, ("event",))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_refresh_changes_no_frame_in_any_engine(seed: int) -> None:
    refreshed(seed, 1 + seed % 5, ENGINES)


@pytest.mark.parametrize(("kind", "every"), [("lstm", 3), ("gru", 4), ("modes", 2), ("rnn", 1)])
def test_refresh_is_counted_and_goes_through_sessions(kind: str, every: int, tmp_path: Path) -> None:
    graph, x = network(kind), stream(1, 6, 10)
    plain = converters.convert(graph, x, code="delta")
    fresh = converters.convert(graph, x, code="delta", refresh=every)
    expected, one = plain.quantised(x[:1]), neuro.run(fresh.network, x[:1])
    for engine in ENGINES:
        assert np.array_equal(neuro.run(fresh.network, x[:1], engine=engine).frames, expected)
    fresh.network.save(tmp_path / "n.safetensors")
    session = neuro.open_session(neuro.Network.load(tmp_path / "n.safetensors"))
    parts = [*(session.step(frame) for frame in x[0]), session.finish()]
    assert np.array_equal(np.concatenate([part.frames for part in parts], axis=1), expected)
    assert sum(part.messages for part in parts) == one.messages
    still = np.repeat(x[:1, :1], 24, axis=1)
    costs = [neuro.run(made.network, still).messages for made in (plain, fresh)]
    assert costs[1] > costs[0]


def chain() -> tuple[neuro.Graph, np.ndarray]:
    """Three layers without memory, and a stream for them."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((8, 5), (6, 8), (2, 6))]
    layers = [neuro.Layer("x", "input", (), (5,))]
    for i, weight in enumerate(weights):
        layers.append(neuro.Layer(f"l{i}", "linear", (layers[-1].name,), (len(weight),), {"weight": weight}))
        if i < 2:
            layers.append(neuro.Layer(f"r{i}", "relu", (f"l{i}",), (len(weight),), {}, {"ceiling": None}))
    return neuro.Graph(tuple(layers)), stream(0, 6, 31)


def test_refresh_makes_good_what_dead_zones_keep_back() -> None:
    """Without memory, a frame in which all values are sent in full is that of the graded code, however wide the dead zones."""
    graph, x = chain()
    network, every = converters.convert(graph, x, code="delta").network, 5
    zones = {p.name: 9 for p in network.populations if not p.neuron.is_readout}
    expected = converters.convert(graph, x, code="graded", frames=True).quantised(x)
    made = with_refresh(to_changes(network, zones), every)
    found = neuro.run(made, x).frames
    assert np.array_equal(found[:, ::every], expected[:, ::every])
    assert not np.array_equal(found[:, 1::every], expected[:, 1::every])


def test_refresh_makes_good_what_was_lost() -> None:
    """A change that receivers never got is missing for good, unless values are sent in full."""
    graph, x = chain()
    for refresh, healed in ((None, False), (5, True)):
        made = converters.convert(graph, x, code="delta", refresh=refresh).network
        whole, broken = neuro.open_session(made), neuro.open_session(made)
        for session in (whole, broken):
            session.step(x[0, :7])
        for known in broken._known.values():
            known += 20  # the source takes changes for received that were lost
        frames = [np.concatenate([one.step(x[0, 7:]).frames, one.finish().frames], axis=1)[0] for one in (whole, broken)]
        same = (frames[0] == frames[1]).all(axis=1)
        assert not same[: 8 + 7].all()
        assert same[-16:].all() == healed


def test_refresh_that_cannot_meet_is_refused() -> None:
    """A sum of this frame and the one before reads both at one port, where their full values never arrive together."""
    x, weight, layers = stream(0, 4, 8), np.ones((2, 5), np.float32), Layers()
    now = layers.add("input", (), (5,))
    before = layers.add("previous", (now,), (5,))
    layers.add("linear", (layers.add("add", (now, before), (5,)),), (2,), {"weight": weight})
    graph = neuro.Graph(tuple(layers.layers))
    for code in ("graded", "delta"):  # a network of a source and a readout alone has frames too
        made = converters.convert(graph, x, code=code)
        assert np.array_equal(neuro.run(made.network, x).frames, made.quantised(x))
        assert np.abs(made.quantised(x) - logits(graph, x)).max() < 0.05
    with pytest.raises(neuro.errors.ConversionError, match="no refresh every 4 frames"):
        converters.convert(graph, x, code="delta", refresh=4)
    with pytest.raises(neuro.NeuroError, match="code='delta'"):
        converters.convert(graph, x, code="graded", refresh=4)
    with pytest.raises(neuro.NeuroError, match="neither sends nor takes"):
        neuro.Source("once", period=2, refresh=3)
    source, readout = neuro.Source("once", period=1, emit="change", refresh=4), neuro.Readout(period=1, changes=True)
    with pytest.raises(neuro.NeuroError, match="refreshes every 4 frames"):
        neuro.Network(
            (neuro.Population("a", (2,), source), neuro.Population("b", (2,), readout)),
            (neuro.OneToOne("a", "b", np.ones(2, int)),),
        )


def test_values_with_frames_are_widened_where_rounding_would_cost_the_outputs() -> None:
    """What has changed since the last frame is small beside the values that it is a difference of."""
    rng = np.random.default_rng(3)
    first, weight = rng.normal(size=6).astype(np.float32), rng.normal(size=(8, 6)).astype(np.float32)
    start = weight @ first / (1 + np.exp(-weight @ first))
    layers = (
        neuro.Layer("x", "input", (), (6,)),
        neuro.Layer("a", "linear", ("x",), (8,), {"weight": weight}),
        neuro.Layer("f", "function", ("a",), (8,), {}, {"name": "silu", "values": ()}),
        neuro.Layer("p", "previous", ("f",), (8,), {"start": start}),
        neuro.Layer("m", "scale", ("p",), (8,), {"factor": np.full(1, -1.0, np.float32)}),
        neuro.Layer("d", "add", ("f", "m"), (8,)),
        neuro.Layer("y", "linear", ("d",), (3,), {"weight": rng.normal(size=(3, 8)).astype(np.float32)}),
    )
    graph = neuro.Graph(layers)
    x = first + np.cumsum(rng.normal(size=(24, 12, 6)) / 50, axis=1).astype(np.float32)
    plain, wide = (converters.convert(graph, x, code="graded", value_bits=bits) for bits in (8, "auto"))
    truth = logits(graph, x)
    off = [float(np.sqrt(np.square(made.quantised(x) - truth).mean())) for made in (plain, wide)]
    assert off[1] < 0.8 * off[0], off
    assert wide.network["f"].neuron.value_bits > 8 == plain.network["f"].neuron.value_bits
    assert any(note.startswith("values of more than 8 bits") for note in wide.notes)
    assert np.array_equal(neuro.run(wide.network, x[:2], engine="reference").frames, wide.quantised(x[:2]))


@pytest.mark.parametrize("kind", ["gru", "lstm", "modes"])
def test_what_rounding_is_expected_to_cost_over_frames_is_what_it_costs(kind: str) -> None:
    graph, x = network(kind), stream(1, 10, 16)
    made = converters.convert(graph, x, code="graded")
    truth = logits(graph, x)
    cost = float(np.sqrt(np.square(made.quantised(x) - truth).mean()) / truth.std())
    assert made.built.expected is not None
    assert made.built.expected / 8 < cost < 2 * made.built.expected
