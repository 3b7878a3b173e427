"""`neuro sweep` as a command."""

import json
import os
import shutil
import signal
import subprocess
from functools import partial

import numpy as np
import psutil
import pytest
from safetensors.torch import save_file

from neuro.digits import model
from tests.commands import NEURO, call, here, refused
from tests.sweeps import RESULTS, ROOT, alive, lines, pool_here, subject, wait_for


@pytest.fixture
def named(tmp_path):
    """A folder with a module and data to name on the command line."""
    (tmp_path / "mine.py").write_text(
        "from torch.nn import *\ndef net(): return Sequential(Linear(16, 24), ReLU(), Linear(24, 4))\n"
    )
    net, x, y = subject()
    save_file(net.state_dict(), tmp_path / "weights.safetensors")
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
    np.savez(named / "beyond.npz", x=np.ones((4, 16), np.float32), y=[1, 2, 3, 4])
    refused(call("sweep", "mine:net", "--data", "beyond.npz", folder=named), "classes 1 to 4 for a network of 4", "0 to 3")


def test_a_sweep_in_which_nothing_works_draws_no_front(undisturbed, tmp_path, monkeypatch, capsys) -> None:
    shutil.copytree(undisturbed, tmp_path / "copy")
    flags = ("--code", "radix,graded", "--timesteps", "2,4", "--weight-bits", "4,8", "--chip", "truenorth")
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "sweep", "--resume", "--out", "copy", *flags)
    assert status == 0, errors
    assert "0 of 6 settings worth considering" in printed
    assert not (tmp_path / "copy" / "front.svg").exists()
    assert (tmp_path / "copy" / "front.csv").read_text().count("\n") == 1
    assert "no program there" in (tmp_path / "copy" / "report.html").read_text()


def test_without_a_model_the_digits_are_swept(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("neuro.sweeping.sweep.pool", pool_here)
    monkeypatch.setattr(model, "train", partial(model.train, epochs=1))
    flags = ("--code", "rate", "--timesteps", 2, "--samples", 20, "--json", "-")
    status, printed, errors = here(monkeypatch, capsys, tmp_path, "sweep", *flags)
    assert status == 0, errors
    found = json.loads(printed)
    assert (found["title"], found["samples"]) == ("Handwritten digits", 20)
    assert [(point["samples"], point["error"]) for point in found["points"]] == [(20, "")]
    assert {path.name for path in (tmp_path / "sweep").iterdir()} >= {*RESULTS, "front.svg", "report.html"}


def test_a_spiking_network_has_nothing_to_sweep(tmp_path, monkeypatch, capsys) -> None:
    arguments = ("sweep", "net.safetensors", "--data", "test.npz")
    status, printed, errors = here(monkeypatch, capsys, tmp_path, *arguments)
    assert (status, printed) == (2, "")
    assert errors == (
        "neuro: model 'net.safetensors': a spiking network has its code already. Name the float network it came from.\n"
    )
