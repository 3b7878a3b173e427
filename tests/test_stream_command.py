"""`neuro stream`: audio, the microphone, frames and events through a saved network, with the answers of one run, bit for bit."""

import json
import sys
import wave
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import converters
import neuro
from neuro.cli import app
from neuro.events import binned, read_events
from neuro.keywords import audio
from neuro.keywords.audio import read_wav
from neuro.studies.streaming import Stream, frames_of_audio, frames_of_pieces, streamed
from neuro.studies.streaming import stream as through
from tests.streams import network, stream

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> tuple[neuro.Network, str, str]:
    """A network that takes frames of 64 samples, its file, and a recording of 1,600."""
    folder = tmp_path_factory.mktemp("stream")
    made = converters.convert(network("gated unit", features=64), stream(1, 6, 8, 64) / 10, code="delta", refresh=7)
    made.network.save(folder / "n.safetensors")
    sound = np.sin(np.arange(1600) / 7).astype(np.float32) / 4
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, len(sound), "NONE", ""))
        file.writeframes((sound * 32767).astype("<i2").tobytes())
    return made.network, str(folder / "n.safetensors"), str(folder / "a.wav")


def told(words: list[str], path: Path) -> tuple[dict[str, Any], str]:
    """What the command writes as JSON, and prints."""
    done = RUNNER.invoke(app, ["stream", *words, "--json", str(path)])
    assert done.exit_code == 0, done.output
    return json.loads(path.read_text()), done.output


def test_a_recording_is_heard_as_one_run_hears_it(listening, tmp_path: Path) -> None:
    made, network_file, sound = listening
    frames = frames_of_audio(read_wav(sound, 16_000), 64, 32)
    one = neuro.run(made, frames[None])
    found = through(made, frames, neuro.load_chip("loihi2"), 500.0)
    assert np.array_equal(found.answers, one.frames[0])
    assert found.pace.busy(500.0) < 1 < found.pace.busy(1e9)
    assert found.pace.latency_s == pytest.approx(found.pace.frame_s * found.pace.depth / found.pace.period)
    row, printed = told([network_file, sound, "--hop", "32", "--live"], tmp_path / "o.json")
    assert np.allclose(row["answers"], one.frames[0])
    assert row["rate_hz"] == 500
    assert sum(line.count(" s  ") for line in printed.splitlines()) == len(frames)


def quiet() -> np.ndarray:
    """A stream whose last frames are alike, so that a network that remembers nothing has sent all when it ends."""
    x = stream(1, 6, 20)
    x[:, 12:] = x[:, 11:12]
    return x


@cache
def whole(kind: str) -> tuple[np.ndarray, Any]:
    """A stream, and one run over it on a chip."""
    x = quiet()
    made = converters.convert(network(kind), x, code="delta", frames=True).network
    return x[0], neuro.emulate(neuro.place(made, neuro.load_chip("loihi2")), x[:1])


@pytest.mark.parametrize(
    ("kind", "cuts", "rate_hz"), [("gate only", [3, 3, 9], 500.0), ("gate only", [], 1.0), ("lstm", [7], 12.0)]
)
def test_a_stream_is_the_same_however_it_is_cut(kind: str, cuts: list[int], rate_hz: float) -> None:
    """Answers, counts and energy; of a network with a loop, but for the messages that its last frame sends to the next."""
    x, one = whole(kind)
    taken = Stream(one.placement.network, one.placement.chip, rate_hz)
    found = streamed(taken, np.split(x, cuts))
    assert np.array_equal(found.answers, one.run.frames[0])
    assert (taken.use.spikes, taken.use.updates) == (one.run.messages, one.run.updates)
    rest = taken.use.synops - one.synops
    assert rest == 0 if kind == "gate only" else 0 <= rest < one.synops / 20
    assert found.pace.dynamic_j * len(x) == pytest.approx(one.bill.dynamic_pj * 1e-12, rel=1e-6 if rest == 0 else 0.05)


@given(st.lists(st.integers(1, 90), min_size=1, max_size=8), st.integers(1, 30), st.integers(1, 30))
def test_audio_in_pieces_has_the_frames_of_the_whole(pieces: list[int], size: int, hop: int) -> None:
    sound = np.arange(sum(pieces), dtype=np.float32)
    found = list(frames_of_pieces(np.split(sound, np.cumsum(pieces)[:-1]), size, hop))
    expected = frames_of_audio(sound, size, hop) if len(sound) >= size else np.zeros((0, size), np.float32)
    assert np.array_equal(np.concatenate([np.zeros((0, size), np.float32), *found]), expected)


