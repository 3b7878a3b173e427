"""Whoever measures a sweep's points may die at any moment: worker processes, the sweep itself."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import threading

import psutil
import pytest

import neuro
from converters.pipeline import Conversions
from neuro.errors import EngineError
from neuro.sweeping.pool import Job, pool
from neuro.sweeping.settings import chip_digest
from neuro.sweeping.subject import load_subject
from neuro.sweeping.worker import answer
from tests.sweeps import alive, lines, started, sweep, wait_for, written

MANY = neuro.Space(
    code=("rate", "wait"), timesteps=(2, 3, 4), threshold=("mse", "max"), weight_bits=(3, 4, 5, 6, 8), chip=("loihi2",)
)


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


PLAIN = """
import json, os, sys
if "neuro.sweeping.worker" in sys.orig_argv:
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps({"key": json.loads(line)["key"]}), flush=True)
    os._exit(0)
"""


def test_workers_that_died_idle_are_replaced(tmp_path, monkeypatch) -> None:
    """Between two generations of a search, say: one is handed work and cannot hear it, nobody asks the other."""
    (tmp_path / "sitecustomize.py").write_text(PLAIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    jobs = [Job(name, neuro.Setting(), neuro.load_chip("loihi2")) for name in ("first", "second")]
    with pool(tmp_path / "subject", 2) as workers:
        assert {record["key"] for record in workers.measure(jobs)} == {"first", "second"}
        idle = psutil.Process().children()
        for process in idle:
            process.kill()
        wait_for(lambda: not any(map(alive, idle)), "both had ended")
        assert list(workers.measure(jobs[:1])) == [{"key": "first"}]
        [other] = psutil.Process().children()
    assert len(idle) == 2
    assert other not in idle
    assert not alive(other)


def test_a_worker_answers_what_the_journal_holds(undisturbed) -> None:
    """The same record, called in this process; and none where the chip's file is another since the sweep began."""
    subject, chip = load_subject(undisturbed / "subject.safetensors"), neuro.load_chip("loihi2")
    setting = neuro.Setting("radix", 4, weight_bits=4)
    key, conversions = setting.key(chip), Conversions(subject.graph, subject.calibration)
    answered = answer(subject, conversions, key, dataclasses.asdict(setting), chip_digest(chip))
    kept = map(json.loads, (undisturbed / "journal.jsonl").read_text().splitlines()[1:])
    assert [answered] == [{name: one[name] for name in answered} for one in kept if one["key"] == key]
    other = answer(subject, conversions, key, dataclasses.asdict(setting), "another")
    assert other["error"] == "chip 'loihi2': its file has changed since the sweep began. Begin a new sweep."


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
