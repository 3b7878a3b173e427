"""What tests of sweeps share: a small network, spaces to sweep, and sweeps in processes of their own."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import torch

import neuro
from converters.pipeline import Conversions
from neuro.sweeping.measure import BLOCK, Measured
from neuro.sweeping.subject import load_subject
from neuro.sweeping.worker import answer

ROOT = Path(__file__).parent.parent
RESULTS = ("result.json", "points.csv", "front.csv")
SPACE = neuro.Space(code=("rate", "radix", "graded"), timesteps=(2, 4), weight_bits=(4, 8), chip=("loihi2", "truenorth"))


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


def records(count):
    blank = dict.fromkeys(Measured.__dataclass_fields__, 1)
    return [{"key": f"k{i}", "measured": {**blank, "accuracy": i / 7}} for i in range(count)]


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def started(folder, space) -> subprocess.Popen:
    """A sweep in a process of its own."""
    program = f"import sys; from tests import sweeps as t; t.sweep(t.Path({str(folder)!r}), t.{space}, resume=True, workers=2)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment)


class Here:
    """A worker in this process."""

    def __init__(self, path: Path) -> None:
        self.subject = load_subject(path)
        self.conversions = Conversions(self.subject.graph, self.subject.calibration)

    def measure(self, jobs):
        return (answer(self.subject, self.conversions, **json.loads(job.line())) for job in jobs)


@contextmanager
def pool_here(path, workers=None):
    """In place of `neuro.sweeping.pool.pool`: the same answers without the seconds that it takes to start torch again."""
    yield Here(path)
