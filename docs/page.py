"""Tables in Markdown, and where they stand on a page: between `<!-- name -->` and `<!-- end -->`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


def put(page: Path, name: str, text: str) -> None:
    """Write a text between a page's marks. Raises ValueError where the marks are not there."""
    before, rest = page.read_text().split(f"<!-- {name} -->\n")
    _, after = rest.split("<!-- end -->", 1)
    page.write_text(f"{before}<!-- {name} -->\n{text}\n<!-- end -->{after}")
