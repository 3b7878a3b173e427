"""End a `neuro` command at many moments and look at what it leaves: python tests/interrupted.py COMMAND ... [--moments 50].

A moment is an audit event of Python (a file opened, renamed, code run, memory mapped ...) or an fsync: the process sends itself
the signal just before it happens. Half of the moments lie anywhere in the command, half where it writes. Python is forked once
for each, after everything was imported, so that a moment costs only what the command does. A command that can be resumed runs
once more afterwards and must come to the same results. Prints JSON.
"""

import argparse
import contextlib
import ctypes
import importlib
import io
import json
import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # a command, run from anywhere

import numpy as np

import neuro

OLD = b"what was there before\n"
SIGNALS = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
Files = dict[str, bytes]
MODEL = """
import numpy as np
import torch

def net():
    rng = np.random.default_rng(1)
    linear = [torch.nn.Linear(8, 16), torch.nn.Linear(16, 3)]
    for layer in linear:
        layer.weight.data = torch.as_tensor(rng.standard_normal(tuple(layer.weight.shape)).astype(np.float32))
        layer.bias.data.zero_()
    return torch.nn.Sequential(linear[0], torch.nn.ReLU(), linear[1]).eval()
"""


def prepare_run(folder: Path) -> None:
    """A small network, its data, and results of an earlier run."""
    rng = np.random.default_rng(0)
    populations = (
        neuro.Population("in", (8,), neuro.Source("rate", levels=8)),
        neuro.Population("hidden", (16,), neuro.IntegrateAndFire(20, start_step=1)),
        neuro.Population("out", (3,), neuro.Readout(start_step=2)),
    )
    weights = [rng.integers(-9, 10, shape) for shape in ((8, 16), (16, 3))]
    projections = (neuro.Dense("in", "hidden", weights[0]), neuro.Dense("hidden", "out", weights[1]))
    neuro.Network(populations, projections, timesteps=8).save(folder / "net.safetensors")
    np.savez(folder / "data.npz", x=rng.integers(0, 9, (6, 8)), y=rng.integers(0, 3, 6))
    for name in COMMANDS["run"].results:
        (folder / name).write_bytes(OLD)


def prepare_sweep(folder: Path) -> None:
    """A float network, its data, and a finished sweep of two settings, which the command takes to four."""
    rng = np.random.default_rng(0)
    (folder / "mine.py").write_text(MODEL)
    np.savez(folder / "data.npz", x=rng.random((6, 8)).astype(np.float32), y=rng.integers(0, 3, 6))
    arguments = COMMANDS["sweep"].arguments
    if forked(folder, tuple(argument.replace("2,3", "2") for argument in arguments if argument != "--resume"), None):
        raise SystemExit("the first sweep fails")


@dataclass(frozen=True)
class Command:
    """Arguments; results, each written whole; and a file that grows line by line, of which a part may be there."""

    arguments: tuple[str, ...]
    results: tuple[str, ...]
    prepare: Callable[[Path], None]
    grows: str = ""


_SWEPT = ("plan.json", "result.json", "points.csv", "front.csv", "front.svg", "report.html")
COMMANDS: dict[str, Command] = {
    "run": Command(
        ("run", "net.safetensors", "--data", "data.npz", "--chip", "loihi2", "--report", "out.html", "--json", "out.json", "-q"),
        ("out.html", "out.json"),
        prepare_run,
    ),
    "sweep": Command(
        ("sweep", "mine:net", "--data", "data.npz", "--code", "rate,graded", "--timesteps", "2,3", "--out", "swept", "--resume",
         "--workers", "1", "--quiet"),
        tuple(f"swept/{name}" for name in _SWEPT),
        prepare_sweep,
        grows="swept/journal.jsonl",
    ),
}  # fmt: skip


