"""Compute the tables and figures of docs/machines.md and put them there: python docs/refresh_machines.py."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from neuro.machines.heldout import COLUMNS
from neuro.machines.machine import list_machines, load_machine
from neuro.machines.parameters import calibrated
from neuro.machines.ready import ready_workload
from neuro.machines.survey import roofline, table_one, table_three, table_two
from neuro.machines.validation import Validation, validate
from neuro.machines.whatif import what_if
from neuro.report import figures_machines

DOCS = Path(__file__).parent
GREY = "#768390"  # legible on white and on black
ROOFS = ("a100", "h100", "tpu-v1", "tpu-v4", "stratix-10-nx", "vck5000", "xeon", "orin")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def errors(found: Validation) -> str:
    rows = [
        (
            *(e.machine_class, e.quantity, e.points, e.families, percent(e.mean_error), percent(e.max_error)),
            *(f"{100 * e.bias:+.1f} %", "" if e.bar is None else f"{percent(e.bar)} {'met' if e.within else 'missed'}", e.note),
        )
        for e in found.errors
    ]
    return table(("class", "quantity", "numbers", "families", "mean", "largest", "bias", "bar", "note"), rows)


def unused(found: Validation) -> str:
    reasons: dict[str, list[str]] = {}
    for name, reason in found.unused:
        said = re.sub(r"^point '[^']*', ", "", reason)
        reasons.setdefault(said, []).append(name)
    return "\n".join(
        f"- {len(names)} ({names[0]}{', ...' if len(names) > 1 else ''}): {reason}" for reason, names in reasons.items()
    )


def parameters() -> str:
    rows = [
        (f"{section}.{name}", f"{figure.value:g}", figure.unit, figure.basis, figure.source)
        for section, figures in sorted(calibrated().items())
        for name, figure in figures.items()
    ]
    return table(("parameter", "value", "unit", "basis", "source"), rows)


def survey_one() -> str:
    def number(value: float | None, form: str) -> str:
        return "unknown" if value is None else format(value, form)

    def printed(value: float | None) -> str:
        return "" if value is None else f"{value:,}"

    rows = [
        (
            *(r["machine"], r["precision"], number(r["throughput_per_s"], ",.0f"), printed(r["printed_throughput_per_s"])),
            *(number(r["latency_ms"], ".3g"), printed(r["printed_latency_ms"])),
            *(number(r["power_w"], ".3g"), printed(r["printed_power_w"])),
            *(number(r["energy_mj"], ".3g"), r["measured"] or "nothing public", r["basis"], r["note"]),
        )
        for r in table_one()
    ]
    columns = ("machine", "format", "images/s at batch 256", "printed", "ms at batch 1", "printed ms", "W", "printed W")
    return table((*columns, "mJ an image", "measured", "basis", "note"), rows)


def survey_two() -> str:
    rows = [
        (
            *(
                r["workload"],
                f"{r['parameters']:,}",
                f"{r['macs']:,}",
                f"{r['flop']:.4g}",
                f"{r['printed_gflops']:,} G",
                r["printed_is"],
            ),
            *(
                f"{r['weights_mib']:,.1f}",
                f"{r['printed_megabytes']:,}",
                f"{r['intensity_fp32']:.3g}",
                f"{r['intensity_int8']:.3g}",
            ),
            *(f"{r['intensity_fp32_batch_128']:.3g}", f"{r['printed_intensity']:,}"),
        )
        for r in table_two()
    ]
    columns = ("workload", "parameters", "MAC", "FLOP = 2 x MAC", "printed", "which is", "FP32 weights, MiB", "printed")
    return table((*columns, "FLOP/byte FP32", "INT8", "FP32, batch 128", "printed"), rows)


def survey_three() -> str:
    names = ("training", "inference", "edge")
    rows = [(r["requirement"], *(f"{r[name]} (printed: {r[f'printed_{name}']})" for name in names)) for r in table_three()]
    return table(("requirement", *names), rows)


def switches() -> str:
    rows = []
    for r in what_if(ready_workload("resnet50"), load_machine("a100"), batch=64):
        ratios = [f"{r[key]:.2f}" for key in ("throughput_ratio", "energy_ratio")] if "not_possible" not in r else ["", ""]
        rows.append((r["what_if"], *ratios, r.get("leaves_out", r.get("not_possible", ""))))
    return table(("switch", "throughput", "energy", "what it leaves out"), rows)


def catalogue() -> str:
    found = [load_machine(name) for name in list_machines()]
    return table(
        ("name", "machine", "year", "model", "formats", "backed by"),
        [(m.name, m.title, m.year, m.kind, ", ".join(m.precisions), m.validated or "not validated") for m in found],
    )


def blocks(found: Validation) -> dict[str, str]:
    """What stands between the markers of docs/machines.md, by name."""
    return {
        "errors": errors(found),
        "unused": unused(found),
        "parameters": parameters(),
        "table 1": survey_one(),
        "table 2": survey_two(),
        "table 3": survey_three(),
        "what if": switches(),
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
