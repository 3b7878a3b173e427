"""Compute the tables and figures of docs/trust.md and put them there: python docs/refresh_trust.py [SECTION ...]."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from neuro.chip.faults.curves import KINDS

DOCS = Path(__file__).parent
ROOT = DOCS.parent
_RESULTS = {"failure": "failed", "error": "failed", "skipped": "skipped"}


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


def run(*arguments: str) -> Any:
    """What a command of the project says as JSON; python runs it in the root of the repository."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def laws() -> str:
    """Counts of tests and properties, from `python tests/count.py --json`."""
    found = run("tests/count.py", "--json")
    counted = table(
        ("tests", "run by default", "test functions", "laws", "assert nothing"),
        [[found[name] for name in ("tests", "run_by_default", "functions", "properties")] + [len(found["asserting_nothing"])]],
    )
    rows = [(f"`tests/{file}`", len(names)) for file, names in found["properties_by_file"].items()]
    return f"{counted}\n\n{table(('laws in', 'number'), rows)}"


def witnesses() -> str:
    """Tests against other tools and recorded numbers, run now."""
    rows = run("tests/count.py", "--json")["witnesses"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "-m", "peer or golden", f"--junitxml={report}"]
        subprocess.run([sys.executable, "-m", "pytest", *options], cwd=ROOT, env=_environment(), capture_output=True, check=False)
        cases = ElementTree.parse(report).getroot().iter("testcase")  # our own file
        found = [
            (f"{c.get('classname', '').rpartition('.')[2]}.py::{c.get('name', '').partition('[')[0]}", _result(c)) for c in cases
        ]
    told = []
    for row in rows:
        results = Counter(result for name, result in found if name == row["test"])
        said = ", ".join(f"{number} {result}" for result, number in sorted(results.items()))
        name = row["test"].partition("::")[2].removeprefix("test_").replace("_", " ")
        told.append((row["witness"], {"peer": "runs beside", "golden": "recorded"}[row["kind"]], name, said))
    return table(("witness", "how", "what", "result"), sorted(told))


def _result(case: ElementTree.Element) -> str:
    return next((name for tag, name in _RESULTS.items() if case.find(tag) is not None), "passed")


def golden() -> str:
    """Where the recorded numbers of `tests/golden` come from."""
    rows = []
    for path in sorted((ROOT / "tests" / "golden").glob("*.json")):
        recorded = json.loads(path.read_text())
        said = recorded["provenance"]
        versions = ", ".join(f"{name} {version}" for name, version in said["versions"].items())
        exact, close = _leaves(recorded["exact"]), _leaves(recorded["close"])
        rows.append((f"`{path.name}`", exact, close, said["date"], f"`{said['commit'][:10]}`", versions))
    return table(("file", "integers", "other numbers", "recorded", "at commit", "with"), rows)


def _leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_leaves, value.values()))
    return sum(map(_leaves, value)) if isinstance(value, list) else 1


def faults() -> str:
    """`neuro faults` as a table, and its figure."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "faults.svg"
        found = run("-m", "neuro", "faults", "--figure", str(drawn), "--json", "-")
        (DOCS / "trust_faults.svg").write_text(drawn.read_text())
    rows = [
        (
            p["kind"].replace("_", " "),
            f"{p['rate']:g}",
            KINDS[p["kind"]].unit,
            *map(_percent, (p["accuracy"], p["least"], p["most"])),
            *((f"{p['energy_pj'] / 1e6:.1f}", f"{p['latency_ns'] / 1e3:.0f}") if p["accuracy"] is not None else ("-", "-")),
            p["seeds"],
        )
        for p in found["points"]
        if p["rate"] > 0
    ]
    names = ("kind", "rate", "a share", "accuracy", "least", "most", "energy, µJ", "latency, µs", "seeds")
    whole = found["points"][0]
    said = (
        f"{found['samples']} held-out digits on {found['chip']}; without faults {_percent(whole['accuracy'])}, "
        f"{whole['energy_pj'] / 1e6:.1f} µJ, {whole['latency_ns'] / 1e3:.0f} µs."
    )
    return f"{said}\n\n![accuracy against faults](trust_faults.svg)\n\n{table(names, rows)}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


SECTIONS: dict[str, Callable[[], str]] = {"laws": laws, "witnesses": witnesses, "golden": golden, "faults": faults}


def put(page: str, name: str, text: str) -> str:
    """The page with a text between its marks."""
    before, rest = page.split(f"<!-- {name} -->\n")
    _, after = rest.split("<!-- end -->", 1)
    return f"{before}<!-- {name} -->\n{text}\n<!-- end -->{after}"


def main() -> None:
    chosen = sys.argv[1:] or list(SECTIONS)
    for name in chosen:
        if name not in SECTIONS:
            raise SystemExit(f"no section {name!r}; there are {', '.join(SECTIONS)}")
        text = SECTIONS[name]()
        page = (DOCS / "trust.md").read_text()  # read late: each section takes minutes
        (DOCS / "trust.md").write_text(put(page, name, text))


if __name__ == "__main__":
    main()
