"""Tables for the terminal. Knows rich and plain values; knows nothing of where the values came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from neuro.sourced import Sourced


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    """A plain table; columns in `right` are flush right; they and the first are never broken. Cells are text, not markup."""
    made = Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if column in right else "left", no_wrap=index == 0 or column in right)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def sourced(title: str, constants: Mapping[str, Sourced]) -> Table:
    """Constants with unit, basis and source."""
    rows = [(name, f"{c.value:g} {c.unit}", c.basis, c.source) for name, c in constants.items()]
    return table(title, ("constant", "value", "basis", "source"), rows)
