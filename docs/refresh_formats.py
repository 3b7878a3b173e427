"""Write the tables of docs/formats.md from the code that they describe: python docs/refresh_formats.py."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from converters.onnx_operators import OPERATORS

PAGE = Path(__file__).parent / "formats.md"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def operators() -> str:
    """ONNX operators by what becomes of them."""
    told = [(name, " ".join((handler.__doc__ or "").split())) for name, handler in OPERATORS.items()]
    grouped = {meaning: [f"`{name}`" for name, same in told if same == meaning] for _, meaning in told}
    return table(("operator", "becomes"), [(", ".join(names), meaning) for meaning, names in grouped.items()])


TABLES = {"operators": operators}


def refreshed(page: str) -> str:
    """The page with its tables made anew."""
    for name, make in TABLES.items():
        page = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m, make=make: f"{m[1]}{make()}\n{m[2]}", page, flags=re.S)
    return page


if __name__ == "__main__":
    PAGE.write_text(refreshed(PAGE.read_text()))
