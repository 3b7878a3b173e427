"""Machine code on disk: read again where nothing changed, and never read where something did."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULE = """from typing import NamedTuple
from neuro.compiled import compiled

class {name}(NamedTuple):
    value: int

@compiled
def scaled(record):
    return {factor} * record.value
"""
CALL = "import kernels as k; print(k.scaled(k.{name}(21)), sum(k.scaled.stats.cache_hits.values()))"


def _called(folder: Path, name: str, factor: int) -> str:
    """The result of a kernel in a fresh process, and how often it was read from disk."""
    (folder / "kernels.py").write_text(MODULE.format(name=name, factor=factor))
    env = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CALL.format(name=name)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_newer_version_without_a_type_of_the_older_one_compiles_anew(tmp_path) -> None:
    assert _called(tmp_path, "Sums", 2) == "42 0"
    assert _called(tmp_path, "Sums", 2) == "42 1"  # read from disk
    assert _called(tmp_path, "Totals", 3) == "63 0"  # and not even looked at
