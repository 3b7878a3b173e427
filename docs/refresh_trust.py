"""Compute the tables and figures of docs/trust.md and put them there: python -m docs.refresh_trust [SECTION ...]."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from docs.page import put, table
from neuro.faultcurves import KINDS
from tests.repeat import result

DOCS = Path(__file__).parent
ROOT = DOCS.parent


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
            (f"{c.get('classname', '').rpartition('.')[2]}.py::{c.get('name', '').partition('[')[0]}", result(c)) for c in cases
        ]
    told = []
    for row in rows:
        results = Counter(result for name, result in found if name == row["test"])
        said = ", ".join(f"{number} {result}" for result, number in sorted(results.items()))
        name = row["test"].partition("::")[2].removeprefix("test_").replace("_", " ")
        told.append((row["witness"], {"peer": "runs beside", "golden": "recorded"}[row["kind"]], name, said))
    return table(("witness", "how", "what", "result"), sorted(told))


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


def fuzz(found: Any) -> str:
    """Inputs that the fuzzer made, reader by reader."""
    rows = [
        (reader, f"{row['inputs']:,}", f"{row['taken']:,}", f"{row['refused']:,}", row["outcomes"], len(row["failures"]))
        for reader, row in found["readers"].items()
    ]
    total = sum(row["inputs"] for row in found["readers"].values())
    said = f"{total:,} inputs in {found['minutes']:g} minutes, seed {found['seed']}."
    return f"{said}\n\n{table(('reader', 'inputs', 'taken', 'refused', 'different outcomes', 'failures'), rows)}"


def networks(found: Any) -> str:
    """Random networks held to what each code promises."""
    outcomes = {name: count for name, (count, _) in found["outcomes, with a first seed"].items()}
    passed, failed, refused = (
        sum(count for name, count in outcomes.items() if name.startswith(kind)) for kind in ("passed", "FAILED", "refused")
    )
    warned = sum(count for name, count in outcomes.items() if name.startswith("passed, with"))
    said = (
        f"{found['networks']:,} networks from seed {found['first seed']}: {passed:,} kept every promise, {warned:,} of "
        f"them with a warning of `convert` that much accuracy is lost, {refused:,} were "
        f"refused with place, fact and remedy, {failed} failed."
    )
    ratios = found["error over bound (50, 90, 99, 100 %)"]
    shown = {name: values for name, values in ratios.items() if not name.startswith(("bound over", "freedom"))}
    rows = [(name, *(f"{value:g}" for value in values)) for name, values in shown.items()]
    return f"{said}\n\n{table(('promise: error over bound', 'median', '90 %', '99 %', 'most'), rows)}"


def onnx(found: Any) -> str:
    """Random ONNX graphs read by us and run by onnxruntime."""
    titles = {"float": "float", "qdq": "quantised by hand (QDQ)", "static": "quantised by onnxruntime"}
    titles |= {"values": "that compute with values", "ports": "with several inputs and outputs"}
    rows = []
    for kind, counts in found["kinds"].items():
        wrong = counts.get("DIFFERS", 0)
        equal = counts.get("equal", 0)
        skipped = counts.get("skipped", 0)  # onnxruntime's own quantiser could not quantise them
        rows.append((titles[kind], sum(counts.values()), equal, counts.get("refused", 0), skipped, wrong))
    return table(("graphs", "number", "equal", "refused", "not quantised", "different"), rows)


def signals(found: Any) -> str:
    """What was left of result files where a signal came, at so many moments."""
    names = (
        "command",
        "signal",
        "moments",
        "events in all",
        "files old",
        "files new",
        "torn",
        "left behind",
        "resumed to the same",
    )
    rows = [(row["command"], row["signal"], row["moments"], f"{row['events']:,}", row["old"], row["new"], len(row["torn"]),
             len(row["left behind"]), "-" if row["resumed"] is None else row["resumed"]) for row in found]  # fmt: skip
    return table(names, rows)


def mutants(found: Any) -> str:
    """Mutants killed, module by module, and those that were not."""
    numbers = ("possible", "mutants", "killed", "too long")
    total = {"module": "all"} | {name: sum(row[name] for row in found["modules"]) for name in numbers}
    named = [row | {"module": f"`{row['module']}`"} for row in found["modules"]]
    rows = [(*(row[name] for name in ("module", *numbers)), _percent(row["killed"] / row["mutants"])) for row in [*named, total]]
    left = [(f"`{row['module']}:{one['line']}`", f"`{one['change']}`", one["verdict"]) for row in found["modules"]
            for one in row["survivors"]]  # fmt: skip
    survived = f"\n\n{table(('survivor', 'change', 'looked at'), left)}" if left else ""
    names = ("module", "possible", "tried", "killed", "of them by time", "share")
    return f"Seed {found['seed']}.\n\n{table(names, rows)}{survived}"


def soak(found: Any) -> str:
    """Memory over a long run of different work."""
    names = ("minutes", "rounds", "messages", "warm_mb", "most_of_first_half_mb", "most_of_last_half_mb", "slope_kb_per_round",
             "open_files", "flat")  # fmt: skip
    return table([name.replace("_", " ") for name in names], [[found[name] for name in names]])


def coverage(found: Any) -> str:
    """Lines and branches that the tests reach, room by room, from coverage's JSON."""
    rooms: dict[str, list[int]] = {}
    for file, one in found["files"].items():
        parts = Path(file).parts
        counted = rooms.setdefault("/".join(parts[:2]) if parts[1:2] and not parts[1].endswith(".py") else parts[0], [0] * 4)
        for i, name in enumerate(("num_statements", "covered_lines", "num_branches", "covered_branches")):
            counted[i] += one["summary"][name]
    rows = [(f"`{room}`", n, _percent(hit / n if n else 1), b, _percent(taken / b if b else 1)) for room, (n, hit, b, taken) in
            sorted(rooms.items())]  # fmt: skip
    total = found["totals"]
    said = (
        f"{total['percent_statements_covered']:.1f} % of lines and {total['percent_branches_covered']:.1f} % of branches in all."
    )
    return f"{said}\n\n{table(('room', 'lines', 'reached', 'branches', 'taken'), rows)}"


