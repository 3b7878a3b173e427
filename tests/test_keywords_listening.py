"""Listening: the same words, posteriors and counts however the audio is cut; the command line; the published table."""

import json
import runpy
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import neuro
from neuro.chip.account import ChipUse
from neuro.chip.spec import Chip
from neuro.cli import app
from neuro.errors import FormatError, NeuroError, UsageError
from neuro.keywords.audio import microphone, write_wav
from neuro.keywords.evaluation import posteriors
from neuro.keywords.features import extract
from neuro.keywords.listening import Chunk, Listener, listen
from neuro.keywords.published import published
from neuro.keywords.spotter import Spotter, shipped
from neuro.machines.points import shipped_points
from tests.spotters import CLASSES, tones

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="shared/data is not there")
runner = CliRunner()


@cache
def spotter() -> Spotter:
    return replace(shipped(), threshold=0.3)


@cache
def chip() -> Chip:
    return neuro.load_chip("loihi2")


@cache
def speech(seconds: int = 4) -> np.ndarray:
    """Bursts of coloured noise: enough for a network to react to."""
    rng = np.random.default_rng(0)
    loud = np.repeat(rng.uniform(0, 0.4, seconds * 10), 1_600) * (np.sin(np.arange(seconds * 16_000) * 0.05) + 1)
    sound = (loud * rng.standard_normal(seconds * 16_000)).clip(-1, 0.99)
    return (np.rint(sound * 32_768) / 32_768).astype(np.float32)  # as a 16-bit file holds it


@cache
def whole() -> Chunk:
    return listen(spotter(), chip(), [speech()], keep_spikes=True)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, 64_000), min_size=1, max_size=6))
def test_cutting_the_audio_changes_nothing(cuts: list[int]) -> None:
    cut = listen(spotter(), chip(), np.split(speech(), sorted(cuts)), keep_spikes=True)
    assert cut.posteriors.tobytes() == whole().posteriors.tobytes()
    assert np.array_equal(cut.spikes, whole().spikes)
    assert cut.detections == whole().detections
    counts = [(a.steps, a.spikes, a.synops, a.packets) for a in (cut.account, whole().account)]
    assert counts[0] == counts[1]
    assert cut.account.dynamic_pj == pytest.approx(whole().account.dynamic_pj, rel=1e-9)
    assert cut.account.busy_ns == pytest.approx(whole().account.busy_ns, rel=1e-9)


def test_posteriors_are_those_of_the_windows() -> None:
    listener = Listener(spotter(), chip())
    first = listener.latency + spotter().frames
    listener._recent = listener._recent[:0]  # no smoothing
    left_over = np.zeros(160, np.float32)  # of the silence before the beginning
    audio = np.concatenate([left_over, speech()])
    windows = np.stack([audio[i * 320 : i * 320 + 15_840] for i in range(20)])
    expected = posteriors(spotter().run(windows).logits)
    assert np.array_equal(listener.hear(speech()).posteriors[first - 1 :][:20], expected)


def test_spikes_are_those_of_one_run_over_everything() -> None:
    listener = Listener(spotter(), chip(), keep_spikes=True)
    window = spotter().frames
    audio = np.concatenate([np.zeros(spotter().features.samples(window), np.float32), speech()])
    frames = spotter().normalisation(extract(spotter().features, audio))
    once = neuro.run(listener.network, spotter().within(frames)[None], record=("raster",))
    messages = np.concatenate([np.abs(block[0, window:]) for block in once.raster.values()], axis=1)
    pieces = np.split(speech(), range(0, speech().size, 999))
    heard = [part.spikes for part in map(listener.hear, pieces) if part.account.steps]
    assert np.array_equal(np.concatenate(heard), messages)


def test_account_adds_up_and_is_plausible() -> None:
    account = whole().account
    assert account + ChipUse() == account
    assert (account + account).synops == 2 * account.synops
    assert account.steps == len(whole().posteriors) == len(whole().spikes)
    assert account.spikes == np.count_nonzero(whole().spikes)
    assert 0 < account.dynamic_pj == pytest.approx(sum(energy or 0.0 for _, energy in account.parts_pj))


def test_silence_brings_no_word() -> None:
    quiet = listen(shipped(), chip(), [np.zeros(48_000, np.float32)])
    assert quiet.detections == ()
    assert listen(shipped(), chip(), [np.zeros(0, np.float32)]).detections == ()


@needs_data
def test_words_of_new_speakers_are_heard_in_a_stream() -> None:
    from neuro.keywords.corpus import read_arrays

    test = read_arrays(DATA / "speech_commands" / "scv2_test.npz")
    chosen = np.flatnonzero(test.labels < 10)[::12]
    gap = np.zeros(8_000, np.int16)
    found = listen(shipped(), chip(), [np.concatenate([gap, *(np.append(test.audio[i], gap) for i in chosen)])])
    right = {
        n
        for n, i in enumerate(chosen)
        if any(d.word == test.classes[test.labels[i]] and abs(d.at_s - (1.0 + 1.5 * n)) < 0.75 for d in found.detections)
    }
    assert len(right) >= 0.7 * len(chosen)
    assert len(found.detections) <= 1.2 * len(chosen)


