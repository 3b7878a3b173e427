"""Write the tables of docs/optimising.md: python -m docs.refresh_optimising FILE ..., what `benchmarks/optimise.py --json` wrote.

A case that no FILE holds keeps its table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from docs.page import put, table

DOCS = Path(__file__).parent
COLUMNS = (
    "code",
    "point",
    "accuracy (%)",
    "points lost",
    "dynamic (uJ)",
    "less",
    "messages",
    "synops",
    "synaptic memory (bits)",
    "cores",
)
ELSEWHERE = ("point", "machine", "latency", "faster", "less energy", "note")


def measured(case: dict[str, Any]) -> str:
    """The tests of a case: the start, the points of its front, the chosen one marked; and in another code, where there is one."""
    settings = case["found"]["plan"]["settings"]
    code = f"{settings['code']}, T = {settings['timesteps']}"
    rows = [_row(code, case, number, case["tested"]) for number in case["tested"]]
    other = case.get("other_code", {}) if case.get("other_name") != code else {}
    rows += [_row(case.get("other_name", "other"), case, number, other) for number in other]
    samples = case["tested"]["0"]["samples"]
    chosen = case["found"]["points"][0]["samples"]
    exact = f"float network {100 * case['float']:.2f} %; " if "float" in case else ""
    head = (
        f"`{case['case']}`: tested on {samples:,} samples, chosen on {chosen:,} others; {exact}"
        f"seed {settings['seed']}, {settings['steps']} steps a round."
    )
    return head + "\n\n" + table(COLUMNS, rows)


def _row(code: str, case: dict[str, Any], number: str, tested: dict[str, Any]) -> tuple[str, ...]:
    m, start = tested[number], tested["0"]
    mark = " (chosen)" if int(number) == case["best"] and int(number) else ""
    return (
        code,
        "start" if number == "0" else number + mark,
        f"{100 * m['accuracy']:.2f}",
        f"{100 * (start['accuracy'] - m['accuracy']):+.2f}",
        f"{m['dynamic_pj'] / 1e6:.3f}",
        f"{start['dynamic_pj'] / m['dynamic_pj']:.2f}x",
        f"{m['messages']:,.0f}",
        f"{m['synops']:,.0f}",
        f"{m['synapse_bits']:,}",
        str(m["cores_used"]),
    )


def elsewhere(case: dict[str, Any]) -> str:
    """What the same networks take on other machines."""
    rows = [
        (
            str(row["point"]),
            row["machine"],
            f"{row['latency_ns'] / 1e3:,.1f} us",
            f"{row['faster']:.2f}x",
            "-" if row["less"] is None else f"{row['less']:.2f}x",
            row["note"],
        )
        for row in case["elsewhere"]
    ]
    return table(ELSEWHERE, rows)


def main() -> None:
    """Write what the files hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    page = DOCS / "optimising.md"
    for path in parser.parse_args().files:
        for case in json.loads(path.read_text()):
            text = page.read_text()
            for name, made in ((case["case"], measured(case)), (f"{case['case']} elsewhere", elsewhere(case))):
                text = put(text, name, made) if f"<!-- {name} -->" in text else text
            page.write_text(text)


if __name__ == "__main__":
    main()
