"""Teaching a spotter further words on the emulated chip: what is learned, what stays, the command."""

import json
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom
from typer.testing import CliRunner

import neuro
from neuro.cli import app
from neuro.errors import FormatError, InputError, UsageError
from neuro.keywords.audio import write_wav
from neuro.keywords.listening import Listener
from neuro.keywords.pooled import NEAREST_KNOWN, Pooled, score, shipped_pooled, threshold
from neuro.keywords.spotter import shipped
from neuro.keywords.teaching import Taught

runner = CliRunner()


@cache
def clips(number: int = 3, seed: int = 0) -> Any:
    """Bursts of tones, (number, samples)."""
    rng = np.random.default_rng(seed)
    at = np.arange(16_000) / 16_000
    tones = [sum(np.sin(2 * np.pi * hz * at) for hz in rng.uniform(200, 3_000, 3)) for _ in range(number)]
    loud = np.where((at > 0.2) & (at < 0.8), 0.1, 0.0)
    sound = loud * np.array(tones) + 0.003 * rng.standard_normal((number, 16_000))
    return (np.rint(sound * 32_768) / 32_768).astype(np.float32)


@cache
def untaught() -> Taught:
    return Taught.of(shipped(), ("new", "other"), shipped_pooled())


@cache
def lesson() -> tuple[Taught, Any]:
    return untaught().teach("new", clips(), neuro.load_chip("loihi2"), shipped_pooled())


def test_weights_become_the_mean_of_the_lessons() -> None:
    taught, chip_run = lesson()
    payloads = untaught().payloads(clips(), threads=1)
    assert payloads.max() > 30
    assert np.array_equal(payloads, by_hand(clips()))
    # rates are 64, 32 and 21 of 64, halves rounded down
    assert np.abs(taught.weights[:, 0] - payloads.mean(axis=0) / 2).max() < 2
    assert not taught.weights[:, 1].any()
    assert taught.lessons == (3, 0)
    assert taught.thresholds[1] == 1.0  # what was never taught is never heard
    again, _ = untaught().teach("new", clips()[:2], neuro.load_chip("loihi2"), shipped_pooled())
    later, _ = again.teach("new", clips()[2:], neuro.load_chip("loihi2"), shipped_pooled())
    assert np.array_equal(later.weights, taught.weights)
    updates = taught.weights.size
    assert chip_run.run.synaptic_updates == 3 * updates
    part = next(part for part in chip_run.bill.parts if part.name == "learning")
    assert part.energy_pj == pytest.approx(120 * updates)


