"""A page as plain values, and its HTML: one file, no requests, readable on paper and on a telephone. Knows no results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from neuro.files import write_text
from neuro.report.live import Live


@dataclass(frozen=True, slots=True)
class Card:
    """One headline number."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """An inline SVG made by `neuro.report.figures`, and what it shows."""

    svg: Markup
    caption: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell; `sort` orders it where the text would not; `tone` is "win", "lose" or nothing."""

    text: str
    sort: float | None = None
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column; numbers stand flush right."""

    name: str
    number: bool = False


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row; `own` marks the chip among the machines."""

    cells: tuple[Cell, ...]
    own: bool = False


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table."""

    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    caption: str = ""
    sortable: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: text, figures, tables, points, in this order."""

    name: str
    title: str
    text: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[PageTable, ...] = ()
    points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that is shown."""

    title: str
    lede: tuple[str, ...]
    cards: tuple[Card, ...]
    verdict: tuple[str, ...]
    sections: tuple[Section, ...]
    live: Live | None = None


def render(page: Page) -> str:
    """The page as HTML. Text is escaped; only figures, which this package itself draws, are not."""
    room = resources.files("neuro.report")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(room.joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(page=page, style=Markup(room.joinpath("page.css").read_text(encoding="utf-8")))


def write_page(path: Path, page: Page) -> None:
    """Write the page, whole or not at all."""
    write_text(path, render(page))


def page_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Cell]],
    *,
    numbers: Sequence[str] = (),
    caption: str = "",
    own: int = -1,
    sortable: bool = False,
) -> PageTable:
    """A table of texts; `numbers` names the columns flush right, `own` the row that is marked."""
    made = (tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in cells) for cells in rows)
    marked = tuple(TableRow(cells, i == own) for i, cells in enumerate(made))
    return PageTable(tuple(Column(name, name in numbers) for name in columns), marked, caption, sortable)
