"""Sweeps: what a setting is, what the journal survives, and that workers and sweeps may be killed at any moment."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

import converters
import neuro
from converters.pipeline import CODES, METHODS, MOST_DIGITS
from neuro.errors import EngineError, FormatError, NeuroError, UsageError
from neuro.report.page import render
from neuro.report.sweeping import accuracy_against, page
from neuro.sweeping import cluster, settings
from neuro.sweeping.found import Point, front_of
from neuro.sweeping.genetic import search
from neuro.sweeping.journal import Journal, open_journal
from neuro.sweeping.measure import BLOCK, Measured, together
from tests.test_command_line import NEURO, call, refused

ROOT = Path(__file__).parent.parent
RESULTS = ("result.json", "points.csv", "front.csv")
SPACE = neuro.Space(code=("rate", "radix", "graded"), timesteps=(2, 4), weight_bits=(4, 8), chip=("loihi2", "truenorth"))
MANY = neuro.Space(
    code=("rate", "wait"), timesteps=(2, 3, 4), threshold=("mse", "max"), weight_bits=(3, 4, 5, 6, 8), chip=("loihi2",)
)


def subject():
    """A small network, inputs, and classes that it mostly gets right."""
    rng = np.random.default_rng(3)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(3)
        model = torch.nn.Sequential(torch.nn.Linear(16, 24), torch.nn.ReLU(), torch.nn.Linear(24, 4)).eval()
    x = rng.random((BLOCK + 44, 16)).astype(np.float32)
    y = model(torch.as_tensor(x)).argmax(1).numpy()
    return model, x, np.where(rng.random(len(y)) < 0.1, 0, y)


def sweep(folder, space=SPACE, **how):
    return neuro.sweep(*subject(), folder=folder, space=space, **how)


def written(folder):
    return {name: (folder / name).read_bytes() for name in RESULTS}


def lines(folder):
    journal = folder / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for(condition, what, seconds=120):
    """Poll until the condition holds; fail loudly when it does not within the time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        os.sched_yield()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A folder in which SPACE was swept without a disturbance."""
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep(folder)
    return folder


# Settings


def test_names_agree_with_the_converter() -> None:
    assert (settings.CODES, settings.THRESHOLDS, settings.MOST_DIGITS) == (CODES, METHODS, MOST_DIGITS)


def test_space_holds_each_setting_in_effect_once() -> None:
    found = neuro.Space(code=("radix", "graded"), timesteps=(4, 8, 16)).settings()
    assert [(s.code, s.timesteps) for s in found] == [("radix", 4), ("radix", 8), ("graded", 1)]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [({"code": "morse"}, "morse"), ({"timesteps": (0,)}, "0"), ({"weight_bits": (9,)}, "2 to 8"), ({"chip": ()}, "no value")],
)
def test_wrong_spaces_are_refused(wrong, word) -> None:
    with pytest.raises(UsageError, match=word):
        neuro.Space(**wrong)


def test_key_follows_every_figure_of_the_chip() -> None:
    chip = neuro.load_chip("loihi2")
    other = dataclasses.replace(chip, energy=dataclasses.replace(chip.energy, spike=1.0))
    setting = neuro.Setting()
    assert setting.key(chip) == neuro.Setting().key(neuro.load_chip("loihi2"))
    assert setting.key(chip) != setting.key(other)


# Front

whole = st.integers(0, 4)


@given(st.lists(st.tuples(whole, whole, whole), max_size=12))
def test_front_is_what_nobody_beats(goals) -> None:
    blank = dict.fromkeys(Measured.__dataclass_fields__, 0)
    points = [
        Point(neuro.Setting(timesteps=i + 1), Measured(**{**blank, "accuracy": a, "energy_pj": e, "latency_ns": t}))
        for i, (a, e, t) in enumerate(goals)
    ]
    front = front_of([*points, Point(neuro.Setting(code="wait"), None, "it could not be had")])
    assert all(not other.beats(point) for point in front for other in points)
    assert all(any(other.beats(point) for other in front) for point in set(points) - set(front))


# Journal


def records(count):
    blank = dict.fromkeys(Measured.__dataclass_fields__, 1)
    return [{"key": f"k{i}", "measured": {**blank, "accuracy": i / 7}} for i in range(count)]


@given(st.data())
def test_a_journal_cut_anywhere_goes_on(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with open_journal(path, {"subject": "a"}) as journal:
        for record in records(4):
            journal.append(record)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    with open_journal(path, {"subject": "a"}) as journal:
        left = list(journal.records.values())
        assert left == records(4)[: len(left)]
        assert len(left) >= content[:cut].count(b"\n") - 1
        for record in records(4)[len(left) :]:
            journal.append(record)
    assert path.read_bytes() == content


@given(st.data())
def test_a_damaged_line_is_named(tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with open_journal(path, {"subject": "a"}) as journal:
        for record in records(3):
            journal.append(record)
    content = bytearray(path.read_bytes())
    at = data.draw(st.sampled_from([i for i, byte in enumerate(content) if byte not in b" \n"]))
    line = bytes(content[:at]).count(b"\n") + 1
    content[at] = data.draw(st.integers(33, 126).filter(lambda byte: byte != content[at]))
    path.write_bytes(content)
    with pytest.raises(FormatError, match=f"line {line}: it is damaged"), open_journal(path, {"subject": "a"}):
        pass


def test_two_sweeps_do_not_share_a_journal(tmp_path) -> None:
    path = tmp_path / "journal.jsonl"
    about = {"subject": "a"}
    with open_journal(path, about), pytest.raises(UsageError, match="another sweep is writing it"), open_journal(path, about):
        pass


def test_a_folder_that_cannot_be_used_is_told(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="cannot be made a folder"):
        sweep(tmp_path / "file")
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(FormatError, match="cannot be written"), open_journal(tmp_path / "journal.jsonl", {}):
        pass


def test_a_full_disk_is_told_and_keeps_what_is_done() -> None:
    with pytest.raises(FormatError, match="Make room, then resume"), Path("/dev/full").open("wb", buffering=0) as full:
        Journal({}, full).append(records(1)[0])


def test_a_journal_about_something_else_is_refused(tmp_path) -> None:
    with open_journal(tmp_path / "journal.jsonl", {"subject": "a", "versions": {"torch": "1"}}):
        pass
    other = open_journal(tmp_path / "journal.jsonl", {"subject": "a", "versions": {"torch": "2"}})
    with pytest.raises(FormatError, match="versions differs"), other:
        pass


# Measuring


def test_a_point_is_what_one_run_gives(undisturbed) -> None:
    model, x, y = subject()
    conversion = converters.convert(model, x, code="radix", timesteps=4, weight_bits=4)
    ran = neuro.emulate(conversion.network, neuro.place(conversion.network, neuro.load_chip("loihi2")), x)
    wanted = {"code": "radix", "timesteps": 4, "weight_bits": 4, "chip": "loihi2"}
    points = json.loads((undisturbed / "result.json").read_text())["points"]
    [row] = [row for row in points if wanted.items() <= row.items()]
    assert row["accuracy"] == (ran.run.predictions == y).mean()
    assert row["samples"] == len(x)
    for name, value in {
        "energy_pj": ran.bill.energy_pj,
        "latency_ns": ran.bill.latency_ns,
        "synops": ran.run.synops / len(x),
        "packets": ran.counts.packets / len(x),
    }.items():
        assert row[name] == pytest.approx(value, rel=1e-9), name


def test_bad_points_are_told_and_stop_nothing(undisturbed) -> None:
    points = json.loads((undisturbed / "result.json").read_text())["points"]
    assert len(points) == len(SPACE.settings())
    for point in points:
        assert (point["chip"] == "truenorth" and point["code"] != "rate") == (
            "no program" in point["error"] or "carry" in point["error"]
        )
        assert bool(point["error"]) == (point["accuracy"] is None)


def test_blocks_add_up_in_any_split() -> None:
    blank = dict.fromkeys(Measured.__dataclass_fields__, 2)
    parts = [Measured(**{**blank, "samples": n, "accuracy": a, "energy_pj": 10.0 * n}) for n, a in ((256, 0.5), (44, 1.0))]
    found = together(parts)
    assert (found.samples, found.steps, found.cores_used) == (300, 2, 2)
    assert found.accuracy == pytest.approx((128 + 44) / 300)
    assert found.energy_pj == pytest.approx((2560 * 256 + 440 * 44) / 300)


# Resuming


def test_a_finished_sweep_is_not_done_again(undisturbed) -> None:
    before, journal = written(undisturbed), (undisturbed / "journal.jsonl").read_bytes()
    heard = []
    found = sweep(undisturbed, resume=True, progress=lambda *told: heard.append(told))
    assert heard == [(len(found.points), len(found.points))]
    assert written(undisturbed) == before
    assert (undisturbed / "journal.jsonl").read_bytes() == journal


def test_a_sweep_is_not_overwritten(undisturbed) -> None:
    with pytest.raises(UsageError, match="it holds a sweep already"):
        sweep(undisturbed)
    model, x, y = subject()
    with pytest.raises(UsageError, match="another network or other data"):
        neuro.sweep(model, x[1:], y[1:], folder=undisturbed, space=SPACE, resume=True)


def test_a_killed_worker_is_replaced(undisturbed, tmp_path) -> None:
    rng = random.Random(5)

    def kill_one(done, total) -> None:
        if done in (2, 7):
            rng.choice(psutil.Process().children()).kill()

    sweep(tmp_path, workers=2, progress=kill_one)
    assert written(tmp_path) == written(undisturbed)
    assert psutil.Process().children() == []


def test_a_killed_sweep_goes_on(undisturbed, tmp_path) -> None:
    with started(tmp_path, "SPACE") as driver:
        wait_for(lambda: lines(tmp_path) >= 6, "five points were done")
        workers = psutil.Process(driver.pid).children()
        driver.kill()
    assert workers
    wait_for(lambda: not any(alive(worker) for worker in workers), "the workers had ended")
    assert not (tmp_path / "result.json").exists()
    sweep(tmp_path, resume=True)
    assert written(tmp_path) == written(undisturbed)


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def started(folder, space) -> subprocess.Popen:
    """A sweep in a process of its own."""
    program = (
        f"import sys; from tests import test_sweep as t; t.sweep(t.Path({str(folder)!r}), t.{space}, resume=True, workers=2)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment)


def test_a_point_that_kills_is_given_up_until_resumed(tmp_path, monkeypatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\nif 'neuro.sweeping.worker' in sys.orig_argv: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        [point] = sweep(tmp_path / "sweep", neuro.Space("rate", 2), workers=1).points
    assert point.error == "its worker process ended 4 times, the last time with signal SIGKILL"
    assert sweep(tmp_path / "sweep", neuro.Space("rate", 2), workers=1, resume=True).failed == ()


def test_workers_that_cannot_start_are_no_bad_points(tmp_path, monkeypatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nif 'neuro.sweeping.worker' in sys.orig_argv: sys.exit('no room')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EngineError, match="could not start: .*no room"):
        sweep(tmp_path / "sweep", neuro.Space("rate", 2), workers=1)


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path) -> None:
    """60 points; ten times a worker is killed, ten times the sweep itself; the results are the same to the byte."""
    assert len(MANY.settings()) == 60
    sweep(tmp_path / "undisturbed", MANY)
    rng = random.Random(int.from_bytes(os.urandom(4)))
    for moment in range(20):
        folder = tmp_path / str(moment)
        delay = rng.uniform(0.5, 8.0)
        if moment % 2:
            with started(folder, "MANY") as driver:
                try:
                    driver.wait(delay)
                except subprocess.TimeoutExpired:
                    driver.send_signal(signal.SIGKILL)
            sweep(folder, MANY, resume=True)
        else:
            timer = threading.Timer(delay, lambda: [child.kill() for child in psutil.Process().children()[:1]])
            timer.start()
            sweep(folder, MANY, workers=2)
            timer.cancel()
        assert written(folder) == written(tmp_path / "undisturbed"), (moment, delay)


# Search


def test_search_finds_the_front_and_repeats_itself() -> None:
    space = neuro.Space(timesteps=(1, 2, 4, 8, 16, 32), weight_bits=(2, 3, 4, 5, 6, 7, 8))

    def measure(asked):
        return {s: None if s.code == "wait" else (s.weight_bits * s.timesteps**0.5, 1.0 * s.timesteps, 1.0) for s in asked}

    found = search(space, neuro.Search(trials=120, population=12, seed=1), measure)
    assert found == search(space, neuro.Search(trials=120, population=12, seed=1), measure)
    assert found != search(space, neuro.Search(trials=120, population=12, seed=2), measure)
    late = [s.weight_bits for s in found[-20:]]
    assert np.mean(late) > 6, "it leans towards what is better"


def test_searching_measures_what_a_grid_would(undisturbed, tmp_path) -> None:
    found = sweep(tmp_path, neuro.Space("rate", (2, 4), weight_bits=(4, 8)), search=neuro.Search(8, 4))
    rows = json.loads((undisturbed / "result.json").read_text())["points"]
    assert 1 < len(found.points) <= 4
    for mine in found.to_rows():
        [same] = [row for row in rows if all(row[name] == mine[name] for name in neuro.Setting.__dataclass_fields__)]
        assert {**same, "front": None} == {**mine, "front": None}


# Cluster


def test_an_absent_cluster_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", "0.2s")
    with pytest.raises(NeuroError, match="no scheduler answers"):
        sweep(tmp_path, cluster="tcp://127.0.0.1:9")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_cluster_gives_the_same_even_when_a_worker_is_killed(undisturbed, tmp_path) -> None:
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local, Client(local) as client:
        sweep(tmp_path / "whole", cluster=client)
        assert written(tmp_path / "whole") == written(undisturbed)

        def kill_one(done, total) -> None:
            if done == 3:
                os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

        sweep(tmp_path / "killed", cluster=local.scheduler_address, progress=kill_one)
        assert written(tmp_path / "killed") == written(undisturbed)


# As a command


@pytest.fixture
def named(tmp_path):
    """A folder with a module and data to name on the command line."""
    (tmp_path / "mine.py").write_text(
        "from torch.nn import *\ndef net(): return Sequential(Linear(16, 24), ReLU(), Linear(24, 4))\n"
    )
    model, _, _ = subject()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    _, x, y = subject()
    np.savez(tmp_path / "test.npz", x=x, y=y)
    return tmp_path


def test_the_command_sweeps_and_goes_on(named) -> None:
    command = ["sweep", "mine:net", "--weights", "weights.safetensors", "--data", "test.npz", "--out", "found"]
    done = call(*command, "--code", "rate,graded", "--timesteps", 2, "--samples", 40, "--workers", 1, folder=named)
    assert done.returncode == 0, done.stderr
    assert "of 2 settings worth considering" in done.stdout
    files = {path.name: path.read_bytes() for path in (named / "found").iterdir()}
    assert {*RESULTS, "front.svg", "report.html"} < set(files)
    refused(call(*command, folder=named), "found", "--resume")
    again = call("sweep", "--resume", "--out", "found", "--json", "-", folder=named)
    assert json.loads(again.stdout) == json.loads(files["result.json"])
    assert {path.name: path.read_bytes() for path in (named / "found").iterdir()} == files
    wider = call("sweep", "--resume", "--out", "found", "--code", "rate,graded,truenorth", folder=named)
    refused(wider, "truenorth")


def test_ctrl_c_ends_a_sweep_and_its_workers(named) -> None:
    command = [*NEURO, "sweep", "mine:net", "--data", "test.npz", "--threshold", "mse,max,percentile", "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=named, env=environment, stderr=subprocess.PIPE, text=True) as running:
        wait_for(lambda: lines(named / "sweep") >= 3, "two points were done")
        workers = psutil.Process(running.pid).children()
        running.send_signal(signal.SIGINT)
        assert "Traceback" not in running.communicate(timeout=60)[1]
    assert running.returncode == 130
    wait_for(lambda: not any(alive(worker) for worker in workers), "the workers had ended")
    assert len(workers) == 2


def test_wrong_sweeps_are_refused(named) -> None:
    refused(call("sweep", "mine:net", folder=named), "--data")
    refused(call("sweep", "--timesteps", "4,many", folder=named), "--timesteps", "many")
    refused(call("sweep", "--code", "morse", folder=named), "morse")
    np.savez(named / "blind.npz", x=np.ones((4, 16), np.float32))
    refused(call("sweep", "mine:net", "--data", "blind.npz", folder=named), "blind.npz", "classes")


def test_the_page_and_the_figure_hold_every_point(undisturbed) -> None:
    found = sweep(undisturbed, resume=True)
    told = render(page(found))
    drawn = ElementTree.fromstring(accuracy_against(found, "energy"))
    assert {"rate", "radix", "graded"} <= {text.strip() for text in drawn.itertext()}
    assert told.count("<tr>") == 2 + len(found.front) + len(found.points) - len(found.failed)
    assert "no program there" in told
    assert "float network" in str(found)
    assert found._repr_html_().count("<tr>") == 1 + len(found.front)