@needs_data
def test_the_shipped_spotter_keeps_its_promise() -> None:
    from neuro.keywords.corpus import read_arrays
    from neuro.keywords.making import listen_to
    from neuro.keywords.spotter import SHIPPED

    heard = listen_to(shipped(), read_arrays(DATA / "speech_commands" / "scv2_test.npz"))
    assert heard.accuracy_spikes >= 0.8
    assert abs(heard.accuracy_spikes - heard.accuracy_ann) <= 0.005
    card = shipped().card
    assert heard.accuracy_ann == pytest.approx(card["test_accuracy_ann"], abs=1e-6)
    assert heard.accuracy_spikes == pytest.approx(card["test_accuracy_spikes"], abs=1e-6)
    assert {"data", "licence", "attribution", "limits"} <= set(card)
    assert (Path(neuro.__file__).parent / "keywords" / SHIPPED).stat().st_size < 1_000_000


# The command line


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    write_wav(path, speech())
    return path


def test_listen_command(recording: Path, tmp_path: Path) -> None:
    figure, out = tmp_path / "f.svg", tmp_path / "l.json"
    done = runner.invoke(
        app, ["keywords", "listen", str(recording), "--threshold", "0.3", "--figure", str(figure), "--json", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert "synops" in done.output
    assert "dynamic" in done.output
    result = json.loads(out.read_text())
    assert result["seconds"] == 4.0
    assert result["inferences"] == whole().account.steps
    assert result["synops_per_inference"] == pytest.approx(whole().account.synops / whole().account.steps)
    assert [d["word"] for d in result["detections"]] == [d.word for d in whole().detections]
    assert figure.read_text().startswith("<svg")


def test_a_file_without_a_word_says_what_can_be_heard(tmp_path: Path) -> None:
    write_wav(tmp_path / "quiet.wav", np.zeros(16_000, np.float32))
    done = runner.invoke(app, ["keywords", "listen", str(tmp_path / "quiet.wav")])
    assert done.exit_code == 0, done.output
    assert f"No word heard in 1.0 s. The spotter knows: {', '.join(shipped().keywords)}." in " ".join(done.output.split())


def test_clipping_is_said(tmp_path: Path) -> None:
    write_wav(tmp_path / "loud.wav", speech() * 50)
    done = runner.invoke(app, ["keywords", "listen", str(tmp_path / "loud.wav")])
    assert done.exit_code == 0
    assert "full scale" in done.output


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (["listen"], UsageError, "Name a WAV file"),
        (["listen", "none.wav"], FormatError, "no such file"),
        (["listen", "a.wav", "--mic"], UsageError, "one thing"),
        (["listen", "a.wav", "--spotter", "none"], FormatError, "no such file"),
        (["listen", __file__, "--chip", "none"], NeuroError, "none"),
        (["listen", __file__, "--chip", "loihi1-nahuku"], NeuroError, "graded messages"),
        (["listen", "a.wav", "--figure", "none/f.svg"], FormatError, "folder does not exist"),
        (["train", "--word", "yes", "--data", "none"], UsageError, "no such file or folder"),
        (["train", "--word", "yes", "--model", "big"], UsageError, "separable, multilayer"),
        (["train", "--word", "???"], UsageError, "Latin letters"),
        (["train", "--word", "a", "--out", "none/s"], FormatError, "folder does not exist"),
    ],
)
def test_bad_commands_say_what_to_do(
    arguments: list[str], kind: type[NeuroError], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(app, ["keywords", *arguments])
    assert isinstance(done.exception, kind)
    assert said in str(done.exception)


def test_train_command(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="the speech extra is not installed")
    out, result = tmp_path / "s.safetensors", tmp_path / "t.json"
    small = ["--voices", "8", "--shown", "256", "--model", "multilayer"]
    where = ["--out", str(out), "--json", str(result), "--figure", str(tmp_path / "c.svg")]
    done = runner.invoke(app, ["keywords", "train", "--word", "aloha", *small, *where])
    assert done.exit_code == 0, done.output
    for part in ("Confusion", "Operating curve", "aloha", "false alarms"):
        assert part in done.output
    made = Spotter.load(out)
    assert made.keywords == ("aloha",)
    assert "chosen threshold" in (tmp_path / "c.svg").read_text()
    assert made.card["data"] == "synthesised speech"
    assert json.loads(result.read_text())["heard"]["test"]["clips"] > 0


def test_recordings_of_ones_own_are_trained_on_without_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that other people spoke; nobody recorded near misses, so nothing is said of them."""
    monkeypatch.chdir(tmp_path)
    classes = np.array(CLASSES)
    for seed, part in enumerate(("train", "val", "test")):
        clips = tones(32, seed)
        arrays = {"audio": clips.audio, "label": clips.labels, "classes": classes, "rate": 16_000}
        np.savez(tmp_path / f"mine_{part}.npz", **arrays, word=np.array(clips.words), speaker=np.array(clips.speakers))
    words = ["--word", "low", "--word", "high", "--data", ".", "--model", "multilayer", "--shown", "256"]
    done = runner.invoke(app, ["keywords", "train", *words])
    assert done.exit_code == 0, done.output
    assert "Written: spotter.safetensors" in done.output
    assert "made to sound almost as" not in done.output
    assert Spotter.load(tmp_path / "spotter.safetensors").keywords == ("low", "high")
    assert not list(tmp_path.glob("*.svg"))


def test_bench_command_remakes_the_published_table(tmp_path: Path) -> None:
    out = tmp_path / "b.json"
    done = runner.invoke(app, ["keywords", "bench", "--json", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads(out.read_text())
    assert "109 times" in result["verdict"][0]
    assert "2.7 times" in result["verdict"][1]
    page = " ".join((Path(__file__).parent.parent / "docs" / "keywords.md").read_text().split())
    assert all(sentence in page for sentence in result["verdict"])
    loihi = result["loihi"]
    mesh = sum(loihi["mesh_pj"].values())
    assert loihi["mesh_least_pj"] < mesh < loihi["measured_after_run_pj"] < loihi["mesh_most_pj"]
    assert mesh + loihi["management_pj"] == pytest.approx(loihi["measured_from_boot_pj"], rel=0.25)
    by_batch = {(row["device"], row["batch"]): row for row in result["rows"]}
    assert len(by_batch) == 24
    assert by_batch["Quadro K4000", 1]["measured_dynamic_pj"] == pytest.approx(29.6713e9)
    errors = [abs(row["energy_error"]) for row in result["rows"] if "K4000" in row["device"]]
    assert np.mean(errors) < 0.3


def test_a_published_table_without_its_rows_is_refused() -> None:
    points = shipped_points()
    with pytest.raises(UsageError, match="published table: the points do not hold its rows. Pass measured.csv as shipped"):
        published([point for point in points if not point.device.startswith("Loihi")])
    blank = [replace(point, power_w=None) if point.device.startswith("Loihi") else point for point in points]
    with pytest.raises(UsageError, match="a number is blank. Pass measured.csv as shipped"):
        published(blank)


@pytest.mark.parametrize("interrupted", [True, False])
def test_a_microphone_is_heard_until_its_end(interrupted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Ctrl-C, or because it ends: with the words that were heard and the account."""
    from neuro.keywords import audio

    def blocks(rate: int, block: int) -> Iterator[np.ndarray]:
        yield from np.split(speech(), range(block, speech().size, block))
        if interrupted:
            raise KeyboardInterrupt

    monkeypatch.setattr(audio, "microphone", blocks)
    done = runner.invoke(app, ["keywords", "listen", "--mic", "--threshold", "0.05"])
    assert done.exit_code == 0, done.output
    assert "Ctrl-C ends" in done.output
    assert done.output.count("synops") == 1
    listener = Listener(replace(spotter(), threshold=0.05), chip())
    heard = [listener.hear(block) for block in np.split(speech(), range(4_000, speech().size, 4_000))]
    words = [detection.word for part in heard for detection in part.detections]
    assert [line.split()[2] for line in done.output.splitlines() if line.endswith("%)")] == words
    assert words


class Stream:
    """As sounddevice has it: blocks of one channel, until the microphone is pulled out."""

    def __init__(self, **settings: object) -> None:
        self.settings, self.left = settings, 2

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def read(self, block: int) -> tuple[np.ndarray, bool]:
        if not self.left:
            raise OSError("device unplugged")
        self.left -= 1
        return np.full((block, 1), self.left), False


def test_blocks_come_from_the_default_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(InputStream=Stream, PortAudioError=OSError))
    heard = microphone(16_000, 3)
    assert [next(heard).tolist(), next(heard).tolist()] == [[1, 1, 1], [0, 0, 0]]
    with pytest.raises(UsageError, match="microphone: device unplugged. Plug one in, or listen to a WAV file"):
        next(heard)
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UsageError, match=r"sounddevice cannot be loaded .*pip install 'neuro-emulator\[mic\]'"):
        next(microphone(16_000, 3))


@pytest.mark.parametrize("name", ["keyword_spotting.py", "your_own_word.py"])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("espeakng_loader", reason="the speech extra is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [name, *(["aloha", "256"] if name == "your_own_word.py" else [])])
    runpy.run_path(str(Path(__file__).parent.parent / "examples" / name), run_name="__main__")
    printed = capsys.readouterr().out
    assert ("voices never heard" if name == "your_own_word.py" else "synops") in printed
