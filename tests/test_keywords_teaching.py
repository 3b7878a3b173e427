"""Teaching a spotter further words on the emulated chip: what is learned, what stays, the command."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import neuro
from neuro.cli import app
from neuro.errors import FormatError, InputError, UsageError
from neuro.keywords.audio import write_wav
from neuro.keywords.spotter import shipped
from neuro.keywords.teaching import Pooled, Taught, score, shipped_pooled

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
    assert (
        np.abs(taught.weights[:, 0] - payloads.mean(axis=0) / 2).max() < 3
    )  # rates are 32, 16 and 11 of 32, halves rounded down
    assert not taught.weights[:, 1].any()
    assert taught.lessons == (3, 0)
    again, _ = untaught().teach("new", clips()[:2], neuro.load_chip("loihi2"), shipped_pooled())
    later, _ = again.teach("new", clips()[2:], neuro.load_chip("loihi2"), shipped_pooled())
    assert np.array_equal(later.weights, taught.weights)
    updates = taught.weights.size
    assert chip_run.run.synaptic_updates == 3 * updates
    part = next(part for part in chip_run.bill.parts if part.name == "learning")
    assert part.energy_pj == pytest.approx(120 * updates)


def test_scores_are_what_the_network_sends() -> None:
    taught, _ = lesson()
    other = clips(4, 1)
    assert np.array_equal(taught.scores(other, threads=1), score(taught.payloads(other, threads=1), taught.weights))
    own, strange = taught.scores(clips(), threads=1)[:, 0], taught.scores(other, threads=1)[:, 0]
    assert own.mean() > strange.mean()
    assert 0 < (score(shipped_pooled().others, taught.weights)[:, 0] > taught.thresholds[0]).mean() <= 0.02
    heard = replace(taught, thresholds=(0.0, 1.0)).heard(clips(), threads=1)
    assert heard == ("new",) * 3


def test_the_body_stays_as_it_is() -> None:
    taught, spotter = lesson()[0], shipped()
    names = [p.name for p in taught.hearing.network.populations]
    assert [taught.network[name] for name in names] == list(taught.hearing.network.populations)
    kept = [p for p in taught.network.projections if p.source in names and p.target in names]
    assert kept == list(taught.hearing.network.projections)
    plain = replace(taught, thresholds=(1e9, 1e9)).heard(clips(), threads=1)
    assert plain == tuple(spotter.classes[k] for k in spotter.run(clips(), threads=1).predictions)


def test_what_was_taught_comes_back_from_a_file(tmp_path: Path) -> None:
    taught = lesson()[0]
    taught.save(tmp_path / "taught.safetensors")
    again = Taught.load(tmp_path / "taught.safetensors", shipped())
    assert again.network == taught.network
    assert (again.words, again.lessons, again.thresholds) == (taught.words, taught.lessons, taught.thresholds)
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
    with pytest.raises(UsageError, match="96 channels, 3 means"):
        Taught.of(shipped(), ("new",), Pooled(np.zeros(3, int), pooled.others))


def test_the_command_teaches_and_hears(tmp_path: Path) -> None:
    for number, clip in enumerate(clips()):
        write_wav(tmp_path / f"{number}.wav", clip)
    files = [str(tmp_path / f"{number}.wav") for number in range(3)]
    out, facts = tmp_path / "taught.safetensors", tmp_path / "facts.json"
    options = ["--out", str(out), "--json", str(facts), "--test", files[2]]
    result = runner.invoke(app, ["keywords", "learn", "--word", "new", *files[:2], *options])
    assert result.exit_code == 0, result.output
    assert "Learned 'new' in 2 lessons on loihi2" in result.output
    said = json.loads(facts.read_text())
    assert said["synaptic_updates_per_lesson"] == 192
    assert said["learning_pj_per_lesson"] == pytest.approx(192 * 120)
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
    result = runner.invoke(app, ["keywords", "learn", "--word", "new", "--mic", "2", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "Say 'new' now (2 of 2)" in result.output
    straight, _ = untaught().teach("new", clips()[:2], neuro.load_chip("loihi2"), shipped_pooled())
    assert np.array_equal(Taught.load(out, shipped()).weights[:, 0], straight.weights[:, 0])
