"""Compute the tables and figures of docs/chip.md and put them there: python -m docs.refresh_chip [--benchmark FILE].

The benchmark's table comes from FILE, written by `python benchmarks/chip.py --json FILE`; that of the run on a Loihi 2 from the
file of `--loihi2`, written by `python benchmarks/silicon.py --json FILE`; that of TrueNorth from the file of `--truenorth`,
written by `python benchmarks/truenorth.py --mnist MNIST --json FILE`. Without them these tables stay.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import neuro
from docs.page import put, table
from neuro.chip.spec import all_keys
from neuro.report.figures_chip import pictures
from neuro.report.svg import alone

DOCS = Path(__file__).parent
LOIHI = ("loihi1-davies2018", "loihi1-nahuku", "loihi2", "loihi2-oheo")


def presets() -> str:
    chips = [neuro.load_chip(name) for name in neuro.list_chips()]
    rows = [(f"`{c.name}`", f"{c.usable_cores:,}", f"{c.core.neurons:,}", c.scope, c.caution) for c in chips]
    return table(("chip", "cores", "neurons a core", "scope of its energies", "not fit for"), rows)


def _spelt(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_spelt(v) if not isinstance(v, tuple) else " at ".join(map(_spelt, reversed(v))) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def prices() -> str:
    chips = [neuro.load_chip(name) for name in LOIHI]
    keys = [k for k in all_keys() if k.startswith(("energy.", "time.", "power.")) and any(c.value(k) is not None for c in chips)]

    def cell(chip: neuro.Chip, key: str) -> str:
        value = chip.value(key)
        return "unknown" if value is None else f"{_spelt(value)} ({chip.origin[key].basis})"

    units = {key: next(c.origin[key].unit for c in chips if key in c.origin) for key in keys}
    return table(("price", "unit", *LOIHI), [(key, units[key], *(cell(c, key) for c in chips)) for key in keys])


def limits() -> str:
    chips = [neuro.load_chip(name) for name in ("loihi1-nahuku", "loihi2", "loihi2-oheo", "truenorth", "spinnaker2", "speck")]
    keys = [k for k in all_keys() if k.startswith(("core.", "neuron."))]
    rows = [(key, *("unknown" if c.value(key) is None else _spelt(c.value(key)) for c in chips)) for key in keys]
    return table(("limit", *(c.name for c in chips)), rows)


def silicon() -> str:
    sys.path.insert(0, str(DOCS.parent / "benchmarks"))
    import chip as benchmark

    return rows_of(list(benchmark.prices()))


def rows_of(rows: Sequence[dict[str, Any]]) -> str:
    cells = [(r["case"], r["metric"], f"{r['value']:,.4g}", r["unit"], r["against"]) for r in rows]
    return table(("case", "metric", "value", "unit", "against"), cells)


def north(rows: Sequence[dict[str, Any]]) -> str:
    sys.path.insert(0, str(DOCS.parent / "benchmarks"))
    import truenorth as benchmark

    return benchmark.printed([benchmark.Row(**row) for row in rows])


def draw() -> None:
    """The figures of one placed network."""
    sys.path.insert(0, str(DOCS.parent / "benchmarks"))
    from chip_networks import small_convnet

    network = small_convnet()
    inputs = np.random.default_rng(0).integers(0, 256, (4, *network.populations[0].shape))
    chip_run = neuro.emulate(network, neuro.place(network, neuro.load_chip("loihi2")), inputs, noc="packet")
    for name, drawn in pictures(chip_run).items():
        (DOCS / f"chip_{name}.svg").write_text(alone(drawn))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmark", type=Path, help="rows of benchmarks/chip.py")
    parser.add_argument("--loihi2", type=Path, help="rows of benchmarks/silicon.py")
    parser.add_argument("--truenorth", type=Path, help="rows of benchmarks/truenorth.py")
    arguments = parser.parse_args()
    page = (DOCS / "chip.md").read_text()
    for name, text in (("presets", presets()), ("prices", prices()), ("limits", limits()), ("silicon", silicon())):
        page = put(page, name, text)
    if arguments.benchmark:
        found = [r for r in json.loads(arguments.benchmark.read_text()) if not r["case"].startswith("Blouw")]
        page = put(page, "benchmark", rows_of(found))
    if arguments.loihi2:
        page = put(page, "loihi2", rows_of(json.loads(arguments.loihi2.read_text())))
    if arguments.truenorth:
        page = put(page, "truenorth", north(json.loads(arguments.truenorth.read_text())))
    draw()
    (DOCS / "chip.md").write_text(page)


if __name__ == "__main__":
    main()
