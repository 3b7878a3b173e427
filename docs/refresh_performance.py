"""Put the rows of `python benchmarks/engine.py --json FILE` on docs/performance.md: python -m docs.refresh_performance FILE."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from docs.page import put, table

PAGE = Path(__file__).parent / "performance.md"
README = Path(__file__).parent.parent / "README.md"


def rows_of(rows: Sequence[dict[str, Any]]) -> str:
    columns = ("case", "threads", "million synops", "ms", "G synops/s", "bare kernel, G/s", "ratio", "G updates/s", "peak MB")
    cells = [
        (
            m["case"].removeprefix("kernel: "),
            m["threads"],
            f"{m['synops'] / 1e6:,.1f}",
            f"{m['seconds'] * 1e3:.2f}",
            f"{m['synops_per_s'] / 1e9:.1f}",
            f"{m['roof_synops_per_s'] / 1e9:.1f}",
            f"{m['roof_ratio']:.2f}",
            f"{m['updates_per_s'] / 1e9:.2f}" if m["updates_per_s"] else "",
            f"{m['peak_mb']:,.0f}",
        )
        for m in rows
    ]
    return table(columns, cells)


def threads(rows: Sequence[dict[str, Any]]) -> str:
    one, two = ({m["case"]: m["seconds"] for m in rows if m["threads"] == n} for n in (1, 2))
    return table(("network", "two threads against one"), [(case, f"{one[case] / two[case]:.2f}") for case in two])


def peers(rows: Sequence[dict[str, Any]]) -> str:
    columns = ("workload", "peer", "peer, ms", "event engine, ms", "times as fast")
    cells = [
        (m["case"], m["peer"], f"{m['peer_seconds'] * 1e3:.1f}", f"{m['wall_seconds'] * 1e3:.2f}", _ratio(m))
        for m in rows
        if "peer_seconds" in m
    ]
    return table(columns, cells)


def _ratio(m: dict[str, Any]) -> str:
    return f"{m['peer_seconds'] / m['wall_seconds']:.1f}"


def speed(rows: Sequence[dict[str, Any]]) -> str:
    """The README's line: ratios of one thread, of this run."""
    ratios = [m["roof_ratio"] for m in rows if m["threads"] == 1 and not m["case"].startswith("workload")]
    times = " and ".join(_ratio(m) for m in rows if "peer_seconds" in m)
    return (
        f"| speed | whole convolutional networks run, exactly, at {min(ratios):.2f} to {max(ratios):.2f} times the speed of bare "
        f"loops that only add the same weights; {times} times as fast as Brian2's C++ on two public workloads "
        "([performance](docs/performance.md)) |"
    )


def main() -> None:
    rows = json.loads(Path(sys.argv[1]).read_text())
    kernels = [m for m in rows if m["case"].startswith("kernel")]
    wholes = [m for m in rows if not m["case"].startswith("kernel")]
    page = PAGE.read_text()
    for name, text in (
        ("machine", rows[0]["machine"]),
        ("kernels", rows_of(kernels)),
        ("runs", rows_of(wholes)),
        ("threads", threads(wholes)),
        ("peers", peers(wholes)),
    ):
        page = put(page, name, text)
    PAGE.write_text(page)
    lines = (speed(wholes) if line.startswith("| speed |") else line for line in README.read_text().splitlines())
    README.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