def by_hand(audio: Any) -> Any:
    """Payloads from what the window network's layers send: sums over their frames, the matrix, the usual value, the divisor."""
    pooled, spotter = shipped_pooled(), shipped()
    raster = spotter.run(audio, record=tuple(f"raster:{name}" for name in pooled.layers), threads=1).raster
    sums = [raster[name].sum(axis=1).reshape(len(audio), *spotter.network[name].shape).sum(axis=2) for name in pooled.layers]
    above = np.concatenate(sums, axis=1) @ pooled.matrix - pooled.means
    both = np.concatenate([above, -above], axis=1)
    return np.clip(both // pooled.divisor, 0, 255)


def test_the_nearest_known_word_takes_from_a_score() -> None:
    weights, known = np.array([[3], [4]]), np.array([[0, 5], [2, 0]])
    payloads = np.array([[10, 10], [0, 20], [0, 0]])
    lengths = [[14 - NEAREST_KNOWN * 10], [16 - NEAREST_KNOWN * 20], [0.0]]
    assert score(payloads, weights, known) == pytest.approx(np.array(lengths) / [[20], [20], [1]])


@pytest.mark.parametrize(("recordings", "passing"), [(3, 0), (60, 0), (400, 5), (930, 14)])
def test_a_threshold_keeps_to_its_share_by_the_interval(recordings: int, passing: int) -> None:
    """Of 400 recordings 5 may pass: were the true share 2 %, less than a fifth of such sets would have so few (by SciPy)."""
    scores = np.random.default_rng(0).permutation(recordings) / recordings
    assert (scores > threshold(scores)).sum() == passing
    assert binom.cdf(passing, recordings, 0.02) <= 0.2 or not passing
    assert binom.cdf(passing + 1, recordings, 0.02) > 0.2


def test_pooled_channels_come_back_from_a_file(tmp_path: Path) -> None:
    shipped_pooled().save(tmp_path / "pooled.safetensors")
    again = Pooled.load(tmp_path / "pooled.safetensors")
    for part in fields(Pooled):
        assert np.array_equal(getattr(again, part.name), getattr(shipped_pooled(), part.name))
    lesson()[0].save(tmp_path / "taught.safetensors")
    with pytest.raises(FormatError):
        Pooled.load(tmp_path / "taught.safetensors")


def test_scores_are_what_the_network_sends() -> None:
    taught, _ = lesson()
    other = clips(4, 1)
    said = score(taught.payloads(other, threads=1), taught.weights, taught.known)
    assert np.array_equal(taught.scores(other, threads=1), said)
    own, strange = taught.scores(clips(), threads=1)[:, 0], taught.scores(other, threads=1)[:, 0]
    assert own.mean() > strange.mean()
    assert 0 < (score(shipped_pooled().others, taught.weights, taught.known)[:, 0] > taught.thresholds[0]).mean() <= 0.02
    heard = replace(taught, thresholds=(0.0, 1.0)).heard(clips(), threads=1)
    assert heard == ("new",) * 3


def test_the_body_stays_as_it_is() -> None:
    taught, spotter = lesson()[0], shipped()
    own, _ = spotter.framewise()
    names = [p.name for p in own.populations]
    assert [taught.network[name] for name in names] == list(own.populations)
    kept = [p for p in taught.network.projections if p.source in names and p.target in names]
    assert kept == list(own.projections)
    plain = replace(taught, thresholds=(1e9, 1e9)).heard(clips(), threads=1)
    assert plain == tuple(spotter.classes[k] for k in spotter.run(clips(), threads=1).predictions)


def test_what_was_taught_comes_back_from_a_file(tmp_path: Path) -> None:
    taught = lesson()[0]
    taught.save(tmp_path / "taught.safetensors")
    again = Taught.load(tmp_path / "taught.safetensors", shipped())
    assert again.network == taught.network
    assert (again.words, again.lessons, again.thresholds) == (taught.words, taught.lessons, taught.thresholds)
    steps = tuple(  # as versions wrote it that knew no frames
        replace(
            p,
            neuron=neuro.Source(levels=127) if p.name == "input_1" else p.neuron.changed(period=None, changes=False, gather=None),
        )
        if p.name == "input_1" or p.neuron.is_readout
        else p
        for p in taught.network.populations
    )
    replace(taught, network=replace(taught.network, populations=steps)).save(tmp_path / "older.safetensors")
    assert Taught.load(tmp_path / "older.safetensors", shipped()).network == taught.network
    with pytest.raises(FormatError):
        Taught.load(tmp_path / "missing.safetensors", shipped())


def test_lessons_that_make_no_sense_are_refused() -> None:
    pooled, chip = shipped_pooled(), neuro.load_chip("loihi2")
    for words in ((), ("new", "new"), ("stop",)):
        with pytest.raises(UsageError, match="words to learn"):
            Taught.of(shipped(), words, pooled)
    with pytest.raises(UsageError, match="not among those to learn"):
        untaught().teach("third", clips(), chip, pooled)
    with pytest.raises(InputError, match="no recordings"):
        untaught().teach("new", clips()[:0], chip, pooled)
    with pytest.raises(UsageError, match="288 channels in layers 8, 14, 20, a matrix for 287"):
        Taught.of(shipped(), ("new",), replace(pooled, matrix=pooled.matrix[1:]))


def test_the_command_teaches_and_hears(tmp_path: Path) -> None:
    for number, clip in enumerate(clips()):
        write_wav(tmp_path / f"{number}.wav", clip)
    files = [str(tmp_path / f"{number}.wav") for number in range(3)]
    out, facts = tmp_path / "taught.safetensors", tmp_path / "facts.json"
    options = ["--out", str(out), "--json", str(facts), "--test", files[2], "--body", "own"]
    result = runner.invoke(app, ["keywords", "learn", "--word", "new", *files[:2], *options])
    assert result.exit_code == 0, result.output
    assert "Learned 'new' in 2 lessons on loihi2" in result.output
    said = json.loads(facts.read_text())
    assert said["synaptic_updates_per_lesson"] == 288
    assert said["learning_pj_per_lesson"] == pytest.approx(288 * 120)
    assert list(said["heard"]) == [files[2]]
    assert Taught.load(out, shipped()).lessons == (2,)
    again = runner.invoke(app, ["keywords", "learn", "--word", "stop", *files, "--out", str(out)])
    assert isinstance(again.exception, UsageError)
    nothing = runner.invoke(app, ["keywords", "learn", "--word", "new", "--out", str(out)])
    assert "nothing to learn from" in str(nothing.exception)


def test_the_command_learns_at_the_microphone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said after a prompt counts, what is said between two is let go."""
    said = iter([clips()[0], clips()[2], clips()[1]])
    monkeypatch.setattr("neuro.keywords.audio.microphone", lambda rate, block: (clip[:block] for clip in said))
    out = tmp_path / "taught.safetensors"
    result = runner.invoke(app, ["keywords", "learn", "--word", "new", "--mic", "2", "--out", str(out), "--body", "own"])
    assert result.exit_code == 0, result.output
    assert "Say 'new' now (2 of 2)" in result.output
    straight, _ = untaught().teach("new", clips()[:2], neuro.load_chip("loihi2"), shipped_pooled())
    assert np.array_equal(Taught.load(out, shipped()).weights[:, 0], straight.weights[:, 0])


def test_a_listener_hears_taught_words_in_a_stream() -> None:
    """However the audio is cut; with a threshold that its own recording passes, one that is smoothed over time too."""
    taught, chip = lesson()[0], neuro.load_chip("loihi2")
    clip = clips()[0]
    lenient = replace(taught, thresholds=(0.8 * float(taught.scores(clip[None], threads=1)[0, 0]), 1.0))
    whole = Listener(shipped(), chip, taught=lenient)
    heard = whole.hear(clip)
    rest = whole.finish()
    assert whole.words == (*shipped().keywords, "new", "other")
    assert [found.word for found in (*heard.detections, *rest.detections)] == ["new"]
    assert heard.posteriors.shape[1] == len(shipped().classes) + 2
    assert not heard.posteriors[:, len(shipped().keywords) + 1].any()
    cut = Listener(shipped(), chip, taught=lenient)
    parts = [cut.hear(piece) for piece in np.split(clip, [700, 9_000, 9_001])]
    assert np.array_equal(np.concatenate([part.posteriors for part in parts]), heard.posteriors)
    assert sum(part.account.synops for part in parts) == heard.account.synops
    deaf = Listener(shipped(), chip, taught=replace(taught, thresholds=(1.0, 1.0)))
    assert "new" not in [found.word for found in (*deaf.hear(clip).detections, *deaf.finish().detections)]


def test_the_command_hears_what_was_taught(tmp_path: Path) -> None:
    taught = lesson()[0]
    replace(taught, thresholds=(0.0, 1.0)).save(tmp_path / "taught.safetensors")
    write_wav(tmp_path / "said.wav", clips()[0])
    options = ["--taught", str(tmp_path / "taught.safetensors"), "--json", str(tmp_path / "heard.json")]
    result = runner.invoke(app, ["keywords", "listen", str(tmp_path / "said.wav"), *options])
    assert result.exit_code == 0, result.output
    assert "new" in [found["word"] for found in json.loads((tmp_path / "heard.json").read_text())["detections"]]
    bad = runner.invoke(app, ["keywords", "listen", str(tmp_path / "said.wav"), "--taught", str(tmp_path / "said.wav")])
    assert isinstance(bad.exception, FormatError)
