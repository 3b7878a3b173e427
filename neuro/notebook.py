"""Results as small tables: plain text that can be pasted, HTML in a notebook. Knows rows of words, nothing of what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Rows = Sequence[Sequence[str]]
Table = tuple[str, Sequence[str], Rows]  # title, columns, rows


class TableRepr:
    """What a result needs to be shown: a title, the names of columns, and rows of words."""

    __slots__ = ()

    def _shown(self) -> Table:
        raise NotImplementedError

    def __repr__(self) -> str:
        return text_table(*self._shown())

    def _repr_html_(self) -> str:
        return html_table(*self._shown())


def abridged(rows: Sequence[tuple[str, ...]], most: int = 12) -> list[tuple[str, ...]]:
    """The first and the last of many rows, and how many are between them."""
    if len(rows) <= most:
        return list(rows)
    first, last = rows[: most - 4], rows[-3:]
    return [*first, (f"... {len(rows) - most + 1:,} more", *[""] * (len(rows[0]) - 1)), *last]


def text_table(title: str, columns: Sequence[str], rows: Rows) -> str:
    """Aligned columns under a title; columns that hold numbers are flush right."""
    cells = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join([title, *(_line(row, widths, _numbers(columns, rows)) for row in cells)])


def html_table(title: str, columns: Sequence[str], rows: Rows) -> str:
    """The same as an HTML table; everything is escaped."""
    numbers = _numbers(columns, rows)
    head = _cells("th", columns, numbers)
    body = "".join(f"<tr>{_cells('td', row, numbers)}</tr>" for row in rows)
    return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(tag: str, row: Sequence[str], numbers: Sequence[bool]) -> str:
    styles = (' style="text-align:right"' if number else "" for number in numbers)
    return "".join(f"<{tag}{style}>{escape(cell)}</{tag}>" for cell, style in zip(row, styles, strict=True))


def _numbers(columns: Sequence[str], rows: Rows) -> list[bool]:
    """Which columns hold numbers: half of what they say or more; the first one holds names."""
    written = [[cell for cell in column if cell] for column in zip(*rows, strict=True)] or [[] for _ in columns]
    return [i > 0 and bool(held) and 2 * sum(c[0].isdigit() for c in held) >= len(held) for i, held in enumerate(written)]


def _line(cells: Sequence[str], widths: Sequence[int], numbers: Sequence[bool]) -> str:
    placed = (cell.rjust(w) if right else cell.ljust(w) for cell, w, right in zip(cells, widths, numbers, strict=True))
    return "  ".join(placed).rstrip()
