"""End a `neuro` command at many moments and look at what it leaves: python tests/interrupted.py COMMAND [--moments 50].

A moment is an audit event of Python (a file opened, renamed, a module imported, memory mapped ...): the process sends itself the
signal just before the event happens. Half of the moments lie anywhere in the command, half where it writes its results. Python is
forked once for each, after everything was imported, so that a moment costs only what the command does. Prints JSON.
"""

import argparse
import contextlib
import io
import json
import os
import random
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # a command, run from anywhere

import numpy as np

import neuro

OLD = b"what was there before\n"
SIGNALS = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}
COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # arguments, and the files that the command writes
    "run": (
        ("run", "net.safetensors", "--data", "data.npz", "--chip", "loihi2", "--report", "out.html", "--json", "out.json", "-q"),
        ("out.html", "out.json"),
    ),
}


def prepare(folder: Path) -> None:
    """A small network and its data."""
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


def child(folder: Path, arguments: tuple[str, ...], moment: int | None, number: int, tell: int | None = None) -> None:
    """The command in a forked process; never returns. Without a moment, counts the events and writes them to `tell`."""
    seen, writes = [0], []

    def hook(event: str, details: tuple[Any, ...]) -> None:
        seen[0] += 1
        if moment is None and event in ("open", "os.rename") and str(folder) in os.path.abspath(str(details[0])):
            writes.append(seen[0])
        if seen[0] == moment:
            os.kill(os.getpid(), number)

    os.chdir(folder)
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
            os.write(tell, json.dumps({"events": seen[0], "writes": writes[-40:]}).encode())
        os._exit(status)


def forked(folder: Path, arguments: tuple[str, ...], moment: int | None, number: int = 0, tell: int | None = None) -> int:
    """The status of the command in a process of its own; negative for the signal that ended it."""
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        child(folder, arguments, moment, number, tell)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def observe(folder: Path, arguments: tuple[str, ...], results: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """How many events an undisturbed command has, which of them open or rename files, and what it writes."""
    listen, tell = os.pipe()
    if forked(folder, arguments, None, tell=tell):
        raise SystemExit("the command fails without being disturbed")
    with os.fdopen(listen, "rb") as told:
        os.close(tell)
        found: dict[str, Any] = json.load(told)
    return found, {name: (folder / name).read_bytes() for name in results}


def interrupt(name: str, moments: int, seed: int) -> list[dict[str, Any]]:
    """For each signal: at how many moments it came, how the command ended, and which files were old, new, or neither."""
    import neuro.cli.job  # so that no child imports it
    import neuro.cli.tell  # noqa: F401

    arguments, results = COMMANDS[name]
    rows = []
    for word, number in SIGNALS.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            prepare(folder)
            found, new = observe(folder, arguments, results)
            given = {path.name for path in folder.iterdir()}
            rng = random.Random(f"{seed} {word}")
            around = range(min(found["writes"][-8:]), found["events"] + 1)
            chosen = [rng.randint(1, found["events"]) if i % 2 else rng.choice(around) for i in range(moments)]
            row: dict[str, Any] = {"command": name, "signal": word, "moments": moments, "events": found["events"]}
            row |= {"old": 0, "new": 0, "torn": [], "left behind": [], "statuses": {}}
            for moment in chosen:
                for result in results:
                    (folder / result).write_bytes(OLD)
                status = forked(folder, arguments, moment, number)
                row["statuses"][str(status)] = row["statuses"].get(str(status), 0) + 1
                for result in results:
                    content = (folder / result).read_bytes()
                    kind = "old" if content == OLD else "new" if content == new[result] else "torn"
                    row[kind] = row[kind] + ([(moment, result)] if kind == "torn" else 1)
                extra = {path.name for path in folder.iterdir()} - given
                row["left behind"] += sorted(name for name in extra if number != signal.SIGKILL or not name.startswith("."))
                for left in extra:
                    (folder / left).unlink()
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=list(COMMANDS))
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(json.dumps(interrupt(options.command, options.moments, options.seed), indent=1))  # noqa: T201  # a command


if __name__ == "__main__":
    main()