def orders(found: Any) -> str:
    """The suite in one random order after another."""
    rows = [(row["seed"], row["passed"], row["skipped"], row["failed"]) for row in found["runs"]]
    said = f"Tests that came to one result in some order and to another in another: {len(found['different'])}."
    return f"{said}\n\n{table(('seed of the order', 'passed', 'skipped', 'failed'), rows)}"


SIGNALLED = ("tests/test_durability.py", "tests/test_sweep_command.py", "tests/test_command_lists.py",
             "tests/test_main_job.py::test_ctrl_c_ends_at_once_and_leaves_nothing")  # fmt: skip
# Sections of commands that take minutes: what they print, and what is made of it. NAME=FILE takes what was printed before.
LONG: dict[str, tuple[tuple[str, ...], Callable[[Any], str]]] = {
    "networks": (("tests/fuzz_networks.py", "--count", "5000", "--seed", "20000", "--json"), networks),
    "onnx": (("-m", "tests.fuzz_onnx", "--graphs", "2000", "--json"), onnx),
    "fuzz": (("tests/fuzz.py", "--minutes", "10", "--json"), fuzz),
    "signals": (("tests/interrupted.py", "run", "sweep", "--moments", "50"), signals),
    "mutants": (("tests/mutants.py",), mutants),
    "soak": (("benchmarks/soak.py", "--minutes", "60"), soak),
    "orders": (("tests/repeat.py", "--times", "10"), orders),
    "signalled": (("tests/repeat.py", "--times", "10", *SIGNALLED), orders),
    "coverage": (("tests/coverage_run.py", "--json"), coverage),
}
SECTIONS: dict[str, Callable[[], str]] = {"laws": laws, "witnesses": witnesses, "golden": golden, "faults": faults}


def main() -> None:
    for asked in sys.argv[1:] or [*SECTIONS, *LONG]:
        name, _, file = asked.partition("=")
        if name in LONG:
            command, told = LONG[name]
            text = told(json.loads(Path(file).read_text()) if file else run(*command))
        elif name in SECTIONS:
            text = SECTIONS[name]()
        else:
            raise SystemExit(f"no section {name!r}; there are {', '.join([*SECTIONS, *LONG])}")
        page = (DOCS / "trust.md").read_text()  # read late: each section takes minutes
        (DOCS / "trust.md").write_text(put(page, name, text))


if __name__ == "__main__":
    main()
