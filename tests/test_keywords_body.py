"""Words learned with a network that was trained elsewhere: its front, its numbers on the chip, lessons, streams, the command."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from typer.testing import CliRunner

import converters
import neuro
from converters.evaluation import outputs
from neuro.cli import app
from neuro.errors import FormatError, NeuroError, UsageError
from neuro.keywords.audio import write_wav
from neuro.keywords.body import HEARD, Body
from neuro.keywords.corpus import Corpus
from neuro.keywords.ear import Ear
from neuro.keywords.embedding import make_body
from neuro.keywords.fronts import KINDS, Front
from neuro.keywords.listening import Listener
from neuro.keywords.pooled import score, threshold
from neuro.keywords.spotter import shipped
from neuro.keywords.teaching import Taught

runner = CliRunner()
FRAMES, CHANNELS = 30, 6


@cache
def arrays() -> tuple[Any, Any]:
    """Weights of the network: (CHANNELS, 40, 5) over time, (8, CHANNELS * 26) of what remains."""
    rng = np.random.default_rng(5)
    first = rng.normal(0, 0.1, (CHANNELS, 40, 5)).astype(np.float32)
    return first, rng.normal(0, 0.1, (8, CHANNELS * (FRAMES - 4))).astype(np.float32)


@cache
def graph() -> Any:
    first, last = (torch.tensor(a) for a in arrays())
    conv, linear = torch.nn.Conv1d(40, CHANNELS, 5, bias=False), torch.nn.Linear(last.shape[1], 8, bias=False)
    network = torch.nn.Sequential(conv, torch.nn.ReLU(), torch.nn.Flatten(), linear)
    network.load_state_dict({"0.weight": first, "3.weight": last})
    return converters.trace(network.eval(), torch.zeros(2, 40, FRAMES))


@cache
def corpus(seed: int = 0, clips: int = 72) -> Corpus:
    """Three words of two tones each, by 12 speakers."""
    rng, at = np.random.default_rng(seed), np.arange(16_000) / 16_000
    words = tuple(("low", "middle", "high")[i % 3] for i in range(clips))
    pitch = {"low": (300, 500), "middle": (700, 1_100), "high": (1_700, 2_600)}
    sound = [sum(np.sin(2 * np.pi * hz * rng.uniform(0.95, 1.05) * at) for hz in pitch[word]) for word in words]
    loud = np.where((at > 0.3) & (at < 0.7), 0.1, 0.0) * np.array(sound) + 0.002 * rng.standard_normal((clips, 16_000))
    people = tuple(f"{seed}-{i % 12}" for i in range(clips))
    classes = ("low", "middle", "high", "_silence_", "_unknown_")
    labels = np.array([classes.index(word) for word in words])
    return Corpus(np.rint(32_768 * loud).astype(np.int16), labels, people, words, classes)


@cache
def body() -> Body:
    return make_body(graph(), "log-mel", corpus(0), corpus(1))


@cache
def clips(count: int = 3) -> Any:
    return (corpus(2).audio[corpus(2).labels == 0][:count] / 32_768).astype(np.float32)


@cache
def lesson() -> tuple[Taught, Any]:
    return Taught.of(shipped(), ("low", "more"), body()).teach("low", clips(), neuro.load_chip("loihi2"), body())


def test_numbers_on_the_chip_are_those_of_the_network() -> None:
    """Against the float network, window by window; their order in the payloads against plain arithmetic."""
    x = body().inputs(clips())
    float_sums = outputs(graph(), x.reshape(-1, *x.shape[2:]))[graph().outputs[0]].reshape(*x.shape[:2], 8).sum(axis=1)
    sums = body().sums(clips(), threads=1)
    for number in range(8):
        assert np.corrcoef(sums[:, number], float_sums[:, number])[0, 1] > 0.95
    above = sums @ body().pooled.matrix - body().pooled.means
    expected = np.clip(np.concatenate([above, -above], axis=1) // body().pooled.divisor, 0, 255)
    untaught = Taught.of(shipped(), ("new",), body())
    assert np.array_equal(untaught.payloads(clips(), threads=1), expected)
    assert expected.max() > 20


def test_weights_become_the_mean_of_the_lessons() -> None:
    taught, chip_run = lesson()
    payloads = taught.payloads(clips(), threads=1)
    assert np.abs(taught.weights[:, 0] - payloads.mean(axis=0) / 2).max() < 2
    assert not taught.weights[:, 1].any()
    assert chip_run.run.synaptic_updates == 3 * taught.weights.size
    assert taught.thresholds[1] == 1.0
    assert np.array_equal(taught.scores(clips(), threads=1), score(payloads, taught.weights, taught.known))
    assert taught.heard(clips(), threads=1) == ("low",) * 3


def test_words_to_learn_are_not_known_before() -> None:
    """The body was read by a word "low": neither its weights nor recordings of it may stand in the way."""
    assert body().pooled.words == ("high", "low", "middle")
    known = body().pooled.without(("low",))
    assert known.words == ("high", "middle")
    assert known.known.shape[1] == lesson()[0].known.shape[1] == 2
    assert len(known.others) == len(known.people) == len(known.said) == 48
    assert "low" not in known.said


def test_bodies_and_taught_words_come_back_from_files(tmp_path: Path) -> None:
    body().save(tmp_path / "body.safetensors")
    again = Body.load(tmp_path / "body.safetensors")
    assert again.network == body().network
    assert again.front.shape == body().front.shape
    assert np.array_equal(again.sums(clips(), threads=1), body().sums(clips(), threads=1))
    lesson()[0].save(tmp_path / "taught.safetensors")
    taught = Taught.load(tmp_path / "taught.safetensors", shipped(), again)
    assert np.array_equal(taught.scores(clips(), threads=1), lesson()[0].scores(clips(), threads=1))
    with pytest.raises(FormatError, match="another body"):
        Taught.load(tmp_path / "taught.safetensors", shipped())
    with pytest.raises(FormatError, match="body"):
        Body.load(tmp_path / "taught.safetensors")


def test_a_stream_scores_a_recording_as_a_lesson_hears_it() -> None:
    """Once its last window has passed the network, however the audio is cut."""
    taught = lesson()[0]
    placement = neuro.place(taught.network.fixed(), neuro.load_chip("loihi2"))
    sound = np.pad(clips()[0], (4_000, 4_000)) + np.random.default_rng(0).normal(0, 2 / 32_768, HEARD).astype(np.float32)
    front = body().front
    last = (body().windows - 1) * front.every + front.window
    before = -last % front.every
    ear, end = Ear(taught, placement), before + last
    stream = np.concatenate([np.zeros(before, np.float32), sound, np.zeros((ear.behind + 2) * front.every, np.float32)])
    for piece in np.split(stream, [700, 9_000, 9_001, 20_000]):
        ear.hear(piece)
    heard = ear.at(np.array([end + ear.behind * front.every]))
    assert np.array_equal(heard, taught.scores(clips()[:1], threads=1))


def test_a_listener_hears_words_taught_with_a_body() -> None:
    taught, chip, clip = lesson()[0], neuro.load_chip("loihi2"), clips()[0]
    strict = 0.9 * float(taught.scores(clips()[:1], threads=1)[0, 0])
    assert strict > taught.thresholds[0]
    lenient = replace(taught, thresholds=(strict, 1.0))
    sound = np.concatenate([clip, (0.002 * np.random.default_rng(1).standard_normal(16_000)).astype(np.float32)])
    whole = Listener(shipped(), chip, taught=lenient)
    chunks = [whole.hear(sound), whole.finish()]
    found = [d for chunk in chunks for d in chunk.detections]
    assert [d.word for d in found] == ["low"]
    assert abs(found[0].at_s - 0.5) < 0.3
    cut = Listener(shipped(), chip, taught=lenient)
    pieces = [cut.hear(piece) for piece in np.split(sound, [700, 9_000, 9_001])]
    assert np.array_equal(np.concatenate([piece.posteriors for piece in pieces]), chunks[0].posteriors)
    assert sum(piece.account.synops for piece in pieces) == chunks[0].account.synops
    assert whole.cores_used > whole.placement.cores_used


@pytest.mark.parametrize("kind", list(KINDS))
def test_windows_depend_on_their_own_samples_alone(kind: str) -> None:
    sizes = (20, KINDS[kind].bands) if KINDS[kind].bands else (4_000,)
    front = Front.of(kind, (1, *sizes))
    sound = (0.1 * np.random.default_rng(0).standard_normal(12_000)).astype(np.float32)
    windows = front.windows(sound)
    assert windows.shape == ((12_000 - front.window) // front.every + 1, 1, *sizes)
    assert np.array_equal(front.windows(sound[front.every :]), windows[1:])
    if KINDS[kind].bands:
        turned = Front.of(kind, sizes[::-1]).windows(sound)
        assert np.array_equal(turned.transpose(0, 2, 1), windows[:, 0])


@settings(deadline=None, max_examples=30)
@given(st.integers(60, 600), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_threshold_by_people_lets_no_more_through(count: int, people: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    who = rng.integers(0, people, count)
    scores = rng.standard_normal(count) + rng.standard_normal(people)[who]
    plain, by_people = threshold(scores), threshold(scores, who)
    assert by_people >= plain
    assert threshold(scores, np.arange(count)) == plain


def test_one_persons_alarms_count_as_they_come() -> None:
    """Ten recordings each of 40 people: where one person's pass all together, fewer may."""
    rng = np.random.default_rng(0)
    who, scores = np.repeat(np.arange(40), 10), rng.uniform(0, 1, 400)
    assert (scores > threshold(scores, who)).sum() >= 4
    scores[who == 7] += 1
    assert (scores > threshold(scores)).sum() == 5
    assert (scores > threshold(scores, who)).sum() < 3


