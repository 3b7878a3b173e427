"""Run the suite again and again, each time in another random order: python tests/repeat.py [--times 10] [--at-once 1].

What else is given goes to pytest. Every test must come to the same result in every order. Prints JSON: what each run came to, and
the tests that differed; ends with status 1 where one failed or differed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
_RESULTS = {"failure": "failed", "error": "failed", "skipped": "skipped"}


def in_order(seed: int, chosen: list[str]) -> dict[str, str]:
    """The result of every test, in the order that a seed gives."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--randomly-seed={seed}", f"--junitxml={report}", *chosen]
        done = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode not in (0, 1):  # all passed, some failed
            raise SystemExit(f"pytest did not run: {done.stdout[-2000:]}")
        cases = ElementTree.parse(report).getroot().iter("testcase")  # our own file
        return {f"{case.get('classname')}::{case.get('name')}": result(case) for case in cases}


def result(case: ElementTree.Element) -> str:
    """What became of a test case of a JUnit report."""
    return next((name for tag, name in _RESULTS.items() if case.find(tag) is not None), "passed")


def compared(seeds: list[int], runs: list[dict[str, str]]) -> dict[str, Any]:
    """What each run came to, and the tests that did not always come to the same."""
    rows = []
    for seed, run in zip(seeds, runs, strict=True):
        said = list(run.values())
        rows.append({"seed": seed, **{name: said.count(name) for name in ("passed", "skipped", "failed")}})
    names = sorted(set().union(*runs))
    different = {name: [run.get(name, "missing") for run in runs] for name in names if len({run.get(name) for run in runs}) > 1}
    return {"runs": rows, "different": different}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    options, chosen = parser.parse_known_args()
    seeds = list(range(options.seed, options.seed + options.times))
    with ThreadPoolExecutor(options.at_once) as pool:
        found = compared(seeds, list(pool.map(partial(in_order, chosen=chosen), seeds)))
    print(json.dumps(found, indent=1))  # noqa: T201  # a command
    sys.exit(bool(found["different"] or any(row["failed"] for row in found["runs"])))


if __name__ == "__main__":
    main()
