"""Results as small tables: plain text that can be pasted, HTML in a notebook. Knows rows of words, nothing of what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Rows = Sequence[Sequence[str]]
Table = tuple[str, Sequence[str], Rows]  # title, columns, rows


class Shown:
    """What a result needs to be shown: a title, the names of columns, and rows of words."""

    __slots__ = ()

    def _shown(self) -> Table:
        raise NotImplementedError

    def __repr__(self) -> str:
        return text_table(*self._shown())

    def _repr_html_(self) -> str:
        return html_table(*self._shown())


def text_table(title: str, columns: Sequence[str], rows: Rows) -> str:
    """Aligned columns under a title; columns that hold numbers are flush right."""
    cells = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = [any(cell[:1].isdigit() for cell in column) for column in zip(*rows, strict=True)] or [False] * len(columns)
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join([title, *(_line(row, widths, numbers) for row in cells)])


def html_table(title: str, columns: Sequence[str], rows: Rows) -> str:
    """The same as an HTML table; everything is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _line(cells: Sequence[str], widths: Sequence[int], numbers: Sequence[bool]) -> str:
    placed = (cell.rjust(w) if right else cell.ljust(w) for cell, w, right in zip(cells, widths, numbers, strict=True))
    return "  ".join(placed).rstrip()
