"""Which lines and branches the tests reach, kernels included: python tests/coverage_run.py [--json] [pytest arguments].

The suite runs as it is, processes that it starts included; then the tests of the engine and the chip once more with the compiler
off, so that kernels are Python. Fails below 95 % of branches, or where counting and pricing are not reached entirely.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLAIN = (  # small enough for Python: two minutes, without what is marked `compiled`
    "tests/test_engine_small.py", "tests/test_engine_packing.py", "tests/test_session.py", "tests/test_chip_noc.py",
    "tests/test_chip_emulator.py", "tests/test_faults.py", "tests/test_keywords_features.py",
)  # fmt: skip
EXACT = "neuro/bill.py,neuro/chip/counts.py,neuro/chip/pricing.py,neuro/chip/tally.py"


def coverage(*arguments: str, **environment: str) -> int:
    """One call of coverage in the root of the repository; what it prints goes to standard error."""
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, stdout=sys.stderr, check=False).returncode


def main() -> None:
    given = [argument for argument in sys.argv[1:] if argument != "--json"]
    coverage("erase")
    failed = coverage("run", "-m", "pytest", "-q", *given)
    failed |= coverage("run", "-m", "pytest", "-q", *PLAIN, NUMBA_DISABLE_JIT="1", HYPOTHESIS_EXAMPLES="5")
    coverage("combine", "--quiet")
    if "--json" in sys.argv:
        sys.exit(subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", "-"], cwd=ROOT, check=False).returncode)
    failed |= coverage("report", "--skip-covered", "--show-missing", "--fail-under=95")
    failed |= coverage("report", f"--include={EXACT}", "--fail-under=100")
    sys.exit(failed)


if __name__ == "__main__":
    main()
