"""Figures of the machines: predictions against measurements, rooflines, energy against batch. Knows plain rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from neuro.report.svg import COLOURS, INK, draw

_QUIET = "#a0a8b0"  # machines that are there for comparison only
_MARKS = "os^Dv<>P"


def validation(points: Sequence[Mapping[str, Any]], quantity: str) -> str:
    """Predicted against measured for one quantity; each point predicted without its family. Rows as in `Validation.to_json`."""
    rows = [row for row in points if row["quantity"] == quantity]
    classes = list(dict.fromkeys(row["machine_class"] for row in rows))

    def paint(axes: Axes) -> None:
        both = [row[key] for row in rows for key in ("measured", "predicted")]
        ends = np.array([min(both) / 2, max(both) * 2])
        for factor, style in ((1.0, "-"), (1.3, ":"), (1 / 1.3, ":")):
            axes.plot(ends, factor * ends, style, color=INK, linewidth=0.8)
        for index, name in enumerate(classes):
            mine = [row for row in rows if row["machine_class"] == name]
            colour = COLOURS[index % len(COLOURS)]
            axes.plot([r["measured"] for r in mine], [r["predicted"] for r in mine], "o", color=colour, markersize=4, label=name)
        unit = rows[0]["unit"]
        axes.set(xscale="log", yscale="log", xlabel=f"measured ({unit})", ylabel=f"predicted ({unit})", xlim=ends, ylim=ends)
        axes.legend(fontsize=7)

    return draw(
        f"validation-{quantity.replace(' ', '-')}", f"Predicted against measured {quantity}, held out; dotted: 30 %", paint
    )


def roofline(data: Mapping[str, Sequence[Mapping[str, Any]]], machines: Sequence[str], batch: int) -> str:
    """Every roof and every workload placed on it at one batch, those of `machines` in colour. Data of `survey.roofline`."""
    workloads = list(dict.fromkeys(point["workload"] for point in data["points"]))
    mark_of = dict(zip(workloads, _MARKS, strict=False))
    roofs = sorted(data["roofs"], key=lambda roof: roof["machine"] in machines)  # colour on top of grey

    def paint(axes: Axes) -> None:
        reach = np.geomspace(0.3, 1e4, 200)
        for roof in roofs:
            shown = roof["machine"] in machines
            colour = COLOURS[machines.index(roof["machine"]) % len(COLOURS)] if shown else _QUIET
            height = np.minimum(roof["peak_flop_per_s"], reach * roof["bytes_per_s"])
            axes.plot(reach, height, color=colour, linewidth=1.2 if shown else 0.4, label=roof["machine"] if shown else None)
            for p in (p for p in data["points"] if p["machine"] == roof["machine"] and p["batch"] == batch):
                mark = mark_of.get(p["workload"], "o")
                axes.plot(p["flop_per_byte"], p["flop_per_s"], mark, color=colour, markersize=5 if shown else 2)
        for workload, mark in mark_of.items():
            axes.plot([], [], mark, color=INK, markersize=5, label=workload)
        axes.set(xscale="log", yscale="log", xlabel="FLOP (= 2 x MAC) per byte", ylabel="FLOP (= 2 x MAC) per second")
        axes.legend(fontsize=6, ncol=2)

    return draw("roofline", f"Rooflines of all machines, workloads at batch {batch}", paint, height_in=4.2)
