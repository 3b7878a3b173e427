"""A sweep as text: its figures, its terminal table, its HTML page. Computes nothing but what lies on a front of two goals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from neuro import units
from neuro.codes import CODES
from neuro.report.figures import log_ticks, pareto, percents
from neuro.report.page import Card, Cell, Figure, Page, Section, page_table, write_page
from neuro.report.svg import ABOVE, COLOURS, HEIGHT_IN, INK, draw
from neuro.report.tables import table
from neuro.sweeping.found import COLUMNS, Sweep, SweepPoint, words
from neuro.sweeping.measure import Measured

Goal = Callable[[Measured], float]
_GOALS: dict[str, tuple[Goal, Callable[[float], str], str]] = {
    "energy": (lambda m: m.energy_pj, units.energy, "total energy per inference"),
    "latency": (lambda m: m.latency_ns, units.time, "latency of one inference"),
}
_SETTING = 6  # columns that say the setting; the others say what was measured
_MOST_TOLD = 12  # errors that are printed one by one


def accuracy_against(found: Sweep, goal: str) -> str:
    """Every measured point by accuracy and "energy" or "latency", one colour for each code; a line joins the front of these two.

    At least one point must have been measured.
    """
    of, write, label = _GOALS[goal]
    known = [(point.setting, point.measured) for point in found.points if point.measured is not None]
    codes = [code for code in CODES if any(setting.code == code for setting, _ in known)]
    best = pareto([(of(m), 100 * m.accuracy) for _, m in known])

    def paint(axes: Axes) -> None:
        axes.step(*zip(*best, strict=True), where="post", color=INK, linewidth=1, alpha=0.5)
        for code in codes:
            mine = [(of(m), 100 * m.accuracy) for setting, m in known if setting.code == code]
            for points, form in ((sorted(set(mine) - set(best)), "o"), ([p for p in best if p in mine], "D")):
                if points:
                    x, y = zip(*points, strict=True)
                    axes.plot(
                        x, y, form, color=_colour(code), markersize=5 if form == "o" else 8, alpha=0.55 if form == "o" else 1
                    )
        axes.axhline(100 * found.accuracy_ann, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlabel=label, ylabel="accuracy (%)", xscale="log")
        log_ticks(axes.xaxis, [of(m) for _, m in known], write)
        axes.margins(x=0.1, y=0.12)
        percents(axes)
        axes.legend(handles=[Patch(color=_colour(code), label=code) for code in codes], **ABOVE)

    return draw(goal, f"Accuracy against {goal} of every setting", paint, height_in=HEIGHT_IN + 0.3)


def _colour(code: str) -> str:
    return COLOURS[list(CODES).index(code)]


def terminal(found: Sweep) -> Group:
    """The front as a table, and what was not possible."""
    rows = [words(point) for point in found.points]
    alike = [i for i in range(1, _SETTING) if len({row[i] for row in rows}) == 1]
    kept = [i for i in range(len(COLUMNS)) if i not in alike]
    names = [COLUMNS[i] for i in kept]
    front = [[words(point)[i] for i in kept] for point in found.front]
    shown = table("", names, front, right=[name for name in names if name in COLUMNS[_SETTING:]])
    everywhere = ", ".join(f"{COLUMNS[i]} {rows[0][i]}" for i in alike)
    lines = [f"in all of them: {everywhere}"] if alike else []
    lines += [f"{_named(point)}: {point.error}" for point in found.failed[:_MOST_TOLD]]
    if len(found.failed) > _MOST_TOLD:
        lines.append(f"and {len(found.failed) - _MOST_TOLD} more, see result.json")
    shown.title = None  # as wide as the terminal rather than the table
    return Group(
        Text(_title(found), style="bold"), shown, *(Padding(Text(f"· {line}", style="dim"), (0, 0, 0, 2)) for line in lines)
    )


def _title(found: Sweep) -> str:
    counted = f"{len(found.front)} of {len(found.points)} settings worth considering"
    return f"{found.title}: {counted}, {found.samples:,} samples, float network {units.percent(found.accuracy_ann)}"


def _named(point: SweepPoint) -> str:
    s = point.setting
    return f"{s.code} T={s.timesteps}, {s.threshold}, {s.weight_bits} bits, {s.chip}, {s.placement}"


def write_sweep_page(path: Path, found: Sweep) -> None:
    """Write the sweep as one offline HTML file, whole or not at all."""
    write_page(path, page(found))


def page(found: Sweep) -> Page:
    """Headline, fronts, all points, and those that were not possible."""
    cards = [Card("settings", str(len(found.points)), f"{len(found.failed)} of them not possible")]
    if found.front:
        cards += list(_headline(found))
    lede = (
        f"{found.samples:,} test samples in every setting, so that one of them is {units.percent(1 / found.samples)}; "
        f"the float network has {units.percent(found.accuracy_ann)}.",
    )
    return Page(found.title, lede, tuple(cards), (), tuple(_sections(found)))


def _headline(found: Sweep) -> list[Card]:
    measured = [(point, point.measured) for point in found.front if point.measured is not None]
    best, m = max(measured, key=lambda pair: (pair[1].accuracy, -pair[1].energy_pj))
    least, cheap = min(measured, key=lambda pair: pair[1].energy_pj)
    return [
        Card(
            "best accuracy",
            units.percent(m.accuracy),
            f"{best.setting.code} T={best.setting.timesteps}, {units.energy(m.energy_pj)}",
        ),
        Card(
            "least energy",
            units.energy(cheap.energy_pj),
            f"{least.setting.code} T={least.setting.timesteps}, {units.percent(cheap.accuracy)}",
        ),
    ]


def _sections(found: Sweep) -> list[Section]:
    caption = "Every setting; diamonds and the line are those that no other beats in both. Dashed: the float network."
    drawn = tuple(Figure(Markup(accuracy_against(found, goal)), caption) for goal in _GOALS) if found.front else ()
    front = page_table(COLUMNS, [words(point) for point in found.front], numbers=COLUMNS[_SETTING:], caption="By rising energy.")
    made = [Section("front", "Worth considering", _FRONT_MEANS, drawn, (front,))]
    every = [_cells(point, point.measured) for point in found.points if point.measured is not None]
    made.append(
        Section("points", "Every setting", tables=(page_table(COLUMNS, every, numbers=COLUMNS[_SETTING:], sortable=True),))
    )
    if found.failed:
        made.append(Section("failed", "Not possible", points=tuple(f"{_named(p)}: {p.error}" for p in found.failed)))
    made_with: Any = found.to_json()["versions"]
    made.append(Section("reproduce", "To reproduce", points=(", ".join(f"{k} {v}" for k, v in made_with.items()),)))
    return made


def _cells(point: SweepPoint, m: Measured) -> list[Cell]:
    """The point's words, with the numbers that they are sorted by."""
    numbers = (m.accuracy, m.energy_pj, m.dynamic_pj, m.latency_ns, m.synops, float(m.cores_used))
    setting = (None, float(point.setting.timesteps), None, float(point.setting.weight_bits), None, None)
    return [Cell(word, sort) for word, sort in zip(words(point), (*setting, *numbers), strict=True)]


_FRONT_MEANS = ("No other setting is at least as good in accuracy, energy and latency and better in one of them.",)
