"""Networks with frames as chip integers: every engine, session and the quantised network say the same, frame by frame."""

import json
import warnings
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import converters
import neuro
from converters.evaluation import logits
from neuro.cli import app
from neuro.keywords.audio import read_wav
from neuro.studies.streaming import frames_of_audio
from neuro.studies.streaming import stream as through
from tests.streams import KINDS, drawn, network, stream

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


def test_a_command_listens_frame_by_frame(tmp_path: Path, capsys) -> None:
    """`neuro stream`: the answers of one run, the pace of the chip, and refusals that say what to do."""
    made = converters.convert(network("gated unit", features=64), stream(1, 6, 8, 64) / 10, code="graded")
    made.network.save(tmp_path / "n.safetensors")
    audio = np.sin(np.arange(1600) / 7).astype(np.float32) / 4
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, len(audio), "NONE", ""))
        file.writeframes((audio * 32767).astype("<i2").tobytes())
    frames = frames_of_audio(read_wav(tmp_path / "a.wav"), 64, 32)
    one = neuro.run(made.network, frames[None]).frames[0]
    found = through(made.network, frames, neuro.load_chip("loihi2"), 500.0)
    assert np.array_equal(found.answers, one)
    assert found.pace.busy(500.0) < 1 < found.pace.busy(1e9)
    assert found.pace.latency_s == pytest.approx(found.pace.frame_s * found.pace.depth / found.pace.period)
    network_file, sound = str(tmp_path / "n.safetensors"), str(tmp_path / "a.wav")
    done = CliRunner().invoke(app, ["stream", network_file, sound, "--hop", "32", "--json", str(tmp_path / "o.json")])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "o.json").read_text())
    assert np.allclose(told["answers"], one)
    assert told["rate_hz"] == 500
    np.savez(tmp_path / "f.npz", x=frames)
    for words, fact in (
        ([network_file, str(tmp_path / "f.npz")], "rate"),
        ([network_file, sound, "--rate", "3"], "--rate is for .npz"),
    ):
        refused = CliRunner().invoke(app, ["stream", *words])
        assert isinstance(refused.exception, neuro.NeuroError)
        assert fact in str(refused.exception)


def test_sessions_count_what_they_clip() -> None:
    made = converters.convert(network("rnn"), stream(1, 6, 8), code="graded")
    session = neuro.open_session(made.network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", neuro.errors.RangeWarning)
        assert sum(session.step(np.full(5, 1e6, np.float32)).clipped.values()) == 5
    assert sum(session.step(np.zeros(5, np.float32)).clipped.values()) == 0


@pytest.mark.parametrize("name", ["gru", "lstm", "modes"])
def test_trained_networks_of_words_are_near_the_float_ones_within_a_twentieth_of_their_spread(name: str) -> None:
    graph = neuro.Graph.load(Path(__file__).parent.parent / "benchmarks" / "weights" / f"words_{name}.safetensors")
    x = stream(4, 12, 20, 20)
    made = converters.convert(graph, x, code="graded")
    truth = logits(graph, x)
    assert np.sqrt(np.square(made.quantised(x) - truth).mean()) < 0.05 * truth.std()


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
