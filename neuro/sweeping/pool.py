"""Worker processes on this machine, and a new one for each that dies. Knows jobs and lines; knows nothing of what is measured."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import neuro
from neuro.chip.spec import Chip
from neuro.errors import EngineError
from neuro.sweeping.journal import Record
from neuro.sweeping.settings import Setting, chip_digest

RETRIES = 3
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Job:
    """A setting to measure, and the name of the result."""

    key: str
    setting: Setting
    chip: Chip

    def line(self) -> bytes:
        """What a worker is sent."""
        asked = {"key": self.key, "setting": asdict(self.setting), "chip": chip_digest(self.chip)}
        return (json.dumps(asked) + "\n").encode()

    def lost(self, how: str) -> Record:
        """The record of a job whose workers died each time."""
        text = f"its worker process ended {RETRIES + 1} times, the last time with {how}"
        return {"key": self.key, "setting": asdict(self.setting), "error": text, "lost": True}


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    asked: IO[bytes]  # its standard input
    answers: IO[bytes]  # its standard output
    said: IO[bytes]  # its standard error
    ready: bool = False
    job: Job | None = None
    heard: bytearray = field(default_factory=bytearray)


class Pool:
    """At most `most` workers, started when there is work for them."""

    def __init__(self, subject: Path, most: int) -> None:
        self._subject, self._most = subject, most
        self._workers: list[_Worker] = []
        self._listen = selectors.DefaultSelector()

    def measure(self, jobs: Sequence[Job]) -> Iterator[Record]:
        """The records of all jobs, as they come in."""
        waiting, died = deque(jobs), dict[str, int]()
        while waiting or any(worker.job for worker in self._workers):
            self._hand_out(waiting)
            for key, _ in self._listen.select():
                worker: _Worker = key.data
                content = os.read(worker.answers.fileno(), 1 << 16)
                if content:
                    yield from _answers(worker, content)
                    continue
                job, how = worker.job, self._reap(worker)
                if job is None:
                    continue
                died[job.key] = died.get(job.key, 0) + 1
                if died[job.key] > RETRIES:
                    yield job.lost(how)
                else:
                    waiting.appendleft(job)

    def _hand_out(self, waiting: deque[Job]) -> None:
        while waiting:
            idle = next((worker for worker in self._workers if worker.job is None), None)
            if idle is None and len(self._workers) == self._most:
                return
            idle = idle or self._spawn()
            idle.job = waiting.popleft()
            try:
                idle.asked.write(idle.job.line())
                idle.asked.flush()
            except BrokenPipeError:
                continue  # it died idle: the end of its output is about to say so

    def _spawn(self) -> _Worker:
        root = str(Path(neuro.__file__).parent.parent)
        paths = os.pathsep.join(dict.fromkeys(filter(None, [root, os.environ.get("PYTHONPATH")])))
        environment = {**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), "PYTHONPATH": paths}
        command = [sys.executable, "-m", "neuro.sweeping.worker", str(self._subject)]
        said = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the worker is buried
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": said}
        process = subprocess.Popen(command, env=environment, **pipes)
        worker = _Worker(process, cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout), said)
        self._workers.append(worker)
        self._listen.register(worker.answers, selectors.EVENT_READ, worker)
        return worker

    def _reap(self, worker: _Worker) -> str:
        """Forget a worker that has ended; how it ended. Raises EngineError where no worker can even start."""
        self._workers.remove(worker)
        self._listen.unregister(worker.answers)
        status = worker.process.wait()
        with worker.said as said:
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-1:]
        worker.answers.close()
        with suppress(BrokenPipeError):  # what was left in the buffer was for a worker that has ended
            worker.asked.close()
        if status > 0 and not worker.ready:
            raise EngineError("sweep", f"a worker could not start: {' '.join(last)}", "Remove the cause, then resume")
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status} {' '.join(last)}".strip()

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for worker in self._workers:
            worker.process.kill()
        for worker in tuple(self._workers):
            worker.ready = True
            self._reap(worker)
        self._listen.close()


def _answers(worker: _Worker, content: bytes) -> Iterator[Record]:
    """The whole lines that a worker has said so far."""
    worker.heard += content
    while b"\n" in worker.heard:
        line, _, rest = worker.heard.partition(b"\n")
        worker.heard = rest
        if not worker.ready:
            worker.ready = True
            continue
        worker.job = None
        yield json.loads(line)


@contextmanager
def pool(subject: Path, workers: int | None = None) -> Iterator[Pool]:
    """Workers on this machine, one for each core by default; all have ended when the block ends."""
    made = Pool(subject, max(1, workers or len(os.sched_getaffinity(0))))
    try:
        yield made
    finally:
        made.close()
