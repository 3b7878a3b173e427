"""Curves of faults as a section of the page, a table of the terminal, a figure and plain values. Computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from rich.table import Table

from neuro import units
from neuro.faultcurves import KINDS, Curves
from neuro.report import figures
from neuro.report.page import Cell, Figure, Section, page_table
from neuro.report.result import plain, versions
from neuro.report.tables import table
from neuro.report.terminal import accuracy

_CAPTION = "Mean over seeds; bands from the least to the most; the broken line is the network without faults."


def fault_figure(curves: Curves) -> str:
    """Accuracy against rate, a line for each kind; what could not be run is left out."""
    ran = {kind: [p for p in curves.of(kind) if p.rate > 0 and p.accuracies] for kind in curves.kinds}
    lines = {
        kind: [(p.rate, p.accuracy, min(p.accuracies), max(p.accuracies)) for p in points]
        for kind, points in ran.items()
        if points
    }
    return figures.broken(lines, curves.healthy.accuracy, curves.measure)


def fault_section(curves: Curves) -> Section:
    """What the page says of faults."""
    names, rows = fault_rows(curves)
    cells = [[cell if isinstance(cell, str) else Cell(*cell) for cell in row] for row in rows]
    ran = any(p.accuracies for p in curves.points if p.rate > 0)
    drawn = (Figure(Markup(fault_figure(curves)), _CAPTION),) if ran else ()
    made = page_table(
        names, cells, numbers=(names[1], *names[3:]), caption="One kind of fault at a time; energy and latency of one inference."
    )
    return Section("faults", "When parts of the chip are broken", (_said(curves),), drawn, (made,), _refused(curves))


def fault_table(curves: Curves) -> Table:
    """The same for the terminal."""
    names, rows = fault_rows(curves)
    texts = [[cell if isinstance(cell, str) else cell[0] for cell in row] for row in rows]
    return table(_said(curves), names, texts, right=(names[1], *names[3:]))


def fault_values(curves: Curves) -> dict[str, Any]:
    """The same in plain values, without NaN."""
    whole = {"chip": curves.chip, "samples": curves.samples, "measure": curves.measure, "healthy": curves.healthy.accuracy}
    return {**whole, "points": [plain(point.to_row()) for point in curves.points], "versions": versions()}


def fault_rows(curves: Curves) -> tuple[Sequence[str], list[list[str | tuple[str, float]]]]:
    """Names of columns, and a row for each point above rate 0: texts, or texts with the number that orders them."""
    names = ("kind", "rate", "a share", curves.measure, "least", "most", "energy", "latency")
    shapes = {"accuracy": accuracy, "least": accuracy, "most": accuracy, "energy_pj": units.energy, "latency_ns": units.time}
    rows = []
    for point in (p for p in curves.points if p.rate > 0):
        values, unknown = plain(point.to_row()), units.UNKNOWN if point.accuracies else "-"
        cells = [unknown if values[name] is None else (write(values[name]), values[name]) for name, write in shapes.items()]
        rows.append([point.kind.replace("_", " "), (f"{point.rate:g}", point.rate), KINDS[point.kind].unit, *cells])
    return names, rows


def _said(curves: Curves) -> str:
    against = "" if curves.measure == "accuracy" else " with the answers of the network without faults"
    healthy = accuracy(curves.healthy.accuracy)
    return f"{curves.measure.capitalize()}{against} on {curves.chip}, {curves.samples:,} samples; without faults {healthy}"


def _refused(curves: Curves) -> tuple[str, ...]:
    return tuple(f"{p.kind.replace('_', ' ')} {p.rate:g}, {said}" for p in curves.points for said in p.refused)
