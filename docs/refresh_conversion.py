"""Compute the tables and figures of docs/conversion.md: python -m docs.refresh_conversion [--benchmark FILE ...].

Each FILE holds rows of `python benchmarks/conversion.py --json FILE`; without one the measured tables stay as they are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import converters
from docs.page import put, table
from neuro.digits.data import load_digits
from neuro.digits.model import train
from neuro.report.figures_conversion import losses, rates
from neuro.report.svg import alone

DOCS = Path(__file__).parent
Row = dict[str, Any]
NETWORKS = ("digits", "spoken_digits", "sinabs_mnist_cnn", "mlperf_kws_dscnn", "cifar_resnet20")
EASY = NETWORKS[:3]
# (what is asked for, networks, code, T, steps of refine, points that may be lost); see "What is asked for" on the page
BAR = (
    ("graded", NETWORKS, "graded", 1, 0, 0.3),
    ("radix, 8 digits", NETWORKS, "radix", 8, 0, 0.3),
    ("signed, T = 16", EASY, "signed", 16, 0, 0.5),
    ("signed, T = 4", EASY, "signed", 4, 0, 2.0),
    ("signed, T = 16", ("mlperf_kws_dscnn",), "signed", 16, 0, 2.0),
    ("signed, T = 32", ("mlperf_kws_dscnn",), "signed", 32, 0, 0.5),
    ("signed, T = 32, refined", ("mlperf_kws_dscnn",), "signed", 32, 150, 0.5),
    ("radix, 6 digits", ("mlperf_kws_dscnn",), "radix", 6, 0, 0.5),
    ("signed, T = 16", ("cifar_resnet20",), "signed", 16, 0, 1.0),
)


def lost(row: Row) -> float:
    """Percentage points lost against the float network on the same samples."""
    return 100 * (row["accuracy_ann"] - row["accuracy_snn"])


def measured(rows: list[Row], network: str) -> str:
    """One network's table."""
    mine = [row for row in rows if row["network"] == network]
    ours = [row for row in mine if row["synops"] is not None]
    first = ours[0]
    head = (
        f"`{network}`: {first['samples']:,} samples, float network {100 * first['accuracy_ann']:.2f} %, "
        f"{first['macs_ann']:,} multiply-accumulates."
    )
    cells = [
        (
            row["code"] + (", refined" if row["refine"] else ""),
            row["timesteps"],
            row["weight_bits"],
            f"{100 * row['accuracy_snn']:.2f}",
            f"{lost(row):+.2f}",
            f"{row['spikes']:,.0f}",
            "-" if row["synops"] is None else f"{row['synops']:,.0f}",
            "-" if row["synops"] is None else f"{row['synops'] / row['macs_ann']:.2f}",
        )
        for row in mine
    ]
    columns = ("code", "T", "weight bits", "accuracy (%)", "points lost", "spikes", "synops", "synops / MACs")
    return f"{head}\n\n{table(columns, cells)}"


def bar(rows: list[Row]) -> str:
    """What was asked for beside what was measured, 8-bit weights."""
    known = {(r["network"], r["code"], r["timesteps"], r["refine"]): r for r in rows if r["weight_bits"] == 8}
    cells = []
    for name, networks, code, timesteps, refine, allowed in BAR:
        keys = [(network, code, timesteps, refine) for network in networks]
        for row in (known[key] for key in keys if key in known):
            cells.append(
                (name, f"`{row['network']}`", allowed, f"{lost(row):+.2f}", "yes" if lost(row) <= allowed + 1e-9 else "no")
            )
    return table(("code", "network", "points allowed", "points lost", "met"), cells)


def peers(rows: list[Row]) -> str:
    """The toy networks: our codes and SpikingJelly's recipes at equal T."""
    theirs = [row for row in rows if row["code"].startswith("SpikingJelly")]
    ours = [r for r in rows if r["code"] in ("rate", "signed", "wait") and not r["refine"] and r["weight_bits"] == 8]
    cells = []
    for network in dict.fromkeys(row["network"] for row in theirs):
        for code in dict.fromkeys(row["code"] for row in (*ours, *theirs)):
            found = {r["timesteps"]: r for r in (*ours, *theirs) if r["network"] == network and r["code"] == code}
            steps = (f"{100 * found[t]['accuracy_snn']:.2f}" if t in found else "-" for t in (4, 8, 16, 32))
            cells.append((f"`{network}`", code, *steps))
    return table(("network", "converter", "T = 4", "8", "16", "32"), cells)


def diagnosed() -> str:
    """The digits network at few levels, layer by layer; draws the figures."""
    digits = load_digits()
    found = converters.convert(train(digits), digits.x_train[:256], code="rate", timesteps=8).diagnosis
    (DOCS / "conversion_losses.svg").write_text(alone(losses(found.rows())))
    (DOCS / "conversion_rates.svg").write_text(alone(rates(found.rows())))
    names = ("error", "inherited", "clipping", "rounding", "timing", "over", "under", "cosine")
    layers = table(("layer", *names), [(f"`{r['name']}`", *(f"{r[n]:.4f}" for n in names)) for r in found.rows()])
    ablations = [(s.cause, f"{s.error:.5f}", f"{s.gain:.5f}", f"{100 * s.agreement:.1f} %") for s in found.ablations]
    return f"{layers}\n\n{table(('taken away', 'error of the outputs', 'gain', 'same decision'), ablations)}\n\n{found.advice}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", type=Path, nargs="*", default=[], help="rows of benchmarks/conversion.py")
    arguments = parser.parse_args()
    page = put((DOCS / "conversion.md").read_text(), "diagnosis", diagnosed())
    rows = [row for path in arguments.benchmark for row in json.loads(path.read_text())]
    if rows:
        known = [name for name in NETWORKS if any(row["network"] == name for row in rows)]
        page = put(page, "bar", bar(rows))
        page = put(page, "measured", "\n\n".join(measured(rows, name) for name in known))
        page = put(page, "peers", peers(rows))
    (DOCS / "conversion.md").write_text(page)


if __name__ == "__main__":
    main()