@pytest.mark.parametrize("interrupted", [True, False])
def test_the_microphone_is_heard_until_its_end(interrupted: bool, listening, tmp_path: Path, monkeypatch) -> None:
    made, network_file, sound = listening
    samples = read_wav(sound, 16_000)

    def blocks(rate: int, block: int) -> Iterator[np.ndarray]:
        yield from np.split(samples, [100, 500, 501])
        if interrupted:
            raise KeyboardInterrupt

    monkeypatch.setattr(audio, "microphone", blocks)
    row, _ = told([network_file, "--mic", "--hop", "32"], tmp_path / "o.json")
    assert np.allclose(row["answers"], neuro.run(made, frames_of_audio(samples, 64, 32)[None]).frames[0])


def test_without_sounddevice_the_microphone_is_refused(listening, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    refused = RUNNER.invoke(app, ["stream", listening[1], "--mic"])
    assert isinstance(refused.exception, neuro.NeuroError)
    assert "pip install 'neuro-emulator[mic]'" in str(refused.exception)


def events(path: Path) -> Path:
    """A recording of 200 events in 20 ms on a sensor of 4 x 4 pixels."""
    rng = np.random.default_rng(3)
    x, y, p = rng.integers(0, 4, 200), rng.integers(0, 4, 200), rng.integers(0, 2, 200)
    x[:2], y[:2] = (0, 3), (0, 3)
    np.savez(path, x=x, y=y, t=np.sort(rng.integers(0, 20_000, 200)), p=p)
    return path


def test_events_are_frames(tmp_path: Path) -> None:
    """Of a converted network with frames, and of spiking neurons, which take a step a frame."""
    file = events(tmp_path / "hand.npz")
    frames = binned(read_events(file), step_us=1000)
    weight = np.random.default_rng(1).normal(size=(3, 32)).astype(np.float32)
    layers = (neuro.Layer("x", "input", (), (2, 4, 4)), neuro.Layer("f", "reshape", ("x",), (32,)),
              neuro.Layer("y", "linear", ("f",), (3,), {"weight": weight}))  # fmt: skip
    values = converters.convert(neuro.Graph(layers), frames[None].astype(np.float32), code="graded", frames=True).network
    spiking = neuro.Network(
        (neuro.Population("camera", (2, 4, 4), neuro.Source(levels=1)), neuro.Population("h", (6,), neuro.IntegrateAndFire(3)),
         neuro.Population("y", (3,), neuro.Readout(start_step=1))),
        (neuro.Dense("camera", "h", np.random.default_rng(2).integers(-2, 4, (32, 6))),
         neuro.Dense("h", "y", np.ones((6, 3), int))),
    )  # fmt: skip
    for made in (values, spiking):
        made.save(tmp_path / "n.safetensors")
        row, _ = told([str(tmp_path / "n.safetensors"), str(file), "--step-us", "1000"], tmp_path / "o.json")
        one = neuro.run(made, frames[None], record=("logits_by_step",))
        expected = one.logits_by_step if one.frames is None else one.frames
        assert np.array_equal(row["answers"], expected[0])
        assert row["frames"] == len(frames)
        assert row["rate_hz"] == 1000
        assert row["messages_per_frame"] == pytest.approx(one.messages / len(frames))


def test_what_does_not_fit_is_refused(listening, tmp_path: Path) -> None:
    _, network_file, sound = listening
    np.savez(tmp_path / "f.npz", x=np.zeros((3, 64), np.float32))
    weights = np.ones((32, 3), int)
    source = neuro.Population("camera", (2, 4, 4), neuro.Source("rate", scale=1.0, levels=1))
    held = neuro.Network((source, neuro.Population("y", (3,), neuro.Readout())), (neuro.Dense("camera", "y", weights),))
    held.save(tmp_path / "held.safetensors")
    frames, recorded = str(tmp_path / "f.npz"), str(events(tmp_path / "hand.npz"))
    for words, fact in (
        ([network_file], "one thing to listen to"),
        ([network_file, sound, "--mic"], "one thing to listen to"),
        ([network_file, frames], "rate"),
        ([network_file, frames, "--rate", "3", "--hop", "4"], "--hop is for audio"),
        ([network_file, sound, "--rate", "3"], "--rate is for .npz"),
        ([network_file, sound, "--step-us", "3"], "--step-us is for recordings"),
        ([network_file, recorded, "--step-us", "1000"], "(1 or 2, rows, columns)"),
        ([str(tmp_path / "held.safetensors"), recorded, "--step-us", "1000"], "driven_by_events"),
    ):
        refused = RUNNER.invoke(app, ["stream", *words])
        assert isinstance(refused.exception, neuro.NeuroError), words
        assert fact in str(refused.exception)
