"""Tables for the terminal. Knows rich and plain values; knows nothing of where the values came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from neuro.sourced import Sourced

_GAP = 2  # blanks between columns
_MANY = 5  # from this number of columns on, notes stand under a table


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> Table:
    """A plain table; columns in `right` are flush right; they and the first are never broken. Cells are text, not markup."""
    made = Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if column in right else "left", no_wrap=index == 0 or column in right)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


@dataclass(frozen=True, slots=True)
class WideTable:
    """A table of many columns. Those in `below` are shown below it; a terminal too narrow for the rest gets each row as lines."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    below: Sequence[str] = ("note", "basis", "measured", "reason")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        beside = [i for i, name in enumerate(self.columns) if name not in self.below or len(self.columns) < _MANY]
        columns = [self.columns[i].replace("-", "-\n") for i in beside]
        rows = [[row[i] for i in beside] for row in self.rows]
        cells = {name: [row[at] for row in rows] for at, name in enumerate(columns)}
        numbers = [name for name, column in cells.items() if all(cell[:1] in "+-0123456789" for cell in column)]
        whole = {columns[0], *numbers}
        least = {name: _longest([*name.split(), *(cells[name] if name in whole else " ".join(cells[name]).split())])
                 for name in columns}  # fmt: skip
        left = options.max_width - sum(least.values()) - _GAP * len(columns)
        if left < 0:
            yield from self._blocks()
            return
        made = table(self.title, columns, rows, right=numbers)
        made.collapse_padding = True
        share = left // max(1, len(columns) - len(whole))
        for column, name in zip(made.columns, columns, strict=True):
            column.no_wrap = False
            column.width = (
                least[name] if name in whole else min(least[name] + share, _longest([*name.splitlines(), *cells[name]]))
            )
        yield made
        yield from self._told(set(range(len(self.columns))) - set(beside))

    def _told(self, below: set[int]) -> RenderResult:
        told: dict[str, dict[str, str]] = {}  # of each first cell: what is said of it, and of which second cell
        for row in self.rows:
            said = "; ".join(f"{self.columns[i]}: {row[i]}" for i in sorted(below) if row[i])
            told.setdefault(row[0], {}).setdefault(said, row[1])
        for first, found in told.items():
            for said, second in found.items():
                name = first if len(found) == 1 else f"{first}, {second}"
                if said:
                    yield Padding(Text(f"{name}: {said}", style="dim"), (0, 0, 0, 2))

    def _blocks(self) -> RenderResult:
        yield Text(f"{self.title}\n", style="bold")
        for first, *others in self.rows:
            lines = (f"{name}: {cell}" for name, cell in zip(self.columns[1:], others, strict=True) if cell)
            yield Text(first)
            yield Padding(Text("\n".join(lines)), (0, 0, 1, 4))


def _longest(words: Iterable[str]) -> int:
    return max(map(len, words))


def sourced(title: str, constants: Mapping[str, Sourced]) -> Table:
    """Constants with unit, basis and source."""
    rows = [(name, f"{c.value:g} {c.unit}", c.basis, c.source) for name, c in constants.items()]
    return table(title, ("constant", "value", "basis", "source"), rows)