def child(folder: Path, arguments: tuple[str, ...], moment: int | None, number: int, tell: int | None = None) -> None:
    """The command in a forked process; never returns. Without a moment, counts the events and writes them to `tell`."""
    seen, writes = [0], []

    def happens(*, writing: bool) -> None:
        seen[0] += 1
        if moment is None and writing:
            writes.append(seen[0])
        if seen[0] == moment:
            os.kill(os.getpid(), number)

    def hook(event: str, details: tuple[Any, ...]) -> None:
        happens(writing=event in ("open", "os.rename") and str(folder) in os.path.abspath(str(details[0])))

    def fsync(handle: int, flush: Callable[[int], None] = os.fsync) -> None:
        happens(writing=True)  # what was written may not be on the disk yet
        flush(handle)

    os.chdir(folder)
    os.fsync = fsync  # it has no audit event
    sys.argv = ["neuro", *arguments]
    from neuro.cli import main

    status = 0
    sys.addaudithook(hook)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        if tell is not None:
            found = {"events": seen[0], "writes": writes, "modules": sorted(sys.modules)}
            with os.fdopen(tell, "w") as told:
                json.dump(found, told)
        os._exit(status)


def forked(folder: Path, arguments: tuple[str, ...], moment: int | None, number: int = 0, tell: int | None = None) -> int:
    """The status of the command in a process of its own; negative for the signal that ended it.

    Returns when it has ended and whatever it had started, too.
    """
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        child(folder, arguments, moment, number, tell)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()  # workers that were left alone: they are ours now
    return status


def files(folder: Path) -> Files:
    """What lies in a folder, but for what Python compiles."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def restore(folder: Path, before: Files) -> None:
    """Let these files lie in a folder, and no others."""
    for name in files(folder).keys() - before.keys():
        (folder / name).unlink()
    for name, content in before.items():
        (folder / name).write_bytes(content)


def observe(folder: Path, command: Command) -> tuple[dict[str, Any], Files]:
    """How many events an undisturbed command has, which of them write, and what lies there then."""
    with tempfile.TemporaryFile("w+") as told:
        if forked(folder, command.arguments, None, tell=told.fileno()):
            raise SystemExit("the command fails without being disturbed")
        told.seek(0)
        found: dict[str, Any] = json.load(told)
    return found, files(folder)


def part_of(content: bytes, old: bytes, new: bytes) -> bool:
    """Whether a growing file holds everything from before, and a beginning of what was to come."""
    return content.startswith(old) and new.startswith(content)


def interrupt(name: str, moments: int, seed: int) -> list[dict[str, Any]]:
    """For each signal: at how many moments it came, how the command ended, and which files were old, new, or neither."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    command = COMMANDS[name]
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        command.prepare(folder)
        old = files(folder)
        for module in observe(folder, command)[0]["modules"]:
            with contextlib.suppress(ImportError):
                importlib.import_module(module)  # so that no child does
        restore(folder, old)
        found, new = observe(folder, command)
        for word, number in SIGNALS.items():
            rng = random.Random(f"{seed} {word}")
            chosen = [rng.randint(1, found["events"]) if i % 2 else rng.choice(found["writes"]) for i in range(moments)]
            row: dict[str, Any] = {"command": name, "signal": word, "moments": moments, "events": found["events"]}
            row |= {"old": 0, "new": 0, "torn": [], "left behind": [], "statuses": {}, "resumed": 0 if command.grows else None}
            for moment in chosen:
                restore(folder, old)
                status = forked(folder, command.arguments, moment, number)
                row["statuses"][str(status)] = row["statuses"].get(str(status), 0) + 1
                _judge(row, command, moment, (old, files(folder), new), hidden_stays=number == signal.SIGKILL)
                if command.grows:
                    again, now = forked(folder, command.arguments, None), files(folder)
                    row["resumed"] += again == 0 and {name: now.get(name) for name in new} == new
            rows.append(row)
    return rows


def _judge(row: dict[str, Any], command: Command, moment: int, states: tuple[Files, Files, Files], *, hidden_stays: bool) -> None:
    """Count what a moment left behind."""
    old, now, new = states
    for result in command.results:
        content = now.get(result)
        kind = "new" if content == new[result] else "old" if content == old[result] else "torn"
        row[kind] = row[kind] + ([(moment, result)] if kind == "torn" else 1)
    if command.grows and not part_of(now[command.grows], old[command.grows], new[command.grows]):
        row["torn"].append((moment, command.grows))
    extra = now.keys() - old.keys()
    row["left behind"] += sorted(name for name in extra if not (hidden_stays and Path(name).name.startswith(".")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="+", choices=list(COMMANDS))
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
    rows = [row for name in options.commands for row in interrupt(name, options.moments, options.seed)]
    print(json.dumps(rows, indent=1))  # noqa: T201  # a command


if __name__ == "__main__":
    main()
