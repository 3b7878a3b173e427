"""docs/extending.md is true: each worked example takes no more files than it should, and its own test passes."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worked import blocks, changed, copied, install

MOST_FILES = {  # tests among them
    "A new code": 3, "A new op": 4, "A new machine kind": 3, "A new layer": 2, "A new command": 3, "A new file format": 3,
}  # fmt: skip
IN_A_COPY = {"A new limit": 5}  # changes of classes, which take a process of their own


@pytest.mark.parametrize("heading", MOST_FILES | IN_A_COPY)
def test_an_example_touches_few_files_and_fits_them_as_they_are(heading: str) -> None:
    found = blocks(heading)
    assert 2 <= len({path for path, _, _ in found}) <= (MOST_FILES | IN_A_COPY)[heading]
    for path, kind, text in found:
        assert text != changed(path, text) if kind == "diff" else text.startswith('"""')


@pytest.mark.filterwarnings("ignore")  # Brian2 warns of itself
@pytest.mark.parametrize("heading", MOST_FILES)
def test_an_example_works(heading: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = install(heading, monkeypatch)
    (tests,) = (module for path, module in made.items() if path.startswith("tests/"))
    run = [value for name, value in vars(tests).items() if name.startswith("test_")]
    assert run
    for test in run:
        test(*([tmp_path] if "tmp_path" in inspect.signature(test).parameters else []))


@pytest.mark.parametrize("heading", IN_A_COPY)
def test_an_example_works_in_a_copy(heading: str, tmp_path: Path) -> None:
    """Kernels run as Python there: nothing is compiled for it."""
    (tests,) = (path for path in copied(heading, tmp_path) if path.startswith("tests/"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", tests]
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
