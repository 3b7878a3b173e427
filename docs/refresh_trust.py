"""Compute the tables and figures of docs/trust.md and put them there: python docs/refresh_trust.py [SECTION ...]."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from neuro.chip.faults.curves import KINDS

DOCS = Path(__file__).parent
ROOT = DOCS.parent


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


def run(*arguments: str) -> Any:
    """What a command of the project says as JSON; python runs it in the root of the repository."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def laws() -> str:
    """Counts of tests and properties, from `python tests/count.py --json`."""
    found = run("tests/count.py", "--json")
    counted = table(
        ("tests", "run by default", "test functions", "laws", "assert nothing"),
        [[found[name] for name in ("tests", "run_by_default", "functions", "properties")] + [len(found["asserting_nothing"])]],
    )
    rows = [(f"`tests/{file}`", len(names)) for file, names in found["properties_by_file"].items()]
    return f"{counted}\n\n{table(('laws in', 'number'), rows)}"


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


SECTIONS: dict[str, Callable[[], str]] = {"laws": laws, "faults": faults}


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