def test_what_makes_no_body_is_refused() -> None:
    with pytest.raises(UsageError, match=r"it gives \(frames, 32\), the network takes \(40, 30\).*--front log-mel"):
        make_body(graph(), "speech-embedding", corpus(0), corpus(1))
    with pytest.raises(UsageError, match="none of that name"):
        make_body(graph(), "mel", corpus(0), corpus(1))
    few = corpus(0).take(np.arange(72) < 20)
    with pytest.raises(UsageError, match="20 recordings of 3 words to choose thresholds by"):
        make_body(graph(), "log-mel", corpus(0), few)
    with pytest.raises(NeuroError, match="loihi1"):
        Taught.of(shipped(), ("low",), body()).teach("low", clips(), neuro.load_chip("loihi1-nahuku"), body())


def onnx_file(path: Path) -> Path:
    first, last = arrays()
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], kernel_shape=[5]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "v"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 40, FRAMES]), ("y", [1, 8]))]
    kept = [onnx.numpy_helper.from_array(a, n) for n, a in (("w", first), ("v", np.ascontiguousarray(last.T)))]
    made = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], kept), opset_imports=[helper.make_opsetid("", 13)])
    onnx.save(made, path)
    return path


def test_the_command_learns_with_an_onnx_file(tmp_path: Path) -> None:
    all_of = corpus(0) + corpus(1) + corpus(3)
    named = {"audio": all_of.audio, "label": all_of.labels, "classes": all_of.classes, "word": all_of.words}
    np.savez(tmp_path / "others.npz", speaker=all_of.speakers, rate=16_000, **named)
    for number, clip in enumerate(clips()):
        write_wav(tmp_path / f"{number}.wav", clip)
    said, out, facts = [str(tmp_path / f"{n}.wav") for n in range(3)], tmp_path / "taught.safetensors", tmp_path / "facts.json"
    network = onnx_file(tmp_path / "network.onnx")
    options = [
        "--body",
        str(network),
        "--data",
        str(tmp_path / "others.npz"),
        "--json",
        str(facts),
        "--out",
        str(out),
        "--test",
        said[2],
    ]
    result = runner.invoke(app, ["keywords", "learn", "--word", "low", *said[:2], "--test", said[2], *options])
    assert result.exit_code == 0, (result.output, result.exception)
    assert json.loads(facts.read_text())["heard"] == {said[2]: "low"}
    kept = ["--taught", str(out), "--body", str(tmp_path / "taught_body.safetensors")]
    heard = runner.invoke(app, ["keywords", "listen", said[2], *kept, "--json", str(facts)])
    assert heard.exit_code == 0, (heard.output, heard.exception)
    for wrong, told in (
        (["--body", str(network)], "Pass --data too"),
        (["--data", str(tmp_path)], "pass --body FILE.onnx"),
        (["--body", str(tmp_path / "missing.onnx"), "--data", str(tmp_path)], "no such file"),
        ([*options[:4], "--front", "waveform"], "--front log-mel"),
    ):
        refused = runner.invoke(app, ["keywords", "learn", "--word", "low", *said[:2], "--out", str(out), *wrong])
        assert told in str(refused.exception)
    alone = runner.invoke(app, ["keywords", "listen", said[2], "--body", kept[3]])
    assert "Pass --taught too" in str(alone.exception)


def test_the_body_of_the_package_teaches_unless_another_is_named(tmp_path: Path) -> None:
    write_wav(tmp_path / "said.wav", clips()[0])
    said, out, facts = str(tmp_path / "said.wav"), tmp_path / "taught.safetensors", tmp_path / "facts.json"
    result = runner.invoke(app, ["keywords", "learn", "--word", "low", said, "--out", str(out), "--json", str(facts)])
    assert result.exit_code == 0, (result.output, result.exception)
    assert json.loads(facts.read_text())["synaptic_updates_per_lesson"] == 192
    taught = Taught.load(out, shipped())
    assert taught.body is not None
    assert taught.body.card["name"] == "many words"
    assert np.array_equal(taught.payloads(clips()[:1], threads=1)[0] // 2, taught.weights[:, 0])
    heard = runner.invoke(app, ["keywords", "listen", said, "--taught", str(out), "--json", str(facts)])
    assert heard.exit_code == 0, (heard.output, heard.exception)
