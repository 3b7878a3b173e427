"""Tables of the machines as text, for the terminal and for docs/machines.md. Knows rows of plain values, nothing of models.

Every function returns (title, columns, rows of text), as `neuro.report.tables.table` takes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from neuro.machines.validation import Validation

Plain = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
Rows = Iterable[Mapping[str, Any]]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _number(value: float | None, form: str, unknown: str = "unknown") -> str:
    return unknown if value is None else format(value, form)


def errors(found: Validation) -> Plain:
    """Held-out errors by class and quantity."""
    columns = ("class", "quantity", "numbers", "families", "mean", "largest", "bias", "bar", "note")
    rows: list[tuple[str, ...]] = [
        (
            *(e.machine_class, e.quantity, str(e.points), str(e.families), percent(e.mean_error), percent(e.max_error)),
            *(f"{100 * e.bias:+.1f} %", "" if e.bar is None else f"{percent(e.bar)} {'met' if e.within else 'missed'}", e.note),
        )
        for e in found.errors
    ]
    return "Errors on machines that the models were not fitted on", columns, rows


def unused(found: Validation) -> Plain:
    """Points that could not be used, by reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in found.unused:
        reasons.setdefault(re.sub(r"^point '[^']*', ", "", reason), []).append(name)
    rows: list[tuple[str, ...]] = [
        (str(len(names)), f"{names[0]}{', ...' if len(names) > 1 else ''}", reason) for reason, names in reasons.items()
    ]
    return "Points that could not be used", ("points", "such as", "reason"), rows


def survey_one(rows: Rows) -> Plain:
    """Table I, from `survey.table_one`."""
    columns = ("machine", "format", "images/s", "printed", "ms at batch 1", "printed ms", "W", "printed W")
    text: list[tuple[str, ...]] = [
        (
            *(r["machine"], r["precision"], f"{r['throughput_per_s']:,.0f} at batch {r['throughput_batch']}"),
            *(
                _number(r["printed_throughput_per_s"], ",", ""),
                f"{r['latency_ms']:.3g}",
                _number(r["printed_latency_ms"], "", ""),
            ),
            *(_number(r["power_w"], ".3g"), _number(r["printed_power_w"], "", ""), _number(r["energy_mj"], ".3g")),
            *(r["measured"] or "nothing public", r["basis"], r["note"]),
        )
        for r in rows
    ]
    return "Table I, ResNet-50", (*columns, "mJ an image", "measured", "basis", "note"), text


def survey_two(rows: Rows) -> Plain:
    """Table II, from `survey.table_two`."""
    columns = ("workload", "parameters", "MAC", "FLOP = 2 x MAC", "printed", "which is", "FP32 weights, MiB", "printed MB")
    text: list[tuple[str, ...]] = [
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
        for r in rows
    ]
    return "Table II, workloads", (*columns, "FLOP/byte FP32", "INT8", "FP32, batch 128", "printed FLOP/byte"), text


def survey_two_spikes(rows: Rows) -> Plain:
    """Table II as spikes, from `survey_spikes.table_two_spikes`."""
    rows = list(rows)
    machines = [key.removesuffix("_energy_mj") for key in (rows[0] if rows else {}) if key.endswith("_energy_mj")]
    columns = ("workload", "cores", "chips", "boards", "messages", "synops", "products", "ms", "mJ", "pipelined: 1/s", "mJ")
    beside = [(f"{key.replace('_batch_', ', batch ')}: {'ms' if key.endswith('_1') else '1/s'} / mJ", key) for key in machines]
    text: list[tuple[str, ...]] = [
        (
            *(r["name"], *(f"{r[key]:,}" for key in ("cores", "chips", "boards", "messages", "synops", "products"))),
            *(f"{r[key]:,.4g}" for key in ("latency_ms", "energy_mj", "pipelined_per_s", "pipelined_mj")),
            *(
                f"{_number(r[f'{key}_{speed}'], ',.3g')} / {_number(r[f'{key}_energy_mj'], ',.3g')}"
                for key, speed in ((key, "latency_ms" if key.endswith("_1") else "per_s") for key in machines)
            ),
            r["where_the_chip_loses"],
        )
        for r in rows
    ]
    named = (*columns, *(title for title, _ in beside), "where the chip loses")
    return "Table II as spikes, per inference, random weights", named, text


def survey_three(rows: Rows) -> Plain:
    """Table III, from `survey.table_three`."""
    names = ("training", "inference", "edge")
    text: list[tuple[str, ...]] = [
        (r["requirement"], *(f"{r[name]} (printed: {r[f'printed_{name}']})" for name in names)) for r in rows
    ]
    return "Table III, needs, asked of the catalogue", ("requirement", *names), text


def rooflines(data: Mapping[str, Sequence[Mapping[str, Any]]], batch: int = 64) -> Plain:
    """Roofs and what each workload reaches under them, from `survey.roofline`."""
    workloads = list(dict.fromkeys(point["workload"] for point in data["points"]))
    reached = {(p["machine"], p["workload"]): p["flop_per_s"] for p in data["points"] if p["batch"] == batch}
    text: list[tuple[str, ...]] = [
        (
            *(r["machine"], r["precision"], f"{r['peak_flop_per_s'] * 1e-12:.4g}", f"{r['bytes_per_s'] * 1e-9:,.4g}"),
            f"{r['ridge_flop_per_byte']:.3g}",
            *(
                _number(_share(reached.get((r["machine"], name)), r["peak_flop_per_s"]), ".1%", "does not fit")
                for name in workloads
            ),
        )
        for r in data["roofs"]
    ]
    columns = ("machine", "format", "peak TFLOP/s (= 2 x MAC)", "GB/s", "ridge, FLOP/byte")
    return f"Rooflines; share of peak reached at batch {batch}", (*columns, *workloads), text


def _share(reached: float | None, peak: float) -> float | None:
    return None if reached is None else reached / peak


def what_if(rows: Rows) -> Plain:
    """Switches and what they would change, from `whatif.what_if`."""
    text: list[tuple[str, ...]] = []
    for r in rows:
        ratios = [f"{r[key]:.2f}" if r.get(key) else "" for key in ("throughput_ratio", "faster", "energy_ratio")]
        text.append((r["what_if"], *ratios, r.get("leaves_out", r.get("not_possible", ""))))
    return "What if; ratios to the machine as it is", ("switch", "throughput", "speed", "energy", "what it leaves out"), text


def blouw_claim(rows: Rows) -> Plain:
    """Dynamic energy relative to Loihi's, from `blouw_claim.blouw_claim`: a row per device, a column per batch."""
    ratios: dict[str, dict[int, float]] = {}
    for row in rows:
        ratios.setdefault(row["device"], {})[row["batch"]] = row["dynamic_ratio"]
    batches = sorted({batch for found in ratios.values() for batch in found})
    text = [(device, *(_number(found.get(batch), ".3g", "") for batch in batches)) for device, found in ratios.items()]
    return "Dynamic energy of a keyword relative to Loihi's, as measured", ("device", *(f"batch {b}" for b in batches)), text
