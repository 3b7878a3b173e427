"""The comparison of runs in several orders sees a test that does not always come to the same."""

import json
import subprocess
import sys
from pathlib import Path

from tests.repeat import compared

ROOT = Path(__file__).parent.parent
FICKLE = """
SEEN = []

def test_a():
    SEEN.append("a")

def test_b():
    assert SEEN, "a was not first"

def test_c():
    pass
"""


def test_results_that_differ_are_named() -> None:
    found = compared([4, 5, 6], [{"a": "passed", "b": "passed"}, {"a": "passed", "b": "failed"}, {"a": "passed"}])
    assert found["runs"][1] == {"seed": 5, "passed": 1, "skipped": 0, "failed": 1}
    assert found["different"] == {"b": ["passed", "failed", "missing"]}


def test_what_is_not_there_is_no_success() -> None:
    command = [sys.executable, "tests/repeat.py", "--times", "1", "tests/test_repeat.py::test_nowhere"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pytest did not run" in done.stderr


def test_a_test_that_needs_another_is_found_out(tmp_path) -> None:
    (tmp_path / "test_fickle.py").write_text(FICKLE)
    command = [sys.executable, "tests/repeat.py", "--times", "4", f"--rootdir={tmp_path}", str(tmp_path / "test_fickle.py")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert [name.rpartition("::")[2] for name in found["different"]] == ["test_b"]
    assert [row["passed"] + row["failed"] for row in found["runs"]] == [3] * 4
