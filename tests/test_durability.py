"""What is written is there whole or not at all: full disks, folders that cannot be written to, signals at any moment."""

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from neuro.bundles import save_parts
from neuro.errors import FormatError
from neuro.files import atomic_path, write_text
from neuro.keywords.audio import write_wav
from tests.hostile import graph, network, write_spotter
from tests.interrupted import COMMANDS

ROOT = Path(__file__).parent.parent
OLD = b"what was there before"
WRITERS: dict[str, Callable[[Path], None]] = {
    "network": lambda path: network().save(path),
    "graph": lambda path: graph().save(path),
    "spotter": write_spotter,
    "recording": lambda path: write_wav(path, np.zeros(4_000, np.int16)),
    "text": lambda path: write_text(path, "x" * 4_000),
}


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("size", [0, 500])
def test_a_full_disk_leaves_the_old_file(writer: str, size: int, tmp_path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    with room_for(size), pytest.raises(FormatError, match="could not be written"):
        WRITERS[writer](path)
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fills_late_leaves_the_old_file(call: str, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file"
    path.write_bytes(OLD)
    monkeypatch.setattr(*(os, "fsync", full) if call == "fsync" else (Path, "replace", full))
    with pytest.raises(FormatError, match="No space left"):
        write_text(path, "new")
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def _half(path: Path, error: type[BaseException]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_whatever_ends_the_writing_leaves_the_old_file(error: type[BaseException], tmp_path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    with pytest.raises(error):
        _half(path, error)
    assert path.read_bytes() == OLD
    assert list(tmp_path.iterdir()) == [path]


def test_what_could_not_be_read_back_is_not_written(tmp_path) -> None:
    with pytest.raises(FormatError, match="NaN or infinity"):
        save_parts({"threshold": float("nan")}, tmp_path / "file", "parts")
    assert list(tmp_path.iterdir()) == []


def test_the_new_file_has_the_rights_that_any_file_gets(tmp_path) -> None:
    write_text(tmp_path / "ours", "x")
    (tmp_path / "any").write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "any").stat().st_mode


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/proc/neuro", "cannot be written to"),
        ("/nowhere/neuro", "does not exist"),
        ("/dev/null", "a device"),
        ("/dev", "folder"),
    ],
)
def test_what_cannot_be_a_file_is_refused(writer: str, path: str, said: str) -> None:
    before = os.stat(path).st_mode if os.path.exists(path) else None
    with pytest.raises(FormatError, match=said):
        WRITERS[writer](Path(path))
    assert (os.stat(path).st_mode if os.path.exists(path) else None) == before


def _interrupted(command: str, moments: int) -> None:
    arguments = [sys.executable, "tests/interrupted.py", command, "--moments", str(moments)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for row in json.loads(done.stdout):
        assert row["torn"] == []
        assert row["left behind"] == []
        assert row["old"] + row["new"] == moments * len(COMMANDS[command].results)
        assert row["old"] > 0
        assert row["resumed"] == (moments if COMMANDS[command].grows else None)
        assert sum(row["statuses"].values()) == moments
        assert set(row["statuses"]) <= {{"Ctrl-C": "130", "SIGTERM": "143", "SIGKILL": "-9"}[row["signal"]], "0"}


@pytest.mark.parametrize(("command", "moments"), [("run", 3), ("sweep", 1)])
def test_signals_leave_the_old_file_or_the_new_one(command: str, moments: int) -> None:
    _interrupted(command, moments)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_signals_at_fifty_moments_leave_the_old_file_or_the_new_one(command: str) -> None:
    _interrupted(command, 50)


KERNEL = """
from typing import NamedTuple
import numpy as np
from neuro.compiled import compiled

class {name}(NamedTuple):
    values: np.ndarray

@compiled
def total(sums):
    return sums.values.sum()

print(int(total({name}(np.arange(4)))))
"""


@pytest.mark.compiled
def test_machine_code_of_types_that_have_moved_is_compiled_again(tmp_path: Path) -> None:
    for name in ("Sums", "Totals"):  # the second finds the first one's code on disk, and no type of its name
        (tmp_path / "kernel.py").write_text(KERNEL.format(name=name))
        told = subprocess.run(
            [sys.executable, "-c", "import kernel"], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}, check=False,
        )  # fmt: skip
        assert (told.returncode, told.stdout.strip()) == (0, "6"), told.stderr
    assert list((tmp_path / "__pycache__").glob("*.nbi"))
