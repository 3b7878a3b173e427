"""An optimisation as text: its figure, its terminal tables, its HTML page. Computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from rich.console import Group
from rich.text import Text

from neuro import units
from neuro.optimising.elsewhere import ElsewhereRow
from neuro.optimising.found import COLUMNS, Optimised, OptimisedPoint
from neuro.optimising.search import Found
from neuro.report.figures import log_ticks, percents
from neuro.report.page import Card, Figure, Page, Section, page_table, write_page
from neuro.report.svg import COLOURS, HEIGHT_IN, INK, draw
from neuro.report.tables import table

_NUMBERS = COLUMNS[2:-1]
_LAYERS = ("layer", "channels", "messages", "arriving", "updates", "sending", "weights", "not zero", "bits")
_ELSEWHERE = ("point", "machine", "latency", "faster", "energy", "less", "note")


def front_figure(found: Optimised) -> str:
    """Every point by dynamic energy and accuracy; a line joins those that no other beats in these two. Dashed: the float
    network."""
    points = [(p.measured.dynamic_pj, 100 * p.measured.accuracy) for p in found.points]
    best = sorted(p for p in points if not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in points))

    def paint(axes: Axes) -> None:
        axes.step(*zip(*best, strict=True), where="post", color=INK, linewidth=1, alpha=0.5)
        for point, (x, y) in zip(found.points, points, strict=True):
            axes.plot(x, y, "D" if (x, y) in best else "o", color=COLOURS[1 if point is found.best else 0], markersize=7)
            axes.annotate(str(point.number), (x, y), textcoords="offset points", xytext=(6, 5), fontsize=7, color=INK)
        axes.axhline(100 * found.accuracy_ann, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlabel="dynamic energy per inference", ylabel="accuracy (%)", xscale="log")
        log_ticks(axes.xaxis, [x for x, _ in points], units.energy)
        axes.margins(x=0.1, y=0.15)
        percents(axes)

    return draw("front", "Accuracy against dynamic energy of every point", paint, height_in=HEIGHT_IN + 0.3)


def terminal(found: Optimised, rows: Sequence[ElsewhereRow] = ()) -> Group:
    """The points, the chosen one by layer beside the start, and the same networks on other machines."""
    title = Text(f"{found.title} on {found.chip}: {found.verdict}", style="bold")
    shown = table("", COLUMNS, found.words(), right=_NUMBERS)
    shown.title = None
    parts: list[Any] = [title, shown]
    if found.best is not found.start:
        parts.append(
            table(f"By layer, start -> point {found.best.number}", _LAYERS, by_layer(found, found.best), right=_LAYERS[1:])
        )
    if rows:
        parts.append(table("The same networks elsewhere, batch 1", _ELSEWHERE, elsewhere_words(rows), right=_ELSEWHERE[2:6]))
    return Group(*parts)


def search_terminal(found: Found) -> Group:
    """The points of all trials that no other beats."""
    title, columns, rows = found._shown()
    shown = table("", columns, rows, right=columns[2:])
    shown.title = None
    return Group(Text(title, style="bold"), shown)


def by_layer(found: Optimised, point: OptimisedPoint) -> list[list[str]]:
    """Rows of each population: what it was at the start and what it is at the point."""
    after = {layer.name: layer for layer in point.measured.layers}
    rows = []
    for old in found.start.measured.layers:
        new = after.get(old.name)
        if new is None:
            continue
        energies = [(old.synapse_pj, new.synapse_pj), (old.update_pj, new.update_pj), (old.send_pj, new.send_pj)]
        counted = [(old.weights, new.weights), (old.nonzero, new.nonzero)]
        rows.append(
            [
                old.name,
                _change(str(old.channels), str(new.channels)),
                _change(units.count(round(old.messages)), units.count(round(new.messages))),
                *(_change(units.energy(a), units.energy(b)) for a, b in energies),
                *(_change(units.count(a), units.count(b)) for a, b in counted),
                _change(str(old.weight_bits), str(new.weight_bits)),
            ]
        )
    return rows


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def elsewhere_words(rows: Sequence[ElsewhereRow]) -> list[list[str]]:
    """Rows below the heads of the table of other machines."""
    return [
        [
            str(row.point),
            row.machine,
            units.time(row.latency_ns),
            f"{row.faster:.2f}x",
            units.energy(row.energy_pj),
            "-" if row.less is None else f"{row.less:.2f}x",
            row.note,
        ]
        for row in rows
    ]


def write_optimised_page(path: Path, found: Optimised, rows: Sequence[ElsewhereRow] = ()) -> None:
    """Write the optimisation as one offline HTML file, whole or not at all."""
    write_page(path, page(found, rows))


def page(found: Optimised, rows: Sequence[ElsewhereRow] = ()) -> Page:
    """Headline, front, points, layers, other machines."""
    best, start = found.best, found.start
    against = "accuracy" if found.labelled else "agreement with the float network"
    cards = (
        Card("start", units.energy(start.measured.dynamic_pj), units.percent(start.measured.accuracy)),
        Card("chosen", units.energy(best.measured.dynamic_pj), units.percent(best.measured.accuracy)),
        Card("less dynamic energy", f"{found.less(best):.2f}x", f"point {best.number}"),
    )
    lede = (f"{found.verdict}. {start.measured.samples:,} validation samples, {against}.",)
    caption = "Diamonds and the line: points that no other beats in accuracy and dynamic energy. Dashed: the float network."
    points = page_table(COLUMNS, found.words(), numbers=_NUMBERS, caption="In the order in which they were made.")
    sections = [Section("front", "Points", (), (Figure(Markup(front_figure(found)), caption),), (points,))]
    for point in found.points[1:]:
        rows_of = page_table(_LAYERS, by_layer(found, point), numbers=_LAYERS[1:], caption=str(point.recipe["how"]))
        sections.append(Section(f"point{point.number}", f"Point {point.number} by layer", tables=(rows_of,)))
    if rows:
        made = page_table(
            _ELSEWHERE, elsewhere_words(rows), numbers=_ELSEWHERE[2:6], caption="Batch 1; ratios to the start there."
        )
        sections.append(Section("elsewhere", "The same networks on other machines", tables=(made,)))
    settings = found.to_json()["plan"]["settings"]
    told = ", ".join(f"{name} {value}" for name, value in settings.items() if value != "")
    sections.append(Section("reproduce", "To reproduce", points=(told,)))
    return Page(f"{found.title} on {found.chip}", lede, cards, (), tuple(sections))
