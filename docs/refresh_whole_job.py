"""Put the rows of `python benchmarks/whole_job.py --json FILE` on docs/performance.md: python -m docs.refresh_whole_job FILE."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docs.page import put, table

PAGE = Path(__file__).parent / "performance.md"


def rows_of(rows: Sequence[dict[str, Any]]) -> str:
    columns = ("job", "s", "forward passes", "peak MB", "before, s", "before, passes", "before, peak MB", "times as fast")
    return table(columns, [(row["case"], *_cells(row["now"]), *_cells(row.get("before")), _ratio(row)) for row in rows])


def _cells(found: dict[str, float] | None) -> tuple[str, str, str]:
    if found is None:
        return "", "", ""
    passes, peak = found.get("passes"), found.get("peak_mb")
    seconds = found["cpu_s"]
    shown = f"{seconds:.2f}" if seconds >= 0.1 else f"{seconds:.9f}"
    return shown, "" if passes is None else f"{passes:.1f}", "" if peak is None else f"{peak:,.0f}"


def _ratio(row: dict[str, Any]) -> str:
    return f"{row['before']['cpu_s'] / row['now']['cpu_s']:.1f}" if "before" in row else ""


def main() -> None:
    rows = json.loads(Path(sys.argv[1]).read_text())
    PAGE.write_text(put(PAGE.read_text(), "whole-job", rows_of(rows)))


if __name__ == "__main__":
    main()
