"""Compute the tables and figures of docs/machines.md and put them there: python -m docs.refresh_machines."""

from __future__ import annotations

from pathlib import Path

from docs.page import table
from neuro.machines.blouw_claim import blouw_claim
from neuro.machines.heldout import COLUMNS
from neuro.machines.machine import list_machines, load_machine
from neuro.machines.parameters import calibrated
from neuro.machines.ready import ready_workload
from neuro.machines.survey import roofline, table_one, table_three, table_two
from neuro.machines.survey_spikes import table_two_spikes
from neuro.machines.validation import Validation, validate
from neuro.machines.whatif import what_if
from neuro.report import figures_machines, tables_machines

DOCS = Path(__file__).parent
GREY = "#768390"  # legible on white and on black
ROOFS = ("a100", "h100", "tpu-v1", "tpu-v4", "stratix-10-nx", "vck5000", "xeon", "orin")


def untitled(plain: tables_machines.Plain) -> str:
    return table(*plain[1:])


def parameters() -> str:
    rows = [
        (f"{section}.{name}", f"{figure.value:g}", figure.unit, figure.basis, figure.source)
        for section, figures in sorted(calibrated().items())
        for name, figure in figures.items()
    ]
    return table(("parameter", "value", "unit", "basis", "source"), rows)


def catalogue() -> str:
    found = [load_machine(name) for name in list_machines()]
    return table(
        ("name", "machine", "year", "model", "formats", "backed by"),
        [(m.name, m.title, m.year, m.kind, ", ".join(m.precisions), m.validated or "not validated") for m in found],
    )


def blocks(found: Validation) -> dict[str, str]:
    """What stands between the markers of docs/machines.md, by name."""
    return {
        "errors": untitled(tables_machines.errors(found)),
        "unused": untitled(tables_machines.unused(found)),
        "parameters": parameters(),
        "table 1": untitled(tables_machines.survey_one(table_one())),
        "table 2": untitled(tables_machines.survey_two(table_two())),
        "table 2 spikes": untitled(tables_machines.survey_two_spikes(table_two_spikes())),
        "table 3": untitled(tables_machines.survey_three(table_three())),
        "rooflines": untitled(tables_machines.rooflines(roofline())),
        "what if": untitled(tables_machines.what_if(what_if(ready_workload("resnet50"), load_machine("a100"), batch=64))),
        "blouw_claim": untitled(tables_machines.blouw_claim(blouw_claim())),
        "catalogue": catalogue(),
    }


def figures(found: Validation) -> dict[str, str]:
    """The figures by file name."""
    points = found.to_json()["points"]
    drawn = {
        f"machines_{quantity}.svg": figures_machines.validation(points, quantity)
        for quantity in ("throughput", "latency", "energy")
    }
    return {**drawn, "machines_roofline.svg": figures_machines.roofline(roofline(), ROOFS, batch=64)}


def held_out(found: Validation) -> str:
    """What neuro/machines/held_out.csv holds."""
    rows = ([getattr(e, name) for name in COLUMNS] for e in found.errors)
    lines = [",".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row) for row in rows]
    return "\n".join([",".join(COLUMNS), *lines]) + "\n"


def main() -> None:
    found = validate()
    (DOCS.parent / "neuro" / "machines" / "held_out.csv").write_text(held_out(found))
    page = (DOCS / "machines.md").read_text()
    for name, text in blocks(found).items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, rest = page.split(start)
        page = before + start + text + "\n" + end + rest.split(end)[1]
    (DOCS / "machines.md").write_text(page)
    for name, drawn in figures(found).items():
        svg = drawn.replace("currentColor", GREY).replace("<svg ", '<svg font-family="sans-serif" ', 1)
        (DOCS / name).write_text(svg + "\n")


if __name__ == "__main__":
    main()
