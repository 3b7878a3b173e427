"""What test modules share: one run of the demo, one sweep, and one way to run hypothesis.

The same examples every time and no clocks; HYPOTHESIS_PROFILE=search looks for new examples. HYPOTHESIS_EXAMPLES=8 takes
at most 8 of each law. With the compiler off (NUMBA_DISABLE_JIT=1) tests marked `compiled` are skipped, and the search for
good places tries a hundred moves for each group instead of ten thousand.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

PLAIN = os.environ.get("NUMBA_DISABLE_JIT", "0") != "0"
MOST_EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "0"))

ROOT = Path(__file__).parent.parent


def pytest_runtest_setup() -> None:
    """Ctrl-C means the same to every test and its processes: a shell starts what runs in the background without it.

    Torch starts each process with another seed, so a network without one of its own would have other weights each time.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if PLAIN and item.get_closest_marker("compiled"):
            item.add_marker(pytest.mark.skip(reason="too much for kernels without their compiler"))
    for function in {getattr(item, "obj", None) for item in items if MOST_EXAMPLES}:
        own = getattr(function, "_hypothesis_internal_use_settings", None)
        if own is not None and own.max_examples > MOST_EXAMPLES:
            function._hypothesis_internal_use_settings = settings(own, max_examples=MOST_EXAMPLES)


@pytest.fixture(scope="session", autouse=PLAIN)
def few_moves() -> None:
    """Kernels as plain Python search as they do when compiled, only not as long."""
    from neuro.chip.placing import mapping

    mapping._MOVES = 100


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    """A folder in which `neuro demo --timesteps 8` has run: report.html, result.json, and what it printed in printed.txt."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "neuro", "demo", "--timesteps", "8"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout)
    return folder


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory) -> Path:
    """A folder in which a small space was swept without a disturbance."""
    from tests.sweeps import sweep

    folder = tmp_path_factory.mktemp("undisturbed")
    sweep(folder)
    return folder
