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
    """Aligned columns under a title, the first flush left and the others flush right."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    return "\n".join([title, *(_line(row, widths) for row in (columns, ["-" * width for width in widths], *rows))])


def html_table(title: str, columns: Sequence[str], rows: Rows) -> str:
    """The same as an HTML table; everything is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True)))
    return "  ".join([first, *others]).rstrip()
